//! What providers are asked, and what they answer, held against `contracts/`.
#![allow(clippy::unwrap_used)]

use super::{Account, Call, Credentials, Kind, Opened, Provider, RelayMail, Said, Unfit, Verdict};
use crate::clock::Timestamp;
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sealwright_mail::address::Mailbox;
use serde_json::{Value, json};
use std::time::Duration;

const MESSAGE: &str = "DKIM-Signature: v=1; d=shop.example\r\nFrom: Shop <shop@shop.example>\r\nTo: \"Lovelace, Ada\" <ada@reader.example>\r\n\
    Reply-To: help@shop.example\r\nSubject: Your order\r\nMessage-ID: <m1@shop.example>\r\nX-Order: 7\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
    --c\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThank you.\r\n--c\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
    <p>Thank you.</p>\r\n--c--\r\n--b\r\nContent-Type: text/csv; name=\"rows.csv\"\r\n\
    Content-Disposition: attachment; filename=\"rows.csv\"\r\nContent-Transfer-Encoding: base64\r\n\r\nYSxi\r\n--b--\r\n";

fn account(kind: Kind) -> Account {
    let secret = |text: &str| Some(Secret::new(text.to_owned()));
    let (mut credentials, mut region, mut domain) = (Credentials::default(), None, None);
    match kind {
        Kind::Resend | Kind::SendGrid => credentials.api_key = secret("key-1"),
        Kind::Postmark => credentials.server_token = secret("token-1"),
        Kind::Ses => {
            credentials.access_key_id = secret("AKIDEXAMPLE");
            credentials.secret_access_key = secret("secret-1");
            region = Some("eu-central-1".to_owned());
        }
        Kind::Mailgun => {
            credentials.api_key = secret("key-1");
            (region, domain) = (Some("eu".to_owned()), Some("mg.shop.example".to_owned()));
        }
        Kind::Smtp => {
            (credentials.host, credentials.port) = (secret("relay.example"), secret("465"));
            (credentials.username, credentials.password) = (secret("shop"), secret("a pass word"));
            credentials.tls = secret("implicit");
        }
    }
    let account = Account {
        kind,
        credentials,
        region,
        domain,
    };
    account.check().unwrap();
    account
}

/// Those that are asked over HTTP.
const APIS: [Kind; 5] = [
    Kind::Resend,
    Kind::Postmark,
    Kind::Ses,
    Kind::SendGrid,
    Kind::Mailgun,
];

fn api(kind: Kind) -> Box<dyn Provider> {
    match account(kind).open(None).unwrap() {
        Opened::Api(provider) => provider,
        Opened::Smtp(_) => panic!("{kind:?} has no API"),
    }
}

fn asked(kind: Kind) -> Call {
    let from = Mailbox::parse("Shop <shop@shop.example>").unwrap();
    let to = [
        Mailbox::parse("\"Lovelace, Ada\" <ada@reader.example>").unwrap(),
        Mailbox::parse("hidden@reader.example").unwrap(),
    ];
    let mail = RelayMail {
        key: "email_1/0/rel_1",
        tag: "tag1",
        from: &from,
        to: &to,
        signed: MESSAGE.as_bytes(),
    };
    let at = Timestamp::parse_instant("2026-11-24T12:00:00Z").unwrap();
    api(kind).send(&mail, at).unwrap()
}

fn header<'a>(call: &'a Call, name: &str) -> &'a str {
    call.headers.get(name).unwrap().to_str().unwrap()
}

fn body(call: &Call) -> Value {
    assert_eq!(header(call, "content-type"), "application/json");
    serde_json::from_slice(&call.body).unwrap()
}

#[test]
fn resend_is_asked_for_a_mail_once_under_its_key() {
    let call = asked(Kind::Resend);
    assert_eq!(
        (call.method.as_str(), call.url.as_str()),
        ("POST", "https://api.resend.com/emails")
    );
    assert_eq!(header(&call, "authorization"), "Bearer key-1");
    assert_eq!(header(&call, "idempotency-key"), "email_1/0/rel_1");
    let expected = json!({
        "from": "Shop <shop@shop.example>", "to": ["\"Lovelace, Ada\" <ada@reader.example>"], "bcc": ["hidden@reader.example"],
        "reply_to": ["help@shop.example"], "subject": "Your order", "html": "<p>Thank you.</p>", "text": "Thank you.",
        "headers": {"X-Order": "7"},
        "attachments": [{"filename": "rows.csv", "content": "YSxi", "content_type": "text/csv"}],
        "tags": [{"name": "sealwright", "value": "tag1"}],
    });
    assert_eq!(body(&call), expected);
}

#[test]
fn postmark_is_asked_without_tracking_and_keeps_the_message_id() {
    let call = asked(Kind::Postmark);
    assert_eq!(
        (call.method.as_str(), call.url.as_str()),
        ("POST", "https://api.postmarkapp.com/email")
    );
    assert_eq!(header(&call, "x-postmark-server-token"), "token-1");
    let field = |name: &str, value: &str| json!({"Name": name, "Value": value});
    let expected = json!({
        "From": "Shop <shop@shop.example>", "To": "\"Lovelace, Ada\" <ada@reader.example>", "Bcc": "hidden@reader.example",
        "ReplyTo": "help@shop.example", "Subject": "Your order", "HtmlBody": "<p>Thank you.</p>", "TextBody": "Thank you.",
        "Headers": [field("X-Order", "7"), field("Message-ID", "<m1@shop.example>"), field("X-PM-KeepID", "true")],
        "Attachments": [{"Name": "rows.csv", "Content": "YSxi", "ContentType": "text/csv"}],
        "TrackOpens": false, "TrackLinks": "None", "Metadata": {"sealwright": "tag1"},
    });
    assert_eq!(body(&call), expected);
}

#[test]
fn ses_gets_the_message_with_our_signature_in_a_signed_request() {
    let call = asked(Kind::Ses);
    let url = "https://email.eu-central-1.amazonaws.com/v2/email/outbound-emails";
    assert_eq!((call.method.as_str(), call.url.as_str()), ("POST", url));
    let scope = "Credential=AKIDEXAMPLE/20261124/eu-central-1/ses/aws4_request, SignedHeaders=content-type;host;x-amz-date";
    assert!(header(&call, "authorization").contains(scope));
    assert_eq!(header(&call, "x-amz-date"), "20261124T120000Z");
    let expected = json!({
        "FromEmailAddress": "shop@shop.example",
        "Destination": {"ToAddresses": ["ada@reader.example", "hidden@reader.example"]},
        "Content": {"Raw": {"Data": STANDARD.encode(MESSAGE)}},
    });
    assert_eq!(body(&call), expected);
}

#[test]
fn sendgrid_is_asked_without_tracking() {
    let call = asked(Kind::SendGrid);
    assert_eq!(
        (call.method.as_str(), call.url.as_str()),
        ("POST", "https://api.sendgrid.com/v3/mail/send")
    );
    assert_eq!(header(&call, "authorization"), "Bearer key-1");
    let off = json!({"enable": false});
    let expected = json!({
        "personalizations": [{
            "to": [{"email": "ada@reader.example", "name": "Lovelace, Ada"}], "bcc": [{"email": "hidden@reader.example"}],
        }],
        "from": {"email": "shop@shop.example", "name": "Shop"}, "reply_to_list": [{"email": "help@shop.example"}],
        "subject": "Your order",
        "content": [{"type": "text/plain", "value": "Thank you."}, {"type": "text/html", "value": "<p>Thank you.</p>"}],
        "attachments": [{"content": "YSxi", "type": "text/csv", "filename": "rows.csv", "disposition": "attachment"}],
        "headers": {"X-Order": "7", "Message-ID": "<m1@shop.example>"},
        "tracking_settings": {"click_tracking": off, "open_tracking": off},
        "custom_args": {"sealwright": "tag1"},
    });
    assert_eq!(body(&call), expected);
}

#[test]
fn mailgun_gets_the_message_with_our_signature_in_a_form() {
    let call = asked(Kind::Mailgun);
    let url = "https://api.eu.mailgun.net/v3/mg.shop.example/messages.mime";
    assert_eq!((call.method.as_str(), call.url.as_str()), ("POST", url));
    assert_eq!(
        header(&call, "authorization"),
        format!("Basic {}", STANDARD.encode("api:key-1"))
    );
    let boundary = header(&call, "content-type").split_once("boundary=").unwrap().1;
    let text = std::str::from_utf8(&call.body).unwrap();
    let parts: Vec<_> = text.split(&format!("--{boundary}")).collect();
    let field = |name: &str, value: &str| {
        format!("\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    assert_eq!(parts[1], field("to", "ada@reader.example"));
    assert_eq!(parts[2], field("to", "hidden@reader.example"));
    assert_eq!(parts[3], field("o:tracking", "no"));
    assert_eq!(parts[4], field("v:sealwright", "tag1"));
    assert_eq!(
        parts[5].split_once("\r\n\r\n").unwrap().1,
        format!("{MESSAGE}\r\n")
    );
    assert_eq!(parts[6], "--\r\n");
}

#[test]
fn several_blind_copies_go_only_to_relays_that_keep_them_apart() {
    let from = Mailbox::parse("shop@shop.example").unwrap();
    let to = ["one@reader.example", "two@reader.example"].map(|to| Mailbox::parse(to).unwrap());
    let mail = RelayMail {
        key: "k",
        tag: "t",
        from: &from,
        to: &to,
        signed: MESSAGE.as_bytes(),
    };
    for kind in APIS {
        let relay = api(kind);
        let sent = relay.send(&mail, Timestamp::from_micros(0)).map(drop);
        let expected = if relay.takes_raw() {
            Ok(())
        } else {
            Err(Unfit::BlindCopies)
        };
        assert_eq!(sent, expected, "{kind:?}");
    }
}

#[test]
fn credentials_are_tried_without_sending() {
    for (kind, url) in [
        (Kind::Resend, "https://api.resend.com/domains"),
        (Kind::Postmark, "https://api.postmarkapp.com/server"),
        (
            Kind::Ses,
            "https://email.eu-central-1.amazonaws.com/v2/email/account",
        ),
        (Kind::SendGrid, "https://api.sendgrid.com/v3/scopes"),
        (
            Kind::Mailgun,
            "https://api.eu.mailgun.net/v3/domains/mg.shop.example",
        ),
    ] {
        let call = api(kind).check(Timestamp::from_micros(0)).unwrap();
        assert_eq!((call.method.as_str(), call.url.as_str()), ("GET", url));
        assert!(call.body.is_empty());
        let shown = format!("{:?}", call.headers);
        assert!(!shown.contains("key-1") && !shown.contains("token-1"), "{shown}");
    }
}

/// An answer of `contracts/`: what it is, what it means, and its bytes.
struct Recorded {
    title: &'static str,
    status: StatusCode,
    headers: HeaderMap,
    body: &'static str,
}

fn recorded(kind: Kind) -> Vec<Recorded> {
    let file = match kind {
        Kind::Resend => include_str!("contracts/resend.http"),
        Kind::Postmark => include_str!("contracts/postmark.http"),
        Kind::Ses => include_str!("contracts/ses.http"),
        Kind::SendGrid => include_str!("contracts/sendgrid.http"),
        Kind::Mailgun => include_str!("contracts/mailgun.http"),
        Kind::Smtp => panic!("it answers no HTTP"),
    };
    let read = |section: &'static str| {
        let (title, rest) = section.split_once('\n').unwrap();
        let (head, body) = rest.split_once("\n\n").unwrap_or((rest.trim_end(), ""));
        let mut lines = head.lines();
        let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap();
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_static(value),
            )
        });
        Recorded {
            title,
            status: StatusCode::from_bytes(status.as_bytes()).unwrap(),
            headers: fields.collect(),
            body: body.trim_end(),
        }
    };
    file.split("### ").skip(1).map(read).collect()
}

#[test]
fn every_recorded_answer_means_what_it_is_called() {
    for kind in APIS {
        let relay = api(kind);
        let all = recorded(kind);
        for word in ["accepted", "later", "unfit", "broken", "unknown"] {
            assert!(
                all.iter().any(|one| one.title.starts_with(word)),
                "{kind:?} has no {word}"
            );
        }
        for Recorded {
            title,
            status,
            headers,
            body,
        } in all
        {
            let said = Said {
                status,
                headers: &headers,
                body: body.as_bytes(),
            };
            let meant = match relay.verdict(&said) {
                Verdict::Accepted { id } => format!("accepted {id}"),
                Verdict::Later { wait: Some(wait), .. } => format!("later {}", wait.as_secs()),
                Verdict::Later { wait: None, .. } => "later".to_owned(),
                Verdict::Unfit { .. } => "unfit".to_owned(),
                Verdict::Refused { category, .. } => format!("refused {}", category.name()),
                Verdict::Broken { .. } => "broken".to_owned(),
                Verdict::Unknown { .. } => "unknown".to_owned(),
            };
            assert_eq!(meant, title.split_once(": ").unwrap().0, "{kind:?}: {title}");
        }
    }
}

#[test]
fn a_wait_is_bounded_and_words_are_clean() {
    let headers: HeaderMap = [(http::header::RETRY_AFTER, HeaderValue::from_static("99999999"))]
        .into_iter()
        .collect();
    let body =
        json!({"name": "rate_limit_exceeded", "message": format!("a\r\nb{}", "x".repeat(2_000))}).to_string();
    let said = Said {
        status: StatusCode::TOO_MANY_REQUESTS,
        headers: &headers,
        body: body.as_bytes(),
    };
    let Verdict::Later { why, wait } = api(Kind::Resend).verdict(&said) else {
        panic!("429 is not later");
    };
    assert_eq!(wait, Some(Duration::from_secs(6 * 60 * 60)));
    assert!(why.starts_with("429 a  bxxx") && why.len() == 516, "{why}");
}
