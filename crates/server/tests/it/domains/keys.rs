//! Keys take turns, without a gap and without a step of the domain's owner.

use super::{DAY, NAME, THOUGHT, Town};
use crate::harness::{DNS_TXT, Engine, Said, on_both_engines};
use sealwright::clock::Clock;
use serde_json::{Value, json};

/// Host and text of every key that is published.
fn keys(domain: &Value, zone: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for record in domain["dnsRecords"].as_array().unwrap() {
        if record["purpose"] != "dkim" {
            continue;
        }
        let field = |name: &str| record[name].as_str().unwrap().to_owned();
        let text = if record["type"] == "TXT" {
            field("value")
        } else {
            let label = field("value").replace(".mail.operator.example", "\t");
            let line = zone.lines().find(|line| line.starts_with(&label)).unwrap();
            line.split('"').skip(1).step_by(2).collect()
        };
        found.push((field("host"), text));
    }
    found
}

fn selectors(message: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(message).replace("\r\n", "");
    let tags = text.split("; s=").skip(1);
    tags.map(|rest| rest.split(';').next().unwrap().trim().to_owned())
        .collect()
}

fn verdict(message: &[u8], keys: &[(String, String)]) -> String {
    sealwright::features::delivery::dkim_verdict(message, keys)
}

on_both_engines! {
    async fn the_next_key_signs_and_the_old_one_is_shown_for_14_days(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, Some("mail.operator.example"), &clock).await;
        let domain = town.added_and_verified().await;
        let old = keys(&domain, &town.zone().await);
        let first = town.send().await.expect(200)["id"].as_str().unwrap().to_owned();
        let before = town.received(&first).await;
        assert_eq!(selectors(&before), ["sw1"]);
        clock.advance(DAY / 24);
        let rotated = town.act(&domain, "rotate-dkim").await.expect(200);
        assert_eq!(rotated["dkimSelector"], "sw2");
        clock.advance(DAY / 24);
        let second = town.send().await.expect(200)["id"].as_str().unwrap().to_owned();
        let after = town.received(&second).await;
        assert_eq!(selectors(&after), ["sw2"]);
        for message in [&before, &after] {
            assert_eq!(verdict(message, &old), "pass", "what was signed before and after is verified");
        }
        assert_eq!(keys(&domain, &town.zone().await), old, "nobody had to publish anything");
        let keys_later = async || keys(&domain, &town.zone().await);
        town.later(DAY * 13, &domain, "13 days later", |it| it["checkedAt"] != rotated["checkedAt"]).await;
        assert_eq!(keys_later().await, old);
        let seen = town.get(&domain).await;
        town.later(DAY * 2, &domain, "15 days later", |it| it["checkedAt"] != seen["checkedAt"]).await;
        let new = keys_later().await;
        assert_ne!(new[0], old[0], "the retired key is destroyed, and another waits in its place");
        assert_eq!(new[1..], old[1..]);
    }

    async fn scheduled_mail_is_signed_by_the_key_of_its_release(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, Some("mail.operator.example"), &clock).await;
        let domain = town.added_and_verified().await;
        let shown = keys(&domain, &town.zone().await);
        let mut email = json!({"from": "shop@shop.example", "to": "ada@reader.example", "subject": "Hello", "text": "A text."});
        email["scheduledAt"] = clock.now().plus(DAY / 12).rfc3339().into();
        let id = town.house.accepted(&email).await;
        clock.advance(DAY / 24);
        town.act(&domain, "rotate-dkim").await.expect(200);
        clock.advance(DAY / 24);
        let message = town.received(&id).await;
        assert_eq!(selectors(&message), ["sw2"]);
        assert_eq!(verdict(&message, &shown), "pass");
    }

    async fn keys_change_by_themselves_after_180_days_but_only_to_one_that_is_shown(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, None, &clock).await;
        let domain = town.added_and_verified().await;
        let second = domain["dnsRecords"][1].clone();
        town.shown.remove(second["host"].as_str().unwrap());
        town.verify(&domain).await;
        assert_eq!(town.act(&domain, "rotate-dkim").await.refusal(409).0, "record_unpublished");
        let late = town.later(DAY * 181, &domain, "looked at", |it| it["checkedAt"] != domain["checkedAt"]).await;
        let late = town.later(DAY * 2, &domain, "looked at again", |it| it["checkedAt"] != late["checkedAt"]).await;
        assert_eq!((&late["status"], &late["dkimSelector"]), (&json!("verified"), &json!("sw1")), "it goes on signing");
        town.shown.publish(&second);
        town.later(DAY * 2, &domain, "the next key signs", |it| it["dkimSelector"] == "sw2").await;
    }

    async fn a_key_that_has_replaced_another_is_not_taken_for_published(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, None, &clock).await;
        let domain = town.added_and_verified().await;
        for selector in ["sw2", "sw3"] {
            assert_eq!(town.act(&domain, "rotate-dkim").await.expect(200)["dkimSelector"], selector);
        }
        let third = town.act(&domain, "rotate-dkim").await;
        let message = third.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("no key waits") && !message.contains("publish"), "{message}");
        assert_eq!(third.refusal(409).0, "record_unpublished");
        // The look that finds new keys in their places gets no answer about them.
        for place in [0, 1] {
            town.shown.set(domain["dnsRecords"][place]["host"].as_str().unwrap(), DNS_TXT, Said::Failure);
        }
        clock.advance(DAY * 15);
        let seen = town.verify(&domain).await;
        assert_ne!(seen["dnsRecords"][0]["value"], domain["dnsRecords"][0]["value"]);
        assert_eq!(seen["dnsRecords"][0]["status"], "pending", "{seen:#}");
        assert_eq!(town.act(&domain, "rotate-dkim").await.refusal(409).0, "record_unpublished");
        town.shown.publish_all(&seen);
        town.verify(&domain).await;
        assert_eq!(town.act(&domain, "rotate-dkim").await.expect(200)["dkimSelector"], "sw1");
    }

    async fn keys_of_a_second_signature_that_is_switched_off_are_destroyed(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, Some("mail.operator.example"), &clock).await;
        let domain = town.added_and_verified().await;
        let changed = town.change(&domain, &json!({"ed25519": true})).await.expect(200);
        town.shown.publish_all(&changed);
        town.shown.publish_zone(&town.zone().await);
        assert_eq!(town.verify(&domain).await["missingRecords"], json!([]));
        let shown = async || town.zone().await.lines().filter(|line| line.contains("k=ed25519")).count();
        assert_eq!(shown().await, 3);
        town.change(&domain, &json!({"ed25519": false})).await.expect(200);
        assert_eq!(shown().await, 1, "the one that signed is shown for what it signed");
        let seen = town.get(&domain).await;
        let seen = town.later(DAY * 13, &domain, "13 days later", |it| it["checkedAt"] != seen["checkedAt"]).await;
        assert_eq!(shown().await, 1);
        town.later(DAY * 2, &domain, "15 days later", |it| it["checkedAt"] != seen["checkedAt"]).await;
        assert_eq!(shown().await, 0);
    }

    async fn a_second_signature_that_is_switched_off_during_a_look_does_not_begin(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, None, &clock).await;
        let domain = town.added_and_verified().await;
        let changed = town.change(&domain, &json!({"ed25519": true})).await.expect(200);
        town.shown.publish_all(&changed);
        town.shown.think_about(&format!("sw1e._domainkey.{NAME}"));
        let off = async {
            tokio::time::sleep(THOUGHT / 2).await;
            town.change(&domain, &json!({"ed25519": false})).await.expect(200)
        };
        let (seen, off) = tokio::join!(town.verify(&domain), off);
        assert_eq!((&seen["verified"], &off["ed25519"]), (&json!(true), &json!(false)));
        clock.advance(DAY / 24);
        let id = town.send().await.expect(200)["id"].as_str().unwrap().to_owned();
        assert_eq!(selectors(&town.received(&id).await), ["sw1"]);
    }

    async fn mail_bears_a_second_signature_on_request(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, None, &clock).await;
        let domain = town.added_and_verified().await;
        let change = async |ed25519: bool| town.change(&domain, &json!({"ed25519": ed25519})).await.expect(200);
        let changed = change(true).await;
        assert_eq!(keys(&changed, "").len(), 6, "{changed:#}");
        let sent = async || {
            clock.advance(DAY / 24);
            let id = town.send().await.expect(200)["id"].as_str().unwrap().to_owned();
            town.received(&id).await
        };
        assert_eq!(selectors(&sent().await), ["sw1"], "nobody could verify the other one yet");
        town.shown.publish_all(&changed);
        town.verify(&domain).await;
        let message = sent().await;
        assert_eq!(selectors(&message), ["sw1", "sw1e"]);
        let all = keys(&changed, "");
        assert_eq!(verdict(&message, &all), "pass", "the verdict is on both");
        let mut another = all.clone();
        another[3].1.clone_from(&all[4].1);
        assert!(verdict(&message, &another).starts_with("fail"), "the second signature is by the second key");
        change(false).await;
        assert_eq!(selectors(&sent().await), ["sw1"]);
    }
}
