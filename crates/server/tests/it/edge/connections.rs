//! How many connections and requests there may be, and whose.

use super::{Stage, ask, said_until_closed};
use crate::harness::eventually;
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn a_network_has_its_own_maximum_of_connections() {
    let stage = Stage::start(|options| options.connections_per_network_max = 3).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(stage.tls("127.0.0.2").await);
    }
    let mut fourth = stage.tcp("127.0.0.2").await;
    assert!(said_until_closed(&mut fourth).await.is_empty());
    assert_eq!(stage.closed("network_full"), 1);
    let mut other = stage.tls("127.0.0.3").await;
    assert_eq!(ask(&mut other, "/peer", "").await.unwrap().body, "127.0.0.3");
    for stream in &mut held {
        assert_eq!(ask(stream, "/peer", "").await.unwrap().body, "127.0.0.2");
    }
    drop(held);
    eventually("the network's slots are free again", async || {
        let stream = stage.tcp("127.0.0.2").await;
        let mut stream = stage.secure(stream, "http/1.1").await.ok()?;
        ask(&mut stream, "/peer", "").await
    })
    .await;
}

#[tokio::test]
async fn a_newcomer_gets_in_for_an_idle_connection_of_the_network_that_holds_most() {
    let stage = Stage::start(|options| options.connections_max = 4).await;
    let mut flood = Vec::new();
    for _ in 0..4 {
        let mut stream = stage.tls("127.0.0.2").await;
        ask(&mut stream, "/peer", "").await.unwrap();
        flood.push(stream);
    }
    let mut more = stage.tcp("127.0.0.2").await;
    assert!(said_until_closed(&mut more).await.is_empty());
    assert_eq!(stage.closed("full"), 1);
    let mut guest = stage.tls("127.0.0.3").await;
    assert_eq!(ask(&mut guest, "/peer", "").await.unwrap().body, "127.0.0.3");
    eventually("one of the flood is shed", async || {
        (stage.closed("shed") == 1).then_some(())
    })
    .await;
    assert!(
        ask(&mut flood[0], "/peer", "").await.is_none(),
        "the oldest is gone"
    );
    for stream in &mut flood[1..] {
        ask(stream, "/peer", "").await.unwrap();
    }
}

#[tokio::test]
async fn a_request_under_way_is_never_shed() {
    let stage = Stage::start(|options| options.connections_max = 2).await;
    let mut busy = [stage.tls("127.0.0.2").await, stage.tls("127.0.0.2").await];
    for stream in &mut busy {
        stream
            .write_all(b"GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .unwrap();
    }
    // Both have to be under way: the newcomer of a moment before would find them idle.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let mut guest = stage.tcp("127.0.0.3").await;
    assert!(said_until_closed(&mut guest).await.is_empty());
    stage.release(2);
    for stream in &mut busy {
        assert_eq!(super::answer(stream).await.unwrap().body, "waited");
    }
    assert_eq!((stage.closed("full"), stage.closed("shed")), (1, 0));
}

#[tokio::test]
async fn a_network_may_have_as_many_requests_as_are_still_free() {
    let stage = Stage::start(|options| options.requests_max = 4).await;
    let wait = b"GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut busy = [stage.tls("127.0.0.2").await, stage.tls("127.0.0.2").await];
    for stream in &mut busy {
        stream.write_all(wait).await.unwrap();
    }
    let mut third = stage.tls("127.0.0.2").await;
    let refused = eventually("the third request is refused", async || {
        let told = ask(&mut third, "/peer", "").await?;
        (told.status() == "503").then_some(told)
    })
    .await;
    assert_eq!(refused.code(), "overloaded");
    assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    assert!(refused.header("strict-transport-security").is_some());
    assert!(stage.refused("overloaded") >= 1);
    let mut guest = stage.tls("127.0.0.3").await;
    assert_eq!(ask(&mut guest, "/peer", "").await.unwrap().status(), "200");
    stage.release(2);
    for stream in &mut busy {
        assert_eq!(super::answer(stream).await.unwrap().body, "waited");
    }
    assert_eq!(ask(&mut third, "/peer", "").await.unwrap().status(), "200");
}
