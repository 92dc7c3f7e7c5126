//! What became of every accepted recipient, and what is found when one is lost.

use crate::harness::{Engine, House, Setup, eventually, on_both_engines, plain_get};
use http::Method;
use sealwright::clock::Clock;
use sealwright::platform::dev::sink::{Moment, SinkScript, Verdict};
use serde_json::{Value, json};
use std::time::Duration;

/// The only day on which something was accepted.
async fn day(house: &House, key: &str) -> Value {
    let usage = house.client.get("/v1/usage", key).await.expect(200);
    let days = usage["data"].as_array().unwrap();
    assert_eq!(days.len(), 1, "{usage}");
    days[0].clone()
}

/// One metric's value by its label.
async fn unaccounted(house: &House, kind: &str) -> Option<i64> {
    let metrics = plain_get(house.admin_address().unwrap(), "/metrics").await;
    let name = format!("sealwright_recipients_unaccounted{{kind=\"{kind}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.map(|value| value.trim().parse().unwrap())
}

on_both_engines! {
    async fn every_accepted_recipient_is_one_of_the_others(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let house = Setup::new(engine).clock(&clock).script(SinkScript::by_local_part()).start().await;
        let suppression = json!({"email": "gone@reader.example"});
        house.client.post("/v1/suppressions", &house.account.live, &suppression).await.expect(201);
        let mut email = house.email("ada@reader.example");
        email["to"] = json!(["ada@reader.example", "rcpt-450@reader.example", "rcpt-550@reader.example", "gone@reader.example"]);
        house.accepted(&email).await;
        let mut later = house.email("bo@reader.example");
        later["scheduledAt"] = json!(clock.now().plus(Duration::from_secs(3600)).rfc3339());
        house.accepted(&later).await;
        let taken_back = house.accepted(&later).await;
        house.client.call(Method::POST, &format!("/v1/emails/{taken_back}/cancel"), &house.account.live, "").await.expect(200);
        let counted = eventually("all were tried", async || {
            let counted = day(&house, &house.account.live).await;
            (counted["bounced"] == 1 && counted["delivered"] == 1).then_some(counted)
        }).await;
        let mut expected = json!({
            "date": clock.now().date(), "emails": 3, "accepted": 6, "scheduled": 1, "inFlight": 1, "inDoubt": 0, "delivered": 1,
            "bounced": 1, "failed": 0, "suppressed": 1, "cancelled": 1, "balanced": true,
        });
        assert_eq!(counted, expected);
        clock.advance(Duration::from_secs(80 * 3600));
        let counted = eventually("all came to an end", async || {
            let path = format!("/v1/usage?fromDate={}", expected["date"].as_str().unwrap());
            let usage = house.client.get(&path, &house.account.live).await.expect(200);
            (usage["data"][0]["failed"] == 1 && usage["data"][0]["delivered"] == 2).then(|| usage["data"][0].clone())
        }).await;
        (expected["scheduled"], expected["inFlight"], expected["failed"], expected["delivered"]) = (json!(0), json!(0), json!(1), json!(2));
        assert_eq!(counted, expected);
        let test = house.client.get("/v1/usage", &house.account.test).await.expect(200);
        assert_eq!(test["data"], json!([]), "live mail is not test mail");
    }

    async fn who_may_have_got_the_mail_is_in_doubt_until_it_is_known(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let lost = std::sync::atomic::AtomicBool::new(false);
        let script = SinkScript::new(move |moment| match moment {
            Moment::Message { .. } if !lost.swap(true, std::sync::atomic::Ordering::SeqCst) => Verdict::HangUp,
            _ => Verdict::Accept,
        });
        let house = Setup::new(engine).clock(&clock).script(script).start().await;
        let id = house.accepted(&house.email("ada@reader.example")).await;
        house.reaches(&id, "deferred").await;
        let counted = day(&house, &house.account.live).await;
        assert_eq!((&counted["inDoubt"], &counted["inFlight"], &counted["balanced"]), (&json!(1), &json!(0), &json!(true)));
        clock.advance(Duration::from_secs(600));
        house.reaches(&id, "delivered").await;
        let counted = day(&house, &house.account.live).await;
        assert_eq!((&counted["inDoubt"], &counted["delivered"], &counted["balanced"]), (&json!(0), &json!(1), &json!(true)));
    }

    async fn a_recipient_whose_job_or_row_is_gone_is_found(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let house = Setup::new(engine).set("server.admin_listen", "127.0.0.1:0").clock(&clock).start().await;
        let mut email = house.email("ada@reader.example");
        email["scheduledAt"] = json!(clock.now().plus(Duration::from_secs(3600)).rfc3339());
        email["to"] = json!(["ada@reader.example", "bo@elsewhere.example"]);
        house.accepted(&email).await;
        eventually("a round found nothing", async || (unaccounted(&house, "stranded").await == Some(0)).then_some(())).await;
        house.execute("DELETE FROM jobs WHERE kind = 'deliver' AND part = (SELECT min(destination) FROM recipients)").await;
        eventually("the lost job is found", async || (unaccounted(&house, "stranded").await == Some(1)).then_some(())).await;
        assert_eq!(unaccounted(&house, "missing").await, Some(0));
        house.execute("DELETE FROM recipients WHERE destination = (SELECT min(destination) FROM recipients)").await;
        eventually("the lost row is found", async || (unaccounted(&house, "missing").await == Some(1)).then_some(())).await;
        let counted = day(&house, &house.account.live).await;
        assert_eq!((&counted["accepted"], &counted["scheduled"], &counted["balanced"]), (&json!(2), &json!(1), &json!(false)));
    }

    async fn a_range_that_is_none_or_too_long_is_refused(engine: Engine) {
        let house = House::start(engine).await;
        for query in ["fromDate=2026-01-01&toDate=2026-02-01", "fromDate=2026-01-02&toDate=2026-01-01", "fromDate=soon", "days=7"] {
            house.client.get(&format!("/v1/usage?{query}"), &house.account.live).await.expect(400);
        }
        let month = house.client.get("/v1/usage?fromDate=2026-01-01&toDate=2026-01-31", &house.account.live).await.expect(200);
        assert_eq!(month, json!({"object": "usage", "data": []}));
    }
}
