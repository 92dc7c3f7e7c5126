//! From an event in the store to the receiver's 2xx and its durable record.
//!
//! To have nothing else in the figure, the events are there first: e-mails are accepted in test mode while no worker runs, each with one
//! event that one endpoint wants. Then the webhook workers start as a new process would, and the clock runs until the last
//! delivery is recorded and the workers have ended. Handing events to endpoints, signing, TLS and all commits are part of it.

use super::super::ground::{Account, Ground};
use super::super::meter::{Measured, Meter};
use super::super::{BenchError, failed};
use super::accept::{Sending, Until, send};
use super::wait_for;
use crate::app::Roles;
use crate::features::webhooks;
use crate::metrics::KindLabel;
use crate::platform::Platform;
use crate::platform::jobs::{Jobs, Kind};

/// Events per second that the first round prepares for; later rounds know better.
const FIRST_GUESS_PER_S: f64 = 4000.0;
/// Tasks that accept the e-mails whose events are sent.
const SEEDING_TASKS: u64 = 128;
/// Bytes of those e-mails: webhooks do not carry bodies.
const SEED_BODY_BYTES: usize = 200;

/// An account with one endpoint; an instance is started for each round.
pub(super) struct Webhook<'a> {
    ground: &'a Ground,
    account: Account,
    expected_per_s: f64,
}

impl<'a> Webhook<'a> {
    pub(super) async fn start(ground: &'a Ground) -> Result<Self, BenchError> {
        let (platform, _lock) = ground.open().await?;
        let account = ground.account(&platform).await?;
        let url = format!("https://localhost:{}/", ground.receiver.address.port());
        let wish = webhooks::Wish::new(&url, &["email.sent"]);
        webhooks::create(&platform, &account.test, wish)
            .await
            .map_err(failed("the endpoint"))?;
        Ok(Self {
            ground,
            account,
            expected_per_s: FIRST_GUESS_PER_S,
        })
    }

    pub(super) async fn round(&mut self, round: u64) -> Result<Measured, BenchError> {
        let (platform, lock) = self.ground.open().await?;
        let events = self.seed(&platform, round).await?;
        let roles = Roles {
            api: false,
            delivery: false,
            webhooks: true,
        };
        let received_before = self.ground.receiver.count();
        let meter = Meter::start()?;
        let config = &self.ground.config;
        let running =
            crate::app::start_on(config, roles, axum::Router::new(), platform.clone(), lock).await?;
        let succeeded = platform
            .metrics
            .webhook_requests
            .get_or_create(&KindLabel { kind: "succeeded" })
            .clone();
        let waited = wait_for("the webhooks", || succeeded.get() >= events).await;
        // Returns when the last record is committed.
        running.stop().await;
        waited?;
        let measured = meter.stop(events, Vec::new())?;
        self.check(&platform, self.ground.receiver.count() - received_before, events)
            .await?;
        self.expected_per_s = measured.rate_per_s();
        Ok(measured)
    }

    /// Stores about as many events as the period will take.
    async fn seed(&self, platform: &Platform, round: u64) -> Result<u64, BenchError> {
        let wanted = self.expected_per_s * self.ground.options.period.as_secs_f64();
        let sending = Sending {
            tasks: SEEDING_TASKS as usize,
            body_bytes: SEED_BODY_BYTES,
            seed: 400 + round,
            until: Until::Each((wanted as u64 / SEEDING_TASKS).max(1)),
            first: 0,
            domain: None,
        };
        Ok(send(platform, &self.account.test, sending).await?.units)
    }

    /// Everything was received, once, and nothing is left to do.
    async fn check(&self, platform: &Platform, received: u64, events: u64) -> Result<(), BenchError> {
        let what = "the webhooks";
        if received != events {
            return Err(failed(what)(format!(
                "{events} were sent and {received} received"
            )));
        }
        let jobs = Jobs::new(platform.store.clone(), platform.node.clone());
        let backlog = jobs.backlog(platform.clock.now()).await.map_err(failed(what))?;
        let left = backlog
            .iter()
            .find(|backlog| matches!(backlog.kind, Kind::Event | Kind::Webhook) && backlog.due > 0);
        match left {
            Some(left) => Err(failed(what)(format!(
                "{} jobs of kind {} were left",
                left.due,
                left.kind.name()
            ))),
            None => Ok(()),
        }
    }
}
