//! Requests under way, counted: all together, and by network.
//!
//! A network may have as many as are still free. Alone it gets half of all, with one other each gets a third, and so on; there is
//! always room for one more, and nobody needs to know how many others there are.

use ipnet::IpNet;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The turns of one listener.
pub(super) struct Turns {
    max: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    total: usize,
    networks: HashMap<IpNet, usize>,
}

/// A request's turn; given back when dropped.
pub(super) struct Turn {
    turns: Arc<Turns>,
    network: IpNet,
}

impl Turns {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max: max.max(1),
            table: Mutex::default(),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn for a request from `network`, if it may have one more.
    pub(super) fn take(self: &Arc<Self>, network: IpNet) -> Option<Turn> {
        let mut table = self.table();
        let free = self.max - table.total;
        let held = table.networks.get(&network).copied().unwrap_or(0);
        if held >= free {
            return None;
        }
        table.total += 1;
        table.networks.insert(network, held + 1);
        Some(Turn {
            turns: Arc::clone(self),
            network,
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut table = self.turns.table();
        table.total -= 1;
        if let Some(held) = table.networks.get_mut(&self.network) {
            *held -= 1;
            if *held == 0 {
                table.networks.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(turns: &Arc<Turns>, network: &str) -> Vec<Turn> {
        let network = network.parse().unwrap();
        std::iter::from_fn(|| turns.take(network)).collect()
    }

    #[test]
    fn each_network_gets_what_is_free_and_leaves_room_for_the_next() {
        let turns = Turns::new(12);
        let first = fill(&turns, "192.0.2.1/32");
        assert_eq!(first.len(), 6);
        let second = fill(&turns, "192.0.2.2/32");
        assert_eq!(second.len(), 3);
        drop(first);
        assert_eq!(fill(&turns, "192.0.2.2/32").len(), 3);
        drop(second);
        assert_eq!(turns.table().total, 0);
        assert!(turns.table().networks.is_empty());
    }

    #[test]
    fn the_last_one_is_for_whoever_has_none() {
        let turns = Turns::new(1);
        let held = fill(&turns, "192.0.2.1/32");
        assert_eq!(held.len(), 1);
        assert!(fill(&turns, "192.0.2.2/32").is_empty());
    }
}
