//! Signatures over many messages, checked by a verifier that takes RFC 6376 by the letter.
//!
//! The signed messages and their DNS records are also left in `dkim-corpus/` of Cargo's temporary
//! directory, where verifiers written by other people can be pointed at them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod corpus;
mod verify;

use sealwright_mail::address::Domain;
use sealwright_mail::dkim::{DkimError, SIGNATURE_LIFETIME_S, Signer, SigningKey, body_hash_relaxed};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

/// The time of signing in these tests.
const NOW: i64 = 1_795_305_600;

fn rsa() -> Arc<SigningKey> {
    static KEY: OnceLock<Arc<SigningKey>> = OnceLock::new();
    KEY.get_or_init(|| Arc::new(SigningKey::generate_rsa_2048().unwrap().1))
        .clone()
}

fn ed25519() -> Arc<SigningKey> {
    Arc::new(SigningKey::ed25519_seed(&[7; 32]).unwrap())
}

fn signer(key: &Arc<SigningKey>, selector: &str) -> Signer {
    Signer::new(key.clone(), &Domain::parse("example.com").unwrap(), selector).unwrap()
}

fn signed(signer: &Signer, message: &[u8], now: i64) -> Vec<u8> {
    let field = signer.sign(message, corpus::body_start(message), now).unwrap();
    [field.as_slice(), message].concat()
}

#[test]
fn every_message_of_the_corpus_verifies_with_either_algorithm() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dkim-corpus");
    std::fs::create_dir_all(&folder).unwrap();
    let messages = corpus::messages();
    // Verifiers outside compare `t=` and `x=` with their clock, so this corpus is signed by ours.
    #[allow(clippy::disallowed_methods)]
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = clock.unwrap().as_secs().try_into().unwrap();
    assert!(messages.len() >= 60);
    let mut records = String::new();
    for (key, selector) in [(rsa(), "rsa1"), (ed25519(), "ed1")] {
        let record = key.dns_record();
        records += &format!("{selector}._domainkey.example.com {record}\n");
        let signer = signer(&key, selector);
        for (name, message) in &messages {
            let message = signed(&signer, message, now);
            verify::verify(&message, &record).unwrap_or_else(|error| panic!("{name}: {error}"));
            std::fs::write(folder.join(format!("{name}.{selector}.eml")), message).unwrap();
        }
    }
    std::fs::write(folder.join("records.txt"), records).unwrap();
}

#[test]
fn changed_messages_do_not_verify() {
    let record = rsa().dns_record();
    let message = corpus::body_message(b"Pay 10 EUR\r\n");
    let message = String::from_utf8(signed(&signer(&rsa(), "rsa1"), &message, NOW)).unwrap();
    let changes = [
        message.replace("10 EUR", "90 EUR"),
        message.replace("Subject: Bill", "Subject: Gift"),
        message.replace("\r\nFrom:", "\r\nFrom: evil@x.example\r\nFrom:"),
        message.replace("\r\nSubject:", "\r\nSubject: evil\r\nSubject:"),
        message.replace("\r\nTo:", "\r\nTo: evil@x.example\r\nTo:"),
        message.replace(
            "\r\nMIME-Version:",
            "\r\nContent-Type: text/html\r\nMIME-Version:",
        ),
        message.replace("\r\nMIME-Version:", "\r\nCc: evil@x.example\r\nMIME-Version:"),
        message.replace(
            "\r\nMIME-Version:",
            "\r\nReply-To: evil@x.example\r\nMIME-Version:",
        ),
        format!("{message}P.S. one line more\r\n"),
    ];
    assert_eq!(verify::verify(message.as_bytes(), &record), Ok(()));
    for change in changes {
        assert_ne!(change, message);
        assert!(verify::verify(change.as_bytes(), &record).is_err(), "{change}");
    }
}

#[test]
fn relaxed_changes_on_the_way_do_not_break_it() {
    let message = corpus::body_message(b"Pay  10 EUR\r\n");
    let message = String::from_utf8(signed(&signer(&rsa(), "rsa1"), &message, NOW)).unwrap();
    let on_the_way = message
        .replace("Subject: Bill", "SUBJECT:\tBill  ")
        .replace("Pay  10", "Pay\t10")
        .replace("EUR\r\n", "EUR \r\n \t\r\n\r\n");
    assert_ne!(on_the_way, message);
    assert_eq!(verify::verify(on_the_way.as_bytes(), &rsa().dns_record()), Ok(()));
}

#[test]
fn signature_field_is_folded_and_says_what_it_must() {
    let message = corpus::body_message(b"");
    let field = signer(&rsa(), "rsa1")
        .sign(&message, corpus::body_start(&message), NOW)
        .unwrap();
    let field = String::from_utf8(field).unwrap();
    assert!(field.starts_with("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"));
    assert!(field.ends_with("==\r\n"));
    assert!(field.lines().all(|line| line.len() <= 78), "{field}");
    assert!(!field.contains("l="));
    let tags = verify::tags(&field);
    assert_eq!(tags["d"], "example.com");
    assert_eq!(tags["s"], "rsa1");
    assert_eq!(tags["t"].parse(), Ok(NOW));
    assert_eq!(tags["x"].parse(), Ok(NOW + SIGNATURE_LIFETIME_S));
    assert_eq!(tags["bh"], "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    assert_eq!(
        tags["h"],
        "From:From:To:To:Cc:Reply-To:Subject:Subject:Date:Date:Message-ID:Message-ID:\
         MIME-Version:MIME-Version:Content-Type"
    );
}

#[test]
fn optional_fields_are_signed_as_often_as_they_are_there() {
    let message = b"From: a@example.com\r\nList-Unsubscribe: <https://e.example>\r\n\
        List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nTo: b@e.example\r\nTo: c@e.example\r\n\
        X-Other: 1\r\nreferences: <a@b>\r\n\r\n";
    let field = signer(&ed25519(), "ed1")
        .sign(message, message.len(), NOW)
        .unwrap();
    let tags = verify::tags(std::str::from_utf8(&field).unwrap());
    assert_eq!(
        tags["h"],
        "From:From:To:To:To:Cc:Reply-To:Subject:Date:Message-ID:MIME-Version:Content-Type:\
         List-Unsubscribe:List-Unsubscribe-Post:References"
    );
    let message = [field.as_slice(), message].concat();
    assert_eq!(verify::verify(&message, &ed25519().dns_record()), Ok(()));
}

#[test]
fn two_signatures_share_one_body_hash() {
    let message = corpus::body_message(b"Twice\r\n");
    let (header, body) = message.split_at(corpus::body_start(&message));
    let hash = body_hash_relaxed(body);
    for (key, selector) in [(rsa(), "rsa1"), (ed25519(), "ed1")] {
        let signer = signer(&key, selector);
        let field = signer.sign_prehashed(header, &hash, NOW).unwrap();
        assert_eq!(field, signer.sign(&message, header.len(), NOW).unwrap());
    }
}

#[test]
fn what_can_not_be_signed_is_refused() {
    let signer = signer(&ed25519(), "ed1");
    let sign = |message: &[u8], body_start, now| signer.sign(message, body_start, now).err();
    let good = b"From: a@example.com\r\n\r\nhi";
    assert_eq!(sign(good, 23, NOW), None);
    assert_eq!(sign(good, 21, NOW), Some(DkimError::Header));
    assert_eq!(sign(good, 99, NOW), Some(DkimError::Header));
    assert_eq!(sign(b"To: a@example.com\r\n\r\n", 21, NOW), Some(DkimError::From));
    let twice = b"From: a@example.com\r\nfrom : b@example.com\r\n\r\n";
    assert_eq!(sign(twice, twice.len(), NOW), Some(DkimError::From));
    assert_eq!(sign(good, 23, -1), Some(DkimError::Time));
    assert_eq!(sign(good, 23, i64::MAX), Some(DkimError::Time));
    let domain = Domain::parse("example.com").unwrap();
    for selector in [
        "",
        "a.b",
        "a b",
        "a;",
        "A",
        "-a",
        "a-",
        "\u{e9}",
        "a\r\n",
        &"a".repeat(64),
    ] {
        let refused = Signer::new(ed25519(), &domain, selector).err();
        assert_eq!(refused, Some(DkimError::Selector), "{selector:?}");
    }
}

#[test]
fn keys_survive_the_way_through_pkcs8_and_bad_ones_are_refused() {
    let (der, key) = SigningKey::generate_ed25519().unwrap();
    assert_eq!(
        SigningKey::ed25519_pkcs8(&der).unwrap().dns_record(),
        key.dns_record()
    );
    assert_eq!(SigningKey::rsa_pkcs8(&der).err(), Some(DkimError::Key));
    let (der, key) = SigningKey::generate_rsa_2048().unwrap();
    assert_eq!(
        SigningKey::rsa_pkcs8(&der).unwrap().dns_record(),
        key.dns_record()
    );
    assert!(
        key.dns_record()
            .starts_with("v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A")
    );
    assert_eq!(SigningKey::ed25519_pkcs8(&der).err(), Some(DkimError::Key));
    assert_eq!(
        SigningKey::rsa_pkcs8(&der[..der.len() - 1]).err(),
        Some(DkimError::Key)
    );
    assert_eq!(SigningKey::ed25519_seed(&[0; 31]).err(), Some(DkimError::Key));
    assert_eq!(format!("{key:?}"), "SigningKey(\"rsa-sha256\")");
}
