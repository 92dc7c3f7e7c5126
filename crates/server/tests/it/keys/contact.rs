//! Changes of settings: the security contacts that hear of them, how often, and what the audit log keeps.

use crate::harness::{Engine, House, Setup, eventually, on_both_engines, stays};
use http::Method;
use sealwright::clock::Clock;
use sealwright::limits::NOTICES_PER_DAY_MAX;
use sealwright::metrics::KindLabel;
use serde_json::{Value, json};
use std::time::Duration;

async fn set(house: &House, change: Value) {
    let changed = house
        .client
        .call(
            Method::PATCH,
            "/v1/settings",
            &house.account.live,
            change.to_string(),
        )
        .await;
    changed.expect(200);
}

/// The mails about changed settings that came to this contact, oldest first.
fn mails(house: &House, contact: &str) -> Vec<String> {
    let all = house.sink.received();
    let to = |mail: &&_| {
        let mail: &sealwright::platform::dev::sink::Captured = mail;
        mail.rcpt_to.iter().any(|to| to.contains(contact))
    };
    all.iter()
        .filter(to)
        .map(|mail| String::from_utf8_lossy(&mail.bytes).into_owned())
        .filter(|text| text.contains("Subject: Security settings were changed"))
        .collect()
}

/// How many notices ended this way.
fn ended(house: &House, kind: &'static str) -> u64 {
    let label = KindLabel { kind };
    house.platform.metrics.notices.get_or_create(&label).get()
}

on_both_engines! {
    async fn the_old_contact_hears_of_a_new_one_and_both_of_looser_terms(engine: Engine) {
        let house = House::with_notices(Setup::new(engine)).await;
        let (old, new) = ("old@reader.example", "new@reader.example");
        let told = async |old_mails: usize, new_mails: usize, last: &str| {
            eventually(last, async || {
                let (old, new) = (mails(&house, old), mails(&house, new));
                let is_said = [&old, &new].iter().any(|mails| mails.last().is_some_and(|text| text.contains(last)));
                ((old.len(), new.len()) == (old_mails, new_mails) && is_said).then_some(())
            }).await;
        };
        set(&house, json!({"securityContact": old, "apiKeyMaxAgeDays": 90})).await;
        told(1, 0, "You are the security contact now").await;
        set(&house, json!({"securityContact": new})).await;
        told(2, 1, "The security contact is another one").await;
        for text in mails(&house, old).iter().chain(&mails(&house, new)) {
            assert!(!(text.contains(old) && text.contains(new)), "each sees its own address only: {text}");
            assert!(text.contains("\r\nAuto-Submitted: auto-generated\r\n"), "a holiday notice could answer it: {text}");
        }
        set(&house, json!({"keyExposurePolicy": "notify"})).await;
        told(2, 2, "notify instead of expire_24h").await;
        set(&house, json!({"apiKeyMaxAgeDays": 365})).await;
        told(2, 3, "365 days instead of 90 days").await;
        set(&house, json!({"apiKeyMaxAgeDays": null})).await;
        told(2, 4, "none instead of 365 days").await;
        // What makes keys safer, or changes nothing, is nobody's worry.
        set(&house, json!({"keyExposurePolicy": "revoke", "apiKeyMaxAgeDays": 30, "securityContact": new})).await;
        stays("nobody is told", 20, async || mails(&house, new).len() == 4).await;
        set(&house, json!({"securityContact": null})).await;
        told(2, 5, "Nobody is the security contact any more").await;
    }

    async fn a_burst_of_notices_ends_at_the_days_number_and_the_next_day_has_its_own(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let house = House::with_notices(Setup::new(engine).clock(&clock)).await;
        set(&house, json!({"securityContact": "guard@reader.example"})).await;
        for _ in 0..NOTICES_PER_DAY_MAX + 4 {
            set(&house, json!({"keyExposurePolicy": "notify"})).await;
            set(&house, json!({"keyExposurePolicy": "revoke"})).await;
        }
        let most = NOTICES_PER_DAY_MAX as u64;
        eventually("each is sent or not", async || {
            ((ended(&house, "sent"), ended(&house, "capped")) == (most, 5)).then_some(())
        }).await;
        eventually("those that are sent arrive", async || {
            (mails(&house, "guard@reader.example").len() == NOTICES_PER_DAY_MAX).then_some(())
        }).await;
        let sent = mails(&house, "guard@reader.example");
        assert_eq!(sent.iter().filter(|text| text.contains("this is today's last")).count(), 1);
        assert_eq!(house.audit_details("settings.change_notified").await.len(), NOTICES_PER_DAY_MAX);
        // Another kind has its own number.
        let exposed = format!("/v1/emails?key={}", house.account.test);
        house.client.get(&exposed, &house.account.live).await.refusal(400);
        eventually("a burned key is told of", async || (ended(&house, "sent") == most + 1).then_some(())).await;
        clock.advance(Duration::from_secs(86_400));
        set(&house, json!({"keyExposurePolicy": "notify"})).await;
        eventually("a new day", async || (ended(&house, "sent") == most + 2).then_some(())).await;
    }

    async fn an_entry_of_changed_settings_has_the_old_and_the_new_values(engine: Engine) {
        let house = House::start(engine).await;
        set(&house, json!({"securityContact": "old@reader.example", "keyExposurePolicy": "revoke"})).await;
        set(&house, json!({"securityContact": "new@reader.example", "apiKeyMaxAgeDays": 90, "browserOrigins": ["https://a.example"]})).await;
        set(&house, json!({"securityContact": null, "browserOrigins": []})).await;
        let values = |contact: Value, policy: &str, days: Value, origins: Value| {
            json!({"securityContact": contact, "keyExposurePolicy": policy, "apiKeyMaxAgeDays": days, "browserOrigins": origins})
        };
        let states = [
            values(Value::Null, "expire_24h", Value::Null, json!([])),
            values(json!("old@reader.example"), "revoke", Value::Null, json!([])),
            values(json!("new@reader.example"), "revoke", json!(90), json!(["https://a.example"])),
            values(Value::Null, "revoke", json!(90), json!([])),
        ];
        let expected: Vec<_> = states.windows(2).map(|pair| json!(pair)).collect();
        assert_eq!(house.audit_details("settings.updated").await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_many_change_at_once_lose_no_change() {
    let house = House::start(Engine::Sqlite).await;
    tokio::join!(
        set(&house, json!({"securityContact": "guard@reader.example"})),
        set(&house, json!({"keyExposurePolicy": "revoke"})),
        set(&house, json!({"apiKeyMaxAgeDays": 90})),
        set(&house, json!({"browserOrigins": ["https://a.example"]})),
    );
    let shown = house
        .client
        .get("/v1/settings", &house.account.live)
        .await
        .expect(200);
    let expected = json!({
        "object": "settings", "securityContact": "guard@reader.example", "keyExposurePolicy": "revoke", "apiKeyMaxAgeDays": 90,
        "browserOrigins": ["https://a.example"],
    });
    assert_eq!(shown, expected);
}
