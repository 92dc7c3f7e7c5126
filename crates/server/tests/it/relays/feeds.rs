//! What providers tell of mail later: heard once, and only from them.

use super::sending::set_route;
use super::stand_in::{Asked, StandIn};
use super::{account, add, house};
use crate::harness::{Engine, House, Reply, Setup, account as organization, events_of, on_both_engines};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use aws_lc_rs::{encoding::AsDer as _, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use sealwright::clock::Clock;
use sealwright::features::returns;
use sealwright::id::{EmailId, Id as _};
use serde_json::{Value, json};
use std::time::Duration;

const PROVIDERS: [&str; 4] = ["resend", "postmark", "sendgrid", "mailgun"];

/// What a provider signs with, and what it shows of that.
struct Signer {
    provider: &'static str,
    secret: String,
    ecdsa: Option<EcdsaKeyPair>,
}

impl Signer {
    /// Each name has its own secret.
    fn new(provider: &'static str, name: &str) -> Self {
        let mut ecdsa = None;
        let secret = match provider {
            "resend" => format!(
                "whsec_{}",
                STANDARD.encode(format!("{name}-a-long-secret-of-a-webhook"))
            ),
            "postmark" => format!("{name}:a-long-password-of-a-feed"),
            "sendgrid" => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
                let der = pair.public_key().as_der().unwrap();
                ecdsa = Some(pair);
                STANDARD.encode(der.as_ref())
            }
            _ => format!("{name}-a-long-signing-key"),
        };
        Self {
            provider,
            secret,
            ecdsa,
        }
    }

    /// The relay as it is added with this secret.
    fn relay(&self) -> Value {
        let mut relay = account(self.provider);
        relay["feedSecret"] = json!(self.secret);
        relay
    }

    /// The headers and the body of a request that tells this at a time.
    #[allow(
        clippy::disallowed_methods,
        reason = "a test may draw what the server may not"
    )]
    fn signed(&self, event: &Value, seconds: i64) -> (Vec<(&'static str, String)>, String) {
        let at = seconds.to_string();
        let mac =
            |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
        match self.provider {
            "resend" => {
                let (key, body) = (STANDARD.decode(&self.secret[6..]).unwrap(), event.to_string());
                let mac = STANDARD.encode(mac(&key, &format!("msg_1.{at}.{body}")));
                let signature = format!("v1,{mac}");
                (
                    vec![
                        ("svix-id", "msg_1".to_owned()),
                        ("svix-timestamp", at),
                        ("svix-signature", signature),
                    ],
                    body,
                )
            }
            "postmark" => {
                let basic = format!("Basic {}", STANDARD.encode(&self.secret));
                (vec![("authorization", basic)], event.to_string())
            }
            "sendgrid" => {
                let body = event.to_string();
                let pair = self.ecdsa.as_ref().unwrap();
                let signature = pair
                    .sign(&SystemRandom::new(), format!("{at}{body}").as_bytes())
                    .unwrap();
                let headers = vec![
                    ("x-twilio-email-event-webhook-timestamp", at),
                    (
                        "x-twilio-email-event-webhook-signature",
                        STANDARD.encode(signature),
                    ),
                ];
                (headers, body)
            }
            _ => {
                let (token, mut event) = ("t".repeat(50), event.clone());
                let mac = mac(self.secret.as_bytes(), &format!("{at}{token}"));
                let hex: String = mac.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
                event["signature"] = json!({"timestamp": at, "token": token, "signature": hex});
                (Vec::new(), event.to_string())
            }
        }
    }

    /// Tells it now.
    async fn tell(&self, house: &House, relay: &str, event: &Value) -> Reply {
        self.tell_at(house, relay, event, house.clock.now().seconds())
            .await
    }

    async fn tell_at(&self, house: &House, relay: &str, event: &Value, seconds: i64) -> Reply {
        let (headers, body) = self.signed(event, seconds);
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let path = format!("/v1/relays/{relay}/feed");
        let client = house.client.everywhere();
        client.call_with(Method::POST, &path, &headers, body).await
    }
}

/// The tag that a provider was given with a mail.
fn tag(asked: &Asked) -> String {
    if asked.provider == "mailgun" {
        let text = String::from_utf8(asked.body.to_vec()).unwrap();
        let (_, rest) = text.split_once("name=\"v:sealwright\"\r\n\r\n").unwrap();
        return rest.split("\r\n").next().unwrap().to_owned();
    }
    let json: Value = serde_json::from_slice(&asked.body).unwrap();
    let tag = match asked.provider.as_str() {
        "resend" => &json["tags"][0]["value"],
        "postmark" => &json["Metadata"]["sealwright"],
        _ => &json["custom_args"]["sealwright"],
    };
    tag.as_str().unwrap().to_owned()
}

/// An event in the provider's form: `bounced`, `complained` or `delivered`.
fn event(provider: &str, what: &str, to: &str, tag: &str) -> Value {
    match provider {
        "resend" => json!({"type": format!("email.{what}"), "data": {
            "email_id": "e", "to": [to], "tags": {"sealwright": tag},
            "bounce": {"type": "Permanent", "subType": "General", "message": "550 5.1.1 user unknown"},
        }}),
        "postmark" => {
            let (record, kind) = match what {
                "bounced" => ("Bounce", "HardBounce"),
                "complained" => ("SpamComplaint", "SpamComplaint"),
                _ => ("Delivery", ""),
            };
            json!({"RecordType": record, "Type": kind, "Email": to, "Details": "550 5.1.1 user unknown", "Metadata": {"sealwright": tag}})
        }
        "sendgrid" => {
            let word = match what {
                "bounced" => "bounce",
                "complained" => "spamreport",
                other => other,
            };
            json!([{"event": word, "email": to, "status": "5.1.1", "reason": "550 5.1.1 user unknown", "sealwright": tag}])
        }
        _ => {
            let word = if what == "bounced" { "failed" } else { what };
            json!({"event-data": {
                "event": word, "severity": "permanent", "reason": "bounce", "recipient": to,
                "delivery-status": {"code": 550, "message": "5.1.1 user unknown"}, "user-variables": {"sealwright": tag},
            }})
        }
    }
}

/// A mail that the only relay took: its id and tag.
async fn sent(house: &House, stand_in: &StandIn, to: &[&str]) -> (String, String) {
    let before = stand_in.asked().len();
    let mut email = house.email("");
    email["to"] = json!(to);
    let id = house.accepted(&email).await;
    house.reaches(&id, "delivered").await;
    (id, tag(&stand_in.asked()[before]))
}

async fn suppressed(house: &House, address: &str) -> Value {
    let path = format!("/v1/suppressions/check?email={address}");
    house.client.get(&path, &house.account.live).await.expect(200)
}

async fn on_a_clock(engine: Engine) -> (House, StandIn) {
    let (house, stand_in) = house(Setup::new(engine).clock(&Clock::manual(Clock::System.now()))).await;
    set_route(&house, "relay").await;
    (house, stand_in)
}

on_both_engines! {
    async fn each_provider_tells_of_a_bounce_and_a_complaint_once(engine: Engine) {
        let (house, stand_in) = on_a_clock(engine).await;
        for provider in PROVIDERS {
            let signer = Signer::new(provider, "own");
            let relay = add(&house, &signer.relay()).await;
            let gone = format!("gone-{provider}@reader.example");
            let angry = format!("angry-{provider}@reader.example");
            // Resend names all recipients of a mail, whoever it is about.
            let kept = format!("kept-{provider}@reader.example");
            let both = [gone.as_str(), kept.as_str()];
            let (id, tag) = sent(&house, &stand_in, if provider == "resend" { &both[..1] } else { &both }).await;
            for (what, bounces) in [("delivered", 0), ("bounced", 1), ("bounced", 1)] {
                let told = signer.tell(&house, &relay, &event(provider, what, &gone.to_uppercase(), &tag)).await.expect(200);
                assert_eq!(told, json!({"object": "feed_receipt", "received": 1}), "{provider}");
                let shown = house.shown(&id).await;
                let events = events_of(&shown, "email.bounced");
                assert_eq!(events.len(), bounces, "{provider}: {shown}");
                assert!(events.iter().all(|event| event["data"]["bounceType"] == "hard" && event["data"]["bounceCategory"] == "invalid_address"));
            }
            let shown = house.shown(&id).await;
            for recipient in shown["recipients"].as_array().unwrap() {
                let expected = if recipient.to_string().contains("gone-") { "bounced" } else { "delivered" };
                assert_eq!(recipient["status"], expected, "{provider}: {recipient}");
            }
            let (id, tag) = sent(&house, &stand_in, &[&angry]).await;
            for _ in 0..2 {
                signer.tell(&house, &relay, &event(provider, "complained", &angry, &tag)).await.expect(200);
                let shown = house.shown(&id).await;
                assert_eq!((events_of(&shown, "email.complained").len(), &shown["status"]), (1, &json!("delivered")), "{provider}");
            }
            for (address, kind) in [(&gone, "hard_bounces"), (&angry, "complaints")] {
                assert!(suppressed(&house, address).await.to_string().contains(kind), "{provider}");
            }
            assert_eq!(suppressed(&house, &kept).await["suppressed"], false);
            house.client.delete(&format!("/v1/relays/{relay}"), &house.account.live).await.expect(200);
        }
    }

    async fn of_several_recipients_resend_does_not_say_which_and_nobody_is_guessed(engine: Engine) {
        let (house, stand_in) = on_a_clock(engine).await;
        let signer = Signer::new("resend", "own");
        let relay = add(&house, &signer.relay()).await;
        let (id, tag) = sent(&house, &stand_in, &["ada@reader.example", "bo@reader.example"]).await;
        signer.tell(&house, &relay, &event("resend", "bounced", "ada@reader.example", &tag)).await.expect(200);
        assert!(events_of(&house.shown(&id).await, "email.bounced").is_empty());
    }

    async fn one_account_may_send_for_several_organizations_and_each_hears_of_its_own(engine: Engine) {
        let (house, stand_in) = on_a_clock(engine).await;
        let signer = Signer::new("sendgrid", "own");
        let relay = add(&house, &signer.relay()).await;
        let (id, tag) = sent(&house, &stand_in, &["ada@reader.example"]).await;
        let other = organization(&house.platform, "Other", "other.example").await;
        let theirs = json!({"from": other.address("a"), "to": "ada@reader.example", "subject": "s", "text": "t"});
        let theirs = house.client.post("/v1/emails", &other.live, &theirs).await.expect(200);
        let theirs = EmailId::parse(theirs["id"].as_str().unwrap()).unwrap();
        let foreign = returns::local_part(&house.platform.vault, &other.org, &theirs, 0);
        let all: Vec<_> = [foreign.as_str(), "of-nobody", &tag].iter().flat_map(|tag| {
            event("sendgrid", "bounced", "ada@reader.example", tag).as_array().unwrap().clone()
        }).collect();
        let told = signer.tell(&house, &relay, &json!(all)).await.expect(200);
        assert_eq!(told["received"], 1);
        house.reaches(&id, "bounced").await;
        let path = format!("/v1/emails/{theirs}");
        let shown = house.client.get(&path, &other.live).await.expect(200);
        assert!(events_of(&shown, "email.bounced").is_empty());
        let alone = event("sendgrid", "bounced", "ada@reader.example", &foreign);
        assert_eq!(signer.tell(&house, &relay, &alone).await.status, 404);
    }

    async fn what_no_provider_proves_changes_nothing_and_is_not_found(engine: Engine) {
        let (house, stand_in) = on_a_clock(engine).await;
        let other = organization(&house.platform, "Other", "other.example").await;
        for provider in PROVIDERS {
            let (signer, stranger) = (Signer::new(provider, "own"), Signer::new(provider, "strange"));
            let relay = add(&house, &signer.relay()).await;
            let to = format!("ada-{provider}@reader.example");
            let (id, tag) = sent(&house, &stand_in, &[&to]).await;
            let beside = add(&house, &stranger.relay()).await;
            let deaf = add(&house, &account(provider)).await;
            let foreign = house.client.post("/v1/relays", &other.live, &stranger.relay()).await.expect(201);
            let foreign = foreign["id"].as_str().unwrap();
            let bounced = event(provider, "bounced", &to, &tag);
            let last = if tag.ends_with('0') { "1" } else { "0" };
            let forged = event(provider, "bounced", &to, &format!("{}{last}", &tag[..tag.len() - 1]));
            let untagged: Value = serde_json::from_str(&bounced.to_string().replace("\"sealwright\"", "\"another\"")).unwrap();
            let mut replies = vec![
                ("another secret", stranger.tell(&house, &relay, &bounced).await),
                ("another relay", signer.tell(&house, &beside, &bounced).await),
                ("another organization's relay", stranger.tell(&house, foreign, &bounced).await),
                ("a relay without a feed", signer.tell(&house, &deaf, &bounced).await),
                ("no such relay", signer.tell(&house, "rel_01hzzzzzzzzzzzzzzzzzzzzzzz", &bounced).await),
                ("a forged tag", signer.tell(&house, &relay, &forged).await),
                ("no tag", signer.tell(&house, &relay, &untagged).await),
            ];
            if provider != "postmark" {
                let now = house.clock.now().seconds();
                replies.push(("an old one", signer.tell_at(&house, &relay, &bounced, now - 301).await));
            }
            for (what, reply) in replies {
                assert_eq!(reply.refusal(404).0, "not_found", "{provider}: {what}");
            }
            let shown = house.shown(&id).await;
            assert_eq!((events_of(&shown, "email.bounced").len(), &shown["status"]), (0, &json!("delivered")), "{provider}");
            assert_eq!(suppressed(&house, &to).await["suppressed"], false);
            for relay in [relay, beside, deaf] {
                house.client.delete(&format!("/v1/relays/{relay}"), &house.account.live).await.expect(200);
            }
        }
    }

    async fn a_mail_that_is_too_old_and_a_body_that_is_too_large_are_not_heard(engine: Engine) {
        let (house, stand_in) = on_a_clock(engine).await;
        let signer = Signer::new("resend", "own");
        let relay = add(&house, &signer.relay()).await;
        let (_, tag) = sent(&house, &stand_in, &["ada@reader.example"]).await;
        let mut large = event("resend", "bounced", "ada@reader.example", &tag);
        large["data"]["subject"] = json!("x".repeat(1024 * 1024));
        assert_eq!(signer.tell(&house, &relay, &large).await.refusal(413).0, "request_too_large");
        house.clock.advance(Duration::from_secs(61 * 86_400));
        let bounced = event("resend", "bounced", "ada@reader.example", &tag);
        assert_eq!(signer.tell(&house, &relay, &bounced).await.refusal(404).0, "not_found");
    }

    async fn a_provider_that_proved_itself_is_no_stranger_at_its_feed(engine: Engine) {
        let (house, stand_in) = on_a_clock(engine).await;
        let (signer, stranger) = (Signer::new("resend", "own"), Signer::new("resend", "strange"));
        let relay = add(&house, &signer.relay()).await;
        let (_, tag) = sent(&house, &stand_in, &["ada@reader.example"]).await;
        let delivered = event("resend", "delivered", "ada@reader.example", &tag);
        let path = format!("/v1/relays/{relay}/feed");
        let seconds = house.clock.now().seconds();
        let ask = async |from: [u8; 4], signer: &Signer, path: &str| {
            let (headers, body) = signer.signed(&delivered, seconds);
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            house.client.at(from).call_with(Method::POST, path, &headers, body).await
        };
        let (theirs, others) = ([127, 7, 1, 1], [127, 8, 1, 1]);
        let first = ask(theirs, &signer, &path).await;
        assert_eq!((first.status.as_u16(), first.header("x-ratelimit-limit")), (200, "60"));
        for _ in 0..100 {
            let reply = ask(theirs, &signer, &path).await;
            assert_eq!((reply.status.as_u16(), reply.header("x-ratelimit-limit")), (200, "600"));
        }
        // Only at that feed, and only from there.
        let beside = path.replace("/feed", "x/feed");
        assert_eq!(ask(theirs, &signer, &beside).await.header("x-ratelimit-limit"), "60");
        for number in 0..61 {
            let reply = ask(others, &stranger, &path).await;
            let expected = if number < 60 { 404 } else { 429 };
            assert_eq!(reply.status, expected, "{number}");
        }
        assert_eq!(ask(others, &signer, &path).await.status, 429);
        assert_eq!(ask(theirs, &signer, &path).await.status, 200);
    }

    async fn a_feed_secret_goes_in_and_never_comes_out(engine: Engine) {
        let (house, stand_in) = on_a_clock(engine).await;
        let key = &house.account.live;
        for provider in PROVIDERS {
            let (old, new) = (Signer::new(provider, "old"), Signer::new(provider, "new"));
            let made = house.client.post("/v1/relays", key, &old.relay()).await;
            let id = made.json()["id"].as_str().unwrap().to_owned();
            let path = format!("/v1/relays/{id}");
            let change = json!({"feedSecret": new.secret}).to_string();
            let changed = house.client.call(Method::PATCH, &path, key, change).await;
            let shown = house.client.get(&path, key).await;
            let refused = house.client.call(Method::PATCH, &path, key, json!({"feedSecret": "short-and-of-no-provider"}).to_string()).await;
            for reply in [&made, &changed, &shown, &refused] {
                assert!(![&old.secret, &new.secret].iter().any(|secret| reply.text().contains(*secret)), "{}", reply.text());
            }
            if provider != "mailgun" {
                assert_eq!(refused.refusal(400), ("invalid_parameter".into(), "feedSecret".into()), "{provider}");
                let (_, tag) = sent(&house, &stand_in, &[&format!("{provider}@reader.example")]).await;
                let bounced = event(provider, "bounced", "ada@reader.example", &tag);
                assert_eq!(old.tell(&house, &id, &bounced).await.status, 404, "{provider}");
                assert_eq!(new.tell(&house, &id, &bounced).await.status, 200, "{provider}");
            }
            house.client.delete(&path, key).await.expect(200);
        }
        let mut ses = account("ses");
        ses["feedSecret"] = json!("long-enough-for-anything");
        assert_eq!(house.client.post("/v1/relays", key, &ses).await.refusal(400).1, "feedSecret");
        let fields = json!({"fields": ["feedSecret"]});
        assert_eq!(house.audit_details("relay.updated").await.iter().filter(|detail| **detail == fields).count(), 5);
    }
}
