//! What `POST /v1/emails` refuses: with the field's name, without its value.

use crate::harness::{Engine, House, Reply, on_both_engines};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use sealwright::features::domains;
use sealwright::features::keys::Caller;
use serde_json::{Map, Value, json};

/// In every refused value; must be in no refusal.
const CANARY: &str = "canary";

fn changed(house: &House, field: &str, value: Value) -> Value {
    let mut email = house.email("ada@reader.example");
    if value.is_null() {
        email.as_object_mut().unwrap().remove(field);
    } else {
        email[field] = value;
    }
    email
}

/// Each field that comes near a header, with line breaks, NUL and other controls in it.
fn injections() -> Vec<(&'static str, Value, &'static str)> {
    let mut all = Vec::new();
    for evil in [
        "\r\nBcc: canary@evil.example",
        "\ncanary",
        "\rcanary",
        "\0canary",
        "canary\u{2028}x",
        "canary\u{85}x",
    ] {
        let named = |name: &str| json!({"email": "a@house.example", "name": format!("{name}{evil}")});
        all.extend([
            ("subject", json!(format!("Hello{evil}")), "subject"),
            ("from", named("House"), "from"),
            ("from", json!(format!("House{evil} <a@house.example>")), "from"),
            ("from", json!(format!("a{evil}@house.example")), "from"),
            (
                "to",
                json!([format!("Ada{evil} <ada@reader.example>"), "bo@reader.example"]),
                "to/0",
            ),
            ("to", json!(format!("ada@reader.example{evil}")), "to"),
            (
                "cc",
                json!(["bo@reader.example", format!("ada{evil}@reader.example")]),
                "cc/1",
            ),
            ("bcc", json!(format!("<ada@reader.example>{evil}")), "bcc"),
            ("replyTo", named("Answers"), "replyTo"),
            (
                "headers",
                json!({"X-Order": format!("4{evil}")}),
                "headers/X-Order",
            ),
            ("headers", json!({format!("X-Order{evil}"): "4"}), "headers"),
            ("tags", json!(["good", format!("t{evil}")]), "tags/1"),
            (
                "attachments",
                json!([{"filename": format!("a{evil}.pdf"), "content": ""}]),
                "attachments/0/filename",
            ),
            (
                "attachments",
                json!([{"filename": "a", "content": "", "cid": format!("a{evil}")}]),
                "attachments/0/cid",
            ),
            (
                "attachments",
                json!([{"filename": "a", "content": "", "contentType": format!("text/plain{evil}")}]),
                "attachments/0/contentType",
            ),
        ]);
    }
    all
}

/// Addresses that are none.
fn bad_addresses() -> Vec<(&'static str, Value, &'static str)> {
    [
        "",
        "canary",
        "canary@",
        "@reader.example",
        "canary@reader",
        "canary@@reader.example",
        "canary@reader..example",
        "canary@-reader.example",
        "canary@[127.0.0.1]",
        "canary@127.0.0.1",
        "canary@exa_mple.example",
        ".canary@reader.example",
        "can..ary@reader.example",
        "canary <ada@reader.example",
        "canary@reader.example, bo@reader.example",
        "canary@xn--zzzzzzzzz-.example",
        "canary@\u{202e}reader.example",
        "=?utf-8?q?canary?=@reader.example",
    ]
    .into_iter()
    .map(|address| ("to", json!(address), "to"))
    .chain([
        (
            "to",
            json!(format!("{}@reader.example", "canary".repeat(11))),
            "to",
        ),
        (
            "to",
            json!(format!("canary@{}.example", "label.".repeat(50))),
            "to",
        ),
        ("to", json!({"email": "canary"}), "to"),
        (
            "to",
            json!({"email": "ada@reader.example", "name": "canary".repeat(50)}),
            "to",
        ),
        ("to", json!(["ada@reader.example", "canary"]), "to/1"),
        ("replyTo", json!("canary"), "replyTo"),
        ("from", json!("canary"), "from"),
    ])
    .collect()
}

fn bad_shapes() -> Vec<(&'static str, Value, &'static str)> {
    let many = |n: usize| -> Vec<String> { (0..n).map(|n| format!("canary{n}@reader.example")).collect() };
    let object =
        |n: usize| -> Map<String, Value> { (0..n).map(|n| (format!("X-Canary-{n}"), json!("1"))).collect() };
    let content = STANDARD.encode("canary");
    let file = json!({"filename": "a", "content": content});
    vec![
        ("from", Value::Null, "from"),
        ("from", json!(7), "from"),
        ("to", Value::Null, "to"),
        ("to", json!([]), "to"),
        ("to", json!(many(51)), "to"),
        ("bcc", json!(many(50)), "to"),
        ("replyTo", json!(many(11)), "replyTo"),
        (
            "to",
            json!({"email": "ada@reader.example", "canary_field": "canary"}),
            "to/canary_field",
        ),
        ("subject", Value::Null, "subject"),
        ("subject", json!(format!("canary{}", "x".repeat(998))), "subject"),
        ("subject", json!(["canary"]), "subject"),
        ("text", Value::Null, "html"),
        ("html", json!(7), "html"),
        ("colour", json!("canary"), "colour"),
        ("headers", json!("canary"), "headers"),
        ("headers", json!({"X-Order": 4}), "headers/X-Order"),
        ("headers", json!(object(26)), "headers"),
        (
            "headers",
            json!({"List-Unsubscribe": "<https://canary.example/ü>"}),
            "headers/List-Unsubscribe",
        ),
        ("tags", json!("canary"), "tags"),
        ("tags", json!(vec!["a"; 11]), "tags"),
        ("tags", json!([""]), "tags/0"),
        ("tags", json!(["can ary"]), "tags/0"),
        ("tags", json!(["canary".repeat(11)]), "tags/0"),
        ("metadata", json!(["canary"]), "metadata"),
        ("metadata", json!({"a": {"canary": 1}}), "metadata/a"),
        ("metadata", json!({"a": null}), "metadata/a"),
        ("metadata", json!({"canary".repeat(7): 1}), "metadata"),
        ("metadata", json!({"a": "canary".repeat(100)}), "metadata"),
        ("metadata", json!(object(51)), "metadata"),
        (
            "metadata",
            json!(
                (0..20)
                    .map(|n| (format!("k{n}"), json!("c".repeat(490))))
                    .collect::<Map<_, _>>()
            ),
            "metadata",
        ),
        ("metadata", json!({"a": 1e300}), "metadata"),
        (
            "attachments",
            json!([{"filename": "a", "content": "canary!"}]),
            "attachments/0/content",
        ),
        (
            "attachments",
            json!([{"filename": "a", "content": "Y2FuYXJ5\n"}]),
            "attachments/0/content",
        ),
        (
            "attachments",
            json!([file, {"filename": "a", "content": "Y2FuYXJ"}]),
            "attachments/1/content",
        ),
        ("attachments", json!([{"filename": "a"}]), "attachments/0/content"),
        (
            "attachments",
            json!([{"content": content}]),
            "attachments/0/filename",
        ),
        (
            "attachments",
            json!([{"filename": "../canary", "content": content}]),
            "attachments/0/filename",
        ),
        (
            "attachments",
            json!([{"filename": "a", "content": content, "contentType": "canary"}]),
            "attachments/0/contentType",
        ),
        (
            "attachments",
            json!([{"filename": "a", "content": content, "contentType": "multipart/mixed"}]),
            "attachments/0/contentType",
        ),
        (
            "attachments",
            json!([{"filename": "a", "content": content, "disposition": "canary"}]),
            "attachments/0/disposition",
        ),
        ("attachments", json!(vec![file; 11]), "attachments"),
        (
            "attachments",
            json!([{"filename": "a", "content": STANDARD.encode(vec![0; 26_214_401])}]),
            "attachments/0/content",
        ),
        ("text", json!("c".repeat(5 * 1024 * 1024 + 1)), "text"),
    ]
}

fn reserved_headers() -> Vec<(&'static str, Value, &'static str)> {
    [
        "From",
        "to",
        "CC",
        "bcc",
        "Subject",
        "Date",
        "Message-ID",
        "DKIM-Signature",
        "Received",
        "Return-Path",
        "Sender",
        "Content-Type",
        "Content-Canary",
        "MIME-Version",
        "ARC-Seal",
        "Resent-From",
        "X Order",
        "X-Örder",
        "X:Order",
        "",
    ]
    .into_iter()
    .map(|name| ("headers", json!({name: "canary"}), "headers"))
    .collect()
}

on_both_engines! {
    async fn a_refused_field_is_named_and_its_value_is_not_told(engine: Engine) {
        let house = House::start(engine).await;
        let cases = [injections(), bad_addresses(), bad_shapes(), reserved_headers()].concat();
        let mut wrong = Vec::new();
        for (index, (field, value, param)) in cases.into_iter().enumerate() {
            let what = format!("case {index}, {field} = {:.80}", value.to_string());
            let reply = house.post(&changed(&house, field, value)).await;
            if reply.status != 400 {
                wrong.push(format!("{what}: {} {:.200}", reply.status, reply.text()));
                continue;
            }
            let (code, named) = reply.refusal(400);
            let expected = match field {
                "from" => "invalid_from",
                "to" | "cc" | "bcc" => "invalid_to",
                _ => "invalid_parameter",
            };
            let message = reply.json()["error"]["message"].to_string();
            if code != expected || named != param {
                wrong.push(format!("{what}: {code} {named}, expected {expected} {param}"));
            }
            if message.to_ascii_lowercase().contains(CANARY) {
                wrong.push(format!("{what}: the message echoes it: {message}"));
            }
        }
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
        let list = house.client.get("/v1/emails", &house.account.live).await.expect(200);
        assert_eq!(list["totalCount"], 0, "something refused was kept");
    }

    async fn a_sender_of_an_unverified_domain_is_refused(engine: Engine) {
        let house = House::start(engine).await;
        let other = crate::harness::account(&house.platform, "Other", "other.example").await;
        let operator = Caller::system(house.account.org.clone());
        domains::add(&house.platform, &operator, "pending.example").await.unwrap();
        for from in [
            "a@stranger.example".to_owned(),
            "a@pending.example".to_owned(),
            "a@sub.house.example".to_owned(),
            other.address("a"),
        ] {
            let reply = house.post(&changed(&house, "from", json!(from))).await;
            assert_eq!(reply.refusal(400), ("domain_unverified".into(), "from".into()), "{from}");
        }
        assert_eq!(house.sink.received_count(), 0);
    }
}

async fn raw(house: &House, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri("/v1/emails")
        .header("authorization", format!("Bearer {}", house.account.live));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    house
        .client
        .send(request.body(Full::new(body.into())).unwrap())
        .await
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_plain_json_is_refused() {
    let house = House::start(Engine::Sqlite).await;
    let good = house.email("ada@reader.example").to_string();
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/json; charset=latin-1")],
        &[("content-type", "application/json5")],
        &[JSON, ("content-encoding", "gzip")],
        &[JSON, ("content-encoding", "identity, gzip")],
    ] {
        let reply = raw(&house, headers, good.clone()).await;
        assert_eq!(reply.refusal(415).0, "unsupported_content_type", "{headers:?}");
    }
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(70), "]".repeat(70));
    let bodies: [&[u8]; 9] = [
        b"",
        b"canary",
        b"{\"from\":\"canary\"",
        b"{\"from\":\"canary\"} {}",
        b"{\"from\":\"\xff canary\"}",
        br#"{"subject":"canary","subject":"canary"}"#,
        br#"{"metadata":{"canary":1,"canary":2}}"#,
        br#"{"subject":NaN}"#,
        deep.as_bytes(),
    ];
    for body in bodies {
        let reply = raw(&house, &[JSON], Bytes::copy_from_slice(body)).await;
        let what = String::from_utf8_lossy(body);
        assert_eq!(reply.refusal(400).0, "invalid_json", "{what}");
        assert!(!reply.text().contains(CANARY), "{what} is echoed");
    }
    for body in ["[]", "7", "null", "\"canary\""] {
        let reply = raw(&house, &[JSON], body).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        assert!(!reply.text().contains(CANARY), "{body} is echoed");
    }
    let spelled = ("content-type", "Application/JSON; Charset=UTF-8");
    assert_eq!(
        raw(&house, &[spelled, ("content-encoding", "identity")], good)
            .await
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_past_its_limit_is_refused_with_413() {
    let house = House::start(Engine::Sqlite).await;
    let mut body = house.email("ada@reader.example").to_string();
    body.push_str(&" ".repeat(sealwright::limits::REQUEST_BODY_BYTES_MAX));
    assert_eq!(
        raw(&house, &[JSON], body).await.refusal(413).0,
        "request_too_large"
    );
}
