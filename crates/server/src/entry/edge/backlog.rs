//! Answers that wait for their readers: how much memory they may take.
//!
//! An answer lies in memory until its last byte is taken, and its reader may be slow on purpose. When there is no room for one more, the
//! network that holds most gives its oldest, together with the connection that it is on. So slow readers make room for each other, and
//! whoever takes what it asked for does not notice them.

use super::life::{Ending, Life};
use ipnet::IpNet;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The answers of one listener.
pub(super) struct Backlog {
    bytes_max: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    bytes: usize,
    next: u64,
    networks: HashMap<IpNet, Held>,
}

/// What one network's readers have not taken.
#[derive(Default)]
struct Held {
    bytes: usize,
    /// The oldest comes first.
    answers: BTreeMap<u64, (usize, Arc<Life>)>,
}

/// The room that an answer takes; given back when dropped.
pub(super) struct Room {
    backlog: Arc<Backlog>,
    network: IpNet,
    id: u64,
}

impl Backlog {
    pub(super) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            table: Mutex::default(),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for an answer to `network`. There always is: past the limit, others have to go.
    pub(super) fn make_room(self: &Arc<Self>, network: IpNet, bytes: usize, life: &Arc<Life>) -> Room {
        let mut table = self.table();
        table.next += 1;
        let id = table.next;
        table.bytes += bytes;
        let held = table.networks.entry(network).or_default();
        held.bytes += bytes;
        held.answers.insert(id, (bytes, Arc::clone(life)));
        while table.bytes > self.bytes_max && table.shed(id) {}
        Room {
            backlog: Arc::clone(self),
            network,
            id,
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.backlog.table().remove(self.network, self.id);
    }
}

impl Table {
    /// Ends the connection that the fullest network's oldest answer waits on; `false` when that is the newest answer of all.
    fn shed(&mut self, newest: u64) -> bool {
        let fullest = self.networks.iter().max_by_key(|(_, held)| held.bytes);
        let oldest = fullest.and_then(|(network, held)| Some((*network, *held.answers.first_key_value()?.0)));
        let Some((network, id)) = oldest.filter(|(_, id)| *id != newest) else {
            return false;
        };
        if let Some(life) = self.remove(network, id) {
            life.end(Ending::Backlog);
        }
        true
    }

    /// One that was shed is there no longer.
    fn remove(&mut self, network: IpNet, id: u64) -> Option<Arc<Life>> {
        let held = self.networks.get_mut(&network)?;
        let (bytes, life) = held.answers.remove(&id)?;
        held.bytes -= bytes;
        self.bytes -= bytes;
        if held.answers.is_empty() {
            self.networks.remove(&network);
        }
        Some(life)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pace;
    use super::*;

    fn wait(backlog: &Arc<Backlog>, network: u8, bytes: usize) -> (Room, Arc<Life>) {
        let life = Life::new(Pace::default());
        let network = format!("192.0.2.{network}/32").parse().unwrap();
        (backlog.make_room(network, bytes, &life), life)
    }

    #[test]
    fn the_network_that_holds_most_gives_its_oldest_answer() {
        let backlog = Backlog::new(100);
        let slow: Vec<_> = (0..4).map(|_| wait(&backlog, 1, 20)).collect();
        let other = wait(&backlog, 2, 20);
        assert!(slow.iter().all(|(_, life)| life.ending().is_none()));
        let newcomer = wait(&backlog, 3, 30);
        let ended: Vec<_> = slow.iter().map(|(_, life)| life.ending()).collect();
        assert_eq!(ended, [Some(Ending::Backlog), Some(Ending::Backlog), None, None]);
        assert!(
            [&other, &newcomer]
                .iter()
                .all(|(_, life)| life.ending().is_none())
        );
        assert_eq!(backlog.table().bytes, 90);
        // What was shed and is dropped later frees nothing a second time.
        drop(slow);
        assert_eq!(backlog.table().bytes, 50);
        drop((other, newcomer));
        assert_eq!(backlog.table().bytes, 0);
        assert!(backlog.table().networks.is_empty());
    }

    #[test]
    fn an_answer_larger_than_all_room_is_given_and_the_next_one_takes_its_place() {
        let backlog = Backlog::new(100);
        let large = wait(&backlog, 1, 500);
        assert_eq!(large.1.ending(), None);
        let next = wait(&backlog, 2, 10);
        assert_eq!((large.1.ending(), next.1.ending()), (Some(Ending::Backlog), None));
    }
}
