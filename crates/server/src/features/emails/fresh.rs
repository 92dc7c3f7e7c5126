//! Messages that were accepted a moment ago, kept in clear in bounded memory so that delivery need not read and open them again.
//!
//! Only a shortcut: what is not here is read from the store.

use crate::id::EmailId;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of messages kept at once.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Composed messages by e-mail.
#[derive(Default)]
pub struct Fresh {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    messages: HashMap<EmailId, Arc<[u8]>>,
    order: VecDeque<EmailId>,
    bytes: usize,
    /// Entries of `order` that the last sweep saw.
    swept: usize,
}

impl Fresh {
    /// Keeps a message; the oldest make room.
    pub fn put(&self, id: EmailId, message: Arc<[u8]>) {
        if message.len() > BYTES_MAX / 8 {
            return;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.bytes += message.len();
        inner.order.push_back(id.clone());
        inner.messages.insert(id, message);
        while inner.bytes > BYTES_MAX || inner.order.len() > 2 * inner.messages.len() + 64 {
            let Some(oldest) = inner.order.pop_front() else {
                break;
            };
            inner.swept = inner.swept.saturating_sub(1);
            if let Some(message) = inner.messages.remove(&oldest) {
                inner.bytes -= message.len();
            }
        }
    }

    /// Drops what was already here at the last sweep: called every few seconds, so that nothing stays in clear for long.
    pub fn sweep(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..std::mem::take(&mut inner.swept) {
            let Some(oldest) = inner.order.pop_front() else {
                break;
            };
            if let Some(message) = inner.messages.remove(&oldest) {
                inner.bytes -= message.len();
            }
        }
        inner.swept = inner.order.len();
    }

    /// Takes a message out.
    pub fn take(&self, id: &EmailId) -> Option<Arc<[u8]>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let message = inner.messages.remove(id)?;
        inner.bytes -= message.len();
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::id::Id as _;

    #[test]
    fn the_oldest_make_room_and_what_was_taken_is_gone() {
        let fresh = Fresh::default();
        let id = |n: u8| EmailId::generate(Timestamp::from_micros(1), [n; 10]);
        let message: Arc<[u8]> = vec![0; BYTES_MAX / 10].into();
        (0..12).for_each(|n| fresh.put(id(n), Arc::clone(&message)));
        assert!(fresh.take(&id(0)).is_none());
        assert!(fresh.take(&id(11)).is_some());
        assert!(fresh.take(&id(11)).is_none());
    }

    #[test]
    fn nothing_stays_past_two_sweeps() {
        let fresh = Fresh::default();
        let id = EmailId::generate(Timestamp::from_micros(1), [1; 10]);
        fresh.put(id.clone(), vec![1].into());
        fresh.sweep();
        assert!(fresh.inner.lock().is_ok_and(|inner| inner.messages.len() == 1));
        fresh.sweep();
        assert!(fresh.take(&id).is_none());
    }
}
