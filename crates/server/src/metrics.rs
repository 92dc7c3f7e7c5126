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

/// Declares each metric once: its field, its type, its first value, and the help that Prometheus shows.
macro_rules! metrics {
    ($( $(#[doc = $doc:literal])* $name:ident: $type:ty = $first:expr, $help:literal; )*) => {
        /// All metrics of this process.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $( $(#[doc = $doc])* pub $name: $type, )*
        }

        impl Default for Metrics {
            fn default() -> Self {
                let mut registry = Registry::with_prefix("sealwright");
                $(
                    let $name: $type = $first;
                    registry.register(stringify!($name), $help, $name.clone());
                )*
                Self { registry, $( $name, )* }
            }
        }
    };
}

type ByKind<T> = Family<KindLabel, T>;

metrics! {
    /// HTTP requests answered.
    requests: Family<RequestLabels, Counter> = Family::default(), "HTTP requests answered";
    /// Seconds from the end of a request's head to its answer.
    request_seconds: Histogram = Histogram::new(exponential_buckets(0.0005, 2.0, 16)), "Seconds to answer a request";
    /// Connections that are open now.
    connections: Gauge = Gauge::default(), "Connections open";
    /// Connections that we closed, or gave no slot, by reason.
    connections_closed: ByKind<Counter> = Family::default(), "Connections closed or turned away by the edge";
    /// Requests refused at the edge, by reason.
    requests_refused: ByKind<Counter> = Family::default(), "Requests refused at the edge";
    /// Seconds until the certificate that is shown ends.
    certificate_expires_seconds: Gauge = Gauge::default(), "Seconds until the certificate ends";
    /// Changed certificate files: loaded, refused.
    certificate_reloads: ByKind<Counter> = Family::default(), "Changed certificate files by result";
    /// Certificates asked for by ACME: succeeded, failed.
    acme_orders: ByKind<Counter> = Family::default(), "Certificates asked for by ACME by result";
    /// E-mails accepted.
    emails_accepted: Counter = Counter::default(), "E-mails accepted for sending";
    /// Outcomes per recipient: delivered, deferred, bounced, failed, suppressed.
    outcomes: ByKind<Counter> = Family::default(), "Delivery outcomes per recipient";
    /// Recipients that were accepted and that nothing will become of, as the last round of looking found: missing (no row), stranded (no job).
    recipients_unaccounted: ByKind<Gauge> = Family::default(), "Accepted recipients that nothing will become of";
    /// Whether DNS answers can be proven: 1 for off, untried, proven or blind. DANE is in force while it is proven.
    dnssec_path: ByKind<Gauge> = Family::default(), "Whether DNS answers can be proven by DNSSEC";
    /// What connections to mail hosts had to guarantee: clear, opportunistic, encrypted, pkix, dane; none where nothing may be sent now.
    transport_plans: ByKind<Counter> = Family::default(), "What connections to mail hosts had to guarantee";
    /// Policies (MTA-STS) asked for: fetched, invalid, refused, or why the host could not be reached.
    sts_policies: ByKind<Counter> = Family::default(), "Policies of receiving domains by result";
    /// Reports of TLS to receiving domains, each once a day: sent, unwanted (they ask for none), failed (tried again).
    tls_reports_made: ByKind<Counter> = Family::default(), "Reports of TLS to receiving domains by result";
    /// Results of TLS that were not counted, because there were too many different ones.
    tls_results_dropped: Counter = Counter::default(), "Results of TLS that were not counted";
    /// Attempts found without an outcome after a crash.
    in_doubt: Counter = Counter::default(), "Attempts whose outcome was never recorded";
    /// Destinations that mail went to lately: open, closed (left alone for a while).
    lanes: ByKind<Gauge> = Family::default(), "Destinations of mail by whether they are open";
    /// Messages that failed the check before sending, by what was wrong: octets, structure, content, signature.
    lint_findings: ByKind<Counter> = Family::default(), "Messages held by the check before sending";
    /// Alerts that go on: queue_stalled.
    alerts: ByKind<Gauge> = Family::default(), "Alerts that go on, by kind";
    /// What came to return paths: bounced, complained, repeated (known already), unmatched (no such e-mail or recipient), other (no report), and refused at the door: forged, old.
    returns: ByKind<Counter> = Family::default(), "What came to return paths by result";
    /// Reports on TLS to our own host: counted, repeated (known already), foreign (not about it, or too old), and not taken: unproved (no signature of their submitter), undecided (its key could not be looked up), unreadable, too_many.
    tls_reports: ByKind<Counter> = Family::default(), "Reports on TLS by result";
    /// Sessions that counted reports on TLS tell of: success, or why they failed.
    tls_report_sessions: ByKind<Counter> = Family::default(), "Sessions that reports on TLS tell of by result";
    /// Webhook requests: succeeded, failed.
    webhook_requests: ByKind<Counter> = Family::default(), "Webhook requests by result";
    /// API keys burned, by the channel on which they were seen.
    keys_exposed: ByKind<Counter> = Family::default(), "API keys burned by channel";
    /// Notices to security contacts: sent, capped (there were as many of this kind today as there may be), nobody (no contact or no sender is set), gone (what it tells of was forgotten).
    notices: ByKind<Counter> = Family::default(), "Notices to security contacts by result";
    /// Requests by what their quota said: admitted, refused; by_share are decisions without the store.
    quota_decisions: ByKind<Counter> = Family::default(), "Requests by what their quota said";
    /// What the guards did: try_refused, network_blocked (wrong credentials); request_refused, network_banned (attacks).
    guard_decisions: ByKind<Counter> = Family::default(), "Refusals, blocks and bans of networks";
    /// Jobs that are due and not leased, by kind.
    jobs_due: ByKind<Gauge> = Family::default(), "Jobs due and not leased";
    /// Seconds that the oldest due job has been waiting, by kind.
    jobs_oldest_due_seconds: ByKind<Gauge<f64, AtomicU64>> = Family::default(), "Seconds the oldest due job has waited";
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
