//! Reports on TLS (RFC 8460): what is read in them, and what no stranger can do with one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use sealwright_mail::report::tls::{
    FAILURES_MAX, POLICIES_MAX, PolicyKind, SESSIONS_MAX, TEXT_OCTETS_MAX, TlsReport, TlsReportError,
    tls_report_submitter,
};
use serde_json::{Value, json};
use std::io::Write as _;

/// A report in the form of RFC 8460's appendix B, about a made-up domain.
fn report() -> Value {
    json!({
        "organization-name": "Portal",
        "date-range": {"start-datetime": "2026-11-24T00:00:00Z", "end-datetime": "2026-11-24T23:59:59Z"},
        "contact-info": "tls@portal.example",
        "report-id": "2026-11-24T00:00:00Z_return.house.example",
        "policies": [{
            "policy": {
                "policy-type": "sts", "policy-string": ["version: STSv1", "mode: testing"],
                "policy-domain": "Return.House.Example.", "mx-host": ["*.mail.house.example"],
            },
            "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
            "failure-details": [
                {"result-type": "certificate-expired", "sending-mta-ip": "2001:db8::1", "failed-session-count": 100},
                {"result-type": "starttls-not-supported", "failed-session-count": 200},
                {"result-type": "certificate-expired", "failed-session-count": 1},
                {"result-type": "x-of-our-own", "failed-session-count": 1},
            ],
        }],
    })
}

fn packed(octets: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

fn mail(kind: &str, octets: &[u8]) -> Vec<u8> {
    let body = STANDARD.encode(octets);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "From: Reports <tls@portal.example>\r\nTLS-Report-Domain: return.house.example\r\n\
         Content-Type: multipart/report; report-type=\"tlsrpt\"; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n\
         A report.\r\n--b\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\n",
        lines.join("\r\n")
    )
    .into_bytes()
}

fn parsed(report: &Value) -> Result<TlsReport, TlsReportError> {
    TlsReport::parse(report.to_string().as_bytes())
}

#[test]
fn a_report_is_read_packed_and_unpacked() {
    let json = report().to_string();
    let told = TlsReport::of_message(&mail("application/tlsrpt+gzip", &packed(json.as_bytes()))).unwrap();
    let plain = TlsReport::of_message(&mail("application/tlsrpt+json", json.as_bytes())).unwrap();
    assert_eq!(told, plain);
    assert_eq!(told.id, "2026-11-24T00:00:00Z_return.house.example");
    assert_eq!(told.start, "2026-11-24T00:00:00Z");
    let [policy] = told.policies.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(
        (policy.kind, policy.domain.as_str(), policy.successful),
        (PolicyKind::Sts, "return.house.example", 5326)
    );
    let failures: Vec<(&str, u64)> = policy
        .failures
        .iter()
        .map(|failure| (failure.result, failure.sessions))
        .collect();
    // One failure is counted and not explained.
    assert_eq!(
        failures,
        [
            ("certificate-expired", 101),
            ("starttls-not-supported", 200),
            ("other", 1),
            ("unspecified", 1)
        ]
    );
}

#[test]
fn the_submitter_is_who_the_header_names() {
    let named = b"From: Reports <tls@mail.portal.example>\r\nTLS-Report-Submitter: Portal.Example\r\n\r\n";
    assert_eq!(tls_report_submitter(named).as_deref(), Some("portal.example"));
    let author = b"From: \"a@b\" <tls@mail.portal.example>\r\n\r\n";
    assert_eq!(
        tls_report_submitter(author).as_deref(),
        Some("mail.portal.example")
    );
    assert_eq!(tls_report_submitter(b"Subject: none\r\n\r\n"), None);
}

#[test]
fn what_is_no_report_is_refused() {
    let json = report().to_string();
    let whole = packed(json.as_bytes());
    for (octets, kind, why) in [
        (json.as_bytes(), "application/json", TlsReportError::Absent),
        (
            json.as_bytes(),
            "application/tlsrpt+gzip",
            TlsReportError::Packing,
        ),
        (
            &whole[..whole.len() / 2],
            "application/tlsrpt+gzip",
            TlsReportError::Packing,
        ),
        (
            &whole[..whole.len() - 1],
            "application/tlsrpt+gzip",
            TlsReportError::Packing,
        ),
        (
            &json.as_bytes()[..200],
            "application/tlsrpt+json",
            TlsReportError::Form,
        ),
        (b"", "application/tlsrpt+json", TlsReportError::Form),
    ] {
        assert_eq!(TlsReport::of_message(&mail(kind, octets)), Err(why), "{kind}");
    }
    let too_many = SESSIONS_MAX + 1;
    let long = "x".repeat(TEXT_OCTETS_MAX + 1);
    for (place, value) in [
        ("/report-id", json!(long)),
        ("/report-id", json!("")),
        ("/policies/0/policy/policy-domain", json!(long)),
        ("/policies/0/summary/total-failure-session-count", json!(too_many)),
        ("/policies/0/summary/total-failure-session-count", json!(-1)),
        ("/policies/0/summary/total-failure-session-count", json!("303")),
        ("/date-range", json!(null)),
        ("/policies", json!({})),
    ] {
        let mut changed = report();
        *changed.pointer_mut(place).unwrap() = value;
        assert_eq!(parsed(&changed), Err(TlsReportError::Form), "{place}");
    }
}

#[test]
fn lists_without_an_end_are_given_up() {
    let mut report = report();
    let policy = report["policies"][0].clone();
    let with = |count: usize| json!(vec![policy.clone(); count]);
    report["policies"] = with(POLICIES_MAX);
    assert_eq!(parsed(&report).unwrap().policies.len(), POLICIES_MAX);
    report["policies"] = with(POLICIES_MAX + 1);
    assert_eq!(parsed(&report), Err(TlsReportError::Form));
    let failure = policy["failure-details"][0].clone();
    report["policies"] = with(1);
    report["policies"][0]["failure-details"] = json!(vec![failure; FAILURES_MAX + 1]);
    assert_eq!(parsed(&report), Err(TlsReportError::Form));
    // As many as ten megabytes hold, none of them more than a bracket: refused at the first.
    let many = format!("{{\"policies\":[{}]}}", vec!["{}"; 100_000].join(","));
    assert_eq!(TlsReport::parse(many.as_bytes()), Err(TlsReportError::Form));
    let deep = format!("{{\"x\":{}", "[".repeat(1_000_000));
    assert_eq!(TlsReport::parse(deep.as_bytes()), Err(TlsReportError::Form));
}

#[test]
fn what_unpacks_without_an_end_is_given_up() {
    let bomb = packed(&vec![b' '; 64 * 1024 * 1024]);
    assert!(bomb.len() < 100_000);
    let message = mail("application/tlsrpt+gzip", &bomb);
    assert_eq!(TlsReport::of_message(&message), Err(TlsReportError::TooLarge));
    // A report with blanks behind it is too many times its size, though it is small.
    let padded = format!("{}{}", report(), " ".repeat(200_000));
    let message = mail("application/tlsrpt+gzip", &packed(padded.as_bytes()));
    assert_eq!(TlsReport::of_message(&message), Err(TlsReportError::TooLarge));
    let message = mail("application/tlsrpt+json", &vec![b' '; 1024 * 1024 + 1]);
    assert_eq!(TlsReport::of_message(&message), Err(TlsReportError::TooLarge));
}

proptest! {
    #[test]
    fn no_octets_bring_the_reader_down(octets in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = TlsReport::parse(&octets);
        for kind in ["application/tlsrpt+gzip", "application/tlsrpt+json"] {
            let told = TlsReport::of_message(&mail(kind, &octets));
            prop_assert!(told.is_err(), "{told:?}");
        }
        let _ = tls_report_submitter(&octets);
    }

    #[test]
    fn failures_add_up_to_what_was_counted(counts in prop::collection::vec(0..=SESSIONS_MAX, 0..20), total in 0..=SESSIONS_MAX) {
        let mut report = report();
        let details = counts.iter().map(|count| json!({"result-type": "tlsa-invalid", "failed-session-count": count}));
        report["policies"][0]["failure-details"] = details.collect();
        report["policies"][0]["summary"]["total-failure-session-count"] = json!(total);
        let told = parsed(&report).unwrap();
        let sum: u64 = told.policies[0].failures.iter().map(|failure| failure.sessions).sum();
        prop_assert_eq!(sum, total.max(counts.iter().sum()));
    }
}
