//! Servers that no honest program would be.

use std::future::Future;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// The server's end of a connection, played by hand.
pub(super) struct Peer {
    stream: TcpStream,
}

impl Peer {
    pub(super) async fn say(&mut self, text: &str) {
        // The client may have left, which is what some tests wait for.
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    /// Reads one line, or several that came together.
    pub(super) async fn line(&mut self) -> String {
        let mut octets = vec![0; 65536];
        let count = self.stream.read(&mut octets).await.unwrap_or(0);
        String::from_utf8_lossy(&octets[..count]).into_owned()
    }

    /// Greets and answers EHLO.
    async fn hello(&mut self, extensions: &str) {
        self.say("220 mx.example ESMTP\r\n").await;
        self.line().await;
        self.say(&format!("250-mx.example\r\n250 {extensions}\r\n")).await;
    }
}

/// Serves one connection.
pub(super) async fn server<F>(play: impl FnOnce(Peer) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        play(Peer { stream }).await;
    });
    addr
}

async fn open_failure(addr: SocketAddr) -> WireFailure {
    Connection::open(&target(addr), &impatient()).await.err().unwrap()
}

#[tokio::test]
async fn dripping_reply_does_not_stretch_the_limit() {
    let addr = server(|mut peer| async move {
        for _ in 0..200 {
            peer.say("220-x\r\n").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let failure = open_failure(addr).await;
    assert_eq!(failure.reason, "the server did not answer greeting in time");
    assert!(failure.steps.last().unwrap().ms < 2000);
}

#[tokio::test]
async fn slow_steps_together_do_not_pass_the_total_limit() {
    let addr = server(|mut peer| async move {
        peer.hello("HELP").await;
        loop {
            if peer.line().await.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            peer.say("250 ok\r\n").await;
        }
    })
    .await;
    let mut options = impatient();
    options.timeouts.total = Duration::from_millis(500);
    let mut connection = Connection::open(&target(addr), &options).await.unwrap();
    let to = ["a@example.net"; 50];
    let transaction = send(&mut connection, &to, b"x\r\n").await;
    assert_eq!(
        words(&transaction)[49],
        "deferred the server did not answer RCPT in time"
    );
    assert!(!transaction.in_doubt);
}

#[tokio::test]
async fn endless_reply_is_cut_off() {
    let addr = server(|mut peer| async move {
        loop {
            peer.say(&"250-x\r\n".repeat(1000)).await;
            if peer.stream.writable().await.is_err() || peer.stream.try_write(b"2").is_err() {
                return;
            }
        }
    })
    .await;
    assert!(
        open_failure(addr)
            .await
            .reason
            .contains("broke the protocol at greeting")
    );
}

#[tokio::test]
async fn other_protocols_are_recognized_as_such() {
    let addr = server(|mut peer| async move { peer.say("HTTP/1.1 400 Bad Request\r\n\r\n").await }).await;
    let failure = open_failure(addr).await;
    assert_eq!(
        failure.reason,
        "the server broke the protocol at greeting: a line that is no SMTP reply"
    );
}

#[tokio::test]
async fn server_that_knows_only_helo_is_served() {
    let addr = server(|mut peer| async move {
        peer.say("220 old\r\n").await;
        assert!(peer.line().await.starts_with("EHLO"));
        peer.say("502 what\r\n").await;
        assert!(peer.line().await.starts_with("HELO client.example"));
        peer.say("250 old\r\n").await;
        for reply in ["250 ok\r\n", "250 ok\r\n", "354 go\r\n"] {
            peer.line().await;
            peer.say(reply).await;
        }
        let mut content = String::new();
        while !content.ends_with("\r\n.\r\n") {
            content.push_str(&peer.line().await);
        }
        assert_eq!(content, "..x\r\n.\r\n");
        peer.say("250 ok\r\n").await;
        peer.line().await;
    })
    .await;
    let mut connection = Connection::open(&target(addr), &impatient()).await.unwrap();
    assert!(!connection.extensions().esmtp);
    assert_eq!(
        words(&send(&mut connection, &["a@example.net"], b".x\r\n").await),
        ["delivered 250"]
    );
}

#[tokio::test]
async fn pipelined_envelope_leaves_in_one_piece() {
    let addr = server(|mut peer| async move {
        peer.hello("PIPELINING").await;
        let group = peer.line().await;
        assert_eq!(group.matches("\r\n").count(), 4, "{group}");
        peer.say("550 no\r\n250 ok\r\n250 ok\r\n354 go\r\n").await;
        // The sender is refused and 354 comes all the same: a lone dot, and nothing of the message.
        assert_eq!(peer.line().await, ".\r\n");
        peer.say("250 ok\r\n").await;
        assert!(peer.line().await.starts_with("MAIL FROM"));
        peer.say("421 bye\r\n").await;
    })
    .await;
    let mut connection = Connection::open(&target(addr), &impatient()).await.unwrap();
    let transaction = send(&mut connection, &["a@example.net", "b@example.net"], b"x\r\n").await;
    assert_eq!(words(&transaction), ["failed 550", "failed 550"]);
    assert!(!transaction.reached_dot);
    assert_eq!(
        words(&send(&mut connection, &["a@example.net"], b"x\r\n").await),
        ["deferred 421"]
    );
}

#[tokio::test]
async fn server_that_stops_reading_does_not_hold_us() {
    let addr = server(|mut peer| async move {
        peer.hello("PIPELINING").await;
        peer.line().await;
        peer.say("250 ok\r\n250 ok\r\n354 go\r\n").await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    })
    .await;
    let mut connection = Connection::open(&target(addr), &impatient()).await.unwrap();
    let transaction = send(&mut connection, &["a@example.net"], &long_message(32 << 20)).await;
    assert_eq!(
        words(&transaction),
        ["deferred the server did not answer content in time"]
    );
    assert!(!transaction.reached_dot && !transaction.in_doubt);
}

#[tokio::test]
async fn closing_word_during_the_mark_keeps_the_dot_back() {
    let addr = server(|mut peer| async move {
        peer.hello("PIPELINING").await;
        peer.line().await;
        peer.say("250 ok\r\n250 ok\r\n354 go\r\n").await;
        peer.line().await;
        peer.say("421 4.3.2 shutting down\r\n").await;
        assert_eq!(peer.line().await, "", "the dot was sent");
    })
    .await;
    let mut connection = Connection::open(&target(addr), &impatient()).await.unwrap();
    let mark = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        ready().await
    };
    let Ok(transaction) = connection
        .send(&envelope(&["a@example.net"]), &[b"x\r\n"], mark)
        .await;
    assert_eq!(words(&transaction), ["deferred 421"]);
    assert!(!transaction.reached_dot && !transaction.in_doubt);
}

#[tokio::test]
async fn half_a_reply_to_the_dot_leaves_doubt() {
    for words_of_server in ["250-queued\r\n", "250 queued", "OK queued\r\n", "354 more\r\n"] {
        let addr = server(move |mut peer| async move {
            peer.hello("PIPELINING").await;
            peer.line().await;
            peer.say("250 ok\r\n250 ok\r\n354 go\r\n").await;
            let mut content = String::new();
            while !content.ends_with(".\r\n") {
                content.push_str(&peer.line().await);
            }
            peer.say(words_of_server).await;
        })
        .await;
        let mut connection = Connection::open(&target(addr), &impatient()).await.unwrap();
        let transaction = send(&mut connection, &["a@example.net"], b"x\r\n").await;
        assert!(
            words(&transaction)[0].starts_with("deferred "),
            "{words_of_server}"
        );
        assert!(transaction.in_doubt, "{words_of_server}");
    }
}

#[tokio::test]
async fn idle_server_s_421_is_heard_by_the_probe() {
    let addr = server(|mut peer| async move {
        peer.hello("PIPELINING").await;
        peer.say("421 4.4.2 idle\r\n").await;
        tokio::time::sleep(Duration::from_secs(10)).await;
    })
    .await;
    // The 421 may come with the reply to EHLO or after it; both are the probe's to notice.
    if let Ok(mut connection) = Connection::open(&target(addr), &impatient()).await {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!connection.idle_probe());
        assert!(connection.take_steps().iter().any(|step| step.code == Some(421)));
    }
}
