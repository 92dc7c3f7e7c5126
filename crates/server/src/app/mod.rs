//! Puts the parts together: from settings to a running process, and to its orderly end.

mod listeners;
mod options;
mod watch;

pub use listeners::sts_policy;
pub use options::{alerts_to, delivery_options, domain_names, net};
pub use watch::Readiness;

use crate::clock::Clock;
use crate::config::Config;
use crate::entry::api;
use crate::entry::edge::TlsSettingError;
use crate::features::delivery::{self, Delivery, Relaying};
use crate::features::domains::Checks;
use crate::features::emails::Fresh;
use crate::features::keys::Ages;
use crate::features::notices::Notices;
use crate::features::webhooks::{self, Webhooks};
use crate::id::{Id as _, NodeId};
use crate::metrics::Metrics;
use crate::platform::Platform;
use crate::platform::jobs::{Held, Hints, Jobs, Stop};
use crate::platform::net::{Net, NetSetupError};
use crate::platform::store::{Location, Schema, Store, StoreError};
use crate::platform::vault::{RootKey, Vault, VaultError, random};
use axum::Router;
use listeners::{Addresses, Listeners, Routers};
use options::{notice_sender, relay_base, submission};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Sender;
use tokio::task::{JoinHandle, JoinSet};

/// How long a stopping process waits for the store to take its leases back.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Answers the API.
    pub api: bool,
    /// Delivers mail.
    pub delivery: bool,
    /// Sends webhooks.
    pub webhooks: bool,
}

impl Roles {
    /// Everything.
    pub const ALL: Roles = Roles {
        api: true,
        delivery: true,
        webhooks: true,
    };

    /// Reads a list such as `api,delivery`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut roles = Roles {
            api: false,
            delivery: false,
            webhooks: false,
        };
        for word in text.split(',').map(str::trim) {
            match word {
                "all" => roles = Self::ALL,
                "api" => roles.api = true,
                "delivery" => roles.delivery = true,
                "webhooks" => roles.webhooks = true,
                _ => return None,
            }
        }
        Some(roles)
    }
}

/// Why a process could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or folder is in the way.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// Another process has this store open.
    #[error(
        "{0} is in use by another sealwright; one process at a time opens an embedded store (PostgreSQL takes several)"
    )]
    InUse(String),
    /// A setting does not fit.
    #[error("setting {0}")]
    Setting(String),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault can't be opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsSettingError),
    /// The way out can't be set up.
    #[error(transparent)]
    Net(#[from] NetSetupError),
}

fn file_error(path: &Path, error: std::io::Error) -> StartError {
    StartError::File {
        path: path.display().to_string(),
        error,
    }
}

/// The stores of an installation.
pub fn locations(config: &Config) -> (Location, Location) {
    match &config.store.postgres_url {
        Some(url) => {
            let owner_url = config.store.postgres_owner_url.clone();
            let at = |lanes| Location::Postgres {
                url: url.clone(),
                owner_url: owner_url.clone(),
                lanes,
            };
            (at(config.store.postgres_lanes), at(1))
        }
        None => {
            let at = |file| Location::Sqlite {
                path: config.store.data_dir.join(file),
            };
            (at("data.db"), at("keyring.db"))
        }
    }
}

/// Where the root key is.
pub fn root_key_path(config: &Config) -> PathBuf {
    config
        .vault
        .root_key
        .clone()
        .unwrap_or_else(|| config.store.data_dir.join("root.key"))
}

/// Where the token is that callers of the admin listener show.
pub fn admin_token_path(config: &Config) -> PathBuf {
    config.store.data_dir.join("admin.token")
}

/// Keeps an embedded store to one process; released when dropped.
pub struct StoreLock(#[allow(dead_code, reason = "held for its lock")] Option<std::fs::File>);

fn lock(config: &Config) -> Result<StoreLock, StartError> {
    let folder = &config.store.data_dir;
    // For its owner only: what lies inside is sealed, but nobody else has any business with it.
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    made.map_err(|error| file_error(folder, error))?;
    if config.store.is_postgres() {
        return Ok(StoreLock(None));
    }
    let path = folder.join("lock");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let file = file.map_err(|error| file_error(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(StoreLock(Some(file))),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::InUse(folder.display().to_string())),
        Err(std::fs::TryLockError::Error(error)) => Err(file_error(&path, error)),
    }
}

/// Opens store and vault; makes the root key of a new installation.
pub async fn open(config: &Config, clock: Clock) -> Result<(Platform, StoreLock), StartError> {
    let lock = lock(config)?;
    let (data, keyring) = locations(config);
    let migrate = config.store.migrate_on_start;
    let store = Store::open(&data, &Schema::DATA, migrate).await?;
    let keyring = Store::open(&keyring, &Schema::KEYRING, migrate).await?;
    let path = root_key_path(config);
    let root = match RootKey::create(&path)? {
        Some(new) => {
            tracing::warn!(path = %path.display(), "made a new root key; keep a copy of it apart from the backups of the store");
            new
        }
        None => RootKey::read(&path)?,
    };
    let vault = Vault::open(&root, &config.vault.region, keyring, clock.clone()).await?;
    let node = NodeId::generate(clock.now(), random());
    let platform = Platform {
        store,
        vault,
        clock,
        node,
        hints: Arc::new(Hints::default()),
        held: Arc::new(Held::default()),
        metrics: Arc::new(Metrics::default()),
    };
    if let Err(error) = platform.store.ensure_partitions(platform.clock.now().day()).await {
        tracing::warn!(%error, "partitions could not be made; rows go to the default partition");
    }
    Ok((platform, lock))
}

/// A running process.
pub struct Running {
    /// Address of the HTTPS listener; `None` without the API role.
    pub address: Option<SocketAddr>,
    /// Address of the plain listener that refuses; `None` unless it is set.
    pub http_address: Option<SocketAddr>,
    /// Address of the metrics listener.
    pub admin_address: Option<SocketAddr>,
    /// Address of the SMTP listener; `None` unless it is set.
    pub smtp_address: Option<SocketAddr>,
    /// What the features stand on.
    pub platform: Platform,
    stop: Sender<bool>,
    tasks: JoinSet<()>,
    /// Says that this node is alive until its last delivery is done; stopped after `tasks`.
    watch: (Sender<bool>, JoinHandle<()>),
    grace: Duration,
    _lock: StoreLock,
}

/// Starts a process in the given roles. `more` adds routes to the HTTPS listener (the development pages).
pub async fn start(config: &Config, roles: Roles, more: Router) -> Result<Running, StartError> {
    let (platform, lock) = open(config, Clock::System).await?;
    start_on(config, roles, more, platform, lock).await
}

/// Starts a process on a store and vault that are open already.
pub async fn start_on(
    config: &Config,
    roles: Roles,
    more: Router,
    platform: Platform,
    lock: StoreLock,
) -> Result<Running, StartError> {
    let (stop, stopped) = Stop::new();
    let grace = Duration::from_secs(config.server.stop_timeout_s);
    let readiness = Arc::new(Readiness::default());
    let fresh = Arc::new(Fresh::default());
    let jobs = Jobs::new(platform.store.clone(), platform.node.clone());
    jobs.heartbeat(platform.clock.now(), false).await?;
    if platform.store.is_sqlite() {
        jobs.bury_others().await?;
    }
    let mut tasks = JoinSet::new();
    let watch = start_watch(config, &platform, jobs, &readiness, &fresh)?;
    let net = net(config)?;
    let mut listeners = Listeners {
        config,
        platform: &platform,
        readiness: &readiness,
        stopped: &stopped,
        tasks: &mut tasks,
    };
    let mut public = Addresses::default();
    if roles.api {
        // The fallback of the API's router answers every path that is not one of the others'.
        let more = listeners::for_anyone(config, &readiness)?.merge(more);
        let (https, upkeep) = api::open(api_parts(config, &platform, &fresh, &net)?, more);
        let plain = api::plain(platform.clone());
        let routers = Routers { https, plain };
        // Before the first request: a node that has not counted the others yet takes itself for the only one.
        listeners.tasks.spawn(upkeep.run(stopped.clone()));
        public = listeners.public(routers, &net.dns, &net.guard).await?;
    }
    let delivery = roles
        .delivery
        .then(|| delivery(config, &platform, &fresh, &net))
        .transpose()?;
    let queue = delivery.as_ref().map(|delivery| delivery.queue());
    let queue = match queue {
        Some(queue) => queue,
        None => delivery::Queue::of_others(platform.clone(), alerts_to(config)?),
    };
    let admin_address = listeners.admin(queue).await?;
    let workers = Workers {
        config,
        platform: &platform,
        stopped: &stopped,
        tasks: &mut tasks,
    };
    workers.start(roles, delivery, fresh, net)?;
    Ok(Running {
        address: public.https,
        http_address: public.http,
        admin_address,
        smtp_address: public.smtp,
        platform,
        stop,
        tasks,
        watch,
        grace,
        _lock: lock,
    })
}

fn start_watch(
    config: &Config,
    platform: &Platform,
    jobs: Jobs,
    readiness: &Arc<Readiness>,
    fresh: &Arc<Fresh>,
) -> Result<(Sender<bool>, JoinHandle<()>), StartError> {
    let (stop, stopped) = Stop::new();
    let stall_after = Duration::from_secs(config.delivery.stall_seconds);
    let watching = watch::over(
        platform.clone(),
        jobs,
        Arc::clone(readiness),
        Arc::clone(fresh),
        watch::Watchdog::new(stall_after, alerts_to(config)?),
        stopped,
    );
    Ok((stop, tokio::spawn(watching)))
}

fn api_parts(
    config: &Config,
    platform: &Platform,
    fresh: &Arc<Fresh>,
    net: &Net,
) -> Result<api::Parts, StartError> {
    Ok(api::Parts {
        platform: platform.clone(),
        fresh: Arc::clone(fresh),
        net: net.clone(),
        names: domain_names(config)?,
        relay_base: relay_base(config)?,
        submission: submission(config, net)?,
        region: config.vault.region.clone(),
        ban_first: Duration::from_secs(config.guard.ban_minutes.saturating_mul(60)),
        published: options::published(config)?,
    })
}

/// The delivery worker as set; it is not running yet.
fn delivery(
    config: &Config,
    platform: &Platform,
    fresh: &Arc<Fresh>,
    net: &Net,
) -> Result<Arc<Delivery>, StartError> {
    let options = delivery_options(config)?;
    let relaying = Relaying::new(net.http.clone(), submission(config, net)?, relay_base(config)?);
    let delivery = Delivery::new(platform.clone(), options, Arc::clone(fresh), net, relaying);
    Ok(delivery.map_err(|error| TlsSettingError::Pair(error.to_string()))?)
}

/// What all workers are started with.
struct Workers<'a> {
    config: &'a Config,
    platform: &'a Platform,
    stopped: &'a Stop,
    tasks: &'a mut JoinSet<()>,
}

impl Workers<'_> {
    /// Starts those of the roles; `delivery` is there if it is one of them.
    fn start(
        self,
        roles: Roles,
        delivery: Option<Arc<Delivery>>,
        fresh: Arc<Fresh>,
        net: Net,
    ) -> Result<(), StartError> {
        let Self {
            config,
            platform,
            stopped,
            tasks,
        } = self;
        let poll = Duration::from_millis(config.delivery.poll_ms.max(10));
        if let Some(delivery) = delivery {
            let notices = Notices::new(platform.clone(), fresh, notice_sender(config)?, poll);
            tasks.spawn(notices.run(stopped.clone()));
            tasks.spawn(Ages::new(platform.clone()).run(stopped.clone()));
            let checks = Checks::new(platform.clone(), &net, domain_names(config)?);
            tasks.spawn(checks.run(stopped.clone()));
            tasks.spawn(delivery.run(stopped.clone()));
        }
        if roles.webhooks {
            let options = webhooks::Options {
                concurrency_max: config.webhooks.concurrency_max.max(1),
                timeout: Duration::from_secs(config.webhooks.timeout_s.max(1)),
                poll,
                pause_after: Duration::from_secs(
                    config.webhooks.pause_after_hours.max(1).saturating_mul(3600),
                ),
            };
            tasks.spawn(Webhooks::new(platform.clone(), options, net.http).run(stopped.clone()));
        }
        Ok(())
    }
}

impl Running {
    /// Stops in order: no new requests, then requests and deliveries under way, then leases are given back.
    pub async fn stop(mut self) {
        // An error means that every task is gone already.
        let _ = self.stop.send(true);
        let finished = tokio::time::timeout(self.grace, async {
            while self.tasks.join_next().await.is_some() {}
        })
        .await;
        if finished.is_err() {
            tracing::warn!("work under way did not end in time; its leases are given back");
            // It must not go on once its leases are somebody else's.
            self.tasks.shutdown().await;
        }
        // An error means that the watch ended by itself.
        let _ = self.watch.0.send(true);
        let jobs = Jobs::new(self.platform.store.clone(), self.platform.node.clone());
        let leave = async {
            // As above.
            let _ = self.watch.1.await;
            jobs.leave().await
        };
        match tokio::time::timeout(LEAVE_TIMEOUT, leave).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "leases could not be given back; others take them when this node is found dead");
            }
            Err(_) => tracing::warn!(
                "the store did not answer; others take the leases when this node is found dead"
            ),
        }
    }
}
