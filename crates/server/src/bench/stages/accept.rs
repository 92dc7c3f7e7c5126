//! Accepting: with HTTPS and without.

use super::super::client::{Load, Target, post_letters};
use super::super::ground::{Account, Ground};
use super::super::letter::{Chance, Letter};
use super::super::meter::{Measured, Meter, Stopwatch, micros};
use super::super::{BenchError, failed};
use crate::app::{Roles, Running, StoreLock};
use crate::features::emails::{self, Fresh, Sent};
use crate::features::keys::Caller;
use crate::platform::Platform;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// An instance that answers the API and delivers nothing.
pub(super) struct Accept<'a> {
    ground: &'a Ground,
    running: Running,
    target: Target,
}

impl<'a> Accept<'a> {
    pub(super) async fn start(ground: &'a Ground) -> Result<Self, BenchError> {
        let roles = Roles {
            api: true,
            delivery: false,
            webhooks: false,
        };
        let running = ground.start(&ground.config, roles).await?;
        let account = ground.account(&running.platform).await?;
        let target = target(ground, &running, &account)?;
        Ok(Self {
            ground,
            running,
            target,
        })
    }

    pub(super) async fn round(&self, round: u64) -> Result<Measured, BenchError> {
        let load = Load {
            connections: self.ground.options.connections,
            period: self.ground.options.period,
            body_bytes: self.ground.options.body_bytes,
            seed: 100 + round,
        };
        let accepted = &self.running.platform.metrics.emails_accepted;
        let before = accepted.get();
        let measured = post_letters(&self.target, load).await?;
        if accepted.get() - before == measured.units {
            Ok(measured)
        } else {
            Err(failed("the accept stage")(
                "the server counted other e-mails than it answered for",
            ))
        }
    }

    pub(super) async fn stop(self) {
        self.running.stop().await;
    }
}

/// Where e-mails are posted.
pub(super) fn target(ground: &Ground, running: &Running, account: &Account) -> Result<Target, BenchError> {
    Ok(Target {
        address: running
            .address
            .ok_or_else(|| failed("the instance")("no address"))?,
        tls: Arc::clone(&ground.client_tls),
        path: "/v1/emails",
        key: Some(account.live_key.clone()),
    })
}

/// A store and a vault without an instance around them.
pub(super) struct Direct<'a> {
    ground: &'a Ground,
    platform: Platform,
    _lock: StoreLock,
    caller: Caller,
}

impl<'a> Direct<'a> {
    pub(super) async fn start(ground: &'a Ground) -> Result<Self, BenchError> {
        let (platform, lock) = ground.open().await?;
        let account = ground.account(&platform).await?;
        Ok(Self {
            ground,
            platform,
            _lock: lock,
            caller: account.live,
        })
    }

    pub(super) async fn round(&self, round: u64) -> Result<Measured, BenchError> {
        let options = &self.ground.options;
        let sending = Sending {
            tasks: options.connections,
            body_bytes: options.body_bytes,
            seed: 200 + round,
            until: Until::Elapsed(options.period),
            first: 0,
            domain: None,
        };
        send(&self.platform, &self.caller, sending).await
    }

    /// The store closes when its last user lets go.
    pub(super) async fn stop(self) {
        drop(self);
    }
}

/// When tasks that send stop.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    Elapsed(Duration),
    /// Each task has sent so many.
    Each(u64),
}

/// What tasks send that stand behind the API's door.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sending {
    pub(super) tasks: usize,
    pub(super) body_bytes: usize,
    pub(super) seed: u64,
    pub(super) until: Until,
    /// The number of the first e-mail.
    pub(super) first: u64,
    /// The domain of the e-mail with this number, where it is not one of the usual.
    pub(super) domain: Option<fn(u64) -> String>,
}

/// Sends e-mails without HTTPS, each task one at a time.
pub(super) async fn send(
    platform: &Platform,
    caller: &Caller,
    sending: Sending,
) -> Result<Measured, BenchError> {
    let fresh = Arc::new(Fresh::default());
    let mut tasks = JoinSet::new();
    let meter = Meter::start()?;
    for place in 0..sending.tasks as u64 {
        let (platform, caller, fresh) = (platform.clone(), caller.clone(), Arc::clone(&fresh));
        tasks.spawn(async move { send_until(&platform, &caller, &fresh, sending, place).await });
    }
    let mut latencies = Vec::new();
    while let Some(task) = tasks.join_next().await {
        latencies.extend(task.map_err(failed("a sending task"))??);
    }
    meter.stop(latencies.len() as u64, latencies)
}

async fn send_until(
    platform: &Platform,
    caller: &Caller,
    fresh: &Fresh,
    sending: Sending,
    place: u64,
) -> Result<Vec<u32>, BenchError> {
    let mut chance = Chance::new(sending.seed.wrapping_mul(1 << 20).wrapping_add(place));
    let clock = Stopwatch::start();
    let mut latencies = Vec::new();
    let mut number = sending.first + place;
    loop {
        let is_over = match sending.until {
            Until::Elapsed(period) => clock.elapsed() >= period,
            Until::Each(count) => latencies.len() as u64 >= count,
        };
        if is_over {
            return Ok(latencies);
        }
        let letter = Letter::write(number, sending.body_bytes, &mut chance);
        let letter = match sending.domain {
            Some(domain) => letter.to(&domain(number)),
            None => letter,
        };
        let draft = letter.draft()?;
        let sent = Stopwatch::start();
        // The answer to the caller is the door's; here an empty one is kept.
        match emails::send(platform, fresh, caller, draft, None, |_| Vec::new()).await {
            Ok(Sent::Accepted(_)) => latencies.push(micros(sent.elapsed())),
            Ok(Sent::Replayed(_)) => return Err(failed("sending")("a new e-mail was taken for a replay")),
            Err(error) => return Err(failed("sending")(error)),
        }
        number += sending.tasks as u64;
    }
}
