//! Many e-mails in one request: each accepted or refused by itself, the request done once.

use crate::harness::{Engine, House, Reply, Setup, events_of, eventually, key, on_both_engines, stays};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use sealwright::clock::Clock;
use sealwright::features::orgs::{self, NewOrg, Plan};
use sealwright::mode::Mode;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

async fn post(house: &House, key: &str, idempotency_key: Option<&str>, body: String) -> Reply {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri("/v1/emails/batch")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json");
    if let Some(once) = idempotency_key {
        request = request.header("idempotency-key", once);
    }
    house
        .client
        .send(request.body(Full::new(Bytes::from(body))).unwrap())
        .await
}

async fn send(house: &House, emails: &[Value]) -> Reply {
    post(house, &house.account.live, None, json!(emails).to_string()).await
}

fn ids(answer: &Value) -> Vec<String> {
    let items = answer["data"].as_array().unwrap().iter();
    items
        .filter_map(|item| Some(item["id"].as_str()?.to_owned()))
        .collect()
}

async fn count(house: &House, key: &str) -> Value {
    house.client.get("/v1/emails", key).await.expect(200)["totalCount"].clone()
}

on_both_engines! {
    async fn a_bad_email_does_not_stop_the_others(engine: Engine) {
        let house = House::start(engine).await;
        let good = |to: &str| house.email(to);
        let with = |field: &str, value: Value| {
            let mut email = good("ada@reader.example");
            email[field] = value;
            email
        };
        let bad = [
            (with("to", json!(["bo@reader.example", "nobody"])), "invalid_to", "to/1"),
            (with("subject", json!(5)), "invalid_parameter", "subject"),
            (with("colour", json!("red")), "invalid_parameter", "colour"),
            (json!({"from": good("a")["from"], "to": "ada@reader.example", "text": "t"}), "invalid_parameter", "subject"),
            (with("from", json!("a@stranger.example")), "domain_unverified", "from"),
            (with("scheduledAt", json!("2020-01-01T00:00:00Z")), "invalid_parameter", "scheduledAt"),
            (with("attachments", json!([{"filename": "a", "content": "?"}])), "invalid_parameter", "attachments/0/content"),
            (json!("an e-mail"), "invalid_parameter", ""),
        ];
        let mut batch = vec![good("first@reader.example")];
        batch.extend(bad.iter().map(|(email, ..)| email.clone()));
        batch.push(with("attachments", json!([{"filename": "bill.txt", "content": "YmlsbA=="}])));
        let tomorrow = Clock::System.now().plus(Duration::from_secs(86_400)).rfc3339();
        batch.push(with("scheduledAt", json!(tomorrow)));
        let answer = send(&house, &batch).await.expect(200);
        assert_eq!(answer["object"], "list");
        let data = answer["data"].as_array().unwrap();
        assert_eq!(data.len(), batch.len());
        for (place, item) in data.iter().enumerate() {
            assert_eq!(item["index"], place);
        }
        for ((_, code, param), item) in bad.iter().zip(&data[1..]) {
            let error = &item["error"];
            let told = error["param"].as_str().unwrap_or_default();
            assert_eq!((error["code"].as_str().unwrap(), told), (*code, *param), "{item}");
            assert!(error["message"].is_string() && item["id"].is_null(), "{item}");
        }
        let [first, attached, scheduled] = [&data[0], &data[9], &data[10]];
        assert_eq!((&first["status"], &first["object"], &first["to"]), (&json!("queued"), &json!("email"), &json!(["first@reader.example"])));
        assert_eq!((&scheduled["status"], &scheduled["scheduledAt"]), (&json!("scheduled"), &json!(tomorrow)));
        for item in [first, attached] {
            let shown = house.reaches(item["id"].as_str().unwrap(), "delivered").await;
            assert_eq!(events_of(&shown, "email.sent").len(), 1);
        }
        assert_eq!(count(&house, &house.account.live).await, 3);
        let received = house.sink.received();
        assert!(received.iter().any(|mail| String::from_utf8_lossy(&mail.bytes).contains("bill.txt")));
    }

    async fn a_full_batch_is_delivered_and_one_more_is_refused(engine: Engine) {
        let house = House::start(engine).await;
        let batch: Vec<_> = (0..100).map(|n| house.email(&format!("r{n}@reader.example"))).collect();
        let sent: BTreeSet<_> = ids(&send(&house, &batch).await.expect(200)).into_iter().collect();
        assert_eq!(sent.len(), 100);
        eventually("all are delivered", async || {
            let list = house.client.get("/v1/emails?status=delivered", &house.account.live).await.expect(200);
            (list["totalCount"] == 100).then_some(())
        })
        .await;
        assert_eq!(house.sink.received_count(), 100);
        let mut more = batch;
        more.push(house.email("one-more@reader.example"));
        for body in [json!(more), json!([])] {
            let refused = post(&house, &house.account.live, None, body.to_string()).await;
            assert_eq!(refused.refusal(400), ("invalid_parameter".into(), "body".into()));
        }
        for body in [house.email("ada@reader.example").to_string(), "[{}".to_owned(), "1".to_owned()] {
            let refused = post(&house, &house.account.live, None, body).await;
            assert_eq!(refused.status, 400, "{}", refused.text());
        }
        assert_eq!(count(&house, &house.account.live).await, 100);
    }

    async fn a_repeated_batch_gets_the_first_answer_and_sends_nothing(engine: Engine) {
        let house = std::sync::Arc::new(House::start(engine).await);
        let mut refused = house.email("ada@reader.example");
        refused["from"] = "a@stranger.example".into();
        let body = json!([house.email("ada@reader.example"), refused, house.email("bo@reader.example")]).to_string();
        let requests = (0..20).map(|_| {
            let (house, body) = (std::sync::Arc::clone(&house), body.clone());
            tokio::spawn(async move { post(&house, &house.account.live, Some("monday"), body).await })
        });
        let (mut answers, mut firsts) = (BTreeSet::new(), 0);
        for request in requests.collect::<Vec<_>>() {
            let reply = request.await.unwrap();
            assert_eq!(reply.status, 200, "{}", reply.text());
            firsts += usize::from(reply.header("idempotency-replayed").is_empty());
            answers.insert(reply.text());
        }
        assert_eq!((answers.len(), firsts), (1, 1));
        assert_eq!(count(&house, &house.account.live).await, 2);
        let other = json!([house.email("carl@reader.example")]).to_string();
        let conflict = post(&house, &house.account.live, Some("monday"), other).await;
        assert_eq!(conflict.refusal(409).0, "idempotency_key_conflict");
        for id in ids(&serde_json::from_str(answers.first().unwrap()).unwrap()) {
            house.reaches(&id, "delivered").await;
        }
        stays("more was sent", 10, async || house.sink.received_count() == 2).await;
    }

    async fn test_batches_stay_and_end_by_their_recipients_names(engine: Engine) {
        let house = House::start(engine).await;
        let batch = json!([house.email("bounced@reader.example"), house.email("ada@reader.example")]).to_string();
        let answer = post(&house, &house.account.test, None, batch).await.expect(200);
        for (id, status) in ids(&answer).iter().zip(["bounced", "delivered"]) {
            eventually(status, async || {
                let shown = house.client.get(&format!("/v1/emails/{id}"), &house.account.test).await.expect(200);
                (shown["status"] == status && shown["mode"] == "test").then_some(())
            })
            .await;
        }
        assert_eq!((house.sink.received_count(), count(&house, &house.account.live).await), (0, json!(0)));
    }

    async fn a_batch_costs_as_many_requests_as_it_has_emails(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let house = Setup::new(engine).clock(&clock).start().await;
        let new = NewOrg { name: "Paced", plan: Plan::Free, rate_per_second: None, region: "us" };
        let org = orgs::create(&house.platform, new).await.unwrap().id;
        let live = key(&house.platform, &org, Mode::Live, &["*"]).await;
        // None of them is accepted: what is charged is the asking.
        let batch = |size: usize| json!(vec![json!({}); size]).to_string();
        post(&house, &live, Some("first"), batch(60)).await.expect(200);
        post(&house, &live, None, batch(40)).await.expect(200);
        let refused = post(&house, &live, None, batch(100)).await;
        assert_eq!(refused.refusal(429).0, "rate_limit_exceeded");
        assert_eq!(refused.header("retry-after"), "10", "ten a second");
        assert_eq!(post(&house, &live, Some("first"), batch(60)).await.header("idempotency-replayed"), "true", "costs nothing");
        house.client.get("/v1/me", &live).await.expect(200);
        clock.advance(Duration::from_secs(2));
        post(&house, &live, None, batch(20)).await.expect(200);
        assert_eq!(post(&house, &live, None, batch(1)).await.refusal(429).0, "rate_limit_exceeded");
        // A key's own pace counts beside its organization's, and what one refuses the other is not charged.
        let new = json!({"permissions": ["emails:send"], "rateLimit": {"requests": 50, "period": "hour"}});
        let slow = house.client.post("/v1/api-keys", &house.account.live, &new).await.expect(201);
        let slow = slow["key"].as_str().unwrap();
        post(&house, slow, None, batch(100)).await.expect(200);
        assert_eq!(post(&house, slow, None, batch(1)).await.header("retry-after"), "72");
        for _ in 0..9 {
            post(&house, &house.account.live, None, batch(100)).await.expect(200);
        }
        assert_eq!(post(&house, &house.account.live, None, batch(1)).await.status, 429);
    }
}
