//! The reputation of a domain: what counts, for how long, and for whom.

use crate::harness::{Engine, House, Setup, Talk, account, eventually, on_both_engines};
use sealwright::clock::Clock;
use sealwright::platform::dev::sink::SinkScript;
use serde_json::{Value, json};
use std::time::Duration;

async fn domain(house: &House) -> String {
    let list = house
        .client
        .get("/v1/domains", &house.account.live)
        .await
        .expect(200);
    list["data"][0]["id"].as_str().unwrap().to_owned()
}

async fn reputation(house: &House, id: &str, key: &str) -> Value {
    let path = format!("/v1/domains/{id}/reputation");
    house.client.get(&path, key).await.expect(200)
}

/// The counts of a period: sent, delivered, bounced, complained.
fn counts(shown: &Value, period: usize) -> [i64; 4] {
    ["sent", "delivered", "bounced", "complained"]
        .map(|name| shown["periods"][period][name].as_i64().unwrap())
}

on_both_engines! {
    async fn bounces_and_complaints_of_live_mail_count_for_thirty_days(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let house = Setup::new(engine)
            .clock(&clock)
            .script(SinkScript::by_local_part())
            .set("returns.host", "return.house.example")
            .set("smtp.listen", "127.0.0.1:0")
            .start()
            .await;
        let (id, live) = (domain(&house).await, house.account.live.clone());
        let before = reputation(&house, &id, &live).await;
        assert_eq!((&before["score"], &before["status"], counts(&before, 1)), (&json!(100), &json!("good"), [0; 4]));
        let taken = house.accepted(&house.email("ada@reader.example")).await;
        house.reaches(&taken, "delivered").await;
        let refused = house.accepted(&house.email("rcpt-550@reader.example")).await;
        house.reaches(&refused, "bounced").await;
        let mails = house.sink.received();
        let path = mails.iter().find(|mail| mail.mail_from.contains(taken.trim_start_matches("email_"))).unwrap().mail_from.clone();
        let feedback = "Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\n";
        Talk::bring(house.smtp_address(), &path, feedback).await;
        let shown = eventually("the complaint counts", async || {
            let shown = reputation(&house, &id, &live).await;
            (counts(&shown, 1)[3] == 1).then_some(shown)
        })
        .await;
        assert_eq!((counts(&shown, 0), counts(&shown, 1)), ([2, 1, 1, 1], [2, 1, 1, 1]));
        assert_eq!((&shown["score"], &shown["bounceRate"], &shown["spamRate"]), (&json!(80), &json!(0.5), &json!(1.0)));
        let test = reputation(&house, &id, &house.account.test).await;
        assert_eq!(counts(&test, 1), [0; 4], "a test key sees nothing of live mail");
        // A report that comes later takes a delivery back.
        let report = "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\nFinal-Recipient: rfc822; ada@reader.example\n\
            Action: failed\nStatus: 5.1.1\n";
        Talk::bring(house.smtp_address(), &path, report).await;
        house.reaches(&taken, "bounced").await;
        assert_eq!(counts(&reputation(&house, &id, &live).await, 1), [2, 0, 2, 1]);
        clock.advance(Duration::from_secs(8 * 86_400));
        let later = reputation(&house, &id, &live).await;
        assert_eq!((counts(&later, 0), counts(&later, 1)), ([0; 4], [2, 0, 2, 1]));
        clock.advance(Duration::from_secs(23 * 86_400));
        assert_eq!(counts(&reputation(&house, &id, &live).await, 1), [0; 4]);
    }

    async fn the_reputation_of_anothers_domain_is_not_to_be_had(engine: Engine) {
        let house = House::start(engine).await;
        let other = account(&house.platform, "Other", "other.example").await;
        let path = format!("/v1/domains/{}/reputation", domain(&house).await);
        assert_eq!(house.client.get(&path, &other.live).await.refusal(404).0, "not_found");
    }
}
