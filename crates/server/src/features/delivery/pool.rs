//! Connections to receiving hosts, kept for the next message.

use super::Options;
use super::route::Candidate;
use super::sources::Source;
use super::transport::Guarantee;
use super::wire::{
    self, ClientTls, ConnectOptions, Connection, Step, Target, TlsFault, TlsMode, WireFailure,
};
use crate::clock::Clock;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long an idle connection is kept: receivers drop theirs after a few minutes.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Messages over one connection, at most, where nothing is known of its provider.
pub(super) const MESSAGES_MAX: usize = 200;
/// How often idle connections are looked at.
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Kept connections by address, and how many may be open to each. A kept one is lent only for what it was opened to guarantee, and to
/// mail that leaves from where it was opened.
pub(super) struct Pool {
    hosts: Mutex<HashMap<SocketAddr, Arc<Host>>>,
    connect: ConnectOptions,
    /// For certificates that have to be valid.
    verifying: ClientTls,
    per_host: usize,
    clock: Clock,
}

struct Host {
    slots: Arc<Semaphore>,
    idle: Mutex<Vec<Kept>>,
}

struct Kept {
    connection: Connection,
    guarantee: Guarantee,
    source: Arc<Source>,
    messages: usize,
    since: crate::clock::Timestamp,
}

/// A connection in use.
pub(super) struct Lent {
    pub(super) connection: Connection,
    /// It was opened for an earlier message.
    pub(super) was_kept: bool,
    /// Steps of opening it, when it was opened for this message.
    pub(super) opening_steps: Vec<Step>,
    /// TLS was tried first and failed so.
    pub(super) fault: Option<TlsFault>,
    guarantee: Guarantee,
    source: Arc<Source>,
    messages: usize,
    messages_max: usize,
    host: Arc<Host>,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Pool {
    pub(super) fn new(options: &Options, clock: Clock) -> Result<Self, rustls::Error> {
        let connect = ConnectOptions {
            ehlo_name: options.ehlo_name.clone(),
            tls: options.tls,
            tls_config: wire::opportunistic_config(&options.extra_roots)?,
            timeouts: options.timeouts,
            source: None,
            login: None,
        };
        Ok(Self {
            hosts: Mutex::default(),
            connect,
            verifying: wire::verifying_config(&options.extra_roots)?,
            per_host: options.connections_per_host_max.max(1),
            clock,
        })
    }

    /// A connection that guarantees what it has to: a kept one if allowed and there, else a new one; waits while too many are open.
    pub(super) async fn lend(
        &self,
        candidate: &Candidate,
        source: &Arc<Source>,
        may_reuse: bool,
    ) -> Result<Lent, WireFailure> {
        let Candidate {
            target,
            guarantee,
            messages_max,
            ..
        } = candidate;
        let host = self.host(target.addr);
        // The semaphore is never closed; were it, an attempt without a slot would still be right.
        let slot = Arc::clone(&host.slots).acquire_owned().await.ok();
        if may_reuse && let Some(kept) = self.take_idle(&host, guarantee, source) {
            let Kept {
                connection, messages, ..
            } = kept;
            return Ok(Lent {
                connection,
                was_kept: true,
                opening_steps: Vec::new(),
                fault: None,
                guarantee: guarantee.clone(),
                source: Arc::clone(source),
                messages,
                messages_max: *messages_max,
                host,
                _slot: slot,
            });
        }
        let (mut connection, fault) = self.open(target, guarantee, source).await?;
        let opening_steps = connection.take_steps();
        Ok(Lent {
            connection,
            was_kept: false,
            opening_steps,
            fault,
            guarantee: guarantee.clone(),
            source: Arc::clone(source),
            messages: 0,
            messages_max: *messages_max,
            host,
            _slot: slot,
        })
    }

    /// Keeps the connection for the next message if it is still good.
    pub(super) fn give_back(&self, lent: Lent) {
        let messages = lent.messages + 1;
        if lent.connection.is_reusable() && messages < lent.messages_max {
            let kept = Kept {
                connection: lent.connection,
                guarantee: lent.guarantee,
                source: lent.source,
                messages,
                since: self.clock.now(),
            };
            lent.host
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(kept);
        }
    }

    /// Lets go of connections that were idle too long, and of hosts without any: a peer that hung up would hold its descriptor otherwise.
    pub(super) fn sweep(&self) {
        let now = self.clock.now();
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.retain(|_, host| {
            let mut idle = host.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain_mut(|kept| now.since(kept.since) < IDLE_MAX && kept.connection.idle_probe());
            !idle.is_empty() || Arc::strong_count(host) > 1
        });
    }

    /// Says goodbye on every kept connection, on all of them at once.
    pub(super) async fn close(&self) {
        let hosts: Vec<_> = self
            .hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain()
            .collect();
        let mut goodbyes = tokio::task::JoinSet::new();
        for (_, host) in hosts {
            for kept in std::mem::take(&mut *host.idle.lock().unwrap_or_else(PoisonError::into_inner)) {
                goodbyes.spawn(kept.connection.quit());
            }
        }
        goodbyes.join_all().await;
    }

    /// TLS that can't be had where it is only wished for is tried once more without (RFC 3207 leaves the choice to the sender).
    /// Returns how TLS failed then, too.
    async fn open(
        &self,
        target: &Target,
        guarantee: &Guarantee,
        source: &Source,
    ) -> Result<(Connection, Option<TlsFault>), WireFailure> {
        let with = |tls, tls_config: &ClientTls| ConnectOptions {
            tls,
            tls_config: tls_config.clone(),
            ehlo_name: source.ehlo_name.clone(),
            source: source.address,
            ..self.connect.clone()
        };
        let any = &self.connect.tls_config;
        let opened = match guarantee {
            Guarantee::Clear => Connection::open(target, &with(TlsMode::Off, any)).await,
            Guarantee::Opportunistic => {
                match Connection::open(target, &with(TlsMode::Opportunistic, any)).await {
                    Err(failure) if failure.retry_without_tls => {
                        let opened = Connection::open(target, &with(TlsMode::Off, any)).await?;
                        return Ok((opened, failure.fault));
                    }
                    other => other,
                }
            }
            Guarantee::Encrypted => Connection::open(target, &with(TlsMode::Required, any)).await,
            Guarantee::Pkix { .. } => {
                Connection::open(target, &with(TlsMode::Required, &self.verifying)).await
            }
            Guarantee::Dane(dane) => {
                let target = Target {
                    host: dane.base.clone(),
                    addr: target.addr,
                };
                Connection::open(&target, &with(TlsMode::Required, &any.by_dane(dane))).await
            }
        };
        opened.map(|connection| (connection, None))
    }

    fn take_idle(&self, host: &Host, guarantee: &Guarantee, source: &Arc<Source>) -> Option<Kept> {
        let now = self.clock.now();
        let mut idle = host.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| now.since(kept.since) < IDLE_MAX);
        let fits = |kept: &Kept| kept.guarantee == *guarantee && kept.source == *source;
        while let Some(place) = idle.iter().rposition(fits) {
            let mut kept = idle.swap_remove(place);
            if kept.connection.idle_probe() {
                return Some(kept);
            }
        }
        None
    }

    fn host(&self, addr: SocketAddr) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.entry(addr).or_insert_with(|| {
            Arc::new(Host {
                slots: Arc::new(Semaphore::new(self.per_host)),
                idle: Mutex::default(),
            })
        });
        Arc::clone(host)
    }
}
