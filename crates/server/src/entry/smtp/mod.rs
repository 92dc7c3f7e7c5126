//! The SMTP listener: takes what comes back to return paths, and nothing else.
//!
//! A connection has a slot, as on the other listeners (all together, and by network), a deadline for each step and one for all; it speaks
//! through the state machine of `crates/mail`, which ends it when it loses step (smuggled commands, bare line feeds, talk ahead of
//! STARTTLS). Who is taken mail for is decided at RCPT, without the store: a return path proves itself. 250 follows the commit.
//!
//! No mail is ever made here, so there is nothing to relay, and no loop to begin.

mod session;

use super::edge::life::Life;
use super::edge::peer::network_of;
use super::edge::slots::{Slot, Slots};
use super::edge::{Pace, Tls, full};
use crate::limits::{
    RETURN_BYTES_MAX, RETURN_RECIPIENTS_MAX, SMTP_CONNECTIONS_MAX, SMTP_CONNECTIONS_PER_NETWORK_MAX,
};
use crate::metrics::KindLabel;
use crate::platform::Platform;
use crate::platform::jobs::Stop;
use crate::platform::net::Dns;
use sealwright_mail::smtp::{Offer, ServerOptions};
use session::Session;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Rest after the system refused a new connection (out of descriptors, usually).
const REST_AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(50);

/// What the listener works with.
pub struct Options {
    /// What it calls itself.
    pub hostname: String,
    /// The installation's own host of return paths.
    pub return_host: Option<String>,
    /// For STARTTLS.
    pub tls: Arc<Tls>,
    /// Finds the keys of reports that have to be signed.
    pub dns: Dns,
    /// What the features stand on.
    pub platform: Platform,
}

impl Options {
    fn server(&self) -> ServerOptions {
        ServerOptions {
            offer: Offer {
                starttls: true,
                ..Offer::default()
            },
            message_octets_max: RETURN_BYTES_MAX,
            recipients_max: RETURN_RECIPIENTS_MAX,
            ..ServerOptions::new(self.hostname.clone())
        }
    }

    fn count_closed(&self, kind: &'static str) {
        let closed = &self.platform.metrics.connections_closed;
        closed.get_or_create(&KindLabel { kind }).inc();
    }
}

/// A listener that is bound and not accepting yet.
pub struct Listener {
    socket: TcpListener,
    options: Arc<Options>,
    slots: Arc<Slots>,
}

impl Listener {
    /// Binds.
    pub async fn bind(address: SocketAddr, options: Options) -> io::Result<Self> {
        Ok(Self {
            socket: TcpListener::bind(address).await?,
            options: Arc::new(options),
            slots: Slots::new(SMTP_CONNECTIONS_MAX, SMTP_CONNECTIONS_PER_NETWORK_MAX),
        })
    }

    /// The address that was bound.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until stopped, then waits up to `grace` for sessions, which end after their present step.
    pub async fn serve(self, mut stop: Stop, grace: Duration) {
        let mut sessions = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = stop.wait() => break,
            };
            while sessions.try_join_next().is_some() {}
            match accepted {
                Ok((stream, remote)) => {
                    if let Some((life, slot)) = self.admit(remote) {
                        let session = Session::new(Arc::clone(&self.options));
                        sessions.spawn(run(session, stream, life, slot, stop.clone()));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "an SMTP connection could not be accepted");
                    tokio::time::sleep(REST_AFTER_ACCEPT_ERROR).await;
                }
            }
        }
        drop(self.socket);
        let ended = async { while sessions.join_next().await.is_some() {} };
        // Sessions that outlive the grace end with the set; their clients send again.
        let _ = tokio::time::timeout(grace, ended).await;
    }

    fn admit(&self, remote: SocketAddr) -> Option<(Arc<Life>, Slot)> {
        let life = Life::new(Pace::default());
        match self.slots.take(Some(network_of(remote.ip())), &life) {
            Ok(slot) => Some((life, slot)),
            Err(error) => {
                self.options.count_closed(full(error));
                None
            }
        }
    }
}

async fn run(session: Session, stream: TcpStream, life: Arc<Life>, slot: Slot, stop: Stop) {
    let options = session.options();
    let ended = tokio::select! {
        ended = session.run(stream, stop) => ended,
        // It made room for a network that had less; what it was sending is sent again.
        _ = life.ended() => Err("shed"),
    };
    if let Err(kind) = ended {
        options.count_closed(kind);
    }
    drop(slot);
}
