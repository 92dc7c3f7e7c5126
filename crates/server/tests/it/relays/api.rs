//! The resource: made, shown without credentials, tried, changed, deleted.

use super::stand_in::Say;
use super::{account, add, usual};
use crate::harness::{Engine, House, Reply, on_both_engines};
use http::Method;
use serde_json::{Value, json};

async fn patch(house: &House, id: &str, change: Value) -> Reply {
    let path = format!("/v1/relays/{id}");
    house
        .client
        .call(Method::PATCH, &path, &house.account.live, change.to_string())
        .await
}

async fn tried(house: &House, id: &str) -> Value {
    let path = format!("/v1/relays/{id}/test");
    house
        .client
        .call(Method::POST, &path, &house.account.live, "")
        .await
        .expect(200)
}

on_both_engines! {
    async fn credentials_go_in_and_never_come_out(engine: Engine) {
        let (house, _stand_in) = usual(engine).await;
        let key = &house.account.live;
        let mut shown = String::new();
        for provider in ["resend", "postmark", "ses", "sendgrid", "mailgun"] {
            let made = house.client.post("/v1/relays", key, &account(provider)).await;
            shown += &made.text();
            let made = made.expect(201);
            assert_eq!((&made["provider"], &made["status"], &made["priority"], &made["weight"]), (&json!(provider), &json!("active"), &json!(10), &json!(1)));
            let id = made["id"].as_str().unwrap();
            let change = json!({"credentials": account(provider)["credentials"], "name": "renamed"});
            for reply in [house.client.get(&format!("/v1/relays/{id}"), key).await, patch(&house, id, change).await] {
                shown += &reply.text();
                assert_eq!(reply.expect(200)["id"], id);
            }
        }
        let list = house.client.get("/v1/relays?limit=2", key).await;
        shown += &list.text();
        let list = list.expect(200);
        assert_eq!((&list["totalCount"], &list["hasMore"]), (&json!(5), &json!(true)));
        let refused = json!({"name": "x", "provider": "resend", "credentials": {"apiKey": "key-of-nobody with a space"}});
        shown += &house.client.post("/v1/relays", key, &refused).await.text();
        assert!(!shown.contains("of-nobody") && !shown.contains("AKIDEXAMPLE"), "{shown}");
        let audited = house.audit_details("relay.updated").await;
        assert_eq!(audited, vec![json!({"fields": ["name", "credentials"]}); 5]);
        assert_eq!(house.audit_details("relay.created").await.len(), 5);
    }

    async fn a_relay_is_refused_for_what_its_provider_could_not_take(engine: Engine) {
        let (house, _stand_in) = usual(engine).await;
        let with = |provider: &str, field: &str, value: Value| {
            let mut relay = account(provider);
            relay[field] = value;
            relay
        };
        for (relay, param) in [
            (with("resend", "name", json!("")), "name"),
            (with("resend", "priority", json!(101)), "priority"),
            (with("resend", "weight", json!(0)), "weight"),
            (with("resend", "domains", json!(["house.example", "no domain"])), "domains/1"),
            (with("resend", "credentials", json!({})), "credentials/apiKey"),
            (with("resend", "credentials", json!({"apiKey": "a", "serverToken": "b"})), "credentials/serverToken"),
            (with("resend", "region", json!("eu-central-1")), "region"),
            (with("ses", "region", json!("evil.example")), "region"),
            (with("mailgun", "sendingDomain", Value::Null), "sendingDomain"),
            (with("resend", "provider", json!("pigeon")), "provider"),
        ] {
            let refused = house.client.post("/v1/relays", &house.account.live, &relay).await;
            assert_eq!(refused.refusal(400), ("invalid_parameter".into(), param.into()), "{relay}");
        }
        let refused = house.client.post("/v1/relays", &house.account.test, &account("resend")).await;
        assert_eq!(refused.refusal(403).0, "forbidden");
        for n in 0..20 {
            let mut relay = account("resend");
            relay["name"] = json!(format!("relay {n}"));
            add(&house, &relay).await;
        }
        let refused = house.client.post("/v1/relays", &house.account.live, &account("resend")).await;
        assert_eq!(refused.refusal(403).0, "limit_reached");
    }

    async fn a_trial_tells_whether_credentials_are_taken_and_sends_nothing(engine: Engine) {
        let (house, stand_in) = usual(engine).await;
        for provider in ["resend", "postmark", "ses", "sendgrid", "mailgun"] {
            let id = add(&house, &account(provider)).await;
            stand_in.answer(provider, [Say::Recorded("a key that is none"), Say::Status(503), Say::Status(200)].map(|say| match (say, provider) {
                (Say::Recorded(_), "postmark") => Say::Recorded("a token that is none"),
                (say, _) => say,
            }));
            let path = format!("/v1/relays/{id}");
            for (ok, status) in [(json!(false), "failing"), (Value::Null, "failing"), (json!(true), "active")] {
                assert_eq!(tried(&house, &id).await["ok"], ok, "{provider}");
                let shown = house.client.get(&path, &house.account.live).await.expect(200);
                assert_eq!(shown["status"], status, "{provider}");
                assert_eq!(shown["failingSince"].is_string(), status == "failing");
            }
        }
        let restricted = add(&house, &account("resend")).await;
        stand_in.answer("resend", [Say::Recorded("may only send")]);
        assert_eq!(tried(&house, &restricted).await["ok"], true);
        assert!(stand_in.asked().iter().all(|asked| asked.method == Method::GET && asked.body.is_empty()));
        assert_eq!(stand_in.asked().len(), 16);
    }

    async fn a_relay_is_changed_and_deleted(engine: Engine) {
        let (house, _stand_in) = usual(engine).await;
        let id = add(&house, &account("resend")).await;
        let change = json!({"priority": 0, "weight": 7, "domains": ["House.Example"], "enabled": false});
        let changed = patch(&house, &id, change).await.expect(200);
        assert_eq!(
            (&changed["priority"], &changed["weight"], &changed["domains"], &changed["status"], &changed["name"]),
            (&json!(0), &json!(7), &json!(["house.example"]), &json!("disabled"), &json!("resend"))
        );
        let refused = patch(&house, &id, json!({"credentials": {"serverToken": "x"}})).await;
        assert_eq!(refused.refusal(400), ("invalid_parameter".into(), "credentials/apiKey".into()));
        let path = format!("/v1/relays/{id}");
        let deleted = house.client.delete(&path, &house.account.live).await.expect(200);
        assert_eq!(deleted, json!({"id": id, "object": "relay", "deleted": true}));
        assert_eq!(house.client.get(&path, &house.account.live).await.refusal(404).0, "not_found");
        assert_eq!(house.client.delete(&path, &house.account.live).await.refusal(404).0, "not_found");
        let details = house.audit_details("relay.deleted").await;
        assert_eq!(details, [json!({"name": "resend", "provider": "resend"})]);
    }
}
