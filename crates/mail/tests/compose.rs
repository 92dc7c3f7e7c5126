//! Messages as they go out: structure, encodings, and nothing but the intended fields.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use proptest::prelude::*;
use sealwright_mail::address::Mailbox;
use sealwright_mail::compose::{Attachment, Draft, Message, compose, with_date};
use sealwright_mail::header::{ContentId, ContentType, FileName, HeaderName, HeaderText};

/// An owned draft with something in every place, for tests to change one place of.
struct Sample {
    from: Mailbox,
    to: Vec<Mailbox>,
    cc: Vec<Mailbox>,
    reply_to: Vec<Mailbox>,
    subject: String,
    message_id: String,
    headers: Vec<(String, String)>,
    text: Option<String>,
    html: Option<String>,
    files: Vec<(String, String, Vec<u8>, Option<String>)>,
    seed: String,
}

fn sample() -> Sample {
    Sample {
        from: Mailbox::parse("Shop <orders@example.com>").unwrap(),
        to: vec![Mailbox::parse("jane@example.net").unwrap()],
        cc: vec![],
        reply_to: vec![],
        subject: "Your order".to_owned(),
        message_id: "em_1@example.com".to_owned(),
        headers: vec![],
        text: Some("Hello\n".to_owned()),
        html: None,
        files: vec![],
        seed: "em_1".to_owned(),
    }
}

impl Sample {
    fn compose(&self) -> Message {
        let subject = HeaderText::parse(&self.subject).unwrap();
        let headers: Vec<_> = (self.headers.iter())
            .map(|(name, value)| {
                (
                    HeaderName::parse(name).unwrap(),
                    HeaderText::parse(value).unwrap(),
                )
            })
            .collect();
        let files: Vec<_> = (self.files.iter())
            .map(|(name, kind, _, id)| {
                let id = id.as_ref().map(|id| ContentId::parse(id).unwrap());
                (
                    FileName::parse(name).unwrap(),
                    ContentType::parse(kind).unwrap(),
                    id,
                )
            })
            .collect();
        let attachments: Vec<_> = (files.iter().zip(&self.files))
            .map(|((filename, content_type, id), (_, _, content, _))| Attachment {
                filename,
                content_type,
                content,
                content_id: id.as_ref(),
            })
            .collect();
        compose(&Draft {
            from: &self.from,
            to: &self.to,
            cc: &self.cc,
            reply_to: &self.reply_to,
            subject: &subject,
            message_id: &self.message_id,
            date_unix_s: 1_795_348_327,
            headers: &headers,
            text: self.text.as_deref(),
            html: self.html.as_deref(),
            amp: None,
            attachments: &attachments,
            boundary_seed: &self.seed,
        })
    }

    fn text(&self) -> String {
        String::from_utf8(self.compose().bytes).unwrap()
    }
}

/// Fields of a header section, unfolded, names in lower case.
fn fields(message: &Message) -> Vec<(String, String)> {
    let header = std::str::from_utf8(&message.bytes[..message.body_start]).unwrap();
    let section = header.strip_suffix("\r\n\r\n").unwrap();
    let unfolded = section.replace("\r\n ", " ").replace("\r\n\t", "\t");
    (unfolded.split("\r\n"))
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect()
}

fn field(message: &Message, name: &str) -> String {
    fields(message)
        .into_iter()
        .find(|(found, _)| found == name)
        .unwrap()
        .1
}

/// Decodes RFC 2047 text as a reader would, white space between encoded-words dropped.
fn decoded(value: &str) -> String {
    let mut out = Vec::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("=?utf-8?") {
        if !before.trim().is_empty() || out.is_empty() {
            out.extend_from_slice(before.as_bytes());
        }
        let (payload, later) = after[2..].split_once("?=").unwrap();
        assert!(payload.len() + 12 <= 75);
        if after.starts_with('B') {
            use base64::Engine as _;
            let bytes = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
            std::str::from_utf8(&bytes).expect("an encoded-word holds whole characters");
            out.extend_from_slice(&bytes);
        } else {
            let bytes = decoded_escapes(&payload.replace('_', " "), '=');
            std::str::from_utf8(&bytes).expect("an encoded-word holds whole characters");
            out.extend_from_slice(&bytes);
        }
        rest = later;
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8(out).unwrap()
}

fn decoded_escapes(text: &str, mark: char) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(mark) {
        out.extend_from_slice(before.as_bytes());
        out.push(u8::from_str_radix(&after[..2], 16).unwrap());
        rest = &after[2..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// What holds for every message, whatever went in.
fn assert_wire_safe(message: &Message) {
    let bytes = &message.bytes;
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(bytes.get(index + 1), Some(&b'\n'), "bare CR"),
            b'\n' => assert_eq!(bytes[index - 1], b'\r', "bare LF"),
            0 => panic!("NUL"),
            _ => {}
        }
    }
    for line in bytes.split(|byte| *byte == b'\n') {
        assert!(line.len() <= 999, "line of {}", line.len());
    }
    assert!(bytes.ends_with(b"\r\n"));
    assert!(bytes[..message.body_start].ends_with(b"\r\n\r\n"));
    assert!(bytes[message.body_start..].is_ascii());
    assert!(message.needs_smtputf8 || bytes.is_ascii());
    let header = &bytes[..message.body_start - 4];
    assert!(!header.windows(4).any(|at| at == b"\r\n\r\n"));
    for line in header.split(|byte| *byte == b'\n') {
        assert!(!line.trim_ascii().is_empty(), "a line of white space only");
    }
}

#[test]
fn plain_message_is_exactly_this() {
    let mut sample = sample();
    sample.cc = vec![Mailbox::parse("\"Doe, J\" <j@example.net>").unwrap()];
    sample.reply_to = vec![Mailbox::parse("help@example.com").unwrap()];
    sample.headers = vec![("X-Order".to_owned(), "7".to_owned())];
    assert_eq!(
        sample.text(),
        "Date: Sun, 22 Nov 2026 11:52:07 +0000\r\n\
         From: Shop <orders@example.com>\r\n\
         Reply-To: help@example.com\r\n\
         To: jane@example.net\r\n\
         Cc: \"Doe, J\" <j@example.net>\r\n\
         Subject: Your order\r\n\
         Message-ID: <em_1@example.com>\r\n\
         X-Order: 7\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 7bit\r\n\
         \r\n\
         Hello\r\n"
    );
}

#[test]
fn all_parts_nest_as_readers_expect() {
    let mut sample = sample();
    sample.html = Some("<img src=\"cid:logo\">".to_owned());
    let file = |name: &str, id: Option<&str>| {
        (
            name.to_owned(),
            "image/png".to_owned(),
            b"png".to_vec(),
            id.map(str::to_owned),
        )
    };
    sample.files = vec![file("logo.png", Some("logo")), file("chart.png", None)];
    let text = sample.text();
    let order: Vec<_> = (text.lines())
        .filter_map(|line| {
            line.strip_prefix("Content-")
                .filter(|line| !line.starts_with("Tran"))
        })
        .collect();
    assert_eq!(
        order,
        [
            "Type: multipart/mixed;",
            "Type: multipart/alternative;",
            "Type: text/plain; charset=utf-8",
            "Type: multipart/related;",
            "Type: text/html; charset=utf-8",
            "Type: image/png",
            "Disposition: inline;",
            "ID: <logo>",
            "Type: image/png",
            "Disposition: attachment;",
        ]
    );
    let boundaries: Vec<_> = (text.split("boundary=\"").skip(1))
        .map(|rest| rest.split_once('"').unwrap().0)
        .collect();
    assert_eq!(boundaries.len(), 3);
    for boundary in boundaries {
        assert_eq!(text.matches(&format!("\r\n--{boundary}--\r\n")).count(), 1);
        assert_eq!(text.matches(&format!("\r\n--{boundary}\r\n")).count(), 2);
    }
}

#[test]
fn another_date_changes_nothing_else() {
    let sample = sample();
    let before = sample.compose();
    let after = with_date(&before.bytes, 1_709_251_199);
    let text = String::from_utf8(after.clone()).unwrap();
    let (date, rest) = text.split_once("\r\n").unwrap();
    assert_eq!(date, "Date: Thu, 29 Feb 2024 23:59:59 +0000");
    assert!(sample.text().ends_with(rest) && sample.text().len() == text.len());
    for foreign in [&b""[..], b"Date: no end", b"Subject: x\r\nDate: y\r\n\r\n"] {
        assert_eq!(with_date(foreign, 0), foreign);
    }
}

#[test]
fn inline_file_without_html_is_an_ordinary_file() {
    let mut sample = sample();
    sample.files = vec![("a.png".into(), "image/png".into(), vec![1], Some("a".into()))];
    let text = sample.text();
    assert!(text.contains("multipart/mixed") && !text.contains("related"));
    assert!(text.contains("Content-Disposition: attachment;"));
}

#[test]
fn same_draft_gives_the_same_bytes_and_another_seed_other_boundaries() {
    let mut sample = sample();
    sample.html = Some("<p>Hello</p>".to_owned());
    let first = sample.compose().bytes;
    assert_eq!(first, sample.compose().bytes);
    sample.seed.push('x');
    assert_ne!(first, sample.compose().bytes);
}

#[test]
fn body_that_holds_the_boundary_is_encoded() {
    let mut sample = sample();
    sample.html = Some("<p>Hello</p>".to_owned());
    let text = sample.text();
    let boundary = text
        .split("boundary=\"")
        .nth(1)
        .unwrap()
        .split_once('"')
        .unwrap()
        .0;
    sample.text = Some(format!("a\n--{boundary}--\nb\n"));
    let text = sample.text();
    assert_eq!(text.matches(&format!("--{boundary}--")).count(), 1);
    assert!(text.contains("\r\n--=3D_"));
}

#[test]
fn body_encoding_is_the_lightest_that_is_safe() {
    let long = "x".repeat(999);
    let german = "Gr\u{fc}\u{df}e aus K\u{f6}ln, wir haben die Bestellung verschickt.";
    for (text, encoding, contains) in [
        ("a\tb", "7bit", "a\tb\r\n"),
        ("a\r\nb\rc\nd", "7bit", "a\r\nb\r\nc\r\nd\r\n"),
        (".\n..\n", "7bit", "\r\n.\r\n..\r\n"),
        (german, "quoted-printable", "Gr=C3=BC=C3=9Fe"),
        ("From here\n", "quoted-printable", "\r\n=46rom here\r\n"),
        ("a\0b and more text", "quoted-printable", "a=00b"),
        ("\u{e9} and more text \n", "quoted-printable", "more text=20\r\n"),
        (&long, "quoted-printable", "xxxx=\r\nxxxx"),
        (
            "\u{42f} \u{43f}\u{43e}\u{43b}\u{443}\u{447}\u{438}\u{43b}",
            "base64",
            "0K8g0L/QvtC70YPRh9C40Ls=\r\n",
        ),
    ] {
        let mut sample = sample();
        sample.text = Some(text.to_owned());
        let message = sample.compose();
        assert_wire_safe(&message);
        assert_eq!(
            field(&message, "content-transfer-encoding"),
            encoding,
            "{text:.20}"
        );
        let text = String::from_utf8(message.bytes).unwrap();
        assert!(text.contains(contains), "{text}");
    }
}

#[test]
fn empty_body_ends_with_the_header() {
    let mut sample = sample();
    sample.text = None;
    let message = sample.compose();
    assert_eq!(message.body_start, message.bytes.len());
    assert_wire_safe(&message);
}

#[test]
fn names_and_subjects_beyond_ascii_are_encoded() {
    let mut sample = sample();
    sample.from = Mailbox::parse("J\u{fc}rgen M\u{fc}ller <j@example.com>").unwrap();
    sample.subject = "\u{8acb}\u{6c42}\u{66f8} \u{1f4c4} ".repeat(60);
    let message = sample.compose();
    assert_wire_safe(&message);
    assert_eq!(
        field(&message, "from"),
        "=?utf-8?B?SsO8cmdlbiBNw7xsbGVy?= <j@example.com>"
    );
    assert_eq!(decoded(&field(&message, "subject")), sample.subject.trim());
    for line in message.bytes[..message.body_start].split(|byte| *byte == b'\n') {
        assert!(line.len() <= 77);
    }
}

#[test]
fn text_that_looks_encoded_is_shown_as_it_is() {
    let mut sample = sample();
    let trick = "=?utf-8?Q?=0D=0ABcc=3A_v=40x.example?=";
    sample.subject = trick.to_owned();
    sample.from = Mailbox::from_parts("a@example.com", Some(trick)).unwrap();
    sample.headers = vec![
        ("X-Note".to_owned(), trick.to_owned()),
        (
            "List-Unsubscribe".to_owned(),
            "<https://example.com/u?a=?&b=?=>".to_owned(),
        ),
    ];
    let message = sample.compose();
    assert_eq!(decoded(&field(&message, "subject")), trick);
    assert_eq!(
        decoded(&field(&message, "from")),
        format!("{trick} <a@example.com>")
    );
    assert_eq!(decoded(&field(&message, "x-note")), trick);
    assert_eq!(
        field(&message, "list-unsubscribe"),
        "<https://example.com/u?a=?&b=?=>"
    );
}

#[test]
fn address_beyond_ascii_needs_smtputf8_and_nothing_else_does() {
    let mut sample = sample();
    sample.subject = "\u{fc}".to_owned();
    sample.cc = vec![Mailbox::parse("x@b\u{fc}cher.example").unwrap()];
    assert!(!sample.compose().needs_smtputf8);
    sample
        .cc
        .push(Mailbox::parse("\u{7528}\u{6237} <\u{7528}\u{6237}@example.net>").unwrap());
    let message = sample.compose();
    assert!(message.needs_smtputf8);
    assert!(field(&message, "cc").ends_with("<\u{7528}\u{6237}@example.net>"));
    assert!(message.bytes[message.body_start..].is_ascii());
}

#[test]
fn long_address_lists_fold_between_addresses() {
    let mut sample = sample();
    sample.to = (0..50)
        .map(|n| Mailbox::parse(&format!("Person {n} <person.number.{n}@example.net>")).unwrap())
        .collect();
    let message = sample.compose();
    assert_wire_safe(&message);
    for line in message.bytes[..message.body_start].split(|byte| *byte == b'\n') {
        assert!(line.len() <= 79);
    }
    let names: Vec<_> = sample.to.iter().map(Mailbox::to_display_string).collect();
    assert_eq!(field(&message, "to"), names.join(", "));
}

#[test]
fn white_space_inside_text_survives_folding() {
    let mut sample = sample();
    let value = format!(
        "{}   \t{}  {}\t{}",
        "a".repeat(60),
        "b".repeat(60),
        "c",
        "d".repeat(60)
    );
    sample.headers = vec![
        ("X-Long".to_owned(), value.clone()),
        ("X-Empty".to_owned(), String::new()),
    ];
    let text = sample.text();
    assert!(
        text.replace("\r\n ", " ")
            .replace("\r\n\t", "\t")
            .contains(&value)
    );
    assert!(text.contains("\r\nX-Empty:\r\n"));
}

#[test]
fn longest_values_stay_within_the_line_limit() {
    let mut sample = sample();
    let one_word = "x".repeat(998);
    let gap = format!("a{}b", " ".repeat(996));
    sample.headers = vec![
        ("X".repeat(76), one_word.clone()),
        ("List-Unsubscribe".to_owned(), one_word[..997].to_owned()),
        ("References".to_owned(), one_word.clone()),
        ("X-Gap".to_owned(), gap),
    ];
    let name = "n".repeat(256);
    sample.from = Mailbox::from_parts("a@example.com", Some(&name)).unwrap();
    let message = sample.compose();
    assert_wire_safe(&message);
    assert_eq!(
        decoded(&field(&message, "from")),
        format!("{name} <a@example.com>")
    );
    assert_eq!(decoded(&field(&message, "references")), one_word);
    assert_eq!(field(&message, "list-unsubscribe"), &one_word[..997]);
}

#[test]
fn file_names_have_a_plain_and_a_full_form() {
    let long = format!("{}.pdf", "\u{8acb}".repeat(251));
    for (name, plain) in [
        ("report.pdf", "\"report.pdf\""),
        ("a \"b\" c.txt", "\"a \\\"b\\\" c.txt\""),
        ("R\u{e9}sum\u{e9}.pdf", "\"R_sum_.pdf\""),
        ("=?utf-8?Q?a?=.pdf", "\"=_utf-8_Q_a_=.pdf\""),
        (long.as_str(), "\"____"),
    ] {
        let mut sample = sample();
        sample.files = vec![(name.to_owned(), "application/pdf".to_owned(), vec![0; 100], None)];
        let message = sample.compose();
        assert_wire_safe(&message);
        let text = String::from_utf8(message.bytes).unwrap();
        assert!(text.contains(&format!(";\r\n filename={plain}")), "{text}");
        let joined: String = (text.lines())
            .filter_map(|line| line.trim().strip_prefix("filename*"))
            .map(|line| line.split_once('=').unwrap().1.trim_end_matches(';'))
            .collect();
        if plain.contains('_') {
            let full = joined.strip_prefix("utf-8''").unwrap();
            assert_eq!(String::from_utf8(decoded_escapes(full, '%')).unwrap(), name);
        } else {
            assert_eq!(joined, "");
        }
    }
}

#[test]
fn attached_message_stands_as_it_is_or_goes_as_plain_bytes() {
    let mut sample = sample();
    let mail = |content: &[u8]| {
        vec![(
            "m.eml".to_owned(),
            "message/rfc822".to_owned(),
            content.to_vec(),
            None,
        )]
    };
    sample.files = mail(b"Subject: x\r\n\r\nhi\r\n");
    assert!(sample.text().contains("message/rfc822\r\n"));
    assert!(sample.text().contains("\r\n\r\nSubject: x\r\n\r\nhi\r\n"));
    for unsafe_content in [
        &b"Subject: x\n\nhi\n"[..],
        b"Subject: \xfc\r\n\r\n",
        b"--=_x\r\n",
        b"a\r",
    ] {
        sample.files = mail(unsafe_content);
        let message = sample.compose();
        assert_wire_safe(&message);
        let text = String::from_utf8(message.bytes).unwrap();
        assert!(text.contains("application/octet-stream") && !text.contains("rfc822"));
    }
}

#[test]
fn wrong_message_id_adds_no_field() {
    let mut sample = sample();
    sample.message_id = format!("a@b>\r\nBcc: v@x.example\r\n\u{e9}{}", "x".repeat(2000));
    let message = sample.compose();
    assert_wire_safe(&message);
    assert!(fields(&message).iter().all(|(name, _)| name != "bcc"));
}

/// Text with everything that has ever broken a header.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "\r\n",
        "\r",
        "\n",
        "\r\n\r\n",
        "\r\n.\r\n",
        "\n.\n",
        "\r\nBcc: v@x.example",
        ":",
        "\0",
        "\u{85}",
        "\u{2028}",
        "=?utf-8?Q?",
        "?=",
        "=0D=0A",
        "\"",
        "\\",
        "<",
        ">",
        ",",
        " ",
        "  ",
        "\t",
        "\u{fc}",
        "\u{1f4c4}",
        "word",
        "--=_",
        "From ",
        "From: a@b.example",
        "=",
        "%0d%0a",
        "a-word-that-is-longer-than-most-others-and-fills-a-good-part-of-a-line",
    ]);
    prop_oneof![
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat()),
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn header_has_exactly_the_intended_fields(
        name in hostile(), subject in hostile(), value in hostile(), id in hostile(),
        text in prop::option::of(hostile()), html in prop::option::of(hostile()),
        file in hostile(), content in prop::collection::vec(any::<u8>(), 0..200), kind in 0..3_u8,
    ) {
        let mut sample = sample();
        // What the types refuse can't get here; what they take has to be safe.
        if let Ok(from) = Mailbox::from_parts("a@example.com", Some(&name)) {
            sample.from = from;
        }
        if HeaderText::parse(&subject).is_ok() {
            sample.subject = subject;
        }
        if HeaderText::parse(&value).is_ok() {
            sample.headers.push(("X-Note".to_owned(), value.clone()));
            sample.headers.push(("List-Help".to_owned(), value));
        }
        let extra = sample.headers.len();
        (sample.message_id, sample.seed) = (id.clone(), id);
        (sample.text, sample.html) = (text, html);
        if FileName::parse(&file).is_ok() {
            let content_type = ["message/rfc822", "text/plain", "application/pdf"][usize::from(kind)];
            let id = (kind == 1).then(|| "x".to_owned());
            sample.files.push((file, content_type.to_owned(), content, id));
        }
        let message = sample.compose();
        assert_wire_safe(&message);
        let mut names: Vec<_> = fields(&message).into_iter().map(|(name, _)| name).collect();
        names.retain(|name| name != "content-transfer-encoding");
        let mut expected = vec!["date", "from", "to", "subject", "message-id"];
        expected.extend(["x-note", "list-help"].iter().take(extra));
        expected.extend(["mime-version", "content-type"]);
        prop_assert_eq!(names, expected);
        prop_assert_eq!(decoded(&field(&message, "subject")).replace('\t', " "), sample.subject.trim_matches([' ', '\t']).replace('\t', " "));
    }
}
