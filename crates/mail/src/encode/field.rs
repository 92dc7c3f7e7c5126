use super::{HEADER_LINE_OCTETS, LINE_OCTETS_MAX};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Octets of a line that holds an encoded-word (RFC 2047 §2).
const ENCODED_LINE_OCTETS: usize = 76;

/// Octets of one encoded-word (RFC 2047 §2).
const ENCODED_WORD_OCTETS: usize = 75;

/// Octets around the payload: `=?utf-8?Q?` and `?=`.
const ENCODED_FRAME_OCTETS: usize = 12;

/// Octets the longest character needs: four bytes, each `=XX`.
const ENCODED_CHAR_OCTETS_MAX: usize = 12;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// One header field while it is written; knows its column, so it folds in time.
///
/// Folding happens only where a space stands or between encoded-words: unfolding gives the text
/// back, and DKIM's relaxed form is the same either way.
pub(crate) struct Field<'o> {
    out: &'o mut Vec<u8>,
    column: usize,
}

impl<'o> Field<'o> {
    /// Begins `Name:`.
    pub(crate) fn start(out: &'o mut Vec<u8>, name: &str) -> Self {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        Self {
            out,
            column: name.len() + 1,
        }
    }

    /// Ends the field's last line.
    pub(crate) fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }

    /// Writes a space and `pieces` as one unbreakable word, on the next line if this one is full.
    pub(crate) fn word(&mut self, pieces: &[&str]) {
        let octets: usize = pieces.iter().map(|piece| piece.len()).sum();
        if self.column + 1 + octets > HEADER_LINE_OCTETS {
            self.break_line();
        }
        self.push(" ");
        for piece in pieces {
            self.push(piece);
        }
    }

    /// Writes plain text word by word, or encoded where it isn't ASCII or would be misread.
    pub(crate) fn text(&mut self, text: &str) {
        if text.contains("=?") {
            self.encoded(text);
        } else {
            self.structured(text);
        }
    }

    /// Writes text of a field that has a grammar: `=?` stands for itself there. What no line can
    /// hold is encoded all the same, since a line past 998 octets loses the whole message.
    pub(crate) fn structured(&mut self, text: &str) {
        if !text.is_ascii() || pieces(text).any(|piece| piece.len() >= LINE_OCTETS_MAX) {
            return self.encoded(text);
        }
        for (index, piece) in pieces(text).enumerate() {
            if index == 0 {
                self.word(&[piece]);
                continue;
            }
            // The piece begins with its own white space: breaking before it adds none.
            if self.column + piece.len() > HEADER_LINE_OCTETS {
                self.break_line();
            }
            self.push(piece);
        }
    }

    /// Writes text as RFC 2047 encoded-words, each within its limits and of whole characters.
    pub(crate) fn encoded(&mut self, text: &str) {
        let encoding = Encoding::shorter_for(text);
        let mut rest = text;
        while !rest.is_empty() {
            let mut line_room = ENCODED_LINE_OCTETS.saturating_sub(self.column + 1);
            if line_room < ENCODED_FRAME_OCTETS + ENCODED_CHAR_OCTETS_MAX {
                self.break_line();
                line_room = ENCODED_WORD_OCTETS;
            }
            let room = line_room.min(ENCODED_WORD_OCTETS) - ENCODED_FRAME_OCTETS;
            let (now, later) = rest.split_at(encoding.octets_that_fit(rest, room));
            self.push(encoding.opening());
            let before = self.out.len();
            encoding.push(self.out, now);
            self.column += self.out.len() - before;
            self.push("?=");
            rest = later;
        }
    }

    /// Appends to the last word.
    pub(crate) fn push(&mut self, piece: &str) {
        self.out.extend_from_slice(piece.as_bytes());
        self.column += piece.len();
    }

    fn break_line(&mut self) {
        self.out.extend_from_slice(b"\r\n");
        self.column = 0;
    }
}

/// Splits before each run of white space, so that every piece but the first begins with one.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let word_start = rest.find(|c| !matches!(c, ' ' | '\t'))?;
        let after = rest.get(word_start..)?;
        let octets = word_start + after.find([' ', '\t']).unwrap_or(after.len());
        let (piece, later) = rest.split_at(octets);
        rest = later;
        Some(piece)
    })
}

#[derive(Clone, Copy)]
enum Encoding {
    Quoted,
    Base64,
}

impl Encoding {
    fn shorter_for(text: &str) -> Self {
        let quoted: usize = text.bytes().map(quoted_octets).sum();
        if quoted <= text.len().div_ceil(3) * 4 {
            Self::Quoted
        } else {
            Self::Base64
        }
    }

    fn opening(self) -> &'static str {
        match self {
            Self::Quoted => " =?utf-8?Q?",
            Self::Base64 => " =?utf-8?B?",
        }
    }

    /// How many octets of `text` fill `room`, counted in whole characters; never none.
    fn octets_that_fit(self, text: &str, room: usize) -> usize {
        let mut taken = 0;
        let mut filled = 0;
        for c in text.chars() {
            let octets = c.len_utf8();
            match self {
                Self::Quoted => {
                    filled += c
                        .encode_utf8(&mut [0; 4])
                        .bytes()
                        .map(quoted_octets)
                        .sum::<usize>();
                }
                Self::Base64 => filled = (taken + octets).div_ceil(3) * 4,
            }
            if filled > room {
                break;
            }
            taken += octets;
        }
        taken
    }

    fn push(self, out: &mut Vec<u8>, text: &str) {
        match self {
            Self::Base64 => out.extend_from_slice(STANDARD.encode(text).as_bytes()),
            Self::Quoted => {
                for byte in text.bytes() {
                    match byte {
                        b' ' => out.push(b'_'),
                        _ if quoted_octets(byte) == 1 => out.push(byte),
                        _ => push_escaped(out, b'=', byte),
                    }
                }
            }
        }
    }
}

/// What a byte costs in Q encoding, in the narrow alphabet that a phrase allows (RFC 2047 §5).
fn quoted_octets(byte: u8) -> usize {
    if byte.is_ascii_alphanumeric() || b" !*+-/".contains(&byte) {
        1
    } else {
        3
    }
}

/// Appends `byte` as two upper-case hexadecimal digits behind `mark`.
pub(super) fn push_escaped(out: &mut Vec<u8>, mark: u8, byte: u8) {
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
    out.extend_from_slice(&[mark, digit(byte >> 4), digit(byte & 0x0F)]);
}
