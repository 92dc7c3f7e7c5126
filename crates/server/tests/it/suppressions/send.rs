//! Mail to suppressed addresses.

use super::{statuses, suppress, told};
use crate::harness::{Engine, House, Setup, events_of, on_both_engines, stays};
use http::Method;
use sealwright::clock::Clock;
use sealwright::platform::dev::sink::SinkScript;
use serde_json::{Value, json};
use std::time::Duration;

async fn with_idempotency(house: &House, email: &Value) -> crate::harness::Reply {
    let bearer = format!("Bearer {}", house.account.live);
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "once")];
    let client = &house.client;
    client
        .call_with(Method::POST, "/v1/emails", &headers, email.to_string())
        .await
}

on_both_engines! {
    async fn a_suppressed_recipient_is_recorded_and_the_others_go_on(engine: Engine) {
        let house = House::start(engine).await;
        suppress(&house, &house.account.live, "ada@reader.example").await;
        let mut email = house.email("Ada <ADA@reader.example>");
        email["cc"] = json!(["bo@reader.example", "cy@elsewhere.example"]);
        email["tags"] = json!(["news"]);
        let answer = house.post(&email).await.expect(200);
        assert_eq!((&answer["status"], &answer["suppressionReason"]), (&json!("queued"), &Value::Null));
        let shown = house.reaches(answer["id"].as_str().unwrap(), "delivered").await;
        assert_eq!(statuses(&shown), ["suppressed", "delivered", "delivered"]);
        assert_eq!(told(&shown)[0], "email.sent");
        let data = &events_of(&shown, "email.suppressed")[0]["data"];
        let expected = json!({
            "emailId": answer["id"], "to": "ADA@reader.example", "subject": "A subject", "tags": ["news"], "suppressionReason": "manual",
        });
        assert_eq!(data, &expected);
        let mut received: Vec<_> = house.sink.received().iter().flat_map(|mail| mail.rcpt_to.clone()).collect();
        received.sort();
        assert_eq!(received, ["bo@reader.example", "cy@elsewhere.example"]);
    }

    async fn mail_that_is_suppressed_for_everybody_goes_nowhere_and_says_why(engine: Engine) {
        let house = House::start(engine).await;
        for (email, kind) in [("ada@reader.example", "complaints"), ("bo@elsewhere.example", "unsubscribes")] {
            let new = json!({"email": email, "type": kind});
            house.client.post("/v1/suppressions", &house.account.live, &new).await.expect(201);
        }
        let mut email = house.email("ada@reader.example");
        email["bcc"] = json!("bo@elsewhere.example");
        let first = with_idempotency(&house, &email).await;
        let answer = first.json();
        assert_eq!((&answer["status"], &answer["suppressionReason"]), (&json!("suppressed"), &json!("complaint")));
        let again = with_idempotency(&house, &email).await;
        assert_eq!((again.header("idempotency-replayed"), &again.body), ("true", &first.body));
        let id = answer["id"].as_str().unwrap();
        let shown = house.shown(id).await;
        assert_eq!((&shown["status"], statuses(&shown)), (&json!("suppressed"), vec!["suppressed"; 2]));
        assert_eq!(told(&shown), ["email.sent", "email.suppressed", "email.suppressed"]);
        stays("somebody was written to", 15, async || house.sink.received_count() == 0).await;
        assert!(house.attempts(id).await.is_empty());
    }

    async fn a_freed_address_is_written_to_again(engine: Engine) {
        let house = House::start(engine).await;
        suppress(&house, &house.account.live, "ada@reader.example").await;
        let email = house.email("ada@reader.example");
        assert_eq!(house.post(&email).await.expect(200)["status"], "suppressed");
        house.client.delete("/v1/suppressions?email=ada@reader.example", &house.account.live).await.expect(200);
        let id = house.accepted(&email).await;
        house.reaches(&id, "delivered").await;
    }

    async fn live_mail_heeds_live_suppressions_and_test_mail_those_of_test_keys(engine: Engine) {
        let house = House::start(engine).await;
        let (live, test) = (&house.account.live, &house.account.test);
        suppress(&house, live, "ada@reader.example").await;
        suppress(&house, test, "bo@reader.example").await;
        for (key, to, status) in [
            (live, "ada@reader.example", "suppressed"),
            (live, "bo@reader.example", "queued"),
            (test, "ada@reader.example", "queued"),
            (test, "bo@reader.example", "suppressed"),
        ] {
            let answer = house.client.post("/v1/emails", key, &house.email(to)).await.expect(200);
            assert_eq!(answer["status"], status, "{to}");
        }
    }

    async fn who_is_suppressed_while_mail_waits_is_not_tried_again(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let house = Setup::new(engine).clock(&clock).script(SinkScript::by_local_part()).start().await;
        let id = house.accepted(&house.email("rcpt-451@reader.example")).await;
        house.reaches(&id, "deferred").await;
        suppress(&house, &house.account.live, "rcpt-451@reader.example").await;
        clock.advance(Duration::from_secs(180));
        let shown = house.reaches(&id, "suppressed").await;
        assert_eq!((told(&shown).len(), told(&shown)[2]), (3, "email.suppressed"));
        assert_eq!(house.attempts(&id).await.len(), 1);
    }
    async fn scheduled_mail_goes_to_those_who_are_suppressed_neither_at_once_nor_by_its_time(engine: Engine) {
        let day = Duration::from_secs(86_400);
        let clock = Clock::manual(Clock::System.now().minus(day));
        let house = Setup::new(engine).clock(&clock).start().await;
        suppress(&house, &house.account.live, "ada@reader.example").await;
        let mut email = house.email("ada@reader.example");
        email["scheduledAt"] = json!(clock.now().plus(day).rfc3339());
        let nobody = house.post(&email).await.expect(200);
        assert_eq!((&nobody["status"], &nobody["suppressionReason"]), (&json!("suppressed"), &json!("manual")));
        email["cc"] = json!(["bo@reader.example", "cy@elsewhere.example"]);
        let answer = house.post(&email).await.expect(200);
        assert_eq!((&answer["status"], &answer["suppressionReason"]), (&json!("scheduled"), &Value::Null));
        let id = answer["id"].as_str().unwrap();
        let shown = house.shown(id).await;
        assert_eq!(statuses(&shown), ["suppressed", "scheduled", "scheduled"]);
        assert_eq!(told(&shown), ["email.scheduled", "email.suppressed"]);
        suppress(&house, &house.account.live, "bo@reader.example").await;
        clock.advance(day);
        let shown = house.reaches(id, "delivered").await;
        assert_eq!(statuses(&shown), ["suppressed", "suppressed", "delivered"]);
        let received: Vec<_> = house.sink.received().iter().flat_map(|mail| mail.rcpt_to.clone()).collect();
        assert_eq!(received, ["cy@elsewhere.example"]);
        let nobody = house.shown(nobody["id"].as_str().unwrap()).await;
        assert_eq!(told(&nobody), ["email.scheduled", "email.suppressed"]);
    }

    async fn a_batch_says_of_each_email_whether_somebody_is_left(engine: Engine) {
        let house = House::start(engine).await;
        suppress(&house, &house.account.live, "ada@reader.example").await;
        let batch = json!([house.email("ada@reader.example"), {"to": "nobody"}, house.email("bo@reader.example")]);
        let answer = house.client.post("/v1/emails/batch", &house.account.live, &batch).await.expect(200);
        let data = &answer["data"];
        assert_eq!((&data[0]["status"], &data[0]["suppressionReason"]), (&json!("suppressed"), &json!("manual")));
        assert_eq!((&data[1]["id"], &data[2]["status"]), (&Value::Null, &json!("queued")));
        let shown = house.shown(data[0]["id"].as_str().unwrap()).await;
        assert_eq!(told(&shown), ["email.sent", "email.suppressed"], "it is stored once");
        house.reaches(data[2]["id"].as_str().unwrap(), "delivered").await;
        assert_eq!(house.sink.received_count(), 1);
    }
}
