//! Connections, counted: all together, and by network.
//!
//! When everything is taken, a network that holds less than its share still gets in: the network that holds most gives an idle
//! connection for it. A flood so pays for its own guests, and nobody waits behind it in the listener's backlog.

use super::life::{Ending, Life};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Networks that are asked for an idle connection before a newcomer is turned away.
const NETWORKS_ASKED_MAX: usize = 16;

/// Why a connection gets no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::entry) enum Full {
    /// Its network has as many as it may.
    Network,
    /// There are as many as there may be, and its network has its share of them.
    Everything,
}

/// The slots of one listener.
pub(in crate::entry) struct Slots {
    max: usize,
    network_max: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Slots taken, those of no network included.
    total: usize,
    next: u64,
    networks: HashMap<IpNet, BTreeMap<u64, Arc<Life>>>,
    /// The networks by how much they hold.
    by_count: BTreeSet<(usize, IpNet)>,
}

/// A slot that is taken; given back when dropped.
pub(in crate::entry) struct Slot {
    slots: Arc<Slots>,
    life: Arc<Life>,
    id: u64,
    network: Option<IpNet>,
}

impl Slots {
    pub(in crate::entry) fn new(max: usize, network_max: usize) -> Arc<Self> {
        Arc::new(Self {
            max: max.max(1),
            network_max: network_max.max(1),
            table: Mutex::default(),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot for a connection from `network`; from none when it is a trusted proxy's, which speaks for many.
    pub(in crate::entry) fn take(
        self: &Arc<Self>,
        network: Option<IpNet>,
        life: &Arc<Life>,
    ) -> Result<Slot, Full> {
        let mut table = self.table();
        let held = network.map_or(0, |network| table.held(&network));
        if held >= self.network_max {
            return Err(Full::Network);
        }
        if table.total >= self.max && !(table.is_below_share(held, self.max) && table.shed(held)) {
            return Err(Full::Everything);
        }
        table.total += 1;
        table.next += 1;
        let id = table.next;
        if let Some(network) = network {
            table.insert(network, id, life);
        }
        Ok(Slot {
            slots: Arc::clone(self),
            life: Arc::clone(life),
            id,
            network,
        })
    }
}

impl Slot {
    /// The network has become known: it counts from now on.
    pub(super) fn name(&mut self, network: IpNet) -> Result<(), Full> {
        let mut table = self.slots.table();
        if table.held(&network) >= self.slots.network_max {
            return Err(Full::Network);
        }
        table.insert(network, self.id, &self.life);
        self.network = Some(network);
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.slots.table();
        // One that was shed is counted no longer.
        if self.network.is_none_or(|network| table.remove(&network, self.id)) {
            table.total -= 1;
        }
    }
}

impl Table {
    fn held(&self, network: &IpNet) -> usize {
        self.networks.get(network).map_or(0, BTreeMap::len)
    }

    fn insert(&mut self, network: IpNet, id: u64, life: &Arc<Life>) {
        let held = self.networks.entry(network).or_default();
        self.by_count.remove(&(held.len(), network));
        held.insert(id, Arc::clone(life));
        self.by_count.insert((held.len(), network));
    }

    fn remove(&mut self, network: &IpNet, id: u64) -> bool {
        let Some(held) = self.networks.get_mut(network) else {
            return false;
        };
        let count = held.len();
        if held.remove(&id).is_none() {
            return false;
        }
        self.by_count.remove(&(count, *network));
        if held.is_empty() {
            self.networks.remove(network);
        } else {
            self.by_count.insert((count - 1, *network));
        }
        true
    }

    /// Whether one more is still no more than what everybody could have.
    fn is_below_share(&self, held: usize, max: usize) -> bool {
        let networks = self.networks.len() + usize::from(held == 0);
        held < (max / networks.max(1)).max(1)
    }

    /// Ends an idle connection of a network that holds most, if that leaves it with no less than the newcomer's will have.
    fn shed(&mut self, held: usize) -> bool {
        let fullest = self.by_count.iter().rev().take(NETWORKS_ASKED_MAX);
        let idle = fullest
            .take_while(|(count, _)| *count >= held + 2)
            .find_map(|(_, network)| {
                let connections = self.networks.get(network)?;
                let (id, life) = connections.iter().find(|(_, life)| life.is_idle())?;
                Some((*network, *id, Arc::clone(life)))
            });
        let Some((network, id, life)) = idle else {
            return false;
        };
        life.end(Ending::Shed);
        self.remove(&network, id);
        self.total -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pace;
    use super::*;

    fn network(number: u8) -> Option<IpNet> {
        Some(format!("192.0.2.{number}/32").parse().unwrap())
    }

    fn take(slots: &Arc<Slots>, number: u8) -> Result<(Slot, Arc<Life>), Full> {
        let life = Life::new(Pace::default());
        Ok((slots.take(network(number), &life)?, life))
    }

    #[tokio::test]
    async fn a_network_has_its_own_maximum() {
        let slots = Slots::new(10, 2);
        let held = [take(&slots, 1).unwrap(), take(&slots, 1).unwrap()];
        assert_eq!(take(&slots, 1).err(), Some(Full::Network));
        take(&slots, 2).unwrap();
        drop(held);
        take(&slots, 1).unwrap();
    }

    #[tokio::test]
    async fn the_fullest_network_gives_an_idle_connection_to_one_with_less() {
        let slots = Slots::new(4, 10);
        let mut flood: Vec<_> = (0..4).map(|_| take(&slots, 1).unwrap()).collect();
        assert_eq!(take(&slots, 1).err(), Some(Full::Everything));
        // The oldest is at work, so the next one goes.
        let _busy = flood[0].1.request();
        let guest = take(&slots, 2).unwrap();
        assert_eq!(flood[1].1.watch().await, Ending::Shed);
        let second = take(&slots, 2).unwrap();
        assert_eq!(flood[2].1.watch().await, Ending::Shed);
        assert_eq!(take(&slots, 2).err(), Some(Full::Everything), "it has its share");
        // What was shed and is dropped later frees nothing a second time.
        flood.drain(1..3);
        assert_eq!(take(&slots, 1).err(), Some(Full::Everything));
        drop((guest, second));
        take(&slots, 1).unwrap();
    }

    #[tokio::test]
    async fn nobody_is_shed_for_an_equal() {
        let slots = Slots::new(3, 10);
        let held: Vec<_> = (1..=3).map(|number| take(&slots, number).unwrap()).collect();
        assert_eq!(take(&slots, 4).err(), Some(Full::Everything));
        assert!(held.iter().all(|(_, life)| life.is_idle()));
    }

    #[tokio::test]
    async fn a_proxied_connection_counts_for_its_client_once_that_is_known() {
        let slots = Slots::new(10, 1);
        let life = Life::new(Pace::default());
        let mut first = slots.take(None, &life).unwrap();
        let mut second = slots.take(None, &life).unwrap();
        assert_eq!(first.name(network(1).unwrap()), Ok(()));
        assert_eq!(second.name(network(1).unwrap()), Err(Full::Network));
        drop((first, second));
        assert_eq!(slots.table().total, 0);
        assert!(slots.table().by_count.is_empty());
    }
}
