//! The last look at a message before its first byte leaves.

use super::standing_clock;
use crate::harness::{Engine, House, Receiver, Setup, events_of, on_both_engines, plain_get, stays};
use sealwright::features::delivery::{Change, Chosen, Queue};
use sealwright::platform::dev::sink::{SinkScript, Verdict};
use sealwright_mail::dkim::SigningKey;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What the DNS shows belongs to this key.
async fn publish(house: &House, record: &str) {
    house
        .execute(&format!("UPDATE dkim_keys SET public_record = '{record}'"))
        .await;
}

on_both_engines! {
    async fn a_message_whose_signature_nobody_could_verify_is_held_and_no_byte_of_it_leaves(engine: Engine) {
        let clock = standing_clock();
        let moments = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&moments);
        let script = SinkScript::new(move |_| {
            seen.fetch_add(1, Ordering::SeqCst);
            Verdict::Accept
        });
        let setup = Setup::new(engine).set("server.admin_listen", "127.0.0.1:0").clock(&clock).script(script);
        let house = House::with_notices(setup).await;
        let receiver = Receiver::start(&house.authority).await;
        let hook = json!({"url": receiver.url("/in"), "events": ["alert.*"]});
        house.client.post("/v1/webhooks", &house.account.live, &hook).await.expect(201);
        let (_, other) = SigningKey::generate_rsa_2048().unwrap();
        publish(&house, &other.dns_record()).await;
        let id = house.accepted(&house.email("ada@reader.example")).await;
        let shown = house.reaches(&id, "deferred").await;
        let told = &events_of(&shown, "email.deferred")[0]["data"];
        assert!(told["reason"].as_str().unwrap().starts_with("held by the check before sending: the second verifier"), "{told}");
        assert!(told["nextRetryAt"].is_null(), "{told}");
        clock.advance(Duration::from_secs(200 * 3600));
        stays("it was tried or given up", 10, async || house.shown(&id).await["status"] == "deferred").await;
        assert_eq!(moments.load(Ordering::SeqCst), 0, "the receiving host was spoken to");
        let metrics = plain_get(house.admin_address().unwrap(), "/metrics").await;
        assert!(metrics.contains("sealwright_lint_findings_total{kind=\"signature\"} 1"), "{metrics}");
        let told: Value = serde_json::from_slice(&receiver.wait_for(1).await[0].body).unwrap();
        assert_eq!((&told["type"], &told["data"]["kind"]), (&json!("alert.fired"), &json!("mail_held")));
        // The right key is published again, and the operator lets the mail go.
        publish(&house, &house.account.dkim.1).await;
        let queue = Queue::of_others(house.platform.clone(), Some(house.account.org.clone()));
        let chosen = Chosen { org: Some(house.account.org.clone()), ..Chosen::default() };
        let (waiting, _) = queue.view(&chosen).await.unwrap();
        assert_eq!((waiting.len(), waiting[0].held), (1, 1));
        let changed = queue.change(Change::Retry, &chosen, None).await.unwrap();
        assert_eq!(changed.changed, 1);
        house.reaches(&id, "delivered").await;
        let told: Value = serde_json::from_slice(&receiver.wait_for(2).await[1].body).unwrap();
        assert_eq!(told["type"], "alert.cleared");
    }
}
