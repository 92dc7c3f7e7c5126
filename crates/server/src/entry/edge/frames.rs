//! Frames of HTTP/2 as they come (RFC 9113 §4.1), to count those that ask for nothing and cost an answer all the same.

const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;

/// Follows the frames of one connection, from its first byte on.
pub(super) struct Frames {
    /// Bytes until the next frame begins.
    skip: usize,
    head: [u8; HEAD_BYTES],
    /// Bytes of `head` that came.
    held: usize,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self {
            skip: PREFACE_BYTES,
            head: [0; HEAD_BYTES],
            held: 0,
        }
    }

    /// How many of the frames whose heads end in these bytes carry nothing of a request: SETTINGS, PING, WINDOW_UPDATE and the like, and
    /// empty DATA.
    pub(super) fn of_no_request(&mut self, mut bytes: &[u8]) -> u32 {
        let mut count = 0;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEAD_BYTES - self.held).min(bytes.len());
            self.head[self.held..self.held + taken].copy_from_slice(&bytes[..taken]);
            self.held += taken;
            bytes = &bytes[taken..];
            if self.held == HEAD_BYTES {
                self.held = 0;
                count += u32::from(!self.begin());
            }
        }
        count
    }

    /// A frame begins; whether it carries something of a request.
    fn begin(&mut self) -> bool {
        let [high, middle, low, kind, flags, ..] = self.head;
        self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        match kind {
            HEADERS | CONTINUATION => true,
            DATA => self.skip > 0 || flags & END_STREAM != 0,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        const PING: u8 = 6;
        const UNKNOWN: u8 = 0xfa;
        let mut bytes = vec![b'x'; PREFACE_BYTES];
        for (kind, flags, length) in [
            (HEADERS, 0, 20),
            (PING, 0, 8),
            (DATA, 0, 300),
            (DATA, END_STREAM, 0),
            (DATA, 0, 0),
            (UNKNOWN, 0, 70_000),
            (CONTINUATION, 0, 0),
        ] {
            let [_, high, middle, low] = u32::to_be_bytes(length);
            bytes.extend([high, middle, low, kind, flags, 0, 0, 0, 1]);
            bytes.extend(vec![PING; usize::try_from(length).unwrap()]);
        }
        for size in [1, 2, 8, 9, 10, 100, bytes.len()] {
            let mut frames = Frames::new();
            let count: u32 = bytes.chunks(size).map(|piece| frames.of_no_request(piece)).sum();
            assert_eq!(count, 3, "in pieces of {size}");
        }
    }
}
