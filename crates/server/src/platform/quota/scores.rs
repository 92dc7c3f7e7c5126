//! Requests that look like attacks: each adds points to its network, and who has too many is banned for a while.
//!
//! What a refusal weighs is said by whoever refuses; the firewall knows what it saw. [`POINTS_MAX`] points fit, and one is forgotten
//! every [`POINT_LASTS`]: the same arithmetic as a quota. The operator says how long the first ban lasts, or that there are none; each
//! further one is twice as long, up to [`BAN_MAX`]; [`BAN_MAX`] after the end of the last one all is forgiven. Each node judges for itself, and memory is bounded by
//! [`table`](super::table), which forgets a banned network last and repeaters before nobody else.

use super::gcra::{Gcra, Pace};
use super::table::{Entry, Table};
use super::{Network, RetryAfter, digest};
use crate::clock::Timestamp;
use crate::metrics::{KindLabel, Metrics};
use prometheus_client::metrics::counter::Counter;
use std::time::Duration;

/// Points that bring no ban yet.
const POINTS_MAX: u32 = 100;
/// How long a point counts.
const POINT_LASTS: Duration = Duration::from_secs(3);
/// The longest ban, and how long a ban is remembered after its end.
const BAN_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const PACE: Pace = Pace {
    interval: POINT_LASTS.as_nanos() as i64,
    size: POINTS_MAX,
};

/// What networks have collected.
pub struct Scores {
    networks: Table<Score>,
    ban_first: Duration,
    refused: Counter,
    banned: Counter,
}

impl Scores {
    /// Nobody has any points yet. A first ban of no length means that there are no bans.
    pub fn new(metrics: &Metrics, ban_first: Duration) -> Self {
        let counter = |kind| metrics.guard_decisions.get_or_create(&KindLabel { kind }).clone();
        Self {
            networks: Table::default(),
            ban_first: ban_first.min(BAN_MAX),
            refused: counter("request_refused"),
            banned: counter("network_banned"),
        }
    }

    /// Whether requests of this network are heard.
    pub fn may_ask(&self, network: Network, now: Timestamp) -> Result<(), RetryAfter> {
        let banned = self.networks.look(&key(network), |score| score.banned_for(now));
        match banned.flatten() {
            None => Ok(()),
            Some(wait) => {
                self.refused.inc();
                Err(RetryAfter::new(wait))
            }
        }
    }

    /// Adds points for a request that was refused; answers with the ban if they bring one.
    pub fn add(&self, network: Network, points: u32, now: Timestamp) -> Option<RetryAfter> {
        if self.ban_first.is_zero() {
            return None;
        }
        let add = |score: &mut Score| score.add(points, self.ban_first, now);
        let ban = self.networks.change(&key(network), now, add);
        if ban.is_some() {
            self.banned.inc();
        }
        ban.map(RetryAfter::new)
    }

    /// Forgets what is over. To be called now and then.
    pub fn sweep(&self, now: Timestamp) {
        self.networks.sweep(now);
    }
}

fn key(network: Network) -> super::Key {
    digest("score", &[&network.octets()])
}

/// What is known of a network.
#[derive(Debug, Default)]
struct Score {
    points: Gcra,
    /// How long the last ban lasts; nothing before the first.
    ban: Duration,
    banned_until: Option<Timestamp>,
}

impl Score {
    fn add(&mut self, points: u32, ban_first: Duration, now: Timestamp) -> Option<Duration> {
        if self.banned_for(now).is_some() {
            return None;
        }
        if self.banned_until.is_some_and(|until| now.since(until) >= BAN_MAX) {
            (self.ban, self.banned_until) = (Duration::ZERO, None);
        }
        if self.points.take(points, PACE, now).is_ok() {
            return None;
        }
        self.points = Gcra::default();
        self.ban = (self.ban * 2).clamp(ban_first, BAN_MAX);
        self.banned_until = Some(now.plus(self.ban));
        Some(self.ban)
    }

    /// How long the network is still banned; never longer than its last ban, whatever the clock did.
    fn banned_for(&mut self, now: Timestamp) -> Option<Duration> {
        let until = self.banned_until?.min(now.plus(self.ban));
        self.banned_until = Some(until);
        (until > now).then(|| until.since(now))
    }
}

impl Entry for Score {
    /// A banned network before one that was, and that before one that only has points.
    fn rank(&self, now: Timestamp) -> Option<u64> {
        let left = |until: Timestamp| {
            let left = u64::try_from(until.since(now).as_micros()).ok();
            left.filter(|left| *left > 0)
        };
        if let Some(until) = self.banned_until {
            let banned = left(until).map(|left| 1 << 62 | left);
            let remembered = || left(until.plus(BAN_MAX)).map(|left| 1 << 61 | left);
            return banned.or_else(remembered).or_else(|| self.points.rank(now));
        }
        self.points.rank(now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{SETS, WAYS};
    use super::*;
    use std::net::IpAddr;

    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;

    fn numbered(number: u32) -> Network {
        IpAddr::from(number.to_be_bytes()).into()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
    }

    fn scores() -> Scores {
        Scores::new(&Metrics::default(), Duration::from_secs(600))
    }

    #[test]
    fn the_operator_says_how_long_a_first_ban_lasts_or_that_there_are_none() {
        let from = numbered(1);
        for (minutes, banned) in [(0, None), (1, Some(60)), (10_000, Some(24 * 3_600))] {
            let scores = Scores::new(&Metrics::default(), Duration::from_secs(minutes * 60));
            let ban = scores.add(from, 101, at(0));
            assert_eq!(ban.map(RetryAfter::seconds), banned, "{minutes}");
            assert_eq!(scores.may_ask(from, at(1)).is_err(), banned.is_some());
        }
    }

    #[test]
    fn points_add_up_and_wear_off() {
        for (points, every, is_banned) in [(10, 0, true), (10, 29, true), (10, 30, false), (101, 1_000, true)]
        {
            let (scores, from) = (scores(), numbered(1));
            let ban = (0..400).find_map(|turn| scores.add(from, points, at(turn * every)));
            assert_eq!(
                ban.map(RetryAfter::seconds),
                is_banned.then_some(600),
                "{points} every {every} s"
            );
        }
    }

    #[test]
    fn a_ban_ends_and_the_next_is_twice_as_long_up_to_a_day() {
        let (scores, from) = (scores(), numbered(1));
        let mut now = 0;
        for minutes in [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440] {
            let ban = scores.add(from, 101, at(now)).unwrap();
            assert_eq!(ban.duration(), Duration::from_secs(minutes * 60));
            let seconds = minutes as i64 * MINUTE;
            assert_eq!(scores.add(from, 101, at(now + 1)), None, "one ban at a time");
            assert!(scores.may_ask(from, at(now + seconds - 1)).is_err());
            assert_eq!(scores.may_ask(from, at(now + seconds)), Ok(()));
            now += seconds + 23 * HOUR;
        }
        now += HOUR;
        assert_eq!(
            scores.add(from, 101, at(now)).unwrap().seconds(),
            600,
            "all is forgiven"
        );
        assert_eq!(scores.banned.get(), 11);
        assert_eq!(scores.may_ask(numbered(2), at(now)), Ok(()));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_ban_longer() {
        let (scores, from) = (scores(), numbered(1));
        scores.add(from, 101, at(10 * HOUR)).unwrap();
        assert_eq!(scores.may_ask(from, at(0)).map_err(RetryAfter::seconds), Err(600));
        assert_eq!(scores.may_ask(from, at(600)), Ok(()));
    }

    #[test]
    fn a_million_other_networks_neither_fill_the_memory_nor_lift_a_ban() {
        let scores = scores();
        scores.add(numbered(7), 101, at(0)).unwrap();
        for number in 1_000..1_001_000 {
            assert_eq!(scores.add(numbered(number), 99, at(1)), None);
        }
        assert!(scores.networks.len() <= SETS * WAYS);
        assert!(scores.may_ask(numbered(7), at(2)).is_err());
        scores.sweep(at(48 * HOUR));
        assert_eq!(scores.networks.len(), 0);
    }
}
