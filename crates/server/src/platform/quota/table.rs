//! A table of bounded size, for what is kept about callers and networks: shared by quotas, failures and scores.
//!
//! Keys are spread over [`SETS`] sets by a hash that only this process knows; a set holds at most [`WAYS`] entries and has its own
//! lock. An entry that says nothing any more is forgotten when room is needed, and by [`Table::sweep`]. If every entry of a full set
//! still says something, the one that says least gives way ([`Entry::rank`]).
//!
//! Whoever wants an entry of his forgotten early has to fill its set with entries of higher rank. He can't tell which keys fall into
//! it, so he has to fill the whole table: [`SETS`] × [`WAYS`] (65,536) networks or organizations that each behaved worse than he did.
//! With so many addresses nobody needs one of them forgotten. The memory is the same bound, whatever anybody sends.

use crate::clock::Timestamp;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Sets of a table; a power of two.
pub(super) const SETS: usize = 2048;
/// Entries of a set, at most. With the table half full, one set in some thousands has had to forget; a quarter full, none.
pub(super) const WAYS: usize = 32;

/// A key: a hash already, so that no address and no credential is kept.
pub(super) type Key = [u8; 16];

/// What a table keeps.
pub(super) trait Entry {
    /// How much would be lost with the entry: `None` if nothing, else the higher the more.
    fn rank(&self, now: Timestamp) -> Option<u64>;
}

type Set<V> = Vec<(Key, V)>;

pub(super) struct Table<V> {
    sets: Box<[Mutex<Set<V>>]>,
    hash: RandomState,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            sets: (0..SETS).map(|_| Mutex::default()).collect(),
            hash: RandomState::new(),
        }
    }
}

impl<V: Entry> Table<V> {
    /// Runs `change` on the entry of a key, made by `V::default` if there is none.
    pub(super) fn change<R>(&self, key: &Key, now: Timestamp, change: impl FnOnce(&mut V) -> R) -> R
    where
        V: Default,
    {
        let mut set = self.set(key);
        if let Some((_, entry)) = set.iter_mut().find(|(known, _)| known == key) {
            return change(entry);
        }
        make_room(&mut set, now);
        let mut entry = V::default();
        let answer = change(&mut entry);
        set.push((*key, entry));
        answer
    }

    /// Runs `look` on the entry of a key, if there is one.
    pub(super) fn look<R>(&self, key: &Key, look: impl FnOnce(&mut V) -> R) -> Option<R> {
        let mut set = self.set(key);
        set.iter_mut()
            .find(|(known, _)| known == key)
            .map(|(_, entry)| look(entry))
    }

    /// Forgets entries that say nothing any more.
    pub(super) fn sweep(&self, now: Timestamp) {
        for set in &self.sets {
            let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
            set.retain(|(_, entry)| entry.rank(now).is_some());
            set.shrink_to(WAYS / 2);
        }
    }

    /// Entries that are kept now.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let len = |set: &Mutex<Set<V>>| set.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.sets.iter().map(len).sum()
    }

    #[allow(
        clippy::indexing_slicing,
        reason = "the remainder is smaller than the number of sets"
    )]
    fn set(&self, key: &Key) -> MutexGuard<'_, Set<V>> {
        let place = self.hash.hash_one(key) as usize % SETS;
        self.sets[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room<V: Entry>(set: &mut Set<V>, now: Timestamp) {
    if set.len() < WAYS {
        return;
    }
    set.retain(|(_, entry)| entry.rank(now).is_some());
    if set.len() >= WAYS {
        let least = (0..set.len()).min_by_key(|place| set.get(*place).and_then(|(_, entry)| entry.rank(now)));
        set.swap_remove(least.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says something until an instant; the longer the more.
    #[derive(Default)]
    struct Until(i64);

    impl Entry for Until {
        fn rank(&self, now: Timestamp) -> Option<u64> {
            u64::try_from(self.0 - now.micros()).ok().filter(|left| *left > 0)
        }
    }

    fn key(number: u64) -> Key {
        u128::from(number).to_be_bytes()
    }

    fn now(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn a_million_keys_take_no_more_room_than_the_table_has() {
        let table = Table::<Until>::default();
        for number in 0..1_000_000 {
            table.change(&key(number), now(0), |entry| entry.0 = 100);
        }
        assert!(table.len() <= SETS * WAYS);
        assert!(table.len() > SETS * WAYS * 9 / 10);
        table.sweep(now(100));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn what_says_most_outlives_any_number_of_lesser_ones() {
        let table = Table::<Until>::default();
        table.change(&key(7), now(0), |entry| entry.0 = 1000);
        for number in 100..300_000 {
            table.change(&key(number), now(0), |entry| entry.0 = 999);
        }
        assert_eq!(table.look(&key(7), |entry| entry.0), Some(1000));
        assert_eq!(table.look(&key(99), |_| ()), None);
    }

    #[test]
    fn half_full_it_forgets_next_to_nothing() {
        let table = Table::<Until>::default();
        let half = (SETS * WAYS / 2) as u64;
        for number in 0..half {
            table.change(&key(number), now(0), |entry| entry.0 = 100);
        }
        let lost = half - table.len() as u64;
        assert!(lost < half / 1000, "{lost} of {half}");
    }
}
