//! Whether slow destinations are felt by another.
//!
//! A thousand hosts, each with an address of its own, take connections and greet late or never. Each round measures deliveries to one quick
//! host alone, then beside the slow ones, whose mail was accepted just before by the same process, and alone again on another process,
//! when what was left of the slow mail has been dropped.

use super::super::ground::{Account, Ground};
use super::super::meter::Measured;
use super::super::names::Names;
use super::super::{BenchError, Beside, failed};
use super::accept::{Sending, Until, send};
use super::deliver::{Deliver, ROLES, sink};
use super::{median, sorted};
use crate::config::Config;
use crate::features::delivery::{Change, Chosen, Queue};
use crate::platform::Platform;
use crate::platform::dev::sink::{Moment, Sink, SinkOptions, SinkScript, Verdict};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Slow destinations.
const SLOW: usize = 1000;
/// Messages for each of them.
const FOR_EACH: u64 = 3;
/// When every other one of them greets; the others never do. Longer than an attempt may wait before it counts as hanging.
const GREETS_AFTER: Duration = Duration::from_secs(5);
const NEVER: Duration = Duration::from_secs(24 * 3600);
/// The quick destination.
const QUICK: &str = "quick.example";
const QUICK_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 1, 255, 1);
/// Slow destinations in one network of addresses.
const IN_NETWORK: usize = 250;
/// Bytes of the mail for slow ones.
const SLOW_BODY_BYTES: usize = 1000;
/// Tasks that accept it.
const SEEDING_TASKS: u64 = 100;
/// What hangs is given back when a process stops; waiting for it would only take time.
const STOP_TIMEOUT_S: u64 = 1;

/// A world of one quick and many slow destinations.
pub(super) struct Slow<'a> {
    ground: &'a Ground,
    config: Config,
    account: Account,
    _names: Names,
    slow: Arc<[Sink]>,
    quick_at: SocketAddr,
    /// Which of the slow ones were connected to.
    connected: Arc<[AtomicBool]>,
    connected_to: usize,
    alone: Vec<f64>,
    beside: Vec<f64>,
}

impl<'a> Slow<'a> {
    pub(super) async fn start(ground: &'a Ground) -> Result<Self, BenchError> {
        let names = Names::start(address_of).await?;
        let quick = sink(SocketAddr::from((QUICK_ADDRESS, 0)))?;
        let quick_at = quick.addr();
        quick.shutdown().await;
        let connected: Arc<[AtomicBool]> = (0..SLOW).map(|_| AtomicBool::new(false)).collect();
        let slow = (0..SLOW).map(|place| slow_host(place, quick_at.port(), Arc::clone(&connected)));
        let slow: Arc<[Sink]> = slow.collect::<Result<_, _>>()?;
        let mut config = ground.config.clone();
        config.delivery.port = quick_at.port();
        config.net.name_servers = vec![names.address];
        config.net.dnssec = "off".to_owned();
        config.server.stop_timeout_s = STOP_TIMEOUT_S;
        let (platform, _lock) = ground.open().await?;
        let account = ground.account(&platform).await?;
        Ok(Self {
            ground,
            config,
            account,
            _names: names,
            slow,
            quick_at,
            connected,
            connected_to: SLOW,
            alone: Vec::new(),
            beside: Vec::new(),
        })
    }

    /// Alone, beside slow ones, alone again; what is handed on is the one between.
    pub(super) async fn round(&mut self, round: u64) -> Result<Measured, BenchError> {
        self.connected
            .iter()
            .for_each(|one| one.store(false, Ordering::Relaxed));
        let deliver = self.deliver().await?;
        let before = deliver.round(3 * round).await?;
        self.accept_slow(deliver.platform(), round).await?;
        let beside = deliver.round(3 * round + 1).await?;
        deliver.stop().await;
        let connected = self.connected.iter().filter(|one| one.load(Ordering::Relaxed));
        self.connected_to = self.connected_to.min(connected.count());
        self.drop_slow().await?;
        let deliver = self.deliver().await?;
        let after = deliver.round(3 * round + 2).await?;
        deliver.stop().await;
        self.alone.push((before.rate_per_s() + after.rate_per_s()) / 2.0);
        self.beside.push(beside.rate_per_s());
        Ok(beside)
    }

    pub(super) fn stop(self) -> Beside {
        let parts = self.beside.iter().zip(&self.alone);
        let parts = sorted(
            parts
                .map(|(beside, alone)| beside / alone.max(f64::EPSILON))
                .collect(),
        );
        Beside {
            destinations: SLOW,
            connected_to: self.connected_to,
            alone_per_s: median(sorted(self.alone)),
            beside_per_s: median(sorted(self.beside)),
            min: parts.first().copied().unwrap_or_default(),
            max: parts.last().copied().unwrap_or_default(),
            ratio: median(parts),
        }
    }

    /// A process of its own, with a receiver at the quick destination.
    async fn deliver(&self) -> Result<Deliver<'a>, BenchError> {
        let running = self.ground.start(&self.config, ROLES).await?;
        let quick = (QUICK, sink(self.quick_at)?);
        Deliver::beside(self.ground, running, &self.account, quick, Arc::clone(&self.slow))
    }

    async fn accept_slow(&self, platform: &Platform, round: u64) -> Result<(), BenchError> {
        let sending = Sending {
            tasks: SEEDING_TASKS as usize,
            body_bytes: SLOW_BODY_BYTES,
            seed: 800 + round,
            until: Until::Each(SLOW as u64 * FOR_EACH / SEEDING_TASKS),
            first: 0,
            domain: Some(|number| format!("s{}.slow.example", number % SLOW as u64)),
        };
        send(platform, &self.account.live, sending).await.map(drop)
    }

    /// What is still for them is given up, as an operator would.
    async fn drop_slow(&self) -> Result<(), BenchError> {
        let (platform, _lock) = self.ground.open().await?;
        let chosen = Chosen {
            org: Some(self.account.live.org.clone()),
            ..Chosen::default()
        };
        let queue = Queue::of_others(platform, None);
        let dropped = queue
            .change(Change::Drop, &chosen, Some("the round is over"))
            .await;
        let dropped = dropped.map_err(failed("the slow mail"))?;
        match dropped.left {
            0 => Ok(()),
            left => Err(failed("the slow mail")(format!(
                "{left} deliveries could not be dropped"
            ))),
        }
    }
}

fn slow_host(place: usize, port: u16, connected: Arc<[AtomicBool]>) -> Result<Sink, BenchError> {
    let greets_after = if place.is_multiple_of(2) {
        GREETS_AFTER
    } else {
        NEVER
    };
    let script = SinkScript::new(move |moment| {
        if moment != Moment::Connect {
            return Verdict::Accept;
        }
        if let Some(connected) = connected.get(place) {
            connected.store(true, Ordering::Relaxed);
        }
        Verdict::Wait(greets_after, Box::new(Verdict::Accept))
    });
    let options = SinkOptions {
        max_kept: 0,
        script,
        ..SinkOptions::default()
    };
    let address = SocketAddr::from((slow_address(place), port));
    Sink::start(address, options).map_err(failed("a slow host"))
}

fn slow_address(place: usize) -> Ipv4Addr {
    let octet = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, 1, octet(place / IN_NETWORK), octet(1 + place % IN_NETWORK))
}

fn address_of(domain: &str) -> Option<Ipv4Addr> {
    if domain == QUICK {
        return Some(QUICK_ADDRESS);
    }
    let place = domain.strip_prefix('s')?.strip_suffix(".slow.example")?;
    place.parse().ok().filter(|place| *place < SLOW).map(slow_address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_destination_has_an_address_of_its_own() {
        let domains = (0..SLOW).map(|place| format!("s{place}.slow.example"));
        let addresses: HashSet<_> = domains.map(|domain| address_of(&domain)).collect();
        assert_eq!(addresses.len(), SLOW);
        assert!(!addresses.contains(&None) && !addresses.contains(&Some(QUICK_ADDRESS)));
        assert_eq!(address_of("s1000.slow.example"), None);
    }
}
