//! What became of TLS on the way to receiving domains, counted for the reports that they ask for (RFC 8460 §4.2).
//!
//! One result is one new connection, or one refusal to open any. Counts are kept in memory and added to the store now and then, so that
//! a delivery costs no statement more; what a process has not added when it is killed is lost, which a sum of a day can bear.

use super::guarantee::{Guarantee, Unmet};
use super::policy::{Mode, Policy};
use super::store;
use crate::features::delivery::wire::{TlsFacts, TlsFault};
use crate::limits::TLS_RESULTS_MAX;
use crate::platform::Platform;
use crate::platform::net::Tlsa;
use crate::platform::vault::Cell;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// By what a domain demands something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Demand {
    /// TLSA records.
    Tlsa,
    /// MTA-STS.
    Sts,
    /// Nothing was found.
    NoPolicyFound,
}

/// What a domain demands, as it is told to it again.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Rule {
    pub(super) domain: String,
    pub(super) demand: Demand,
    /// The policy or the records, line by line.
    pub(super) lines: Vec<String>,
    /// The names of hosts in the policy.
    pub(super) hosts: Vec<String>,
}

/// The kinds of failures (RFC 8460 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fault {
    StarttlsNotSupported,
    CertificateHostMismatch,
    CertificateExpired,
    CertificateNotTrusted,
    ValidationFailure,
    DnssecInvalid,
    #[serde(rename = "sts-policy-fetch-error")]
    StsPolicyFetch,
    StsPolicyInvalid,
    #[serde(rename = "sts-webpki-invalid")]
    StsWebPkiInvalid,
}

impl From<TlsFault> for Fault {
    fn from(fault: TlsFault) -> Self {
        match fault {
            TlsFault::NotOffered => Self::StarttlsNotSupported,
            TlsFault::HostMismatch => Self::CertificateHostMismatch,
            TlsFault::Expired => Self::CertificateExpired,
            TlsFault::NotTrusted => Self::CertificateNotTrusted,
            TlsFault::Other => Self::ValidationFailure,
        }
    }
}

/// A failure, and at which host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) fault: Fault,
    pub(super) host: Option<String>,
    pub(super) address: Option<String>,
}

impl Failure {
    /// One that happened at no host.
    pub(super) fn of(fault: Fault) -> Self {
        Self {
            fault,
            host: None,
            address: None,
        }
    }
}

impl Rule {
    /// A policy that could not be read.
    pub(super) fn unread_policy(domain: &str) -> Self {
        Self {
            domain: domain.to_owned(),
            demand: Demand::Sts,
            lines: Vec::new(),
            hosts: Vec::new(),
        }
    }

    fn of_policy(domain: &str, policy: &Policy) -> Self {
        Self {
            lines: policy.lines.clone(),
            hosts: policy.hosts.clone(),
            ..Self::unread_policy(domain)
        }
    }

    fn of_records(domain: &str, records: &[Tlsa]) -> Self {
        Self {
            demand: Demand::Tlsa,
            lines: records.iter().map(presented).collect(),
            ..Self::unread_policy(domain)
        }
    }

    fn without_policy(domain: &str) -> Self {
        Self {
            demand: Demand::NoPolicyFound,
            ..Self::unread_policy(domain)
        }
    }
}

/// A TLSA record as zone files write it (RFC 6698 §2.2).
fn presented(record: &Tlsa) -> String {
    let (usage, selector, matching) = record.numbers();
    let mut text = format!("{usage} {selector} {matching} ");
    for octet in &record.data {
        // Writing to a string can't fail.
        let _ = write!(text, "{octet:02x}");
    }
    text
}

/// What is counted of the connections to one host.
#[derive(Clone)]
pub(in crate::features::delivery) struct Expected {
    rule: Arc<Rule>,
    /// The domain tries a policy: whether it names this host.
    tried: Option<bool>,
}

impl Expected {
    /// What a domain expects of connections that have this guarantee.
    pub(super) fn of(domain: &str, host: &str, guarantee: &Guarantee, sts: Option<&Policy>) -> Self {
        let tried = |policy: &Policy| (policy.mode == Mode::Testing).then(|| policy.permits(host));
        let (rule, tried) = match (guarantee, sts) {
            (Guarantee::Dane(dane), _) => (Rule::of_records(domain, &dane.records), None),
            (Guarantee::Encrypted, _) => (Rule::of_records(domain, &[]), None),
            (_, Some(policy)) => (Rule::of_policy(domain, policy), tried(policy)),
            (_, None) => (Rule::without_policy(domain), None),
        };
        Self {
            rule: Arc::new(rule),
            tried,
        }
    }
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    day: i64,
    rule: Arc<Rule>,
    failure: Option<Failure>,
}

/// A sum as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Sum {
    pub(super) rule: Rule,
    pub(super) failure: Option<Failure>,
}

/// The counts of this process that are not in the store yet.
pub(in crate::features::delivery) struct Results {
    platform: Platform,
    is_wanted: bool,
    counts: Mutex<HashMap<Key, i64>>,
}

impl Results {
    /// Counts nothing unless it is wanted.
    pub(super) fn new(platform: Platform, is_wanted: bool) -> Arc<Self> {
        Arc::new(Self {
            platform,
            is_wanted,
            counts: Mutex::default(),
        })
    }

    /// A connection came about: encrypted, or not because of a fault that was met before.
    pub(in crate::features::delivery) fn opened(
        &self,
        expected: &Expected,
        [host, address]: [&str; 2],
        tls: Option<&TlsFacts>,
        fault: Option<TlsFault>,
    ) {
        let failure = judged(expected.tried, tls, fault).map(|fault| Failure {
            fault,
            host: Some(host.to_owned()),
            address: Some(address.to_owned()),
        });
        self.count(&expected.rule, failure);
    }

    /// No connection came about, because TLS did not do what it has to.
    pub(in crate::features::delivery) fn failed(
        &self,
        expected: &Expected,
        [host, address]: [&str; 2],
        fault: TlsFault,
    ) {
        // What only the sender demands is no failure of the domain's.
        if expected.rule.demand == Demand::NoPolicyFound && fault != TlsFault::NotOffered {
            return;
        }
        let failure = Failure {
            fault: fault.into(),
            host: Some(host.to_owned()),
            address: Some(address.to_owned()),
        };
        self.count(&expected.rule, Some(failure));
    }

    /// Nothing may be sent to a host.
    pub(super) fn unmet(&self, domain: &str, host: &str, unmet: &Unmet, sts: Option<&Policy>) {
        let (rule, fault) = match (unmet, sts) {
            (Unmet::Name, Some(policy)) => (Rule::of_policy(domain, policy), Fault::ValidationFailure),
            (Unmet::Records(_), _) | (Unmet::Name, None) => {
                (Rule::of_records(domain, &[]), Fault::DnssecInvalid)
            }
        };
        let failure = Failure {
            host: Some(host.to_owned()),
            ..Failure::of(fault)
        };
        self.count(&Arc::new(rule), Some(failure));
    }

    /// A policy could not be read.
    pub(super) fn unread(&self, domain: &str, fault: Fault) {
        self.count(&Arc::new(Rule::unread_policy(domain)), Some(Failure::of(fault)));
    }

    fn count(&self, rule: &Arc<Rule>, failure: Option<Failure>) {
        if !self.is_wanted {
            return;
        }
        let key = Key {
            day: self.platform.clock.now().day(),
            rule: Arc::clone(rule),
            failure,
        };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = counts.len() < TLS_RESULTS_MAX;
        match counts.get_mut(&key) {
            Some(count) => *count += 1,
            None if has_room => {
                counts.insert(key, 1);
            }
            None => {
                self.platform.metrics.tls_results_dropped.inc();
            }
        }
    }

    /// Adds the counts to the store. What can't be added now is kept for the next time.
    pub(in crate::features::delivery) async fn flush(&self) {
        let counts = std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        if counts.is_empty() {
            return;
        }
        let rows: Vec<store::ResultRow> = counts
            .iter()
            .filter_map(|(key, count)| self.row(key, *count))
            .collect();
        if let Err(error) = store::add_results(&self.platform.store, rows).await {
            tracing::warn!(%error, "results of TLS could not be stored; they are kept in memory");
            let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, count) in counts {
                *all.entry(key).or_default() += count;
            }
        }
    }

    fn row(&self, key: &Key, count: i64) -> Option<store::ResultRow> {
        let sum = Sum {
            rule: Rule::clone(&key.rule),
            failure: key.failure.clone(),
        };
        // Texts only: this can't fail.
        let json = serde_json::to_string(&sum).unwrap_or_default();
        let vault = &self.platform.vault;
        let (destination, result) = (vault.destination(&sum.rule.domain), vault.destination(&json));
        let row = row(key.day, destination, result);
        let sealed = vault.seal_own(cell(&row), json.as_bytes()).ok()?;
        Some(store::ResultRow {
            day: key.day,
            destination,
            result,
            sealed: sealed.into(),
            sessions: count,
        })
    }
}

/// What is wrong with a connection that came about. Without a policy any encryption will do.
fn judged(tried: Option<bool>, tls: Option<&TlsFacts>, fault: Option<TlsFault>) -> Option<Fault> {
    match (tls, tried) {
        (None, _) => Some(fault.unwrap_or(TlsFault::NotOffered).into()),
        (Some(_), Some(false)) => Some(Fault::ValidationFailure),
        (Some(facts), Some(true)) => facts.fault.map(Fault::from),
        (Some(_), None) => None,
    }
}

/// The row of a sum, for its seal.
pub(super) fn row(day: i64, destination: i64, result: i64) -> String {
    format!("{day}/{destination}/{result}")
}

pub(super) fn cell(row: &str) -> Cell<'_> {
    Cell {
        table: "tls_results",
        column: "result_sealed",
        row,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::net::{TlsaMatching, TlsaSelector, TlsaUsage};

    #[test]
    fn a_policy_that_is_tried_fails_where_it_would_if_it_were_enforced() {
        let facts = |fault: Option<TlsFault>| TlsFacts {
            version: "TLSv1.3".to_owned(),
            cipher: String::new(),
            verified: fault.is_none(),
            problem: None,
            fault,
            peer_name: "mx.example".to_owned(),
        };
        let (good, old) = (facts(None), facts(Some(TlsFault::Expired)));
        for (tried, tls, fault, expected) in [
            (None, Some(&good), None, None),
            (None, Some(&old), None, None),
            (None, None, None, Some(Fault::StarttlsNotSupported)),
            (None, None, Some(TlsFault::Other), Some(Fault::ValidationFailure)),
            (Some(true), Some(&good), None, None),
            (Some(true), Some(&old), None, Some(Fault::CertificateExpired)),
            (Some(false), Some(&good), None, Some(Fault::ValidationFailure)),
            (Some(true), None, None, Some(Fault::StarttlsNotSupported)),
        ] {
            assert_eq!(judged(tried, tls, fault), expected, "{tried:?} {fault:?}");
        }
    }

    #[test]
    fn records_are_told_as_zone_files_write_them() {
        let record = Tlsa {
            usage: TlsaUsage::EndEntity,
            selector: TlsaSelector::Key,
            matching: TlsaMatching::Sha256,
            data: vec![0x0a, 0xff],
        };
        assert_eq!(Rule::of_records("example.com", &[record]).lines, ["3 1 1 0aff"]);
    }
}
