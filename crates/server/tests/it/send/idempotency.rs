//! The same request twice, one e-mail.

use crate::harness::{Engine, House, Reply, on_both_engines, stays};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::Value;
use std::collections::BTreeSet;

async fn send(house: &House, idempotency_key: &str, email: &Value) -> Reply {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/v1/emails")
        .header("authorization", format!("Bearer {}", house.account.live))
        .header("content-type", "application/json")
        .header("idempotency-key", idempotency_key)
        .body(Full::new(Bytes::from(email.to_string())))
        .unwrap();
    house.client.send(request).await
}

on_both_engines! {
    async fn a_repeated_request_gets_the_first_answer_and_sends_nothing(engine: Engine) {
        let house = House::start(engine).await;
        let email = house.email("ada@reader.example");
        let first = send(&house, "order-42", &email).await;
        assert_eq!(first.status, 200);
        assert_eq!(first.header("idempotency-replayed"), "");
        let id = first.json()["id"].as_str().unwrap().to_owned();
        house.reaches(&id, "delivered").await;
        let again = send(&house, "order-42", &email).await;
        assert_eq!(again.status, 200);
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.body, first.body);
        assert_ne!(send(&house, "order-43", &email).await.json()["id"], id);
    }

    async fn a_key_that_was_used_for_another_request_is_refused(engine: Engine) {
        let house = House::start(engine).await;
        send(&house, "order-42", &house.email("ada@reader.example")).await.expect(200);
        let other = send(&house, "order-42", &house.email("bo@reader.example")).await;
        assert_eq!(other.refusal(409).0, "idempotency_key_conflict");
        assert!(!other.text().contains("order-42"));
    }

    async fn a_refused_request_does_not_use_its_key_up(engine: Engine) {
        let house = House::start(engine).await;
        let mut email = house.email("ada@reader.example");
        email["from"] = "hello@stranger.example".into();
        assert_eq!(send(&house, "again", &email).await.refusal(400).0, "domain_unverified");
        send(&house, "again", &house.email("ada@reader.example")).await.expect(200);
    }

    async fn another_organization_may_use_the_same_key(engine: Engine) {
        let house = House::start(engine).await;
        let other = crate::harness::account(&house.platform, "Other", "other.example").await;
        let email = house.email("ada@reader.example");
        let first = send(&house, "order-42", &email).await.expect(200);
        let mut email = email;
        email["from"] = other.address("hello").into();
        let request = Request::post("/v1/emails")
            .header("authorization", format!("Bearer {}", other.live))
            .header("content-type", "application/json")
            .header("idempotency-key", "order-42")
            .body(Full::new(Bytes::from(email.to_string())))
            .unwrap();
        let second = house.client.send(request).await.expect(200);
        assert_ne!(first["id"], second["id"]);
    }

    async fn fifty_identical_requests_at_once_make_one_email(engine: Engine) {
        let house = std::sync::Arc::new(House::start(engine).await);
        let email = house.email("ada@reader.example");
        let requests = (0..50).map(|_| {
            let (house, email) = (std::sync::Arc::clone(&house), email.clone());
            tokio::spawn(async move { send(&house, "rush", &email).await })
        });
        let mut ids = BTreeSet::new();
        let mut firsts = 0;
        for request in requests.collect::<Vec<_>>() {
            let reply = request.await.unwrap();
            assert_eq!(reply.status, 200, "{}", reply.text());
            firsts += usize::from(reply.header("idempotency-replayed").is_empty());
            ids.insert(reply.json()["id"].as_str().unwrap().to_owned());
        }
        assert_eq!((ids.len(), firsts), (1, 1));
        house.reaches(ids.first().unwrap(), "delivered").await;
        stays("a second mail left", 20, async || house.sink.received_count() == 1).await;
        let list = house.client.get("/v1/emails", &house.account.live).await.expect(200);
        assert_eq!(list["totalCount"], 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_idempotency_key_is_refused() {
    let house = House::start(Engine::Sqlite).await;
    let email = house.email("ada@reader.example");
    let long = "k".repeat(256);
    for bad in ["", "a b", "a/b", "a:b", "ä", long.as_str()] {
        let reply = send(&house, bad, &email).await;
        let (code, param) = reply.refusal(400);
        assert_eq!(
            (code.as_str(), param.as_str()),
            ("invalid_parameter", "Idempotency-Key")
        );
    }
    send(&house, &"k".repeat(255), &email).await.expect(200);
}
