//! Content on its way through DATA: dots added and taken away, line ends watched (RFC 5321 §4.5.2).
//!
//! Only CRLF ends a line and only CRLF `.` CRLF ends the content. Whoever sends or accepts a bare
//! CR or LF lets two servers disagree about where a message ends, and the second half becomes a
//! message that nobody signed ("SMTP smuggling"). So both directions here refuse it.

use super::limits::CONTENT_BLOCK_OCTETS;

/// Why content can't be sent over SMTP, or is refused from a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// A CR without LF after it, or a LF without CR before it.
    #[error("a bare CR or LF in the content")]
    BareLineByte,
    /// A NUL, which neither 7-bit nor 8-bit content may hold (RFC 2045 §2.7, §2.8).
    #[error("a NUL in the content")]
    Nul,
    /// A line longer than the receiver takes.
    #[error("a line too long for SMTP")]
    LineTooLong,
    /// More octets than the receiver takes.
    #[error("content too big")]
    TooBig,
}

/// Checks that every CR and LF of the content is half of a CRLF and that it holds no NUL. The parts
/// are one content; a CRLF may be cut between two of them.
pub fn check(parts: &[&[u8]]) -> Result<(), ContentError> {
    let mut after_cr = false;
    for part in parts {
        let mut rest = *part;
        if rest.is_empty() {
            continue;
        }
        if rest.contains(&0) {
            return Err(ContentError::Nul);
        }
        if after_cr {
            rest = rest.strip_prefix(b"\n").ok_or(ContentError::BareLineByte)?;
            after_cr = false;
        }
        while let Some(line_end) = line_byte(rest).and_then(|at| rest.get(at..)) {
            match line_end {
                [b'\r', b'\n', tail @ ..] => rest = tail,
                [b'\r'] => {
                    after_cr = true;
                    break;
                }
                _ => return Err(ContentError::BareLineByte),
            }
        }
    }
    if after_cr {
        Err(ContentError::BareLineByte)
    } else {
        Ok(())
    }
}

/// Produces checked content as it goes over the wire, block by block: dots at line starts doubled,
/// a CRLF at the very end if it was missing. The final dot is not part of it.
pub struct Stuffer<'a> {
    parts: &'a [&'a [u8]],
    rest: &'a [u8],
    at_line_start: bool,
    wrote_any: bool,
    ended: bool,
}

impl<'a> Stuffer<'a> {
    /// Refuses content that [`check`] refuses before anything of it is produced.
    pub fn new(parts: &'a [&'a [u8]]) -> Result<Self, ContentError> {
        check(parts)?;
        Ok(Self {
            parts,
            rest: &[],
            at_line_start: true,
            wrote_any: false,
            ended: false,
        })
    }

    /// Appends the next block, about [`CONTENT_BLOCK_OCTETS`], to `output`. Returns false when
    /// there was nothing left to append.
    pub fn next_block(&mut self, output: &mut Vec<u8>) -> bool {
        let before = output.len();
        while output.len() - before < CONTENT_BLOCK_OCTETS {
            if self.rest.is_empty() && !self.next_part() {
                self.end(output);
                break;
            }
            self.copy_run(output, CONTENT_BLOCK_OCTETS);
        }
        output.len() > before
    }

    fn next_part(&mut self) -> bool {
        match self.parts.split_first() {
            None => false,
            Some((part, others)) => {
                self.rest = part;
                self.parts = others;
                true
            }
        }
    }

    /// Copies up to the next dot that begins a line, or `octets_max`.
    fn copy_run(&mut self, output: &mut Vec<u8>, octets_max: usize) {
        if self.at_line_start && self.rest.first() == Some(&b'.') {
            output.push(b'.');
        }
        let window = self.rest.get(..octets_max).unwrap_or(self.rest);
        let run = run_to_dot(window);
        let (run, rest) = self.rest.split_at_checked(run).unwrap_or((self.rest, &[]));
        output.extend_from_slice(run);
        self.rest = rest;
        if let Some(&last) = run.last() {
            self.at_line_start = last == b'\n';
            self.wrote_any = true;
        }
    }

    fn end(&mut self, output: &mut Vec<u8>) {
        if !self.ended && self.wrote_any && !self.at_line_start {
            output.extend_from_slice(b"\r\n");
        }
        self.ended = true;
    }
}

/// Length of the start of `window` that can be copied as it is: up to a dot after a LF. A dot at
/// the very start was the caller's to double.
fn run_to_dot(window: &[u8]) -> usize {
    let mut from = 1;
    while let Some(tail) = window.get(from..) {
        let Some(at) = find_byte(tail, b'.').map(|at| from + at) else {
            break;
        };
        if at.checked_sub(1).and_then(|before| window.get(before)) == Some(&b'\n') {
            return at;
        }
        from = at + 1;
    }
    window.len()
}

/// Takes content from the wire: single dots at line starts away, the end found, faults remembered.
///
/// A fault does not end the content. It is read to its real end and then refused as a whole, so
/// that nothing inside it can be taken for a command.
pub struct Unstuffer {
    state: LineState,
    content: Vec<u8>,
    octets: usize,
    octets_max: usize,
    line_octets: usize,
    line_octets_max: usize,
    fault: Option<ContentError>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LineState {
    Start,
    /// After a dot at the start of a line.
    Dot,
    /// After a dot and CR at the start of a line.
    DotCr,
    Text,
    /// After a CR in text.
    Cr,
}

impl Unstuffer {
    /// `expected` is the size the client declared; it only reserves memory, at most a megabyte.
    pub fn new(octets_max: usize, line_octets_max: usize, expected: usize) -> Self {
        const RESERVE_OCTETS_MAX: usize = 1024 * 1024;
        Self {
            state: LineState::Start,
            content: Vec::with_capacity(expected.min(octets_max).min(RESERVE_OCTETS_MAX)),
            octets: 0,
            octets_max,
            line_octets: 0,
            line_octets_max,
            fault: None,
        }
    }

    /// Takes octets up to the end of the content. Returns how many were taken and whether the end
    /// was among them.
    pub fn push(&mut self, input: &[u8]) -> (usize, bool) {
        let mut rest = input;
        let mut ended = false;
        while !rest.is_empty() && !ended {
            (rest, ended) = match self.state {
                LineState::Start => (self.line_start(rest), false),
                LineState::Dot => (self.after_dot(rest), false),
                LineState::DotCr => self.after_dot_cr(rest),
                LineState::Text => (self.text(rest), false),
                LineState::Cr => (self.after_cr(rest), false),
            };
        }
        (input.len() - rest.len(), ended)
    }

    /// How much has come in so far, kept or not.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// The content after its end was seen, or the first fault found in it.
    pub fn finish(self) -> Result<Vec<u8>, ContentError> {
        match self.fault {
            Some(fault) => Err(fault),
            None if self.content.contains(&0) => Err(ContentError::Nul),
            None => Ok(self.content),
        }
    }

    fn line_start<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        self.line_octets = 0;
        match rest.strip_prefix(b".") {
            Some(after) => {
                self.state = LineState::Dot;
                after
            }
            None => {
                self.state = LineState::Text;
                rest
            }
        }
    }

    fn after_dot<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        match rest.strip_prefix(b"\r") {
            Some(after) => {
                self.state = LineState::DotCr;
                after
            }
            None => {
                self.state = LineState::Text;
                rest
            }
        }
    }

    fn after_dot_cr<'a>(&mut self, rest: &'a [u8]) -> (&'a [u8], bool) {
        match rest.strip_prefix(b"\n") {
            Some(after) => (after, true),
            None => {
                self.fail(ContentError::BareLineByte);
                self.state = LineState::Text;
                (rest, false)
            }
        }
    }

    fn after_cr<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        match rest.strip_prefix(b"\n") {
            Some(after) => {
                self.keep(b"\r\n");
                self.line_octets += 2;
                self.end_line();
                self.state = LineState::Start;
                after
            }
            None => {
                self.fail(ContentError::BareLineByte);
                self.state = LineState::Text;
                rest
            }
        }
    }

    /// Copies whole runs of lines at once; only a dot after CRLF or the end of the input ends one.
    fn text<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let mut run = 0;
        let mut line_from = 0;
        while let Some(tail) = rest.get(run..) {
            let Some(at) = line_byte(tail) else {
                self.line_octets += rest.len() - line_from;
                return self.keep_run(rest, rest.len(), LineState::Text);
            };
            match tail.get(at..) {
                Some([b'\r', b'\n', after @ ..]) => {
                    run += at + 2;
                    self.line_octets += run - line_from;
                    self.end_line();
                    line_from = run;
                    if matches!(after.first(), None | Some(b'.')) {
                        return self.keep_run(rest, run, LineState::Start);
                    }
                }
                Some([b'\r']) => {
                    run += at;
                    self.line_octets += run - line_from;
                    let after = self.keep_run(rest, run, LineState::Cr);
                    return after.get(1..).unwrap_or_default();
                }
                _ => {
                    self.fail(ContentError::BareLineByte);
                    run += at + 1;
                }
            }
        }
        &[]
    }

    fn keep_run<'a>(&mut self, rest: &'a [u8], run: usize, state: LineState) -> &'a [u8] {
        let (run, after) = rest.split_at_checked(run).unwrap_or((rest, &[]));
        self.keep(run);
        self.state = state;
        if self.line_octets > self.line_octets_max {
            self.fail(ContentError::LineTooLong);
        }
        after
    }

    fn end_line(&mut self) {
        if self.line_octets > self.line_octets_max {
            self.fail(ContentError::LineTooLong);
        }
        self.line_octets = 0;
    }

    fn keep(&mut self, octets: &[u8]) {
        self.octets = self.octets.saturating_add(octets.len());
        if self.octets > self.octets_max {
            self.fail(ContentError::TooBig);
        }
        if self.fault.is_none() {
            self.content.extend_from_slice(octets);
        }
    }

    fn fail(&mut self, fault: ContentError) {
        self.fault.get_or_insert(fault);
        self.content = Vec::new();
    }
}

/// Position of the first CR or LF. Whole blocks are tested without a branch per octet, which the
/// compiler turns into vector instructions.
fn line_byte(octets: &[u8]) -> Option<usize> {
    find(octets, |byte| (byte == b'\r') | (byte == b'\n'))
}

fn find_byte(octets: &[u8], wanted: u8) -> Option<usize> {
    find(octets, |byte| byte == wanted)
}

#[inline(always)]
fn find(octets: &[u8], wanted: impl Fn(u8) -> bool + Copy) -> Option<usize> {
    const BLOCK: usize = 32;
    let (blocks, _) = octets.as_chunks::<BLOCK>();
    let holds = |block: &[u8; BLOCK]| {
        block
            .iter()
            .fold(0_u8, |found, &byte| found | u8::from(wanted(byte)))
            != 0
    };
    let clean = blocks.iter().position(holds).unwrap_or(blocks.len()) * BLOCK;
    let tail = octets.get(clean..)?;
    tail.iter().position(|&byte| wanted(byte)).map(|at| clean + at)
}
