//! What may and may not stand in a header.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use sealwright_mail::header::{ContentId, ContentType, FileName, HeaderError, HeaderName, HeaderText};

#[test]
fn ordinary_names_are_allowed() {
    for name in [
        "X-Campaign",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "Precedence",
        "In-Reply-To",
        "References",
        "Feedback-ID",
        "Auto-Submitted",
        "x",
        "Importance",
    ] {
        assert_eq!(HeaderName::parse(name).unwrap().as_str(), name);
    }
    assert!(HeaderName::parse(&"x".repeat(76)).is_ok());
}

#[test]
fn names_of_the_system_are_refused_in_any_case() {
    for name in [
        "From",
        "sender",
        "TO",
        "Cc",
        "Bcc",
        "Reply-To",
        "Subject",
        "Date",
        "Message-ID",
        "message-id",
        "MIME-Version",
        "Content-Type",
        "content-anything",
        "DKIM-Signature",
        "Return-Path",
        "Received",
        "Resent-From",
        "Resent-To",
        "ARC-Seal",
        "Authentication-Results",
        "Received-SPF",
    ] {
        assert_eq!(
            HeaderName::parse(name).err(),
            Some(HeaderError::NameReserved),
            "{name}"
        );
    }
}

#[test]
fn names_that_would_break_the_header_are_refused() {
    for name in [
        "",
        "X:",
        "X Y",
        "X\r\nBcc",
        "X\n",
        "X\0",
        "X\t",
        "\u{dc}ber",
        " X",
        "From ",
    ] {
        assert_eq!(HeaderName::parse(name).err(), Some(HeaderError::Name), "{name:?}");
    }
    assert_eq!(
        HeaderName::parse(&"x".repeat(77)).err(),
        Some(HeaderError::NameTooLong)
    );
}

#[test]
fn text_is_one_line_without_controls() {
    for text in [
        "a\rb",
        "a\nb",
        "a\r\nBcc: v@x.example",
        "a\0",
        "a\u{b}",
        "a\u{c}",
        "a\u{1b}",
        "a\u{7f}",
        "a\u{85}b",
        "a\u{9f}",
        "a\u{2028}b",
        "a\u{2029}b",
        "a\n",
    ] {
        assert_eq!(
            HeaderText::parse(text).err(),
            Some(HeaderError::Control),
            "{text:?}"
        );
    }
    assert_eq!(HeaderText::parse(" a\tb ").unwrap().as_str(), "a\tb");
    assert_eq!(HeaderText::parse("").unwrap().as_str(), "");
    assert!(HeaderText::parse(&"\u{1f600}".repeat(998)).is_ok());
    assert_eq!(
        HeaderText::parse(&"x".repeat(999)).err(),
        Some(HeaderError::TextTooLong)
    );
}

#[test]
fn structured_fields_take_ascii_only() {
    let list = HeaderName::parse("List-Unsubscribe").unwrap();
    let free = HeaderName::parse("X-Note").unwrap();
    let text = HeaderText::parse("<https://b\u{fc}cher.example>").unwrap();
    assert_eq!(list.check_value(&text), Err(HeaderError::NotAscii));
    assert_eq!(free.check_value(&text), Ok(()));
}

#[test]
fn file_names_are_bare_and_say_what_they_are() {
    for name in [
        "a.pdf",
        "R\u{e9}sum\u{e9}.pdf",
        "\u{8acb}\u{6c42}\u{66f8}.xlsx",
        "a;b\"c.txt",
        " x ",
    ] {
        assert_eq!(FileName::parse(name).unwrap().as_str(), name.trim());
    }
    for name in [
        "",
        " ",
        ".",
        "..",
        "../a",
        "a\\b",
        "a\r\nb",
        "a\0",
        "a\u{2028}b",
        "inv\u{202e}fdp.exe",
    ] {
        assert_eq!(
            FileName::parse(name).err(),
            Some(HeaderError::FileName),
            "{name:?}"
        );
    }
    assert!(FileName::parse(&"\u{e9}".repeat(255)).is_ok());
    assert_eq!(
        FileName::parse(&"a".repeat(256)).err(),
        Some(HeaderError::FileNameTooLong)
    );
}

#[test]
fn content_types_are_normalised() {
    for (input, expected) in [
        ("application/PDF", "application/pdf"),
        (
            " text/calendar ; Method=REQUEST;charset=\"utf-8\" ",
            "text/calendar; method=REQUEST; charset=utf-8",
        ),
        ("text/x;a=\"b c\\\"\"", "text/x; a=\"b c\\\"\""),
        ("text/plain;", "text/plain"),
        ("image/svg+xml", "image/svg+xml"),
    ] {
        assert_eq!(ContentType::parse(input).unwrap().as_str(), expected, "{input}");
    }
    for input in [
        "",
        "text",
        "text/",
        "/plain",
        "text/plain/x",
        "te xt/plain",
        "text/plain\r\nX: y",
        "text/plain; a=b\r\nBcc: c",
        "text/plain; a=\"b\r\nc\"",
        "text/plain; a",
        "text/plain; =b",
        "text/plain a=b",
        "text/plain; a=b c",
        "multipart/mixed",
        "Multipart/x; a=b",
        "application/pdf; name=x.pdf",
        "text/plain; boundary=x",
        "text/plain; name*0=x",
        "text/plain; a=\u{e9}",
        "t\u{e9}xt/plain",
    ] {
        assert_eq!(
            ContentType::parse(input).err(),
            Some(HeaderError::ContentType),
            "{input:?}"
        );
    }
}

#[test]
fn content_ids_fit_a_cid_address() {
    assert_eq!(ContentId::parse("<logo@x>").unwrap().as_str(), "logo@x");
    assert_eq!(ContentId::parse("logo.png").unwrap().as_str(), "logo.png");
    for id in [
        "",
        "<>",
        "a b",
        "a>\r\nX: y",
        "<a",
        "a%40",
        "\u{e9}",
        &"a".repeat(129),
    ] {
        assert_eq!(ContentId::parse(id).err(), Some(HeaderError::ContentId), "{id:?}");
    }
}
