//! Mail that may leave through relays: asks one way after the other, as far as [`super::ways`] allows it.

use super::attempt::{AttemptError, NotStarted, Work, envelope_addresses};
use super::exchange::{Exchange, Fate, Talked};
use super::ways::{Answered, Way, Ways};
use super::wire::Step;
use super::{Delivery, Submission, schedule};
use crate::clock::Timestamp;
use crate::features::domains::Route;
use crate::features::relays::{self, Candidate, Opened, Provider, RelayMail, Said, Verdict};
use crate::features::returns;
use crate::id::RelayId;
use crate::platform::net::{Answer, HttpClient, HttpFailure};
use sealwright_mail::address::Mailbox;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Refusals of the credentials within [`LOOKED_BACK`] that take a relay out for a while…
const BROKEN_MAX: usize = 3;
/// …and so many answers of another kind without a mail being taken.
const LATER_MAX: usize = 5;
/// How far back failures count.
const LOOKED_BACK: Duration = Duration::from_secs(60);
/// How long it is out: longer each time until it takes a mail.
const OUT: [Duration; 4] = [
    Duration::from_secs(60),
    Duration::from_secs(2 * 60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
];

/// How relays are asked.
pub struct Relaying {
    http: HttpClient,
    pub(super) submission: Submission,
    base: Option<String>,
    breakers: Breakers,
}

impl Relaying {
    /// Asks over these; at `base` instead of the providers' own addresses, if there is one.
    pub fn new(http: HttpClient, submission: Submission, base: Option<String>) -> Self {
        Self {
            http,
            submission,
            base,
            breakers: Breakers::default(),
        }
    }
}

/// What a relay was asked and what became of it.
pub(super) struct Relayed {
    pub(super) exchange: Exchange,
    pub(super) answered: Answered,
}

/// How asking a relay ended; somebody may have been suppressed meanwhile.
pub(super) type Asked = Result<Relayed, BTreeMap<Vec<u8>, crate::features::suppressions::Type>>;

impl Delivery {
    /// Tries the ways of a mail until one took it or refused it for good, or none is left.
    pub(super) async fn leave(&self, work: &mut Work, message: &Arc<[u8]>) -> Result<Talked, AttemptError> {
        let from = Mailbox::parse(&work.mailed.head.from);
        let from = from.map_err(|_| AttemptError::Other("a stored sender can't be read"))?;
        let domain = from.address.domain();
        let route = self.signers.route(&self.platform, &work.job.org, domain).await?;
        let candidates = self.relays_of(work, route, domain.as_str()).await?;
        let ids = candidates.iter().map(|candidate| candidate.id.clone()).collect();
        let mut ways = Ways::new(route, work.doubt.clone(), ids);
        let mut best: Option<Exchange> = None;
        while let Some(way) = ways.next() {
            let relayed = match &way {
                Way::Direct => self.talk_about(work, message).await?.map(|exchange| Relayed {
                    answered: answered(&exchange),
                    exchange,
                }),
                Way::Relay(id) => match candidates.iter().find(|candidate| candidate.id == *id) {
                    Some(candidate) => self.ask(work, candidate, &from, message).await?,
                    None => Ok(gone(work)),
                },
            };
            let relayed = match relayed {
                Ok(relayed) => relayed,
                Err(suppressed) => return Ok(Err(suppressed)),
            };
            if relayed.exchange.is_lost {
                return Ok(Ok(relayed.exchange));
            }
            work.tried = Some((way, relayed.answered));
            ways.heard(relayed.answered);
            best = Some(better(best, relayed.exchange));
        }
        let fate = Fate::deferred("no relay is ready to take mail of this domain");
        Ok(Ok(
            best.unwrap_or_else(|| Exchange::of_all(work.open().count(), &fate))
        ))
    }

    /// The relays that may be asked now, in their order: of mail that is in doubt, only the one that may have it.
    async fn relays_of(
        &self,
        work: &Work,
        route: Route,
        domain: &str,
    ) -> Result<Vec<Candidate>, AttemptError> {
        let org = &work.job.org;
        match (&work.doubt, route) {
            (Some(Way::Direct), _) | (None, Route::Direct) => Ok(Vec::new()),
            (Some(Way::Relay(id)), _) => {
                let found = relays::candidate(&self.platform, org, id).await?;
                Ok(found.into_iter().collect())
            }
            (None, Route::Relay | Route::DirectThenRelay | Route::RelayThenDirect) => {
                let now = self.platform.clock.now();
                let all = relays::candidates(&self.platform, org, domain).await?;
                let seed = format!("{}/{}", work.email, work.job.part);
                let mut ready = relays::in_order(all, &seed);
                ready.retain(|candidate| !self.relaying.breakers.is_out(&candidate.id, now));
                Ok(ready)
            }
        }
    }

    /// Gives the mail to a relay, once.
    async fn ask(
        &self,
        work: &Work,
        candidate: &Candidate,
        from: &Mailbox,
        message: &Arc<[u8]>,
    ) -> Result<Asked, AttemptError> {
        let provider = match candidate.account.open(self.relaying.base.as_deref()) {
            Ok(Opened::Api(provider)) => provider,
            Ok(Opened::Smtp(server)) => return self.submit(work, candidate, &server, from, message).await,
            Err(_) => return Err(AttemptError::Other("a stored relay can't be read")),
        };
        let to = envelope_addresses(work.open())?;
        let signature = match self.sign(work, from, message).await? {
            Ok(signature) => signature,
            Err(finding) => {
                let (exchange, answered) = (self.held(work, &finding).await, Answered::Done);
                return Ok(Ok(Relayed { exchange, answered }));
            }
        };
        let signed = [&signature[..], &message[..]].concat();
        let key = format!("{}/{}/{}", work.email, work.job.part, candidate.id);
        let tag = returns::local_part(
            &self.platform.vault,
            &work.job.org,
            &work.email,
            work.mailed.first,
        );
        let mail = RelayMail {
            key: &key,
            tag: &tag,
            from,
            to: &to,
            signed: &signed,
        };
        let call = match provider.send(&mail, self.platform.clock.now()) {
            Ok(call) => call,
            Err(unfit) => {
                let why = unfit.to_string();
                let (fate, answered) = fate_of(&Verdict::Unfit { why }, to.len());
                let exchange = Exchange::of_all(to.len(), &fate);
                return Ok(Ok(Relayed { exchange, answered }));
            }
        };
        let host = host_of(&call.url);
        match self.mark_started(work, &Way::Relay(candidate.id.clone())).await {
            Ok(()) => {}
            Err(NotStarted::Suppressed(found)) => return Ok(Err(found)),
            Err(NotStarted::Job(error)) => {
                let (exchange, answered) = (self.not_marked(work, &error), Answered::NotTaken);
                return Ok(Ok(Relayed { exchange, answered }));
            }
        }
        let answer = relays::ask(&self.relaying.http, call).await;
        let verdict = verdict(provider.as_ref(), &answer);
        self.note(work, candidate, &verdict).await;
        let (fate, answered) = fate_of(&verdict, to.len());
        let fate = no_sooner(fate, schedule::after(&work.attempt));
        let mut exchange = Exchange::of_all(to.len(), &fate);
        exchange.is_in_doubt = answered == Answered::InDoubt;
        exchange.host = host;
        exchange.steps.push(step(&answer, fate.text()));
        Ok(Ok(Relayed { exchange, answered }))
    }

    /// Remembers how the relay does. That its status could not be written down changes nothing for the mail.
    pub(super) async fn note(&self, work: &Work, candidate: &Candidate, verdict: &Verdict) {
        let now = self.platform.clock.now();
        let (relay, kind) = (&candidate.id, candidate.kind().name());
        self.relaying.breakers.heard(relay, verdict, now);
        let are_taken = match verdict {
            Verdict::Accepted { .. } => true,
            Verdict::Broken { .. } => false,
            Verdict::Later { .. } | Verdict::Unfit { .. } | Verdict::Refused { .. } => return,
            Verdict::Unknown { .. } => {
                tracing::warn!(email = %work.email, %relay, kind, "a relay may have taken a mail; only it is asked again");
                return;
            }
        };
        if !are_taken {
            tracing::warn!(%relay, kind, "a relay's provider does not take its credentials");
        }
        let org = &work.job.org;
        if let Err(error) = relays::note_credentials(&self.platform, org, candidate, are_taken, now).await {
            tracing::warn!(%relay, %error, "a relay's status could not be written down");
        }
    }
}

/// Whether another way may be tried after hosts answered: when they took it for nobody, and refused nobody.
pub(super) fn answered(exchange: &Exchange) -> Answered {
    let is_deferred = |fate: &Fate| matches!(fate, Fate::Deferred { .. });
    if exchange.is_in_doubt {
        Answered::InDoubt
    } else if exchange.fates.iter().all(is_deferred) {
        Answered::NotTaken
    } else {
        Answered::Done
    }
}

fn verdict(provider: &dyn Provider, answer: &Result<Answer, HttpFailure>) -> Verdict {
    match answer {
        Ok(answer) => provider.verdict(&Said::from(answer)),
        Err(failure) => Verdict::of_failure(*failure),
    }
}

/// What becomes of the recipients of a request; a provider answers for all of them at once.
pub(super) fn fate_of(verdict: &Verdict, recipients: usize) -> (Fate, Answered) {
    match verdict.clone() {
        Verdict::Accepted { id } => (
            Fate::Delivered {
                reply: format!("taken as {id}"),
            },
            Answered::Done,
        ),
        Verdict::Later { why, wait } => (Fate::Deferred { reason: why, wait }, Answered::NotTaken),
        Verdict::Broken { why } => (Fate::deferred(why), Answered::NotTaken),
        Verdict::Unknown { why } => (Fate::deferred(why), Answered::InDoubt),
        Verdict::Unfit { why } => (Fate::Failed { reason: why }, Answered::NotTaken),
        Verdict::Refused { why, category } => {
            let fate = Fate::Bounced {
                reason: why,
                category,
                is_of_recipient: recipients == 1,
            };
            (fate, Answered::Done)
        }
    }
}

/// A provider may ask for a longer wait than the schedule's, and for no shorter one: many short ones would only use the schedule up.
fn no_sooner(fate: Fate, planned: Duration) -> Fate {
    match fate {
        Fate::Deferred { reason, wait } => Fate::Deferred {
            reason,
            wait: wait.filter(|wait| *wait > planned),
        },
        other => other,
    }
}

fn gone(work: &Work) -> Relayed {
    let reason = "the relay that may have taken it was deleted".to_owned();
    Relayed {
        exchange: Exchange::of_all(work.open().count(), &Fate::Failed { reason }),
        answered: Answered::Done,
    }
}

/// One way that may take the mail later outweighs all that never will; the steps of all are kept.
fn better(earlier: Option<Exchange>, mut later: Exchange) -> Exchange {
    let Some(mut earlier) = earlier else { return later };
    let is_given_up = |exchange: &Exchange| {
        let is_failed = |fate: &Fate| matches!(fate, Fate::Failed { .. });
        exchange.fates.iter().all(is_failed)
    };
    if is_given_up(&later) && !is_given_up(&earlier) {
        earlier.steps.append(&mut later.steps);
        return earlier;
    }
    let mut steps = std::mem::take(&mut earlier.steps);
    steps.append(&mut later.steps);
    later.steps = steps;
    later
}

fn host_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    rest.split(['/', ':']).next().map(str::to_owned)
}

fn step(answer: &Result<Answer, HttpFailure>, words: &str) -> Step {
    let (ms, code) = match answer {
        Ok(answer) => (answer.elapsed.as_millis(), Some(answer.status.as_u16())),
        Err(_) => (0, None),
    };
    Step {
        verb: "POST",
        ms: u64::try_from(ms).unwrap_or(u64::MAX),
        code,
        reply: words.to_owned(),
    }
}

/// Which relays are out for a while, because they failed too often. Kept by each process for itself.
#[derive(Default)]
struct Breakers {
    known: Mutex<HashMap<RelayId, Breaker>>,
}

#[derive(Default)]
struct Breaker {
    broken: VecDeque<Timestamp>,
    later: VecDeque<Timestamp>,
    /// How often it went out without taking a mail in between.
    times_out: usize,
    out_until: Option<Timestamp>,
}

impl Breakers {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RelayId, Breaker>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_out(&self, relay: &RelayId, now: Timestamp) -> bool {
        let known = self.lock();
        known
            .get(relay)
            .and_then(|breaker| breaker.out_until)
            .is_some_and(|until| now < until)
    }

    fn heard(&self, relay: &RelayId, verdict: &Verdict, now: Timestamp) {
        let mut known = self.lock();
        let breaker = known.entry(relay.clone()).or_default();
        let (failures, most) = match verdict {
            Verdict::Accepted { .. } => {
                known.remove(relay);
                return;
            }
            // Said of one mail.
            Verdict::Unfit { .. } | Verdict::Refused { .. } => return,
            Verdict::Broken { .. } => (&mut breaker.broken, BROKEN_MAX),
            Verdict::Later { .. } | Verdict::Unknown { .. } => (&mut breaker.later, LATER_MAX),
        };
        failures.push_back(now);
        failures.retain(|at| now.since(*at) < LOOKED_BACK);
        if failures.len() >= most {
            failures.clear();
            let out = OUT
                .get(breaker.times_out)
                .or(OUT.last())
                .copied()
                .unwrap_or_default();
            breaker.times_out += 1;
            breaker.out_until = Some(now.plus(out));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id as _;

    #[test]
    fn a_relay_that_fails_is_out_for_longer_each_time_until_it_takes_a_mail() {
        let relay = RelayId::generate(Timestamp::from_micros(0), [1; 10]);
        let (breakers, why) = (Breakers::default(), String::new());
        let broken = Verdict::Broken { why: why.clone() };
        let mut now = Timestamp::from_micros(0);
        for out in OUT.iter().chain(OUT.last()) {
            for _ in 0..BROKEN_MAX {
                assert!(!breakers.is_out(&relay, now));
                breakers.heard(&relay, &broken, now);
            }
            assert!(breakers.is_out(&relay, now));
            now = now.plus(*out);
            assert!(!breakers.is_out(&relay, now), "{out:?}");
        }
        breakers.heard(&relay, &Verdict::Accepted { id: why.clone() }, now);
        for n in 0..20 {
            // Slowly enough that no minute holds too many, or of single mails.
            let later = Verdict::Later {
                why: why.clone(),
                wait: None,
            };
            breakers.heard(&relay, &later, now.plus(LOOKED_BACK * n));
            breakers.heard(&relay, &Verdict::Unfit { why: why.clone() }, now);
        }
        assert!(!breakers.is_out(&relay, now.plus(LOOKED_BACK * 20)));
    }
}
