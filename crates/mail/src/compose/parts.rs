//! The body: which parts there are, how they nest, how each is written.
//!
//! ```text
//! mixed                       when there are files
//! ├─ alternative              when there are both text and HTML
//! │  ├─ text/plain
//! │  ├─ text/x-amp-html       before HTML: readers without AMP show the last part that they know
//! │  └─ related               when the HTML has inline files
//! │     ├─ text/html
//! │     └─ inline files
//! └─ files
//! ```
//!
//! A mail whose one file is a report of TLS (RFC 8460 §5.3) is a `report` instead of `mixed`.

use super::{Attachment, Draft};
use crate::encode::{BodyText, Field, Transfer, is_seven_bit, push_base64, push_file_name};
use aws_lc_rs::digest;

/// Octets of the seed's digest in a boundary: enough that two messages never share one.
const BOUNDARY_DIGEST_OCTETS: usize = 12;

/// What a report of TLS is.
const TLS_REPORT: &str = "application/tlsrpt+gzip";

/// Appends the fields that describe the body, the empty line and the body; returns where it begins.
pub(super) fn push(out: &mut Vec<u8>, draft: &Draft<'_>) -> usize {
    let mut writer = Writer {
        out,
        seed: draft.boundary_seed,
        body_start: None,
        is_open: false,
    };
    writer.entity(draft);
    let Writer { out, body_start, .. } = writer;
    let body_start = body_start.unwrap_or(out.len());
    // SMTP ends the message with CRLF anyway; writing it here keeps what is signed what is sent.
    if out.len() > body_start && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    body_start
}

struct Writer<'o, 'd> {
    out: &'o mut Vec<u8>,
    seed: &'d str,
    body_start: Option<usize>,
    /// Set between a multipart's fields and its first part.
    is_open: bool,
}

impl Writer<'_, '_> {
    fn entity(&mut self, draft: &Draft<'_>) {
        // Without HTML nothing can refer to an inline file, so it becomes an ordinary one.
        let is_inline = |file: &&Attachment<'_>| file.content_id.is_some() && draft.html.is_some();
        let inline: Vec<_> = draft.attachments.iter().filter(is_inline).collect();
        let files: Vec<_> = draft.attachments.iter().filter(|file| !is_inline(file)).collect();
        if files.is_empty() {
            return self.content(draft, &inline);
        }
        let boundary = match files.as_slice() {
            [file] if file.content_type.as_str() == TLS_REPORT => {
                self.open("report", "report-type=\"tlsrpt\";\r\n ")
            }
            _ => self.open("mixed", ""),
        };
        if draft.text.is_some() || draft.html.is_some() {
            self.delimit(&boundary);
            self.content(draft, &inline);
        }
        for file in files {
            self.delimit(&boundary);
            self.file(file, "attachment");
        }
        self.close(&boundary);
    }

    fn content(&mut self, draft: &Draft<'_>, inline: &[&Attachment<'_>]) {
        let Some(html) = draft.html else {
            return self.text("plain", draft.text.unwrap_or_default());
        };
        if draft.text.is_none() && draft.amp.is_none() {
            return self.html(html, inline);
        }
        let boundary = self.open("alternative", "");
        for (subtype, part) in [("plain", draft.text), ("x-amp-html", draft.amp)] {
            if let Some(part) = part {
                self.delimit(&boundary);
                self.text(subtype, part);
            }
        }
        self.delimit(&boundary);
        self.html(html, inline);
        self.close(&boundary);
    }

    fn html(&mut self, html: &str, inline: &[&Attachment<'_>]) {
        if inline.is_empty() {
            return self.text("html", html);
        }
        let boundary = self.open("related", "type=\"text/html\";\r\n ");
        self.delimit(&boundary);
        self.text("html", html);
        for file in inline {
            self.delimit(&boundary);
            self.file(file, "inline");
        }
        self.close(&boundary);
    }

    fn text(&mut self, subtype: &str, text: &str) {
        let body = BodyText::new(text);
        self.push(&["Content-Type: text/", subtype, "; charset=utf-8\r\n"]);
        self.transfer(body.transfer());
        self.end_of_fields();
        body.push(self.out);
    }

    fn file(&mut self, file: &Attachment<'_>, disposition: &str) {
        let (content_type, transfer) = presentation(file);
        let mut field = Field::start(self.out, "Content-Type");
        field.structured(content_type);
        field.end();
        self.push(&["Content-Disposition: ", disposition]);
        push_file_name(self.out, file.filename.as_str());
        self.push(&["\r\n"]);
        if let Some(id) = file.content_id {
            self.push(&["Content-ID: <", id.as_str(), ">\r\n"]);
        }
        self.transfer(transfer);
        self.end_of_fields();
        if transfer == Transfer::SevenBit {
            self.out.extend_from_slice(file.content);
        } else {
            push_base64(self.out, file.content);
        }
    }

    /// Begins a multipart entity and returns its boundary.
    fn open(&mut self, subtype: &str, parameter: &str) -> String {
        let boundary = self.boundary(subtype);
        self.push(&[
            "Content-Type: multipart/",
            subtype,
            ";\r\n ",
            parameter,
            "boundary=\"",
        ]);
        self.push(&[&boundary, "\"\r\n"]);
        self.end_of_fields();
        self.is_open = true;
        boundary
    }

    /// The line break before the delimiter belongs to it (RFC 2046 §5.1.1), not to the part.
    fn delimit(&mut self, boundary: &str) {
        let line_break = if std::mem::take(&mut self.is_open) {
            ""
        } else {
            "\r\n"
        };
        self.push(&[line_break, "--", boundary, "\r\n"]);
    }

    fn close(&mut self, boundary: &str) {
        self.push(&["\r\n--", boundary, "--\r\n"]);
    }

    /// No part can contain it: encoded parts have no `=_`, and a part sent as it stands has no line
    /// that begins with `--=_` (see [`is_seven_bit`]).
    fn boundary(&self, subtype: &str) -> String {
        use std::fmt::Write as _;
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(subtype.as_bytes());
        context.update(b"\0");
        context.update(self.seed.as_bytes());
        let mut boundary = String::from("=_");
        for byte in context.finish().as_ref().iter().take(BOUNDARY_DIGEST_OCTETS) {
            // Writing to a string can't fail.
            let _ = write!(boundary, "{byte:02x}");
        }
        boundary
    }

    fn transfer(&mut self, transfer: Transfer) {
        self.push(&["Content-Transfer-Encoding: ", transfer.as_str(), "\r\n"]);
    }

    fn end_of_fields(&mut self) {
        self.push(&["\r\n"]);
        if self.body_start.is_none() {
            self.body_start = Some(self.out.len());
        }
    }

    fn push(&mut self, pieces: &[&str]) {
        for piece in pieces {
            self.out.extend_from_slice(piece.as_bytes());
        }
    }
}

/// The type and encoding under which a file is written.
///
/// A message inside a message may not be encoded (RFC 2046 §5.2.1): one that can stand as it is
/// does, any other goes as plain bytes, which every reader can save and open.
fn presentation<'a>(file: &Attachment<'a>) -> (&'a str, Transfer) {
    let content_type = file.content_type.as_str();
    if !content_type.starts_with("message/") {
        return (content_type, Transfer::Base64);
    }
    if is_seven_bit(file.content) {
        return (content_type, Transfer::SevenBit);
    }
    ("application/octet-stream", Transfer::Base64)
}
