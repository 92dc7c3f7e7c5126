//! A client that says what it is told over SMTP, right or wrong.

use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// An SMTP connection.
pub(crate) struct Talk<S = TcpStream> {
    stream: S,
    unread: Vec<u8>,
}

impl Talk {
    /// Connects, reads the greeting and says EHLO.
    pub(crate) async fn start(address: SocketAddr) -> Self {
        let mut talk = Self::over(TcpStream::connect(address).await.unwrap());
        assert!(talk.reply().await.starts_with("220 "));
        assert!(talk.say("EHLO mx.reader.example").await.starts_with("250"));
        talk
    }

    /// Brings a message, which must be taken.
    pub(crate) async fn bring(address: SocketAddr, to: &str, message: &str) {
        let reply = Self::try_bring(address, to, message).await;
        assert!(reply.starts_with("250 "), "{to}: {reply}");
    }

    /// Brings a message; returns the first refusal, or what was said to the dot.
    pub(crate) async fn try_bring(address: SocketAddr, to: &str, message: &str) -> String {
        let mut talk = Self::start(address).await;
        for line in ["MAIL FROM:<>", &format!("RCPT TO:<{to}>"), "DATA"] {
            let reply = talk.say(line).await;
            if !reply.starts_with(['2', '3']) {
                return reply;
            }
        }
        let message = message
            .replace("\r\n", "\n")
            .replace('\n', "\r\n")
            .replace("\r\n.", "\r\n..");
        talk.say(&format!("{message}\r\n.")).await
    }

    /// The stream, for a handshake.
    pub(crate) fn into_stream(self) -> TcpStream {
        assert!(self.unread.is_empty());
        self.stream
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// Sends a line and reads the reply, all its lines; empty when the connection ended.
    pub(crate) async fn say(&mut self, line: &str) -> String {
        self.raw(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    /// Sends octets. Whether the other side still listens is seen at the next reply.
    pub(crate) async fn raw(&mut self, octets: &[u8]) {
        let _ = self.stream.write_all(octets).await;
    }

    /// Reads one reply; empty when the connection ended.
    pub(crate) async fn reply(&mut self) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.unread).into_owned();
            let lines: Vec<&str> = text.split_inclusive("\r\n").collect();
            let last = lines
                .iter()
                .position(|line| line.ends_with("\r\n") && line.get(3..4) == Some(" "));
            if let Some(last) = last {
                let reply = lines[..=last].concat();
                self.unread.drain(..reply.len());
                return reply;
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).await {
                Ok(count) if count > 0 => self.unread.extend_from_slice(&buffer[..count]),
                _ => return String::new(),
            }
        }
    }
}
