//! Webhook endpoints, and how events reach them.
//!
//! Life of a delivery: an event's job **fans out** ([`fan_out`]): one delivery and one job per endpoint that wants the event, in one commit.
//! Each delivery is then **dispatched** ([`dispatch`]): the event's bytes, signed anew with the present time, are posted until the
//! endpoint answers 2xx or the schedule ends. Deliveries repeat after a crash; the event's id is constant, so a receiver can tell.
//!
//! Not here yet: order per message, replay, rotation of secrets, pausing, custom headers and authentication.

mod dispatch;
mod endpoint;
mod fan_out;
mod sign;
mod store;

pub use endpoint::{
    Created, DeliveryStatus, Endpoint, Health, LastDelivery, WebhookError, create, delete, event_patterns,
    get, list,
};
pub use sign::{Signatures, sign};
pub use store::ALL as STATEMENTS;

use crate::platform::Platform;
use crate::platform::jobs::{Kind, Stop, Worker};
use crate::platform::net::HttpClient;
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
}

/// The webhook workers.
pub struct Webhooks {
    platform: Platform,
    options: Options,
    http: HttpClient,
}

impl Webhooks {
    /// Workers that are not running yet.
    pub fn new(platform: Platform, options: Options, http: HttpClient) -> Arc<Self> {
        Arc::new(Self {
            platform,
            options,
            http,
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
        let (fanning, dispatching) = (Arc::clone(&self), Arc::clone(&self));
        let events = worker(Kind::Event).run_each(stop.clone(), move |job| Arc::clone(&fanning).fan_out(job));
        let deliveries =
            worker(Kind::Webhook).run_each(stop, move |job| Arc::clone(&dispatching).dispatch(job));
        tokio::join!(events, deliveries);
    }
}
