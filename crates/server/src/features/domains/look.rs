//! Looks at what the DNS shows of a domain, record by record, and says what to do about it.

use super::{Domain, Names, Record, RecordPurpose, RecordType};
use crate::limits::{DNS_FOUND_CHARS_MAX, DNS_FOUND_MAX};
use crate::platform::net::{Dns, DnsError, Guard, MxAnswer};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long the servers with authority may take to be found, and each look after that.
const LOOK_TIMEOUT: Duration = Duration::from_secs(12);
/// Labels that are looked at when a policy is searched above a domain (RFC 9989 §4.10).
const TREE_WALK_MAX: usize = 8;

/// What the DNS shows of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shows {
    /// It was not looked at yet, or the DNS did not answer.
    Pending,
    /// What it should.
    Verified,
    /// Nothing.
    Missing,
    /// Something else.
    Failed,
}

impl Shows {
    /// All of them.
    pub const ALL: [Shows; 4] = [Self::Pending, Self::Verified, Self::Missing, Self::Failed];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verified => "verified",
            Self::Missing => "missing",
            Self::Failed => "failed",
        }
    }

    pub(super) fn badness(self) -> u8 {
        match self {
            Self::Verified => 0,
            Self::Pending => 1,
            Self::Missing => 2,
            Self::Failed => 3,
        }
    }
}

/// What was found of one record, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The record's name.
    pub host: String,
    /// The record's type, as zone files write it.
    pub kind: String,
    /// The record's purpose, by name.
    pub purpose: String,
    /// What the DNS shows.
    pub shows: Shows,
    /// What is there, if it is not what it should be, or is worth showing.
    pub found: Vec<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// What one look came to, before it is written down.
struct Seen {
    shows: Shows,
    found: Vec<String>,
    advice: Option<String>,
}

impl Seen {
    fn verified(found: Vec<String>) -> Self {
        Self {
            shows: Shows::Verified,
            found,
            advice: None,
        }
    }

    fn missing(advice: impl Into<String>) -> Self {
        Self {
            shows: Shows::Missing,
            found: Vec::new(),
            advice: Some(advice.into()),
        }
    }

    fn failed(found: Vec<String>, advice: impl Into<String>) -> Self {
        Self {
            shows: Shows::Failed,
            found,
            advice: Some(advice.into()),
        }
    }
}

/// Whom to ask.
#[derive(Clone)]
pub(super) struct Resolvers {
    pub(super) recursive: Dns,
    pub(super) guard: Guard,
}

/// Looks at all records of a domain at once. What can't be known now is as it was found before.
pub(super) async fn look(resolvers: &Resolvers, names: &Names, domain: &Domain) -> Vec<Finding> {
    let authority = resolvers.recursive.authority_over(&domain.name, &resolvers.guard);
    let authority = timeout(LOOK_TIMEOUT, authority)
        .await
        .unwrap_or(Err(DnsError::SILENT));
    let mut looks = JoinSet::new();
    for (place, record) in domain.records(names).into_iter().enumerate() {
        let key = domain
            .keys
            .iter()
            .find(|key| record.host.split('.').next() == Some(&key.selector))
            .map(|key| key.public_record.clone());
        let look = Look {
            recursive: resolvers.recursive.clone(),
            authority: authority.clone(),
            domain: domain.name.clone(),
            mechanism: names.spf_mechanism(),
            key,
            record,
        };
        looks.spawn(async move { (place, look.see().await) });
    }
    let mut findings = Vec::new();
    while let Some(look) = looks.join_next().await {
        // A look that panicked found nothing.
        let Ok((place, (record, seen))) = look else {
            continue;
        };
        findings.push((place, finding(domain, &record, seen)));
    }
    findings.sort_by_key(|(place, _)| *place);
    findings.into_iter().map(|(_, finding)| finding).collect()
}

fn finding(domain: &Domain, record: &Record, seen: Result<Seen, DnsError>) -> Finding {
    let before = domain
        .findings
        .iter()
        .find(|before| before.host == record.host && before.kind == record.kind.name());
    let seen = seen.unwrap_or_else(|error| Seen {
        shows: before.map_or(Shows::Pending, |before| before.shows),
        found: before.map(|before| before.found.clone()).unwrap_or_default(),
        advice: Some(format!("the DNS could not be asked ({error}); it is asked again")),
    });
    let cut = |text: String| text.chars().take(DNS_FOUND_CHARS_MAX).collect();
    Finding {
        host: record.host.clone(),
        kind: record.kind.name().to_owned(),
        purpose: record.purpose.name().to_owned(),
        shows: seen.shows,
        found: seen.found.into_iter().take(DNS_FOUND_MAX).map(cut).collect(),
        advice: seen.advice,
    }
}

/// One record, and what is needed to judge it.
struct Look {
    recursive: Dns,
    authority: Result<Dns, DnsError>,
    domain: String,
    mechanism: String,
    /// The key that the record should show, for those of DKIM.
    key: Option<String>,
    record: Record,
}

impl Look {
    async fn see(self) -> (Record, Result<Seen, DnsError>) {
        let seen = timeout(LOOK_TIMEOUT, self.ask())
            .await
            .unwrap_or(Err(DnsError::SILENT));
        (self.record, seen)
    }

    async fn ask(&self) -> Result<Seen, DnsError> {
        match (&self.authority, self.record.purpose) {
            (Err(error), _) if error.temporary => Err(*error),
            (Err(error), _) => Ok(Seen::missing(format!(
                "{}: {error}; register the domain first",
                self.domain
            ))),
            (Ok(dns), RecordPurpose::Dkim) => self.dkim(dns).await,
            (Ok(dns), RecordPurpose::Dmarc) => self.dmarc(dns).await,
            (Ok(dns), _) => match self.record.kind {
                RecordType::Txt => self.spf(dns).await,
                RecordType::Cname => self.cname(dns).await,
                RecordType::Mx => self.mx(dns).await,
            },
        }
    }

    /// The owner's CNAME has to lead to our name, or the key may stand there itself; in the end receivers have to find the key.
    async fn dkim(&self, dns: &Dns) -> Result<Seen, DnsError> {
        let host = &self.record.host;
        let Some(key) = &self.key else {
            return self.cname(dns).await;
        };
        if self.record.kind == RecordType::Cname
            && let Some(target) = dns.lookup_cname(host).await?
        {
            if !target.eq_ignore_ascii_case(&self.record.value) {
                let advice = format!("let it lead to {} instead", self.record.value);
                return Ok(Seen::failed(vec![target], advice));
            }
            let found = self.recursive.lookup_txt(&target).await?;
            return Ok(if shows_key(&found, key) {
                Seen::verified(vec![target])
            } else {
                let advice = "the record is right, but the name it leads to does not show the key yet: the operator of this \
                              installation has to publish its zone";
                Seen::failed(found, advice)
            });
        }
        let found = dns.lookup_txt(host).await?;
        Ok(if shows_key(&found, key) {
            Seen::verified(Vec::new())
        } else if found.is_empty() {
            Seen::missing(self.publish())
        } else {
            Seen::failed(found, "another key is published there: replace it")
        })
    }

    async fn spf(&self, dns: &Dns) -> Result<Seen, DnsError> {
        let texts = dns.lookup_txt(&self.record.host).await?;
        let is_spf = |text: &String| {
            text.split_ascii_whitespace()
                .next()
                .is_some_and(|word| word.eq_ignore_ascii_case("v=spf1"))
        };
        let found: Vec<String> = texts.into_iter().filter(is_spf).collect();
        let [policy] = found.as_slice() else {
            return Ok(if found.is_empty() {
                Seen::missing(self.publish())
            } else {
                Seen::failed(
                    found,
                    "a name may have one SPF record only (RFC 7208 §3.2): make one of them",
                )
            });
        };
        let has_mechanism = policy.split_ascii_whitespace().any(|term| {
            let term = term.strip_prefix('+').unwrap_or(term);
            term.trim_end_matches('.').eq_ignore_ascii_case(&self.mechanism)
        });
        Ok(if has_mechanism {
            Seen::verified(found)
        } else {
            let advice = format!(
                "add {} to the record that is there, before its \"all\"",
                self.mechanism
            );
            Seen::failed(found, advice)
        })
    }

    /// The policy of the domain itself or of the nearest one above it that has one.
    async fn dmarc(&self, dns: &Dns) -> Result<Seen, DnsError> {
        let own = policies(dns.lookup_txt(&self.record.host).await?);
        let found = if own.is_empty() {
            self.policy_above().await?
        } else {
            own
        };
        let [policy] = found.as_slice() else {
            return Ok(if found.is_empty() {
                Seen::missing(self.publish())
            } else {
                Seen::failed(found, "a name may have one DMARC record only: make one of them")
            });
        };
        Ok(match dmarc_policy(policy) {
            Some(_) => Seen::verified(found),
            None => Seen::failed(
                found,
                "the record has no valid p=: it must be none, quarantine or reject",
            ),
        })
    }

    async fn policy_above(&self) -> Result<Vec<String>, DnsError> {
        let mut above = self.domain.as_str();
        for _ in 0..TREE_WALK_MAX {
            let Some((_, parent)) = above.split_once('.') else {
                break;
            };
            if !parent.contains('.') {
                break;
            }
            let found = policies(self.recursive.lookup_txt(&format!("_dmarc.{parent}")).await?);
            if !found.is_empty() {
                return Ok(found);
            }
            above = parent;
        }
        Ok(Vec::new())
    }

    async fn cname(&self, dns: &Dns) -> Result<Seen, DnsError> {
        Ok(match dns.lookup_cname(&self.record.host).await? {
            Some(target) if target.eq_ignore_ascii_case(&self.record.value) => Seen::verified(vec![target]),
            Some(target) => Seen::failed(
                vec![target],
                format!("let it lead to {} instead", self.record.value),
            ),
            None => Seen::missing(self.publish()),
        })
    }

    async fn mx(&self, dns: &Dns) -> Result<Seen, DnsError> {
        let hosts = match dns.lookup_mx(&self.record.host, 0).await? {
            MxAnswer::Hosts(hosts) => hosts,
            MxAnswer::NullMx | MxAnswer::ImplicitAddress | MxAnswer::NoSuchDomain => Vec::new(),
        };
        let found: Vec<String> = hosts
            .iter()
            .map(|host| format!("{} {}", host.preference, host.name))
            .collect();
        Ok(
            if hosts
                .iter()
                .any(|host| host.name.eq_ignore_ascii_case(&self.record.value))
            {
                Seen::verified(found)
            } else if found.is_empty() {
                Seen::missing(self.publish())
            } else {
                Seen::failed(
                    found,
                    format!("add {} to the mail hosts that are there", self.record.value),
                )
            },
        )
    }

    fn publish(&self) -> String {
        format!(
            "publish this {} record at the domain's DNS host",
            self.record.kind.name()
        )
    }
}

fn policies(texts: Vec<String>) -> Vec<String> {
    let is_dmarc = |text: &String| {
        let first = text.split(';').next().unwrap_or_default();
        first
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect::<String>()
            .eq_ignore_ascii_case("v=DMARC1")
    };
    texts.into_iter().filter(is_dmarc).collect()
}

/// The policy that a DMARC record asks for (RFC 9989 §4.7).
pub(super) fn dmarc_policy(record: &str) -> Option<&'static str> {
    let asked = tag(record, "p")?.to_ascii_lowercase();
    ["none", "quarantine", "reject"]
        .into_iter()
        .find(|known| *known == asked)
}

/// Whether one of the records shows this key. What else they say is the publisher's, except that an empty `p=` would revoke it.
fn shows_key(records: &[String], key: &str) -> bool {
    let public = tag(key, "p");
    public.is_some() && records.iter().any(|record| tag(record, "p") == public)
}

/// The value of a tag (RFC 6376 §3.2), without the white space that publishers fold it with.
fn tag(record: &str, name: &str) -> Option<String> {
    record.split(';').find_map(|part| {
        let (left, right) = part.split_once('=')?;
        (left.trim() == name).then(|| right.chars().filter(|c| !c.is_whitespace()).collect())
    })
}
