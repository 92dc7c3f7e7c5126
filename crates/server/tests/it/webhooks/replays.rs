//! Sending again, samples, and what the log tells.

use super::{create, send, shown};
use crate::harness::{Engine, Habit, House, Receiver, Reply, Setup, eventually, on_both_engines, stays};
use http::Method;
use sealwright::app::Roles;
use sealwright::features::events::Type;
use serde_json::{Value, json};

async fn post(house: &House, endpoint: &Value, path: &str, body: Value) -> Value {
    let path = format!("/v1/webhooks/{}/{path}", endpoint["id"].as_str().unwrap());
    house
        .client
        .post(&path, &house.account.live, &body)
        .await
        .expect(200)
}

async fn deliveries(house: &House, endpoint: &Value, query: &str) -> Value {
    let path = format!(
        "/v1/webhooks/{}/deliveries{query}",
        endpoint["id"].as_str().unwrap()
    );
    house.client.get(&path, &house.account.live).await.expect(200)
}

async fn retry(house: &House, endpoint: &Value, delivery: &Value) -> Reply {
    let (endpoint, delivery) = (endpoint["id"].as_str().unwrap(), delivery.as_str().unwrap());
    let path = format!("/v1/webhooks/{endpoint}/deliveries/{delivery}/retry");
    house
        .client
        .call(Method::POST, &path, &house.account.live, "")
        .await
}

async fn change(house: &House, endpoint: &Value, change: Value) {
    let path = format!("/v1/webhooks/{}", endpoint["id"].as_str().unwrap());
    house
        .client
        .patch(&path, &house.account.live, &change)
        .await
        .expect(200);
}

on_both_engines! {
    async fn a_delivery_is_tried_again_at_once_as_the_same_event(engine: Engine) {
        let house = House::start(engine).await;
        let receiver = Receiver::start(&house.authority).await;
        receiver.habit("/in", 500);
        let endpoint = create(&house, &receiver.url("/in"), &["email.delivered"]).await;
        send(&house).await;
        let first = receiver.wait_at("/in", 1).await.remove(0);
        receiver.habit("/in", 204);
        let list = eventually("the attempt is on record", async || {
            let list = deliveries(&house, &endpoint, "?status=pending").await;
            (list["data"][0]["attempts"] == 1).then_some(list)
        })
        .await;
        let delivery = &list["data"][0];
        assert_eq!((&delivery["responseCode"], &delivery["error"]), (&json!(500), &json!("unexpected_status")));
        assert!(delivery["nextAttemptAt"].is_string());
        for count in 2..=3 {
            retry(&house, &endpoint, &delivery["id"]).await.expect(200);
            let hook = receiver.wait_at("/in", count).await.remove(count - 1);
            assert_eq!((&hook.body, hook.header("webhook-id")), (&first.body, first.header("webhook-id")));
            assert_eq!(hook.header("sealwright-sequence"), "1");
            eventually("it succeeded", async || {
                let list = deliveries(&house, &endpoint, "?status=succeeded").await;
                (list["data"][0]["attempts"] == count).then_some(())
            })
            .await;
        }
        let unknown = retry(&house, &endpoint, &json!("dlv_00000000000000000000000000")).await;
        assert_eq!(unknown.refusal(404).0, "not_found");
    }

    async fn an_event_can_be_sent_to_an_endpoint_that_was_not_there_when_it_happened(engine: Engine) {
        let house = House::start(engine).await;
        let receiver = Receiver::start(&house.authority).await;
        let early = create(&house, &receiver.url("/early"), &["email.delivered"]).await;
        send(&house).await;
        let hook = receiver.wait_at("/early", 1).await.remove(0);
        let late = create(&house, &receiver.url("/late"), &["suppression.*"]).await;
        let asked = json!({"eventId": hook.json()["id"]});
        post(&house, &late, "replay", asked.clone()).await;
        let late_hook = receiver.wait_at("/late", 1).await.remove(0);
        assert_eq!(late_hook.body, hook.body);
        late_hook.verify(late["secret"].as_str().unwrap());
        post(&house, &early, "replay", asked.clone()).await;
        receiver.wait_at("/early", 2).await;
        let path = format!("/v1/webhooks/{}/replay", early["id"].as_str().unwrap());
        let unknown = json!({"eventId": "evt_00000000000000000000000000"});
        assert_eq!(house.client.post(&path, &house.account.live, &unknown).await.refusal(404).0, "not_found");
        for both in [json!({}), json!({"eventId": hook.json()["id"], "since": "2026-01-01T00:00:00Z"})] {
            assert_eq!(house.client.post(&path, &house.account.live, &both).await.refusal(400).0, "invalid_parameter");
        }
    }

    async fn what_an_endpoint_missed_is_sent_and_what_it_took_is_not(engine: Engine) {
        let house = House::start(engine).await;
        let receiver = Receiver::start(&house.authority).await;
        let endpoint = create(&house, &receiver.url("/in"), &["email.delivered"]).await;
        let since = house.platform.clock.now().rfc3339();
        send(&house).await;
        let taken = receiver.wait_at("/in", 1).await.remove(0).json()["id"].clone();
        eventually("it is on record", async || {
            (shown(&house, &endpoint["id"]).await["lastDeliveryStatus"] == "succeeded").then_some(())
        })
        .await;
        change(&house, &endpoint, json!({"status": "disabled"})).await;
        for _ in 0..3 {
            send(&house).await;
        }
        change(&house, &endpoint, json!({"status": "active"})).await;
        post(&house, &endpoint, "replay", json!({"since": since})).await;
        let hooks = receiver.wait_at("/in", 4).await;
        stays("what was taken came again", 20, async || receiver.hooks_at("/in").len() == 4).await;
        assert_eq!(hooks.iter().filter(|hook| hook.json()["id"] == taken).count(), 1);
        let mut numbers: Vec<_> = hooks.iter().map(|hook| hook.header("sealwright-sequence").to_owned()).collect();
        numbers.sort();
        assert_eq!(numbers, ["1", "2", "3", "4"]);
        eventually("the replay has ended", async || {
            (shown(&house, &endpoint["id"]).await["replaying"] == false).then_some(())
        })
        .await;
        eventually("all are taken", async || {
            (deliveries(&house, &endpoint, "?status=succeeded").await["totalCount"] == 4).then_some(())
        })
        .await;
        post(&house, &endpoint, "replay", json!({"since": since, "scope": "all"})).await;
        let hooks = receiver.wait_at("/in", 8).await;
        assert_eq!(hooks.iter().filter(|hook| hook.json()["id"] == taken).count(), 2);
        let path = format!("/v1/webhooks/{}/replay", endpoint["id"].as_str().unwrap());
        let backwards = json!({"since": since, "until": "2020-01-01T00:00:00Z"});
        assert_eq!(house.client.post(&path, &house.account.live, &backwards).await.refusal(400).0, "invalid_parameter");
    }

    async fn a_replay_to_an_endpoint_that_is_disabled_meanwhile_ends(engine: Engine) {
        // Nobody works on it before the endpoint is disabled.
        let mut house = Setup::new(engine).roles(Roles { webhooks: false, ..Roles::ALL }).start().await;
        let endpoint = create(&house, "https://hooks.example/in", &["email.delivered"]).await;
        send(&house).await;
        let since = json!({"since": "2026-01-01T00:00:00Z"});
        post(&house, &endpoint, "replay", since.clone()).await;
        assert_eq!(shown(&house, &endpoint["id"]).await["replaying"], true);
        let path = format!("/v1/webhooks/{}/replay", endpoint["id"].as_str().unwrap());
        let refused = house.client.post(&path, &house.account.live, &since).await;
        assert_eq!(refused.refusal(409).0, "replay_in_progress");
        change(&house, &endpoint, json!({"status": "disabled"})).await;
        house.stop().await;
        house.restart(house.config.clone(), Roles::ALL).await;
        eventually("it has ended", async || {
            (shown(&house, &endpoint["id"]).await["replaying"] == false).then_some(())
        })
        .await;
    }

    async fn a_sample_of_every_type_comes_signed_to_the_endpoint_that_asked(engine: Engine) {
        let house = House::start(engine).await;
        let receiver = Receiver::start(&house.authority).await;
        let endpoint = create(&house, &receiver.url("/in"), &["email.sent"]).await;
        create(&house, &receiver.url("/other"), &["*"]).await;
        for (count, kind) in Type::ALL.into_iter().enumerate() {
            let sent = post(&house, &endpoint, "test", json!({"eventType": kind.name()})).await;
            let hook = receiver.wait_at("/in", count + 1).await.remove(count);
            hook.verify(endpoint["secret"].as_str().unwrap());
            assert_eq!(hook.json()["type"], kind.name());
            assert!(hook.json()["data"].to_string().contains("\"sample\":true"));
            assert!(sent["deliveryId"].as_str().unwrap().starts_with("dlv_"));
        }
        stays("another endpoint was told", 10, async || receiver.hooks_at("/other").is_empty()).await;
    }

    async fn the_log_tells_what_was_sent_signed_and_answered_and_no_secret(engine: Engine) {
        let house = House::start(engine).await;
        let receiver = Receiver::start(&house.authority).await;
        let long = "é".repeat(3_000);
        receiver.habit("/in", Habit { body: long.clone(), headers: vec![("x-answer", "yes")], ..Habit::from(200) });
        let endpoint = create(&house, &receiver.url("/in"), &["email.delivered"]).await;
        change(&house, &endpoint, json!({"headers": {"X-Tenant": "seven-of-nine"}})).await;
        send(&house).await;
        let hook = receiver.wait_at("/in", 1).await.remove(0);
        let list = eventually("it is on record", async || {
            let list = deliveries(&house, &endpoint, "?event_type=email.delivered").await;
            (list["data"][0]["status"] == "succeeded").then_some(list)
        })
        .await;
        let path = format!("/v1/webhooks/{}/deliveries/{}", endpoint["id"].as_str().unwrap(), list["data"][0]["id"].as_str().unwrap());
        let shown = house.client.get(&path, &house.account.live).await.expect(200);
        let attempt = &shown["log"][0];
        assert_eq!((&attempt["number"], &attempt["responseCode"]), (&json!(1), &json!(200)));
        for name in ["webhook-id", "lettr-signature", "webhook-signature", "content-type", "sealwright-sequence"] {
            assert_eq!(attempt["requestHeaders"][name], hook.header(name), "{name}");
        }
        assert_eq!(attempt["requestHeaders"]["x-tenant"], "(hidden)");
        assert!(!shown.to_string().contains("seven-of-nine"));
        let signed = format!("{}.{}", hook.header("webhook-timestamp"), std::str::from_utf8(&hook.body).unwrap());
        assert_eq!(attempt["signedContent"], signed);
        let response = &attempt["response"];
        assert_eq!((&response["headers"]["x-answer"], &response["truncated"]), (&json!("yes"), &json!(true)));
        assert_eq!(response["body"], long[..4_096]);
        assert_eq!(response["tlsVersion"], "TLSv1.3");
        assert!(response["elapsedUs"].as_u64().unwrap() > 0 && response["opening"]["handshakeUs"].is_u64());
        let other = house.client.get(&path, &house.account.test).await;
        assert_eq!(other.refusal(404).0, "not_found", "a test key sees nothing of it");
        assert_eq!(deliveries(&house, &endpoint, "?status=failed").await["totalCount"], 0);
    }
}
