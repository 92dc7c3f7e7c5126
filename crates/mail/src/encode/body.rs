use super::field::push_escaped;
use super::{BOUNDARY_LINE_START, LINE_OCTETS_MAX};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

/// Octets of a quoted-printable line, its soft break included (RFC 2045 §6.7).
const QUOTED_LINE_OCTETS: usize = 76;

/// Octets that fill one base64 line of 76 (RFC 2045 §6.8).
const BASE64_LINE_INPUT: usize = 57;

/// How a part's body is written: its Content-Transfer-Encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transfer {
    SevenBit,
    QuotedPrintable,
    Base64,
}

impl Transfer {
    /// The header's value.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::SevenBit => "7bit",
            Self::QuotedPrintable => "quoted-printable",
            Self::Base64 => "base64",
        }
    }
}

/// A text body with every line break made CRLF, and the cheapest safe way to write it.
pub(crate) struct BodyText<'t> {
    text: Cow<'t, str>,
    transfer: Transfer,
}

impl<'t> BodyText<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let text = with_crlf(text);
        let transfer = if is_seven_bit(text.as_bytes()) {
            Transfer::SevenBit
        } else {
            let escaped = count(text.as_bytes(), |byte| !is_quoted_literal(byte));
            let quoted = text.len() + 2 * escaped;
            // Both grow by their line breaks alike; base64 has four octets for three.
            if quoted <= text.len().div_ceil(3) * 4 {
                Transfer::QuotedPrintable
            } else {
                Transfer::Base64
            }
        };
        Self { text, transfer }
    }

    pub(crate) fn transfer(&self) -> Transfer {
        self.transfer
    }

    pub(crate) fn push(&self, out: &mut Vec<u8>) {
        match self.transfer {
            Transfer::SevenBit => out.extend_from_slice(self.text.as_bytes()),
            Transfer::QuotedPrintable => push_quoted_printable(out, &self.text),
            Transfer::Base64 => push_base64(out, self.text.as_bytes()),
        }
    }
}

/// Whether `bytes` may stand in a message as they are.
///
/// That takes printable ASCII and tabs, line breaks as CRLF only, lines within the limit, none that
/// an mbox writer would change (`From `) and none that begins like a boundary of ours.
pub(crate) fn is_seven_bit(bytes: &[u8]) -> bool {
    if count(bytes, |byte| !matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n')) > 0 {
        return false;
    }
    if count(bytes, |byte| byte == b'\r') != count(bytes, |byte| byte == b'\n') {
        return false;
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    // Every LF below must have its CR; there being as many of each, no CR is left over.
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        let content = match (lines.peek().is_some(), line.strip_suffix('\r')) {
            (true, Some(content)) => content,
            (true, None) => return false,
            (false, _) => line,
        };
        if content.len() > LINE_OCTETS_MAX
            || content.starts_with("From ")
            || content.starts_with(BOUNDARY_LINE_START)
        {
            return false;
        }
    }
    true
}

/// Appends base64 in lines of 76, without a line break after the last.
pub(crate) fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut line = [0_u8; 76];
    for (index, chunk) in bytes.chunks(BASE64_LINE_INPUT).enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\r\n");
        }
        // 57 octets make exactly 76, so the slice always holds them.
        let octets = STANDARD.encode_slice(chunk, &mut line).unwrap_or_default();
        out.extend_from_slice(line.get(..octets).unwrap_or_default());
    }
}

/// Every line break as CRLF: a lone CR or LF is what SMTP smuggling is made of.
fn with_crlf(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let returns = count(bytes, |byte| byte == b'\r');
    let feeds = count(bytes, |byte| byte == b'\n');
    let mut lines = text.split('\n');
    lines.next_back();
    if returns == feeds && lines.all(|line| line.ends_with('\r')) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + feeds + returns);
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        let is_last = lines.peek().is_none();
        if returns == 0 {
            out.push_str(line);
        } else {
            let before_feed = if is_last { None } else { line.strip_suffix('\r') };
            push_split_at_returns(&mut out, before_feed.unwrap_or(line));
        }
        if !is_last {
            out.push_str("\r\n");
        }
    }
    Cow::Owned(out)
}

fn push_split_at_returns(out: &mut String, line: &str) {
    for (index, piece) in line.split('\r').enumerate() {
        if index > 0 {
            out.push_str("\r\n");
        }
        out.push_str(piece);
    }
}

/// Appends text whose line breaks are CRLF as quoted-printable (RFC 2045 §6.7).
fn push_quoted_printable(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + text.len() / 8);
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\r\n");
        }
        push_quoted_line(out, line.strip_suffix('\r').unwrap_or(line).as_bytes());
    }
}

fn push_quoted_line(out: &mut Vec<u8>, line: &[u8]) {
    let mut rest = line;
    let mut column = 0;
    while let Some((&first, after)) = rest.split_first() {
        // A soft break takes one column unless the line ends here.
        let is_escaped = !is_quoted_literal(first)
            || (after.is_empty() && matches!(first, b' ' | b'\t'))
            || (column == 0 && (first == b'.' || rest.starts_with(b"From ")));
        if is_escaped {
            if column + 3 > QUOTED_LINE_OCTETS - 1 {
                out.extend_from_slice(b"=\r\n");
                column = 0;
            }
            push_escaped(out, b'=', first);
            column += 3;
            rest = after;
            continue;
        }
        if column >= QUOTED_LINE_OCTETS - 1 {
            out.extend_from_slice(b"=\r\n");
            column = 0;
            continue;
        }
        let room = QUOTED_LINE_OCTETS - 1 - column;
        let run = literal_run(rest, room);
        out.extend_from_slice(rest.get(..run).unwrap_or_default());
        column += run;
        rest = rest.get(run..).unwrap_or_default();
    }
}

/// Octets of `rest` that may be copied as they are, at least one, at most `room`.
fn literal_run(rest: &[u8], room: usize) -> usize {
    let window = rest.get(..room).unwrap_or(rest);
    let run = window
        .iter()
        .position(|byte| !is_quoted_literal(*byte))
        .unwrap_or(window.len());
    // White space that ends the line has to be escaped: leave it to the caller.
    let ends_line = run == rest.len() && matches!(rest.last(), Some(b' ' | b'\t'));
    if ends_line { (run - 1).max(1) } else { run }
}

/// What quoted-printable may leave as it is, line ends aside.
fn is_quoted_literal(byte: u8) -> bool {
    matches!(byte, b' '..=b'<' | b'>'..=b'~' | b'\t')
}

/// How many octets are wanted. Counted in octets a chunk at a time: the compiler makes vector code of
/// that, which a count in whole words prevents.
fn count(bytes: &[u8], is_wanted: impl Fn(u8) -> bool) -> usize {
    let in_chunk = |chunk: &[u8]| {
        let found = chunk
            .iter()
            .fold(0_u8, |found, byte| found + u8::from(is_wanted(*byte)));
        usize::from(found)
    };
    bytes.chunks(usize::from(u8::MAX)).map(in_chunk).sum()
}
