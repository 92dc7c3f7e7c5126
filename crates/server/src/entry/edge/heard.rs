//! The bytes of a connection on their way to the HTTP library and back: what they tell of its life, and what is not let through.

use super::frames::Frames;
use super::framing::Framing;
use super::life::Life;
use super::tls::Version;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that tells the connection's life when bytes come and go.
pub(super) struct Heard<S> {
    stream: S,
    wire: Wire,
    life: Arc<Life>,
}

/// What is followed in the bytes that come.
enum Wire {
    Http1(Framing),
    Http2(Frames),
}

impl<S> Heard<S> {
    pub(super) fn new(stream: S, version: Version, life: Arc<Life>) -> Self {
        let wire = match version {
            Version::Http1 => Wire::Http1(Framing::new()),
            Version::Http2 => Wire::Http2(Frames::new()),
        };
        Self { stream, wire, life }
    }

    fn version(&self) -> Version {
        match self.wire {
            Wire::Http1(_) => Version::Http1,
            Wire::Http2(_) => Version::Http2,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, wire, life } = &mut *self;
        let before = buffer.filled().len();
        match wire {
            Wire::Http1(framing) => loop {
                let is_handed_over = framing.hand_over(buffer)?;
                if let Some(flaw) = framing.flaw() {
                    life.refuse(flaw);
                }
                if is_handed_over {
                    return Poll::Ready(Ok(()));
                }
                if framing.is_over() {
                    return Poll::Pending; // the refusal is the last that is said here
                }
                if framing.is_in_head() {
                    life.head_began();
                }
                ready!(Pin::new(&mut *stream).poll_read(context, buffer))?;
                if buffer.filled().len() == before {
                    return Poll::Ready(Ok(())); // the end
                }
                framing.keep(buffer, before);
            },
            Wire::Http2(frames) => {
                ready!(Pin::new(stream).poll_read(context, buffer))?;
                let count = frames.of_no_request(&buffer.filled()[before..]);
                if count > 0 && !life.may_send_frames(count) {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                }
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.life.said(self.version(), true);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.life.said(self.version(), true);
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let step = Pin::new(&mut self.stream).poll_flush(context);
        if step.is_ready() && self.life.is_flushing() {
            self.life.said(self.version(), false);
        }
        step
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
