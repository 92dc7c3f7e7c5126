//! Reports of other mail systems on TLS towards a domain (RFC 8460), as they come in mail.
//!
//! A report is JSON, mostly packed. What unpacks without an end, lists without an end or nests
//! without an end is refused while it is read, not after; names that are not known are passed over.

use super::entity::Entity;
use flate2::read::GzDecoder;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, de};
use std::fmt;
use std::io::Read as _;
use std::marker::PhantomData;

/// Octets of a report as it comes.
pub const PACKED_OCTETS_MAX: usize = 1024 * 1024;
/// Octets of an unpacked report.
pub const UNPACKED_OCTETS_MAX: usize = 10 * 1024 * 1024;
/// How many times its size a report may unpack to; real ones come to a tenth of it.
pub const UNPACKED_RATIO_MAX: usize = 100;
/// Policies that one report tells of.
pub const POLICIES_MAX: usize = 1000;
/// Kinds of failure that are told of one policy.
pub const FAILURES_MAX: usize = 1000;
/// Octets of one text that is kept.
pub const TEXT_OCTETS_MAX: usize = 255;
/// Sessions that one number of a report may stand for, so that sums of them can't overflow.
pub const SESSIONS_MAX: u64 = 1_000_000_000_000;

/// Which policy senders found (RFC 8460 §4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyKind {
    /// TLSA records (DANE).
    Tlsa,
    /// A policy of MTA-STS.
    Sts,
    /// None.
    None,
    /// One that RFC 8460 does not know.
    Other,
}

impl PolicyKind {
    /// The report's word for it; `other` for what has none.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tlsa => "tlsa",
            Self::Sts => "sts",
            Self::None => "no-policy-found",
            Self::Other => "other",
        }
    }

    fn of(word: &str) -> Self {
        let known = [Self::Tlsa, Self::Sts, Self::None];
        let found = known.into_iter().find(|kind| kind.name() == word);
        found.unwrap_or(Self::Other)
    }
}

/// Results that sessions fail with (RFC 8460 §4.3).
const RESULTS: [&str; 13] = [
    "starttls-not-supported",
    "certificate-host-mismatch",
    "certificate-expired",
    "certificate-not-trusted",
    "validation-failure",
    "tlsa-invalid",
    "dnssec-invalid",
    "dane-required",
    "sts-policy-fetch-error",
    "sts-policy-invalid",
    "sts-webpki-invalid",
    "unspecified",
    "other",
];

/// Sessions that failed in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsFailure {
    /// Why: a word of RFC 8460 §4.3; `other` for words of other makes, `unspecified` where a
    /// report counts more failures than it explains.
    pub result: &'static str,
    /// How many.
    pub sessions: u64,
}

/// What a report tells of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPolicy {
    /// Which kind it is.
    pub kind: PolicyKind,
    /// Whose policy it is, in lower case.
    pub domain: String,
    /// Sessions that were encrypted as the policy wants.
    pub successful: u64,
    /// Sessions that were not; they add up to what the report counts as failed, or to more.
    pub failures: Vec<TlsFailure>,
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsReport {
    /// The reporter's own name for it.
    pub id: String,
    /// When the time it is about begins (RFC 3339).
    pub start: String,
    /// What it tells, by policy.
    pub policies: Vec<TlsPolicy>,
}

/// Why a message is not read as a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsReportError {
    /// It brings no report.
    #[error("the message holds no TLS report (RFC 8460)")]
    Absent,
    /// The report is too large, packed or unpacked.
    #[error("the TLS report is too large")]
    TooLarge,
    /// It can't be unpacked.
    #[error("the TLS report can't be unpacked")]
    Packing,
    /// Its JSON is not that of a report, or holds more of something than is read.
    #[error("the TLS report is not in the form of RFC 8460, or lists too much")]
    Form,
}

impl TlsReport {
    /// Reads the report that a message brings, in its first part of the right type.
    ///
    /// # Errors
    /// [`TlsReportError`] when there is none that can be read.
    pub fn of_message(message: &[u8]) -> Result<Self, TlsReportError> {
        for part in Entity::of(message).parts() {
            let is_packed = match part.kind().as_str() {
                "application/tlsrpt+gzip" => true,
                "application/tlsrpt+json" => false,
                _ => continue,
            };
            let octets = part.octets(PACKED_OCTETS_MAX + 1);
            if octets.len() > PACKED_OCTETS_MAX {
                return Err(TlsReportError::TooLarge);
            }
            return if is_packed {
                Self::parse(&unpacked(&octets)?)
            } else {
                Self::parse(&octets)
            };
        }
        Err(TlsReportError::Absent)
    }

    /// Reads the JSON of a report.
    ///
    /// # Errors
    /// [`TlsReportError::Form`] when it is not that of a report, or lists too much.
    pub fn parse(json: &[u8]) -> Result<Self, TlsReportError> {
        let wire: Wire = serde_json::from_slice(json).map_err(|_| TlsReportError::Form)?;
        let policies = wire.policies.0.into_iter().map(TlsPolicy::from).collect();
        Ok(Self {
            id: wire.report_id.0,
            start: wire.date_range.start.0,
            policies,
        })
    }
}

/// The domain that says it submits the report: the field that RFC 8460 §5.3 asks for or, where it
/// is missing, the author's. In lower case; whether it is true, a signature has to show.
#[must_use]
pub fn tls_report_submitter(message: &[u8]) -> Option<String> {
    let header = Entity::of(message);
    let fields = header.fields();
    let author = || {
        let (_, domain) = fields.get("from")?.rsplit_once('@')?;
        domain.split(['>', ' ', '(']).next()
    };
    let domain = fields.get("tls-report-submitter").or_else(author)?;
    let domain = domain.trim().trim_end_matches('.').to_ascii_lowercase();
    (1..=TEXT_OCTETS_MAX).contains(&domain.len()).then_some(domain)
}

/// Undoes gzip, no further than a report may reach.
fn unpacked(packed: &[u8]) -> Result<Vec<u8>, TlsReportError> {
    let most = UNPACKED_OCTETS_MAX.min(packed.len().saturating_mul(UNPACKED_RATIO_MAX));
    let mut octets = Vec::new();
    let mut reader = GzDecoder::new(packed).take(most as u64 + 1);
    reader
        .read_to_end(&mut octets)
        .map_err(|_| TlsReportError::Packing)?;
    if octets.len() > most {
        return Err(TlsReportError::TooLarge);
    }
    Ok(octets)
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Wire {
    date_range: DateRange,
    report_id: Text,
    policies: Bounded<Told, POLICIES_MAX>,
}

#[derive(Deserialize)]
struct DateRange {
    #[serde(rename = "start-datetime")]
    start: Text,
}

#[derive(Deserialize)]
struct Told {
    policy: Named,
    summary: Summary,
    #[serde(rename = "failure-details", default)]
    failures: Bounded<Failed, FAILURES_MAX>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Named {
    policy_type: Text,
    policy_domain: Text,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Summary {
    total_successful_session_count: Sessions,
    total_failure_session_count: Sessions,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Failed {
    result_type: Text,
    failed_session_count: Sessions,
}

impl From<Told> for TlsPolicy {
    fn from(told: Told) -> Self {
        let mut failures: Vec<TlsFailure> = Vec::new();
        let mut add = |result: &'static str, sessions: u64| match failures
            .iter_mut()
            .find(|known| known.result == result)
        {
            Some(known) => known.sessions += sessions,
            None => failures.push(TlsFailure { result, sessions }),
        };
        let mut explained = 0_u64;
        for failed in &told.failures.0 {
            let sessions = failed.failed_session_count.0;
            explained += sessions;
            let known = RESULTS.into_iter().find(|known| *known == failed.result_type.0);
            add(known.unwrap_or("other"), sessions);
        }
        let total = told.summary.total_failure_session_count.0;
        if total > explained {
            add("unspecified", total - explained);
        }
        Self {
            kind: PolicyKind::of(&told.policy.policy_type.0),
            domain: told
                .policy
                .policy_domain
                .0
                .trim_end_matches('.')
                .to_ascii_lowercase(),
            successful: told.summary.total_successful_session_count.0,
            failures,
        }
    }
}

/// A text that is not empty and not longer than [`TEXT_OCTETS_MAX`].
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if (1..=TEXT_OCTETS_MAX).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(D::Error::custom("a text that is empty or too long"))
        }
    }
}

/// A number of sessions.
struct Sessions(u64);

impl<'de> Deserialize<'de> for Sessions {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let sessions = u64::deserialize(from)?;
        if sessions <= SESSIONS_MAX {
            Ok(Self(sessions))
        } else {
            Err(D::Error::custom("more sessions than there are"))
        }
    }
}

/// A list that is given up at the first element too many.
struct Bounded<T, const MOST: usize>(Vec<T>);

impl<T, const MOST: usize> Default for Bounded<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Bounded<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Elements<T, const MOST: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Elements<T, MOST> {
            type Value = Bounded<T, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MOST}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = from.next_element()? {
                    if elements.len() == MOST {
                        return Err(de::Error::custom("too many elements"));
                    }
                    elements.push(element);
                }
                Ok(Bounded(elements))
            }
        }

        from.deserialize_seq(Elements(PhantomData))
    }
}
