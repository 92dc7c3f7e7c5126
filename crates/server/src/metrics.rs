//! Counters and gauges in the Prometheus text format. No label holds an address, a domain of a recipient, or an organization.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// Labels of an HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route's pattern, not the path.
    pub route: String,
    /// The status code.
    pub status: u32,
}

/// One label with a fixed set of values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// The value.
    pub kind: &'static str,
}

/// All metrics of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// HTTP requests answered.
    pub requests: Family<RequestLabels, Counter>,
    /// Seconds from the end of a request's head to its answer.
    pub request_seconds: Histogram,
    /// E-mails accepted.
    pub emails_accepted: Counter,
    /// Outcomes per recipient: delivered, deferred, bounced, failed.
    pub outcomes: Family<KindLabel, Counter>,
    /// Attempts found without an outcome after a crash.
    pub in_doubt: Counter,
    /// Webhook requests: succeeded, failed.
    pub webhook_requests: Family<KindLabel, Counter>,
    /// API keys burned, by the channel on which they were seen.
    pub keys_exposed: Family<KindLabel, Counter>,
    /// Notices to security contacts: sent, nobody (no contact or no sender is set), gone (the event was forgotten).
    pub notices: Family<KindLabel, Counter>,
    /// Jobs that are due and not leased, by kind.
    pub jobs_due: Family<KindLabel, Gauge>,
    /// Seconds that the oldest due job has been waiting, by kind.
    pub jobs_oldest_due_seconds: Family<KindLabel, Gauge<f64, AtomicU64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sealwright");
        macro_rules! register {
            ($name:ident, $help:literal, $metric:expr) => {
                let $name = $metric;
                registry.register(stringify!($name), $help, $name.clone());
            };
        }
        register!(requests, "HTTP requests answered", Family::default());
        register!(
            request_seconds,
            "Seconds to answer a request",
            Histogram::new(exponential_buckets(0.0005, 2.0, 16))
        );
        register!(
            emails_accepted,
            "E-mails accepted for sending",
            Counter::default()
        );
        register!(outcomes, "Delivery outcomes per recipient", Family::default());
        register!(
            in_doubt,
            "Attempts whose outcome was never recorded",
            Counter::default()
        );
        register!(webhook_requests, "Webhook requests by result", Family::default());
        register!(keys_exposed, "API keys burned by channel", Family::default());
        register!(
            notices,
            "Notices to security contacts by result",
            Family::default()
        );
        register!(jobs_due, "Jobs due and not leased", Family::default());
        register!(
            jobs_oldest_due_seconds,
            "Seconds the oldest due job has waited",
            Family::default()
        );
        Self {
            registry,
            requests,
            request_seconds,
            emails_accepted,
            outcomes,
            in_doubt,
            webhook_requests,
            keys_exposed,
            notices,
            jobs_due,
            jobs_oldest_due_seconds,
        }
    }
}

impl Metrics {
    /// The text that `/metrics` answers with.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Encoding into a String can't fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
