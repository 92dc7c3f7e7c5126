//! What reports do to e-mails and to nothing else.

use super::*;
use crate::harness::{account, events_of, on_both_engines, stays};
use serde_json::json;
use std::time::Duration;

/// Who is not written to any more, and why.
async fn suppressed(house: &House) -> Vec<String> {
    let list = house
        .client
        .get("/v1/suppressions", &house.account.live)
        .await
        .expect(200);
    let row = |row: &Value| {
        format!(
            "{} {}",
            row["email"].as_str().unwrap(),
            row["type"].as_str().unwrap()
        )
    };
    list["data"].as_array().unwrap().iter().map(row).collect()
}

on_both_engines! {
    async fn a_mail_that_comes_back_is_bounced_once_however_often_it_is_said(engine: Engine) {
        let house = house(engine, &Clock::System).await;
        let mut email = house.email("Ghost <ghost@reader.example>");
        email["tags"] = json!(["late"]);
        email["metadata"] = json!({"order": 42});
        let (id, path) = sent(&house, &email).await;
        assert!(path.ends_with(&format!("@{HOST}")) && path.len() <= 64 + 1 + HOST.len(), "{path}");
        // Local parts lose their case on the way.
        for path in [path.clone(), path.to_ascii_uppercase(), path] {
            Talk::bring(house.smtp_address(), &path, &nobody("ghost@reader.example")).await;
        }
        let shown = house.reaches(&id, "bounced").await;
        assert_eq!(status(&shown, "ghost"), "bounced");
        assert_eq!(events_of(&shown, "email.delivered").len(), 1, "it had been delivered");
        let bounced = events_of(&shown, "email.bounced");
        let [event] = bounced[..] else { panic!("{bounced:#?}") };
        let data = &event["data"];
        assert_eq!(data["emailId"], id.as_str());
        assert_eq!((&data["to"], &data["subject"]), (&json!("ghost@reader.example"), &json!("A subject")));
        assert_eq!((&data["tags"], &data["metadata"]), (&json!(["late"]), &json!({"order": 42})));
        assert_eq!((&data["bounceType"], &data["bounceCategory"]), (&json!("hard"), &json!("invalid_address")));
        assert_eq!(data["message"], "550 5.1.1 <ghost> user unknown");
        assert_eq!((counted(&house, "bounced"), counted(&house, "repeated")), (1, 2));
        assert_eq!(suppressed(&house).await, ["ghost@reader.example hard_bounces"]);
    }

    async fn only_the_recipient_that_a_report_names_has_bounced(engine: Engine) {
        let house = house(engine, &Clock::System).await;
        let mut email = house.email("ada@reader.example");
        email["cc"] = json!(["full@reader.example", "bo@other.example"]);
        let id = house.accepted(&email).await;
        house.reaches(&id, "delivered").await;
        let mails = house.sink.received();
        let path = |to: &str| {
            let ours = mails.iter().find(|mail| mail.rcpt_to.contains(&to.to_owned()));
            ours.unwrap().mail_from.clone()
        };
        let (reader, other) = (path("ada@reader.example"), path("bo@other.example"));
        assert_ne!(reader, other, "each destination has its own");
        // Two recipients and neither is named; a recipient of another destination; somebody else.
        for name in ["someone@inner.example", "bo@other.example"] {
            Talk::bring(house.smtp_address(), &reader, &nobody(name)).await;
        }
        assert_eq!(counted(&house, "unmatched"), 2);
        let report = report(&[("FULL@reader.example", "5.2.2", "552 5.2.2 mailbox full"), ("x@y.example", "5.1.1", "550 no")]);
        Talk::bring(house.smtp_address(), &reader, &report).await;
        let shown = house.shown(&id).await;
        assert_eq!(shown["status"], "delivered", "others have it");
        let statuses = ["ada@", "full@", "bo@"].map(|name| status(&shown, name));
        assert_eq!(statuses, ["delivered", "bounced", "delivered"]);
        let bounced = events_of(&shown, "email.bounced");
        let data = &bounced[0]["data"];
        assert_eq!((&data["bounceType"], &data["bounceCategory"]), (&json!("soft"), &json!("mailbox_full")));
        // The only recipient of a destination is meant whatever it is called: it forwards.
        Talk::bring(house.smtp_address(), &other, &nobody("robert@inner.example")).await;
        let shown = house.shown(&id).await;
        assert_eq!(status(&shown, "bo@other"), "bounced");
        assert_eq!(events_of(&shown, "email.bounced")[1]["data"]["to"], "bo@other.example");
        // A full mailbox is written to again, and so is one that forwarded to somebody who is gone.
        assert!(suppressed(&house).await.is_empty());
    }

    async fn a_mail_system_that_gave_up_bounces_softly(engine: Engine) {
        let house = house(engine, &Clock::System).await;
        let (id, path) = sent(&house, &house.email("ada@reader.example")).await;
        let expired = report(&[("ada@reader.example", "4.4.7", "delivery time expired")]);
        Talk::bring(house.smtp_address(), &path, &expired).await;
        let shown = house.reaches(&id, "bounced").await;
        assert_eq!(events_of(&shown, "email.bounced")[0]["data"]["bounceType"], "soft");
    }

    async fn prose_of_a_mail_system_is_read_and_that_of_people_is_not(engine: Engine) {
        let house = house(engine, &Clock::System).await;
        let (id, path) = sent(&house, &house.email("ghost@reader.example")).await;
        let away = "From: Ghost <ghost@reader.example>\nAuto-Submitted: auto-replied\nSubject: Away\n\nI am away. 550 5.1.1\n";
        let late = nobody("ghost@reader.example").replace("Action: failed", "Action: delayed");
        for nothing in [away, &late, "", "\n", "Content-Type: multipart/report; boundary=b\n\n--b\n"] {
            Talk::bring(house.smtp_address(), &path, nothing).await;
        }
        assert_eq!(counted(&house, "other"), 5);
        assert_eq!(house.shown(&id).await["status"], "delivered");
        let qmail = "From: MAILER-DAEMON@mx.reader.example\nSubject: failure notice\n\nHi. This is the qmail-send program at mx.\n\
            I'm afraid I wasn't able to deliver your message to the following addresses.\n\n<ghost@reader.example>:\n\
            Sorry, no mailbox here by that name. (#5.1.1)\n\n--- Below this line is a copy of the message.\n\nSubject: A subject\n";
        Talk::bring(house.smtp_address(), &path, qmail).await;
        let shown = house.reaches(&id, "bounced").await;
        let data = &events_of(&shown, "email.bounced")[0]["data"];
        assert_eq!((&data["bounceCategory"], &data["message"]),
            (&json!("invalid_address"), &json!("Sorry, no mailbox here by that name. (#5.1.1)")));
    }

    async fn a_complaint_is_told_once_and_the_mail_stays_delivered(engine: Engine) {
        let house = house(engine, &Clock::System).await;
        let (id, path) = sent(&house, &house.email("ada@reader.example")).await;
        let abuse = format!("abuse@{HOST}");
        // To the return path itself, and to the address that a feedback loop is registered with.
        for to in [&path, &abuse, &abuse] {
            Talk::bring(house.smtp_address(), to, &feedback("abuse", &path)).await;
        }
        let shown = house.shown(&id).await;
        let complained = events_of(&shown, "email.complained");
        assert_eq!(complained.len(), 1, "{complained:#?}");
        assert_eq!(complained[0]["data"]["to"], "ada@reader.example");
        assert!(complained[0]["data"]["complainedAt"].is_string());
        assert_eq!(shown["status"], "delivered");
        assert_eq!(suppressed(&house).await, ["ada@reader.example complaints"]);
        let refused = [
            feedback("not-spam", &path),
            feedback("abuse", "nobody@return.house.example"),
            nobody("ada@reader.example"),
            "Subject: Dear abuse team\n\nplease\n".to_owned(),
        ];
        for message in &refused {
            let reply = Talk::try_bring(house.smtp_address(), &abuse, message).await;
            assert!(reply.starts_with("550 5.6.0 "), "{reply}");
        }
        assert_eq!(house.shown(&id).await, shown);
    }

    async fn a_report_reaches_the_mail_of_its_own_organization_only(engine: Engine) {
        let house = house(engine, &Clock::System).await;
        let other = account(&house.platform, "Other", "other.example").await;
        let (ours, path) = sent(&house, &house.email("ada@reader.example")).await;
        let email = json!({"from": other.address("hello"), "to": "ada@reader.example", "subject": "Theirs", "text": "A text."});
        let theirs = house.client.post("/v1/emails", &other.live, &email).await.expect(200)["id"].take();
        let shown = async || house.client.get(&format!("/v1/emails/{}", theirs.as_str().unwrap()), &other.live).await.expect(200);
        eventually("theirs is delivered", async || (shown().await["status"] == "delivered").then_some(())).await;
        let before = shown().await;
        let their_path = house.sink.received().last().unwrap().mail_from.clone();
        // The front of one path and the rest of another: what names the organization is signed with the message.
        let mixed = format!("{}{}", &path[..10], &their_path[10..]);
        let reply = Talk::try_bring(house.smtp_address(), &mixed, &nobody("ada@reader.example")).await;
        assert!(reply.starts_with("550 5.1.1 "), "{reply}");
        Talk::bring(house.smtp_address(), &path, &nobody("ada@reader.example")).await;
        house.reaches(&ours, "bounced").await;
        assert_eq!(shown().await, before);
    }

    async fn a_bounce_that_overtakes_the_reply_to_the_dot_stays(engine: Engine) {
        use sealwright::platform::dev::sink::{Moment, SinkScript, Verdict};
        use std::sync::{Arc, Mutex};
        // The receiving host bounces while we still wait for its reply.
        let path = Arc::new(Mutex::new(String::new()));
        let seen = Arc::clone(&path);
        let script = SinkScript::new(move |moment| match moment {
            Moment::Message { from, .. } => {
                from.clone_into(&mut seen.lock().unwrap());
                Verdict::Wait(Duration::from_secs(2), Box::new(Verdict::Accept))
            }
            _ => Verdict::Accept,
        });
        let setup = Setup::new(engine).set("returns.host", HOST).set("smtp.listen", "127.0.0.1:0").script(script);
        let house = setup.start().await;
        let id = house.accepted(&house.email("ghost@reader.example")).await;
        let path = eventually("the dot was sent", async || Some(path.lock().unwrap().clone()).filter(|path| !path.is_empty())).await;
        Talk::bring(house.smtp_address(), &path, &nobody("ghost@reader.example")).await;
        house.reaches(&id, "bounced").await;
        eventually("the reply is recorded", async || {
            (!events_of(&house.shown(&id).await, "email.delivered").is_empty()).then_some(())
        })
        .await;
        assert_eq!(house.shown(&id).await["status"], "bounced");
    }

    async fn test_mail_and_mail_without_a_listener_have_no_return_path(engine: Engine) {
        let mut house = house(engine, &Clock::System).await;
        let email = house.email("bounced@reader.example");
        let id = house.client.post("/v1/emails", &house.account.test, &email).await.expect(200);
        eventually("test mail bounces by itself", async || {
            let path = format!("/v1/emails/{}", id["id"].as_str().unwrap());
            let shown = house.client.get(&path, &house.account.test).await.expect(200);
            (shown["status"] == "bounced").then_some(())
        })
        .await;
        stays("nothing left", 10, async || house.sink.received().is_empty()).await;
        house.stop().await;
        let mut config = house.config.clone();
        (config.smtp.listen, config.returns.host) = (None, None);
        house.restart(config, sealwright::app::Roles::ALL).await;
        let id = house.accepted(&house.email("ada@reader.example")).await;
        house.reaches(&id, "delivered").await;
        assert_eq!(house.sink.received()[0].mail_from, house.account.address("hello"));
    }
}
