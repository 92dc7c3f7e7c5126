//! What can be changed of an endpoint: where, what, how, with which secret, and whether at all.

use super::{create, send, shown};
use crate::harness::{Engine, Habit, Hook, House, Receiver, Setup, on_both_engines, stays};
use aws_lc_rs::hmac;
use sealwright::clock::Clock;
use serde_json::{Value, json};
use std::time::Duration;

fn path(endpoint: &Value) -> String {
    format!("/v1/webhooks/{}", endpoint["id"].as_str().unwrap())
}

async fn change(house: &House, endpoint: &Value, change: Value) -> Value {
    house
        .client
        .patch(&path(endpoint), &house.account.live, &change)
        .await
        .expect(200)
}

async fn rotate(house: &House, endpoint: &Value, how: Value) -> Value {
    let path = format!("{}/rotate-secret", path(endpoint));
    house
        .client
        .post(&path, &house.account.live, &how)
        .await
        .expect(200)
}

/// Whether one of the signatures of `Lettr-Signature`, and which, was made with this secret.
fn signed_with(hook: &Hook, secret: &str) -> Option<usize> {
    let (time, signatures) = hook.header("lettr-signature").split_once(',').unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let time = time.strip_prefix("t=").unwrap();
    let content = [time.as_bytes(), b".", &hook.body].concat();
    let digits = |tag: hmac::Tag| {
        tag.as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let expected = format!("v1={}", digits(hmac::sign(&key, &content)));
    signatures.split(',').position(|signature| signature == expected)
}

/// Whether the header that holds one signature only was made with this secret.
fn is_old_header_of(hook: &Hook, secret: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, &hook.body);
    let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    hook.header("x-mailpipe-signature") == digits
}

on_both_engines! {
    async fn what_is_changed_holds_for_what_is_sent_then(engine: Engine) {
        let house = House::start(engine).await;
        let receiver = Receiver::start(&house.authority).await;
        let endpoint = create(&house, &receiver.url("/old"), &["email.sent"]).await;
        assert_eq!((&endpoint["minTls"], &endpoint["ordered"]), (&json!("1.3"), &json!(true)));
        let new = json!({"url": receiver.url("/new"), "events": ["email.delivered"], "description": "the new one",
            "minTls": "1.2", "ordered": false, "headers": {"X-Tenant": "seven-of-nine"},
            "auth": {"type": "basic", "username": "hook", "password": "pass-of-the-hook"}});
        let changed = change(&house, &endpoint, new).await;
        assert_eq!(changed["headers"], json!(["X-Tenant"]));
        assert_eq!(changed["auth"], json!({"type": "basic", "name": "hook"}));
        assert_eq!((&changed["minTls"], &changed["ordered"]), (&json!("1.2"), &json!(false)));
        assert_eq!(shown(&house, &endpoint["id"]).await, changed);
        assert!(!changed.to_string().contains("pass-of-the-hook") && !changed.to_string().contains("seven-of-nine"));
        send(&house).await;
        let hook = receiver.wait_for(1).await.remove(0);
        assert_eq!((hook.path.as_str(), hook.json()["type"].as_str()), ("/new", Some("email.delivered")));
        assert_eq!(hook.header("x-tenant"), "seven-of-nine");
        assert_eq!(hook.header("authorization"), "Basic aG9vazpwYXNzLW9mLXRoZS1ob29r");
        hook.verify(endpoint["secret"].as_str().unwrap());
        let plain = change(&house, &endpoint, json!({"headers": {}, "auth": {"type": "none"}})).await;
        assert!(plain["headers"] == json!([]) && plain.get("auth").is_none() && plain["description"] == "the new one");
        let details = house.audit_details("webhook.updated").await;
        assert_eq!(details.len(), 2);
        assert!(details.iter().any(|detail| detail["minTls"] == "1.2"), "{details:?}");
    }

    async fn what_cant_be_used_is_refused_by_its_name(engine: Engine) {
        let house = House::start(engine).await;
        let endpoint = create(&house, "https://hooks.example/in", &["*"]).await;
        for (new, field) in [
            (json!({"headers": {"webhook-id": "evt_1"}}), "headers"),
            (json!({"headers": {"X-A": "1\r\nX-B: 2"}}), "headers"),
            (json!({"headers": {"Authorization": "Bearer x"}, "auth": {"type": "basic", "username": "a", "password": "b"}}), "auth"),
            (json!({"auth": {"type": "basic", "username": "a"}}), "auth/password"),
            (json!({"auth": {"type": "basic", "username": "a:b", "password": "c"}}), "auth"),
            (json!({"auth": {"type": "oauth2", "tokenUrl": "http://login.example/", "clientId": "a", "clientSecret": "b"}}), "auth/tokenUrl"),
            (json!({"minTls": "1.1"}), "minTls"),
            (json!({"url": "http://hooks.example/in"}), "url"),
            (json!({"events": []}), "events"),
            (json!({"status": "failing"}), "status"),
        ] {
            let refusal = house.client.patch(&path(&endpoint), &house.account.live, &new).await;
            let (code, param) = (refusal.refusal(400).0, refusal.json()["error"]["param"].clone());
            assert_eq!((code.as_str(), param), ("invalid_parameter", json!(field)), "{new}");
        }
        let mut expected = endpoint.clone();
        expected.as_object_mut().unwrap().remove("secret");
        assert_eq!(shown(&house, &endpoint["id"]).await, expected);
    }

    async fn a_token_is_fetched_once_and_anew_when_the_endpoint_does_not_take_it(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let house = Setup::new(engine).clock(&clock).start().await;
        let receiver = Receiver::start(&house.authority).await;
        let granted = |token: &str| Habit {
            body: json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}).to_string(),
            ..Habit::from(200)
        };
        receiver.habit("/token", granted("first"));
        let endpoint = create(&house, &receiver.url("/in"), &["email.delivered"]).await;
        let auth = json!({"type": "oauth2", "tokenUrl": receiver.url("/token"), "clientId": "me:too", "clientSecret": "s e c",
            "scope": "hooks write"});
        change(&house, &endpoint, json!({"auth": auth})).await;
        for count in 1..=2 {
            send(&house).await;
            assert_eq!(receiver.wait_at("/in", count).await[count - 1].header("authorization"), "Bearer first");
        }
        let asked = receiver.hooks_at("/token");
        assert_eq!(asked.len(), 1, "one token is enough for both");
        // RFC 6749 §2.3.1: both are form-encoded before they are joined.
        assert_eq!(asked[0].header("authorization"), "Basic bWUlM0F0b286cyUyMGUlMjBj");
        assert_eq!(asked[0].body, "grant_type=client_credentials&scope=hooks%20write");
        receiver.habit("/token", granted("second"));
        receiver.habit("/in", 401);
        send(&house).await;
        receiver.wait_at("/in", 3).await;
        receiver.habit("/in", 204);
        // The next attempt is due only when the failure of this one is on record.
        crate::harness::eventually("the failure is on record", async || {
            (shown(&house, &endpoint["id"]).await["failureCount"] == 1).then_some(())
        })
        .await;
        clock.advance(Duration::from_secs(67));
        assert_eq!(receiver.wait_at("/in", 4).await[3].header("authorization"), "Bearer second");
        receiver.habit("/token", 500);
        clock.advance(Duration::from_secs(3600));
        send(&house).await;
        crate::harness::eventually("it is said that there is no token", async || {
            let list = house.client.get(&format!("{}/deliveries", path(&endpoint)), &house.account.live).await.expect(200);
            (list["data"][0]["error"] == "token_error").then_some(())
        })
        .await;
        assert_eq!(receiver.hooks_at("/in").len(), 4, "nothing is sent without a token");
    }

    async fn both_secrets_sign_for_a_while_and_then_the_new_one_alone(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let house = Setup::new(engine).clock(&clock).start().await;
        let receiver = Receiver::start(&house.authority).await;
        let endpoint = create(&house, &receiver.url("/in"), &["email.delivered"]).await;
        let old = endpoint["secret"].as_str().unwrap();
        let rotated = rotate(&house, &endpoint, json!({})).await;
        let new = rotated["secret"].as_str().unwrap();
        assert!(rotated["previousSecretExpiresAt"].is_string() && old != new);
        send(&house).await;
        let hook = receiver.wait_for(1).await.remove(0);
        assert_eq!((signed_with(&hook, new), signed_with(&hook, old)), (Some(0), Some(1)), "the new one is the first");
        assert_eq!(hook.header("webhook-signature").split(' ').count(), 2);
        assert!(is_old_header_of(&hook, old), "who can read one signature only knows the old secret still");
        let again = format!("{}/rotate-secret", path(&endpoint));
        let refused = house.client.post(&again, &house.account.live, &json!({})).await;
        assert_eq!(refused.refusal(409).0, "rotation_in_progress");
        clock.advance(Duration::from_secs(24 * 3600 + 1));
        send(&house).await;
        let hook = receiver.wait_for(2).await.remove(1);
        assert_eq!((signed_with(&hook, new), signed_with(&hook, old)), (Some(0), None));
        hook.check_signatures(new);
        assert!(shown(&house, &endpoint["id"]).await.get("previousSecretExpiresAt").is_none());
        let too_long = house.client.post(&again, &house.account.live, &json!({"overlapSeconds": 604_801})).await;
        assert_eq!(too_long.refusal(400).0, "invalid_parameter");
    }

    async fn a_secret_that_others_know_signs_nothing_more(engine: Engine) {
        let house = House::start(engine).await;
        let receiver = Receiver::start(&house.authority).await;
        let endpoint = create(&house, &receiver.url("/in"), &["email.delivered"]).await;
        rotate(&house, &endpoint, json!({"overlapSeconds": 600})).await;
        let rotated = rotate(&house, &endpoint, json!({"compromised": true})).await;
        assert!(rotated.get("previousSecretExpiresAt").is_none());
        send(&house).await;
        let hook = receiver.wait_for(1).await.remove(0);
        hook.verify(rotated["secret"].as_str().unwrap());
        assert_eq!(house.audit_details("webhook.secret_rotated").await.len(), 2);
    }

    async fn a_disabled_endpoint_gets_nothing_until_it_is_active_again(engine: Engine) {
        let house = House::start(engine).await;
        let receiver = Receiver::start(&house.authority).await;
        let endpoint = create(&house, &receiver.url("/in"), &["email.delivered"]).await;
        let disabled = change(&house, &endpoint, json!({"status": "disabled"})).await;
        assert_eq!((&disabled["status"], &disabled["disabledReason"]), (&json!("disabled"), &json!("by_owner")));
        send(&house).await;
        stays("it was written to", 20, async || receiver.hooks().is_empty()).await;
        let test = format!("{}/test", path(&endpoint));
        let refused = house.client.post(&test, &house.account.live, &json!({"eventType": "email.sent"})).await;
        assert_eq!(refused.refusal(409).0, "webhook_disabled");
        let active = change(&house, &endpoint, json!({"status": "active"})).await;
        assert_eq!((&active["status"], active.get("disabledReason")), (&json!("active"), None));
        send(&house).await;
        receiver.wait_for(1).await;
    }
}
