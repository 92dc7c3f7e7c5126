//! Templates: their life, what sends make of them, and values for each recipient.

use crate::harness::{Engine, House, Reply, eventually, on_both_engines};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use mail_parser::{MessageParser, MimeHeaders as _};
use serde_json::{Value, json};
use std::time::Duration;

async fn template(house: &House, parts: Value) -> String {
    let mut body = json!({"name": "Welcome"});
    for (part, source) in parts.as_object().unwrap() {
        body[part] = source.clone();
    }
    let made = house
        .client
        .post("/v1/templates", &house.account.live, &body)
        .await
        .expect(201);
    made["id"].as_str().unwrap().to_owned()
}

async fn post(house: &House, body: &Value) -> Reply {
    house.client.post("/v1/emails", &house.account.live, body).await
}

async fn content(house: &House, id: &Value) -> Value {
    let path = format!("/v1/emails/{}/content", id.as_str().unwrap());
    house.client.get(&path, &house.account.live).await.expect(200)
}

async fn patch(house: &House, path: &str, change: &Value) -> Reply {
    house
        .client
        .call(Method::PATCH, path, &house.account.live, change.to_string())
        .await
}

async fn total(house: &House) -> Value {
    house
        .client
        .get("/v1/emails", &house.account.live)
        .await
        .expect(200)["totalCount"]
        .clone()
}

on_both_engines! {
    async fn a_template_lives_in_versions_of_which_one_is_active(engine: Engine) {
        let house = House::start(engine).await;
        let (client, live, test) = (&house.client, &house.account.live, &house.account.test);
        let id = template(&house, json!({"subject": "Hi {{name}}", "html": "<p>{{name}} {{#each items}}{{this}}{{/each}}</p>"})).await;
        let path = format!("/v1/templates/{id}");
        let shown = client.get(&path, test).await.expect(200);
        assert_eq!((&shown["activeVersion"], &shown["variables"], &shown["text"]), (&json!(1), &json!(["items", "name"]), &Value::Null));

        let changed = patch(&house, &path, &json!({"text": "Hello {{name}}", "subject": null})).await.expect(200);
        assert_eq!(changed["activeVersion"], 2);
        let same = patch(&house, &path, &json!({"text": "Hello {{name}}", "name": "Renamed"})).await.expect(200);
        assert_eq!((&same["activeVersion"], &same["name"]), (&json!(2), &json!("Renamed")), "what is said already is no new version");
        let shown = client.get(&path, live).await.expect(200);
        assert_eq!((&shown["subject"], shown["versions"].as_array().unwrap().len()), (&Value::Null, 2));
        patch(&house, &path, &json!({"activeVersion": 1})).await.expect(200);
        let trial = client.post(&format!("{path}/render"), test, &json!({"variables": {"name": "<Ada>", "items": [1, 2]}})).await.expect(200);
        assert_eq!((&trial["subject"], &trial["html"], &trial["text"]), (&json!("Hi <Ada>"), &json!("<p>&lt;Ada&gt; 12</p>"), &Value::Null));

        for (change, param) in [
            (json!({"html": "<p>\n{{#if a}}"}), "html"),
            (json!({"html": null}), "html"),
            (json!({"html": null, "text": "t", "amp": "a"}), "amp"),
            (json!({"name": ""}), "name"),
            (json!({"activeVersion": 9}), "activeVersion"),
            (json!({"activeVersion": 1, "text": "new"}), "activeVersion"),
        ] {
            let refused = patch(&house, &path, &change).await;
            assert_eq!(refused.refusal(400), ("invalid_parameter".into(), param.into()), "{change}");
        }
        let broken = patch(&house, &path, &json!({"html": "<p>\n{{#if a}}"})).await;
        assert!(broken.text().contains("line 2, column 1"), "{}", broken.text());
        assert_eq!(client.delete(&path, test).await.refusal(403).0, "forbidden");
        client.delete(&path, live).await.expect(200);
        assert_eq!(client.get(&path, live).await.refusal(404).0, "not_found");
        assert_eq!(client.get("/v1/templates", live).await.expect(200)["totalCount"], 0);
    }

    async fn a_send_is_made_from_a_template(engine: Engine) {
        let house = House::start(engine).await;
        let id = template(&house, json!({
            "subject": "Order {{order}}", "html": "<a href=\"{{link}}\">{{name}}</a> {{current_year}} {{recipient_email}}", "text": "{{name}}", "amp": "<html amp4email>{{name}}</html>",
        })).await;
        let email = json!({
            "from": house.account.address("shop"), "to": "ada@reader.example", "templateId": id,
            "variables": {"order": "7\r\nBcc: eve@x.example", "name": "<b>", "link": "javascript:alert(1)"},
        });
        let sent = post(&house, &email).await.expect(200);
        assert_eq!(sent["subject"], "Order 7  Bcc: eve@x.example");
        let shown = content(&house, &sent["id"]).await;
        let html = shown["html"].as_str().unwrap();
        assert!(html.starts_with("<a href=\"#\">&lt;b&gt;</a> 20") && html.contains(" ada@reader.example"), "{html}");
        assert_eq!(shown["text"].as_str().unwrap().trim(), "<b>");
        let received = eventually("the mail is received", async || house.sink.received().into_iter().next()).await;
        let message = MessageParser::default().parse(&*received.bytes).unwrap();
        let types: Vec<_> = message.parts.iter().map(|part| part.content_type().unwrap().subtype().unwrap().to_owned()).collect();
        assert_eq!(types, ["alternative", "plain", "x-amp-html", "html"], "readers show the last part that they know");

        let mut other = email.clone();
        other["subject"] = json!("Mine {{order}}");
        other["variables"]["order"] = json!(8);
        assert_eq!(post(&house, &other).await.expect(200)["subject"], "Mine 8");
        for (field, value, param) in [
            ("html", json!("<p>"), "html"),
            ("templateId", json!("tpl_00000000000000000000000000"), "templateId"),
            ("variables", json!({"name": {"first": "Ada"}}), "html"),
            ("variables", json!({"order": "x".repeat(2_000)}), "subject"),
            ("variables", json!({"x": "x".repeat(300_000)}), "variables"),
        ] {
            let mut bad = email.clone();
            bad[field] = value;
            assert_eq!(post(&house, &bad).await.refusal(400), ("invalid_parameter".into(), param.into()), "{field}");
        }
    }

    async fn a_send_brings_its_own_template_only_with_values(engine: Engine) {
        let house = House::start(engine).await;
        let mut email = house.email("ada@reader.example");
        email["text"] = json!("{{name}}");
        let sent = post(&house, &email).await.expect(200);
        assert_eq!(content(&house, &sent["id"]).await["text"].as_str().unwrap().trim(), "{{name}}", "as it came");
        email["variables"] = json!({"name": "Ada"});
        let sent = post(&house, &email).await.expect(200);
        assert_eq!(content(&house, &sent["id"]).await["text"].as_str().unwrap().trim(), "Ada");
        email["text"] = json!("{{#if name}}");
        assert_eq!(post(&house, &email).await.refusal(400).1, "text");
        email["text"] = json!("{{unsubscribe_url}}");
        assert_eq!(post(&house, &email).await.refusal(400).1, "variables", "no page is promised that nobody serves");
        email["amp"] = json!("<html amp4email>");
        email.as_object_mut().unwrap().remove("html");
        email["text"] = json!("Hello");
        assert_eq!(post(&house, &email).await.refusal(400).1, "amp");
        email["html"] = json!("<style>p{color:red}</style><p>{{name}}</p>");
        email["inlineCss"] = json!(true);
        let sent = post(&house, &email).await.expect(200);
        let html = content(&house, &sent["id"]).await["html"].as_str().unwrap().replace(' ', "");
        assert!(html.contains("<pstyle=\"color:red;\">Ada</p>") || html.contains("<pstyle=\"color:red\">Ada</p>"), "{html}");
    }

    async fn each_recipient_gets_an_email_of_its_own(engine: Engine) {
        let house = House::start(engine).await;
        let mut email = house.email("ada@reader.example");
        email["to"] = json!(["Ada <ada@reader.example>", "bo@reader.example", "ADA@reader.example"]);
        email["subject"] = json!("For {{name}}");
        email["variables"] = json!({"name": "you"});
        email["recipientVariables"] = json!({"ada@reader.example": {"name": "Ada"}});
        let tomorrow = house.clock.now().plus(Duration::from_secs(86_400)).rfc3339();
        email["scheduledAt"] = json!(tomorrow);
        let once = || {
            let request = Request::post("/v1/emails")
                .header("authorization", format!("Bearer {}", house.account.live))
                .header("content-type", "application/json")
                .header("idempotency-key", "each-1");
            house.client.send(request.body(Full::new(Bytes::from(email.to_string()))).unwrap())
        };
        let sent = once().await.expect(200);
        let emails = sent["emails"].as_array().unwrap();
        assert_eq!((emails.len(), &emails[0]["id"], &sent["subject"]), (2, &sent["id"], &json!("For Ada")));
        assert_eq!((&emails[1]["to"], &emails[1]["status"]), (&json!("bo@reader.example"), &json!("scheduled")));
        assert_eq!(sent["to"].as_array().unwrap().len(), 2);
        assert_eq!(once().await.expect(200), sent, "the same answer");
        assert_eq!(total(&house).await, 2);
        let second = house.client.get(&format!("/v1/emails/{}", emails[1]["id"].as_str().unwrap()), &house.account.live).await.expect(200);
        assert_eq!((&second["subject"], &second["to"], &second["scheduledAt"]), (&json!("For you"), &json!(["bo@reader.example"]), &sent["scheduledAt"]));
        let path = format!("/v1/emails/{}/cancel", emails[1]["id"].as_str().unwrap());
        house.client.call(Method::POST, &path, &house.account.live, "").await.expect(200);

        for (field, value, param) in [
            ("cc", json!("cc@reader.example"), "cc"),
            ("bcc", json!("bcc@reader.example"), "bcc"),
            ("recipientVariables", json!({"eve@reader.example": {}}), "recipientVariables"),
            ("recipientVariables", json!({"nobody": {}}), "recipientVariables"),
            ("recipientVariables", json!({"ada@reader.example": {"name": ["x"]}}), "subject"),
        ] {
            let mut bad = email.clone();
            bad[field] = value;
            assert_eq!(post(&house, &bad).await.refusal(400).1, param, "{field}");
        }
        let stranger = json!({"from": "a@stranger.example"});
        let mut bad = email.clone();
        bad["from"] = stranger["from"].clone();
        assert_eq!(post(&house, &bad).await.refusal(400).0, "domain_unverified");
        assert_eq!(total(&house).await, 2, "nobody's e-mail without the others'");
        let batch = house.client.post("/v1/emails/batch", &house.account.live, &json!([email])).await.expect(200);
        assert_eq!(batch["data"][0]["error"]["param"], "recipientVariables");
    }
}
