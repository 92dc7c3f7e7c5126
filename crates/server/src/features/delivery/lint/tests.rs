use super::*;
use proptest::prelude::*;
use sealwright_mail::address::Domain;
use sealwright_mail::compose::{Attachment, Draft, compose};
use sealwright_mail::dkim::{Signer, SigningKey};
use sealwright_mail::header::{ContentType, FileName, HeaderName, HeaderText};
use std::sync::{Arc, LazyLock};

const NOW: i64 = 1_795_305_600;

struct Key {
    signer: Signer,
    published: (String, String),
}

fn key(selector: &str, domain: &str, key: SigningKey) -> Key {
    let record = key.dns_record();
    Key {
        signer: Signer::new(Arc::new(key), &Domain::parse(domain).unwrap(), selector).unwrap(),
        published: (format!("{selector}._domainkey.{domain}"), record),
    }
}

fn rsa(selector: &str, domain: &str) -> Key {
    key(selector, domain, SigningKey::generate_rsa_2048().unwrap().1)
}

static RSA: LazyLock<Key> = LazyLock::new(|| rsa("sw1", "shop.example"));
static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| Verifier::new().unwrap());

fn from() -> Mailbox {
    Mailbox::parse("Shop <orders@shop.example>").unwrap()
}

fn message(subject: &str, text: &str) -> Vec<u8> {
    with_file(subject, text, "application/pdf", b"%PDF \x00\xff")
}

fn with_file(subject: &str, text: &str, content_type: &str, content: &[u8]) -> Vec<u8> {
    let to = [Mailbox::parse("Ada <ada@reader.example>").unwrap()];
    let draft = Draft {
        from: &from(),
        to: &to,
        cc: &[],
        reply_to: &[],
        subject: &HeaderText::parse(subject).unwrap(),
        message_id: "em_1@shop.example",
        date_unix_s: NOW,
        headers: &[(
            HeaderName::parse("X-Order").unwrap(),
            HeaderText::parse("17").unwrap(),
        )],
        text: Some(text),
        html: Some("<p>Thank you</p>"),
        amp: Some("<!doctype html><html amp4email><body>Thank you</body></html>"),
        attachments: &[Attachment {
            filename: &FileName::parse("Résumé.pdf").unwrap(),
            content_type: &ContentType::parse(content_type).unwrap(),
            content,
            content_id: None,
        }],
        boundary_seed: "em_1",
    };
    compose(&draft).bytes
}

fn signed(keys: &[&Key], message: &[u8]) -> Vec<u8> {
    let start = body_start(message).unwrap();
    let fields = keys
        .iter()
        .map(|key| key.signer.sign(message, start, NOW).unwrap());
    fields.flatten().collect()
}

fn judged(keys: &[&Key], fields: &[u8], message: &[u8], subject: &str) -> Result<(), Finding> {
    let published: Vec<_> = keys.iter().map(|key| key.published.clone()).collect();
    let expected = Expected {
        from: &from(),
        subject,
        message_id: "em_1@shop.example",
        published: &published,
    };
    lint(&VERIFIER, fields, message, &expected)
}

/// What is found in a message that was damaged before it was signed: the signature holds.
fn found_in(message: &[u8]) -> Finding {
    judged(&[&RSA], &signed(&[&RSA], message), message, "Order").unwrap_err()
}

/// The message with one text replaced; it must hold it.
fn with(from: &str, to: &str) -> Vec<u8> {
    let message = message("Order", "Hello\n");
    let text = String::from_utf8(message).unwrap();
    assert!(text.contains(from), "{text}");
    text.replacen(from, to, 1).into_bytes()
}

#[test]
fn what_we_compose_and_sign_passes_with_one_key_and_with_two() {
    let ed25519 = key("sw1e", "shop.example", SigningKey::generate_ed25519().unwrap().1);
    let message = message("Order", "Hello\n");
    for keys in [&[&*RSA][..], &[&*RSA, &ed25519]] {
        assert_eq!(judged(keys, &signed(keys, &message), &message, "Order"), Ok(()));
    }
}

#[test]
fn what_is_attached_is_the_callers_and_may_be_anything() {
    let broken = b"Subject: =?x?\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n*\r\n";
    for content_type in [
        "message/rfc822",
        "message/rfc822; a=b",
        "message/delivery-status",
        "text/plain; charset=utf-16",
        "text/html; charset=none",
        "text/plain; charset=iso-2022-jp",
        "application/octet-stream",
        "text/calendar; method=REQUEST",
        "image/png",
    ] {
        for content in [&b""[..], b"Rcpt To", b"\x00\xff\x1b$B", broken] {
            let whole = with_file("Order", "Hello\n", content_type, content);
            assert_eq!(
                judged(&[&RSA], &signed(&[&RSA], &whole), &whole, "Order"),
                Ok(()),
                "{content_type}"
            );
        }
    }
    assert!(
        ContentType::parse("multipart/mixed").is_err(),
        "its parts would be ours to read"
    );
}

#[test]
fn faults_of_octets_are_found_before_smtp_could_split_the_message() {
    for (damaged, finding) in [
        (with("Hello\r\n", "Hello\n"), Finding::LineEnd),
        (
            with("Hello\r\n", "Hello\n.\nMAIL FROM:<x@y.example>\r\n"),
            Finding::LineEnd,
        ),
        (with("Hello\r\n", "Hello\r.\r\r\n"), Finding::LineEnd),
        (with("Hello\r\n", "Hello\0\r\n"), Finding::Nul),
        (
            with("Hello\r\n", &format!("{}\r\n", "x".repeat(999))),
            Finding::LineLength,
        ),
        (with("Hello", "Héllo"), Finding::EightBit),
    ] {
        assert_eq!(judged(&[&RSA], &[], &damaged, "Order"), Err(finding));
    }
    let cut = message("Order", "Hello\n");
    let cut = cut.strip_suffix(b"\r\n").unwrap();
    assert_eq!(judged(&[&RSA], &[], cut, "Order"), Err(Finding::LineEnd));
}

#[test]
fn faults_of_the_header_are_found_though_the_signature_holds() {
    for (damaged, finding) in [
        (
            with("Subject: Order", "Subject: Ordr"),
            Finding::Differs("Subject"),
        ),
        (
            with("<orders@shop.example>", "<other@shop.example>"),
            Finding::Differs("From"),
        ),
        (
            with("Message-ID: <em_1@", "Message-ID: <em_2@"),
            Finding::Differs("Message-ID"),
        ),
        (
            with("To: Ada", "To: a@b.example\r\nTo: Ada"),
            Finding::FieldCount("To", 2),
        ),
        (
            with("To: Ada", "Bcc: a@b.example\r\nTo: Ada"),
            Finding::FieldCount("Bcc", 1),
        ),
        (with("X-Order: 17", "X-Order: \u{e9}"), Finding::EightBit),
        (
            with("MIME-Version: 1.0\r\n", ""),
            Finding::FieldCount("MIME-Version", 0),
        ),
        (with("JVBERiAA/w==", "JVBERiAA/w*="), Finding::Encoding),
    ] {
        assert_eq!(found_in(&damaged), finding);
    }
    // The signer refuses these itself.
    for (damaged, finding) in [
        (
            with("From: Shop", "From: x@y.example\r\nFrom: Shop"),
            Finding::FieldCount("From", 2),
        ),
        (with("X-Order: 17", "X-Ord\u{e9}r: 17"), Finding::FieldName),
        (with("X-Order: 17", "X-Order : 17"), Finding::FieldName),
    ] {
        assert_eq!(judged(&[&RSA], &[], &damaged, "Order"), Err(finding));
    }
}

#[test]
fn faults_of_signatures_are_found() {
    let whole = message("Order", "Hello\n");
    let fields = signed(&[&RSA], &whole);
    let is_signature = |judged: Result<(), Finding>| matches!(judged, Err(Finding::Signature(_)));
    // Changed after signing: a body, a signed field, a second field of an oversigned name.
    for (damaged, subject) in [
        (with("Hello", "Hellp"), "Order"),
        (with("Subject: Order", "Subject: order"), "order"),
        (with("To: Ada", "Reply-To: x@y.example\r\nTo: Ada"), "Order"),
    ] {
        assert!(is_signature(judged(&[&RSA], &fields, &damaged, subject)));
    }
    // The key that is published is another one than that which signed; or it is not published, or signed for another.
    let other = rsa("sw1", "shop.example");
    assert!(is_signature(judged(&[&other], &fields, &whole, "Order")));
    assert!(judged(&[], &fields, &whole, "Order").is_err());
    assert_eq!(judged(&[&RSA], &[], &whole, "Order"), Err(Finding::Alignment));
    let foreign = rsa("sw1", "other.example");
    let by_foreign = signed(&[&foreign], &whole);
    assert_eq!(
        judged(&[&foreign], &by_foreign, &whole, "Order"),
        Err(Finding::Alignment)
    );
    let both = [&*RSA, &foreign];
    assert_eq!(
        judged(&both, &signed(&both, &whole), &whole, "Order"),
        Err(Finding::Alignment)
    );
}

#[test]
fn blank_lines_at_the_end_are_no_fault() {
    for text in [
        "",
        " ",
        "\n\n",
        " \t\n",
        "hi\n \t\n",
        "hi\n\n \n\n\t\n",
        "\n \nhi",
    ] {
        let whole = message("Order", text);
        assert_eq!(
            judged(&[&RSA], &signed(&[&RSA], &whole), &whole, "Order"),
            Ok(()),
            "{text:?}"
        );
        // As the only body, too: the parts' boundary ends that of `message`.
        let start = body_start(&whole).unwrap();
        let plain = [&whole[..start], text.replace('\n', "\r\n").as_bytes(), b"\r\n"].concat();
        let fields = signed(&[&RSA], &plain);
        assert_eq!(
            VERIFIER
                .verify(&fields, &plain, std::slice::from_ref(&RSA.published))
                .unwrap(),
            ["shop.example"],
            "{text:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_that_we_compose_is_held(subject in "\\PC{0,120}", text in "(\\PC|[ \t\n.=]){0,400}") {
        let Ok(_) = HeaderText::parse(&subject) else { return Ok(()) };
        let whole = message(&subject, &text);
        let fields = signed(&[&RSA], &whole);
        prop_assert_eq!(judged(&[&RSA], &fields, &whole, &subject), Ok(()));
    }
}
