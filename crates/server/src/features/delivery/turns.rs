//! Turns: when mail that finds no room comes back.
//!
//! Whatever has no room here goes back to the store with a date, so that what is behind it is found. The dates of a lane or an organization
//! lie as close together as its mail leaves, and a guess at that is not trusted for longer than a few seconds.

use crate::clock::Timestamp;
use std::time::Duration;

/// How far ahead mail that finds its lane full is put off, at most.
const AHEAD_MAX: Duration = Duration::from_secs(600);
/// The same while no pace was measured: by a guess that is too low, a backlog would be put off for as long as that.
const AHEAD_FIRST: Duration = Duration::from_secs(3);
/// So many times faster than turns were given so far, they begin anew from now.
const FASTER: f64 = 2.0;
/// The pace that is reckoned with where none was measured, in messages a second.
const PACE_FIRST: f64 = 2.0;
/// Weight of the last second in a lane's pace.
const PACE_WEIGHT: f64 = 0.3;

/// The pace of a lane or an organization, and the turns that are given at it.
pub(super) struct Turns {
    /// Messages a second, lately; `None` before the first second is over.
    pace: Option<f64>,
    /// The pace that the last turns were given at.
    given_at: f64,
    second: (i64, u32),
    /// When the next message that finds no room gets its turn.
    next: Timestamp,
}

impl Turns {
    /// Of which nothing is known.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            pace: None,
            given_at: PACE_FIRST,
            second: (now.seconds(), 0),
            next: now,
        }
    }

    /// One more message has left.
    pub(super) fn count(&mut self, now: Timestamp) {
        let (second, count) = self.second;
        if second == now.seconds() {
            self.second.1 = count + 1;
            return;
        }
        self.second = (now.seconds(), 1);
        if count == 0 {
            return;
        }
        let count = f64::from(count);
        let pace = self
            .pace
            .map_or(count, |pace| pace + PACE_WEIGHT * (count - pace));
        self.pace = Some(pace);
        if pace > FASTER * self.given_at {
            (self.given_at, self.next) = (pace, now);
        }
    }

    /// Turns begin anew.
    pub(super) fn reset(&mut self, now: Timestamp) {
        self.next = now;
    }

    /// One after the other, at twice the pace, so that the store's queue never runs dry of due work.
    pub(super) fn give(&mut self, earliest: Timestamp, now: Timestamp) -> Timestamp {
        let earliest = earliest.max(now.plus(Duration::from_secs(1)));
        let (pace, ahead_max) = match self.pace {
            Some(pace) => (pace, AHEAD_MAX),
            None => (PACE_FIRST, AHEAD_FIRST),
        };
        self.given_at = pace;
        let gap = Duration::from_secs_f64(0.5 / pace.max(PACE_FIRST / 4.0));
        self.next = self.next.max(earliest).plus(gap).min(earliest.plus(ahead_max));
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_backlog_is_put_off_for_seconds_only_until_its_pace_is_known() {
        let mut turns = Turns::new(at(0));
        let latest = (0..10_000).map(|_| turns.give(at(0), at(0))).max();
        assert!(latest <= Some(at(4)), "{latest:?}");
        turns.count(at(5));
        assert!(
            turns.give(at(5), at(5)) <= at(9),
            "seconds without mail are no pace"
        );
        for second in 5..8 {
            (0..1000).for_each(|_| turns.count(at(second)));
        }
        let given: Vec<Timestamp> = (0..10_000).map(|_| turns.give(at(7), at(7))).collect();
        assert!(
            given[0] <= at(9),
            "turns begin anew with the pace that was measured"
        );
        let span = given[9_999].since(at(7)).as_secs();
        assert!(
            (4..=7).contains(&span),
            "10,000 at 1,000/s have their turn within {span} s"
        );
    }
}
