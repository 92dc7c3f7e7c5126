//! DKIM signatures over messages that have tripped signers, checked here by one verifier of another make, and left for three more.
//!
//! Two corpora: mail that went all the way through the server (whose composer never lets a bare 8-bit body or a line past 998 octets
//! out), and raw messages that only the signer saw.

use crate::harness::{Engine, House};
use sealwright::clock::Clock;
use sealwright::features::delivery::dkim_verdict as verdict;
use sealwright_mail::address::Domain;
use sealwright_mail::dkim::{Signer, SigningKey};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bodies that differ only where canonicalization looks.
const BODIES: [&str; 30] = [
    "",
    "\r\n",
    "\r\n\r\n\r\n",
    " ",
    " \t\r\n",
    "\t\r\n \r\n\r\n",
    "hi",
    "hi\r\n",
    "hi\r\n\r\n\r\n",
    "hi\r\n \t\r\n",
    "hi\r\n\r\n \r\n",
    "hi \t\r\n\t\r\n \r\n\r\n",
    "\r\nhi\r\n",
    " \r\n\t\r\nhi\r\n",
    "a\r\n\r\n\r\nb\r\n",
    "a\r\n \r\n\t\t\r\nb\r\n",
    "  indented\r\n",
    "\ttabbed\tline\t\r\n",
    "many    spaces \t \t here\r\n",
    "trailing   \r\n",
    ".\r\n",
    "..\r\n.a\r\n.\r\n",
    "From here\r\n>From there\r\n",
    "--boundary\r\n--boundary--\r\n",
    "=20=\r\n=3D=\r\n",
    "key: value\r\n\r\nkey: value\r\n",
    "8-bit: üé 請求書 📄\r\n",
    "nbsp \u{a0} \u{3000}\r\n",
    "\u{2028}\u{85}\u{2029}\r\n",
    "v=1; b=abc; bh=def;\r\n",
];

/// Header fields that are folded, repeated, empty or spelled oddly.
const FIELDS: [&str; 12] = [
    "Subject: folded\r\n over\r\n\tthree lines",
    "Subject:\r\n starts on the next line",
    "Subject:no space",
    "Subject:",
    "Subject:   \t spaces   inside \t and after  ",
    "SUBJECT: upper case\r\ntO: x@example.net",
    "To: a@example.net,\r\n b@example.net,\r\n  c@example.net",
    "To: a@example.net\r\nTo: b@example.net",
    "Subject: =?utf-8?Q?=C3=BC?=\r\n =?utf-8?Q?=C3=A4?=",
    "Received: from x by y;\r\n\tSun, 22 Nov 2026 11:52:07 +0000\r\nX-Empty:\r\nSubject: s",
    "Cc: d@example.net\r\nReply-To: e@example.net\r\nSubject: all",
    "List-Unsubscribe: <https://example.com/u>,\r\n <mailto:u@example.com>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nFeedback-ID: a:b:c:d",
];

/// Messages that only the signer sees.
fn raw_messages() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = BODIES.iter().map(|body| body.as_bytes().to_vec()).collect();
    bodies.push(format!("{}\r\n", "x".repeat(998)).into_bytes());
    bodies.push("long\t \tline  ".repeat(2000).into_bytes());
    bodies.push(format!("{}end\r\n", "\r\n".repeat(3000)).into_bytes());
    bodies.push(format!("start\r\n{}", " \r\n".repeat(3000)).into_bytes());
    bodies.push(b"latin-1 \xe4\xf6\xfc\xff\r\n".to_vec());
    let fixed = "From: Signer <a@raw.example>\r\nTo: b@reader.example\r\nSubject: Body\r\nDate: Sun, 22 Nov 2026 11:52:07 +0000\r\n\
        Message-ID: <1@raw.example>\r\nMIME-Version: 1.0\r\n\r\n";
    // A message that is sent ends with CRLF, whatever its body was to begin with.
    for body in bodies
        .iter_mut()
        .filter(|body| !body.is_empty() && !body.ends_with(b"\r\n"))
    {
        body.extend(b"\r\n");
    }
    let with_body = bodies.iter().map(|body| [fixed.as_bytes(), body].concat());
    let with_field = FIELDS
        .iter()
        .map(|field| format!("From: a@raw.example\r\n{field}\r\n\r\nHello\r\n").into_bytes());
    with_body.chain(with_field).collect()
}

/// Mail as a caller could ask for it.
fn emails(house: &House) -> Vec<Value> {
    let base = house.email("Ada <ada@reader.example>");
    let changed = |changes: Value| {
        let mut email = base.clone();
        email
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        email
    };
    let file = |content: &str| json!([{"filename": "Résumé.pdf", "content": content}, {"filename": "l.png", "content": "cG5n", "cid": "l"}]);
    let mut all: Vec<Value> = BODIES.iter().map(|body| changed(json!({"text": body}))).collect();
    all.extend(BODIES.iter().step_by(4).map(|body| {
        changed(json!({"text": body, "html": format!("<pre>{body}</pre>"), "attachments": file("")}))
    }));
    all.extend([
        changed(json!({"subject": ""})),
        changed(json!({"subject": "請求書 ".repeat(60).trim_end()})),
        changed(json!({"subject": "a long subject of many words ".repeat(30).trim_end()})),
        changed(json!({"headers": {"X-Long": "a long value with many words ".repeat(12).trim_end(), "Feedback-ID": "a:b:c:d", "X-Empty": ""}})),
        changed(json!({"headers": {"List-Unsubscribe": "<https://house.example/u>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}})),
        changed(json!({"from": {"email": house.account.address("a"), "name": "Jürgen – \"Shop\", Inc."}})),
        changed(json!({"to": (0..40).map(|n| format!("Reader Number {n} <r{n}@reader.example>")).collect::<Vec<_>>()})),
        changed(json!({"cc": "c@reader.example", "replyTo": ["x@house.example", "y@house.example"]})),
        changed(json!({"text": "x".repeat(20_000)})),
        changed(json!({"text": "word ".repeat(20_000)})),
        changed(json!({"text": "\r".repeat(50)})),
        changed(json!({"text": "a\nb\rc\r\nd"})),
        changed(json!({"html": "<p>only html</p>", "text": ""})),
        changed(json!({"attachments": file(&"/+8A".repeat(5000))})),
    ]);
    all
}

fn body_start(message: &[u8]) -> usize {
    message
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap()
        + 4
}

/// A folder as `tools/verify-dkim.sh` wants it: kept for the cross-checks where they ask for it.
fn leave(name: &str, domain: &str, selector: &str, record: &str, messages: &[Vec<u8>]) {
    let Some(folder) = std::env::var_os("CROSS_CHECK_DIR").map(|folder| PathBuf::from(folder).join(name))
    else {
        return;
    };
    std::fs::create_dir_all(&folder).unwrap();
    let write = |file: &str, bytes: &[u8]| std::fs::write(Path::new(&folder).join(file), bytes).unwrap();
    write("key.txt", record.as_bytes());
    write("selector", selector.as_bytes());
    write("domain", domain.as_bytes());
    for (number, message) in messages.iter().enumerate() {
        write(&format!("{number:03}.eml"), message);
    }
}

#[tokio::test]
async fn every_raw_message_verifies_and_a_changed_one_does_not() {
    let (_, key) = SigningKey::generate_rsa_2048().unwrap();
    let (record, domain) = (key.dns_record(), Domain::parse("raw.example").unwrap());
    let signer = Signer::new(Arc::new(key), &domain, "own1").unwrap();
    let now = Clock::System.now().seconds();
    let records = [("own1._domainkey.raw.example".to_owned(), record.clone())];
    let mut signed = Vec::new();
    for message in raw_messages() {
        let field = signer.sign(&message, body_start(&message), now).unwrap();
        let whole = [field, message].concat();
        let what = String::from_utf8_lossy(&whole)
            .chars()
            .take(900)
            .collect::<String>();
        assert_eq!(verdict(&whole, &records), "pass", "{what:?}");
        let start = body_start(&whole);
        let changed = [&whole[..start], b"!", &whole[start..]].concat();
        assert_ne!(verdict(&changed, &records), "pass", "{what:?}");
        signed.push(whole);
    }
    leave("dkim-own", "raw.example", "own1", &record, &signed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mail_that_leaves_the_server_verifies() {
    let house = House::start(Engine::Sqlite).await;
    let emails = emails(&house);
    for email in &emails {
        let id = house.accepted(email).await;
        house.reaches(&id, "delivered").await;
    }
    let received: Vec<Vec<u8>> = house
        .sink
        .received()
        .iter()
        .map(|mail| mail.bytes.to_vec())
        .collect();
    assert_eq!(received.len(), emails.len());
    for (message, email) in received.iter().zip(&emails) {
        let verdict = house.dkim_verdict(message);
        assert_eq!(verdict, "pass", "{:.200}", email.to_string());
        let text = String::from_utf8_lossy(message);
        assert!(
            text.starts_with("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;"),
            "{text:.200}"
        );
        assert!(
            message.split(|byte| *byte == b'\n').all(|line| line.len() <= 999),
            "a line past 998 octets left"
        );
        assert!(
            message.is_ascii(),
            "something beyond ASCII left in a message whose addresses are ASCII"
        );
    }
    assert!(received.len() + raw_messages().len() >= 60);
    let (host, record) = &house.account.dkim;
    let selector = host.split('.').next().unwrap();
    leave("dkim-sent", &house.account.domain, selector, record, &received);
}
