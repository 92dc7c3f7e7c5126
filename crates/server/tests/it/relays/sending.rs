//! Mail that leaves through relays: once, and another way only after an answer that says it was not taken.

use super::stand_in::{Asked, Say, StandIn};
use super::{account, add, house, usual};
use crate::harness::{Engine, House, Setup, events_of, eventually, on_both_engines};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use sealwright::clock::Clock;
use sealwright::platform::dev::sink::SinkScript;
use serde_json::{Value, json};
use std::time::Duration;

/// Longer than the first wait of the schedule.
pub(super) const NEXT: Duration = Duration::from_secs(3 * 60);

pub(super) fn standing(engine: Engine) -> Setup {
    Setup::new(engine).clock(&Clock::manual(Clock::System.now()))
}

pub(super) async fn set_route(house: &House, route: &str) {
    let key = &house.account.live;
    let domains = house.client.get("/v1/domains", key).await.expect(200);
    let path = format!("/v1/domains/{}", domains["data"][0]["id"].as_str().unwrap());
    let change = json!({"route": route}).to_string();
    let changed = house
        .client
        .call(Method::PATCH, &path, key, change)
        .await
        .expect(200);
    assert_eq!(changed["route"], route);
}

/// Adds a relay that is asked as this one of all.
async fn add_at(house: &House, provider: &str, priority: i64) -> String {
    let mut relay = account(provider);
    relay["priority"] = json!(priority);
    add(house, &relay).await
}

/// Who was asked to send, in order.
fn senders(stand_in: &StandIn) -> Vec<String> {
    let asked = stand_in.asked().into_iter();
    asked
        .filter(|asked| asked.method == Method::POST)
        .map(|asked| asked.provider)
        .collect()
}

/// The message that a provider was given as it is.
fn message(asked: &Asked) -> Vec<u8> {
    if asked.provider == "ses" {
        let json: Value = serde_json::from_slice(&asked.body).unwrap();
        return STANDARD
            .decode(json["Content"]["Raw"]["Data"].as_str().unwrap())
            .unwrap();
    }
    let text = String::from_utf8(asked.body.to_vec()).unwrap();
    let (_, message) = text.split_once("Content-Type: message/rfc822\r\n\r\n").unwrap();
    message
        .rsplit_once("\r\n--sealwright-")
        .unwrap()
        .0
        .as_bytes()
        .to_vec()
}

/// Waits until the mail was deferred this often, and then for the date of the next attempt.
pub(super) async fn deferred(house: &House, id: &str, times: usize) {
    eventually(&format!("{times} deferrals"), async || {
        let shown = house.shown(id).await;
        (events_of(&shown, "email.deferred").len() >= times).then_some(())
    })
    .await;
}

on_both_engines! {
    async fn each_provider_takes_a_mail_once(engine: Engine) {
        let (house, stand_in) = usual(engine).await;
        set_route(&house, "relay").await;
        for (provider, path) in [
            ("resend", "/emails"),
            ("postmark", "/email"),
            ("ses", "/v2/email/outbound-emails"),
            ("sendgrid", "/v3/mail/send"),
            ("mailgun", "/v3/mg.house.example/messages.mime"),
        ] {
            let relay = add(&house, &account(provider)).await;
            let before = stand_in.asked().len();
            let id = house.accepted(&house.email("ada@reader.example")).await;
            house.reaches(&id, "delivered").await;
            let asked = stand_in.asked().split_off(before);
            assert_eq!((asked.len(), asked[0].path.as_str()), (1, path));
            let attempts = house.attempts(&id).await;
            assert_eq!((attempts.len(), &attempts[0]["state"]), (1, &json!("finished")), "{provider}");
            if ["ses", "mailgun"].contains(&provider) {
                assert_eq!(house.dkim_verdict(&message(&asked[0])), "pass", "{provider}");
            }
            house.client.delete(&format!("/v1/relays/{relay}"), &house.account.live).await.expect(200);
        }
        assert!(house.sink.received().is_empty(), "it went directly, too");
    }

    async fn what_one_relay_does_not_take_the_next_one_gets(engine: Engine) {
        let (house, stand_in) = usual(engine).await;
        add_at(&house, "sendgrid", 1).await;
        add_at(&house, "resend", 0).await;
        set_route(&house, "relay").await;
        for answer in ["too many requests", "not verified there", "a key that is none"] {
            stand_in.answer("resend", [Say::Recorded(answer)]);
            let before = stand_in.asked().len();
            let id = house.accepted(&house.email("ada@reader.example")).await;
            house.reaches(&id, "delivered").await;
            assert_eq!(senders(&stand_in)[before..], ["resend", "sendgrid"], "{answer}");
            let attempts = house.attempts(&id).await;
            assert_eq!(attempts[0]["facts"]["steps"].as_array().unwrap().len(), 2, "{attempts:?}");
        }
        let list = house.client.get("/v1/relays", &house.account.live).await.expect(200);
        assert_eq!((&list["data"][0]["status"], &list["data"][1]["status"]), (&json!("failing"), &json!("active")));
    }

    async fn a_mail_in_doubt_is_asked_of_the_same_relay_under_the_same_key_and_nowhere_else(engine: Engine) {
        let (mut house, stand_in) = house(standing(engine)).await;
        add_at(&house, "resend", 0).await;
        add_at(&house, "ses", 1).await;
        set_route(&house, "relay_then_direct").await;
        // Perhaps taken; then not now, which says nothing of the first; then a failure of the provider's own.
        stand_in.answer("resend", [Say::BreakOff, Say::Recorded("too many requests"), Say::Status(500)]);
        let id = house.accepted(&house.email("ada@reader.example")).await;
        for times in 1..=3 {
            deferred(&house, &id, times).await;
            if times == 2 {
                // The doubt is in the store, not in the process.
                house.stop().await;
                let config = house.config.clone();
                house.restart(config, sealwright::app::Roles::ALL).await;
            }
            house.clock.advance(NEXT * 5 * u32::try_from(times).unwrap());
        }
        house.reaches(&id, "delivered").await;
        assert_eq!(senders(&stand_in), ["resend"; 4]);
        assert!(house.sink.received().is_empty());
        let asked = stand_in.asked();
        let key = |asked: &Asked| asked.headers["idempotency-key"].to_str().unwrap().to_owned();
        assert!(asked.iter().all(|one| key(one) == key(&asked[0]) && one.body == asked[0].body));
        assert!(key(&asked[0]).starts_with(&id), "{}", key(&asked[0]));
        let states: Vec<_> = house.attempts(&id).await.iter().map(|attempt| attempt["state"].clone()).collect();
        assert_eq!(states, ["in_doubt", "finished", "in_doubt", "finished"]);
    }

    async fn a_mail_that_hosts_may_have_taken_is_not_given_to_a_relay(engine: Engine) {
        let script = SinkScript::by_local_part();
        let (house, stand_in) = house(standing(engine).script(script)).await;
        add(&house, &account("resend")).await;
        set_route(&house, "direct_then_relay").await;
        let later = house.accepted(&house.email("dot-451@reader.example")).await;
        house.reaches(&later, "delivered").await;
        assert_eq!(senders(&stand_in), ["resend"], "it was not taken directly");
        let refused = house.accepted(&house.email("dot-550@reader.example")).await;
        house.reaches(&refused, "bounced").await;
        assert_eq!(senders(&stand_in).len(), 1, "a refusal is an answer");
        let taken = house.accepted(&house.email("ada@reader.example")).await;
        house.reaches(&taken, "delivered").await;
        assert_eq!(senders(&stand_in).len(), 1);
        let before = house.sink.received().len();
        let lost = house.accepted(&house.email("lost-dot@reader.example")).await;
        for times in 1..=3 {
            deferred(&house, &lost, times).await;
            house.clock.advance(NEXT * 5 * u32::try_from(times).unwrap());
        }
        assert_eq!(senders(&stand_in).len(), 1, "only its hosts may be asked again");
        assert!(house.sink.received().len() >= before + 3);
    }

    async fn what_no_relay_takes_goes_directly_where_the_route_says_so(engine: Engine) {
        let (house, stand_in) = usual(engine).await;
        add(&house, &account("resend")).await;
        set_route(&house, "relay_then_direct").await;
        stand_in.answer("resend", [Say::Recorded("not verified there")]);
        let id = house.accepted(&house.email("ada@reader.example")).await;
        house.reaches(&id, "delivered").await;
        assert_eq!((senders(&stand_in).len(), house.sink.received().len()), (1, 1));
    }

    async fn a_relay_carries_only_mail_that_it_is_for(engine: Engine) {
        let (house, stand_in) = usual(engine).await;
        let mut other = account("resend");
        other["domains"] = json!(["other.example"]);
        add(&house, &other).await;
        let mut disabled = account("postmark");
        disabled["enabled"] = json!(false);
        add(&house, &disabled).await;
        set_route(&house, "relay").await;
        let id = house.accepted(&house.email("ada@reader.example")).await;
        deferred(&house, &id, 1).await;
        let shown = house.shown(&id).await;
        let reason = &events_of(&shown, "email.deferred")[0]["data"]["reason"];
        assert_eq!(reason, "no relay is ready to take mail of this domain");
        assert!(stand_in.asked().is_empty() && house.sink.received().is_empty());
    }

    async fn a_recipient_that_the_provider_writes_to_no_more_bounces(engine: Engine) {
        let (house, stand_in) = usual(engine).await;
        add_at(&house, "postmark", 0).await;
        add_at(&house, "resend", 1).await;
        set_route(&house, "relay").await;
        stand_in.answer("postmark", [Say::Recorded("recipient is inactive")]);
        let id = house.accepted(&house.email("ada@reader.example")).await;
        let shown = house.reaches(&id, "bounced").await;
        assert_eq!(senders(&stand_in), ["postmark"]);
        assert_eq!(events_of(&shown, "email.bounced")[0]["data"]["bounceCategory"], "blocked");
    }

    async fn test_mail_is_given_to_no_relay(engine: Engine) {
        let (house, stand_in) = usual(engine).await;
        add(&house, &account("resend")).await;
        set_route(&house, "relay").await;
        let email = house.email("ada@reader.example");
        let id = house.client.post("/v1/emails", &house.account.test, &email).await.expect(200);
        let path = format!("/v1/emails/{}", id["id"].as_str().unwrap());
        eventually("it has an outcome", async || {
            let shown = house.client.get(&path, &house.account.test).await.expect(200);
            (shown["status"] == "delivered").then_some(())
        })
        .await;
        assert!(stand_in.asked().is_empty());
    }
}
