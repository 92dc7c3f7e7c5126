//! When a delivery is tried again.

use super::dispatch::Heard;
use crate::clock::Timestamp;
use crate::platform::vault::random;
use http::StatusCode;
use http::header::RETRY_AFTER;
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// Waits after the first, second, … failed attempt; after the last of them the delivery has failed.
const WAITS_S: [u64; 6] = [MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 8 * HOUR, 24 * HOUR];
/// Waits are longer by up to this part, so that deliveries that failed together do not come back together.
const JITTER_PERCENT: u64 = 10;
/// The longest wait that an endpoint may ask for.
const ASKED_MAX: Duration = Duration::from_secs(24 * HOUR);

/// When a delivery is tried again after its attempt-th attempt; `None` when it was taken, never will be, or was tried for the last time.
pub(super) fn next(attempt: i64, heard: &Heard, now: Timestamp) -> Option<Timestamp> {
    match heard.answer() {
        Some(answer) if answer.status.is_success() || answer.status == StatusCode::GONE => return None,
        _ => {}
    }
    let planned = now.plus(wait(attempt)?);
    Some(asked(heard, now).map_or(planned, |asked| asked.max(planned)))
}

fn wait(attempt: i64) -> Option<Duration> {
    let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(0);
    let planned_ms = WAITS_S.get(index)? * 1000;
    let chance = u64::from_ne_bytes(random());
    let jitter_ms = chance % (planned_ms * JITTER_PERCENT / 100 + 1);
    Some(Duration::from_millis(planned_ms + jitter_ms))
}

/// Until when the endpoint asks to be left alone (`Retry-After`, RFC 9110 §10.2.3).
fn asked(heard: &Heard, now: Timestamp) -> Option<Timestamp> {
    let field = heard.answer()?.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let at = match field.parse::<u64>() {
        Ok(seconds) => now.plus(Duration::from_secs(seconds.min(ASKED_MAX.as_secs()))),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(field).ok()?;
            Timestamp::from_micros(date.timestamp().as_microsecond())
        }
    };
    Some(at.min(now.plus(ASKED_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::net::{Answer, HttpFailure};
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue};
    use std::net::{IpAddr, Ipv4Addr};

    fn answered(status: StatusCode, retry_after: Option<&'static str>) -> Heard {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        }
        Heard::Answer(Answer {
            status,
            headers,
            body: Bytes::new(),
            truncated: false,
            elapsed: Duration::ZERO,
            tls_version: None,
            remote: IpAddr::V4(Ipv4Addr::LOCALHOST),
            opening: None,
        })
    }

    #[test]
    fn a_delivery_is_tried_seven_times_over_a_day_and_a_half() {
        let now = Timestamp::from_micros(0);
        let heard = Heard::Failure(HttpFailure::Timeout);
        let waits: Vec<_> = (1..=7)
            .map(|attempt| next(attempt, &heard, now).map(Timestamp::seconds))
            .collect();
        for (wait, planned) in waits.iter().zip([60, 300, 1_800, 7_200, 28_800, 86_400]) {
            assert!(
                wait.is_some_and(|wait| (planned..=planned * 11 / 10).contains(&wait)),
                "{waits:?}"
            );
        }
        assert_eq!(waits.last(), Some(&None));
    }

    #[test]
    fn an_endpoint_may_ask_for_a_longer_wait_but_not_for_a_shorter_one() {
        let now = Timestamp::from_micros(0);
        let wait = |field| next(1, &answered(StatusCode::TOO_MANY_REQUESTS, Some(field)), now).unwrap();
        assert_eq!(wait("600").seconds(), 600);
        assert!((60..=66).contains(&wait("1").seconds()));
        assert_eq!(wait("Thu, 01 Jan 1970 00:20:00 GMT").seconds(), 1_200);
        assert_eq!(wait("99999999999").seconds(), 86_400);
        assert!((60..=66).contains(&wait("soon").seconds()));
    }

    #[test]
    fn what_was_taken_or_is_gone_for_good_is_not_tried_again() {
        let now = Timestamp::from_micros(0);
        for (status, is_over) in [
            (200, true),
            (204, true),
            (410, true),
            (301, false),
            (404, false),
            (500, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                next(1, &answered(status, None), now).is_none(),
                is_over,
                "{status}"
            );
        }
    }
}
