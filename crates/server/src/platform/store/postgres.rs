//! PostgreSQL: a few lanes, each a thread with one connection, whose units share commits.
//!
//! A lane takes what is queued (up to [`GROUP_MAX`] units), runs the units one after the other in one transaction, switching
//! organization and role between them, and answers after COMMIT. A unit that fails after it wrote, or with an engine error, spoils
//! the shared transaction: it is rolled back and every unit of the group is run again alone.
//!
//! Isolation is READ COMMITTED; units rely on unique keys and guarded updates, not on a serial order.

use super::unit::{Mode, Ran, RawConnection, RawTx, Scope, Work, run_caught};
use super::{MigrationReport, Row, Schema, StatementText, StoreError, Value, migrate as migration};
use crate::id::Id as _;
use crate::secret::Secret;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, private::BytesMut};

/// Units that share one commit, at most: more would hold row locks for long.
const GROUP_MAX: usize = 64;
/// Lanes that only read.
const READ_LANES: usize = 2;
/// How long a lane tries to reach the server before its units are told that the store is unavailable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Bound on one statement, so that a lost lock can't stop a lane.
const STATEMENT_TIMEOUT_MS: u64 = 10_000;
/// How long this side waits for any answer: a little more than the server may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Runs of a unit that lost a race (deadlock, serialization failure), at most.
const RUNS_MAX: usize = 5;

pub(super) struct Postgres {
    writers: mpsc::UnboundedSender<Box<dyn Work>>,
    readers: mpsc::UnboundedSender<Box<dyn Work>>,
    url: Secret<String>,
    schema: &'static Schema,
}

type Queue = Arc<Mutex<mpsc::UnboundedReceiver<Box<dyn Work>>>>;

impl Postgres {
    pub(super) async fn open(
        url: &Secret<String>,
        owner_url: &Secret<String>,
        lanes: usize,
        schema: &'static Schema,
        migrate_first: bool,
    ) -> Result<Self, StoreError> {
        if migrate_first {
            migrate(owner_url, schema).await?;
        }
        let client = connect(url, schema).await?;
        migration::check_postgres(&client, schema).await?;
        let (writers, queue) = mpsc::unbounded_channel();
        start_lanes(lanes.max(1), Mode::Write, queue, url, schema)?;
        let (readers, queue) = mpsc::unbounded_channel();
        start_lanes(READ_LANES, Mode::Read, queue, url, schema)?;
        Ok(Self {
            writers,
            readers,
            url: url.clone(),
            schema,
        })
    }

    pub(super) fn submit(&self, mode: Mode, work: Box<dyn Work>) {
        let queue = if mode == Mode::Write {
            &self.writers
        } else {
            &self.readers
        };
        if let Err(mpsc::error::SendError(work)) = queue.send(work) {
            work.finish(Err(StoreError::Unavailable("the store was closed".into())));
        }
    }

    pub(super) async fn prepare(&self, text: &StatementText) -> Result<(), StoreError> {
        let client = connect(&self.url, self.schema).await?;
        let role = if text.is_org {
            migration::APP_ROLE
        } else {
            migration::SYSTEM_ROLE
        };
        client
            .batch_execute(&format!("SET ROLE {role}"))
            .await
            .map_err(|e| unavailable(&e))?;
        client
            .prepare(text.postgres)
            .await
            .map(drop)
            .map_err(|error| statement_error(text.name, &error))
    }
}

pub(super) async fn migrate(
    owner_url: &Secret<String>,
    schema: &'static Schema,
) -> Result<MigrationReport, StoreError> {
    let mut client = connect(owner_url, schema).await?;
    migration::migrate_postgres(&mut client, schema).await
}

fn start_lanes(
    lanes: usize,
    mode: Mode,
    queue: mpsc::UnboundedReceiver<Box<dyn Work>>,
    url: &Secret<String>,
    schema: &'static Schema,
) -> Result<(), StoreError> {
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..lanes {
        let (queue, url) = (Arc::clone(&queue), url.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let name = if mode == Mode::Write {
            "store-lane"
        } else {
            "store-read-lane"
        };
        let lane = move || runtime.block_on(lane(mode, &queue, &url, schema));
        let spawned = std::thread::Builder::new().name(name.into()).spawn(lane);
        spawned.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    }
    Ok(())
}

async fn connect(url: &Secret<String>, schema: &Schema) -> Result<tokio_postgres::Client, StoreError> {
    let mut config: tokio_postgres::Config = url
        .expose()
        .parse()
        .map_err(|_| StoreError::Unavailable("the connection string can't be read".into()))?;
    config.connect_timeout(CONNECT_TIMEOUT);
    config.application_name("sealwright");
    // A server that vanishes without a word must not be waited for longer than a statement may take.
    config
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(2);
    config.tcp_user_timeout(ANSWER_TIMEOUT);
    let tls = crate::platform::net::client_config(crate::platform::net::TlsMin::V1_2, &[]);
    let tls = tls.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let tls = tokio_postgres_rustls::MakeRustlsConnect::new(Arc::unwrap_or_clone(tls));
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, config.connect(tls));
    let (client, connection) = match connecting.await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return Err(unavailable(&error)),
        Err(_) => {
            return Err(StoreError::Unavailable(
                "the server did not answer in time".into(),
            ));
        }
    };
    // The connection's own task ends with the client; its error reaches the client's callers too.
    tokio::spawn(async move { drop(connection.await) });
    let settings = format!(
        "SET search_path = {}; SET statement_timeout = {STATEMENT_TIMEOUT_MS}; SET idle_in_transaction_session_timeout = 30000; \
         SET synchronous_commit = on; SET client_min_messages = warning",
        schema.name
    );
    client
        .batch_execute(&settings)
        .await
        .map_err(|e| unavailable(&e))?;
    Ok(client)
}

async fn lane(mode: Mode, queue: &Queue, url: &Secret<String>, schema: &'static Schema) {
    let mut connection: Option<Rc<Connection>> = None;
    let mut group = Vec::with_capacity(GROUP_MAX);
    loop {
        if queue.lock().await.recv_many(&mut group, GROUP_MAX).await == 0 {
            return;
        }
        if connection.as_ref().is_none_or(|c| c.is_lost()) {
            connection = None;
            match connect(url, schema).await {
                Ok(client) => connection = Some(Rc::new(Connection::new(client))),
                Err(error) => group.drain(..).for_each(|unit| unit.finish(Err(error.clone()))),
            }
        }
        if let Some(connection) = &connection {
            run_group(connection, mode, &mut group).await;
        }
    }
}

async fn run_group(connection: &Rc<Connection>, mode: Mode, group: &mut Vec<Box<dyn Work>>) {
    let is_spoilt = match run_together(connection, mode, group).await {
        Ok(()) => {
            let committed = connection.control("COMMIT").await;
            let outcome = committed.map_err(|error| commit_error(connection, mode, error));
            group.drain(..).for_each(|unit| unit.finish(outcome.clone()));
            false
        }
        Err(error) if connection.is_lost() => {
            group.drain(..).for_each(|unit| unit.finish(Err(error.clone())));
            false
        }
        Err(_) => true,
    };
    if is_spoilt {
        // If this fails too, the connection is gone and the next statement says so.
        let _ = connection.control("ROLLBACK").await;
        for mut unit in group.drain(..) {
            let outcome = run_alone(connection, mode, unit.as_mut()).await;
            unit.finish(outcome);
        }
    }
}

/// Runs all units in one open transaction; an error means that it has to be rolled back.
async fn run_together(
    connection: &Rc<Connection>,
    mode: Mode,
    group: &mut [Box<dyn Work>],
) -> Result<(), StoreError> {
    let mut scope = None;
    for unit in group {
        if scope.as_ref() != Some(unit.scope()) {
            let begin = if scope.is_none() { begin(mode) } else { "" };
            connection
                .control(&format!("{begin}{}", enter(unit.scope())))
                .await?;
            scope = Some(unit.scope().clone());
        }
        let tx = RawTx::new(RawConnection::Postgres(Rc::clone(connection)));
        let ran = run_caught(unit.as_mut(), &tx).await?;
        if let Some(error) = tx.error.borrow_mut().take() {
            return Err(error);
        }
        if ran == Ran::Undo && tx.is_dirty.get() {
            return Err(StoreError::Unavailable("a unit refused after writing".into()));
        }
    }
    Ok(())
}

/// Runs one unit in its own transaction, again if it lost a race.
async fn run_alone(connection: &Rc<Connection>, mode: Mode, unit: &mut dyn Work) -> Result<(), StoreError> {
    let mut runs = 1;
    loop {
        connection
            .control(&format!("{}{}", begin(mode), enter(unit.scope())))
            .await?;
        let tx = RawTx::new(RawConnection::Postgres(Rc::clone(connection)));
        let ran = run_caught(unit, &tx).await;
        let error = tx.error.borrow_mut().take();
        if matches!(ran, Ok(Ran::Keep)) && error.is_none() {
            return connection
                .control("COMMIT")
                .await
                .map_err(|error| commit_error(connection, mode, error));
        }
        connection.control("ROLLBACK").await?;
        match error {
            Some(StoreError::Statement {
                is_transient: true, ..
            }) if runs < RUNS_MAX => runs += 1,
            Some(error) => return Err(error),
            None => return ran.map(drop),
        }
    }
}

fn begin(mode: Mode) -> &'static str {
    match mode {
        Mode::Write => "BEGIN;",
        Mode::Read => "BEGIN READ ONLY;",
    }
}

/// Sets role and organization for the rest of the transaction. An id holds only letters, digits and an underscore.
fn enter(scope: &Scope) -> String {
    let (role, org) = match scope {
        Scope::Org(org) => (migration::APP_ROLE, org.as_str()),
        Scope::System(_) => (migration::SYSTEM_ROLE, ""),
    };
    format!("SELECT set_config('role','{role}',true), set_config('app.org','{org}',true)")
}

fn commit_error(connection: &Connection, mode: Mode, error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(reason) if mode == Mode::Write && connection.is_lost() => {
            StoreError::CommitUnknown(reason)
        }
        other => other,
    }
}

fn unavailable(error: &tokio_postgres::Error) -> StoreError {
    StoreError::Unavailable(reason_of(error))
}

/// The server's words without its DETAIL, which may quote a row.
fn reason_of(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => error.to_string(),
    }
}

fn statement_error(statement: &'static str, error: &tokio_postgres::Error) -> StoreError {
    let Some(db) = error.as_db_error() else {
        return if error.is_closed() {
            unavailable(error)
        } else {
            StoreError::Statement {
                statement,
                reason: reason_of(error),
                is_transient: false,
            }
        };
    };
    let code = db.code().code();
    // Class 53 insufficient resources, 57 operator intervention (shutdown, cancel), 25006 read-only after a failover.
    if code.starts_with("53") || code.starts_with("57") || code == "25006" {
        return unavailable(error);
    }
    // 23505: two lanes made the same row at once; run again, the unit finds it.
    let is_transient = matches!(code, "40001" | "40P01" | "23505");
    StoreError::Statement {
        statement,
        reason: reason_of(error),
        is_transient,
    }
}

/// A connection and its prepared statements.
pub(super) struct Connection {
    client: tokio_postgres::Client,
    statements: RefCell<HashMap<&'static str, tokio_postgres::Statement>>,
    /// An answer did not come in time; what the server did is not known, and the connection is not used again.
    is_silent: Cell<bool>,
}

impl Connection {
    fn new(client: tokio_postgres::Client) -> Self {
        Self {
            client,
            statements: RefCell::default(),
            is_silent: Cell::new(false),
        }
    }

    fn is_lost(&self) -> bool {
        self.is_silent.get() || self.client.is_closed()
    }

    async fn prepared(
        &self,
        text: &StatementText,
    ) -> Result<tokio_postgres::Statement, tokio_postgres::Error> {
        let known = self.statements.borrow().get(text.name).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(text.postgres).await?;
        self.statements.borrow_mut().insert(text.name, statement.clone());
        Ok(statement)
    }

    async fn answered<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
        failed: impl FnOnce(&tokio_postgres::Error) -> StoreError,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(answer) => answer.map_err(|error| failed(&error)),
            Err(_) => {
                self.is_silent.set(true);
                Err(StoreError::Unavailable(
                    "the server did not answer in time".into(),
                ))
            }
        }
    }

    pub(super) async fn query(&self, text: &StatementText, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        let answer = async {
            let statement = self.prepared(text).await?;
            self.client.query(&statement, &as_params(params)).await
        };
        let rows = self
            .answered(answer, |error| statement_error(text.name, error))
            .await?;
        rows.into_iter().map(|row| row_of(text.name, &row)).collect()
    }

    pub(super) async fn execute(&self, text: &StatementText, params: &[Value]) -> Result<u64, StoreError> {
        let answer = async {
            let statement = self.prepared(text).await?;
            self.client.execute(&statement, &as_params(params)).await
        };
        self.answered(answer, |error| statement_error(text.name, error))
            .await
    }

    async fn control(&self, sql: &str) -> Result<(), StoreError> {
        self.answered(self.client.batch_execute(sql), unavailable).await
    }
}

fn as_params(params: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

fn row_of(statement: &'static str, row: &tokio_postgres::Row) -> Result<Row, StoreError> {
    let column = |i| {
        row.try_get::<_, Value>(i)
            .map_err(|_| StoreError::Shape { statement, column: i })
    };
    let columns = (0..row.len()).map(column).collect::<Result<_, _>>()?;
    Ok(Row { statement, columns })
}

type Fallible<T> = Result<T, Box<dyn std::error::Error + Sync + Send>>;

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Fallible<IsNull> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(v) => match *ty {
                Type::INT4 => i32::try_from(*v)?.to_sql(ty, out),
                Type::INT2 => i16::try_from(*v)?.to_sql(ty, out),
                _ => v.to_sql(ty, out),
            },
            Self::Text(v) => v.to_sql(ty, out),
            Self::Bytes(v) => v.as_ref().to_sql(ty, out),
            Self::Texts(v) => v.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(
            *ty,
            Type::INT8
                | Type::INT4
                | Type::INT2
                | Type::TEXT
                | Type::VARCHAR
                | Type::BYTEA
                | Type::TEXT_ARRAY
        )
    }

    tokio_postgres::types::to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Fallible<Self> {
        Ok(match *ty {
            Type::INT8 => Self::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Self::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Self::Int(i16::from_sql(ty, raw)?.into()),
            Type::BOOL => Self::Int(bool::from_sql(ty, raw)?.into()),
            Type::BYTEA => Self::Bytes(bytes::Bytes::copy_from_slice(raw)),
            _ => Self::Text(String::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Fallible<Self> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(
            *ty,
            Type::INT8 | Type::INT4 | Type::INT2 | Type::BOOL | Type::BYTEA | Type::TEXT | Type::VARCHAR
        )
    }
}
