//! What an accepted e-mail becomes.

use crate::harness::{Engine, House, Receiver, events_of, on_both_engines};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{MessageParser, MimeHeaders as _};
use serde_json::{Value, json};

/// An e-mail with every field.
fn full(house: &House) -> Value {
    json!({
        "from": {"email": house.account.address("hello"), "name": "Häuser & Co"},
        "to": ["Ada <ada@reader.example>", {"email": "bo@reader.example"}],
        "cc": "carl@copy.example",
        "bcc": ["dora@blind.example"],
        "replyTo": "answers@house.example",
        "subject": "Grüße – your order",
        "html": "<p>Hello <b>Ada</b></p><img src=\"cid:logo\">",
        "text": "Hello Ada",
        "headers": {"X-Order": "42", "List-Unsubscribe": "<https://house.example/u>"},
        "tags": ["order", "first_time"],
        "metadata": {"order": 42, "10": "ten", "is_new": true},
        "attachments": [
            {"filename": "bill.pdf", "content": STANDARD.encode(b"%PDF bill"), "contentType": "application/pdf"},
            {"filename": "logo.png", "content": STANDARD.encode(b"png"), "contentType": "image/png", "cid": "logo"},
        ],
    })
}

on_both_engines! {
    async fn an_accepted_email_is_delivered_and_a_signed_webhook_says_so(engine: Engine) {
        let house = House::start(engine).await;
        let receiver = Receiver::start(&house.authority).await;
        let new = json!({"url": receiver.url("/hooks"), "events": ["*"]});
        let created = house.client.post("/v1/webhooks", &house.account.live, &new).await.expect(201);
        let secret = created["secret"].as_str().unwrap();

        let reply = house.post(&full(&house)).await;
        assert_eq!(reply.header("cache-control"), "no-store");
        assert!(reply.header("strict-transport-security").contains("max-age="));
        assert!(reply.header("x-request-id").starts_with("req_"));
        let answer = reply.expect(200);
        let id = answer["id"].as_str().unwrap();
        assert!(id.starts_with("email_") && id.len() == "email_".len() + 26, "{id}");
        assert_eq!(answer["object"], "email");
        assert_eq!(answer["status"], "queued");
        assert_eq!(answer["subject"], "Grüße – your order");
        assert_eq!(answer["to"], json!(["Ada <ada@reader.example>", "bo@reader.example"]));

        let shown = house.reaches(id, "delivered").await;
        assert_eq!(shown["createdAt"], answer["createdAt"]);
        assert_eq!(shown["mode"], "live");
        assert_eq!(shown["cc"], json!(["carl@copy.example"]));
        assert_eq!(shown["bcc"], json!(["dora@blind.example"]));
        assert_eq!(shown["replyTo"], json!(["answers@house.example"]));
        assert_eq!(shown["tags"], json!(["order", "first_time"]));
        assert_eq!(shown["metadata"], json!({"order": 42, "10": "ten", "is_new": true}));
        assert_eq!(shown["text"], "Hello Ada");
        assert!(shown["html"].as_str().unwrap().contains("<b>Ada</b>"));
        assert_eq!(shown["contentAvailable"], true);
        assert!(shown["deliveredAt"].as_str().unwrap().ends_with('Z'));
        let states: Vec<_> = shown["recipients"].as_array().unwrap().iter().map(|r| &r["status"]).collect();
        assert_eq!(states, ["delivered"; 4]);
        assert_eq!(events_of(&shown, "email.sent").len(), 1);
        assert_eq!(events_of(&shown, "email.delivered").len(), 4);

        // One attempt per destination, each with its steps.
        let attempts = house.attempts(id).await;
        assert_eq!(attempts.len(), 3);
        for attempt in &attempts {
            assert_eq!(attempt["state"], "finished");
            assert_eq!(attempt["number"], 1);
            let steps = attempt["facts"]["steps"].as_array().unwrap();
            let verbs: Vec<_> = steps.iter().map(|step| step["verb"].as_str().unwrap()).collect();
            for verb in ["MAIL", "RCPT", "DATA", "dot"] {
                assert!(verbs.contains(&verb), "{verb} is not among {verbs:?}");
            }
            assert_eq!(steps.last().unwrap()["code"], 250);
        }

        // Five events, five requests, each with three signatures that hold.
        let hooks = receiver.wait_for(5).await;
        assert_eq!(hooks.len(), 5);
        for hook in &hooks {
            hook.verify(secret);
            assert_eq!(hook.path, "/hooks");
            let told = hook.json();
            assert_eq!(told["data"]["emailId"], id);
            assert_eq!(told["data"]["metadata"]["order"], 42);
            assert_eq!(hook.header("webhook-id"), told["id"].as_str().unwrap());
        }
    }

    async fn the_message_holds_what_was_asked_for_and_no_blind_copy(engine: Engine) {
        let house = House::start(engine).await;
        let id = house.accepted(&full(&house)).await;
        house.reaches(&id, "delivered").await;
        let received = house.sink.received();
        assert_eq!(received.len(), 3, "one transaction per destination");
        let envelopes: Vec<_> = received.iter().flat_map(|mail| mail.rcpt_to.clone()).collect();
        assert_eq!(envelopes.len(), 4);
        for mail in &received {
            let text = String::from_utf8_lossy(&mail.bytes);
            assert!(!text.contains("dora") && !text.to_ascii_lowercase().contains("\r\nbcc:"));
            assert!(text.starts_with("DKIM-Signature:"));
            assert_eq!(*mail.bytes, *received[0].bytes, "one signature for all recipients");
        }
        let message = MessageParser::default().parse(&*received[0].bytes).unwrap();
        assert_eq!(message.subject(), Some("Grüße – your order"));
        assert_eq!(message.message_id(), Some(format!("{id}@house.example").as_str()));
        assert_eq!(message.from().unwrap().first().unwrap().name(), Some("Häuser & Co"));
        assert_eq!(message.to().unwrap().iter().count(), 2);
        assert_eq!(message.cc().unwrap().iter().count(), 1);
        assert_eq!(message.header("X-Order").unwrap().as_text(), Some("42"));
        assert_eq!(message.body_text(0).unwrap().trim_end(), "Hello Ada");
        let bill = message.attachments().find(|part| part.attachment_name() == Some("bill.pdf")).unwrap();
        assert_eq!(bill.contents(), b"%PDF bill");
        assert!(message.attachments().any(|part| part.content_id() == Some("logo")));
        assert_eq!(house.dkim_verdict(&received[0].bytes), "pass");
    }

    async fn a_text_part_is_derived_from_html_when_none_is_given(engine: Engine) {
        let house = House::start(engine).await;
        let mut email = house.email("ada@reader.example");
        email["html"] = json!("<h1>Bill</h1><p>Pay <a href=\"https://pay.example\">here</a> &amp; now</p><style>p{}</style>");
        email.as_object_mut().unwrap().remove("text");
        let id = house.accepted(&email).await;
        let shown = house.reaches(&id, "delivered").await;
        let text = shown["text"].as_str().unwrap();
        assert!(text.contains("Bill") && text.contains("& now"), "{text}");
        assert!(!text.contains("<p>") && !text.contains("p{}"), "{text}");
        let received = house.sink.received();
        let message = MessageParser::default().parse(&*received[0].bytes).unwrap();
        assert!(message.body_text(0).unwrap().contains("& now"));
    }

    async fn somebody_named_twice_gets_the_mail_once(engine: Engine) {
        let house = House::start(engine).await;
        let mut email = house.email("Ada <ada@reader.example>");
        email["cc"] = json!(["ada@READER.example", "bo@reader.example"]);
        email["bcc"] = json!(["ada@reader.example"]);
        let id = house.accepted(&email).await;
        let shown = house.reaches(&id, "delivered").await;
        assert_eq!(shown["recipients"].as_array().unwrap().len(), 2);
        let received = house.sink.received();
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].rcpt_to, ["ada@reader.example", "bo@reader.example"]);
    }

    async fn a_test_key_sends_nothing_to_the_network_and_does_not_see_live_mail(engine: Engine) {
        let house = House::start(engine).await;
        let live = house.accepted(&house.email("ada@reader.example")).await;
        house.reaches(&live, "delivered").await;
        let test_key = &house.account.test;
        let mut email = house.email("bounced@reader.example");
        email["cc"] = json!("ada@reader.example");
        let answer = house.client.post("/v1/emails", test_key, &email).await.expect(200);
        let path = format!("/v1/emails/{}", answer["id"].as_str().unwrap());
        let shown = crate::harness::eventually("the test mail ends", async || {
            let shown = house.client.get(&path, test_key).await.expect(200);
            (shown["status"] == "delivered").then_some(shown)
        })
        .await;
        assert_eq!(shown["mode"], "test");
        let states: Vec<_> = shown["recipients"].as_array().unwrap().iter().map(|r| &r["status"]).collect();
        assert_eq!(states, ["bounced", "delivered"]);
        assert_eq!(house.sink.received_count(), 1, "only the live mail reached the network");
        assert_eq!(house.client.get(&path, &house.account.live).await.refusal(404).0, "not_found");
        let live_path = format!("/v1/emails/{live}");
        assert_eq!(house.client.get(&live_path, test_key).await.refusal(404).0, "not_found");
        let list = house.client.get("/v1/emails", test_key).await.expect(200);
        assert_eq!(list["totalCount"], 1);
        assert_eq!(list["data"][0]["id"], answer["id"]);
    }
}
