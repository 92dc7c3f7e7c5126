//! How slow a client may be.

use super::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Raw, frame, get};
use super::{Stage, answer, ask, said_until_closed};
use crate::harness::eventually;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sealwright::entry::edge::Pace;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The deadlines of the field, a tenth or less as long.
const QUICK: Pace = Pace {
    head: Duration::from_millis(400),
    keep_alive: Duration::from_millis(1200),
    body_grace: Duration::from_millis(500),
    body_bytes_per_second_min: 500,
    answer_stall: Duration::from_millis(800),
};

async fn quick() -> Stage {
    Stage::start(|options| options.pace = QUICK).await
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_is_closed() {
    let stage = quick().await;
    let mut silent = stage.tls("127.0.0.1").await;
    assert!(said_until_closed(&mut silent).await.is_empty());
    assert_eq!(stage.closed("idle"), 1);
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off_be_it_the_first_or_a_later_one() {
    let stage = quick().await;
    for (is_used, count) in [(false, 1), (true, 2)] {
        let mut slow = stage.tls("127.0.0.1").await;
        if is_used {
            ask(&mut slow, "/peer", "").await.unwrap();
        }
        let (mut reading, mut writing) = tokio::io::split(slow);
        let trickle = tokio::spawn(async move {
            let begin = b"GET /peer HTTP/1.1\r\nhost: localhost\r\n";
            writing.write_all(begin).await.unwrap();
            for number in 0..100 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let field = format!("x-{number}: y\r\n");
                if writing.write_all(field.as_bytes()).await.is_err() {
                    return number;
                }
            }
            panic!("a hundred fields were taken in five seconds");
        });
        assert!(said_until_closed(&mut reading).await.is_empty());
        assert_eq!((stage.closed("slow_head"), stage.closed("idle")), (count, 0));
        assert!(trickle.await.unwrap() < 60);
    }
}

#[tokio::test]
async fn a_kept_connection_lives_longer_than_a_head_may_take_and_not_for_ever() {
    let stage = quick().await;
    let mut stream = stage.tls("127.0.0.1").await;
    for _ in 0..3 {
        ask(&mut stream, "/peer", "").await.unwrap();
        tokio::time::sleep(QUICK.head * 2).await;
    }
    assert!(said_until_closed(&mut stream).await.is_empty());
    assert_eq!(stage.closed("idle"), 1);
}

#[tokio::test]
async fn a_body_that_crawls_is_answered_408() {
    let stage = quick().await;
    let stream = stage.tls("127.0.0.1").await;
    let (mut reading, mut writing) = tokio::io::split(stream);
    let crawl = tokio::spawn(async move {
        let head = b"POST /read HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n";
        writing.write_all(head).await.unwrap();
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let told = answer(&mut reading).await.unwrap();
    assert_eq!((told.status(), told.code().as_str()), ("408", "request_timeout"));
    assert!(told.header("strict-transport-security").is_some());
    assert_eq!(stage.refused("slow_body"), 1);
    crawl.abort();
}

#[tokio::test]
async fn a_body_at_the_least_rate_arrives() {
    let stage = quick().await;
    let mut stream = stage.tls("127.0.0.1").await;
    let head = b"POST /read HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2000\r\n\r\n";
    stream.write_all(head).await.unwrap();
    // Two seconds, four times the grace.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.write_all(&[b'x'; 100]).await.unwrap();
    }
    assert_eq!(answer(&mut stream).await.unwrap().body, "2000");
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_closed_on_http_1() {
    let stage = quick().await;
    let mut stream = stage.tls("127.0.0.1").await;
    stream
        .write_all(b"GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    eventually("the reader is given up", async || {
        (stage.closed("slow_reader") == 1).then_some(())
    })
    .await;
    assert!(said_until_closed(&mut stream).await.len() < super::BIG_BYTES);
}

#[tokio::test]
async fn a_reader_that_takes_its_time_gets_everything() {
    let stage = quick().await;
    let mut stream = stage.tls("127.0.0.1").await;
    stream
        .write_all(b"GET /big HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let (mut bytes, mut taken) = (vec![0; 1024 * 1024], 0);
    // About three seconds: longer than a stall, and than a connection is kept idle.
    loop {
        let read = stream.read(&mut bytes).await.unwrap();
        if read == 0 {
            break;
        }
        if (taken / (1024 * 1024)) != ((taken + read) / (1024 * 1024)) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        taken += read;
    }
    assert!(taken > super::BIG_BYTES, "{taken}");
}

#[tokio::test]
async fn a_reader_that_opens_no_window_is_closed_on_http_2() {
    let stage = quick().await;
    let stream = stage.tcp("127.0.0.1").await;
    let stream = stage.secure(stream, "h2").await.unwrap();
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .unwrap();
    // The body tells how it ended.
    let driver = tokio::spawn(async move { drop(connection.await) });
    let request = Request::get("https://localhost/big").body(Empty::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    eventually("the reader is given up", async || {
        (stage.closed("slow_reader") == 1).then_some(())
    })
    .await;
    assert!(response.into_body().collect().await.is_err());
    driver.await.unwrap();
}

#[tokio::test]
async fn pings_do_not_keep_an_idle_connection_open() {
    let stage = quick().await;
    let mut raw = Raw::open(&stage, "127.0.0.1").await;
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/peer"));
    assert!(raw.send(&request).await && raw.until(&[DATA]).await.is_some());
    let mut pings = 0;
    while raw.settle().await {
        pings += 1;
        assert!(pings < 60, "it is still open after six seconds");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(pings > 5, "it was closed after {pings} pings");
    eventually("it is counted", async || {
        (stage.closed("idle") == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn answers_that_nobody_takes_make_room_for_those_that_are_taken() {
    let stage = Stage::start(|options| options.answers_bytes_max = 3 * super::BIG_BYTES).await;
    let big = b"GET /big HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut slow = Vec::new();
    for count in 1..=4 {
        let mut stream = stage.tls("127.0.0.2").await;
        stream.write_all(big).await.unwrap();
        let mut first = [0];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(stage.closed("backlog"), u64::from(count > 3));
        slow.push(stream);
    }
    let mut quick = stage.tls("127.0.0.3").await;
    quick.write_all(big).await.unwrap();
    assert!(said_until_closed(&mut quick).await.len() > super::BIG_BYTES);
    assert_eq!(stage.closed("backlog"), 2);
    let mut taken = Vec::new();
    for stream in &mut slow {
        taken.push(said_until_closed(stream).await.len() >= super::BIG_BYTES);
    }
    assert_eq!(taken, [false, false, true, true], "the oldest go first");
}
