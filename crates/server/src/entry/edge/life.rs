//! The life of one connection: what is under way on it, and when it has to end.
//!
//! Deadlines are looked at, not armed: every deadline that can appear lies at least the shortest limit in the future, so a look that
//! often misses none, and a request costs no timer.

#![allow(
    clippy::disallowed_methods,
    reason = "durations of network steps only; nothing here is a stored time"
)]

use super::Pace;
use super::framing::Flaw;
use super::tls::Version;
use crate::limits::{
    H2_IDLE_FRAMES_MAX, H2_IDLE_FRAMES_PER_PIECE, H2_IDLE_FRAMES_PER_REQUEST, H2_RESETS_MAX,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Why the edge ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::entry) enum Ending {
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
    /// Frames came that ask for nothing, and hardly a request.
    IdleFrames,
    /// The HTTP/2 library had enough: of resets, or of what else it counts.
    Http2Flood,
    /// The rules of HTTP/2 were broken.
    Http2Error,
    /// Its answers stayed untaken, and others needed the room.
    Backlog,
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
            Self::IdleFrames => "idle_frames",
            Self::Http2Flood => "http2_flood",
            Self::Http2Error => "http2_error",
            Self::Backlog => "backlog",
        }
    }

    /// Whether the other side deserves a goodbye (RFC 9113 §6.8) before the connection is gone.
    pub(super) fn is_gentle(self) -> bool {
        match self {
            Self::Idle | Self::Shed => true,
            Self::SlowHead
            | Self::SlowReader
            | Self::Resets
            | Self::IdleFrames
            | Self::Http2Flood
            | Self::Http2Error
            | Self::Backlog => false,
        }
    }
}

/// What is known about a connection, shared by all who work on it.
pub(in crate::entry) struct Life {
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
    /// Why the last head was refused; HTTP/1 only.
    flaw: Option<Flaw>,
    /// Whether something written has not left yet.
    is_flushing: bool,
    /// When the last piece of each answer under way was taken.
    answers: HashMap<u64, Instant>,
    next: u64,
    resets_left: u32,
    idle_frames_left: u32,
    ending: Option<Ending>,
}

impl Life {
    pub(in crate::entry) fn new(pace: Pace) -> Arc<Self> {
        let state = State {
            requests: 0,
            was_used: false,
            idle_since: Instant::now(),
            head_since: None,
            flaw: None,
            is_flushing: false,
            answers: HashMap::new(),
            next: 0,
            resets_left: H2_RESETS_MAX,
            idle_frames_left: H2_IDLE_FRAMES_MAX,
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

    /// A part of a head is there.
    pub(super) fn head_began(&self) {
        let mut state = self.state();
        if state.requests == 0 {
            state.head_since.get_or_insert_with(Instant::now);
        }
    }

    /// A head was refused, so the request that comes last stands for it.
    pub(super) fn refuse(&self, flaw: Flaw) {
        self.state().flaw = Some(flaw);
    }

    /// Why a head was refused, once one was.
    pub(super) fn flaw(&self) -> Option<Flaw> {
        self.state().flaw
    }

    /// Frames came that ask for nothing; `false` when those were too many, and the connection ends.
    pub(super) fn may_send_frames(&self, count: u32) -> bool {
        let mut state = self.state();
        state.idle_frames_left = state.idle_frames_left.saturating_sub(count);
        let may = state.idle_frames_left > 0;
        drop(state);
        if !may {
            self.end(Ending::IdleFrames);
        }
        may
    }

    /// Whether something written has not left yet.
    pub(super) fn is_flushing(&self) -> bool {
        self.state().is_flushing
    }

    /// Bytes are on their way out, or the last of them left.
    pub(super) fn said(&self, version: Version, is_flushing: bool) {
        let mut state = self.state();
        state.is_flushing = is_flushing;
        // On HTTP/2 it may be the answer to a ping, which is no use of a connection.
        if version == Version::Http1 {
            state.idle_since = Instant::now();
        }
    }

    /// Waits until somebody ends the connection, for the stretch before HTTP begins.
    pub(in crate::entry) async fn ended(&self) -> Ending {
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
        // The socket's own patience counts for an answer. Who has not asked yet has none to take.
        if self.is_flushing && self.was_used {
            return None;
        }
        let idle = self.idle_since + if self.was_used { pace.keep_alive } else { pace.head };
        let Some(since) = self.head_since else {
            return Some((Ending::Idle, idle));
        };
        Some((Ending::SlowHead, idle.min(since + pace.head)))
    }

    /// A client that takes answers may send more of what asks for nothing: it opens windows, it pings while it waits.
    fn allow_frames(&mut self, count: u32) {
        self.idle_frames_left = self
            .idle_frames_left
            .saturating_add(count)
            .min(H2_IDLE_FRAMES_MAX);
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
        let mut state = self.life.state();
        state.answers.insert(self.id, Instant::now());
        state.allow_frames(H2_IDLE_FRAMES_PER_PIECE);
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
            state.allow_frames(H2_IDLE_FRAMES_PER_REQUEST);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_nobody_asked_for_keeps_no_connection_that_never_made_a_request() {
        let head = std::time::Duration::from_millis(50);
        let life = Life::new(Pace {
            head,
            ..Pace::default()
        });
        life.begin();
        let began = Instant::now();
        life.said(Version::Http2, true);
        assert_eq!(life.watch().await, Ending::Idle);
        assert!(began.elapsed() >= head);
    }
}
