//! Gates: how much may be under way to each endpoint, so that one that hangs or fails never slows another.
//!
//! An endpoint begins narrow, widens with every delivery that it takes and narrows when nothing comes back. Endpoints that took nothing lately
//! share a part of all slots; whoever has waited long for one gives its slot back, because a socket that waits is no work. What finds its
//! gate full waits there for a moment, if few do, and goes back to the store with a date otherwise: the store's queue stays the only queue.

use crate::clock::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Requests under way to an endpoint of which nothing is known.
const WIDTH_FIRST: usize = 2;
/// Of all slots, the part that one endpoint may have.
const WIDTH_SHARE: usize = 2;
/// Of all slots, the part that endpoints may have together that took nothing lately.
const UNPROVEN_SHARE: usize = 4;
/// How long an endpoint counts as proven after it took a delivery.
const PROVEN_FOR: Duration = Duration::from_secs(600);
/// After this a request hangs: it waits for the other side rather than works.
pub(super) const HANGS_AFTER: Duration = Duration::from_secs(3);
/// Requests that may hang, for each slot.
pub(super) const HANGING_PER_SLOT: usize = 2;
/// How long what finds its gate full waits there, and how many wait at one gate.
const WAITS_FOR: Duration = Duration::from_secs(2);
const WAITING_AT_GATE_MAX: usize = 16;
/// The first wait in the store of what finds no room to wait here, the gap to the next, and the longest wait.
const TURN_FIRST: Duration = Duration::from_millis(250);
const TURN_GAP: Duration = Duration::from_millis(10);
const TURN_MAX: Duration = Duration::from_secs(60);
/// Gates that are remembered; past it those that nothing goes through are forgotten.
const KEPT_MAX: usize = 10_000;

struct Gate {
    running: usize,
    waiting: usize,
    freed: Arc<Notify>,
    hanging: usize,
    width: usize,
    taken_at: Option<Timestamp>,
    next_turn: Timestamp,
}

impl Gate {
    fn is_proven(&self, now: Timestamp) -> bool {
        self.taken_at.is_some_and(|at| now.since(at) < PROVEN_FOR)
    }
}

#[derive(Default)]
struct Inner {
    gates: HashMap<i64, Gate>,
    unproven: usize,
    hanging: usize,
    waiting: usize,
}

/// The gates of a process.
pub(super) struct Gates {
    inner: Mutex<Inner>,
    slots: usize,
    working: Arc<Semaphore>,
}

/// A place in a gate, and a slot; given back when it is dropped.
pub(super) struct Pass {
    gates: Arc<Gates>,
    endpoint: i64,
    is_unproven: bool,
    is_hanging: bool,
    slot: Option<OwnedSemaphorePermit>,
}

impl Gates {
    pub(super) fn new(slots: usize) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
            slots,
            working: Arc::new(Semaphore::new(slots)),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place in an endpoint's gate, once there is a slot; or when to come back.
    pub(super) async fn enter(self: &Arc<Self>, endpoint: i64, now: Timestamp) -> Result<Pass, Timestamp> {
        let mut place = self.place(endpoint, now);
        if place.is_none()
            && let Some(waiting) = self.wait_at(endpoint, now)
        {
            // Whether somebody left or not: there may be a place.
            let _ = timeout(WAITS_FOR, waiting.freed.notified()).await;
            drop(waiting);
            place = self.place(endpoint, now);
        }
        let mut pass = place.ok_or_else(|| self.turn(endpoint, now))?;
        // The semaphore is never closed; were it, a request without a slot would still be right.
        pass.slot = Arc::clone(&self.working).acquire_owned().await.ok();
        Ok(pass)
    }

    fn place(self: &Arc<Self>, endpoint: i64, now: Timestamp) -> Option<Pass> {
        let mut inner = self.lock();
        if inner.gates.len() >= KEPT_MAX {
            inner
                .gates
                .retain(|_, gate| gate.running > 0 || now < gate.next_turn);
        }
        let unproven_has_room = inner.unproven < (self.slots / UNPROVEN_SHARE).max(1);
        let gate = inner.gates.entry(endpoint).or_insert(Gate {
            running: 0,
            waiting: 0,
            freed: Arc::default(),
            hanging: 0,
            width: WIDTH_FIRST,
            taken_at: None,
            next_turn: now,
        });
        let is_unproven = !gate.is_proven(now);
        // One that took nothing lately and hangs is not tried at a second place.
        let is_stuck = is_unproven && (gate.hanging > 0 || !unproven_has_room);
        if gate.running >= gate.width || is_stuck {
            return None;
        }
        gate.running += 1;
        inner.unproven += usize::from(is_unproven);
        Some(Pass {
            gates: Arc::clone(self),
            endpoint,
            is_unproven,
            is_hanging: false,
            slot: None,
        })
    }

    /// A place to wait at a gate, if not too many wait there or at all of them.
    fn wait_at(self: &Arc<Self>, endpoint: i64, now: Timestamp) -> Option<Waiting> {
        let mut inner = self.lock();
        let has_room = inner.waiting < self.slots;
        let gate = inner.gates.get_mut(&endpoint)?;
        // Who takes much may have as many waiting as there is room for.
        let is_crowded = gate.waiting >= WAITING_AT_GATE_MAX && !gate.is_proven(now);
        if !has_room || is_crowded {
            return None;
        }
        gate.waiting += 1;
        let freed = Arc::clone(&gate.freed);
        inner.waiting += 1;
        Some(Waiting {
            gates: Arc::clone(self),
            endpoint,
            freed,
        })
    }

    /// When what found no place comes back: one after the other.
    fn turn(&self, endpoint: i64, now: Timestamp) -> Timestamp {
        let earliest = now.plus(TURN_FIRST);
        match self.lock().gates.get_mut(&endpoint) {
            // It is as quick as it can be: its turn is soon, and not after all others.
            Some(gate) if gate.is_proven(now) => earliest,
            Some(gate) => {
                let turn = gate.next_turn.max(earliest).plus(TURN_GAP);
                gate.next_turn = turn.min(now.plus(TURN_MAX));
                gate.next_turn
            }
            None => earliest,
        }
    }

    /// Learns from a request: it was taken, there was some answer, or nothing came back.
    pub(super) fn heard(&self, endpoint: i64, is_taken: bool, is_answered: bool, now: Timestamp) {
        let width_max = (self.slots / WIDTH_SHARE).max(1);
        if let Some(gate) = self.lock().gates.get_mut(&endpoint) {
            if is_taken {
                gate.taken_at = Some(now);
                gate.width = (gate.width + 1).min(width_max);
            } else if !is_answered {
                gate.width = (gate.width / 2).max(1);
            }
        }
    }
}

/// A place to wait; given back when it is dropped.
struct Waiting {
    gates: Arc<Gates>,
    endpoint: i64,
    freed: Arc<Notify>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut inner = self.gates.lock();
        inner.waiting -= 1;
        if let Some(gate) = inner.gates.get_mut(&self.endpoint) {
            gate.waiting -= 1;
        }
    }
}

impl Pass {
    /// The request has waited for long: the slot is another's, if not too many hang already. The place in the gate stays taken.
    pub(super) fn hang(&mut self) {
        let mut inner = self.gates.lock();
        if self.is_hanging || inner.hanging >= self.gates.slots * HANGING_PER_SLOT {
            return;
        }
        inner.hanging += 1;
        inner.unproven -= usize::from(self.is_unproven);
        if let Some(gate) = inner.gates.get_mut(&self.endpoint) {
            gate.hanging += 1;
        }
        drop(inner);
        self.is_hanging = true;
        self.slot = None;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inner = self.gates.lock();
        if self.is_hanging {
            inner.hanging -= 1;
        } else {
            inner.unproven -= usize::from(self.is_unproven);
        }
        if let Some(gate) = inner.gates.get_mut(&self.endpoint) {
            gate.running -= 1;
            gate.hanging -= usize::from(self.is_hanging);
            gate.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_widens_as_it_takes_and_narrows_as_it_hangs() {
        let (gates, now) = (Gates::new(16), Timestamp::from_micros(0));
        let first: Vec<Pass> = (0..WIDTH_FIRST).map(|_| gates.place(1, now).unwrap()).collect();
        assert!(gates.place(1, now).is_none());
        let turn = gates.turn(1, now);
        assert!(
            turn > now && gates.turn(1, now) > turn,
            "turns come one after the other"
        );
        drop(first);
        for _ in 0..100 {
            gates.heard(1, true, true, now);
        }
        let many: Vec<Pass> = std::iter::from_fn(|| gates.place(1, now)).collect();
        assert_eq!(many.len(), 16 / WIDTH_SHARE);
        drop(many);
        for _ in 0..10 {
            gates.heard(1, false, false, now);
        }
        let few: Vec<Pass> = std::iter::from_fn(|| gates.place(1, now)).collect();
        assert_eq!(few.len(), 1);
    }

    #[test]
    fn endpoints_that_took_nothing_share_a_part_and_give_it_back_when_they_hang() {
        let (gates, now) = (Gates::new(16), Timestamp::from_micros(0));
        let mut held: Vec<Pass> = (0..100)
            .filter_map(|endpoint| gates.place(endpoint, now))
            .collect();
        assert_eq!(held.len(), 16 / UNPROVEN_SHARE);
        assert!(gates.place(200, now).is_none());
        held.iter_mut().for_each(Pass::hang);
        assert!(
            gates.place(200, now).is_some(),
            "a new endpoint has room once the others hang"
        );
        drop(held);
        let inner = gates.lock();
        assert_eq!((inner.unproven, inner.hanging), (0, 0));
    }
}
