//! Replies: a three digit code, perhaps an enhanced status code (RFC 3463), and lines of text.
//!
//! [`ReplyParser`] reads them from a stream cut anywhere; [`Reply::write_to`] writes them.
//! A reply's text comes from a stranger and often repeats an address, so `Debug` and `Display`
//! show the codes only; the text has to be asked for.

use std::fmt;

use super::limits::{REPLY_LINE_OCTETS_MAX, REPLY_LINES_MAX, REPLY_OCTETS_MAX};

/// One complete reply of a server.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<EnhancedCode>,
    lines: Vec<String>,
}

impl Reply {
    /// A reply of one line. `text` must be plain text; control characters are replaced by spaces,
    /// so no caller can add a second reply.
    pub fn new(code: u16, enhanced: Option<EnhancedCode>, text: &str) -> Self {
        debug_assert!((200..600).contains(&code), "SMTP has no such reply code");
        let mut line = enhanced.map_or_else(String::new, |status| format!("{status} "));
        line.extend(text.chars().map(printable));
        Self {
            code,
            enhanced,
            lines: vec![line],
        }
    }

    /// A reply of several lines, as EHLO gets it. No enhanced code (RFC 2034 §4 exempts EHLO).
    pub fn of_lines<'a>(code: u16, lines: impl IntoIterator<Item = &'a str>) -> Self {
        let lines = lines
            .into_iter()
            .map(|line| line.chars().map(printable).collect())
            .collect();
        Self {
            code,
            enhanced: None,
            lines,
        }
    }

    /// The three digits.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status code, if the first line starts with one that fits the code.
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// The text of each line, without the three digits. May hold personal data.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The lines joined by a space, at most `chars_max` characters. May hold personal data.
    pub fn text(&self, chars_max: usize) -> String {
        let joined = self
            .lines
            .iter()
            .enumerate()
            .flat_map(|(index, line)| (index > 0).then_some(' ').into_iter().chain(line.chars()));
        joined.take(chars_max).collect()
    }

    /// What the first digit says (RFC 5321 §4.2.1: a client need look no further).
    pub fn severity(&self) -> Severity {
        match self.code / 100 {
            2 => Severity::Positive,
            3 => Severity::Intermediate,
            4 => Severity::Transient,
            _ => Severity::Permanent,
        }
    }

    /// Appends the reply as it goes over the wire.
    pub fn write_to(&self, output: &mut Vec<u8>) {
        let last = self.lines.len().saturating_sub(1);
        if self.lines.is_empty() {
            output.extend_from_slice(format!("{}\r\n", self.code).as_bytes());
        }
        for (index, line) in self.lines.iter().enumerate() {
            let mark = if index == last { ' ' } else { '-' };
            output.extend_from_slice(format!("{}{mark}{line}\r\n", self.code).as_bytes());
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({self})")
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        self.enhanced.map_or(Ok(()), |status| write!(f, " {status}"))
    }
}

/// The classes of replies that SMTP uses; 1yz does not occur in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// 2yz: done.
    Positive,
    /// 3yz: go on, more is expected.
    Intermediate,
    /// 4yz: not now; the same command may work later.
    Transient,
    /// 5yz: no; repeating it changes nothing.
    Permanent,
}

/// An enhanced status code, `class.subject.detail` (RFC 3463 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnhancedCode {
    /// 2, 4 or 5.
    pub class: u8,
    /// What it is about: 1 addressing, 2 mailbox, 3 mail system, 4 network, 5 protocol, 6 content,
    /// 7 policy.
    pub subject: u16,
    /// The detail within the subject.
    pub detail: u16,
}

impl EnhancedCode {
    /// The code `class.subject.detail`.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self {
            class,
            subject,
            detail,
        }
    }

    /// Reads a code from the start of `text`; it must end there or at a space.
    pub fn parse(text: &str) -> Option<Self> {
        let word = text.split(' ').next()?;
        let mut numbers = word.split('.');
        let class = number(numbers.next()?, 1)?;
        let subject = number(numbers.next()?, 3)?;
        let detail = number(numbers.next()?, 3)?;
        let class = u8::try_from(class)
            .ok()
            .filter(|class| matches!(class, 2 | 4 | 5))?;
        numbers.next().is_none().then_some(Self {
            class,
            subject,
            detail,
        })
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

fn number(digits: &str, digits_max: usize) -> Option<u16> {
    let plain = digits.len() <= digits_max && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Why the octets from a server are not a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line does not start with a code and a space or hyphen.
    #[error("a line that is no SMTP reply")]
    Malformed,
    /// The lines of one reply carry different codes (forbidden by RFC 5321 §4.2.1).
    #[error("a reply whose lines carry different codes")]
    MixedCodes,
    /// A line passes [`REPLY_LINE_OCTETS_MAX`].
    #[error("a reply line longer than {REPLY_LINE_OCTETS_MAX} octets")]
    LineTooLong,
    /// A reply passes [`REPLY_LINES_MAX`] or [`REPLY_OCTETS_MAX`].
    #[error("a reply longer than {REPLY_LINES_MAX} lines or {REPLY_OCTETS_MAX} octets")]
    TooLong,
}

/// Reads replies from octets that may be cut anywhere.
///
/// After an error the stream can't be followed any more; the caller must drop the connection.
#[derive(Default)]
pub struct ReplyParser {
    line: Vec<u8>,
    code: Option<u16>,
    lines: Vec<String>,
    octets: usize,
}

impl ReplyParser {
    /// A parser at the start of a reply.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes octets up to the end of the first complete reply. Returns how many were taken, and
    /// the reply if it is complete; call again with the rest.
    pub fn push(&mut self, input: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        let mut taken = 0;
        for piece in input.split_inclusive(|&byte| byte == b'\n') {
            taken += piece.len();
            self.octets += piece.len();
            if self.line.len() + piece.len() > REPLY_LINE_OCTETS_MAX {
                return Err(ReplyError::LineTooLong);
            }
            if self.octets > REPLY_OCTETS_MAX {
                return Err(ReplyError::TooLong);
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n")
                && let Some(reply) = self.end_line()?
            {
                return Ok((taken, Some(reply)));
            }
        }
        Ok((taken, None))
    }

    /// Whether no part of a reply has been read.
    pub fn is_idle(&self) -> bool {
        self.octets == 0
    }

    /// Some servers end lines by LF alone. What they say can't be mistaken for anything but
    /// their own replies, so it is tolerated here (and nowhere else).
    fn end_line(&mut self) -> Result<Option<Reply>, ReplyError> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (code, is_last, text) = split_line(line).ok_or(ReplyError::Malformed)?;
        if self.code.is_some_and(|first| first != code) {
            return Err(ReplyError::MixedCodes);
        }
        if self.lines.len() == REPLY_LINES_MAX {
            return Err(ReplyError::TooLong);
        }
        self.code = Some(code);
        self.lines
            .push(String::from_utf8_lossy(text).chars().map(printable).collect());
        Ok(is_last.then(|| self.complete(code)))
    }

    fn complete(&mut self, code: u16) -> Reply {
        let lines = std::mem::take(&mut self.lines);
        let enhanced = lines.first().and_then(|line| EnhancedCode::parse(line));
        let enhanced = enhanced.filter(|status| u16::from(status.class) == code / 100);
        self.code = None;
        self.octets = 0;
        Reply {
            code,
            enhanced,
            lines,
        }
    }
}

/// Code, whether it is the reply's last line, and text. A bare `250` is complete (RFC 5321 §4.2:
/// receivers tolerate a missing text).
fn split_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_first_chunk::<3>()?;
    let [first @ b'2'..=b'5', second @ b'0'..=b'9', third @ b'0'..=b'9'] = *digits else {
        return None;
    };
    let code = u16::from(first - b'0') * 100 + u16::from(second - b'0') * 10 + u16::from(third - b'0');
    match rest.split_first() {
        None => Some((code, true, &[])),
        Some((b' ', text)) => Some((code, true, text)),
        Some((b'-', text)) => Some((code, false, text)),
        Some(_) => None,
    }
}

/// Control characters and line separators would let a stranger write lines into our records.
fn printable(character: char) -> char {
    match character {
        '\u{2028}' | '\u{2029}' => ' ',
        other if other.is_control() => ' ',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn parse(text: &str) -> Result<Reply, ReplyError> {
        let (_, reply) = ReplyParser::new().push(text.as_bytes())?;
        reply.ok_or(ReplyError::Malformed)
    }

    #[test]
    fn reply_of_several_lines_is_one_reply() {
        let reply = parse("250-mx.example\r\n250-SIZE 10\r\n250 HELP\r\n").unwrap();
        assert_eq!(reply.code(), 250);
        assert_eq!(reply.lines(), ["mx.example", "SIZE 10", "HELP"]);
        assert_eq!(reply.text(12), "mx.example S");
    }

    #[test]
    fn enhanced_code_counts_only_if_its_class_fits() {
        let enhanced = |text| parse(text).unwrap().enhanced();
        assert_eq!(enhanced("550 5.1.1 no\r\n"), Some(EnhancedCode::new(5, 1, 1)));
        assert_eq!(enhanced("550 5.1.1\r\n"), Some(EnhancedCode::new(5, 1, 1)));
        assert_eq!(enhanced("550 4.1.1 no\r\n"), None);
        assert_eq!(enhanced("550 5.1.1.1 no\r\n"), None);
        assert_eq!(enhanced("550 5.1.1234 no\r\n"), None);
        assert_eq!(enhanced("250 2.0 ok\r\n"), None);
        assert_eq!(enhanced("550 5.+1.1 no\r\n"), None);
    }

    #[test]
    fn bare_code_and_bare_line_feed_are_tolerated() {
        assert_eq!(parse("250\r\n").unwrap().lines(), [""]);
        assert_eq!(parse("250 ok\n").unwrap().lines(), ["ok"]);
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for text in [
            "hello\r\n",
            "25 x\r\n",
            "250x\r\n",
            "150 x\r\n",
            "650 x\r\n",
            "\r\n",
            "2x0 a\r\n",
        ] {
            assert_eq!(parse(text), Err(ReplyError::Malformed), "{text:?}");
        }
        assert_eq!(parse("250-a\r\n251 b\r\n"), Err(ReplyError::MixedCodes));
    }

    #[test]
    fn limits_hold_even_without_a_line_end() {
        let long = vec![b'2'; REPLY_LINE_OCTETS_MAX + 1];
        assert_eq!(
            ReplyParser::new().push(&long).err(),
            Some(ReplyError::LineTooLong)
        );
        let many = "250-x\r\n".repeat(REPLY_LINES_MAX + 1);
        assert_eq!(parse(&many), Err(ReplyError::TooLong));
        let wide = format!("250-{}\r\n", "x".repeat(1000)).repeat(40);
        assert_eq!(parse(&wide), Err(ReplyError::TooLong));
    }

    #[test]
    fn control_characters_can_not_enter_a_record() {
        assert_eq!(
            parse("250 a\u{1b}[2Jb\rc\u{2028}d\r\n").unwrap().lines(),
            ["a [2Jb c d"]
        );
        let mut wire = Vec::new();
        Reply::new(550, None, "a\r\n250 ok").write_to(&mut wire);
        assert_eq!(wire, b"550 a  250 ok\r\n");
    }

    #[test]
    fn debug_and_display_do_not_show_the_text() {
        let reply = parse("550 5.1.1 <bob@example.com> unknown\r\n").unwrap();
        assert_eq!(format!("{reply:?} {reply}"), "Reply(550 5.1.1) 550 5.1.1");
    }
}
