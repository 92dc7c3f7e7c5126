//! HTTP/1 in its strict form (RFC 9112), in front of the HTTP library, which is lenient.
//!
//! Where two readers find different requests in the same bytes, one client speaks in another's name (request smuggling). So every head is
//! judged before the library sees any of it: what has two meanings, or a form that only tolerant readers take, is refused. To know where
//! the next head begins, contents are followed to their end; what is in them is the library's business.
//!
//! The library gets a head of ours in the place of one that is refused, and nothing after it. So the refusal waits its turn behind
//! earlier answers, and is made where all answers are made (`exchange`).

use crate::limits::{REQUEST_HEAD_BYTES_MAX, REQUEST_HEADERS_MAX};
use bytes::{Buf as _, BytesMut};
use http::{Method, Uri};
use std::io;
use tokio::io::ReadBuf;

/// The method of the head that stands for a refused one. A client that sends it is refused as any other unknown method.
pub(super) const REFUSED_METHOD: &str = "REFUSED";
const REFUSED_HEAD: &[u8] = b"REFUSED / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n";

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The first line is no request line.
    RequestLine,
    /// A line is no field, is continued, or does not end as lines do.
    Field,
    /// None, or more than one.
    Host,
    /// More than one, or no number.
    ContentLength,
    /// Anything but `chunked`, once, without a length, on HTTP/1.1.
    TransferEncoding,
    /// Too many bytes or fields.
    Size,
}

impl Flaw {
    /// What is refused: a header, or the head itself.
    pub(super) fn param(self) -> &'static str {
        match self {
            Self::RequestLine | Self::Field | Self::Size => "head",
            Self::Host => "Host",
            Self::ContentLength => "Content-Length",
            Self::TransferEncoding => "Transfer-Encoding",
        }
    }

    /// What to do about it.
    pub(super) fn advice(self) -> String {
        match self {
            Self::RequestLine => "begin with a method, a target and HTTP/1.1, one space between them".into(),
            Self::Field => "write each field as \"Name: value\" on one line that ends with CR LF, without control characters".into(),
            Self::Host => "send exactly one Host".into(),
            Self::ContentLength => "send one Content-Length, in digits".into(),
            Self::TransferEncoding => {
                "it may be \"chunked\", once, on HTTP/1.1, and without Content-Length".into()
            }
            Self::Size => format!(
                "the head of a request may have at most {REQUEST_HEAD_BYTES_MAX} bytes and {REQUEST_HEADERS_MAX} fields"
            ),
        }
    }
}

/// Where in a connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// In a head, or before one.
    Head,
    /// So many bytes of content are left.
    Content(u64),
    /// In content that comes in chunks.
    Chunked(Chunk),
    /// A head was refused.
    Over,
}

/// Follows the messages of one connection.
pub(super) struct Framing {
    stage: Stage,
    /// Bytes that came and were not handed over.
    kept: BytesMut,
    /// How many of them, from the first on, may be.
    due: usize,
    /// How many bytes of a head were looked at.
    seen: usize,
    flaw: Option<Flaw>,
}

impl Framing {
    pub(super) fn new() -> Self {
        Self {
            stage: Stage::Head,
            kept: BytesMut::new(),
            due: 0,
            seen: 0,
            flaw: None,
        }
    }

    /// Why a head was refused, once one was.
    pub(super) fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }

    /// Whether nothing is handed over any more.
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over && self.due == 0
    }

    /// Whether a head began and did not end.
    pub(super) fn is_in_head(&self) -> bool {
        self.stage == Stage::Head && self.due == 0 && !self.kept.is_empty()
    }

    /// Takes what was just read out of `buffer`, which had `before` bytes until then.
    pub(super) fn keep(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        self.kept.extend_from_slice(&buffer.filled()[before..]);
        buffer.set_filled(before);
    }

    /// Puts into `buffer` what the library may see; whether that was anything.
    pub(super) fn hand_over(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<bool> {
        if self.due == 0 {
            self.due = self.judge()?;
        }
        let count = self.due.min(buffer.remaining());
        buffer.put_slice(&self.kept[..count]);
        self.kept.advance(count);
        self.due -= count;
        if self.kept.is_empty() {
            self.kept = BytesMut::new(); // a connection that waits for its next request holds no memory for it
        }
        Ok(count > 0)
    }

    /// How many bytes may be handed over next.
    fn judge(&mut self) -> io::Result<usize> {
        match self.stage {
            Stage::Head => Ok(self.head().unwrap_or_else(|flaw| self.refuse(flaw))),
            Stage::Content(left) => {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.kept.len());
                let left = left - count as u64;
                self.stage = if left == 0 {
                    Stage::Head
                } else {
                    Stage::Content(left)
                };
                Ok(count)
            }
            Stage::Chunked(mut chunk) => {
                let count = chunk.follow(&self.kept)?;
                self.stage = if chunk == Chunk::End {
                    Stage::Head
                } else {
                    Stage::Chunked(chunk)
                };
                Ok(count)
            }
            Stage::Over => Ok(0),
        }
    }

    /// The length of the head, once it is there and good.
    fn head(&mut self) -> Result<usize, Flaw> {
        // Empty lines before a request line are skipped (RFC 9112 §2.2).
        while self.seen == 0 && self.kept.starts_with(b"\r\n") {
            self.kept.advance(2);
        }
        let Some(end) = self.end()? else {
            return Ok(0);
        };
        self.stage = content(&self.kept[..end])?;
        self.seen = 0;
        Ok(end)
    }

    /// Where the head ends, if it does. Looks at each byte once, however slowly they come.
    fn end(&mut self) -> Result<Option<usize>, Flaw> {
        while let Some(byte) = self.kept.get(self.seen) {
            if self.seen + 1 >= REQUEST_HEAD_BYTES_MAX {
                return Err(Flaw::Size);
            }
            match (byte, self.kept.get(self.seen + 1)) {
                (b'\r', None) => return Ok(None),
                (b'\r', Some(b'\n')) => {
                    let is_empty_line = self.kept[..self.seen].ends_with(b"\n");
                    self.seen += 2;
                    if is_empty_line {
                        return Ok(Some(self.seen));
                    }
                }
                (b'\t' | b' '..=b'~' | 0x80.., _) => self.seen += 1,
                _ => return Err(Flaw::Field),
            }
        }
        Ok(None)
    }

    fn refuse(&mut self, flaw: Flaw) -> usize {
        self.flaw = Some(flaw);
        self.stage = Stage::Over;
        self.kept = REFUSED_HEAD.into();
        REFUSED_HEAD.len()
    }
}

/// What follows a head, whose lines are known to end as lines do.
fn content(head: &[u8]) -> Result<Stage, Flaw> {
    let lines = head.split(|byte| *byte == b'\n');
    let mut lines = lines.filter_map(|line| line.strip_suffix(b"\r"));
    let is_1_1 = request_line(lines.next().unwrap_or_default()).ok_or(Flaw::RequestLine)?;
    let (mut fields, mut hosts, mut length, mut is_chunked) = (0, 0, None, false);
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = field(line).ok_or(Flaw::Field)?;
        fields += 1;
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let before = length.replace(number(value).ok_or(Flaw::ContentLength)?);
            if before.is_some() {
                return Err(Flaw::ContentLength);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Flaw::TransferEncoding);
            }
            is_chunked = true;
        }
    }
    if fields > REQUEST_HEADERS_MAX {
        return Err(Flaw::Size);
    }
    if hosts > 1 || (hosts == 0 && is_1_1) {
        return Err(Flaw::Host);
    }
    match (is_chunked, length) {
        (false, None | Some(0)) => Ok(Stage::Head),
        (false, Some(length)) => Ok(Stage::Content(length)),
        (true, None) if is_1_1 => Ok(Stage::Chunked(Chunk::BEGIN)),
        (true, _) => Err(Flaw::TransferEncoding),
    }
}

/// Whether it is a request line of HTTP/1.1 or of 1.0; `None` when it is none.
fn request_line(line: &[u8]) -> Option<bool> {
    let mut words = line.split(|byte| *byte == b' ');
    Method::from_bytes(words.next()?).ok()?;
    Uri::try_from(words.next()?).ok()?;
    let is_1_1 = match words.next()? {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        _ => return None,
    };
    words.next().is_none().then_some(is_1_1)
}

/// Name and value. A name is a token, so no space stands before it (a continued line) or before the colon.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    (!name.is_empty() && name.iter().all(is_token)).then_some((name, value.trim_ascii()))
}

fn number(digits: &[u8]) -> Option<u64> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    // An empty value is no number either.
    is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

/// Where in content that comes in chunks we are (RFC 9112 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    /// In a chunk's size, of which this is known.
    Size(Option<u64>),
    /// Behind the size, before the end of its line.
    Extension(u64),
    /// Before the line feed of that line.
    SizeEnd(u64),
    /// So many bytes of the chunk are left.
    Data(u64),
    /// Before the line end that follows a chunk.
    DataEnd,
    /// Before the line feed of that.
    DataLineFeed,
    /// At the beginning of a line behind the last chunk.
    Trailer,
    /// In such a line.
    TrailerField,
    /// Before the line feed of such a line.
    TrailerEnd,
    /// Before the line feed of the empty line that ends all.
    LastLineFeed,
    /// Behind it.
    End,
}

impl Chunk {
    const BEGIN: Self = Self::Size(None);

    /// How many of these bytes belong to the content: all, unless it ends in them.
    fn follow(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut count = 0;
        while *self != Self::End && count < bytes.len() {
            if let Self::Data(left) = self {
                let taken = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len() - count);
                count += taken;
                *left -= taken as u64;
                if *left == 0 {
                    *self = Self::DataEnd;
                }
            } else {
                *self = self.next(bytes[count]).ok_or(io::ErrorKind::InvalidData)?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Size(size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = u64::from(char::from(byte).to_digit(16)?);
                Self::Size(Some(size.unwrap_or(0).checked_mul(16)?.checked_add(digit)?))
            }
            (Self::Size(Some(size)) | Self::Extension(size), b'\r') => Self::SizeEnd(size),
            (Self::Size(Some(size)), b'\t' | b' ' | b';') => Self::Extension(size),
            (Self::Extension(size), b'\t' | b' '..=b'~' | 0x80..) => Self::Extension(size),
            (Self::SizeEnd(0), b'\n') => Self::Trailer,
            (Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::DataEnd, b'\r') => Self::DataLineFeed,
            (Self::DataLineFeed, b'\n') => Self::BEGIN,
            (Self::Trailer, b'\r') => Self::LastLineFeed,
            (Self::TrailerField, b'\r') => Self::TrailerEnd,
            (Self::Trailer | Self::TrailerField, b'\t' | b' '..=b'~' | 0x80..) => Self::TrailerField,
            (Self::TrailerEnd, b'\n') => Self::Trailer,
            (Self::LastLineFeed, b'\n') => Self::End,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the library sees of these bytes when they come in pieces of this size, and the flaw that ended it.
    fn seen(bytes: &[u8], size: usize) -> (Vec<u8>, Result<Option<Flaw>, io::ErrorKind>) {
        let (mut framing, mut seen, mut room) = (Framing::new(), Vec::new(), [0; 16]);
        for piece in bytes.chunks(size) {
            framing.kept.extend_from_slice(piece);
            loop {
                let mut buffer = ReadBuf::new(&mut room);
                match framing.hand_over(&mut buffer) {
                    Ok(true) => seen.extend_from_slice(buffer.filled()),
                    Ok(false) => break,
                    Err(error) => return (seen, Err(error.kind())),
                }
            }
        }
        (seen, Ok(framing.flaw()))
    }

    #[test]
    fn good_messages_pass_unchanged_however_they_are_cut() {
        let messages = b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n\nGET / x\r\n\0\r\
            GET http://x/ HTTP/1.0\r\nX: \xe9\t y\r\n\r\n\
            PUT /b HTTP/1.1\r\nhost:x\r\ntransfer-encoding: Chunked\r\n\r\n00A ; a=\"b\"\r\n0\r\n\r\n\0\n345\r\n0\r\nx: y\r\n\r\n\
            OPTIONS * HTTP/1.1\r\nHost:\r\nContent-Length: 0\r\n\r\n";
        for size in 1..=messages.len() {
            let (seen, end) = seen(messages, size);
            assert_eq!(
                (seen.as_slice(), end),
                (&messages[..], Ok(None)),
                "in pieces of {size}"
            );
        }
    }

    #[test]
    fn nothing_of_a_flawed_head_passes_and_nothing_behind_it() {
        let good = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}".as_slice();
        let twice = "Transfer-Encoding: chunked\r\n".repeat(2);
        let many = "a: b\r\n".repeat(REQUEST_HEADERS_MAX + 1);
        let large = format!("a: {}\r\n", "b".repeat(REQUEST_HEAD_BYTES_MAX));
        for (fields, flaw) in [
            (twice.as_str(), Flaw::TransferEncoding),
            ("Transfer-Encoding: chunked, chunked\r\n", Flaw::TransferEncoding),
            ("Transfer-Encoding: gzip, chunked\r\n", Flaw::TransferEncoding),
            ("Transfer-Encoding:\r\n", Flaw::TransferEncoding),
            ("Transfer-Encoding: \u{b}chunked\r\n", Flaw::Field),
            (
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                Flaw::TransferEncoding,
            ),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                Flaw::TransferEncoding,
            ),
            ("Content-Length: 2\r\nContent-Length: 2\r\n", Flaw::ContentLength),
            ("Content-Length: +2\r\n", Flaw::ContentLength),
            ("Content-Length: 2, 2\r\n", Flaw::ContentLength),
            ("Content-Length:\r\n", Flaw::ContentLength),
            ("Content-Length: 18446744073709551616\r\n", Flaw::ContentLength),
            ("a: b\nContent-Length: 2\r\n", Flaw::Field),
            ("a: b\rContent-Length: 2\r\n", Flaw::Field),
            ("a: b\0\r\n", Flaw::Field),
            ("a: b\u{7f}\r\n", Flaw::Field),
            ("a : b\r\n", Flaw::Field),
            ("a: b\r\n c\r\n", Flaw::Field),
            (": b\r\n", Flaw::Field),
            ("a\r\n", Flaw::Field),
            ("Host: y\r\n", Flaw::Host),
            (&many, Flaw::Size),
            (&large, Flaw::Size),
        ] {
            let bad = format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n5\r\nhello\r\n0\r\n\r\n");
            for size in [1, 7, usize::MAX] {
                let (seen, end) = seen(&[good, bad.as_bytes(), good].concat(), size);
                assert_eq!(end, Ok(Some(flaw)), "{fields:?}");
                assert_eq!(seen, [good, REFUSED_HEAD].concat(), "{fields:?}");
            }
        }
    }

    #[test]
    fn a_request_line_has_one_form() {
        for line in [
            "GET / HTTP/1.2",
            "GET / HTTP/2.0",
            "GET / http/1.1",
            "GET /",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            " GET / HTTP/1.1",
            "GET /\t HTTP/1.1",
            "G(T / HTTP/1.1",
            "GET / / HTTP/1.1",
            "PRI * HTTP/2.0",
        ] {
            assert_eq!(
                seen(format!("{line}\r\nHost: x\r\n\r\n").as_bytes(), 9).1,
                Ok(Some(Flaw::RequestLine)),
                "{line}"
            );
        }
        let without = |version| seen(format!("GET / HTTP/{version}\r\n\r\n").as_bytes(), 9).1;
        assert_eq!((without("1.1"), without("1.0")), (Ok(Some(Flaw::Host)), Ok(None)));
        let chunked = b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(seen(chunked, 9).1, Ok(Some(Flaw::TransferEncoding)));
        assert_eq!(
            seen(b"\r\n\r\nGET / HTTP/1.0\r\n\r\n", 3).0,
            b"GET / HTTP/1.0\r\n\r\n"
        );
    }

    #[test]
    fn chunks_that_two_readers_may_read_differently_end_the_connection() {
        let head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        for body in [
            "+2\r\n{}\r\n",
            "0x2\r\n{}\r\n",
            "\r\n",
            "2\n{}\r\n",
            "2\r{}\r\n",
            "2 2\n\r\n",
            "2;a\nb\r\n",
            "1\r\n{}\r\n",
            "2\r\n{}\n",
            "10000000000000000\r\n",
            "0\r\nx: y\nz\r\n\r\n",
            "0\r\n\n",
        ] {
            for size in [1, usize::MAX] {
                let (_, end) = seen(&[head, body.as_bytes()].concat(), size);
                assert_eq!(end, Err(io::ErrorKind::InvalidData), "{body:?}");
            }
        }
    }
}
