//! Keys that grow old: reminders by event and mail.

use crate::harness::{Engine, House, Receiver, Setup, eventually, on_both_engines};
use sealwright::clock::Clock;
use serde_json::json;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

on_both_engines! {
    async fn the_security_contact_is_reminded_at_75_90_and_120_days(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let house = House::with_notices(Setup::new(engine).clock(&clock)).await;
        let receiver = Receiver::start(&house.authority).await;
        let hook = json!({"url": receiver.url("/keys"), "events": ["api_key.rotation_due"]});
        house.client.post("/v1/webhooks", &house.account.live, &hook).await.expect(201);
        let settings = json!({"securityContact": "guard@reader.example"}).to_string();
        house.client.call(http::Method::PATCH, "/v1/settings", &house.account.live, settings).await.expect(200);
        let new = json!({"name": "Old", "expiresAt": clock.now().plus(DAY * 200).rfc3339()});
        let made = house.client.post("/v1/api-keys", &house.account.live, &new).await.expect(201);
        assert_eq!(made["rotationDueAt"], clock.now().plus(DAY * 90).rfc3339());
        let mut days = 0;
        for (age, told) in [(75, 1), (90, 2), (120, 3)] {
            clock.advance(DAY * (age - days));
            days = age;
            eventually(&format!("reminded at {age} days"), async || {
                let hooks = receiver.hooks();
                let ours: Vec<_> = hooks.iter().map(|hook| hook.json()).filter(|event| event["data"]["name"] == "Old").collect();
                (ours.len() == told && ours[told - 1]["data"]["ageDays"] == age).then_some(())
            }).await;
            eventually("a mail says it", async || {
                let subject = format!("Subject: An API key is {age} days old");
                house.sink.received().iter().any(|mail| String::from_utf8_lossy(&mail.bytes).contains(&subject)).then_some(())
            }).await;
        }
        let audited = house.audit_details("api_key.rotation_due").await;
        let old: Vec<_> = audited.iter().filter(|detail| detail["keyId"] == made["id"]).map(|detail| &detail["ageDays"]).collect();
        assert_eq!(old, [&json!(75), &json!(90), &json!(120)]);
    }
}
