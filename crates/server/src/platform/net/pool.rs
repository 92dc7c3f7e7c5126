//! Connections kept open between requests.

#![allow(
    clippy::disallowed_methods,
    reason = "durations of network steps only; nothing here is a stored time"
)]

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::tls::{TlsMin, TlsVersion};

/// Idle connections kept to one server.
pub(super) const IDLE_PER_ORIGIN_MAX: usize = 256;

/// Idle connections kept in all; each holds a descriptor and about 30 KiB.
const IDLE_MAX: usize = 4096;

/// How long a connection may wait for its next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Taken off the idle time that a server announces, so that the request does not cross its close.
const IDLE_MARGIN: Duration = Duration::from_secs(1);

/// How long a connection is used before its name is resolved and checked again.
const AGE_MAX: Duration = Duration::from_secs(300);

/// How often expired connections are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What two requests must agree on to share a connection.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) origin: Arc<str>,
    pub(super) min_tls: TlsMin,
}

/// An open connection. Dropping it ends it at once, in the middle of whatever it does.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    pub(super) remote: IpAddr,
    pub(super) tls: Option<TlsVersion>,
    opened_at: Instant,
    idle_until: Instant,
    driver: Driver,
}

impl Connection {
    /// Takes charge of a connection and of the task that moves its bytes.
    pub(super) fn new(
        sender: SendRequest<Full<Bytes>>,
        driver: JoinHandle<()>,
        remote: IpAddr,
        tls: Option<TlsVersion>,
    ) -> Connection {
        let now = Instant::now();
        Connection {
            sender,
            remote,
            tls,
            opened_at: now,
            idle_until: now,
            driver: Driver(Some(driver)),
        }
    }

    fn is_usable(&self, now: Instant) -> bool {
        now < self.idle_until && !self.sender.is_closed()
    }

    /// Ends an idle connection politely: its task says goodbye in TLS once the sender is gone.
    fn retire(mut self) {
        self.driver.0 = None;
    }
}

/// Stops the task of a connection with the connection.
struct Driver(Option<JoinHandle<()>>);

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Idle connections by server, the most recently used on top, so that a quiet time lets the rest
/// run out.
#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<Idle>,
    is_swept: AtomicBool,
}

#[derive(Default)]
struct Idle {
    stacks: HashMap<Key, Vec<Connection>>,
    count: usize,
}

impl Pool {
    /// An idle connection that is open as far as we know.
    pub(super) fn take(&self, key: &Key) -> Option<Connection> {
        let now = Instant::now();
        let mut idle = self.lock();
        let Idle { stacks, count } = &mut *idle;
        let stack = stacks.get_mut(key)?;
        while let Some(connection) = stack.pop() {
            *count -= 1;
            if connection.is_usable(now) {
                return Some(connection);
            }
            connection.retire();
        }
        None
    }

    /// Keeps a connection whose answer has been read to its end. `announced` is the idle time the
    /// server grants in its `Keep-Alive` field.
    pub(super) fn put(self: &Arc<Pool>, key: Key, mut connection: Connection, announced: Option<Duration>) {
        let now = Instant::now();
        let announced = announced.map_or(IDLE_TIMEOUT, |time| time.saturating_sub(IDLE_MARGIN));
        let aged_at = connection.opened_at + AGE_MAX;
        connection.idle_until = (now + IDLE_TIMEOUT.min(announced)).min(aged_at);
        if !connection.is_usable(now) {
            return connection.retire();
        }
        self.sweep_from_now_on();
        let mut idle = self.lock();
        let Idle { stacks, count } = &mut *idle;
        let stack = stacks.entry(key).or_default();
        if *count >= IDLE_MAX || stack.len() >= IDLE_PER_ORIGIN_MAX {
            return connection.retire();
        }
        stack.push(connection);
        *count += 1;
    }

    #[cfg(test)]
    pub(super) fn idle_count(&self) -> usize {
        self.lock().count
    }

    /// Starts the one task that closes what nobody asks for any more; it ends with the pool.
    fn sweep_from_now_on(self: &Arc<Pool>) {
        if self.is_swept.swap(true, Ordering::Relaxed) {
            return;
        }
        let pool: Weak<Pool> = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP_INTERVAL).await;
                match pool.upgrade() {
                    Some(pool) => pool.sweep(),
                    None => return,
                }
            }
        });
    }

    fn sweep(&self) {
        let now = Instant::now();
        let mut idle = self.lock();
        let Idle { stacks, count } = &mut *idle;
        for stack in stacks.values_mut() {
            let expired: Vec<Connection> = stack
                .extract_if(.., |connection| !connection.is_usable(now))
                .collect();
            *count -= expired.len();
            expired.into_iter().for_each(Connection::retire);
        }
        stacks.retain(|_, stack| !stack.is_empty());
    }

    /// A panic elsewhere leaves the map whole: every change to it is a push or a pop.
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
