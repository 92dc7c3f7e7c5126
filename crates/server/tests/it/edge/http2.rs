//! What HTTP/2 lets a client do cheaply and a server pay for.

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PING, REFUSED_STREAM,
    RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE, frame, get,
};
use super::{Stage, ask};
use crate::harness::eventually;
use std::time::Duration;

/// More than any budget for misbehaviour.
const FLOOD: u32 = 2000;
/// Gives a stream up (RFC 9113 §7).
const CANCEL: [u8; 4] = [0, 0, 0, 8];

#[tokio::test]
async fn its_limits_are_announced() {
    let stage = Stage::start(|_| {}).await;
    let mut raw = Raw::open(&stage, "127.0.0.1").await;
    let settings = raw.until(&[SETTINGS]).await.unwrap();
    let announced: Vec<_> = settings
        .payload
        .chunks(6)
        .map(|setting| {
            let value = u32::from_be_bytes(setting[2..].try_into().unwrap());
            (u16::from_be_bytes([setting[0], setting[1]]), value)
        })
        .collect();
    // Streams, the window of each, bytes of a head (RFC 9113 §6.5.2).
    for expected in [(3, 100), (4, 128 * 1024), (6, 32 * 1024)] {
        assert!(
            announced.contains(&expected),
            "{expected:?} is not in {announced:?}"
        );
    }
}

#[tokio::test]
async fn one_stream_too_many_is_refused_and_the_others_live() {
    let stage = Stage::start(|_| {}).await;
    let mut raw = Raw::open(&stage, "127.0.0.1").await;
    assert!(raw.settle().await);
    for number in 0..=100 {
        let wait = frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &get("/wait"));
        assert!(raw.send(&wait).await);
    }
    let reset = raw.until(&[RST_STREAM]).await.unwrap();
    assert_eq!((reset.stream, reset.number(0)), (201, REFUSED_STREAM));
    stage.release(100);
    assert!(raw.until(&[DATA]).await.is_some());
}

/// Gives up each request right after it was begun, until the server has had enough; returns how many it took.
async fn reset_flood(raw: &mut Raw, is_bulk: bool) -> u32 {
    for number in 0..FLOOD {
        let stream = 2 * number + 1;
        let begin = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/wait"));
        let give_up = frame(RST_STREAM, 0, stream, &CANCEL);
        let is_taken = if is_bulk {
            raw.send(&[begin, give_up].concat()).await
        } else {
            raw.send(&begin).await && raw.settle().await && raw.send(&give_up).await
        };
        if !is_taken {
            return number;
        }
    }
    FLOOD
}

#[tokio::test]
async fn requests_given_up_before_they_are_looked_at_end_their_connection() {
    let stage = Stage::start(|_| {}).await;
    let mut raw = Raw::open(&stage, "127.0.0.1").await;
    reset_flood(&mut raw, true).await;
    // The connection ends with the reason, or without when bytes of the flood were still on their way.
    while let Some(frame) = raw.read().await {
        if frame.kind == GOAWAY {
            assert_eq!(frame.number(4), ENHANCE_YOUR_CALM);
        }
    }
    eventually("the flood is counted", async || {
        (stage.closed("http2_flood") == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn whoever_breaks_the_rules_is_cut_off_and_counted() {
    let stage = Stage::start(|_| {}).await;
    let mut raw = Raw::open(&stage, "127.0.0.1").await;
    assert!(raw.settle().await);
    // A stream that a client may not begin (RFC 9113 §5.1.1).
    assert!(
        raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 2, &get("/peer")))
            .await
    );
    assert!(raw.until(&[GOAWAY]).await.is_some());
    eventually("it is counted", async || {
        (stage.closed("http2_error") == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn requests_given_up_while_they_are_worked_on_end_their_connection_and_a_good_client_is_served() {
    let stage = Stage::start(|_| {}).await;
    let mut good = stage.tls("127.0.0.3").await;
    let mut raw = Raw::open(&stage, "127.0.0.2").await;
    let flood = tokio::spawn(async move { reset_flood(&mut raw, false).await });
    for _ in 0..50 {
        assert_eq!(ask(&mut good, "/peer", "").await.unwrap().status(), "200");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let taken = flood.await.unwrap();
    assert!((100..150).contains(&taken), "{taken} requests were taken");
    assert_eq!(stage.closed("resets"), 1);
    assert_eq!(ask(&mut good, "/peer", "").await.unwrap().status(), "200");
}

#[tokio::test]
async fn whoever_waits_for_answers_may_give_some_up() {
    let stage = Stage::start(|_| {}).await;
    let mut raw = Raw::open(&stage, "127.0.0.1").await;
    for number in 0..300 {
        let (first, second) = (4 * number + 1, 4 * number + 3);
        let begin = |stream, path: &str| frame(HEADERS, END_HEADERS | END_STREAM, stream, &get(path));
        assert!(raw.send(&begin(first, "/wait")).await && raw.settle().await);
        assert!(raw.send(&frame(RST_STREAM, 0, first, &CANCEL)).await);
        assert!(raw.send(&begin(second, "/peer")).await);
        let answered = raw.until(&[DATA]).await.unwrap();
        assert_eq!(
            (answered.stream, answered.payload.as_slice()),
            (second, &b"127.0.0.1"[..])
        );
    }
}

#[tokio::test]
async fn a_client_that_makes_us_reset_its_streams_is_cut_off() {
    let stage = Stage::start(|_| {}).await;
    let mut raw = Raw::open(&stage, "127.0.0.1").await;
    let mut resets = 0;
    for number in 0..FLOOD {
        let stream = 2 * number + 1;
        let begin = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/wait"));
        // A window that outgrows its type is an error of its stream (RFC 9113 §6.9.1).
        let err = frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]);
        if !raw.send(&begin).await || !raw.settle().await || !raw.send(&err).await {
            break;
        }
        match raw.until(&[RST_STREAM, GOAWAY]).await {
            Some(frame) if frame.kind == RST_STREAM => resets += 1,
            _ => break,
        }
    }
    assert!((20..=100).contains(&resets), "it made us reset {resets} streams");
    eventually("the connection is gone", async || {
        (!raw.settle().await).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let stage = Stage::start(|_| {}).await;
    let mut raw = Raw::open(&stage, "127.0.0.1").await;
    assert!(raw.settle().await);
    assert!(raw.send(&frame(HEADERS, END_STREAM, 1, &get("/peer"))).await);
    // A literal field without memory: x: 1000 times y.
    let field = [&[0, 1, b'x', 127, 0xe9, 6][..], &[b'y'; 1000]].concat();
    let mut sent = 0;
    while sent < FLOOD && raw.send(&frame(CONTINUATION, 0, 1, &field)).await {
        sent += 1;
    }
    assert!(sent < FLOOD, "two megabytes of one head were taken");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_the_connection_lives() {
    let stage = Stage::start(|_| {}).await;
    let mut raw = Raw::open(&stage, "127.0.0.1").await;
    assert!(raw.settle().await);
    let field = [&[0, 1, b'x', 127, 0x99, 0x4e][..], &[b'y'; 10_136]].concat();
    assert!(raw.send(&frame(HEADERS, END_STREAM, 1, &get("/peer"))).await);
    for flags in [0, 0, 0, END_HEADERS] {
        assert!(raw.send(&frame(CONTINUATION, flags, 1, &field)).await);
    }
    let refused = raw.until(&[HEADERS, RST_STREAM, GOAWAY]).await.unwrap();
    assert_ne!(refused.kind, GOAWAY);
    assert_eq!(refused.stream, 1);
    assert!(raw.settle().await);
}

#[tokio::test]
async fn frames_that_ask_for_nothing_end_their_connection() {
    let stage = Stage::start(|_| {}).await;
    let floods = [
        frame(PING, 0, 0, b"--ping--"),
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        frame(0xfa, 0, 0, b"of no known kind"),
    ];
    for (count, flood) in (1..).zip(floods) {
        let mut raw = Raw::open(&stage, "127.0.0.1").await;
        assert!(raw.send(&frame(HEADERS, END_HEADERS, 1, &get("/wait"))).await);
        assert!(
            raw.send(&flood.repeat(900)).await && raw.settle().await,
            "kind {}",
            flood[3]
        );
        assert_eq!(stage.closed("idle_frames"), count - 1);
        // It may be gone before all of it is taken.
        raw.send(&flood.repeat(200)).await;
        while raw.read().await.is_some() {}
        assert_eq!(stage.closed("idle_frames"), count, "kind {}", flood[3]);
    }
}

#[tokio::test]
async fn a_request_now_and_then_keeps_no_flood_going_but_answers_may_be_watched() {
    let stage = Stage::start(|_| {}).await;
    for (pings, rounds) in [(90, 40..=40), (300, 3..=8)] {
        let mut raw = Raw::open(&stage, "127.0.0.1").await;
        let mut round = 0;
        while round < 40
            && raw.send(&frame(PING, 0, 0, b"--ping--").repeat(pings)).await
            && raw.settle().await
        {
            let begin = frame(HEADERS, END_HEADERS | END_STREAM, 2 * round + 1, &get("/peer"));
            assert!(raw.send(&begin).await && raw.until(&[DATA]).await.is_some());
            round += 1;
        }
        assert!(rounds.contains(&round), "{round} rounds of {pings} pings");
    }
}
