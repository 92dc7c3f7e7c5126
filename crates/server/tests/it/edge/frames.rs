//! HTTP/2 by hand (RFC 9113): a client that may break any rule.

use super::Stage;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// The error code of a peer that has had enough.
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;
/// The error code of a stream that was not begun.
pub(super) const REFUSED_STREAM: u32 = 7;

/// One frame as it came.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The number at this place of the payload.
    pub(super) fn number(&self, place: usize) -> u32 {
        u32::from_be_bytes(self.payload[place..place + 4].try_into().unwrap())
    }
}

/// The bytes of a frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of `GET path`, without any compression that has a memory.
pub(super) fn get(path: &str) -> Vec<u8> {
    let mut head = vec![0x82, 0x87];
    for (name, value) in [(0x04, path), (0x01, "localhost")] {
        head.extend([name, u8::try_from(value.len()).unwrap()]);
        head.extend(value.as_bytes());
    }
    head
}

/// A connection on which any bytes may be sent.
pub(super) struct Raw(TlsStream<TcpStream>);

impl Raw {
    /// Says hello.
    pub(super) async fn open(stage: &Stage, from: &str) -> Self {
        let stream = stage.tcp(from).await;
        let mut raw = Self(stage.secure(stream, "h2").await.unwrap());
        let hello = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(SETTINGS, 0, 0, &[]),
        ];
        assert!(raw.send(&hello.concat()).await);
        raw
    }

    /// Whether the bytes were taken.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok() && self.0.flush().await.is_ok()
    }

    /// The next frame; `None` when the connection ended.
    pub(super) async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        let read = tokio::time::timeout(Duration::from_secs(10), self.0.read_exact(&mut head)).await;
        read.expect("neither a frame nor the end").ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    /// Reads until a frame of one of these kinds comes.
    pub(super) async fn until(&mut self, kinds: &[u8]) -> Option<Frame> {
        loop {
            let frame = self.read().await?;
            if kinds.contains(&frame.kind) {
                return Some(frame);
            }
        }
    }

    /// Waits until everything sent so far was looked at: a ping comes back; `false` when the connection ended.
    pub(super) async fn settle(&mut self) -> bool {
        if !self.send(&frame(PING, 0, 0, b"--ping--")).await {
            return false;
        }
        while let Some(frame) = self.read().await {
            if frame.kind == PING && frame.flags == 1 {
                return true;
            }
            if frame.kind == GOAWAY {
                return false;
            }
        }
        false
    }
}
