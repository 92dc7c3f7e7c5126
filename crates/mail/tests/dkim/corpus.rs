//! Messages that have tripped signers: ends of bodies, white space, long lines, odd headers.

use sealwright_mail::address::Mailbox;
use sealwright_mail::compose::{Attachment, Draft, compose};
use sealwright_mail::header::{ContentId, ContentType, FileName, HeaderName, HeaderText};

/// Where the body begins.
pub(crate) fn body_start(message: &[u8]) -> usize {
    message.windows(4).position(|at| at == b"\r\n\r\n").unwrap() + 4
}

/// A fixed header over `body`.
pub(crate) fn body_message(body: &[u8]) -> Vec<u8> {
    let header = b"Date: Sun, 22 Nov 2026 11:52:07 +0000\r\nFrom: Shop <orders@example.com>\r\n\
        To: jane@example.net\r\nSubject: Bill\r\nMessage-ID: <em_1@example.com>\r\n\
        MIME-Version: 1.0\r\n\r\n";
    [header.as_slice(), body].concat()
}

/// Named messages, not yet signed.
pub(crate) fn messages() -> Vec<(String, Vec<u8>)> {
    let mut messages = Vec::new();
    for (index, body) in bodies().into_iter().enumerate() {
        messages.push((format!("body-{index:02}"), body_message(&body)));
    }
    for (index, header) in HEADERS.iter().enumerate() {
        let message = format!("From: a@example.com\r\n{header}\r\n\r\nHello\r\n");
        messages.push((format!("header-{index:02}"), message.into_bytes()));
    }
    for (index, (subject, text, html)) in CONTENTS.iter().enumerate() {
        for with_files in [false, true] {
            let name = format!("composed-{index:02}{}", if with_files { "-files" } else { "" });
            messages.push((name, composed(subject, *text, *html, with_files)));
        }
    }
    messages
}

fn bodies() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = [
        "",
        "\r\n",
        "\r\n\r\n\r\n",
        " \t\r\n",
        "\t\r\n \r\n\r\n",
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
        "..\r\n.a\r\n",
        "From here\r\n",
        "--boundary\r\n",
        "=20=\r\n=\r\n",
        "key: value\r\n\r\nkey: value\r\n",
        "8-bit: \u{fc}\u{e9} \u{8acb}\u{6c42}\u{66f8} \u{1f4c4}\r\n",
        "nbsp \u{a0} \u{3000}\r\n",
        "\u{2028}\u{85}\u{2029}\r\n",
        "v=1; b=abc; bh=def;\r\n",
    ]
    .into_iter()
    .map(|body| body.as_bytes().to_vec())
    .collect();
    bodies.push(format!("{}\r\n", "x".repeat(998)).into_bytes());
    bodies.push(format!("{}\r\n", "x ".repeat(499)).into_bytes());
    bodies.push(format!("{}\r\n", "long\t \tline  ".repeat(2000)).into_bytes());
    bodies.push("    <td>\tcell </td>\r\n".repeat(1000).into_bytes());
    bodies.push(format!("{}end\r\n", "\r\n".repeat(5000)).into_bytes());
    bodies.push(format!("start\r\n{}", " \r\n".repeat(5000)).into_bytes());
    bodies.push(b"latin-1 \xe4\xf6\xfc\xff\r\n".to_vec());
    bodies
}

const HEADERS: [&str; 12] = [
    "Subject: folded\r\n over\r\n\tthree lines",
    "Subject:\r\n starts on the next line",
    "Subject:no space",
    "Subject:",
    "Subject:   \t spaces   inside \t and after  ",
    "SUBJECT: upper case\r\ntO: x@example.net",
    "To: a@example.net,\r\n b@example.net,\r\n  c@example.net",
    "To: a@example.net\r\nTo: b@example.net\r\nTo: c@example.net",
    "Subject: =?utf-8?Q?=C3=BC?=\r\n =?utf-8?Q?=C3=A4?=",
    "Subject: raw \u{fc} in a header",
    "Received: from x by y;\r\n\tSun, 22 Nov 2026 11:52:07 +0000\r\nX-Empty:\r\nSubject: s",
    "List-Unsubscribe: <https://example.com/u>,\r\n <mailto:u@example.com>\r\n\
     List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nFeedback-ID: a:b:c:d\r\n\
     In-Reply-To: <a@b>\r\nReferences: <a@b>\r\n <c@d>",
];

const CONTENTS: [(&str, Option<&str>, Option<&str>); 8] = [
    ("Plain", Some("Hello\n"), None),
    ("", Some(""), None),
    ("Only HTML", None, Some("<p>Hello</p>")),
    (
        "Both \u{2013} \u{fc}",
        Some("Gr\u{fc}\u{df}e \n\n \t\n"),
        Some("<p>Gr\u{fc}\u{df}e</p>\n"),
    ),
    (
        "\u{8acb}\u{6c42}\u{66f8}",
        Some("\u{8acb}\u{6c42}\u{66f8}\r\n"),
        None,
    ),
    ("Ends in blank lines", Some("Hello \r\n\r\n \t\r\n\r\n"), None),
    ("Neither", None, None),
    (
        "Dots and From",
        Some(".\n..\nFrom x\n. \n"),
        Some("<pre>\n.\n</pre>"),
    ),
];

fn composed(subject: &str, text: Option<&str>, html: Option<&str>, with_files: bool) -> Vec<u8> {
    let from = Mailbox::parse("J\u{fc}rgen \u{2013} Shop <orders@example.com>").unwrap();
    let to = [Mailbox::parse("\"Doe, Jane\" <jane@example.net>").unwrap()];
    let long = "a long value with many words ".repeat(12);
    let headers = [
        (
            HeaderName::parse("X-Long").unwrap(),
            HeaderText::parse(&long).unwrap(),
        ),
        (
            HeaderName::parse("Feedback-ID").unwrap(),
            HeaderText::parse("a:b:c:d").unwrap(),
        ),
    ];
    let (name, kind) = (
        FileName::parse("R\u{e9}sum\u{e9}.pdf").unwrap(),
        ContentType::octet_stream(),
    );
    let id = ContentId::parse("logo").unwrap();
    let file = |content, content_id| Attachment {
        filename: &name,
        content_type: &kind,
        content,
        content_id,
    };
    let files = [
        file(&[0xFF_u8; 300], None),
        file(b"png", Some(&id)),
        file(b"", None),
    ];
    let message = compose(&Draft {
        from: &from,
        to: &to,
        cc: &[],
        reply_to: &to,
        subject: &HeaderText::parse(subject).unwrap(),
        message_id: "em_1@example.com",
        date_unix_s: 1_795_348_327,
        headers: &headers,
        text,
        html,
        amp: None,
        attachments: if with_files { &files } else { &[] },
        boundary_seed: "em_1",
    });
    assert_eq!(message.body_start, body_start(&message.bytes));
    message.bytes
}
