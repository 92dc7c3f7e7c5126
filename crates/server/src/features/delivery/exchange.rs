//! Talks to a destination's hosts until one of them answered for the message, or none is left.

use super::attempt::{AttemptError, NotStarted, Work, envelope_addresses};
use super::heard::Heard;
use super::lint::Finding;
use super::pool::Lent;
use super::route::{Candidate, Route};
use super::signing::body_start;
use super::sources::{Choice, Source};
use super::transport::Guarantee;
use super::ways::Way;
use super::wire::{Envelope, Step, TlsFacts, WireFailure};
use super::{Delivery, facts};
use crate::clock::Timestamp;
use crate::features::alerts::{self, Alert};
use crate::features::domains::Tls;
use crate::features::emails::{self, Destined, Stream};
use crate::features::suppressions::Type;
use crate::metrics::KindLabel;
use crate::platform::jobs::JobError;
use sealwright_mail::address::Mailbox;
use sealwright_mail::smtp::Category;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Hosts of one destination that are tried in one attempt, at most.
const HOSTS_MAX: usize = 5;
const DAY_S: i64 = 86_400;

/// What became of one recipient in this attempt.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    /// Taken.
    Delivered { reply: String },
    /// Taken, then complained about: only test mode knows both at once.
    Complained { reply: String },
    /// Not now. Without a wait of its own it waits as the schedule says.
    Deferred { reason: String, wait: Option<Duration> },
    /// Not tried, and not before the operator lets it go: something is wrong with it that is our fault.
    Held { reason: String },
    Bounced {
        reason: String,
        category: Category,
        /// It was said of this recipient and nobody else.
        is_of_recipient: bool,
    },
    /// Given up by us.
    Failed { reason: String },
    /// Not tried and never will be: mail to this recipient is suppressed.
    Suppressed { reason: &'static str },
    /// Not tried, because its time comes only after `left`.
    Waiting { left: Duration },
}

impl Fate {
    /// Not now; the schedule says when.
    pub(super) fn deferred(reason: impl Into<String>) -> Self {
        Self::Deferred {
            reason: reason.into(),
            wait: None,
        }
    }

    /// Whether it came from an attempt.
    pub(super) fn is_tried(&self) -> bool {
        match self {
            Self::Suppressed { .. } | Self::Waiting { .. } | Self::Held { .. } => false,
            Self::Delivered { .. }
            | Self::Complained { .. }
            | Self::Deferred { .. }
            | Self::Bounced { .. }
            | Self::Failed { .. } => true,
        }
    }

    /// The wait before the next attempt, where there is one; `planned` is the schedule's.
    pub(super) fn wait(&self, planned: Duration) -> Option<Duration> {
        match self {
            Self::Deferred { wait, .. } => Some(wait.unwrap_or(planned)),
            Self::Waiting { left } => Some(*left),
            Self::Delivered { .. }
            | Self::Complained { .. }
            | Self::Held { .. }
            | Self::Bounced { .. }
            | Self::Failed { .. }
            | Self::Suppressed { .. } => None,
        }
    }

    /// What is told of it: the other side's words, or ours.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Delivered { reply } | Self::Complained { reply } => reply,
            Self::Deferred { reason, .. }
            | Self::Held { reason }
            | Self::Bounced { reason, .. }
            | Self::Failed { reason } => reason,
            Self::Suppressed { reason } => reason,
            Self::Waiting { .. } => "its time comes after the e-mail has expired",
        }
    }
}

/// One attempt's talk with a destination.
pub(super) struct Exchange {
    /// In the order of the recipients.
    pub(super) fates: Vec<Fate>,
    pub(super) host: Option<String>,
    pub(super) address: Option<String>,
    /// The address that it left from, where the operator chose it.
    pub(super) source: Option<String>,
    pub(super) tls: Option<TlsFacts>,
    /// What the connection had to guarantee.
    pub(super) guarantee: Option<&'static str>,
    pub(super) steps: Vec<Step>,
    /// What it tells of the destination's hosts; nothing if they were not asked.
    pub(super) heard: Option<Heard>,
    /// The dot left and no reply was read: the message may have been taken.
    pub(super) is_in_doubt: bool,
    /// The job was taken away before the dot: nothing was sent and nothing is recorded.
    pub(super) is_lost: bool,
}

impl Exchange {
    /// All recipients share one fate, without a host.
    pub(super) fn of_all(recipients: usize, fate: &Fate) -> Self {
        Self {
            fates: vec![fate.clone(); recipients],
            host: None,
            address: None,
            source: None,
            tls: None,
            guarantee: None,
            steps: Vec::new(),
            heard: None,
            is_in_doubt: false,
            is_lost: false,
        }
    }

    /// The talk was about those who are not suppressed; the others get their fates here.
    fn with_suppressed(mut self, recipients: &[Destined]) -> Self {
        let mut talked = std::mem::take(&mut self.fates).into_iter();
        let fate = |recipient: &Destined| match recipient.suppressed {
            Some(kind) => Some(Fate::Suppressed {
                reason: kind.reason(),
            }),
            None => talked.next(),
        };
        self.fates = recipients.iter().filter_map(fate).collect();
        self
    }
}

/// How the talk with one host ended.
enum Talk {
    /// It answered for the message.
    Answered(Exchange),
    /// It did not get as far; another host may.
    NextHost(WireFailure, Candidate),
    /// The dot did not leave, because these recipients were suppressed meanwhile.
    Suppressed(BTreeMap<Vec<u8>, Type>),
}

/// How the talk with all hosts ended.
pub(super) type Talked = Result<Exchange, BTreeMap<Vec<u8>, Type>>;

impl Delivery {
    /// Talks until there is an answer for everybody. When somebody is suppressed during the talk, it is broken off and begun anew without.
    pub(super) async fn exchange(&self, work: &mut Work) -> Result<Exchange, AttemptError> {
        let message = self.message(work).await?;
        loop {
            let talked = match (work.open().count(), &message) {
                (0, _) => Ok(Exchange::of_all(0, &Fate::deferred(""))),
                (count, None) => {
                    let reason = "the content was forgotten before it could be delivered".to_owned();
                    Ok(Exchange::of_all(count, &Fate::Failed { reason }))
                }
                (_, Some(message)) => self.leave(work, message).await?,
            };
            match talked {
                Ok(exchange) => return Ok(exchange.with_suppressed(&work.mailed.recipients)),
                Err(suppressed) => work.suppress(&suppressed),
            }
        }
    }

    /// The talk with the destination's own hosts.
    pub(super) async fn talk_about(&self, work: &Work, message: &Arc<[u8]>) -> Result<Talked, AttemptError> {
        let mailboxes = envelope_addresses(work.open())?;
        let domain = mailboxes.first().map(|mailbox| mailbox.address.domain().clone());
        let domain = domain.ok_or(AttemptError::Other("a delivery without recipients"))?;
        // The place is given back when the talk is over.
        let (targets, _place) = match self.route(&domain, work.job.part, work.mailed.tls).await {
            Route::Hosts(candidates, place) => (candidates, place),
            Route::Nowhere(fate, heard) => {
                let mut exchange = Exchange::of_all(mailboxes.len(), &fate);
                exchange.heard = heard;
                return Ok(Ok(exchange));
            }
        };
        let from = Mailbox::parse(&work.mailed.head.from)
            .map_err(|_| AttemptError::Other("a stored sender can't be read"))?;
        let signature = match self.sign(work, &from, message).await? {
            Ok(signature) => signature,
            Err(finding) => return Ok(Ok(self.held(work, &finding).await)),
        };
        let envelope = self
            .envelope(work, &from, &mailboxes, &signature, message)
            .await?;
        self.talk_to_hosts(work, targets, &envelope, &[&signature, message])
            .await
    }

    /// The envelope of the signed message, to these recipients.
    pub(super) async fn envelope(
        &self,
        work: &Work,
        from: &Mailbox,
        mailboxes: &[Mailbox],
        signature: &[u8],
        message: &[u8],
    ) -> Result<Envelope, AttemptError> {
        // The header names recipients of other destinations too: one address beyond ASCII makes the message itself internationalized
        // (RFC 6532), wherever it goes. An address of this envelope may be a blind copy, which no header names.
        let is_ascii = |mailbox: &Mailbox| mailbox.address.is_ascii();
        let needs_smtputf8 = !header_of(message).is_ascii() || !mailboxes.iter().chain([from]).all(is_ascii);
        let sender = self.sender(work, from).await?;
        Ok(Envelope {
            wants_reports: sender.is_return_path,
            from: sender.address,
            to: mailboxes
                .iter()
                .map(|mailbox| mailbox.address.as_str().to_owned())
                .collect(),
            size: signature.len() + message.len(),
            smtputf8: needs_smtputf8,
            eight_bit: false,
            require_tls: work.mailed.tls == Tls::Required,
        })
    }

    /// Our own check found a fault in what was about to leave, so nothing did.
    pub(super) async fn held(&self, work: &Work, finding: &Finding) -> Exchange {
        let kind = finding.kind();
        self.platform
            .metrics
            .lint_findings
            .get_or_create(&KindLabel { kind })
            .inc();
        tracing::error!(email = %work.email, %finding, "a message failed the check before sending; it is held, and nothing of it was sent; see docs/delivery.md");
        if let Some(org) = &self.options.alerts_to
            && let Err(error) = alerts::fire(&self.platform, org, Alert::MailHeld).await
        {
            tracing::error!(%error, "an alert could not be told");
        }
        let reason = format!("held by the check before sending: {finding}");
        let fate = Fate::Held { reason };
        Exchange::of_all(work.open().count(), &fate)
    }

    async fn message(&self, work: &Work) -> Result<Option<Arc<[u8]>>, AttemptError> {
        if let Some(message) = self.fresh.take(&work.email) {
            return Ok(Some(message));
        }
        let (org, released_at) = (&work.job.org, work.mailed.released_at);
        let message = emails::message(&self.platform, &work.vault, org, &work.email, released_at).await?;
        Ok(message.map(Arc::from))
    }

    async fn talk_to_hosts(
        &self,
        work: &Work,
        candidates: Vec<Candidate>,
        envelope: &Envelope,
        parts: &[&[u8]],
    ) -> Result<Talked, AttemptError> {
        let mut last: Option<(WireFailure, Candidate)> = None;
        let mut is_full = false;
        for candidate in candidates.into_iter().take(HOSTS_MAX) {
            let source = match self.source(work, &candidate).await? {
                Choice::From(source) => source,
                Choice::Tomorrow => {
                    is_full = true;
                    continue;
                }
                Choice::Unreachable => continue,
            };
            match self.talk(work, candidate, &source, envelope, parts).await {
                Talk::Answered(exchange) => return Ok(Ok(exchange)),
                Talk::Suppressed(found) => return Ok(Err(found)),
                // One host that may take the mail later outweighs all that never will.
                Talk::NextHost(failure, candidate) => match &last {
                    Some((earlier, _)) if !earlier.permanent && failure.permanent => {}
                    _ => last = Some((failure, candidate)),
                },
            }
        }
        let Some((
            failure,
            Candidate {
                target, guarantee, ..
            },
        )) = last
        else {
            let fate = match is_full {
                true => Fate::Waiting {
                    left: until_tomorrow(self.platform.clock.now(), work.job.part),
                },
                false => Fate::deferred(
                    "no source address is of the kind of the domain's mail hosts (IPv4 or IPv6)",
                ),
            };
            return Ok(Ok(Exchange::of_all(envelope.to.len(), &fate)));
        };
        let fate = facts::fate_of_failure(&failure, &guarantee);
        let mut exchange = Exchange::of_all(envelope.to.len(), &fate);
        (exchange.host, exchange.address) = (Some(target.host), Some(target.addr.ip().to_string()));
        exchange.guarantee = Some(guarantee.name());
        exchange.heard = Some(Heard::of_failure(&failure));
        exchange.steps = failure.steps;
        Ok(Ok(exchange))
    }

    /// From which address the mail leaves to a host.
    async fn source(&self, work: &Work, candidate: &Candidate) -> Result<Choice, AttemptError> {
        let from = Mailbox::parse(&work.mailed.head.from)
            .map_err(|_| AttemptError::Other("a stored sender can't be read"))?;
        let (stream, domain) = (Stream::of(work.job.priority), from.address.domain());
        let (host, provider) = (candidate.target.addr.ip(), candidate.provider.as_deref());
        Ok(self
            .chooser
            .choose((stream, domain.as_str()), host, provider)
            .await)
    }

    /// A kept connection may have died unseen; then one new one is opened before the host is given up.
    async fn talk(
        &self,
        work: &Work,
        candidate: Candidate,
        source: &Arc<Source>,
        envelope: &Envelope,
        parts: &[&[u8]],
    ) -> Talk {
        let mut may_reuse = true;
        loop {
            let mut lent = match self.lend(&candidate, source, may_reuse).await {
                Ok(lent) => lent,
                Err(failure) => return Talk::NextHost(failure, candidate),
            };
            let was_kept = lent.was_kept;
            let sent = lent
                .connection
                .send(envelope, parts, self.mark_started(work, &Way::Direct))
                .await;
            let transaction = match sent {
                Ok(transaction) => transaction,
                // The connection goes with what was said over it.
                Err(NotStarted::Suppressed(found)) => return Talk::Suppressed(found),
                Err(NotStarted::Job(error)) => return Talk::Answered(self.not_marked(work, &error)),
            };
            if was_kept && !transaction.reached_dot && !lent.connection.is_reusable() {
                may_reuse = false;
                continue;
            }
            let mut exchange = answered(&lent, &candidate, transaction);
            exchange.source = source.address.map(|address| address.to_string());
            self.pool.give_back(lent);
            return Talk::Answered(exchange);
        }
    }

    /// A connection to a host; what TLS came to on a new one is counted.
    async fn lend(
        &self,
        candidate: &Candidate,
        source: &Arc<Source>,
        may_reuse: bool,
    ) -> Result<Lent, WireFailure> {
        let lent = self.pool.lend(candidate, source, may_reuse).await;
        // Where the operator wants no TLS, the host did not fail at it.
        let expected = candidate.expected.as_ref();
        if let Some(expected) = expected.filter(|_| candidate.guarantee != Guarantee::Clear) {
            let address = candidate.target.addr.ip().to_string();
            let host = [candidate.target.host.as_str(), address.as_str()];
            let results = self.transport.results();
            match &lent {
                Ok(lent) if lent.was_kept => {}
                Ok(lent) => results.opened(expected, host, lent.connection.tls(), lent.fault),
                Err(WireFailure {
                    fault: Some(fault), ..
                }) => results.failed(expected, host, *fault),
                Err(_) => {}
            }
        }
        lent
    }

    /// The mark could not be made, so the dot did not leave. A lost lease is somebody else's now; a store that fails defers.
    pub(super) fn not_marked(&self, work: &Work, error: &JobError) -> Exchange {
        let is_lost = matches!(error, JobError::LeaseLost);
        tracing::warn!(email = %work.email, %error, "an attempt could not be marked as started; nothing was sent");
        let fate = Fate::deferred("the attempt could not be recorded, so it was not made");
        Exchange {
            is_lost,
            ..Exchange::of_all(work.open().count(), &fate)
        }
    }
}

/// The wait until the next day (UTC), and a part of its first hour: not all of it is to come back at midnight.
fn until_tomorrow(now: Timestamp, destination: i64) -> Duration {
    let second = now.seconds().rem_euclid(DAY_S);
    let wait = DAY_S - second + destination.rem_euclid(3600);
    Duration::from_secs(wait.unsigned_abs())
}

fn header_of(message: &[u8]) -> &[u8] {
    body_start(message)
        .and_then(|end| message.get(..end))
        .unwrap_or(message)
}

fn answered(lent: &Lent, candidate: &Candidate, transaction: super::wire::Transaction) -> Exchange {
    let fates = facts::fates_of(&transaction);
    let heard = Heard::of_transaction(&transaction);
    let mut steps = lent.opening_steps.clone();
    steps.extend(transaction.steps);
    Exchange {
        fates,
        host: Some(candidate.target.host.clone()),
        address: Some(candidate.target.addr.ip().to_string()),
        source: None,
        tls: lent.connection.tls().cloned(),
        guarantee: Some(candidate.guarantee.name()),
        steps,
        heard,
        is_in_doubt: transaction.in_doubt,
        is_lost: false,
    }
}
