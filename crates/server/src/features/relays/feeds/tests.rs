//! Signatures against the examples that their makers publish, and what events mean as a table.
#![allow(clippy::unwrap_used)]

use super::{FeedKey, FeedRequest, Kind, Outcome, Whom, told};
use crate::clock::Timestamp;
use crate::secret::Secret;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

/// A request, and when it was made.
struct Request {
    kind: Kind,
    secret: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
    at: i64,
}

impl Request {
    /// Whether it is taken so many seconds after it was made.
    fn is_taken(&self, later: i64) -> bool {
        let headers: HeaderMap = self
            .headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect();
        let key = FeedKey::of(self.kind, &Secret::new(self.secret.to_owned())).unwrap();
        let json = serde_json::from_str(&self.body).unwrap();
        let request = FeedRequest {
            headers: &headers,
            body: self.body.as_bytes(),
            json: &json,
        };
        key.made(&request, Timestamp::from_micros((self.at + later) * 1_000_000))
    }
}

/// The example of the Svix documentation, under two signatures of which the second one counts.
fn resend() -> Request {
    Request {
        kind: Kind::Resend,
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        headers: vec![
            ("svix-id", "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned()),
            ("svix-timestamp", "1614265330".to_owned()),
            (
                "svix-signature",
                "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned(),
            ),
        ],
        body: "{\"test\": 2432232314}".to_owned(),
        at: 1_614_265_330,
    }
}

/// The example that SendGrid's own libraries are held against.
fn sendgrid() -> Request {
    Request {
        kind: Kind::SendGrid,
        secret: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEDr2LjtURuePQzplybdC+u4CwrqDqBaWjcMMsTbhdbcwHBcepxo7yAQGhHPTnlvFYPAZFceEu/1FwCM/QmGUhA==",
        headers: vec![
            (
                "x-twilio-email-event-webhook-signature",
                "MEUCIQCtIHJeH93Y+qpYeWrySphQgpNGNr/U+UyUlBkU6n7RAwIgJTz2C+8a8xonZGi6BpSzoQsbVRamr2nlxFDWYNH2j/0=".to_owned(),
            ),
            ("x-twilio-email-event-webhook-timestamp", "1588788367".to_owned()),
        ],
        body: r#"{"category":"example_payload","event":"test_event","message_id":"message_id"}"#.to_owned(),
        at: 1_588_788_367,
    }
}

/// Computed with Python's `hmac`.
fn mailgun() -> Request {
    let signature = json!({
        "timestamp": "1700000000", "token": "t".repeat(50),
        "signature": "aad7b7b72cfa1c6ceee9611a353972508fadc55e60afdb2f5236295d5449fe8b",
    });
    Request {
        kind: Kind::Mailgun,
        secret: "key-of-mailgun-webhooks",
        headers: Vec::new(),
        body: json!({"signature": signature, "event-data": {}}).to_string(),
        at: 1_700_000_000,
    }
}

/// `postmark:a-long-enough-password`.
fn postmark() -> Request {
    Request {
        kind: Kind::Postmark,
        secret: "postmark:a-long-enough-password",
        headers: vec![(
            "authorization",
            "Basic cG9zdG1hcms6YS1sb25nLWVub3VnaC1wYXNzd29yZA==".to_owned(),
        )],
        body: "{}".to_owned(),
        at: 0,
    }
}

#[test]
fn each_provider_is_known_by_its_signature_and_for_five_minutes() {
    for (request, is_dated) in [
        (resend(), true),
        (sendgrid(), true),
        (mailgun(), true),
        (postmark(), false),
    ] {
        let kind = request.kind;
        for (later, is_taken) in [
            (0, true),
            (300, true),
            (-300, true),
            (301, !is_dated),
            (-301, !is_dated),
        ] {
            assert_eq!(request.is_taken(later), is_taken, "{kind:?} {later}");
        }
        for (place, (name, value)) in request.headers.iter().enumerate() {
            let mut forged = match kind {
                Kind::Resend => resend(),
                Kind::Postmark => postmark(),
                _ => sendgrid(),
            };
            // The digit before the last has no bits that base64 drops.
            let at = value.trim_end_matches('=').len() - 2;
            let other = if value.as_bytes()[at] == b'1' { "2" } else { "1" };
            forged.headers[place].1.replace_range(at..=at, other);
            assert!(!forged.is_taken(0), "{kind:?} {name}");
            forged.headers.remove(place);
            assert!(!forged.is_taken(0), "{kind:?} without {name}");
        }
    }
    for mut other in [resend(), sendgrid(), mailgun()] {
        other.body = other.body.replacen("test", "tess", 1).replacen("tttt", "ttts", 1);
        assert!(!other.is_taken(0), "{:?} with another body", other.kind);
    }
}

#[test]
fn a_feed_secret_is_one_of_its_provider() {
    let keys = [resend(), sendgrid(), mailgun(), postmark()].map(|request| (request.kind, request.secret));
    let more = [
        (Kind::Ses, "anything-that-is-long-enough"),
        (Kind::Resend, "whsec_dG9vIHNob3J0"),
        (Kind::Resend, "whsec_not base64 at all"),
        (Kind::SendGrid, "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"),
        (Kind::Mailgun, "short"),
        (Kind::Postmark, "user:short"),
        (Kind::Postmark, ":a-long-enough-password"),
    ];
    for (kind, text) in keys {
        assert!(
            FeedKey::of(kind, &Secret::new(text.to_owned())).is_ok(),
            "{kind:?}"
        );
    }
    for (kind, text) in more {
        let refused = FeedKey::of(kind, &Secret::new(text.to_owned())).err().unwrap();
        assert_eq!(refused.field, "feedSecret", "{kind:?}");
        assert!(!refused.what.contains(text));
    }
}

fn meaning(kind: Kind, json: &Value) -> String {
    let events = told(kind, json);
    let [event] = &events[..] else {
        return format!("{} events", events.len());
    };
    assert_eq!(event.tag, "tag1");
    let address = "ada@reader.example".to_owned();
    let whom = match kind {
        Kind::Resend => Whom::OneOf(vec![address]),
        _ => Whom::Exactly(address),
    };
    assert_eq!(event.whom, whom);
    match &event.outcome {
        Outcome::Bounced { category, .. } => category.name().to_owned(),
        Outcome::Complained => "complained".to_owned(),
        Outcome::Other => "other".to_owned(),
    }
}

#[test]
fn resend_tells_of_bounces_and_complaints() {
    let bounce = |kind: &str, sub: &str, words: &str| json!({"type": kind, "subType": sub, "message": words});
    let unknown = "smtp; 550 5.1.1 user unknown";
    for (event, bounce, expected) in [
        (
            "email.bounced",
            bounce("Permanent", "General", "No reason."),
            "invalid_address",
        ),
        (
            "email.bounced",
            bounce("Permanent", "General", "550 5.7.1 blocked using rbl"),
            "blocked",
        ),
        (
            "email.bounced",
            bounce("Permanent", "Suppressed", unknown),
            "blocked",
        ),
        (
            "email.bounced",
            bounce("Transient", "MailboxFull", "452 4.2.2 mailbox full"),
            "mailbox_full",
        ),
        (
            "email.bounced",
            bounce("Transient", "General", unknown),
            "server_error",
        ),
        ("email.suppressed", Value::Null, "blocked"),
        ("email.complained", Value::Null, "complained"),
        ("email.delivered", Value::Null, "other"),
        ("email.delivery_delayed", Value::Null, "other"),
    ] {
        for tags in [
            json!({"sealwright": "tag1"}),
            json!([{"name": "a", "value": "b"}, {"name": "sealwright", "value": "tag1"}]),
        ] {
            let json = json!({"type": event, "data": {"to": ["Ada <ada@reader.example>"], "tags": tags, "bounce": bounce}});
            assert_eq!(meaning(Kind::Resend, &json), expected, "{json}");
        }
    }
    let untagged = json!({"type": "email.bounced", "data": {"to": ["ada@reader.example"], "tags": {}}});
    assert_eq!(meaning(Kind::Resend, &untagged), "0 events");
}

#[test]
fn postmark_tells_of_bounces_and_complaints() {
    for (record, kind, expected) in [
        ("Bounce", "HardBounce", "invalid_address"),
        ("Bounce", "SoftBounce", "server_error"),
        ("Bounce", "Blocked", "blocked"),
        ("Bounce", "SpamNotification", "content_rejected"),
        ("Bounce", "DMARCPolicy", "policy_related"),
        ("Bounce", "Transient", "other"),
        ("Bounce", "AutoResponder", "other"),
        ("SpamComplaint", "SpamComplaint", "complained"),
        ("Delivery", "", "other"),
    ] {
        let json = json!({
            "RecordType": record, "Type": kind, "Email": "ada@reader.example", "Details": "action: failed",
            "Metadata": {"sealwright": "tag1"},
        });
        assert_eq!(meaning(Kind::Postmark, &json), expected, "{json}");
    }
    assert_eq!(
        meaning(Kind::Postmark, &json!({"RecordType": "Bounce"})),
        "0 events"
    );
}

#[test]
fn sendgrid_tells_of_bounces_and_complaints_in_a_list() {
    for (event, status, reason, expected) in [
        ("bounce", "5.1.1", "550 no such user", "invalid_address"),
        ("bounce", "4.2.2", "452 mailbox full", "mailbox_full"),
        ("dropped", "", "Bounced Address", "blocked"),
        ("spamreport", "", "", "complained"),
        ("deferred", "4.0.0", "later", "other"),
        ("delivered", "", "", "other"),
    ] {
        let event = json!({
            "event": event, "email": "ada@reader.example", "status": status, "reason": reason, "sealwright": "tag1",
        });
        let json = json!([event, {"event": "bounce", "email": "of-others@reader.example"}]);
        assert_eq!(meaning(Kind::SendGrid, &json), expected, "{json}");
    }
    assert_eq!(meaning(Kind::SendGrid, &json!({"event": "bounce"})), "0 events");
}

#[test]
fn mailgun_tells_of_bounces_and_complaints() {
    let status = |code: u16, words: &str| json!({"code": code, "message": words});
    for (event, severity, reason, status, expected) in [
        (
            "failed",
            "permanent",
            "generic",
            status(550, "5.1.1 user unknown"),
            "invalid_address",
        ),
        (
            "failed",
            "permanent",
            "generic",
            status(552, "mailbox full"),
            "mailbox_full",
        ),
        (
            "failed",
            "permanent",
            "suppress-bounce",
            status(605, "not delivering"),
            "blocked",
        ),
        (
            "failed",
            "temporary",
            "generic",
            status(451, "try again"),
            "other",
        ),
        ("complained", "", "", Value::Null, "complained"),
        ("delivered", "", "", status(250, "OK"), "other"),
    ] {
        let json = json!({"event-data": {
            "event": event, "severity": severity, "reason": reason, "delivery-status": status,
            "recipient": "ada@reader.example", "user-variables": {"sealwright": "tag1"},
        }});
        assert_eq!(meaning(Kind::Mailgun, &json), expected, "{json}");
    }
    assert_eq!(
        meaning(Kind::Mailgun, &json!({"event-data": {"event": "failed"}})),
        "0 events"
    );
}
