//! What other mail systems report of TLS on the way to our own host (RFC 8460).
//!
//! A report counts when a signature (DKIM) of the domain that says it submits it holds (§3), and counts once, by the reporter's own
//! name for it. What is kept are sums by day, reporter, policy and result; of the report nothing else is. They are the
//! installation's, as its host is. Who reports is a domain that runs a mail system, and public as such: it stands in clear text.

use super::receive::{Received, ReturnError};
use super::store;
use crate::clock::Timestamp;
use crate::features::domains::{Verifier, key_hosts};
use crate::limits::{
    TLS_REPORTERS_MAX, TLS_REPORTS_A_DAY_MAX, TLS_REPORTS_BY_ONE_MAX, TLS_REPORTS_DAYS_MAX,
    TLS_REPORTS_SHOWN_MAX,
};
use crate::metrics::KindLabel;
use crate::platform::Platform;
use crate::platform::net::{Dns, DnsError};
use crate::platform::store::StoreError;
use aws_lc_rs::digest;
use sealwright_mail::report::tls::{TlsReport, tls_report_submitter};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The local part that reports are sent to.
pub(super) const LOCAL_PART: &str = "tls-reports";
/// What sessions that went well are counted as.
const SUCCESS: &str = "success";
/// Signatures of one report that are looked at.
const SIGNATURES_MAX: usize = 4;

/// Where the DNS says that reports about mail to `host` are wanted.
pub fn tls_reports_record_name(host: &str) -> String {
    format!("_smtp._tls.{host}")
}

/// The TXT record that asks for them (RFC 8460 §3).
pub fn tls_reports_record(host: &str) -> String {
    format!("v=TLSRPTv1; rua=mailto:{LOCAL_PART}@{host}")
}

/// Sessions of one day that ended alike, as one reporter counted them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsSessions {
    /// The day, as `2026-01-31`.
    pub day: String,
    /// The domain that signed the reports.
    pub reporter: String,
    /// The policy that was found: `sts`, `tlsa`, `no-policy-found` or `other`.
    pub policy: String,
    /// `success`, or why they failed (RFC 8460 §4.3).
    pub result: String,
    /// How many.
    pub sessions: i64,
}

/// What was reported lately, the newest days first.
///
/// # Errors
/// When the store can't be read.
pub async fn tls_sessions(platform: &Platform) -> Result<Vec<TlsSessions>, StoreError> {
    let oldest = platform.clock.now().day() - TLS_REPORTS_DAYS_MAX;
    store::tls_sessions(&platform.store, oldest, TLS_REPORTS_SHOWN_MAX).await
}

/// A report that is proved, ready to be counted.
pub(super) struct Proved {
    pub(super) reporter: String,
    /// A digest of the reporter's name for it: names may be of any make.
    pub(super) id: String,
    pub(super) day: i64,
    /// When it came.
    pub(super) at: Timestamp,
    /// Sessions by policy and result.
    pub(super) sessions: BTreeMap<(&'static str, &'static str), i64>,
}

/// What became of a proved report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is counted.
    New,
    /// It had been counted.
    Known,
    /// There are as many today as there may be.
    TooMany,
}

/// How much is kept, and since when.
pub(super) struct Bounds {
    pub(super) oldest_day: i64,
    pub(super) of_day: i64,
    pub(super) of_reporter: i64,
    pub(super) reporters: i64,
}

/// Takes a message that was sent to those who read reports on TLS to `host`; returns after the commit of what it says.
pub(super) async fn take(
    platform: &Platform,
    dns: &Dns,
    host: &str,
    message: Vec<u8>,
) -> Result<Received, ReturnError> {
    let reporter = match signed_by(dns, &message).await {
        Ok(Some(reporter)) => reporter,
        Ok(None) => return Ok(refused(platform, "unproved", Received::Unsigned)),
        Err(error) => {
            count(platform, "undecided");
            return Err(error);
        }
    };
    let reading = tokio::task::spawn_blocking(move || TlsReport::of_message(&message));
    let report = match reading.await.map_err(|_| ReturnError::CutOff)? {
        Ok(report) => report,
        Err(error) => return Ok(refused(platform, "unreadable", Received::NoTlsReport(error))),
    };
    let now = platform.clock.now();
    let Some(proved) = proved(&report, reporter, host, now) else {
        // About other domains, or of another time: there is nothing that would change if it came again.
        return Ok(refused(platform, "foreign", Received::Taken));
    };
    let bounds = Bounds {
        oldest_day: now.day() - TLS_REPORTS_DAYS_MAX,
        of_day: TLS_REPORTS_A_DAY_MAX,
        of_reporter: TLS_REPORTS_BY_ONE_MAX,
        reporters: TLS_REPORTERS_MAX,
    };
    let sessions = proved.sessions.clone();
    match store::keep_tls_report(&platform.store, proved, bounds).await? {
        Kept::New => {
            count(platform, "counted");
            for ((_, result), sessions) in sessions {
                let counter = platform
                    .metrics
                    .tls_report_sessions
                    .get_or_create(&KindLabel { kind: result });
                counter.inc_by(sessions.unsigned_abs());
            }
            Ok(Received::Taken)
        }
        Kept::Known => Ok(refused(platform, "repeated", Received::Taken)),
        Kept::TooMany => Ok(refused(platform, "too_many", Received::TooMany)),
    }
}

fn refused(platform: &Platform, kind: &'static str, received: Received) -> Received {
    count(platform, kind);
    received
}

fn count(platform: &Platform, kind: &'static str) {
    platform
        .metrics
        .tls_reports
        .get_or_create(&KindLabel { kind })
        .inc();
}

/// The domain whose signature holds and that the report says submits it: the same, or one above it.
async fn signed_by(dns: &Dns, message: &[u8]) -> Result<Option<String>, ReturnError> {
    let Some(submitter) = tls_report_submitter(message) else {
        return Ok(None);
    };
    let (mut published, mut unknown) = (Vec::new(), None::<DnsError>);
    for (domain, key_host) in key_hosts(message).into_iter().take(SIGNATURES_MAX) {
        if !is_of(&submitter, &domain) {
            continue;
        }
        match dns.lookup_txt(&key_host).await {
            Ok(texts) => published.extend(texts.into_iter().take(1).map(|text| (key_host.clone(), text))),
            Err(error) => unknown = Some(error),
        }
    }
    let verifier = Verifier::new().map_err(|_| ReturnError::CutOff)?;
    let mut signers = verifier.signers(message, &published).into_iter();
    match (signers.find(|signer| is_of(&submitter, signer)), unknown) {
        (Some(signer), _) => Ok(Some(signer)),
        (None, Some(error)) => Err(ReturnError::Key(error)),
        (None, None) => Ok(None),
    }
}

/// Whether `name` is `domain`, or is below it; a domain has two labels at least.
fn is_of(name: &str, domain: &str) -> bool {
    let above = name.strip_suffix(domain);
    domain.contains('.') && above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

/// What the report says of `host`, on a day that is looked at.
fn proved(report: &TlsReport, reporter: String, host: &str, now: Timestamp) -> Option<Proved> {
    let day = Timestamp::parse_instant(&report.start)?.day();
    if day > now.day() || day < now.day() - TLS_REPORTS_DAYS_MAX {
        return None;
    }
    let mut sessions: BTreeMap<(&'static str, &'static str), i64> = BTreeMap::new();
    for policy in report.policies.iter().filter(|policy| policy.domain == host) {
        let kind = policy.kind.name();
        let all = policy
            .failures
            .iter()
            .map(|failure| (failure.result, failure.sessions));
        for (result, count) in all.chain([(SUCCESS, policy.successful)]) {
            let sum = sessions.entry((kind, result)).or_default();
            *sum = sum.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
    let digest = digest::digest(&digest::SHA256, report.id.as_bytes());
    (!sessions.is_empty()).then(|| Proved {
        reporter,
        id: digest
            .as_ref()
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect(),
        day,
        at: now,
        sessions,
    })
}

#[cfg(test)]
mod tests {
    use super::is_of;

    #[test]
    fn a_signature_is_of_the_same_domain_or_one_above() {
        for (name, domain, is) in [
            ("portal.example", "portal.example", true),
            ("mail.portal.example", "portal.example", true),
            ("portal.example", "mail.portal.example", false),
            ("evilportal.example", "portal.example", false),
            ("portal.example", "example", false),
            ("portal.example", "", false),
        ] {
            assert_eq!(is_of(name, domain), is, "{name} {domain}");
        }
    }
}
