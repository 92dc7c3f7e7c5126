//! What a benchmark stands on: a fresh folder on a disk, certificates, the engine, and a receiver of bare requests.

use super::letter::DOMAIN;
use super::limits::signer;
use super::{BenchError, Engine, Options, Stage, failed};
use crate::app::{self, Roles, Running, StoreLock};
use crate::clock::Clock;
use crate::config::{Config, Settings};
use crate::entry::edge::{self, Authority, Listener, Tls, Transport};
use crate::features::audit::Origin;
use crate::features::domains;
use crate::features::keys::{self, Authenticator, Caller, NewKey, Permissions, Restrictions, Style};
use crate::features::orgs::{self, NewOrg, Plan};
use crate::mode::Mode;
use crate::platform::Platform;
use crate::platform::dev::postgres::LocalPostgres;
use crate::platform::jobs::Stop;
use crate::platform::net::{TlsMin, client_config};
use crate::secret::Secret;
use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sealwright_mail::dkim::Signer;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// `f_type` of file systems in memory (statfs(2)).
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
/// Where temporary files lie that outlive a restart, and so on a disk, where `/tmp` does not.
const LASTING_TEMPORARY: &str = "/var/tmp";
/// The benchmark's folder lets PostgreSQL's account through and shows nothing.
const FOLDER_MODE: u32 = 0o711;
/// Requests a second of the organization that is measured: the plan must not be what limits it.
const RATE_PER_SECOND: u32 = 1_000_000;
/// Connections that the receiver of bare requests takes.
const RECEIVER_CONNECTIONS_MAX: usize = 4096;

/// A folder that is removed when dropped.
struct Folder(PathBuf);

impl Folder {
    /// A fresh folder, in `parent` or in the first folder for temporary files that is on a disk.
    fn make(parent: Option<&Path>) -> Result<Self, BenchError> {
        let candidates = match parent {
            Some(parent) => vec![parent.to_owned()],
            None => vec![std::env::temp_dir(), PathBuf::from(LASTING_TEMPORARY)],
        };
        let mut in_memory = String::new();
        for parent in candidates {
            std::fs::create_dir_all(&parent).map_err(failed("the folder of the benchmark"))?;
            if is_in_memory(&parent)? {
                in_memory = parent.display().to_string();
                continue;
            }
            let folder = parent.join(format!("sealwright-bench-{}", std::process::id()));
            let made = std::fs::DirBuilder::new().mode(FOLDER_MODE).create(&folder);
            made.map_err(failed("the folder of the benchmark"))?;
            let folder = folder
                .canonicalize()
                .map_err(failed("the folder of the benchmark"))?;
            return Ok(Self(folder));
        }
        Err(BenchError::InMemory(in_memory))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What can't be removed is only in the way.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn is_in_memory(folder: &Path) -> Result<bool, BenchError> {
    let stat = rustix::fs::statfs(folder).map_err(failed("the folder of the benchmark"))?;
    // The field's type differs between architectures; the values fit all of them.
    #[allow(clippy::unnecessary_cast, reason = "it is i64 on some architectures")]
    Ok(IN_MEMORY.contains(&(stat.f_type as u64)))
}

/// Answers every POST with 204 and counts them.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    count: Arc<AtomicU64>,
    _stop: watch::Sender<bool>,
}

impl Receiver {
    async fn start(config: &Config) -> Result<Self, BenchError> {
        let tls = Tls::from_files(&config.server).map_err(failed("the receiver"))?;
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = edge::Options::private(RECEIVER_CONNECTIONS_MAX);
        let listener = Listener::bind(any_port, Transport::Https(tls), options).await;
        let listener = listener.map_err(failed("the receiver"))?;
        let address = listener.address().map_err(failed("the receiver"))?;
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let receive = async move |_: Bytes| {
            counted.fetch_add(1, Ordering::Relaxed);
            http::StatusCode::NO_CONTENT
        };
        let router = Router::new().route("/", post(receive));
        let (stop, stopped) = Stop::new();
        tokio::spawn(listener.serve(router, stopped, Duration::from_secs(1)));
        Ok(Self {
            address,
            count,
            _stop: stop,
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// The organization that the benchmark sends as.
pub(super) struct Account {
    pub(super) live_key: Secret<String>,
    pub(super) test: Caller,
    pub(super) live: Caller,
    /// Host and text of the DKIM record.
    pub(super) dkim_record: (String, String),
}

/// What all stages stand on.
pub(super) struct Ground {
    pub(super) options: Options,
    pub(super) config: Config,
    settings: Settings,
    pub(super) client_tls: Arc<rustls::ClientConfig>,
    pub(super) receiver: Receiver,
    pub(super) postgres: Option<LocalPostgres>,
    pub(super) signer: Signer,
    folder: Folder,
}

impl Ground {
    pub(super) async fn prepare(options: &Options) -> Result<Self, BenchError> {
        let folder = Folder::make(options.folder.as_deref())?;
        let authority =
            Authority::in_folder(&folder.0, Clock::System.now()).map_err(failed("the certificates"))?;
        let postgres = match options.engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                let place = folder.0.join("pg");
                let started = tokio::task::spawn_blocking(move || LocalPostgres::start(&place)).await;
                Some(started.map_err(failed("PostgreSQL"))??)
            }
        };
        let url = postgres
            .as_ref()
            .map_or_else(String::new, |postgres| postgres.url().expose().clone());
        let text = |path: &Path| path.display().to_string();
        let settings = options.settings.clone();
        let settings = settings
            .with("server.listen", "127.0.0.1:0")?
            .with("server.tls_cert", text(&authority.cert))?
            .with("server.tls_key", text(&authority.key))?
            .with("server.admin_listen", "")?
            // All its connections come from one network, which gets no more than half of all requests.
            .with("server.connections_per_network_max", "10000")?
            .with("server.requests_max", "20000")?
            .with("store.data_dir", text(&folder.0.join("data")))?
            .with("store.postgres_url", url)?
            .with("store.postgres_owner_url", "")?
            .with("vault.root_key", "")?
            .with("net.allow_private", "127.0.0.0/8,::1/128")?
            .with("net.extra_ca", text(&authority.ca_cert))?;
        let config = settings.config()?;
        let roots = CertificateDer::pem_file_iter(&authority.ca_cert);
        let roots = roots.and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let roots = roots.map_err(failed("the certificates"))?;
        let client_tls = client_config(TlsMin::V1_3, &roots).map_err(failed("the client's TLS"))?;
        Ok(Self {
            receiver: Receiver::start(&config).await?,
            options: options.clone(),
            config,
            settings,
            client_tls,
            postgres,
            signer: signer().await?,
            folder,
        })
    }

    /// Gives the next stage a store of its own: work that an earlier one left undone is not part of it.
    pub(super) async fn turn_to(&mut self, stage: Stage) -> Result<(), BenchError> {
        let what = "the store of a stage";
        let last = std::mem::replace(&mut self.config.store.data_dir, self.folder.0.join(stage.name()));
        if last.exists() {
            std::fs::remove_dir_all(last).map_err(failed(what))?;
        }
        let Some(server) = &self.postgres else {
            return Ok(());
        };
        let database = format!("bench_{}", stage.name());
        let (client, connection) = tokio_postgres::connect(server.url().expose(), tokio_postgres::NoTls)
            .await
            .map_err(failed(what))?;
        // Its errors reach the client's statements.
        tokio::spawn(async move { drop(connection.await) });
        let create = format!("CREATE DATABASE {database}");
        client.batch_execute(&create).await.map_err(failed(what))?;
        self.config.store.postgres_url = Some(server.database_url(&database));
        Ok(())
    }

    /// The settings of the stage's store, for a process of its own.
    pub(super) fn settings(&self) -> Result<Settings, BenchError> {
        let store = &self.config.store;
        let url = store
            .postgres_url
            .as_ref()
            .map_or_else(String::new, |url| url.expose().clone());
        let settings = self.settings.clone();
        let settings = settings.with("store.data_dir", store.data_dir.display().to_string())?;
        Ok(settings.with("store.postgres_url", url)?)
    }

    /// Stops the engine and removes the folder.
    pub(super) async fn clear(self) {
        let Self { postgres, folder, .. } = self;
        // Both wait for the disk; if that fails there is nothing left to tell anyone.
        let _ = tokio::task::spawn_blocking(move || (drop(postgres), drop(folder))).await;
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Opens the store as a new process would.
    pub(super) async fn open(&self) -> Result<(Platform, StoreLock), BenchError> {
        Ok(app::open(&self.config, Clock::System).await?)
    }

    /// Starts an instance.
    pub(super) async fn start(&self, config: &Config, roles: Roles) -> Result<Running, BenchError> {
        let (platform, lock) = self.open().await?;
        Ok(app::start_on(config, roles, Router::new(), platform, lock).await?)
    }

    /// Starts another instance, which shares nothing with the first but the machine; its store is embedded.
    pub(super) async fn start_elsewhere(&self, roles: Roles) -> Result<Running, BenchError> {
        let mut config = self.config.clone();
        config.store.data_dir = self.folder.0.join("elsewhere");
        config.store.postgres_url = None;
        Ok(app::start(&config, roles, Router::new()).await?)
    }

    /// A new organization with a verified domain, a live and a test key.
    pub(super) async fn account(&self, platform: &Platform) -> Result<Account, BenchError> {
        self.account_on(platform, Plan::Enterprise).await
    }

    /// The same, on a plan of choice.
    pub(super) async fn account_on(&self, platform: &Platform, plan: Plan) -> Result<Account, BenchError> {
        let what = "the organization of the benchmark";
        let org = orgs::create(
            platform,
            NewOrg {
                name: "Benchmark",
                plan,
                rate_per_second: (plan == Plan::Enterprise).then_some(RATE_PER_SECOND),
                region: &self.config.vault.region,
            },
        )
        .await
        .map_err(failed(what))?;
        let added = domains::add(platform, &Caller::system(org.id.clone()), DOMAIN)
            .await
            .map_err(failed(what))?;
        domains::assume_verified(platform, &org.id, &added.id)
            .await
            .map_err(failed(what))?;
        let key = async |mode: Mode| {
            let new = NewKey {
                name: format!("benchmark, {}", mode.name()),
                mode,
                style: Style::Le,
                permissions: Permissions::parse(&["*".to_owned()]).map_err(failed(what))?,
                restrictions: Restrictions::default(),
            };
            let (_, key) = keys::create(platform, &org.id, new).await.map_err(failed(what))?;
            let caller = Authenticator::default()
                .caller(platform, key.expose(), Origin::default())
                .await;
            Ok::<_, BenchError>((
                Secret::new(key.expose().to_owned()),
                caller.map_err(failed(what))?,
            ))
        };
        let (live_key, live) = key(Mode::Live).await?;
        let (_, test) = key(Mode::Test).await?;
        Ok(Account {
            live_key,
            live,
            test,
            dkim_record: added.dkim_record().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_folder_in_memory_is_refused() {
        // Every Linux that can run the tests has it; it is tmpfs by its definition (shm_overview(7)).
        let memory = Path::new("/dev/shm");
        assert!(memory.is_dir() && is_in_memory(memory).unwrap());
        assert!(matches!(Folder::make(Some(memory)), Err(BenchError::InMemory(_))));
    }

    #[test]
    fn a_folder_is_fresh_and_gone_after_the_drop() {
        let folder = Folder::make(None).unwrap();
        let path = folder.0.clone();
        assert!(path.is_dir());
        drop(folder);
        assert!(!path.exists());
    }
}
