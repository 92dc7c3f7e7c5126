//! `/v1/webhooks`: endpoints, and what reaches them.

mod addresses;
mod changes;
mod order;
mod replays;

use crate::harness::{Engine, Hook, House, Receiver, Setup, eventually, on_both_engines, stays};
use sealwright::clock::Clock;
use serde_json::{Value, json};
use std::time::Duration;

async fn create(house: &House, url: &str, events: &[&str]) -> Value {
    let new = json!({"url": url, "events": events});
    house
        .client
        .post("/v1/webhooks", &house.account.live, &new)
        .await
        .expect(201)
}

async fn shown(house: &House, id: &Value) -> Value {
    let path = format!("/v1/webhooks/{}", id.as_str().unwrap());
    house.client.get(&path, &house.account.live).await.expect(200)
}

async fn send(house: &House) -> String {
    let id = house.accepted(&house.email("ada@reader.example")).await;
    house.reaches(&id, "delivered").await;
    id
}

fn kinds(hooks: &[Hook]) -> Vec<String> {
    let mut kinds: Vec<_> = hooks
        .iter()
        .map(|hook| hook.json()["type"].as_str().unwrap().to_owned())
        .collect();
    kinds.sort();
    kinds
}

on_both_engines! {
    async fn an_endpoint_is_made_shown_listed_and_deleted(engine: Engine) {
        let house = House::start(engine).await;
        let new = json!({"url": "https://hooks.example/in?a=1", "events": ["email.delivered", "email.*"], "description": "all of it"});
        let created = house.client.post("/v1/webhooks", &house.account.live, &new).await.expect(201);
        assert_eq!(created["object"], "webhook");
        assert_eq!(created["url"], "https://hooks.example/in?a=1");
        assert_eq!(created["events"], json!(["email.delivered", "email.*"]));
        assert_eq!((&created["status"], &created["failureCount"]), (&json!("active"), &json!(0)));
        assert!(created["id"].as_str().unwrap().starts_with("wh_"));
        assert!(created["secret"].as_str().unwrap().starts_with("whsec_"));
        let mut expected = created.clone();
        expected.as_object_mut().unwrap().remove("secret");
        assert_eq!(shown(&house, &created["id"]).await, expected, "the secret is shown once");
        let second = create(&house, "https://hooks.example/second", &["*"]).await;
        assert_ne!(second["secret"], created["secret"]);
        let list = house.client.get("/v1/webhooks", &house.account.live).await.expect(200);
        assert_eq!(list["data"][0], expected);
        assert_eq!((&list["totalCount"], &list["hasMore"]), (&json!(2), &json!(false)));
        let page = house.client.get("/v1/webhooks?limit=1", &house.account.live).await.expect(200);
        assert_eq!((&page["data"][0]["id"], &page["hasMore"]), (&created["id"], &json!(true)));
        let after = format!("/v1/webhooks?starting_after={}", created["id"].as_str().unwrap());
        let page = house.client.get(&after, &house.account.live).await.expect(200);
        assert_eq!((&page["data"][0]["id"], &page["hasMore"]), (&second["id"], &json!(false)));
        let path = format!("/v1/webhooks/{}", created["id"].as_str().unwrap());
        let deleted = house.client.delete(&path, &house.account.live).await.expect(200);
        assert_eq!(deleted, json!({"id": created["id"], "object": "webhook", "deleted": true}));
        for _ in 0..2 {
            assert_eq!(house.client.get(&path, &house.account.live).await.refusal(404).0, "not_found");
            assert_eq!(house.client.delete(&path, &house.account.live).await.refusal(404).0, "not_found");
        }
    }

    async fn a_failed_request_is_repeated_with_the_same_event_and_a_new_time(engine: Engine) {
        let clock = Clock::manual(Clock::System.now().minus(Duration::from_secs(120)));
        let house = Setup::new(engine).clock(&clock).start().await;
        let receiver = Receiver::start(&house.authority).await;
        receiver.answer([500, 302]);
        let created = create(&house, &receiver.url("/in"), &["email.delivered"]).await;
        send(&house).await;
        let secret = created["secret"].as_str().unwrap();
        let first = receiver.wait_for(1).await.remove(0);
        eventually("the failure is counted", async || {
            (shown(&house, &created["id"]).await["failureCount"] == 1).then_some(())
        })
        .await;
        let endpoint = shown(&house, &created["id"]).await;
        assert_eq!((&endpoint["status"], &endpoint["lastDeliveryStatus"]), (&json!("active"), &json!("pending")));
        stays("it was repeated before it was due", 10, async || receiver.hooks().len() == 1).await;
        clock.advance(Duration::from_secs(67));
        receiver.wait_for(2).await;
        eventually("a redirect is a failure too", async || {
            (shown(&house, &created["id"]).await["failureCount"] == 2).then_some(())
        })
        .await;
        clock.advance(Duration::from_secs(331));
        let hooks = receiver.wait_for(3).await;
        for hook in &hooks[1..] {
            assert_eq!(hook.body, first.body);
            assert_eq!(hook.header("webhook-id"), first.header("webhook-id"));
            assert_ne!(hook.header("webhook-timestamp"), first.header("webhook-timestamp"));
            hook.check_signatures(secret);
        }
        eventually("the endpoint is well again", async || {
            let endpoint = shown(&house, &created["id"]).await;
            (endpoint["failureCount"] == 0 && endpoint["lastDeliveryStatus"] == "succeeded").then_some(())
        })
        .await;
        clock.advance(Duration::from_secs(100_000));
        stays("a delivery that succeeded was repeated", 10, async || receiver.hooks().len() == 3).await;
    }

    async fn an_endpoint_that_answers_gone_is_disabled(engine: Engine) {
        let house = House::start(engine).await;
        let receiver = Receiver::start(&house.authority).await;
        receiver.answer([410]);
        let created = create(&house, &receiver.url("/in"), &["email.delivered"]).await;
        send(&house).await;
        receiver.wait_for(1).await;
        eventually("it is disabled", async || {
            (shown(&house, &created["id"]).await["status"] == "disabled").then_some(())
        })
        .await;
        send(&house).await;
        stays("it was written to again", 20, async || receiver.hooks().len() == 1).await;
    }

    async fn an_endpoint_gets_the_events_it_asked_for_and_none_once_it_is_deleted(engine: Engine) {
        let house = House::start(engine).await;
        let receiver = Receiver::start(&house.authority).await;
        let delivered = create(&house, &receiver.url("/delivered"), &["email.delivered"]).await;
        create(&house, &receiver.url("/all"), &["email.*"]).await;
        send(&house).await;
        assert_eq!(kinds(&receiver.wait_for(3).await), ["email.delivered", "email.delivered", "email.sent"]);
        let path = format!("/v1/webhooks/{}", delivered["id"].as_str().unwrap());
        house.client.delete(&path, &house.account.live).await.expect(200);
        send(&house).await;
        let hooks = receiver.wait_for(5).await;
        stays("the deleted endpoint got more", 10, async || receiver.hooks().len() == 5).await;
        assert_eq!(hooks.iter().filter(|hook| hook.path == "/delivered").count(), 1);
    }

    async fn test_events_go_to_test_endpoints_only(engine: Engine) {
        let house = House::start(engine).await;
        let receiver = Receiver::start(&house.authority).await;
        create(&house, &receiver.url("/live"), &["*"]).await;
        let new = json!({"url": receiver.url("/test"), "events": ["*"]});
        house.client.post("/v1/webhooks", &house.account.test, &new).await.expect(201);
        let email = house.email("bounced@reader.example");
        house.client.post("/v1/emails", &house.account.test, &email).await.expect(200);
        let hooks = receiver.wait_for(2).await;
        assert_eq!(kinds(&hooks), ["email.bounced", "email.sent"]);
        assert!(hooks.iter().all(|hook| hook.path == "/test" && hook.json()["mode"] == "test"));
        send(&house).await;
        let hooks = receiver.wait_for(4).await;
        assert!(hooks[2..].iter().all(|hook| hook.path == "/live" && hook.json()["mode"] == Value::Null));
    }

    async fn a_private_address_is_not_connected_to_unless_the_operator_allows_it(engine: Engine) {
        let house = Setup::new(engine).set("net.allow_private", "").start().await;
        let receiver = Receiver::start(&house.authority).await;
        let created = create(&house, &receiver.url("/in"), &["email.delivered"]).await;
        send(&house).await;
        eventually("the refusal is counted", async || {
            (shown(&house, &created["id"]).await["failureCount"] == 1).then_some(())
        })
        .await;
        assert!(receiver.hooks().is_empty());
    }

    async fn no_more_endpoints_than_the_limit_are_made(engine: Engine) {
        let house = House::start(engine).await;
        for number in 0..sealwright::limits::WEBHOOKS_MAX {
            create(&house, &format!("https://hooks.example/{number}"), &["*"]).await;
        }
        let new = json!({"url": "https://hooks.example/more", "events": ["*"]});
        let refused = house.client.post("/v1/webhooks", &house.account.live, &new).await;
        assert_eq!(refused.refusal(403).0, "limit_reached");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_field_of_an_endpoint_is_named_and_its_value_is_not_told() {
    let house = House::start(Engine::Sqlite).await;
    let good = json!({"url": "https://hooks.example/in", "events": ["*"], "description": "x"});
    let long = format!("https://hooks.example/{}", "canary".repeat(1000));
    let urls = [
        "",
        "canary",
        "http://canary.example/in",
        "ftp://canary.example",
        "https://",
        "https://canary:secret@hooks.example/",
        "https://hooks.example:0/canary",
        "https://canary example/",
        "https://hooks.example/\r\ncanary",
        "https://\u{202e}canary.example/",
        long.as_str(),
    ];
    let mut cases: Vec<_> = urls.iter().map(|url| ("url", json!(url), "url")).collect();
    cases.extend([
        ("url", Value::Null, "url"),
        ("url", json!(["https://canary.example"]), "url"),
        ("events", Value::Null, "events"),
        ("events", json!([]), "events"),
        ("events", json!("email.sent"), "events"),
        ("events", json!(["email.sent", "email.canary"]), "events/1"),
        ("events", json!(["e*"]), "events/0"),
        ("events", json!(["email.sent email.bounced"]), "events/0"),
        ("events", json!(vec!["*"; 51]), "events"),
        ("description", json!("canary\ncanary"), "description"),
        ("description", json!("canary".repeat(43)), "description"),
        ("secret", json!("whsec_canary"), "secret"),
    ]);
    for (field, value, param) in cases {
        let mut new = good.clone();
        let what = format!("{field} = {:.80}", value.to_string());
        if value.is_null() {
            new.as_object_mut().unwrap().remove(field);
        } else {
            new[field] = value;
        }
        let reply = house.client.post("/v1/webhooks", &house.account.live, &new).await;
        assert_eq!(
            reply.refusal(400),
            ("invalid_parameter".into(), param.into()),
            "{what}"
        );
        assert!(!reply.text().contains("canary"), "{what} is echoed");
    }
}

/// Deliveries with content that is awkward to sign twice alike, left for receivers' libraries of other makes to verify.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn awkward_content_is_signed_as_it_is_sent() {
    let house = House::start(Engine::Sqlite).await;
    let receiver = Receiver::start(&house.authority).await;
    let secret = create(&house, &receiver.url("/in"), &["*"]).await["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut email = house.email("Jürgen \u{1f4e8} <juergen@reader.example>");
    for (subject, metadata) in [
        ("Plain", json!({})),
        (
            "Quotes \" and \\ and / and \u{2028}".trim_end_matches('\u{2028}'),
            json!({"<a&b>": "</script>"}),
        ),
        (
            "\u{8acb}\u{6c42}\u{66f8} \u{1f9fe}",
            json!({"10": 1, "9": 2, "b": 1.5, "a": true, "01": "x", "1e3": -0.25}),
        ),
        (
            "Text\tand space",
            json!({"tab": "a\tb", "nul": "\u{0}", "del": "\u{7f}", "line": "a\r\nb", "sep": "\u{2028}\u{2029}"}),
        ),
        (
            "Numbers",
            json!({"big": 9_007_199_254_740_991_i64, "small": 0.0001, "negative": -1, "whole": 1.0}),
        ),
    ] {
        email["subject"] = json!(subject);
        email["metadata"] = metadata;
        house.accepted(&email).await;
    }
    let hooks = receiver.wait_for(10).await;
    let mut lines = String::new();
    for hook in &hooks {
        hook.verify(&secret);
        let headers: serde_json::Map<String, Value> = hook
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap())))
            .collect();
        let body = std::str::from_utf8(&hook.body).unwrap();
        lines += &json!({"headers": headers, "body": body, "secret": secret}).to_string();
        lines.push('\n');
    }
    if let Some(folder) = std::env::var_os("CROSS_CHECK_DIR") {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(std::path::Path::new(&folder).join("webhooks.jsonl"), lines).unwrap();
    }
}
