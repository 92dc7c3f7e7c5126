//! Port 80: never a redirect, never a key.

use super::{answer, ask, connect};
use crate::harness::{Engine, House, Setup, eventually};
use tokio::io::AsyncWriteExt as _;

async fn house() -> House {
    Setup::new(Engine::Sqlite)
        .set("server.http_listen", "127.0.0.1:0")
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_is_refused_and_never_redirected() {
    let house = house().await;
    let address = house.http_address().unwrap();
    let key = format!("authorization: Bearer {}\r\n", house.account.live);
    for (path, headers) in [
        ("/", ""),
        ("/v1/emails", key.as_str()),
        ("/healthz", ""),
        ("/metrics", ""),
        ("/v1/emails?key=x", "x-forwarded-proto: https\r\n"),
    ] {
        let mut stream = connect(address, "127.0.0.1").await;
        let told = ask(&mut stream, path, headers).await.unwrap();
        assert_eq!(
            (told.status(), told.code().as_str()),
            ("403", "https_required"),
            "{path}"
        );
        assert_eq!(told.header("connection"), Some("close"));
        for absent in ["location", "set-cookie", "strict-transport-security"] {
            assert_eq!(told.header(absent), None, "{path}");
        }
        assert!(
            ask(&mut stream, path, "").await.is_none(),
            "the connection is over"
        );
    }
    eventually("the key that was said in the clear is revoked", async || {
        let reply = house.client.get("/v1/emails", &house.account.live).await;
        (reply.status == 401).then_some(())
    })
    .await;
    assert!(
        house
            .audited()
            .await
            .contains(&"system api_key.exposed".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_the_path_or_the_body_of_plain_http_is_revoked_too() {
    let house = house().await;
    let address = house.http_address().unwrap();
    let mut stream = connect(address, "127.0.0.1").await;
    let path = format!("/v1/emails?api_key={}", house.account.live);
    assert_eq!(
        ask(&mut stream, &path, "").await.unwrap().code(),
        "https_required"
    );
    let mut stream = connect(address, "127.0.0.1").await;
    let body = format!("{{\"key\":\"{}\"}}", house.account.test);
    let head = format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap().code(), "https_required");
    for key in [&house.account.live, &house.account.test] {
        eventually("the key is revoked", async || {
            (house.client.get("/v1/emails", key).await.status == 401).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_and_version_is_refused_the_same_way() {
    let house = house().await;
    let address = house.http_address().unwrap();
    for request in [
        "POST /v1/emails HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}",
        "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET /.well-known/acme-challenge HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let mut stream = connect(address, "127.0.0.1").await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let told = answer(&mut stream).await.unwrap();
        assert_eq!(
            (told.status(), told.code().as_str()),
            ("403", "https_required"),
            "{request}"
        );
    }
    let mut stream = connect(address, "127.0.0.1").await;
    let told = ask(&mut stream, "/.well-known/acme-challenge/nobodys", "")
        .await
        .unwrap();
    assert_eq!(told.status(), "404");
}
