//! The octets' way: a TCP or TLS stream, and writing that keeps an ear open.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Octets read at once. Replies are short.
const READ_OCTETS: usize = 4096;

/// The connection under the dialogue.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Closed by this side; reads end at once.
    Gone,
}

/// A stream with what waits to be written and what was read last.
pub(super) struct Pipe {
    pub(super) stream: Stream,
    /// To be written.
    pub(super) output: Vec<u8>,
    written: usize,
    input: Vec<u8>,
}

/// What a turn of [`Pipe::write_or_hear`] brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// All output is written and flushed.
    Written,
    /// Octets came in: [`Pipe::input`].
    Octets,
    /// The other side is gone.
    End,
}

impl Pipe {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            output: Vec::new(),
            written: 0,
            input: Vec::new(),
        }
    }

    /// The octets that were read last.
    pub(super) fn input(&self) -> &[u8] {
        &self.input
    }

    /// Drops the connection as it is.
    pub(super) fn close(&mut self) {
        self.stream = Stream::Gone;
        self.forget_output();
    }

    /// Writes the output and listens meanwhile, until either octets come in or the other side is gone. A server that
    /// answers before it has read everything can't block us by that, nor we it.
    pub(super) async fn hear(&mut self) -> Heard {
        poll_fn(|cx| {
            // A failed write is no reason to stop listening: the reply that explains it may be there.
            if matches!(self.poll_write_all(cx), Poll::Ready(Err(_))) {
                self.forget_output();
            }
            self.poll_hear(cx)
        })
        .await
    }

    /// Like [`Pipe::hear`], but returns when everything is written.
    pub(super) async fn write_or_hear(&mut self) -> Heard {
        poll_fn(|cx| match self.poll_write_all(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Heard::Written),
            Poll::Ready(Err(_)) => {
                self.forget_output();
                self.poll_hear(cx)
            }
            Poll::Pending => self.poll_hear(cx),
        })
        .await
    }

    /// What can be heard without waiting; `None` if nothing.
    pub(super) fn hear_now(&mut self) -> Option<Heard> {
        // Nobody has to be woken: the next real read registers itself again.
        let mut cx = Context::from_waker(Waker::noop());
        match self.poll_hear(&mut cx) {
            Poll::Ready(heard) => Some(heard),
            Poll::Pending => None,
        }
    }

    /// Says goodbye on the TLS and TCP layers.
    pub(super) async fn shutdown(&mut self) {
        let ended = poll_fn(|cx| match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            Stream::Gone => Poll::Ready(Ok(())),
        });
        // The other side may be gone already, which is what is wanted.
        let _ = ended.await;
        self.close();
    }

    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        self.input.resize(READ_OCTETS, 0);
        let mut buffer = ReadBuf::new(&mut self.input);
        let read = match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, &mut buffer),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, &mut buffer),
            Stream::Gone => Poll::Ready(Ok(())),
        };
        let octets = buffer.filled().len();
        self.input.truncate(octets);
        // An error says no more than an end: in both cases no reply will come.
        match ready!(read) {
            Ok(()) if octets > 0 => Poll::Ready(Heard::Octets),
            Ok(()) | Err(_) => Poll::Ready(Heard::End),
        }
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.output.get(self.written..).filter(|rest| !rest.is_empty()) {
            let written = match &mut self.stream {
                Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, rest),
                Stream::Tls(tls) => Pin::new(tls).poll_write(cx, rest),
                Stream::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                octets => self.written += octets,
            }
        }
        self.forget_output();
        match &mut self.stream {
            Stream::Plain(_) | Stream::Gone => Poll::Ready(Ok(())),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn forget_output(&mut self) {
        self.output.clear();
        self.written = 0;
    }
}
