//! The only place that reads time.
//!
//! Everything else is given a [`Clock`] (to ask now) or a [`Timestamp`] (an instant already asked for), so that tests
//! move the clock instead of sleeping. `clippy.toml` bans the other ways to ask.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// An instant: microseconds since the Unix epoch, UTC. The unit of every `*_at` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the Unix epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Seconds since the Unix epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// Days since the Unix epoch, rounded down: the day of a bucket key and of a partition.
    pub const fn day(self) -> i64 {
        self.0.div_euclid(MICROS_PER_DAY)
    }

    /// Midnight, when a day since the Unix epoch begins.
    pub const fn of_day(day: i64) -> Self {
        Self(day.saturating_mul(MICROS_PER_DAY))
    }

    /// The date (UTC) as `2026-01-31`.
    pub fn date(self) -> String {
        let mut text = self.rfc3339();
        text.truncate("2026-01-31".len());
        text
    }

    /// This instant moved into the future, saturating.
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// This instant moved into the past, saturating.
    pub fn minus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// Time from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339, UTC, milliseconds: the form of every time in the API.
    pub fn rfc3339(self) -> String {
        match jiff::Timestamp::from_millisecond(self.millis()) {
            Ok(instant) => format!("{instant:.3}"),
            // Outside of jiff's years -9999 to 9999: no clock gives this, but a row could.
            Err(_) => String::from("9999-12-31T23:59:59.999Z"),
        }
    }

    /// Reads RFC 3339 with an offset.
    pub fn parse_instant(text: &str) -> Option<Self> {
        let instant = text.parse::<jiff::Timestamp>().ok()?;
        Some(Self(instant.as_microsecond()))
    }

    /// Reads RFC 3339 with an offset, or a plain date (midnight UTC).
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(instant) = Self::parse_instant(text) {
            return Some(instant);
        }
        let date = text.parse::<jiff::civil::Date>().ok()?;
        let zoned = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(Self(zoned.timestamp().as_microsecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// Where time comes from: the machine, or a hand that moves it.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's wall clock.
    #[default]
    System,
    /// A clock that stands still until it is moved; microseconds since the Unix epoch.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `start`.
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.micros())))
    }

    /// The present instant.
    #[allow(clippy::disallowed_methods, reason = "this is the one reader of time")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                Timestamp(since_epoch.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
            }
            Self::Manual(micros) => Timestamp(micros.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; the machine's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(micros) = self {
            micros.fetch_add(
                i64::try_from(by.as_micros()).unwrap_or(i64::MAX),
                Ordering::SeqCst,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        assert_eq!(
            Timestamp::from_micros(1_700_000_000_123_999).rfc3339(),
            "2023-11-14T22:13:20.123Z"
        );
        assert_eq!(Timestamp::from_micros(-1).day(), -1);
    }

    #[test]
    fn times_are_read_with_offsets_and_as_plain_dates() {
        let at = Timestamp::parse("2026-11-22T01:00:00+01:00").map(Timestamp::rfc3339);
        assert_eq!(at.as_deref(), Some("2026-11-22T00:00:00.000Z"));
        let day = Timestamp::parse("2026-11-22").map(Timestamp::rfc3339);
        assert_eq!(day.as_deref(), Some("2026-11-22T00:00:00.000Z"));
        assert_eq!(Timestamp::parse("yesterday"), None);
        assert_eq!(Timestamp::parse_instant("2026-11-22"), None);
        assert_eq!(Timestamp::parse_instant("2026-11-22T01:00:00"), None);
    }
}
