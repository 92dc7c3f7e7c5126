//! The wall between live and test data of one organization.

use crate::harness::{Account, Engine, House, Receiver, eventually, on_both_engines, stays};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

/// What one mode of the organization owns.
struct Side {
    mode: &'static str,
    key: String,
    email: String,
    webhook: String,
}

/// An organization that did the same with its live and with its test key.
struct TwoFaced {
    house: House,
    receiver: Receiver,
    live: Side,
    test: Side,
}

impl TwoFaced {
    async fn start(engine: Engine) -> Self {
        let house = House::start(engine).await;
        let receiver = Receiver::start(&house.authority).await;
        let Account { live, test, .. } = house.account.clone();
        let live = side(&house, &receiver, "live", live).await;
        let test = side(&house, &receiver, "test", test).await;
        Self {
            house,
            receiver,
            live,
            test,
        }
    }

    /// Each side with the other one.
    fn sides(&self) -> [(&Side, &Side); 2] {
        [(&self.live, &self.test), (&self.test, &self.live)]
    }
}

async fn side(house: &House, receiver: &Receiver, mode: &'static str, key: String) -> Side {
    let hook = json!({"url": receiver.url(&format!("/{mode}")), "events": ["*"]});
    let webhook = house.client.post("/v1/webhooks", &key, &hook).await.expect(201);
    let mut email = house.email("ada@reader.example");
    email["tags"] = json!(["shared"]);
    let request = Request::post("/v1/emails")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .header("idempotency-key", "the-same")
        .body(Full::new(Bytes::from(email.to_string())))
        .unwrap();
    let reply = house.client.send(request).await;
    assert_eq!(
        reply.header("idempotency-replayed"),
        "",
        "keys count for each mode by itself"
    );
    let email = reply.expect(200)["id"].as_str().unwrap().to_owned();
    eventually("the mail is delivered", async || {
        let shown = house
            .client
            .get(&format!("/v1/emails/{email}"), &key)
            .await
            .expect(200);
        (shown["status"] == "delivered").then_some(())
    })
    .await;
    let webhook = webhook["id"].as_str().unwrap().to_owned();
    Side {
        mode,
        key,
        email,
        webhook,
    }
}

fn ids(list: &Value) -> Vec<&str> {
    let data = list["data"].as_array().unwrap();
    data.iter().map(|row| row["id"].as_str().unwrap()).collect()
}

on_both_engines! {
    async fn a_key_of_one_mode_sees_and_changes_nothing_of_the_other(engine: Engine) {
        let both = TwoFaced::start(engine).await;
        let client = &both.house.client;
        for (own, other) in both.sides() {
            for path in [
                format!("/v1/emails/{}", other.email),
                format!("/v1/emails/{}", other.email.to_uppercase()),
                format!("/v1/emails/{}/attempts", other.email),
                format!("/v1/webhooks/{}", other.webhook),
            ] {
                assert_eq!(client.get(&path, &own.key).await.refusal(404).0, "not_found", "{path}");
            }
            let path = format!("/v1/webhooks/{}", other.webhook);
            assert_eq!(client.delete(&path, &own.key).await.refusal(404).0, "not_found");
        }
        for (own, _) in both.sides() {
            let shown = client.get(&format!("/v1/emails/{}", own.email), &own.key).await.expect(200);
            assert_eq!(shown["mode"], own.mode);
            let attempts = client.get(&format!("/v1/emails/{}/attempts", own.email), &own.key).await.expect(200);
            assert_eq!(attempts["totalCount"], 1);
            client.get(&format!("/v1/webhooks/{}", own.webhook), &own.key).await.expect(200);
        }
        assert_eq!(both.house.sink.received_count(), 1, "the live one");
    }

    async fn lists_filters_and_cursors_hold_only_the_callers_mode(engine: Engine) {
        let both = TwoFaced::start(engine).await;
        for (own, other) in both.sides() {
            for edge in ["starting_after", "ending_before"] {
                let path = format!("/v1/emails?{edge}={}", other.email);
                let refused = both.house.client.get(&path, &own.key).await.refusal(400);
                assert_eq!(refused, ("invalid_parameter".into(), edge.into()), "as if there were no such e-mail");
            }
            for query in ["", "?tags=shared", "?to=ada@reader.example", "?status=delivered", "?from_date=2000-01-01"] {
                let list = both.house.client.get(&format!("/v1/emails{query}"), &own.key).await.expect(200);
                assert_eq!((ids(&list), &list["totalCount"]), (vec![own.email.as_str()], &json!(1)), "{query}");
                assert_eq!(list["data"][0]["mode"], own.mode);
            }
            let list = both.house.client.get("/v1/webhooks", &own.key).await.expect(200);
            assert_eq!((ids(&list), &list["totalCount"]), (vec![own.webhook.as_str()], &json!(1)));
        }
    }

    async fn events_stay_in_their_mode_and_say_so(engine: Engine) {
        let both = TwoFaced::start(engine).await;
        let hooks = both.receiver.wait_for(4).await;
        stays("an event crossed over", 10, async || both.receiver.hooks().len() == 4).await;
        for (own, _) in both.sides() {
            let mode = if own.mode == "test" { json!("test") } else { Value::Null };
            let path = format!("/{}", own.mode);
            let mine: Vec<_> = hooks.iter().filter(|hook| hook.path == path).map(|hook| hook.json()).collect();
            assert_eq!(mine.len(), 2, "sent and delivered");
            let path = format!("/v1/emails/{}", own.email);
            let shown = both.house.client.get(&path, &own.key).await.expect(200);
            for event in mine.iter().chain(shown["events"].as_array().unwrap()) {
                assert_eq!((&event["data"]["emailId"], &event["mode"]), (&json!(own.email), &mode), "{event}");
            }
        }
    }

    async fn no_request_says_its_way_into_the_other_mode(engine: Engine) {
        let both = TwoFaced::start(engine).await;
        let client = &both.house.client;
        for (own, other) in both.sides() {
            let mut email = both.house.email("ada@reader.example");
            email["mode"] = json!(other.mode);
            assert_eq!(client.post("/v1/emails", &own.key, &email).await.refusal(400).0, "invalid_parameter");
            let hook = json!({"url": both.receiver.url("/in"), "events": ["*"], "mode": other.mode});
            assert_eq!(client.post("/v1/webhooks", &own.key, &hook).await.refusal(400).0, "invalid_parameter");
            for path in ["/v1/emails", "/v1/webhooks"] {
                let path = format!("{path}?mode={}", other.mode);
                assert_eq!(client.get(&path, &own.key).await.refusal(400).0, "invalid_parameter", "{path}");
            }
        }
    }
}
