//! As much MIME as a report needs (RFC 2045, RFC 2046): header fields, multiparts, encodings.
//!
//! General readers build a tree of the whole message, of messages inside of messages too, and trees
//! are torn down by recursion: a report could nest deeper than a stack. This one walks multiparts
//! only, a few deep, and takes a message inside as octets with a header.

use super::{DEPTH_MAX, HEADER_OCTETS_MAX, PART_OCTETS_MAX, PARTS_MAX};
use crate::text::split_quoted;
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Fields of one header that are looked at.
const FIELDS_MAX: usize = 500;
/// Octets of a multipart's boundary (RFC 2046 §5.1.1).
const BOUNDARY_OCTETS_MAX: usize = 70;

/// Takes what was cut off in the middle.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A header with what follows it: a message, or one part of one.
pub(super) struct Entity<'a> {
    fields: Fields,
    body: &'a [u8],
}

/// `name: value` pairs, unfolded, names in lower case.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads a block of fields. What is not one is passed over: a name holds no space, so that
    /// `Fr om` is not read as From.
    pub(super) fn of(block: &str) -> Self {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in block.lines() {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
                continue;
            }
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
            if is_name && fields.len() < FIELDS_MAX {
                fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        Self(fields)
    }

    /// The first field of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let field = self.0.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| value.as_str())
    }

    /// All fields of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.0.iter().filter(move |(known, _)| known == name);
        fields.map(|(_, value)| value.as_str())
    }
}

impl<'a> Entity<'a> {
    /// Splits at the first empty line.
    pub(super) fn of(octets: &'a [u8]) -> Self {
        let end = lines(octets).find(|(_, line)| line.is_empty());
        let (header, body) = match end {
            Some((at, _)) => octets.split_at_checked(at).unwrap_or((octets, &[])),
            None => (octets, &[][..]),
        };
        let body = body.strip_prefix(b"\r\n").or_else(|| body.strip_prefix(b"\n"));
        let header = header.get(..HEADER_OCTETS_MAX).unwrap_or(header);
        Self {
            fields: Fields::of(&String::from_utf8_lossy(header)),
            body: body.unwrap_or_default(),
        }
    }

    /// The header.
    pub(super) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Type and subtype in lower case; plain text unless said otherwise (RFC 2045 §5.2).
    pub(super) fn kind(&self) -> String {
        let kind = self.fields.get("content-type").unwrap_or("text/plain");
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().to_ascii_lowercase()
    }

    /// The parts that are no multiparts themselves, in order; a message that is none is its only part.
    pub(super) fn parts(self) -> Vec<Entity<'a>> {
        let mut parts = Vec::new();
        self.collect(0, &mut parts);
        parts
    }

    fn collect(self, depth: usize, parts: &mut Vec<Entity<'a>>) {
        let boundary = self.parameter("boundary").filter(|boundary| {
            let is_multipart = self.kind().starts_with("multipart/") && depth < DEPTH_MAX;
            is_multipart && (1..=BOUNDARY_OCTETS_MAX).contains(&boundary.len())
        });
        let Some(boundary) = boundary else {
            if parts.len() < PARTS_MAX {
                parts.push(self);
            }
            return;
        };
        for part in split(self.body, &boundary) {
            if parts.len() >= PARTS_MAX {
                return;
            }
            Entity::of(part).collect(depth + 1, parts);
        }
    }

    /// A parameter of the Content-Type field.
    fn parameter(&self, name: &str) -> Option<String> {
        let value = self.fields.get("content-type")?;
        let (_, mut rest) = value.split_once(';')?;
        loop {
            let (key, after) = rest.split_once('=')?;
            let after = after.trim_start();
            let (value, tail) = match split_quoted(after) {
                Some(split) => split,
                None => {
                    let end = after.find(';').unwrap_or(after.len());
                    let (value, tail) = after.split_at_checked(end)?;
                    (value.trim().to_owned(), tail)
                }
            };
            if key.trim().eq_ignore_ascii_case(name) {
                return Some(value);
            }
            rest = tail.trim_start().strip_prefix(';')?;
        }
    }

    /// The body as text, its encoding undone; what is not UTF-8 is replaced.
    pub(super) fn text(&self) -> String {
        let body = self.body.get(..PART_OCTETS_MAX).unwrap_or(self.body);
        String::from_utf8_lossy(&self.decoded(body)).into_owned()
    }

    /// The first so many octets of the body, its encoding undone.
    pub(super) fn octets(&self, most: usize) -> Vec<u8> {
        let mut decoded = self.decoded(self.body);
        decoded.truncate(most);
        decoded
    }

    fn decoded(&self, body: &[u8]) -> Vec<u8> {
        let encoding = self.fields.get("content-transfer-encoding").unwrap_or_default();
        match encoding.to_ascii_lowercase().as_str() {
            "base64" => decode_base64(body),
            "quoted-printable" => decode_quoted_printable(body),
            _ => body.to_vec(),
        }
    }

    /// The header of the message that is this part's body.
    pub(super) fn inner_fields(&self) -> Fields {
        let header = self.text();
        let end = header.find("\r\n\r\n").or_else(|| header.find("\n\n"));
        Fields::of(end.and_then(|end| header.get(..end)).unwrap_or(&header))
    }
}

/// Lines with their places, without their ends.
fn lines(octets: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    octets.split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let start = at;
        at += line.len();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        (start, line.strip_suffix(b"\r").unwrap_or(line))
    })
}

/// What stands between the boundary lines; the last part may be cut off.
fn split<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let (mut parts, mut start) = (Vec::new(), None);
    let mut ends = 0;
    for (at, line) in lines(body) {
        let after = line
            .strip_prefix(b"--")
            .and_then(|line| line.strip_prefix(boundary.as_bytes()));
        let Some(after) = after.map(<[u8]>::trim_ascii_end) else {
            ends = at + line.len();
            continue;
        };
        if !after.is_empty() && after != b"--" {
            continue;
        }
        parts.extend(start.and_then(|start| body.get(start..at)));
        start = (after.is_empty() && parts.len() < PARTS_MAX).then(|| next_line(body, at));
        if start.is_none() {
            return parts;
        }
    }
    parts.extend(start.and_then(|start| body.get(start..ends.max(start))));
    parts
}

fn next_line(body: &[u8], at: usize) -> usize {
    let rest = body.get(at..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == b'\n');
    end.map_or(body.len(), |end| at + end + 1)
}

fn decode_base64(body: &[u8]) -> Vec<u8> {
    let mut digits: Vec<u8> = body
        .iter()
        .copied()
        .filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        .collect();
    // One digit alone makes no octet.
    if digits.len() % 4 == 1 {
        digits.pop();
    }
    LENIENT.decode(&digits).unwrap_or_default()
}

/// RFC 2045 §6.7; what is no escape stands for itself.
fn decode_quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'=' {
            out.push(byte);
            continue;
        }
        if let Some(joined) = after.strip_prefix(b"\r\n").or_else(|| after.strip_prefix(b"\n")) {
            rest = joined;
            continue;
        }
        let octet = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match octet {
            Some(octet) => {
                out.push(octet);
                rest = after.get(2..).unwrap_or_default();
            }
            None => out.push(byte),
        }
    }
    out
}
