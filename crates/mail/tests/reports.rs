//! What comes back: the corpus in `dsn/`, return paths, and what no input may do.
//!
//! A file of the corpus begins with what is to be read in it, in lines after `> `:
//! `undelivered NAME[,NAME…] CODE STATUS permanent|transient`, `complaint KIND PATH RECIPIENT`, `other`; `-` for nothing. `says`,
//! `words` and `silent` name text that a reason holds, and that the kept words hold or must not hold. All samples are made up.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use aws_lc_rs::hmac;
use proptest::collection::vec;
use proptest::prelude::*;
use sealwright_mail::report::{
    DEPTH_MAX, Failure, PARTS_MAX, REASON_CHARS_MAX, RECIPIENTS_MAX, Report, WORDS_OCTETS_MAX,
};
use sealwright_mail::return_path::{OWNER_MAX, PART_MAX, RETURN_PATH_OCTETS, ReturnPath};
use std::path::Path;

fn or_nothing(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn told(failure: &Failure) -> String {
    let kind = if failure.is_permanent() {
        "permanent"
    } else {
        "transient"
    };
    let (code, status) = (or_nothing(failure.code), or_nothing(failure.status));
    format!(
        "undelivered {} {code} {status} {kind}",
        failure.recipients.join(",")
    )
}

/// Checks one line of expectation that is no report of its own.
fn check(line: &str, report: &Report, name: &str) {
    let (verb, text) = line.split_once(' ').unwrap();
    let (words, reasons) = match report {
        Report::Undelivered(undelivered) => {
            let reasons = undelivered.failures.iter().map(|failure| failure.reason.as_str());
            (undelivered.words.as_str(), reasons.collect::<Vec<_>>().join("\n"))
        }
        Report::Complaint(complaint) => (complaint.words.as_str(), String::new()),
        Report::Other => ("", String::new()),
    };
    match (verb, report) {
        ("says", _) => assert!(reasons.contains(text), "{name}: {reasons}"),
        ("words", _) => assert!(words.contains(text), "{name}: {words}"),
        ("silent", _) => assert!(!words.contains(text), "{name}: {words}"),
        ("envelope", Report::Undelivered(undelivered)) => {
            assert_eq!(undelivered.envelope_id.as_deref(), Some(text), "{name}");
        }
        _ => panic!("{name}: {line}"),
    }
}

fn summary(report: &Report) -> Vec<String> {
    match report {
        Report::Undelivered(undelivered) => undelivered.failures.iter().map(told).collect(),
        Report::Complaint(complaint) => {
            let (path, recipient) = (complaint.return_paths.first(), complaint.recipients.first());
            vec![format!(
                "complaint {} {} {}",
                complaint.kind,
                or_nothing(path),
                or_nothing(recipient)
            )]
        }
        Report::Other => vec!["other".to_owned()],
    }
}

#[test]
fn every_sample_is_read_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dsn");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let (name, text) = (
            path.display().to_string(),
            std::fs::read_to_string(&path).unwrap(),
        );
        let expected: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("> ")).collect();
        let message: Vec<&str> = text.lines().skip(expected.len()).collect();
        let is_report =
            |line: &&str| ["undelivered", "complaint", "other"].contains(&line.split(' ').next().unwrap());
        let reports: Vec<&str> = expected.iter().copied().filter(is_report).collect();
        assert!(!reports.is_empty(), "{name} says nothing");
        for line_end in ["\r\n", "\n"] {
            let report = Report::read(message.join(line_end).as_bytes());
            assert_eq!(summary(&report), reports, "{name}");
            for line in expected.iter().filter(|line| !is_report(line)) {
                check(line, &report, &name);
            }
        }
        count += 1;
    }
    assert!(count >= 20, "{count} samples");
}

#[test]
fn every_prefix_of_every_sample_can_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dsn");
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        for end in 0..text.len() {
            let _ = Report::read(&text[..end]);
        }
    }
}

#[test]
fn a_report_that_nests_or_multiplies_is_read_within_its_limits() {
    let status = "Content-Type: message/delivery-status\n\nFinal-Recipient: rfc822; ada@reader.example\nAction: failed\nStatus: 5.1.1\n";
    let nested = |depth: usize| {
        let heads: String = (0..depth)
            .map(|level| format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"))
            .collect();
        format!("{heads}{status}")
    };
    assert!(matches!(
        Report::read(nested(DEPTH_MAX).as_bytes()),
        Report::Undelivered(_)
    ));
    assert!(matches!(
        Report::read(nested(DEPTH_MAX + 1).as_bytes()),
        Report::Other
    ));
    // As deep as a megabyte goes: neither multiparts nor messages inside of messages are followed.
    assert!(matches!(Report::read(nested(25_000).as_bytes()), Report::Other));
    let matryoshka = "Content-Type: message/rfc822\n\n".repeat(35_000);
    assert!(matches!(Report::read(matryoshka.as_bytes()), Report::Other));
    let many = |parts: usize| {
        let empty = "--b\n\nnothing\n".repeat(parts);
        format!("Content-Type: multipart/report; boundary=b\n\n{empty}--b\n{status}")
    };
    assert!(matches!(
        Report::read(many(PARTS_MAX - 1).as_bytes()),
        Report::Undelivered(_)
    ));
    assert!(matches!(Report::read(many(80_000).as_bytes()), Report::Other));
    let recipients =
        "\nFinal-Recipient: rfc822; ada@reader.example\nAction: failed\n".repeat(3 * RECIPIENTS_MAX);
    let crowd = format!("Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n{recipients}");
    let Report::Undelivered(undelivered) = Report::read(crowd.as_bytes()) else {
        panic!("not read")
    };
    assert_eq!(undelivered.failures.len(), RECIPIENTS_MAX);
}

fn key(secret: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret)
}

#[test]
fn a_return_path_of_another_key_or_with_another_digit_is_nobodys() {
    let (ours, other) = (key(b"ours"), key(b"other"));
    let path = ReturnPath {
        owner: 7,
        message: u128::MAX / 3,
        part: 2,
    };
    let local = path.encode(&ours);
    assert_eq!(local.len(), RETURN_PATH_OCTETS);
    assert!(local.len() <= 64);
    assert!(ReturnPath::decode(&local.to_ascii_uppercase(), &ours) == Some(path));
    assert!(ReturnPath::decode(&local, &other).is_none());
    for at in 0..local.len() {
        for digit in "0123456789abcdefghjkmnpqrstvwxyz".chars() {
            let mut changed = local.clone();
            changed.replace_range(at..=at, &digit.to_string());
            assert!(changed == local || ReturnPath::decode(&changed, &ours).is_none());
        }
    }
    for wrong in [
        "",
        "postmaster",
        &local[1..],
        &format!("{local}0"),
        &local.replace('0', "o"),
    ] {
        assert!(wrong == local || ReturnPath::decode(wrong, &ours).is_none());
    }
}

#[test]
fn two_messages_of_one_owner_do_not_show_it() {
    let ours = key(b"ours");
    let owner_of = |message| {
        ReturnPath {
            owner: 42,
            message,
            part: 0,
        }
        .encode(&ours)[..10]
            .to_owned()
    };
    assert_ne!(owner_of(1), owner_of(2));
}

proptest! {
    #[test]
    fn what_a_return_path_names_is_read_back(owner in 0..=OWNER_MAX, message: u128, part in 0..=PART_MAX) {
        let path = ReturnPath { owner, message, part };
        prop_assert!(ReturnPath::decode(&path.encode(&key(b"k")), &key(b"k")) == Some(path));
    }

    #[test]
    fn no_text_makes_reading_a_return_path_panic(text in ".{0,80}") {
        prop_assert!(ReturnPath::decode(&text, &key(b"k")).is_none());
    }

    #[test]
    fn no_octets_make_reading_a_report_panic(octets in vec(any::<u8>(), 0..2_000)) {
        let _ = Report::read(&octets);
    }

    /// Shuffled pieces of real reports reach where noise does not.
    #[test]
    fn no_shuffled_report_panics_or_passes_its_limits(pieces in vec(piece(), 0..60)) {
        match Report::read(&pieces.concat()) {
            Report::Undelivered(undelivered) => {
                prop_assert!(!undelivered.failures.is_empty() && undelivered.failures.len() <= RECIPIENTS_MAX);
                prop_assert!(undelivered.words.len() <= WORDS_OCTETS_MAX);
                for failure in &undelivered.failures {
                    prop_assert!(failure.reason.chars().count() <= REASON_CHARS_MAX);
                    prop_assert!(!failure.reason.chars().any(|c| matches!(c, '\r' | '\n')));
                }
            }
            Report::Complaint(complaint) => prop_assert!(complaint.words.len() <= WORDS_OCTETS_MAX),
            Report::Other => {}
        }
    }
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "Content-Type: multipart/report; boundary=b\r\n",
        "Content-Type: multipart/report; boundary=\"b",
        "Content-Type: message/delivery-status\r\n",
        "Content-Type: message/feedback-report\r\n",
        "Content-Transfer-Encoding: base64\r\n",
        "Content-Transfer-Encoding: quoted-printable\r\n",
        "--b\r\n",
        "--b--\r\n",
        "--b",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "Final-Recipient: rfc822; ada@reader.example\r\n",
        "Original-Recipient: rfc822;a+2B+4",
        "Action: failed\r\n",
        "Status: 5.1.1\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 é\r\n",
        "Feedback-Type: abuse\r\n",
        "Original-Mail-From: <x@y.example>\r\n",
        "I wasn't able to deliver your message to the following addresses\r\n",
        "<ghost@reader.example>:\r\n",
        "ghost@reader.example\r\n",
        "=C3=",
        "=\r\n",
        "QWN0aW9uOiBmYWlsZWQ=",
    ]);
    prop_oneof![
        9 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..40),
    ]
}
