//! The table of names, as `docs/test-mode.md` shows it.

use super::rows;
use crate::harness::{Engine, House, Receiver, Setup, events_of, eventually, on_both_engines, stays};
use sealwright::clock::{Clock, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A house whose clock stands at the present until it is moved.
async fn house(engine: Engine) -> House {
    let clock = Clock::manual(Clock::System.now());
    Setup::new(engine).clock(&clock).start().await
}

async fn send(house: &House, email: &Value) -> String {
    let answer = house
        .client
        .post("/v1/emails", &house.account.test, email)
        .await
        .expect(200);
    answer["id"].as_str().unwrap().to_owned()
}

async fn shown(house: &House, id: &str) -> Value {
    let path = format!("/v1/emails/{id}");
    house.client.get(&path, &house.account.test).await.expect(200)
}

async fn attempts(house: &House, id: &str) -> Vec<Value> {
    let path = format!("/v1/emails/{id}/attempts");
    let list = house.client.get(&path, &house.account.test).await.expect(200);
    list["data"].as_array().unwrap().clone()
}

async fn reaches(house: &House, id: &str, status: &str) -> Value {
    eventually(&format!("{id} becomes {status}"), async || {
        let shown = shown(house, id).await;
        (shown["status"] == status).then_some(shown)
    })
    .await
}

fn statuses(shown: &Value) -> Vec<&str> {
    let recipients = shown["recipients"].as_array().unwrap();
    recipients
        .iter()
        .map(|recipient| recipient["status"].as_str().unwrap())
        .collect()
}

/// The types of a timeline after `email.sent`.
fn told(shown: &Value) -> Vec<&str> {
    let events = shown["events"].as_array().unwrap();
    let types = events.iter().map(|event| event["type"].as_str().unwrap());
    types.filter(|name| *name != "email.sent").collect()
}

on_both_engines! {
    async fn every_name_of_the_page_comes_to_what_the_page_says(engine: Engine) {
        let house = house(engine).await;
        let mut sent = Vec::new();
        for row in rows() {
            let email = house.email(&format!("{}@reader.example", row.local));
            sent.push((send(&house, &email).await, row));
        }
        for (id, row) in sent {
            let shown = eventually(&format!("{row:?}"), async || {
                let shown = shown(&house, &id).await;
                // Whatever it waits for comes nearer.
                house.clock.advance(10 * SECOND);
                (shown["status"] == row.status).then_some(shown)
            })
            .await;
            assert_eq!(statuses(&shown), [row.status], "{row:?}");
            assert_eq!(told(&shown), row.events, "{row:?}");
            let events = shown["events"].as_array().unwrap();
            assert!(events.iter().all(|event| event["mode"] == "test"), "{shown}");
            let text = shown["events"].to_string();
            assert!(row.told.iter().all(|word| text.contains(word)), "{row:?} {text}");
        }
        assert_eq!(house.sink.received_count(), 0);
    }

    async fn slow_mail_is_queued_until_its_date(engine: Engine) {
        let house = house(engine).await;
        let id = send(&house, &house.email("slow@reader.example")).await;
        house.clock.advance(29 * SECOND);
        stays("it came early", 15, async || shown(&house, &id).await["status"] == "queued").await;
        assert!(attempts(&house, &id).await.is_empty());
        house.clock.advance(SECOND);
        let shown = reaches(&house, &id, "delivered").await;
        assert_eq!(told(&shown), ["email.delivered"]);
        let attempts = attempts(&house, &id).await;
        assert_eq!(attempts.len(), 1);
        assert_eq!((&attempts[0]["number"], &attempts[0]["facts"]["host"]), (&json!(1), &json!("test mode")));
    }

    async fn recipients_of_one_mail_keep_their_own_dates(engine: Engine) {
        let house = house(engine).await;
        let sent_at = house.clock.now();
        let mut email = house.email("suppressed@reader.example");
        email["cc"] = json!(["slow@reader.example", "deferred@reader.example", "ada@reader.example"]);
        let id = send(&house, &email).await;
        // The whole and its parts are read one after the other, so both are waited for.
        let states = async |expected: [&str; 4], whole: &str| {
            eventually(&format!("{expected:?}"), async || {
                let shown = shown(&house, &id).await;
                (statuses(&shown) == expected && shown["status"] == whole).then_some(shown)
            })
            .await
        };
        let shown = states(["suppressed", "queued", "deferred", "delivered"], "sent").await;
        let deferred = &events_of(&shown, "email.deferred")[0]["data"];
        let next = Timestamp::parse(deferred["nextRetryAt"].as_str().unwrap()).unwrap();
        assert_eq!((next.millis(), &deferred["retryCount"]), (sent_at.plus(120 * SECOND).millis(), &json!(1)));
        house.clock.advance(30 * SECOND);
        states(["suppressed", "delivered", "deferred", "delivered"], "sent").await;
        house.clock.advance(89 * SECOND);
        stays("it was tried before its date", 15, async || attempts(&house, &id).await.len() == 2).await;
        house.clock.advance(SECOND);
        let shown = states(["suppressed", "delivered", "delivered", "delivered"], "delivered").await;
        assert_eq!(events_of(&shown, "email.deferred").len(), 1);
        let tried: Vec<_> = attempts(&house, &id).await.iter().map(|a| a["facts"]["recipients"].as_array().unwrap().len()).collect();
        assert_eq!(tried, [2, 1, 1], "nobody is tried before its date, and a suppressed recipient never");
    }

    async fn mail_that_is_suppressed_for_everybody_is_never_attempted(engine: Engine) {
        let house = house(engine).await;
        let mut email = house.email("suppressed@reader.example");
        email["bcc"] = json!("Suppressed+manual@elsewhere.example");
        let id = send(&house, &email).await;
        let shown = reaches(&house, &id, "suppressed").await;
        assert_eq!(statuses(&shown), ["suppressed", "suppressed"]);
        assert!(attempts(&house, &id).await.is_empty());
        let list = house.client.get("/v1/emails?status=suppressed", &house.account.test).await.expect(200);
        assert_eq!((&list["totalCount"], &list["data"][0]["id"]), (&json!(1), &json!(id)));
    }

    async fn complaints_and_suppressions_reach_the_endpoints_of_test_keys(engine: Engine) {
        let house = house(engine).await;
        let receiver = Receiver::start(&house.authority).await;
        for (path, key) in [("/test", &house.account.test), ("/live", &house.account.live)] {
            let new = json!({"url": receiver.url(path), "events": ["email.complained", "email.suppressed"]});
            house.client.post("/v1/webhooks", key, &new).await.expect(201);
        }
        for name in ["complained", "suppressed+unsubscribe"] {
            send(&house, &house.email(&format!("{name}@reader.example"))).await;
        }
        let mut hooks = eventually("both are told", async || {
            // A complaint is dated a moment after the delivery.
            house.clock.advance(SECOND);
            let hooks = receiver.hooks();
            (hooks.len() >= 2).then_some(hooks)
        })
        .await;
        stays("a live endpoint was told, too", 10, async || receiver.hooks().len() == 2).await;
        hooks.sort_by_key(|hook| hook.json()["type"].to_string());
        assert!(hooks.iter().all(|hook| hook.path == "/test" && hook.json()["mode"] == "test"));
        let (complained, suppressed) = (hooks[0].json(), hooks[1].json());
        assert_eq!((&complained["type"], &suppressed["type"]), (&json!("email.complained"), &json!("email.suppressed")));
        assert_eq!(complained["data"]["complainedAt"], complained["createdAt"]);
        assert_eq!(complained["data"]["to"], "complained@reader.example");
        assert_eq!(suppressed["data"]["suppressionReason"], "unsubscribe");
    }
}
