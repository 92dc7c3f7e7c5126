//! The edge: listeners, TLS, and the limits of a connection.
//!
//! A connection passes these stations: a slot (`slots`: all together, and by network); the PROXY header, where one is due (`proxy`);
//! the TLS handshake (`tls`, `certificates`); HTTP/1.1 in its strict form (`framing`) or HTTP/2, with bounded heads and streams
//! (`connection`), watched for as long as it lives (`life`, `heard`, `frames`, `patience`). A request on it gets its [`Peer`]
//! (`forwarded`), a turn (`turns`), the headers that every answer bears (`exchange`), and room for its answer until that is taken
//! (`backlog`). `acme` obtains certificates; `plain` is what port 80 answers.
//!
//! Deliberately not here: keys, organizations and their limits (`entry/api`), and floods that fill the line before they reach us.

pub mod acme;
pub mod plain;

mod authority;
mod backlog;
mod certificates;
mod connection;
mod exchange;
mod forwarded;
mod frames;
mod framing;
mod heard;
pub(super) mod life;
mod patience;
pub(super) mod peer;
mod proxy;
pub(super) mod slots;
mod tls;
mod turns;
mod x509;

pub use authority::Authority;
pub use certificates::{Certificates, Files, Pair, measure};
pub(in crate::entry) use patience::TooSlow;
pub use peer::{Peer, Scheme, Trusted};
pub use tls::{Tls, TlsSettingError, server_config};

use crate::clock::Clock;
use crate::limits::{
    ANSWER_STALL_TIMEOUT, ANSWERS_BYTES_MAX, BODY_BYTES_PER_SECOND_MIN, BODY_GRACE, KEEP_ALIVE_TIMEOUT,
    REQUEST_HEAD_TIMEOUT,
};
use crate::metrics::{KindLabel, Metrics};
use crate::platform::jobs::Stop;
use axum::Router;
use backlog::Backlog;
use connection::Connection;
use life::Life;
use peer::network_of;
use slots::{Full, Slots};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use turns::Turns;

/// Rest after the system refused a new connection (out of descriptors, usually).
const REST_AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(50);

/// What is spoken on a listener.
#[derive(Debug, Clone)]
pub enum Transport {
    /// HTTPS.
    Https(Arc<Tls>),
    /// Plain HTTP, for the operator's own network only.
    Http,
    /// Plain HTTP for the world, which is told to come back with TLS: each answer ends its connection.
    HttpOnce,
}

/// How long a client may take. The defaults are in `limits.rs`.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// For a request's head, and for the first request of a connection.
    pub head: Duration,
    /// Between two requests of a connection.
    pub keep_alive: Duration,
    /// A request body may fall behind its least rate for this long.
    pub body_grace: Duration,
    /// The least rate.
    pub body_bytes_per_second_min: u32,
    /// An answer, or what is left of it, may stay untaken for this long.
    pub answer_stall: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            head: REQUEST_HEAD_TIMEOUT,
            keep_alive: KEEP_ALIVE_TIMEOUT,
            body_grace: BODY_GRACE,
            body_bytes_per_second_min: BODY_BYTES_PER_SECOND_MIN,
            answer_stall: ANSWER_STALL_TIMEOUT,
        }
    }
}

impl Pace {
    /// No deadline appears that is nearer than this.
    fn shortest(&self) -> Duration {
        self.head.min(self.keep_alive).min(self.answer_stall)
    }
}

/// The limits of a listener, and what it works with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections at once.
    pub connections_max: usize,
    /// Connections of one network at once; trusted proxies are not counted.
    pub connections_per_network_max: usize,
    /// Requests under way at once.
    pub requests_max: usize,
    /// Bytes of answers that may wait for their readers at once.
    pub answers_bytes_max: usize,
    /// Who is believed about whom they speak for.
    pub trusted: Trusted,
    /// Whether every connection begins with a PROXY header from a trusted proxy.
    pub proxy_protocol: bool,
    /// How long clients may take.
    pub pace: Pace,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// Where time comes from.
    pub clock: Clock,
}

impl Options {
    /// So many connections, from wherever they come: for listeners that not everybody reaches.
    pub fn private(connections_max: usize) -> Self {
        Self {
            connections_max,
            connections_per_network_max: connections_max,
            // Twice, because a network gets no more than half.
            requests_max: connections_max.saturating_mul(2),
            answers_bytes_max: ANSWERS_BYTES_MAX,
            trusted: Trusted::default(),
            proxy_protocol: false,
            pace: Pace::default(),
            metrics: Arc::default(),
            clock: Clock::System,
        }
    }
}

/// A listener that is bound and not accepting yet.
pub struct Listener {
    socket: TcpListener,
    shared: Arc<Shared>,
}

/// What all connections of a listener share.
struct Shared {
    transport: Transport,
    options: Options,
    slots: Arc<Slots>,
    turns: Arc<Turns>,
    backlog: Arc<Backlog>,
}

impl Shared {
    fn count_closed(&self, kind: &'static str) {
        let label = KindLabel { kind };
        self.options
            .metrics
            .connections_closed
            .get_or_create(&label)
            .inc();
    }
}

impl Listener {
    /// Binds.
    pub async fn bind(address: SocketAddr, transport: Transport, options: Options) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let shared = Shared {
            transport,
            slots: Slots::new(options.connections_max, options.connections_per_network_max),
            turns: Turns::new(options.requests_max),
            backlog: Backlog::new(options.answers_bytes_max),
            options,
        };
        Ok(Self {
            socket,
            shared: Arc::new(shared),
        })
    }

    /// The address that was bound.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until stopped, then waits up to `grace` for requests under way.
    pub async fn serve(self, router: Router, mut stop: Stop, grace: Duration) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = stop.wait() => break,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, remote)) => match self.admit(stream, remote) {
                    Ok(connection) => {
                        connections.spawn(connection.run(router.clone(), stop.clone()));
                    }
                    Err(kind) => self.shared.count_closed(kind),
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(REST_AFTER_ACCEPT_ERROR).await;
                }
            }
        }
        drop(self.socket);
        let ended = async { while connections.join_next().await.is_some() {} };
        // Connections that outlive the grace end with their tasks, which end with the set.
        let _ = tokio::time::timeout(grace, ended).await;
    }

    /// A connection with its slot, or why it gets none; it is then closed without a word.
    fn admit(&self, stream: TcpStream, remote: SocketAddr) -> Result<Connection, &'static str> {
        let address = remote.ip().to_canonical();
        let options = &self.shared.options;
        let is_proxy = options.trusted.holds(address);
        if options.proxy_protocol && !is_proxy {
            return Err("untrusted_proxy");
        }
        let life = Life::new(options.pace);
        let network = (!is_proxy).then(|| network_of(address));
        let slot = self.shared.slots.take(network, &life).map_err(full)?;
        Ok(Connection {
            shared: Arc::clone(&self.shared),
            stream,
            address,
            life,
            slot,
        })
    }
}

/// The name in metrics.
pub(super) fn full(full: Full) -> &'static str {
    match full {
        Full::Network => "network_full",
        Full::Everything => "full",
    }
}
