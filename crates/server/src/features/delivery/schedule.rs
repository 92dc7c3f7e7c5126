//! When an e-mail is tried again: 2 m, 10 m, 30 m, 1 h, 2 h, 4 h, then every 6 h until it expires.

use crate::clock::Timestamp;
use crate::features::emails::{Mailed, NewAttempt};
use crate::platform::vault::random;
use std::time::Duration;

/// The wait after an attempt that could not even begin (store or vault out of reach).
pub(super) const AFTER_INTERNAL_ERROR: Duration = Duration::from_secs(15);

const MINUTE: u64 = 60;
const WAITS_S: [u64; 6] = [
    2 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    60 * MINUTE,
    120 * MINUTE,
    240 * MINUTE,
];
const LAST_WAIT_S: u64 = 360 * MINUTE;
/// Waits vary by up to this part, so that mail deferred together does not come back together.
const JITTER_PERCENT: u64 = 10;

/// The wait after this attempt if it defers.
pub(super) fn after(attempt: &NewAttempt) -> Duration {
    wait(attempt.number, u64::from_ne_bytes(random()))
}

/// The date after a wait, or `None` when it would lie past the e-mail's expiry.
pub(super) fn date(
    mailed: &Mailed,
    wait: Duration,
    now: Timestamp,
    expire_after: Duration,
) -> Option<Timestamp> {
    let due_at = now.plus(wait);
    (due_at <= mailed.released_at.plus(expire_after)).then_some(due_at)
}

/// The wait after the given attempt (1 is the first), between 90 % and 110 % of the plan.
fn wait(attempt: i64, chance: u64) -> Duration {
    let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(0);
    let planned_ms = WAITS_S.get(index).copied().unwrap_or(LAST_WAIT_S) * 1000;
    let spread = planned_ms * JITTER_PERCENT / 100;
    Duration::from_millis(planned_ms - spread + chance % (2 * spread + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_six_hours_with_a_tenth_of_jitter() {
        let minutes = |attempt, chance| wait(attempt, chance).as_secs_f64() / 60.0;
        for (attempt, planned) in [
            (1, 2.0),
            (2, 10.0),
            (3, 30.0),
            (4, 60.0),
            (5, 120.0),
            (6, 240.0),
            (7, 360.0),
            (50, 360.0),
        ] {
            for chance in [0, 1, u64::MAX, 12_345_678_901] {
                let wait = minutes(attempt, chance);
                assert!(
                    (planned * 0.9..=planned * 1.1).contains(&wait),
                    "attempt {attempt}: {wait} minutes"
                );
            }
        }
    }
}
