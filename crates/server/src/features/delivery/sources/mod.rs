//! Addresses that mail leaves from: which mail leaves from which, and how much while one is new.
//!
//! All sources that may carry a mail are its pool. Mailbox providers judge an address by what they have seen of it, so one that is new is
//! given a little mail a day to each provider, twice as much the next day, and the rest goes from addresses that are known. What was
//! given is counted in the store, a few at a time: restarts forget nothing, and several nodes share one day's allowance.

mod store;

pub use store::ALL as STATEMENTS;

use super::providers::Provider;
use crate::clock::Timestamp;
use crate::features::emails::Stream;
use crate::platform::Platform;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Sources of a table, at most.
const SOURCES_MAX: usize = 1_000;
/// What a new address is given for one provider on its first day; each day twice that of the day before.
const FIRST_DAY: i64 = 50;
/// Days after which an address counts as known: by then it would be given 102,400 a day.
const WARM_DAYS: i64 = 11;
/// Of a day's allowance, the part that a process takes at once. It divides every day's.
const BLOCKS_A_DAY: i64 = 25;
/// Whom the mail of all domains goes to that are no provider's.
const OTHERS: &str = "others";

/// One address, and what leaves from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What the operator calls it; empty where there is no table.
    pub name: String,
    /// The address; the system's choice if there is none.
    pub address: Option<IpAddr>,
    /// The name said in EHLO.
    pub ehlo_name: String,
    /// Streams that it carries; all if empty.
    streams: Vec<Stream>,
    /// Senders' domains that it is kept for; all if empty.
    domains: Vec<String>,
    /// The day (since 1970) on which it was new.
    new_on: Option<i64>,
}

/// The same as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    address: IpAddr,
    ehlo_name: Option<String>,
    streams: Option<Vec<String>>,
    domains: Option<Vec<String>>,
    warm_since: Option<String>,
}

/// All sources.
#[derive(Debug, Clone)]
pub struct Sources(Vec<Arc<Source>>);

impl Sources {
    /// One for everything.
    pub fn single(address: Option<IpAddr>, ehlo_name: &str) -> Self {
        Self(vec![Arc::new(Source {
            name: String::new(),
            address,
            ehlo_name: ehlo_name.to_owned(),
            streams: Vec::new(),
            domains: Vec::new(),
            new_on: None,
        })])
    }

    /// The operator's table: TOML, a table a source.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str, ehlo_name: &str) -> Result<Self, String> {
        let entries: BTreeMap<String, Entry> = toml::from_str(text).map_err(|error| error.to_string())?;
        if entries.is_empty() || entries.len() > SOURCES_MAX {
            return Err(format!("a table has 1 to {SOURCES_MAX} sources"));
        }
        let mut all: Vec<Arc<Source>> = Vec::with_capacity(entries.len());
        for (name, entry) in entries {
            let source = source(&name, entry, ehlo_name).map_err(|wrong| format!("{name}: {wrong}"))?;
            if all.iter().any(|other| other.address == source.address) {
                return Err(format!("{name}: another source has the same address"));
            }
            all.push(Arc::new(source));
        }
        for stream in Stream::ALL {
            let carries = |source: &&Arc<Source>| source.domains.is_empty() && source.carries(stream);
            if !all.iter().any(|source| carries(&source)) {
                return Err(format!(
                    "no source carries {} mail of every domain",
                    stream.name()
                ));
            }
        }
        Ok(Self(all))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Source> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// The sources of a mail: those that are kept for its sender's domain, if there are any.
    fn pool(&self, stream: Stream, domain: &str) -> Vec<&Arc<Source>> {
        let carrying = || self.0.iter().filter(|source| source.carries(stream));
        let kept: Vec<_> = carrying()
            .filter(|source| source.domains.iter().any(|kept| kept == domain))
            .collect();
        if kept.is_empty() {
            carrying().filter(|source| source.domains.is_empty()).collect()
        } else {
            kept
        }
    }
}

fn source(name: &str, entry: Entry, ehlo_name: &str) -> Result<Source, String> {
    let streams = entry.streams.unwrap_or_default();
    let parse = |word: String| Stream::parse(&word).ok_or("streams: transactional or broadcast");
    let warm_since = entry.warm_since.as_deref();
    let new_on = match warm_since {
        None => None,
        Some(date) => {
            let start = Timestamp::parse(&format!("{date}T00:00:00Z"));
            Some(start.ok_or("warm_since: a date such as 2026-11-30")?.day())
        }
    };
    let domains = entry.domains.unwrap_or_default();
    let parsed = domains.iter().map(|domain| {
        let domain = sealwright_mail::address::Domain::parse(domain);
        domain
            .map(|domain| domain.as_str().to_owned())
            .map_err(|error| format!("domains: {error}"))
    });
    Ok(Source {
        name: name.to_owned(),
        address: Some(entry.address),
        ehlo_name: entry.ehlo_name.unwrap_or_else(|| ehlo_name.to_owned()),
        streams: streams.into_iter().map(parse).collect::<Result<_, _>>()?,
        domains: parsed.collect::<Result<_, _>>()?,
        new_on,
    })
}

impl Source {
    fn carries(&self, stream: Stream) -> bool {
        self.streams.is_empty() || self.streams.contains(&stream)
    }

    fn reaches(&self, host: IpAddr) -> bool {
        self.address
            .is_none_or(|address| address.is_ipv4() == host.is_ipv4())
    }

    /// What it is given for one provider on this day; `None` when it is known.
    pub fn allowance(&self, day: i64) -> Option<i64> {
        let age = day - self.new_on?;
        match age {
            ..0 => Some(0),
            0..WARM_DAYS => Some(FIRST_DAY << age),
            _ => None,
        }
    }
}

/// From where a mail leaves to a host.
pub(super) enum Choice {
    From(Arc<Source>),
    /// Every address that could carry it is new and has had its day's mail.
    Tomorrow,
    /// No address is of the host's kind (IPv4 or IPv6).
    Unreachable,
}

/// Chooses sources.
pub(super) struct Chooser {
    platform: Platform,
    sources: Sources,
    turn: AtomicUsize,
    /// What is left of what this process took of a day's allowance, by source and provider.
    left: Mutex<HashMap<(String, String), Left>>,
}

struct Left {
    day: i64,
    count: i64,
    is_all: bool,
}

impl Chooser {
    pub(super) fn new(platform: Platform, sources: Sources) -> Self {
        Self {
            platform,
            sources,
            turn: AtomicUsize::new(0),
            left: Mutex::default(),
        }
    }

    /// New addresses come first, as far as they go: they are to be seen. The others take turns.
    pub(super) async fn choose(
        &self,
        (stream, domain): (Stream, &str),
        host: IpAddr,
        provider: Option<&Provider>,
    ) -> Choice {
        let mut pool = self.sources.pool(stream, domain);
        pool.retain(|source| source.reaches(host));
        if pool.is_empty() {
            return Choice::Unreachable;
        }
        let day = self.platform.clock.now().day();
        let provider = provider.map_or(OTHERS, |provider| provider.name.as_str());
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let start = turn.checked_rem(pool.len()).unwrap_or(0);
        pool.rotate_left(start);
        for source in &pool {
            if let Some(allowed) = source.allowance(day)
                && self.take(source, provider, day, allowed).await
            {
                return Choice::From(Arc::clone(source));
            }
        }
        let known = pool.iter().find(|source| source.allowance(day).is_none());
        known.map_or(Choice::Tomorrow, |source| Choice::From(Arc::clone(source)))
    }

    async fn take(&self, source: &Source, provider: &str, day: i64, allowed: i64) -> bool {
        let key = (source.name.clone(), provider.to_owned());
        match self.lock().get_mut(&key) {
            Some(left) if left.day == day && left.count > 0 => {
                left.count -= 1;
                return true;
            }
            Some(left) if left.day == day && left.is_all => return false,
            _ => {}
        }
        let block = allowed / BLOCKS_A_DAY;
        if block == 0 {
            return false;
        }
        let taken = store::take(
            &self.platform.store,
            day,
            &source.name,
            provider,
            [block, allowed],
        );
        let count = match taken.await {
            Ok(true) => block,
            Ok(false) => 0,
            Err(error) => {
                tracing::warn!(%error, "what a new source address may carry can't be counted; it carries nothing");
                return false;
            }
        };
        let mut all = self.lock();
        let left = all.entry(key).or_insert(Left {
            day,
            count: 0,
            is_all: false,
        });
        if left.day != day {
            (left.day, left.count) = (day, 0);
        }
        left.is_all = count == 0;
        left.count += count;
        let has_one = left.count > 0;
        left.count -= i64::from(has_one);
        has_one
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Left>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "
        [a]
        address = '192.0.2.1'
        streams = ['transactional']
        [b]
        address = '192.0.2.2'
        ehlo_name = 'b.example'
        streams = ['broadcast']
        [c]
        address = '2001:db8::3'
        domains = ['Shop.example']
        [d]
        address = '192.0.2.4'
        streams = ['broadcast']
        warm_since = '2026-11-20'";

    fn names(sources: &Sources, stream: Stream, domain: &str) -> Vec<String> {
        let pool = sources.pool(stream, domain).into_iter();
        pool.map(|source| source.name.clone()).collect()
    }

    #[test]
    fn a_mail_leaves_from_what_is_kept_for_its_domain_or_from_what_carries_its_stream() {
        let sources = Sources::parse(TABLE, "out.example").unwrap();
        assert_eq!(names(&sources, Stream::Transactional, "other.example"), ["a"]);
        assert_eq!(names(&sources, Stream::Broadcast, "other.example"), ["b", "d"]);
        assert_eq!(names(&sources, Stream::Transactional, "shop.example"), ["c"]);
        let ehlo: Vec<_> = sources.all().map(|source| source.ehlo_name.as_str()).collect();
        assert_eq!(ehlo, ["out.example", "b.example", "out.example", "out.example"]);
        assert!(!sources.0[2].reaches("192.0.2.9".parse().unwrap()));
    }

    #[test]
    fn a_new_address_is_given_twice_as_much_each_day_until_it_is_known() {
        let sources = Sources::parse(TABLE, "out.example").unwrap();
        let new = &sources.0[3];
        let start = Timestamp::parse("2026-11-20T00:00:00Z").unwrap().day();
        let days: Vec<_> = [-1, 0, 1, 2, 10, 11]
            .map(|age| new.allowance(start + age))
            .to_vec();
        assert_eq!(
            days,
            [Some(0), Some(50), Some(100), Some(200), Some(51_200), None]
        );
        assert_eq!(sources.0[0].allowance(start), None);
        for age in 0..WARM_DAYS {
            let allowed = new.allowance(start + age).unwrap();
            assert_eq!(allowed % BLOCKS_A_DAY, 0, "blocks fill the day: {allowed}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_table_is_said() {
        for (table, wrong) in [
            ("", "1 to 1000"),
            ("[a]\naddress='x'", "invalid IP address"),
            ("[a]\naddress='192.0.2.1'\nport=25", "unknown field"),
            (
                "[a]\naddress='192.0.2.1'\n[b]\naddress='192.0.2.1'",
                "b: another source",
            ),
            (
                "[a]\naddress='192.0.2.1'\nstreams=['bulk']",
                "transactional or broadcast",
            ),
            ("[a]\naddress='192.0.2.1'\nwarm_since='soon'", "a date such as"),
            ("[a]\naddress='192.0.2.1'\ndomains=['-']", "a: domains:"),
            (
                "[a]\naddress='192.0.2.1'\nstreams=['broadcast']",
                "no source carries transactional",
            ),
            (
                "[a]\naddress='192.0.2.1'\ndomains=['a.example']",
                "no source carries transactional",
            ),
        ] {
            let refused = Sources::parse(table, "out.example").unwrap_err();
            assert!(refused.contains(wrong), "{table}: {refused}");
        }
    }
}
