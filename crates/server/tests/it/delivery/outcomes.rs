//! What becomes of recipients.

use super::{at_the_dots, standing_clock};
use crate::harness::{Engine, Setup, events_of, eventually, on_both_engines, stays};
use sealwright::clock::Timestamp;
use sealwright::platform::dev::sink::{SinkScript, Verdict};
use serde_json::{Value, json};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn states(attempts: &[Value]) -> Vec<&str> {
    attempts
        .iter()
        .map(|attempt| attempt["state"].as_str().unwrap())
        .collect()
}

fn recipient<'a>(shown: &'a Value, address: &str) -> &'a str {
    let all = shown["recipients"].as_array().unwrap();
    let one = all
        .iter()
        .find(|recipient| recipient["recipient"] == address)
        .unwrap();
    one["status"].as_str().unwrap()
}

on_both_engines! {
    async fn a_temporary_refusal_defers_and_the_mail_is_tried_again_when_it_is_due(engine: Engine) {
        let clock = standing_clock();
        let house = Setup::new(engine).clock(&clock).script(at_the_dots(vec![Verdict::refuse(451)])).start().await;
        let id = house.accepted(&house.email("ada@reader.example")).await;
        let shown = house.reaches(&id, "deferred").await;
        let told = &events_of(&shown, "email.deferred")[0]["data"];
        assert_eq!(told["retryCount"], 1);
        assert_eq!(told["to"], "ada@reader.example");
        assert!(told["reason"].as_str().unwrap().starts_with("451 "), "{told}");
        let next = Timestamp::parse(told["nextRetryAt"].as_str().unwrap()).unwrap();
        let wait = next.since(clock.now());
        assert!((MINUTE..3 * MINUTE).contains(&wait), "the first wait is {wait:?}");
        stays("it was tried before it was due", 10, async || house.attempts(&id).await.len() == 1).await;
        clock.advance(3 * MINUTE);
        let shown = house.reaches(&id, "delivered").await;
        let attempts = house.attempts(&id).await;
        assert_eq!(states(&attempts), ["finished", "finished"]);
        assert_eq!(attempts[1]["number"], 2);
        assert_eq!(events_of(&shown, "email.delivered").len(), 1);
        assert_eq!(house.sink.received_count(), 1);
    }

    async fn a_permanent_refusal_bounces_with_its_category_and_is_not_repeated(engine: Engine) {
        let clock = standing_clock();
        let house = Setup::new(engine).clock(&clock).script(SinkScript::by_local_part()).start().await;
        let id = house.accepted(&house.email("rcpt-550@reader.example")).await;
        let shown = house.reaches(&id, "bounced").await;
        let told = &events_of(&shown, "email.bounced")[0]["data"];
        assert_eq!(told["bounceType"], "hard");
        assert!(told["bounceCategory"].is_string(), "{told}");
        assert!(told["message"].as_str().unwrap().starts_with("550 "), "{told}");
        clock.advance(1000 * MINUTE);
        stays("it was tried again", 10, async || house.attempts(&id).await.len() == 1).await;
    }

    async fn recipients_of_one_mail_have_their_own_outcomes(engine: Engine) {
        let clock = standing_clock();
        let house = Setup::new(engine).clock(&clock).script(SinkScript::by_local_part()).start().await;
        let mut email = house.email("rcpt-550@reader.example");
        email["to"] = json!(["ada@reader.example", "rcpt-450@reader.example", "rcpt-550@reader.example", "bo@elsewhere.example"]);
        let id = house.accepted(&email).await;
        let shown = eventually("all four were tried", async || {
            let shown = house.reaches(&id, "sent").await;
            (recipient(&shown, "bo@elsewhere.example") == "delivered" && recipient(&shown, "ada@reader.example") == "delivered")
                .then_some(shown)
        })
        .await;
        assert_eq!(recipient(&shown, "rcpt-450@reader.example"), "deferred");
        assert_eq!(recipient(&shown, "rcpt-550@reader.example"), "bounced");
        clock.advance(3 * MINUTE);
        eventually("the deferred one is tried again", async || (house.attempts(&id).await.len() == 3).then_some(())).await;
        let received = house.sink.received();
        assert_eq!(received.iter().filter(|mail| mail.rcpt_to.contains(&"ada@reader.example".to_owned())).count(), 1);
    }

    async fn a_connection_lost_after_the_dot_leaves_the_attempt_in_doubt(engine: Engine) {
        let clock = standing_clock();
        let house = Setup::new(engine).clock(&clock).script(at_the_dots(vec![Verdict::KeepAndHangUp])).start().await;
        let id = house.accepted(&house.email("ada@reader.example")).await;
        house.reaches(&id, "deferred").await;
        assert_eq!(states(&house.attempts(&id).await), ["in_doubt"]);
        clock.advance(3 * MINUTE);
        house.reaches(&id, "delivered").await;
        assert_eq!(states(&house.attempts(&id).await), ["in_doubt", "finished"]);
        let received = house.sink.received();
        assert_eq!(received.len(), 2, "taken twice, as the mark of doubt tells");
        assert_eq!(*received[0].bytes, *received[1].bytes, "every attempt sends the same bytes");
    }

    async fn a_connection_lost_before_the_dot_is_no_doubt(engine: Engine) {
        let clock = standing_clock();
        let house = Setup::new(engine).clock(&clock).script(SinkScript::by_local_part()).start().await;
        let id = house.accepted(&house.email("cut-rcpt@reader.example")).await;
        house.reaches(&id, "deferred").await;
        assert_eq!(states(&house.attempts(&id).await), ["finished"]);
        assert_eq!(house.sink.received_count(), 0);
    }

    async fn mail_that_nobody_takes_in_time_fails_and_says_so(engine: Engine) {
        let clock = standing_clock();
        let house = Setup::new(engine)
            .clock(&clock)
            .set("delivery.expire_hours", "1")
            .script(SinkScript::by_local_part())
            .start()
            .await;
        let id = house.accepted(&house.email("dot-451@reader.example")).await;
        let mut tried = 0;
        let shown = eventually("it fails", async || {
            // Before the status, which is committed together with the end of an attempt.
            let attempts = states(&house.attempts(&id).await).iter().filter(|state| **state == "finished").count();
            let shown = house.shown(&id).await;
            if shown["status"] == "deferred" && attempts > tried {
                // Past each wait of the schedule (2, 10, 30 minutes) and no further.
                clock.advance([3, 11, 33][tried] * MINUTE);
                tried = attempts;
            }
            (shown["status"] == "failed").then_some(shown)
        })
        .await;
        assert_eq!(house.attempts(&id).await.len(), 4);
        let failed = events_of(&shown, "email.failed");
        assert_eq!(failed.len(), 1);
        assert!(failed[0]["data"]["reason"].as_str().unwrap().starts_with("451 "));
    }
}
