//! Looks at what the DNS shows of a domain, record by record, and says what to do about it.

use super::{Domain, Names, Record, RecordPurpose, RecordType};
use crate::id::Id as _;
use crate::limits::{DNS_FOUND_CHARS_MAX, DNS_FOUND_MAX};
use crate::platform::net::{Authorities, Dns, DnsError, Guard, MxAnswer};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a look may take, from finding the servers to the last answer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(24);
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
    /// The id of the key that the record is to show, of those of DKIM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What the DNS showed when it last answered.
    pub shows: Shows,
    /// Whether it answered at the last look.
    #[serde(default)]
    pub is_answered: bool,
    /// Whether it was found above the domain.
    #[serde(default)]
    pub is_inherited: bool,
    /// What is there, if it is not what it should be, or is worth showing.
    pub found: Vec<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    /// Whether it is about this record, and about the key that the record shows now.
    pub(super) fn is_of(&self, record: &Record) -> bool {
        (&self.host, &self.key) == (&record.host, &record.key) && self.kind == record.kind.name()
    }

    /// What the DNS shows now, which nobody knows when it did not answer.
    pub(super) fn shows_now(&self) -> Shows {
        if self.is_answered {
            self.shows
        } else {
            Shows::Pending
        }
    }
}

/// What one look came to, before it is written down.
struct Seen {
    shows: Shows,
    found: Vec<String>,
    advice: Option<String>,
    is_inherited: bool,
}

impl Seen {
    fn verified(found: Vec<String>) -> Self {
        Self {
            shows: Shows::Verified,
            found,
            advice: None,
            is_inherited: false,
        }
    }

    fn missing(advice: impl Into<String>) -> Self {
        Self {
            shows: Shows::Missing,
            found: Vec::new(),
            advice: Some(advice.into()),
            is_inherited: false,
        }
    }

    fn failed(found: Vec<String>, advice: impl Into<String>) -> Self {
        Self {
            shows: Shows::Failed,
            found,
            advice: Some(advice.into()),
            is_inherited: false,
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
    let authorities = Authorities::new(resolvers.recursive.clone(), resolvers.guard.clone());
    let authorities = Arc::new(authorities);
    let mut looks = JoinSet::new();
    for (place, record) in domain.records(names).into_iter().enumerate() {
        let key = domain
            .keys
            .iter()
            .find(|key| record.key.as_deref() == Some(key.id.as_str()));
        let look = Look {
            recursive: resolvers.recursive.clone(),
            authorities: Arc::clone(&authorities),
            domain: domain.name.clone(),
            mechanism: names.spf_mechanism(),
            key: key.map(|key| key.public_record.clone()),
            is_nameless: names.zone.is_none() && !names.has_sender(),
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
    let before = domain.finding(record);
    let is_answered = seen.is_ok();
    let seen = seen.unwrap_or_else(|error| Seen {
        shows: before.map_or(Shows::Pending, |before| before.shows),
        found: before.map(|before| before.found.clone()).unwrap_or_default(),
        advice: Some(format!("the DNS could not be asked ({error}); it is asked again")),
        is_inherited: before.is_some_and(|before| before.is_inherited),
    });
    let cut = |text: String| text.chars().take(DNS_FOUND_CHARS_MAX).collect();
    Finding {
        host: record.host.clone(),
        kind: record.kind.name().to_owned(),
        purpose: record.purpose.name().to_owned(),
        key: record.key.clone(),
        shows: seen.shows,
        is_answered,
        is_inherited: seen.is_inherited,
        found: seen.found.into_iter().take(DNS_FOUND_MAX).map(cut).collect(),
        advice: seen.advice,
    }
}

/// One record, and what is needed to judge it.
struct Look {
    recursive: Dns,
    authorities: Arc<Authorities>,
    domain: String,
    mechanism: String,
    /// The key that the record should show, for those of DKIM.
    key: Option<String>,
    /// Whether the records that lead to our host have none to lead to.
    is_nameless: bool,
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
        use RecordPurpose::{Dkim, Dmarc, ReturnPath, Spf};
        let seen = match (self.record.purpose, self.record.kind) {
            (Spf | ReturnPath, _) if self.is_nameless => {
                let advice = "this installation has no host name to put here: its operator has to set delivery.ehlo_name";
                Ok(Seen::failed(Vec::new(), advice))
            }
            (Dkim, _) => self.dkim().await,
            (Dmarc, _) => self.dmarc().await,
            (_, RecordType::Txt) => self.spf().await,
            (_, RecordType::Cname) => self.cname().await,
            (_, RecordType::Mx) => self.mx().await,
        };
        match seen {
            Err(error) if !error.temporary => Ok(Seen::missing(format!(
                "{}: {error}; register the domain, or mend where its names lead to",
                self.record.host
            ))),
            seen => seen,
        }
    }

    /// The owner's CNAME has to lead to our name, or the key may stand there itself; in the end receivers have to find the key.
    async fn dkim(&self) -> Result<Seen, DnsError> {
        let host = &self.record.host;
        let Some(key) = &self.key else {
            return self.cname().await;
        };
        if self.record.kind == RecordType::Cname
            && let Some(target) = self.authorities.lookup_cname(host).await?
        {
            if !target.eq_ignore_ascii_case(&self.record.value) {
                let advice = format!("let it lead to {} instead", self.record.value);
                return Ok(Seen::failed(vec![target], advice));
            }
            let found = self.texts_of_ours(&target, key).await?;
            return Ok(if flaw(&found, key).is_none() {
                Seen::verified(vec![target])
            } else {
                let advice = "the record is right, but the name it leads to does not show the key yet: the operator of this \
                              installation has to publish its zone";
                Seen::failed(found, advice)
            });
        }
        let found = self.authorities.lookup_txt(host).await?;
        Ok(match flaw(&found, key) {
            None => Seen::verified(Vec::new()),
            Some(_) if found.is_empty() => Seen::missing(self.publish()),
            Some(flaw) => Seen::failed(found, flaw),
        })
    }

    /// What stands in the operator's zone. Where its servers can't be asked from here, a resolver that shows the key is believed, and one
    /// that does not is not: it may only remember that there was none.
    async fn texts_of_ours(&self, target: &str, key: &str) -> Result<Vec<String>, DnsError> {
        let asked = self.authorities.lookup_txt(target).await;
        if asked.is_err()
            && let Ok(found) = self.recursive.lookup_txt(target).await
            && flaw(&found, key).is_none()
        {
            return Ok(found);
        }
        match asked {
            Err(error) if !error.temporary => Ok(Vec::new()),
            asked => asked,
        }
    }

    async fn spf(&self) -> Result<Seen, DnsError> {
        let texts = self.authorities.lookup_txt(&self.record.host).await?;
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
        let mechanism = &self.mechanism;
        let is_ours = |term: &str| {
            let term = term.strip_prefix('+').unwrap_or(term);
            term.trim_end_matches('.').eq_ignore_ascii_case(mechanism)
        };
        let is_all = |term: &str| {
            let term = term.strip_prefix(['+', '-', '~', '?']).unwrap_or(term);
            term.eq_ignore_ascii_case("all")
        };
        let terms = || policy.split_ascii_whitespace();
        Ok(if terms().take_while(|term| !is_all(term)).any(is_ours) {
            Seen::verified(found)
        } else if terms().any(is_ours) {
            let advice =
                format!("move {mechanism} before \"all\", behind which receivers don't look (RFC 7208 §5.1)");
            Seen::failed(found, advice)
        } else {
            let advice = format!("add {mechanism} to the record that is there, before its \"all\"");
            Seen::failed(found, advice)
        })
    }

    /// The policy of the domain itself or of the nearest one above it that has one.
    async fn dmarc(&self) -> Result<Seen, DnsError> {
        let own = policies(self.authorities.lookup_txt(&self.record.host).await?);
        let is_inherited = own.is_empty();
        let found = if is_inherited {
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
        let seen = match dmarc_policy(policy, is_inherited) {
            Some(_) => Seen::verified(found),
            None => Seen::failed(
                found,
                "the record has no valid p=: it must be none, quarantine or reject",
            ),
        };
        Ok(Seen { is_inherited, ..seen })
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

    async fn cname(&self) -> Result<Seen, DnsError> {
        Ok(match self.authorities.lookup_cname(&self.record.host).await? {
            Some(target) if target.eq_ignore_ascii_case(&self.record.value) => Seen::verified(vec![target]),
            Some(target) => Seen::failed(
                vec![target],
                format!("let it lead to {} instead", self.record.value),
            ),
            None => Seen::missing(self.publish()),
        })
    }

    async fn mx(&self) -> Result<Seen, DnsError> {
        let hosts = match self.authorities.lookup_mx(&self.record.host).await? {
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

/// The policy that a DMARC record asks for (RFC 9989 §4.7): for its own domain, or for one below that has inherited it.
pub(super) fn dmarc_policy(record: &str, is_inherited: bool) -> Option<&'static str> {
    let asked = |name| {
        let asked = tag(record, name)?.to_ascii_lowercase();
        ["none", "quarantine", "reject"]
            .into_iter()
            .find(|known| *known == asked)
    };
    let own = asked("p")?;
    Some(asked("sp").filter(|_| is_inherited).unwrap_or(own))
}

/// Why receivers would not verify by this key when a name has these records; `None` when they would.
fn flaw(records: &[String], key: &str) -> Option<&'static str> {
    let is_key = |record: &&String| tag(record, "v").is_none_or(|version| version == "DKIM1");
    let keys = || {
        records
            .iter()
            .filter(is_key)
            .filter(|record| tag(record, "p").is_some())
    };
    let is_ours = |record: &&String| tag(record, "p") == tag(key, "p");
    let of = |record: &str, name, default: &str| tag(record, name).unwrap_or_else(|| default.to_owned());
    let has = |list: String, words: &[&str]| list.split(':').any(|word| words.contains(&word));
    let fits = |record: &String| {
        of(record, "k", "rsa").eq_ignore_ascii_case(&of(key, "k", "rsa"))
            && has(of(record, "h", "sha256"), &["sha256"])
            && has(of(record, "s", "*"), &["*", "email"])
    };
    if !keys().any(|record| is_ours(&record)) {
        Some("another key is published there: replace it")
    } else if !keys().all(|record| is_ours(&record)) {
        Some("several keys are published there, and receivers may take any of them: leave one")
    } else if !keys().all(fits) {
        Some(
            "the key is right, but its k=, h= or s= keeps receivers from using it: publish the text as it is given",
        )
    } else {
        None
    }
}

/// The value of a tag (RFC 6376 §3.2), without the white space that publishers fold it with.
fn tag(record: &str, name: &str) -> Option<String> {
    record.split(';').find_map(|part| {
        let (left, right) = part.split_once('=')?;
        (left.trim() == name).then(|| right.chars().filter(|c| !c.is_whitespace()).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_when_receivers_would_verify_by_it() {
        let key = "v=DKIM1; k=rsa; p=AAAA";
        for (records, flaw_says) in [
            (&["v=DKIM1; k=rsa; p=AAAA"][..], None),
            (&["p=AA AA"], None),
            (&["p=AAAA", "v=DKIM1; p=AAAA; t=s"], None),
            (&["k=RSA; h=sha1:sha256; s=email; p=AAAA"], None),
            (&["v=spf1 -all", "v=DMARC1; p=none", "p=AAAA"], None),
            (&["p="], Some("another")),
            (&["v=DKIM2; p=AAAA"], Some("another")),
            (&["p=AAAA", "p=BBBB"], Some("several")),
            (&["p=AAAA", "p="], Some("several")),
            (&["k=ed25519; p=AAAA"], Some("k=")),
            (&["h=sha1; p=AAAA"], Some("k=")),
            (&["s=tlsrpt; p=AAAA"], Some("k=")),
        ] {
            let records: Vec<String> = records.iter().map(|record| (*record).to_owned()).collect();
            let found = flaw(&records, key);
            let fits = match flaw_says {
                None => found.is_none(),
                Some(word) => found.is_some_and(|found| found.contains(word)),
            };
            assert!(fits, "{records:?}: {found:?}");
        }
    }

    #[test]
    fn a_policy_from_above_is_that_for_subdomains() {
        for (record, own, inherited) in [
            ("v=DMARC1; p=reject", Some("reject"), Some("reject")),
            ("v=DMARC1; p=reject; sp=none", Some("reject"), Some("none")),
            ("v=DMARC1; p=none; sp=maybe", Some("none"), Some("none")),
            ("v=DMARC1; sp=none", None, None),
        ] {
            let policies = (dmarc_policy(record, false), dmarc_policy(record, true));
            assert_eq!(policies, (own, inherited), "{record}");
        }
    }
}
