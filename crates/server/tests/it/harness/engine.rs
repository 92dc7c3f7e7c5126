//! The two engines: a folder for SQLite, a database of its own for each test on a PostgreSQL server shared by the process.

use sealwright::platform::dev::postgres::LocalPostgres;
use sealwright::platform::store::{Location, Schema, Store};
use sealwright::secret::Secret;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::OnceCell;

/// Where rows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// The login of the server process: a member of the runtime roles that owns nothing.
const RUNTIME_LOGIN: &str = "sealwright_runtime";

/// Removes the server's folder once this process is gone and the server with it: a static is never dropped, and a killed
/// test run must leave nothing behind either. The pipe on its standard input closes when we end, however we end.
const JANITOR: &str = r#"
read -r _
tries=0
while [ -e "$1/pg/data/postmaster.pid" ] && [ "$tries" -lt 600 ]; do sleep 0.1; tries=$((tries + 1)); done
rm -rf "$1"
"#;

struct Shared {
    server: LocalPostgres,
    folder: PathBuf,
    _janitor: Child,
}

static SHARED: OnceCell<Shared> = OnceCell::const_new();
static DATABASES: AtomicUsize = AtomicUsize::new(0);

async fn shared() -> &'static Shared {
    SHARED
        .get_or_init(async || {
            let folder = tempfile::Builder::new()
                .prefix("sealwright-it-")
                .permissions(std::fs::Permissions::from_mode(0o755))
                .tempdir()
                .unwrap()
                .keep();
            let janitor = Command::new("/bin/sh")
                .args(["-c", JANITOR, "janitor"])
                .arg(&folder)
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            let place = folder.join("pg");
            let started = tokio::task::spawn_blocking(move || LocalPostgres::start(&place));
            let server = match started.await.unwrap() {
                Ok(server) => server,
                Err(error) => panic!("the tests on PostgreSQL can't run: {error}"),
            };
            make_roles(&server).await;
            Shared {
                server,
                folder,
                _janitor: janitor,
            }
        })
        .await
}

/// Roles belong to the whole server: made once, by a first migration, before tests make theirs at the same time.
async fn make_roles(server: &LocalPostgres) {
    let first = Location::Postgres {
        url: server.url(),
        owner_url: None,
        lanes: 1,
    };
    Store::migrate(&first, &Schema::DATA).await.unwrap();
    let client = connect(server.url().expose()).await;
    let login = format!("CREATE ROLE {RUNTIME_LOGIN} LOGIN IN ROLE sealwright_app, sealwright_system");
    client.batch_execute(&login).await.unwrap();
}

/// Opens a plain connection whose task ends with the client.
async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    client
}

/// A fresh database, owned by the server's superuser.
pub(crate) struct Database {
    owner_url: Secret<String>,
}

impl Database {
    pub(crate) async fn create() -> Self {
        let server = &shared().await.server;
        let name = format!("it_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let client = connect(server.url().expose()).await;
        client
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        Self {
            owner_url: server.database_url(&name),
        }
    }

    /// The connection string of the owner, who migrates.
    pub(crate) fn owner_url(&self) -> &str {
        self.owner_url.expose()
    }

    /// The connection string of the runtime login.
    pub(crate) fn url(&self) -> String {
        self.owner_url()
            .replace("user=postgres", &format!("user={RUNTIME_LOGIN}"))
    }

    /// The store's location, as settings would give it.
    pub(crate) fn location(&self) -> Location {
        Location::Postgres {
            url: Secret::new(self.url()),
            owner_url: Some(self.owner_url.clone()),
            lanes: 2,
        }
    }

    /// A connection of the superuser.
    pub(crate) async fn superuser(&self) -> tokio_postgres::Client {
        connect(self.owner_url()).await
    }

    /// A connection of the runtime login.
    pub(crate) async fn runtime(&self) -> tokio_postgres::Client {
        connect(&self.url()).await
    }
}

/// The data folder of the shared server: every byte that any database of it wrote.
pub(crate) async fn postgres_folder() -> &'static Path {
    &shared().await.folder
}

impl Engine {
    /// Opens an empty store with a schema, in `folder` or in a database of its own.
    pub(crate) async fn store(self, folder: &Path, schema: &'static Schema) -> Store {
        let location = self.location(folder, schema).await;
        Store::open(&location, schema, true).await.unwrap()
    }

    /// A place where nothing is yet.
    pub(crate) async fn location(self, folder: &Path, schema: &'static Schema) -> Location {
        match self {
            Self::Sqlite => Location::Sqlite {
                path: folder.join(format!("{}.db", schema.name)),
            },
            Self::Postgres => Database::create().await.location(),
        }
    }
}
