//! Webhook endpoints, and how events reach them.
//!
//! Life of a delivery: an event's job **fans out** ([`fan_out`]): one delivery and one job per endpoint that wants the event, in one commit.
//! Each delivery is then **dispatched** ([`dispatch`]): the event's bytes, signed anew with the present time, are posted until the
//! endpoint answers 2xx or the schedule ends. Deliveries repeat after a crash; the event's id is constant, so a receiver can tell.
//!
//! Deliveries of an endpoint are numbered without a gap, and those about one e-mail keep their order: one waits until the one before it
//! has come to its end. `change` makes and changes endpoints, `secret` replaces their secrets, `request` is what else a request carries,
//! `gates` keep endpoints from slowing each other, `schedule` says when again, `log` shows what became of each attempt, `replay` sends again.

mod change;
mod dispatch;
mod endpoint;
mod fan_out;
mod gates;
mod log;
mod replay;
mod request;
mod samples;
mod schedule;
mod secret;
mod sign;
mod store;

pub use change::{Change, Created, Wish, change, create};
pub use endpoint::{
    DeliveryStatus, Disabled, Endpoint, Health, LastDelivery, WebhookError, delete, event_patterns, get,
    list, tls_word,
};
pub use log::{Answered, Attempt, Delivery, Filter, Log, deliveries, delivery};
pub use replay::{Scope, event as replay_event, range as replay_range, retry, sample};
pub use request::{Auth, Request, RequestRefused, RequestShown};
pub use secret::{OVERLAP, OVERLAP_MAX, Rotated, Rotation, rotate};
pub use sign::{Signatures, sign};
pub use store::ALL as STATEMENTS;

use crate::id::{Id as _, WebhookId};
use crate::platform::Platform;
use crate::platform::jobs::{Kind, Stop, Worker};
use crate::platform::net::HttpClient;
use aws_lc_rs::digest;
use std::sync::Arc;
use std::time::Duration;

/// How webhooks leave, as set by the operator.
#[derive(Debug, Clone)]
pub struct Options {
    /// Requests under way at once.
    pub concurrency_max: usize,
    /// Time for one request, answer included.
    pub timeout: Duration,
    /// The wait between two looks for due work.
    pub poll: Duration,
    /// How long an endpoint may take nothing before it is disabled.
    pub pause_after: Duration,
}

/// The webhook workers.
pub struct Webhooks {
    platform: Platform,
    options: Options,
    http: HttpClient,
    tokens: request::Tokens,
    gates: Arc<gates::Gates>,
}

impl Webhooks {
    /// Workers that are not running yet.
    pub fn new(platform: Platform, options: Options, http: HttpClient) -> Arc<Self> {
        Arc::new(Self {
            gates: gates::Gates::new(options.concurrency_max),
            platform,
            options,
            http,
            tokens: request::Tokens::default(),
        })
    }

    /// Fans out events and dispatches deliveries until stopped.
    pub async fn run(self: Arc<Self>, stop: Stop) {
        let worker = |kind| Worker {
            platform: self.platform.clone(),
            kind,
            concurrency_max: self.options.concurrency_max,
            poll: self.options.poll,
        };
        let (fanning, dispatching, replaying) = (Arc::clone(&self), Arc::clone(&self), Arc::clone(&self));
        // Those that hang have given their slots back and are still under way.
        let deliveries = Worker {
            concurrency_max: self.options.concurrency_max * (1 + gates::HANGING_PER_SLOT),
            ..worker(Kind::Webhook)
        };
        let events =
            worker(Kind::Event).run_batches(stop.clone(), move |jobs| Arc::clone(&fanning).fan_out(jobs));
        let deliveries = deliveries.run_each(stop.clone(), move |job| Arc::clone(&dispatching).dispatch(job));
        let replays = worker(Kind::Replay).run_each(stop, move |job| Arc::clone(&replaying).replay(job));
        tokio::join!(events, deliveries, replays);
    }
}

/// The part of an endpoint's jobs: all of them are one lane.
fn lane(webhook: &WebhookId) -> i64 {
    let digest = digest::digest(&digest::SHA256, webhook.as_str().as_bytes());
    let first = digest.as_ref().first_chunk().copied().unwrap_or_default();
    i64::from_be_bytes(first)
}
