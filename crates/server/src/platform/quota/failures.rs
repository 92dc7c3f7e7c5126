//! Credentials that were wrong: a network that guesses is blocked for a while.
//!
//! [`TRIES_MAX`] failures within [`WINDOW`] block the network for [`BLOCK`], whatever credential it brings, with one exception: a
//! credential that was good **from this network** within [`REMEMBERED_FOR`] is heard. So nobody is locked out by a stranger behind the
//! same address translation, and a guesser gains nothing, since it lets him try what he knows already. A success does not clear the
//! network's failures, or a guesser would put a key of his own between every four tries.
//!
//! Each node counts for itself: on *n* nodes a network has up to *n* times the tries. What that is worth against 178 random bits is
//! nothing; the block is there to keep noise out of the logs and load off the store. Memory is bounded by [`table`](super::table), which
//! forgets a blocked network last.

use super::table::{Entry, Table};
use super::{Network, RetryAfter, digest};
use crate::clock::Timestamp;
use crate::metrics::{KindLabel, Metrics};
use prometheus_client::metrics::counter::Counter;
use std::time::Duration;

/// Failures of one network that block it.
const TRIES_MAX: usize = 5;
/// The time in which they count.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// How long a network is blocked.
const BLOCK: Duration = Duration::from_secs(15 * 60);
/// How long a good credential is heard from a network that is blocked.
const REMEMBERED_FOR: Duration = Duration::from_secs(60 * 60);

/// The networks that failed, and the credentials that did not.
pub struct Failures {
    networks: Table<Tries>,
    good: Table<Good>,
    refused: Counter,
    blocked: Counter,
}

impl Failures {
    /// Nobody has failed yet.
    pub fn new(metrics: &Metrics) -> Self {
        let counter = |kind| metrics.guard_decisions.get_or_create(&KindLabel { kind }).clone();
        Self {
            networks: Table::default(),
            good: Table::default(),
            refused: counter("try_refused"),
            blocked: counter("network_blocked"),
        }
    }

    /// Whether a credential from this network may be looked at.
    pub fn may_try(&self, network: Network, credential: &[u8], now: Timestamp) -> Result<(), RetryAfter> {
        let octets = network.octets();
        let blocked = self
            .networks
            .look(&digest("tries", &[&octets]), |tries| tries.blocked_for(now));
        let Some(wait) = blocked.flatten() else {
            return Ok(());
        };
        if self.knows(network, credential, now) {
            return Ok(());
        }
        self.refused.inc();
        Err(RetryAfter::new(wait))
    }

    /// A credential from this network was wrong, malformed, expired or revoked.
    pub fn failed(&self, network: Network, now: Timestamp) {
        let key = digest("tries", &[&network.octets()]);
        if self.networks.change(&key, now, |tries| tries.failed(now)) {
            self.blocked.inc();
        }
    }

    /// A credential from this network was good.
    pub fn succeeded(&self, network: Network, credential: &[u8], now: Timestamp) {
        let key = digest("good", &[&network.octets(), credential]);
        self.good.change(&key, now, |good| good.last_at = Some(now));
    }

    /// Whether this credential was good from this network not long ago.
    pub fn knows(&self, network: Network, credential: &[u8], now: Timestamp) -> bool {
        let good = digest("good", &[&network.octets(), credential]);
        self.good.look(&good, |good| good.rank(now).is_some()) == Some(true)
    }

    /// Forgets what is over. To be called now and then.
    pub fn sweep(&self, now: Timestamp) {
        self.networks.sweep(now);
        self.good.sweep(now);
    }
}

/// What is known of a network.
#[derive(Debug, Default)]
struct Tries {
    /// Of the last failures; the oldest is overwritten.
    failed_at: [Option<Timestamp>; TRIES_MAX],
    blocked_until: Option<Timestamp>,
}

impl Tries {
    /// Notes a failure; true if it is the one that blocks.
    fn failed(&mut self, now: Timestamp) -> bool {
        if self.blocked_for(now).is_some() {
            return false;
        }
        for at in &mut self.failed_at {
            // What lies ahead was noted before the clock was set back; it counts as of now.
            *at = at.map(|at| at.min(now)).filter(|at| now.since(*at) < WINDOW);
        }
        if let Some(oldest) = self.failed_at.iter_mut().min() {
            *oldest = Some(now);
        }
        let is_full = self.failed_at.iter().all(Option::is_some);
        if is_full {
            *self = Self {
                failed_at: Default::default(),
                blocked_until: Some(now.plus(BLOCK)),
            };
        }
        is_full
    }

    /// How long the network is still blocked; never longer than [`BLOCK`], whatever the clock did.
    fn blocked_for(&mut self, now: Timestamp) -> Option<Duration> {
        let until = self.blocked_until?.min(now.plus(BLOCK));
        self.blocked_until = (until > now).then_some(until);
        self.blocked_until.map(|until| until.since(now))
    }
}

impl Entry for Tries {
    /// A blocked network before any that is not; of those, the one with more failures, then the later one.
    fn rank(&self, now: Timestamp) -> Option<u64> {
        let left = |until: Timestamp| u64::try_from(until.since(now).as_micros()).unwrap_or(u64::MAX);
        if let Some(left) = self.blocked_until.map(left).filter(|left| *left > 0) {
            return Some((1 << 62) | left);
        }
        let last_at = self.failed_at.iter().flatten().max()?;
        let count = self.failed_at.iter().flatten().count() as u64;
        let left = left(last_at.plus(WINDOW)).min((1 << 48) - 1);
        (left > 0).then_some(count << 48 | left)
    }
}

/// A credential and a network that belong together.
#[derive(Debug, Default)]
struct Good {
    last_at: Option<Timestamp>,
}

impl Entry for Good {
    fn rank(&self, now: Timestamp) -> Option<u64> {
        let left = self.last_at?.plus(REMEMBERED_FOR).since(now).as_micros();
        u64::try_from(left).ok().filter(|left| *left > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{SETS, WAYS};
    use super::*;
    use std::net::IpAddr;

    fn network(text: &str) -> Network {
        text.parse::<IpAddr>().unwrap().into()
    }

    fn numbered(number: u32) -> Network {
        IpAddr::from(number.to_be_bytes()).into()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
    }

    fn failures() -> Failures {
        Failures::new(&Metrics::default())
    }

    #[test]
    fn the_fifth_failure_in_five_minutes_blocks_for_fifteen() {
        for (failed_at, is_blocked) in [
            (vec![0, 1, 2, 3], false),
            (vec![0, 1, 2, 3, 4], true),
            (vec![0, 60, 120, 180, 299], true),
            (vec![0, 60, 120, 180, 300], false),
            (vec![0, 60, 120, 180, 300, 301], true),
        ] {
            let (failures, from) = (failures(), network("192.0.2.1"));
            for second in &failed_at {
                assert_eq!(failures.may_try(from, b"a", at(*second)), Ok(()));
                failures.failed(from, at(*second));
            }
            let last = failed_at[failed_at.len() - 1];
            let answer = failures.may_try(from, b"a", at(last + 1));
            assert_eq!(
                answer.map_err(RetryAfter::seconds),
                if is_blocked { Err(899) } else { Ok(()) }
            );
            assert_eq!(failures.may_try(from, b"a", at(last + 900)), Ok(()));
            assert_eq!(failures.may_try(network("192.0.2.2"), b"a", at(last + 1)), Ok(()));
            assert_eq!(failures.blocked.get(), u64::from(is_blocked));
        }
    }

    #[test]
    fn a_v6_guesser_is_blocked_with_all_of_his_64() {
        let failures = failures();
        for host in 1..=5 {
            failures.failed(network(&format!("2001:db8::{host}")), at(0));
        }
        assert!(
            failures
                .may_try(network("2001:db8::ffff:1"), b"a", at(1))
                .is_err()
        );
        assert!(failures.may_try(network("2001:db8:0:1::1"), b"a", at(1)).is_ok());
    }

    #[test]
    fn a_credential_that_was_good_here_is_heard_for_an_hour_and_no_other_is() {
        let (failures, from) = (failures(), network("192.0.2.1"));
        failures.succeeded(from, b"good", at(0));
        for _ in 0..5 {
            failures.failed(from, at(3000));
        }
        assert_eq!(failures.may_try(from, b"good", at(3001)), Ok(()));
        assert!(failures.may_try(from, b"other", at(3001)).is_err());
        assert!(
            failures.may_try(from, b"good", at(3600)).is_err(),
            "an hour is over"
        );
        for _ in 0..5 {
            failures.failed(network("192.0.2.9"), at(3001));
        }
        assert!(
            failures.may_try(network("192.0.2.9"), b"good", at(3002)).is_err(),
            "good elsewhere"
        );
    }

    #[test]
    fn a_success_does_not_clear_the_failures_of_the_network() {
        let (failures, from) = (failures(), network("192.0.2.1"));
        for _ in 0..5 {
            failures.succeeded(from, b"mine", at(0));
            failures.failed(from, at(0));
        }
        assert!(failures.may_try(from, b"guess", at(1)).is_err());
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_block_longer() {
        let (failures, from) = (failures(), network("192.0.2.1"));
        for _ in 0..5 {
            failures.failed(from, at(1_000_000));
        }
        let wait = failures.may_try(from, b"a", at(0)).map_err(RetryAfter::seconds);
        assert_eq!(wait, Err(900));
        assert_eq!(failures.may_try(from, b"a", at(900)), Ok(()));
    }

    #[test]
    fn a_million_other_networks_neither_fill_the_memory_nor_lift_a_block() {
        let failures = failures();
        let blocked = network("192.0.2.1");
        for _ in 0..5 {
            failures.failed(blocked, at(0));
        }
        for number in 0..1_000_000 {
            failures.failed(numbered(number), at(1));
        }
        assert!(failures.networks.len() <= SETS * WAYS);
        assert!(failures.may_try(blocked, b"a", at(2)).is_err());
        failures.sweep(at(2000));
        assert_eq!(failures.networks.len(), 0);
    }
}
