//! The life of one connection: what is under way on it, and when it has to end.
//!
//! Deadlines are looked at, not armed: every deadline that can appear lies at least the shortest limit in the future, so a look that
//! often misses none, and a request costs no timer.

#![allow(
    clippy::disallowed_methods,
    reason = "durations of network steps only; nothing here is a stored time"
)]

use super::Pace;
use super::tls::Version;
use crate::limits::H2_RESETS_MAX;
use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Why the edge ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Nothing came for as long as a connection is kept.
    Idle,
    /// It made room for a network that had less.
    Shed,
    /// A head began and did not end in time.
    SlowHead,
    /// An answer was not taken.
    SlowReader,
    /// More requests were given up than waited for.
    Resets,
}

impl Ending {
    /// The name in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Shed => "shed",
            Self::SlowHead => "slow_head",
            Self::SlowReader => "slow_reader",
            Self::Resets => "resets",
        }
    }

    /// Whether the other side deserves a goodbye (RFC 9113 §6.8) before the connection is gone.
    pub(super) fn is_gentle(self) -> bool {
        match self {
            Self::Idle | Self::Shed => true,
            Self::SlowHead | Self::SlowReader | Self::Resets => false,
        }
    }
}

/// What is known about a connection, shared by all who work on it.
pub(super) struct Life {
    pace: Pace,
    state: Mutex<State>,
    ended: Notify,
}

struct State {
    /// Requests whose answer has not been handed over completely.
    requests: usize,
    was_used: bool,
    idle_since: Instant,
    /// When the first byte of a head came that is not complete yet; HTTP/1 only.
    head_since: Option<Instant>,
    /// Whether something written has not left yet.
    is_flushing: bool,
    /// When the last piece of each answer under way was taken.
    answers: HashMap<u64, Instant>,
    next: u64,
    resets_left: u32,
    ending: Option<Ending>,
}

impl Life {
    pub(super) fn new(pace: Pace) -> Arc<Self> {
        let state = State {
            requests: 0,
            was_used: false,
            idle_since: Instant::now(),
            head_since: None,
            is_flushing: false,
            answers: HashMap::new(),
            next: 0,
            resets_left: H2_RESETS_MAX,
            ending: None,
        };
        Arc::new(Self {
            pace,
            state: Mutex::new(state),
            ended: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no request is under way and nothing is left of an answer.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state();
        state.requests == 0 && !state.is_flushing
    }

    /// Ends the connection; the first reason stays.
    pub(super) fn end(&self, ending: Ending) {
        self.state().ending.get_or_insert(ending);
        self.ended.notify_one();
    }

    /// Why the connection has to end, if somebody said so.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.state().ending
    }

    /// HTTP begins; what came before had deadlines of its own.
    pub(super) fn begin(&self) {
        self.state().idle_since = Instant::now();
    }

    /// A request's head is complete.
    pub(super) fn request(self: &Arc<Self>) -> Underway {
        let mut state = self.state();
        state.requests += 1;
        state.was_used = true;
        state.head_since = None;
        state.next += 1;
        Underway {
            life: Arc::clone(self),
            id: state.next,
            is_done: false,
        }
    }

    /// Bytes came in.
    fn heard(&self) {
        let mut state = self.state();
        if state.requests == 0 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }

    /// Bytes are on their way out, or the last of them left.
    fn said(&self, version: Version, is_flushing: bool) {
        let mut state = self.state();
        state.is_flushing = is_flushing;
        // On HTTP/2 it may be the answer to a ping, which is no use of a connection.
        if version == Version::Http1 {
            state.idle_since = Instant::now();
        }
    }

    /// Waits until somebody ends the connection, for the stretch before HTTP begins.
    pub(super) async fn ended(&self) -> Ending {
        loop {
            if let Some(ending) = self.ending() {
                return ending;
            }
            self.ended.notified().await;
        }
    }

    /// Waits until the connection has to end.
    pub(super) async fn watch(&self) -> Ending {
        loop {
            let now = Instant::now();
            let next_look = now + self.pace.shortest();
            let (due, ending) = {
                let state = self.state();
                (state.due(&self.pace), state.ending)
            };
            let until = match (ending, due) {
                (Some(ending), _) => return ending,
                (None, Some((ending, at))) if at <= now => return ending,
                (None, Some((_, at))) => at.min(next_look),
                (None, None) => next_look,
            };
            tokio::select! {
                () = self.ended.notified() => {}
                () = sleep_until(until) => {}
            }
        }
    }
}

impl State {
    /// The next deadline as things stand.
    fn due(&self, pace: &Pace) -> Option<(Ending, Instant)> {
        if self.requests > 0 {
            let oldest = self.answers.values().min()?;
            return Some((Ending::SlowReader, *oldest + pace.answer_stall));
        }
        if self.is_flushing {
            return None; // the socket's own patience counts
        }
        let idle = if self.was_used { pace.keep_alive } else { pace.head };
        let idle = (Ending::Idle, self.idle_since + idle);
        let head = self.head_since.map(|since| (Ending::SlowHead, since + pace.head));
        Some(head.filter(|head| head.1 <= idle.1).unwrap_or(idle))
    }
}

/// A request under way: from its head to the last byte of its answer handed over.
pub(super) struct Underway {
    life: Arc<Life>,
    id: u64,
    is_done: bool,
}

impl Underway {
    /// A piece of the answer was taken, or the answer begins.
    pub(super) fn progress(&self) {
        self.life.state().answers.insert(self.id, Instant::now());
    }

    /// The answer was taken whole.
    pub(super) fn done(&mut self) {
        self.is_done = true;
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let mut state = self.life.state();
        state.requests -= 1;
        state.answers.remove(&self.id);
        state.idle_since = Instant::now();
        // Giving up is free for the client and work for us (CVE-2023-44487, CVE-2025-8671): who does it has to wait for as many others.
        if self.is_done {
            state.resets_left = state.resets_left.saturating_add(1).min(H2_RESETS_MAX);
        } else {
            state.resets_left = state.resets_left.saturating_sub(1);
        }
        let is_flood = state.resets_left == 0;
        drop(state);
        if is_flood {
            self.life.end(Ending::Resets);
        }
    }
}

/// Tells the connection's life when bytes come and go.
pub(super) struct Heard<S> {
    stream: S,
    version: Version,
    life: Arc<Life>,
}

impl<S> Heard<S> {
    pub(super) fn new(stream: S, version: Version, life: Arc<Life>) -> Self {
        Self {
            stream,
            version,
            life,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let step = Pin::new(&mut self.stream).poll_read(context, buffer);
        // On HTTP/2 frames come and go between requests that say nothing of a head.
        if self.version == Version::Http1 && buffer.filled().len() > before {
            self.life.heard();
        }
        step
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.life.said(self.version, true);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.life.said(self.version, true);
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let step = Pin::new(&mut self.stream).poll_flush(context);
        if step.is_ready() && self.life.state().is_flushing {
            self.life.said(self.version, false);
        }
        step
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
