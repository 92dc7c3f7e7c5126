//! What was found good a moment ago.

use crate::clock::Timestamp;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// How long what was found good is not asked for again. Bounds how long a revoked key, or a member whose role was taken, still works, on
/// every node: the promise is one second.
const REMEMBERED_FOR: Duration = Duration::from_millis(500);
/// Entries remembered at once; past it the memory starts anew.
const REMEMBERED_MAX: usize = 10_000;

/// Remembers for half a second whom a key or a session was found to belong to.
#[derive(Debug)]
pub struct Recent<T>(RwLock<HashMap<Vec<u8>, Known<T>>>);

#[derive(Debug)]
struct Known<T> {
    at: Timestamp,
    good_until: Option<Timestamp>,
    value: T,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T: Clone> Recent<T> {
    /// What was found, if that was a moment ago and its time is not over.
    pub fn get(&self, lookup: &[u8], now: Timestamp) -> Option<T> {
        let remembered = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = remembered.get(lookup)?;
        let is_fresh = known.at <= now && now.since(known.at) < REMEMBERED_FOR;
        let is_good = known.good_until.is_none_or(|until| now < until);
        (is_fresh && is_good).then(|| known.value.clone())
    }

    /// Remembers what was found at `at`.
    pub fn put(&self, lookup: Vec<u8>, at: Timestamp, good_until: Option<Timestamp>, value: T) {
        let mut remembered = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        let known = Known {
            at,
            good_until,
            value,
        };
        remembered.insert(lookup, known);
    }
}
