use aws_lc_rs::digest;

/// Octets gathered before they are hashed: many short pieces, few calls.
const STAGING_OCTETS: usize = 4096;

/// The SHA-256 of a body in relaxed form (RFC 6376 §3.4.4), without making a copy of it.
///
/// Lines end at CRLF only; a bare CR or LF is an octet like any other. A line of nothing but white
/// space is empty once its white space is gone, so at the end of the body it vanishes with the empty
/// lines; signers that trim in the other order get this wrong.
///
/// ```
/// use sealwright_mail::dkim::body_hash_relaxed;
/// assert_eq!(body_hash_relaxed(b"Hi \t there\t\r\n \t\r\n\r\n"), body_hash_relaxed(b"Hi there\r\n"));
/// assert_eq!(body_hash_relaxed(b" \t\r\n"), body_hash_relaxed(b""));
/// ```
#[must_use]
pub fn body_hash_relaxed(body: &[u8]) -> [u8; 32] {
    let mut staging = Staging::new();
    relaxed_body(body, |piece| staging.push(piece));
    staging.finish()
}

/// Hands the relaxed form of `body` to `sink`, piece by piece.
pub(super) fn relaxed_body(body: &[u8], mut sink: impl FnMut(&[u8])) {
    // Line ends seen but not handed on: the last lines may turn out to be empty.
    let mut held = 0_usize;
    let mut has_content = false;
    let mut rest = body;
    loop {
        let (lines, line) = skip_blank_lines(rest);
        held += lines;
        let content = trim_start_wsp(line);
        if content.is_empty() {
            break;
        }
        for _ in 0..held {
            sink(b"\r\n");
        }
        if content.len() < line.len() {
            sink(b" ");
        }
        has_content = true;
        rest = relaxed_lines(content, &mut sink);
        held = 1;
    }
    if has_content {
        sink(b"\r\n");
    }
}

/// Appends one header field in relaxed form (§3.4.2), without a line end.
///
/// The value's line breaks are folds, each followed by white space, so breaking words at CR and LF
/// too is the same as unfolding first.
pub(super) fn push_relaxed_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let start = out.len();
    out.extend_from_slice(name);
    if let Some(written) = out.get_mut(start..) {
        written.make_ascii_lowercase();
    }
    out.push(b':');
    let mut is_first = true;
    for word in value.split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
        if word.is_empty() {
            continue;
        }
        if !is_first {
            out.push(b' ');
        }
        out.extend_from_slice(word);
        is_first = false;
    }
}

/// How many lines at the start hold nothing but white space, and what follows them.
fn skip_blank_lines(bytes: &[u8]) -> (usize, &[u8]) {
    let mut lines = 0;
    let mut rest = bytes;
    while let Some(after) = trim_start_wsp(rest).strip_prefix(b"\r\n") {
        lines += 1;
        rest = after;
    }
    (lines, rest)
}

/// Hands on lines up to one whose end is not followed by an ordinary octet; returns what follows
/// that end, which itself is left to the caller.
///
/// `bytes` begins with an octet that is not white space. Line ends between ordinary lines are handed
/// on with them in one piece.
fn relaxed_lines<'b>(bytes: &'b [u8], sink: &mut impl FnMut(&[u8])) -> &'b [u8] {
    // `kept` is not handed on yet; its first `octets` are known to stay as they are.
    let mut kept = bytes;
    let mut octets = 0;
    loop {
        octets += ordinary_octets(kept.get(octets..).unwrap_or_default());
        let (before, rest) = kept.split_at(octets);
        let after = trim_start_wsp(rest);
        let run = rest.len() - after.len();
        let next_line = after.strip_prefix(b"\r\n");
        if let Some(next_line) = next_line.or(after.is_empty().then_some(after)) {
            let starts_ordinary = next_line.first().is_some_and(|byte| !is_special(*byte));
            if run == 0 && starts_ordinary {
                octets += 2;
                continue;
            }
            sink(before);
            return next_line;
        }
        if run == 0 || (run == 1 && rest.first() == Some(&b' ')) {
            // A bare CR, or a single space before one.
            octets += 1;
            continue;
        }
        sink(before);
        sink(b" ");
        kept = after;
        octets = 0;
    }
}

/// Octets before the first that needs a closer look: a tab, a CR, or a space followed by white space
/// or CR. Eight at a time, since this loop sees every octet of every message.
fn ordinary_octets(bytes: &[u8]) -> usize {
    let word = |at: usize| {
        let octets = bytes.get(at..at + 8)?;
        Some(u64::from_le_bytes(octets.try_into().ok()?))
    };
    let mut at = 0;
    while let (Some(these), Some(nexts)) = (word(at), word(at + 1)) {
        let specials = |word| equal_octets(word, b' ') | controls(word);
        let looks = controls(these) | (equal_octets(these, b' ') & specials(nexts));
        if looks != 0 {
            return at + (looks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let nexts = rest.get(1..).unwrap_or_default().iter().chain(b"\r");
    let mut pairs = rest.iter().zip(nexts);
    let found =
        pairs.position(|(this, next)| matches!(this, b'\t' | b'\r') || (*this == b' ' && is_special(*next)));
    at + found.unwrap_or(rest.len())
}

/// The high bit of every octet that is a tab or CR.
fn controls(word: u64) -> u64 {
    equal_octets(word, b'\t') | equal_octets(word, b'\r')
}

/// The high bit of every octet of `word` that equals `octet`; exact, no carry between octets.
fn equal_octets(word: u64, octet: u8) -> u64 {
    const LOW_BITS: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    let differing = word ^ (u64::from(octet) * 0x0101_0101_0101_0101);
    !(((differing & LOW_BITS) + LOW_BITS) | differing | LOW_BITS)
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

fn trim_start_wsp(bytes: &[u8]) -> &[u8] {
    let octets = bytes.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    octets.and_then(|octets| bytes.get(octets..)).unwrap_or_default()
}

/// Gathers pieces and hashes them by the block.
struct Staging {
    context: digest::Context,
    gathered: Vec<u8>,
}

impl Staging {
    fn new() -> Self {
        Self {
            context: digest::Context::new(&digest::SHA256),
            gathered: Vec::with_capacity(STAGING_OCTETS),
        }
    }

    fn push(&mut self, piece: &[u8]) {
        if self.gathered.len() + piece.len() > STAGING_OCTETS {
            self.context.update(&self.gathered);
            self.gathered.clear();
        }
        if piece.len() >= STAGING_OCTETS {
            self.context.update(piece);
        } else {
            self.gathered.extend_from_slice(piece);
        }
    }

    fn finish(mut self) -> [u8; 32] {
        self.context.update(&self.gathered);
        let mut hash = [0; 32];
        hash.copy_from_slice(self.context.finish().as_ref());
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::{body_hash_relaxed, push_relaxed_field, relaxed_body};
    use proptest::prelude::*;

    fn relaxed(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        relaxed_body(body, |piece| out.extend_from_slice(piece));
        out
    }

    fn relaxed_field(name: &str, value: &str) -> String {
        let mut out = Vec::new();
        push_relaxed_field(&mut out, name.as_bytes(), value.as_bytes());
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The rules of §3.4.4 one after the other, each as a step over whole lines.
    fn relaxed_by_the_letter(body: &[u8]) -> Vec<u8> {
        let mut lines: Vec<Vec<u8>> = vec![Vec::new()];
        let mut index = 0;
        while index < body.len() {
            if body[index..].starts_with(b"\r\n") {
                lines.push(Vec::new());
                index += 2;
            } else {
                let byte = if body[index] == b'\t' { b' ' } else { body[index] };
                let line = lines.last_mut().into_iter().next();
                line.into_iter().for_each(|line| line.push(byte));
                index += 1;
            }
        }
        for line in &mut lines {
            line.dedup_by(|a, b| *a == b' ' && *b == b' ');
            if line.last() == Some(&b' ') {
                line.pop();
            }
        }
        while lines.last().is_some_and(Vec::is_empty) {
            lines.pop();
        }
        lines
            .into_iter()
            .flat_map(|line| [line, b"\r\n".to_vec()].concat())
            .collect()
    }

    #[test]
    fn example_of_rfc_6376_section_3_4_5_gives_the_documented_form() {
        assert_eq!(relaxed_field("A", " X"), "a:X");
        assert_eq!(relaxed_field("B", " Y\t\r\n\tZ  "), "b:Y Z");
        assert_eq!(relaxed(b" C \r\nD \t E\r\n\r\n\r\n"), b" C\r\nD E\r\n");
    }

    #[test]
    fn empty_and_blank_bodies_are_empty() {
        let bodies: [&[u8]; 9] = [
            b"",
            b"\r\n",
            b"\r\n\r\n\r\n",
            b" \t\r\n",
            b"\t\r\n \r\n\r\n",
            b" ",
            b"\t \t",
            b"\r\n ",
            b" \r\n\t",
        ];
        for body in bodies {
            assert_eq!(relaxed(body), b"", "{body:?}");
            assert_eq!(body_hash_relaxed(body), EMPTY_SHA256);
        }
    }

    #[test]
    fn trailing_blank_lines_vanish_and_a_missing_line_end_is_added() {
        for (body, expected) in [
            (&b"hi"[..], &b"hi\r\n"[..]),
            (b"hi\r\n", b"hi\r\n"),
            (b"hi \t", b"hi\r\n"),
            (b"hi\r\n \t\r\n", b"hi\r\n"),
            (b"hi\r\n\r\n \r\n", b"hi\r\n"),
            (b"hi\r\n \t", b"hi\r\n"),
            (b"hi\r\n\r\nyou\r\n\r\n", b"hi\r\n\r\nyou\r\n"),
            (b"\r\n \r\nhi\r\n", b"\r\n\r\nhi\r\n"),
            (b"  hi", b" hi\r\n"),
            (b"a\tb\t\tc \t d", b"a b c d\r\n"),
            (b"a\nb\rc \n d\r\n", b"a\nb\rc \n d\r\n"),
            (b"a\r\r\n", b"a\r\r\n"),
            (b"\xff\xfe  \xe4\r\n", b"\xff\xfe \xe4\r\n"),
        ] {
            assert_eq!(relaxed(body), expected, "{body:?}");
        }
    }

    #[test]
    fn a_body_longer_than_the_staging_buffer_hashes_the_same() {
        let line = [
            vec![b'x'; 9000],
            b" \r\n".to_vec(),
            vec![b'y'; 100],
            b"  z\r\n".to_vec(),
        ]
        .concat();
        let body = line.repeat(20);
        let whole = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &relaxed(&body));
        assert_eq!(body_hash_relaxed(&body).as_slice(), whole.as_ref());
    }

    /// `SHA-256("")`, the `bh=` of an empty body (RFC 6376 §3.4.4 gives it in base64).
    const EMPTY_SHA256: [u8; 32] = [
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
        0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ];

    fn body() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            &b"\r\n"[..],
            b" ",
            b"\t",
            b"\r",
            b"\n",
            b"word",
            b"=",
            b"\xc3\xa9",
            b"\0",
            b"a line longer than several of the words it is searched by",
            b"eight-8!",
            b"a b c d e f g",
        ]);
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn relaxed_body_agrees_with_the_rules_taken_by_the_letter(body in body()) {
            prop_assert_eq!(relaxed(&body), relaxed_by_the_letter(&body));
        }

        #[test]
        fn relaxed_body_is_its_own_relaxed_form(body in body()) {
            let once = relaxed(&body);
            prop_assert_eq!(relaxed(&once), once);
        }
    }
}
