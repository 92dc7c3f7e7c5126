//! Takes one incoming message: read, matched with its e-mail, recorded.

use super::path::{Addressee, Returned, named};
use super::{store, tls_reports};
use crate::clock::Timestamp;
use crate::features::emails::{self, Reached, ReadError, SentTo};
use crate::features::events::{self, About, Event, Type};
use crate::features::relays::{RelayError, Whom};
use crate::features::suppressions::{self, Prepared as Suppression, Suppress};
use crate::id::{EmailId, Id as _, OrgId, ReturnId};
use crate::metrics::KindLabel;
use crate::platform::Platform;
use crate::platform::jobs::Kind as JobKind;
use crate::platform::net::{Dns, DnsError};
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Cell, Class, OrgVault, VaultError, random};
use bytes::Bytes;
use sealwright_mail::address::Address;
use sealwright_mail::report::tls::TlsReportError;
use sealwright_mail::report::{Complaint, Failure, Report, Undelivered};
use sealwright_mail::smtp::{Category, classify};
use serde::Serialize;
use std::sync::Arc;

/// How the taking of a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// What it says is recorded, or it says nothing that is to be recorded.
    Taken,
    /// It was sent to those who read feedback, and is none on a mail of ours.
    NoFeedback,
    /// It was sent to those who read reports on TLS, and the domain that says it submits it has not signed it.
    Unsigned,
    /// It was sent to them, and is none that can be read.
    NoTlsReport(TlsReportError),
    /// It was sent to them, and there are as many today as there may be.
    TooMany,
}

/// Why a message could not be taken now.
#[derive(Debug, thiserror::Error)]
pub enum ReturnError {
    /// The e-mail could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The relay could not be read.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// The key of a signature could not be looked up.
    #[error("the key of the report's signature can't be looked up: {0}")]
    Key(DnsError),
    /// Reading the report was cut off.
    #[error("the report could not be read")]
    CutOff,
}

/// What came back for a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The mail did not arrive.
    Bounced,
    /// The recipient complained.
    Complained,
}

impl Kind {
    /// The kind as it is stored and counted.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bounced => "bounced",
            Self::Complained => "complained",
        }
    }

    fn event(self) -> Type {
        match self {
            Self::Bounced => Type::EmailBounced,
            Self::Complained => Type::EmailComplained,
        }
    }
}

/// Takes a message for these addressees; returns after the commit of what it says. A message is one report: where one of them reads
/// reports on TLS, it is read as such a report and as nothing else.
pub async fn receive(
    platform: &Platform,
    dns: &Dns,
    to: &[Addressee],
    message: Vec<u8>,
) -> Result<Received, ReturnError> {
    let tls_host = to.iter().find_map(|addressee| match addressee {
        Addressee::TlsReports(host) => Some(host),
        Addressee::Path(_) | Addressee::Feedback => None,
    });
    if let Some(host) = tls_host {
        return tls_reports::take(platform, dns, host, message).await;
    }
    let reading = tokio::task::spawn_blocking(move || Report::read(&message));
    let report = reading.await.map_err(|_| ReturnError::CutOff)?;
    let now = platform.clock.now();
    let mut paths: Vec<Returned> = to.iter().filter_map(path_of).cloned().collect();
    if let (Report::Complaint(complaint), true) = (&report, paths.is_empty()) {
        let inside = complaint.return_paths.iter().filter_map(|path| {
            let (local, _) = path.rsplit_once('@')?;
            // A path that is none of ours is the complaint of somebody else.
            named(&platform.vault, local, now).ok()
        });
        paths.extend(inside.take(1));
    }
    if paths.is_empty() {
        return Ok(Received::NoFeedback);
    }
    for returned in &paths {
        let Some(found) = find(platform, returned).await? else {
            count(platform, "unmatched");
            continue;
        };
        let outcomes = match &report {
            Report::Undelivered(undelivered) => found.bounces(undelivered, now).await?,
            Report::Complaint(complaint) => found.complaints(complaint, now).await?,
            Report::Other => {
                count(platform, "other");
                continue;
            }
        };
        record(platform, &found.org, outcomes).await?;
    }
    Ok(Received::Taken)
}

fn path_of(addressee: &Addressee) -> Option<&Returned> {
    match addressee {
        Addressee::Path(returned) => Some(returned),
        Addressee::Feedback | Addressee::TlsReports(_) => None,
    }
}

fn count(platform: &Platform, kind: &'static str) {
    platform.metrics.returns.get_or_create(&KindLabel { kind }).inc();
}

/// An e-mail that something came back of.
pub(super) struct Found {
    pub(super) org: OrgId,
    pub(super) vault: OrgVault,
    pub(super) email: EmailId,
    pub(super) sent: SentTo,
}

async fn find(platform: &Platform, returned: &Returned) -> Result<Option<Found>, ReturnError> {
    for org in store::orgs_by_end(&platform.store, &returned.org_end).await? {
        let vault = platform.vault.org(&org).await?;
        let email = returned.email.clone();
        if let Some(sent) = emails::sent_to(platform, &vault, &org, &email, returned.first).await? {
            return Ok(Some(Found {
                org,
                vault,
                email,
                sent,
            }));
        }
    }
    Ok(None)
}

/// What came back for one recipient, sealed and ready to be recorded.
pub(super) struct Outcome {
    pub(super) id: ReturnId,
    pub(super) email: EmailId,
    pub(super) position: i64,
    pub(super) kind: Kind,
    pub(super) report_sealed: Bytes,
    pub(super) at: Timestamp,
    event: Event,
    /// Who is not written to any more for it.
    suppression: Option<Suppression>,
}

impl Outcome {
    fn with(self, suppression: Option<Suppression>) -> Self {
        Self { suppression, ..self }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bounced<'a> {
    bounce_type: &'static str,
    bounce_category: &'static str,
    message: &'a str,
    bounced_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Complained {
    complained_at: String,
}

impl Found {
    /// One outcome for each recipient that the report is about; the first reason counts.
    async fn bounces(&self, report: &Undelivered, now: Timestamp) -> Result<Vec<Outcome>, VaultError> {
        let mut outcomes: Vec<Outcome> = Vec::new();
        for failure in &report.failures {
            let Some((reached, is_named)) = self.recipient(&failure.recipients) else {
                continue;
            };
            if outcomes.iter().all(|known| known.position != reached.position) {
                let category = classify(failure.code, failure.status, &failure.reason);
                let to = (reached, is_named);
                outcomes.push(self.bounce(to, failure, category, &report.words, now).await?);
            }
        }
        Ok(outcomes)
    }

    /// The bounce of a recipient, who is suppressed if nobody is there and the report calls it by its name.
    pub(super) async fn bounce(
        &self,
        (reached, is_named): (&Reached, bool),
        failure: &Failure,
        category: Category,
        words: &str,
        now: Timestamp,
    ) -> Result<Outcome, VaultError> {
        let what = bounced(failure, category, now);
        // Under another name it is an address that mail was forwarded to.
        let is_gone = is_named && category.is_of_address();
        let suppress = is_gone.then_some((suppressions::Type::HardBounces, Some(what.message)));
        let outcome = self.outcome(Kind::Bounced, reached, &what, words, now).await?;
        Ok(outcome.with(self.suppression(reached, suppress, now).await?))
    }

    /// Most reports name nobody, to protect who complained: then it is known only where the mail had one recipient.
    async fn complaints(&self, report: &Complaint, now: Timestamp) -> Result<Vec<Outcome>, VaultError> {
        let Some((reached, _)) = self.recipient(&report.recipients) else {
            return Ok(Vec::new());
        };
        Ok(vec![self.complaint(reached, &report.words, now).await?])
    }

    /// The complaint of a recipient, who is suppressed for it.
    pub(super) async fn complaint(
        &self,
        reached: &Reached,
        words: &str,
        now: Timestamp,
    ) -> Result<Outcome, VaultError> {
        let what = Complained {
            complained_at: now.rfc3339(),
        };
        let suppress = Some((suppressions::Type::Complaints, None));
        let outcome = self.outcome(Kind::Complained, reached, &what, words, now).await?;
        Ok(outcome.with(self.suppression(reached, suppress, now).await?))
    }

    /// The recipient whom a provider's event is about. Where it names all recipients of a mail, it is known only if there was one.
    pub(super) fn whom(&self, whom: &Whom) -> Option<&Reached> {
        let (names, most) = match whom {
            Whom::Exactly(name) => (std::slice::from_ref(name), usize::MAX),
            Whom::OneOf(names) => (names.as_slice(), 1),
        };
        let (reached, is_named) = self.recipient(names)?;
        (is_named && self.sent.recipients.len() <= most).then_some(reached)
    }

    /// The recipient that a report calls so. Where mail is forwarded the report calls it by another name: then it is the only one, and not
    /// named.
    fn recipient(&self, names: &[String]) -> Option<(&Reached, bool)> {
        let recipients = &self.sent.recipients;
        let mut names = names.iter().filter_map(|name| Address::parse(name).ok());
        let named = names.find_map(|name| {
            let is_it = |reached: &&Reached| reached.address.canonical() == name.canonical();
            recipients.iter().find(is_it)
        });
        let only = recipients.first().filter(|_| recipients.len() == 1);
        Some((named.or(only)?, named.is_some()))
    }

    async fn suppression(
        &self,
        reached: &Reached,
        suppress: Option<(suppressions::Type, Option<&str>)>,
        at: Timestamp,
    ) -> Result<Option<Suppression>, VaultError> {
        let Some((kind, reason)) = suppress else {
            return Ok(None);
        };
        let new = Suppress {
            mode: self.sent.mode,
            address: &reached.address,
            kind,
            reason,
            email: Some(&self.email),
            at,
        };
        suppressions::prepare(&self.vault, new).await.map(Some)
    }

    async fn outcome(
        &self,
        kind: Kind,
        reached: &Reached,
        what: &(impl Serialize + Sync),
        words: &str,
        at: Timestamp,
    ) -> Result<Outcome, VaultError> {
        let about = About {
            kind: kind.event(),
            mode: self.sent.mode,
            email: Some(&self.email),
            at,
        };
        let to = reached.address.as_str();
        let event = emails::recipient_event(&self.vault, about, &self.sent.head, to, what).await?;
        let id = ReturnId::generate(at, random());
        let cell = Cell {
            table: "returns",
            column: "report_sealed",
            row: id.as_str(),
        };
        let report_sealed = self.vault.seal(Class::Logs, at, cell, words.as_bytes()).await?;
        Ok(Outcome {
            id,
            email: self.email.clone(),
            position: reached.position,
            kind,
            report_sealed: report_sealed.into(),
            at,
            event,
            suppression: None,
        })
    }
}

fn bounced(failure: &Failure, category: Category, now: Timestamp) -> Bounced<'_> {
    let message = match failure.reason.as_str() {
        "" => "the receiving system says that it was not delivered, and not why",
        reason => reason,
    };
    Bounced {
        bounce_type: if category.is_hard() { "hard" } else { "soft" },
        bounce_category: category.name(),
        message,
        bounced_at: now.rfc3339(),
    }
}

/// All outcomes of one report in one commit.
pub(super) async fn record(
    platform: &Platform,
    org: &OrgId,
    outcomes: Vec<Outcome>,
) -> Result<(), ReturnError> {
    if outcomes.is_empty() {
        count(platform, "unmatched");
        return Ok(());
    }
    let outcomes = Arc::new(outcomes);
    let unit = {
        let outcomes = Arc::clone(&outcomes);
        async move |tx: &OrgTx| {
            let mut are_new = Vec::with_capacity(outcomes.len());
            for outcome in outcomes.iter() {
                are_new.push(on_outcome(tx, outcome).await?);
            }
            Ok::<_, StoreError>(are_new)
        }
    };
    let are_new = platform.store.org(org).write("email_returned", unit).await?;
    for (outcome, is_new) in outcomes.iter().zip(are_new) {
        count(platform, if is_new { outcome.kind.name() } else { "repeated" });
    }
    platform.hints.wake(JobKind::Event);
    Ok(())
}

/// What becomes of one recipient, in the unit's commit; `false` when it had become so before.
async fn on_outcome(tx: &OrgTx, outcome: &Outcome) -> Result<bool, StoreError> {
    if !store::insert(tx, outcome).await? {
        return Ok(false);
    }
    let is_news = match outcome.kind {
        Kind::Bounced => {
            emails::record_bounce(tx, &outcome.email, outcome.position, &outcome.event, outcome.at).await?
        }
        // Who complains did get it: the status stays.
        Kind::Complained => events::append(tx, &outcome.event).await.map(|_| true)?,
    };
    if let Some(suppression) = &outcome.suppression {
        suppressions::add(tx, suppression).await?;
    }
    Ok(is_news)
}
