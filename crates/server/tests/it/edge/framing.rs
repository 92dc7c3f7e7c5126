//! Requests on HTTP/1 that two readers may read differently, and what stands behind them on the same connection.

use super::{Stage, Told, answer, said_until_closed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What every message ends with: a second request, where a lenient reader finds one.
const INNER: &str = "GET /peer HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Sends a good request and then this one; the answer to the second, behind which the connection has to end.
async fn refused(stage: &Stage, message: &str) -> Told {
    let mut stream = stage.tls("127.0.0.1").await;
    let bytes = [INNER, message].concat();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    assert_eq!(
        answer(&mut stream).await.unwrap().body,
        "127.0.0.1",
        "{message:?}"
    );
    let told = answer(&mut stream).await.unwrap();
    assert!(said_until_closed(&mut stream).await.is_empty(), "{message:?}");
    told
}

#[tokio::test]
async fn a_request_with_two_readings_is_refused_and_nothing_behind_it_is_served() {
    let stage = Stage::start(|_| {}).await;
    let chunks = format!("2\r\n{{}}\r\n0\r\n\r\n{INNER}");
    let plain = format!("{{}}{INNER}");
    let messages = [
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
            &chunks,
            "Transfer-Encoding",
        ),
        (
            "transfer-encoding: chunked, chunked",
            &chunks,
            "Transfer-Encoding",
        ),
        (
            "transfer-encoding: identity, chunked",
            &chunks,
            "Transfer-Encoding",
        ),
        (
            "content-length: 2\r\ntransfer-encoding: chunked",
            &chunks,
            "Transfer-Encoding",
        ),
        (
            "transfer-encoding: chunked\r\ncontent-length: 2",
            &chunks,
            "Transfer-Encoding",
        ),
        ("content-length: 2\r\ncontent-length: 2", &plain, "Content-Length"),
        ("content-length: +2", &plain, "Content-Length"),
        ("x: y\ncontent-length: 2", &plain, "head"),
        ("x: y\rcontent-length: 2", &plain, "head"),
        ("x: y\0\r\ncontent-length: 2", &plain, "head"),
        ("content-length : 2", &plain, "head"),
        ("x: y\r\n content-length: 2", &plain, "head"),
        ("host: localhost\r\ncontent-length: 2", &plain, "Host"),
    ];
    for (fields, body, param) in messages {
        let message = format!("POST /read HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n\r\n{body}");
        let told = refused(&stage, &message).await;
        assert_eq!(
            (told.status(), told.code().as_str()),
            ("400", "invalid_parameter"),
            "{fields:?}"
        );
        assert!(
            told.body.contains(&format!("\"param\":\"{param}\"")),
            "{fields:?}: {}",
            told.body
        );
        assert_eq!(told.header("connection"), Some("close"));
        assert!(told.header("strict-transport-security").is_some());
    }
    assert_eq!(stage.refused("malformed"), messages.len() as u64);
}

#[tokio::test]
async fn transfer_codings_are_not_for_http_1_0() {
    let stage = Stage::start(|_| {}).await;
    let message = format!("POST /read HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{INNER}");
    assert_eq!(refused(&stage, &message).await.code(), "invalid_parameter");
}

#[tokio::test]
async fn what_is_no_request_and_a_head_that_is_too_large_are_refused_like_anything_else() {
    let stage = Stage::start(|_| {}).await;
    let large = format!(
        "GET /peer HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n",
        "y".repeat(32 * 1024)
    );
    let many = format!(
        "GET /peer HTTP/1.1\r\nhost: localhost\r\n{}\r\n",
        "x: y\r\n".repeat(100)
    );
    for message in [
        large.as_str(),
        &many,
        "hello?\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let told = refused(&stage, message).await;
        assert_eq!(
            (told.status(), told.code().as_str()),
            ("400", "invalid_parameter")
        );
        assert!(told.header("strict-transport-security").is_some());
    }
}

#[tokio::test]
async fn requests_in_a_row_are_each_found_where_the_one_before_them_ends() {
    let stage = Stage::start(|_| {}).await;
    let mut stream = stage.tls("127.0.0.1").await;
    let chunked = "POST /read HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    let sized = "POST /read HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8\r\n\r\n\nGET / \n";
    let bytes = [
        chunked,
        "a; b=c\r\n\r\n\r\n345678\r\n0\r\nx: y\r\n\r\n",
        sized,
        "\r\n",
        INNER,
    ]
    .concat();
    for size in [1, 10, bytes.len()] {
        for piece in bytes.as_bytes().chunks(size) {
            stream.write_all(piece).await.unwrap();
            stream.flush().await.unwrap();
        }
        for expected in ["10", "8", "127.0.0.1"] {
            let told = answer(&mut stream).await;
            assert_eq!(
                told.map(|told| told.body).as_deref(),
                Some(expected),
                "in pieces of {size}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_whose_chunks_are_no_chunks_ends_its_connection() {
    let stage = Stage::start(|_| {}).await;
    for body in [
        "2\n{}\r\n0\r\n\r\n",
        "1\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2;\nx\r\n{}\r\n0\r\n\r\n",
    ] {
        let mut stream = stage.tls("127.0.0.1").await;
        let head = "POST /read HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
        stream
            .write_all([head, body, INNER].concat().as_bytes())
            .await
            .unwrap();
        let mut said = String::new();
        // An error is an end, too.
        let _ = stream.read_to_string(&mut said).await;
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{body:?}: {said}");
    }
}
