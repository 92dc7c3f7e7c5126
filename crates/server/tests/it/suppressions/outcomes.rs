//! Outcomes that suppress, and those that must not.

use super::{check, list};
use crate::harness::{
    DNS_A, DNS_MX, Engine, House, NameServer, Receiver, Said, Setup, events_of, eventually, on_both_engines,
};
use sealwright::platform::dev::sink::{Moment, SinkScript, Verdict};
use sealwright_mail::smtp::{EnhancedCode, Reply};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

fn refuse(code: u16, (subject, detail): (u16, u16), text: &str) -> Verdict {
    Verdict::Reply(Reply::new(
        code,
        Some(EnhancedCode::new(5, subject, detail)),
        text,
    ))
}

/// What hosts say of these names: at RCPT, at MAIL, or at the dot.
fn hosts() -> SinkScript {
    SinkScript::new(|moment| match moment {
        Moment::Mail { from } if from.starts_with("unknown@") => refuse(550, (1, 1), "User unknown"),
        Moment::Rcpt { to } => match to.split('@').next().unwrap() {
            "gone" => refuse(550, (1, 1), "no such user here"),
            "silent" => refuse(550, (7, 1), "Unknown user"),
            "policy" => refuse(550, (7, 1), "not accepted for policy reasons"),
            "blocked" => refuse(554, (7, 1), "Client host [192.0.2.7] blocked using a block list"),
            "full" => refuse(552, (2, 2), "mailbox full"),
            _ => Verdict::Accept,
        },
        Moment::Message { to, .. } => match to[0].split('@').next().unwrap() {
            "content" => refuse(554, (6, 0), "this looks like spam"),
            "together" => refuse(550, (1, 1), "User unknown"),
            _ => Verdict::Accept,
        },
        _ => Verdict::Accept,
    })
}

async fn bounced(house: &House, email: &Value) -> Value {
    let id = house.accepted(email).await;
    let shown = house.reaches(&id, "bounced").await;
    events_of(&shown, "email.bounced")[0]["data"].clone()
}

on_both_engines! {
    async fn an_address_that_does_not_exist_is_suppressed_with_the_outcome(engine: Engine) {
        let house = Setup::new(engine).script(hosts()).start().await;
        let receiver = Receiver::start(&house.authority).await;
        let hook = json!({"url": receiver.url("/"), "events": ["suppression.created"]});
        house.client.post("/v1/webhooks", &house.account.live, &hook).await.expect(201);
        for name in ["gone", "silent"] {
            let to = format!("{name}@reader.example");
            let bounce = bounced(&house, &house.email(&to)).await;
            assert_eq!((&bounce["bounceType"], &bounce["bounceCategory"]), (&json!("hard"), &json!("invalid_address")));
            let known = check(&house, &house.account.live, &to).await;
            assert_eq!((&known["type"], &known["reason"]), (&json!("hard_bounces"), &bounce["message"]));
            let answer = house.post(&house.email(&to)).await.expect(200);
            assert_eq!((&answer["status"], &answer["suppressionReason"]), (&json!("suppressed"), &json!("bounce")));
            let shown = house.client.get(&format!("/v1/suppressions/{}", known["id"].as_str().unwrap()), &house.account.live).await.expect(200);
            assert_eq!(shown["emailId"], bounce["emailId"]);
        }
        let hooks = receiver.wait_for(2).await;
        assert!(hooks.iter().all(|hook| hook.json()["data"]["emailId"].is_string()));
        assert_eq!(check(&house, &house.account.test, "gone@reader.example").await["suppressed"], false);
    }

    async fn refusals_that_say_nothing_of_the_address_suppress_nobody(engine: Engine) {
        let house = Setup::new(engine).script(hosts()).start().await;
        for (name, kind, category) in [
            ("policy", "hard", "policy_related"),
            ("blocked", "hard", "blocked"),
            ("content", "hard", "content_rejected"),
            ("full", "soft", "mailbox_full"),
        ] {
            let bounce = bounced(&house, &house.email(&format!("{name}@reader.example"))).await;
            assert_eq!((&bounce["bounceType"], &bounce["bounceCategory"]), (&json!(kind), &json!(category)), "{name}");
        }
        let mut email = house.email("ada@reader.example");
        email["from"] = json!(house.account.address("unknown"));
        assert_eq!(bounced(&house, &email).await["bounceCategory"], "invalid_address", "it was said of the sender");
        email = house.email("together@reader.example");
        email["cc"] = json!("bo@reader.example");
        assert_eq!(bounced(&house, &email).await["bounceCategory"], "invalid_address", "it was said of two");
        assert_eq!(list(&house, &house.account.live, "").await.expect(200)["totalCount"], 0);
    }

    async fn who_is_refused_alone_after_the_dot_is_suppressed(engine: Engine) {
        let house = Setup::new(engine).script(hosts()).start().await;
        bounced(&house, &house.email("together@reader.example")).await;
        assert_eq!(check(&house, &house.account.live, "together@reader.example").await["type"], "hard_bounces");
    }

    async fn a_domain_that_is_not_there_suppresses_and_one_whose_hosts_are_wrong_does_not(engine: Engine) {
        let names = NameServer::start(|name, kind| match (name, kind) {
            ("null.example", DNS_MX) => Said::Hosts(vec![(0, ".".to_owned())]),
            ("private.example", DNS_A) => Said::Addresses(vec![Ipv4Addr::new(10, 1, 2, 3)]),
            ("private.example" | "null.example", _) => Said::Nothing,
            _ => Said::NoName,
        })
        .await;
        let house = Setup::new(engine).unrouted().set("net.name_servers", names.address.to_string()).start().await;
        for (domain, is_suppressed) in [("nowhere.example", true), ("null.example", true), ("private.example", false)] {
            let to = format!("ada@{domain}");
            assert_eq!(bounced(&house, &house.email(&to)).await["bounceCategory"], "domain_not_found");
            assert_eq!(check(&house, &house.account.live, &to).await["suppressed"], is_suppressed, "{domain}");
        }
    }

    async fn outcomes_of_test_mode_can_be_had_again_and_again(engine: Engine) {
        let house = House::start(engine).await;
        for name in ["bounced", "complained"] {
            for _ in 0..2 {
                let email = house.email(&format!("{name}@reader.example"));
                let answer = house.client.post("/v1/emails", &house.account.test, &email).await.expect(200);
                assert_eq!(answer["status"], "queued");
                let path = format!("/v1/emails/{}", answer["id"].as_str().unwrap());
                eventually("it has its outcome", async || {
                    let shown = house.client.get(&path, &house.account.test).await.expect(200);
                    ["bounced", "delivered"].contains(&shown["status"].as_str().unwrap()).then_some(())
                })
                .await;
            }
        }
        assert_eq!(list(&house, &house.account.test, "").await.expect(200)["totalCount"], 0);
    }
}
