//! Rows, behind one unit of work on two engines.
//!
//! A **unit of work** is an async closure over an [`OrgTx`] or a [`SystemTx`]. It may be run again (a lost race, a shared
//! commit that failed), so it does nothing but talk to its transaction. Units share commits: on SQLite one writer thread
//! drains its queue into one `BEGIN IMMEDIATE … COMMIT`; on PostgreSQL a few lanes do the same, each on a connection of its own.
//! The caller gets its answer only after the commit, so an answer means the rows are on disk.
//!
//! [`Store::org`] gives a transaction that can only run statements whose first parameter is the organization, which it
//! binds itself; PostgreSQL's row-level security is the second wall behind it. [`Store::system`] crosses organizations, for the
//! few purposes listed in [`Purpose`].
//!
//! Not here: any table's meaning. Statements live in the `store.rs` of their feature.

mod migrate;
mod postgres;
mod sqlite;
mod statement;
mod unit;
mod value;

pub use migrate::{MigrationReport, Schema};
pub(crate) use statement::statements;
pub use statement::{Org, Statement, StatementText, System};
pub use unit::{OrgTx, SystemTx};
pub(crate) use value::params;
pub use value::{FromValue, Row, RowReader, Value};

use crate::id::OrgId;
use crate::limits::SCHEDULE_AHEAD_MAX;
use std::path::PathBuf;
use std::sync::Arc;
use unit::{Mode, Scope, Work};

/// Why a statement or a commit failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The store can't be reached or can't write (disk full, server gone). Nothing of the unit was kept.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The connection was lost while the commit was under way: the unit may or may not have been kept.
    #[error("the outcome of a commit is unknown: {0}")]
    CommitUnknown(String),
    /// The engine refused a statement (a constraint, a type, a missing table).
    #[error("statement {statement} failed: {reason}")]
    Statement {
        /// The statement's name.
        statement: &'static str,
        /// The engine's words.
        reason: String,
        /// Whether running the unit again can help (deadlock, serialization failure).
        is_transient: bool,
    },
    /// A row did not have the expected shape.
    #[error("column {column} of {statement} has an unexpected type")]
    Shape {
        /// The statement's name.
        statement: &'static str,
        /// The column's index.
        column: usize,
    },
    /// A unit of work waited for something other than its transaction.
    #[error("unit of work {0} waited for something other than its transaction")]
    Waited(&'static str),
    /// A unit of work panicked.
    #[error("unit of work {0} panicked")]
    Panicked(&'static str),
    /// The database's schema is not one this program can use.
    #[error("{0}")]
    Schema(String),
}

/// Why a transaction may cross organizations. Few, so that each can be reviewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Find an API key before its organization is known.
    KeyLookup,
    /// Learn which web origins are listed at all: a preflight does not say for whom it asks.
    Origins,
    /// Lease due jobs, release leases of dead nodes, measure the backlog.
    Jobs,
    /// Create organizations, list them for the operator.
    Operator,
    /// Show the operator what waits, by destination, and find it.
    Queue,
    /// List the published DKIM keys of all organizations, for the installation's zone.
    Zone,
    /// Find the organization that a return path names; keep what is reported of the way to our own host.
    Returns,
    /// Read and write wrapped keys.
    Keyring,
    /// Create partitions ahead of time.
    Maintenance,
    /// Lease from the quotas of organizations and keys.
    Quota,
    /// Keep what receiving domains demand of the way to them.
    Transport,
}

/// Where a store's rows are.
#[derive(Debug, Clone)]
pub enum Location {
    /// A SQLite file; its folder exists.
    Sqlite {
        /// The database file.
        path: PathBuf,
    },
    /// A PostgreSQL database.
    Postgres {
        /// Connection string of the runtime login (member of `sealwright_app` and `sealwright_system`).
        url: crate::secret::Secret<String>,
        /// Connection string of the owner, who migrates; the runtime login when absent.
        owner_url: Option<crate::secret::Secret<String>>,
        /// Write lanes: connections whose units share commits.
        lanes: usize,
    },
}

/// A database with one schema: the data, or the keyring.
#[derive(Clone)]
pub struct Store {
    engine: Arc<Engine>,
}

enum Engine {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

impl Store {
    /// Opens the database, migrating it when `migrate` is set; refuses a schema that is too old or too new.
    pub async fn open(
        location: &Location,
        schema: &'static Schema,
        migrate: bool,
    ) -> Result<Self, StoreError> {
        let engine = match location {
            Location::Sqlite { path } => Engine::Sqlite(sqlite::Sqlite::open(path, schema, migrate)?),
            Location::Postgres {
                url,
                owner_url,
                lanes,
            } => {
                let owner = owner_url.as_ref().unwrap_or(url);
                Engine::Postgres(postgres::Postgres::open(url, owner, *lanes, schema, migrate).await?)
            }
        };
        Ok(Self {
            engine: Arc::new(engine),
        })
    }

    /// Migrates and reports what was done, without starting the executors.
    pub async fn migrate(
        location: &Location,
        schema: &'static Schema,
    ) -> Result<MigrationReport, StoreError> {
        match location {
            Location::Sqlite { path } => sqlite::migrate(path, schema),
            Location::Postgres { url, owner_url, .. } => {
                postgres::migrate(owner_url.as_ref().unwrap_or(url), schema).await
            }
        }
    }

    /// Whether the rows are in SQLite; PostgreSQL otherwise.
    pub fn is_sqlite(&self) -> bool {
        matches!(*self.engine, Engine::Sqlite(_))
    }

    /// Work inside one organization.
    pub fn org<'a>(&'a self, org: &OrgId) -> OrgScope<'a> {
        OrgScope {
            store: self,
            org: org.clone(),
        }
    }

    /// Work across organizations, for a listed purpose.
    pub(crate) fn system(&self, purpose: Purpose) -> SystemScope<'_> {
        SystemScope { store: self, purpose }
    }

    /// Prepares a statement without running it: how the test of all statements asks the engine.
    pub async fn prepare(&self, text: &StatementText) -> Result<(), StoreError> {
        match &*self.engine {
            Engine::Sqlite(engine) => engine.prepare(text).await,
            Engine::Postgres(engine) => engine.prepare(text).await,
        }
    }

    async fn submit<T, E>(&self, mode: Mode, work: Box<dyn Work>, answer: unit::Answer<T, E>) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        match &*self.engine {
            Engine::Sqlite(engine) => engine.submit(mode, work),
            Engine::Postgres(engine) => engine.submit(mode, work),
        }
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(E::from(StoreError::Unavailable("the store was closed".into()))),
        }
    }
}

/// A way to run units inside one organization.
pub struct OrgScope<'a> {
    store: &'a Store,
    org: OrgId,
}

impl OrgScope<'_> {
    /// Runs a unit that may write; returns after its commit.
    pub async fn write<T, E, F>(&self, name: &'static str, work: F) -> Result<T, E>
    where
        F: AsyncFn(&OrgTx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.run(Mode::Write, name, work).await
    }

    /// Runs a unit that only reads, on a connection that can't write.
    pub async fn read<T, E, F>(&self, name: &'static str, work: F) -> Result<T, E>
    where
        F: AsyncFn(&OrgTx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.run(Mode::Read, name, work).await
    }

    async fn run<T, E, F>(&self, mode: Mode, name: &'static str, work: F) -> Result<T, E>
    where
        F: AsyncFn(&OrgTx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (work, answer) = unit::org_work(name, Scope::Org(self.org.clone()), work);
        self.store.submit(mode, work, answer).await
    }
}

/// A way to run units across organizations.
pub(crate) struct SystemScope<'a> {
    store: &'a Store,
    purpose: Purpose,
}

impl SystemScope<'_> {
    /// Runs a unit that may write; returns after its commit.
    pub(crate) async fn write<T, E, F>(&self, name: &'static str, work: F) -> Result<T, E>
    where
        F: AsyncFn(&SystemTx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (work, answer) = unit::system_work(name, Scope::System(self.purpose), work);
        self.store.submit(Mode::Write, work, answer).await
    }

    /// Runs a unit that only reads.
    pub(crate) async fn read<T, E, F>(&self, name: &'static str, work: F) -> Result<T, E>
    where
        F: AsyncFn(&SystemTx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (work, answer) = unit::system_work(name, Scope::System(self.purpose), work);
        self.store.submit(Mode::Read, work, answer).await
    }
}

statements! {
    /// Creates the day partitions of the tables that are forgotten by the day; SQLite has no partitions.
    system ENSURE_PARTITIONS =
        sqlite "SELECT 0 WHERE $1 <= $2 AND $2 <= $3"
        postgres "SELECT ensure_partitions($1, $2, $3)";
}

/// The statement of the store's own upkeep.
pub const MAINTENANCE: &[StatementText] = ALL;

/// Days for which partitions exist ahead of time: a week of failed maintenance loses nothing.
const PARTITION_DAYS_AHEAD: i64 = 7;
/// The same for contents, which lie at the day on which they are to be sent: as far ahead as mail is scheduled, and a day for the way.
const CONTENT_DAYS_AHEAD: i64 = (SCHEDULE_AHEAD_MAX.as_secs() / 86_400) as i64 + 1;

impl Store {
    /// Makes the partitions of today and the coming days; returns how many were missing.
    pub async fn ensure_partitions(&self, today: i64) -> Result<i64, StoreError> {
        let unit = async move |tx: &SystemTx| {
            let row = tx
                .query_opt(
                    &ENSURE_PARTITIONS,
                    params![
                        today - 1,
                        today + PARTITION_DAYS_AHEAD,
                        today + CONTENT_DAYS_AHEAD
                    ],
                )
                .await?;
            row.map_or(Ok(0), |row| row.reader().next())
        };
        self.system(Purpose::Maintenance)
            .write("ensure_partitions", unit)
            .await
    }
}
