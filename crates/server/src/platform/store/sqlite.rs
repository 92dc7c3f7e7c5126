//! SQLite: one writer thread with group commit, a few readers.
//!
//! The writer polls each unit to completion (every statement is ready at once), and answers all of a group after their one COMMIT. `journal_mode=WAL, synchronous=FULL`: an answered unit survives a power cut.

use super::unit::{Mode, Ran, RawConnection, RawTx, Work};
use super::{MigrationReport, Row, Schema, StatementText, StoreError, Value, migrate as migration};
use rusqlite::types::ValueRef;
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Context, Poll, Waker};

/// Units that share one commit, at most. Past a few hundred the commit stops getting cheaper and only the wait grows.
const GROUP_MAX: usize = 512;
/// Reader threads: reads are short, and two cores serve them beside the writer.
const READERS: usize = 2;
/// Prepared statements kept per connection.
const STATEMENT_CACHE: usize = 256;
/// Pages of 8 KiB between checkpoints: small, so that a checkpoint never stalls a group for long.
const WAL_AUTOCHECKPOINT_PAGES: i64 = 1000;
/// Page cache of a connection: negative means KiB (SQLite's own convention).
const CACHE_KIB: &str = "-16384";
/// How long a reader waits for the schema lock before it gives up.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

pub(super) struct Sqlite {
    writer: mpsc::Sender<Box<dyn Work>>,
    readers: mpsc::Sender<Box<dyn Work>>,
    path: std::path::PathBuf,
}

impl Sqlite {
    pub(super) fn open(
        path: &Path,
        schema: &'static Schema,
        migrate_first: bool,
    ) -> Result<Self, StoreError> {
        if migrate_first {
            migrate(path, schema)?;
        }
        let writing = connect(path)?;
        migration::check_sqlite(&writing, schema)?;
        let (writer, units) = mpsc::channel();
        spawn("store-writer", move || {
            write_loop(&Rc::new(Connection::new(writing)), &units)
        })?;
        let (readers, reads) = mpsc::channel();
        let reads = Arc::new(Mutex::new(reads));
        for _ in 0..READERS {
            let connection = connect(path)?;
            connection
                .pragma_update(None, "query_only", true)
                .map_err(unavailable)?;
            let reads = Arc::clone(&reads);
            spawn("store-reader", move || {
                read_loop(&Rc::new(Connection::new(connection)), &reads)
            })?;
        }
        Ok(Self {
            writer,
            readers,
            path: path.to_owned(),
        })
    }

    pub(super) fn submit(&self, mode: Mode, work: Box<dyn Work>) {
        let queue = if mode == Mode::Write {
            &self.writer
        } else {
            &self.readers
        };
        if let Err(mpsc::SendError(work)) = queue.send(work) {
            work.finish(Err(StoreError::Unavailable("the store was closed".into())));
        }
    }

    pub(super) async fn prepare(&self, text: &StatementText) -> Result<(), StoreError> {
        let connection = Connection::new(connect(&self.path)?);
        connection.with(text, |_| Ok(()))
    }
}

pub(super) fn migrate(path: &Path, schema: &'static Schema) -> Result<MigrationReport, StoreError> {
    migration::migrate_sqlite(&mut connect(path)?, schema)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let spawned = std::thread::Builder::new().name(name.into()).spawn(run);
    spawned
        .map(drop)
        .map_err(|error| StoreError::Unavailable(error.to_string()))
}

fn connect(path: &Path) -> Result<rusqlite::Connection, StoreError> {
    let connection = rusqlite::Connection::open(path).map_err(unavailable)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(unavailable)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    // Temporary pages in memory: a savepoint's journal would otherwise be written to a file, twice per unit.
    for (name, value) in [
        ("page_size", "8192"),
        ("auto_vacuum", "INCREMENTAL"),
        ("journal_mode", "WAL"),
        ("synchronous", "FULL"),
        ("temp_store", "MEMORY"),
        ("cache_size", CACHE_KIB),
    ] {
        set(&connection, name, value)?;
    }
    for (name, value) in [
        ("foreign_keys", "ON"),
        ("trusted_schema", "OFF"),
        ("cell_size_check", "ON"),
    ] {
        set(&connection, name, value)?;
    }
    connection
        .pragma_update(None, "wal_autocheckpoint", WAL_AUTOCHECKPOINT_PAGES)
        .map_err(unavailable)?;
    // No statement of ours attaches another file; none that slips in shall.
    connection
        .set_limit(rusqlite::limits::Limit::SQLITE_LIMIT_ATTACHED, 0)
        .map_err(unavailable)?;
    Ok(connection)
}

fn set(connection: &rusqlite::Connection, name: &str, value: &str) -> Result<(), StoreError> {
    // Some pragmas answer with a row, which `pragma_update` would take for an error.
    connection
        .pragma_update_and_check(None, name, value, |_| Ok(()))
        .or_else(|error| match error {
            rusqlite::Error::QueryReturnedNoRows => Ok(()),
            other => Err(unavailable(other)),
        })
}

fn unavailable(error: rusqlite::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// A connection and the rewritten texts of its statements.
pub(super) struct Connection {
    connection: rusqlite::Connection,
    texts: RefCell<HashMap<&'static str, Rc<str>>>,
}

impl Connection {
    fn new(connection: rusqlite::Connection) -> Self {
        Self {
            connection,
            texts: RefCell::default(),
        }
    }

    pub(super) fn query(&self, text: &StatementText, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.with(text, |statement| {
            let columns = statement.column_count();
            let mut rows = statement.query(rusqlite::params_from_iter(params))?;
            let mut answer = Vec::new();
            while let Some(row) = rows.next()? {
                let columns = (0..columns)
                    .map(|i| Ok(value_of(row.get_ref(i)?)))
                    .collect::<rusqlite::Result<_>>()?;
                answer.push(Row {
                    statement: text.name,
                    columns,
                });
            }
            Ok(answer)
        })
    }

    pub(super) fn execute(&self, text: &StatementText, params: &[Value]) -> Result<u64, StoreError> {
        self.with(text, |statement| {
            statement
                .execute(rusqlite::params_from_iter(params))
                .map(|n| n as u64)
        })
    }

    fn with<T>(
        &self,
        text: &StatementText,
        run: impl FnOnce(&mut rusqlite::CachedStatement<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let sql = Rc::clone(
            self.texts
                .borrow_mut()
                .entry(text.name)
                .or_insert_with(|| numbered(text.sqlite).into()),
        );
        let result = self
            .connection
            .prepare_cached(&sql)
            .and_then(|mut statement| run(&mut statement));
        result.map_err(|error| statement_error(text.name, &error))
    }

    fn control(&self, sql: &str) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut s| s.execute([]))
            .map(drop)
            .map_err(unavailable)
    }
}

/// `$N` is a *name* to SQLite and binds by first appearance; `?N` binds by number.
fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

fn statement_error(statement: &'static str, error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseCorrupt, DiskFull, NotADatabase, ReadOnly, SystemIoFailure,
    };
    match error.sqlite_error_code() {
        Some(
            CannotOpen | DatabaseBusy | DiskFull | NotADatabase | DatabaseCorrupt | ReadOnly
            | SystemIoFailure,
        ) => StoreError::Unavailable(error.to_string()),
        _ => StoreError::Statement {
            statement,
            reason: error.to_string(),
            is_transient: false,
        },
    }
}

fn value_of(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(v) => Value::Int(v),
        ValueRef::Real(v) => Value::Text(v.to_string()),
        ValueRef::Text(v) => Value::Text(String::from_utf8_lossy(v).into_owned()),
        ValueRef::Blob(v) => Value::Bytes(bytes::Bytes::copy_from_slice(v)),
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::ToSqlOutput;
        Ok(match self {
            Self::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Self::Int(v) => ToSqlOutput::Borrowed(ValueRef::Integer(*v)),
            Self::Text(v) => ToSqlOutput::Borrowed(ValueRef::Text(v.as_bytes())),
            Self::Bytes(v) => ToSqlOutput::Borrowed(ValueRef::Blob(v)),
            Self::Texts(v) => ToSqlOutput::Owned(serde_json::to_string(v).unwrap_or_default().into()),
        })
    }
}

fn write_loop(connection: &Rc<Connection>, units: &mpsc::Receiver<Box<dyn Work>>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while let Ok(first) = units.recv() {
        group.push(first);
        group.extend(units.try_iter().take(GROUP_MAX - 1));
        let outcome = write_group(connection, &mut group);
        for (unit, outcome) in group.drain(..).zip(outcome) {
            unit.finish(outcome);
        }
    }
}

/// Runs a group of units in one transaction and returns what each is to be told. A unit that wrote and then failed spoils the group, which
/// is rolled back and run once more with a savepoint around each unit: failures are rare, savepoints are not free.
fn write_group(connection: &Rc<Connection>, group: &mut [Box<dyn Work>]) -> Vec<Result<(), StoreError>> {
    match write_bare(connection, group) {
        Some(outcomes) => outcomes,
        None => write_in_savepoints(connection, group),
    }
}

/// `None` when the group was spoilt and rolled back.
fn write_bare(
    connection: &Rc<Connection>,
    group: &mut [Box<dyn Work>],
) -> Option<Vec<Result<(), StoreError>>> {
    if let Err(error) = connection.control("BEGIN IMMEDIATE") {
        return Some(vec![Err(error); group.len()]);
    }
    let mut outcomes = Vec::with_capacity(group.len());
    for unit in group.iter_mut() {
        let (ran, is_dirty) = poll_once(connection, unit.as_mut());
        if let Some(lost) = rolled_back_by_engine(connection) {
            return Some(vec![Err(lost); group.len()]);
        }
        if is_dirty && !matches!(ran, Ok(Ran::Keep)) {
            if let Err(error) = connection.control("ROLLBACK") {
                return Some(vec![Err(error); group.len()]);
            }
            return None;
        }
        outcomes.push(ran.map(drop));
    }
    Some(commit(connection, outcomes))
}

fn write_in_savepoints(
    connection: &Rc<Connection>,
    group: &mut [Box<dyn Work>],
) -> Vec<Result<(), StoreError>> {
    if let Err(error) = connection.control("BEGIN IMMEDIATE") {
        return vec![Err(error); group.len()];
    }
    let mut outcomes = Vec::with_capacity(group.len());
    for unit in group.iter_mut() {
        let outcome = run_in_savepoint(connection, unit.as_mut());
        if let Some(lost) = rolled_back_by_engine(connection) {
            return vec![Err(lost); group.len()];
        }
        outcomes.push(outcome);
    }
    commit(connection, outcomes)
}

/// A full disk or an I/O error makes SQLite roll back the whole transaction by itself.
fn rolled_back_by_engine(connection: &Connection) -> Option<StoreError> {
    let lost = || StoreError::Unavailable("the transaction was rolled back by the engine".into());
    connection.connection.is_autocommit().then(lost)
}

fn commit(connection: &Connection, outcomes: Vec<Result<(), StoreError>>) -> Vec<Result<(), StoreError>> {
    let committed = connection
        .connection
        .prepare_cached("COMMIT")
        .and_then(|mut statement| statement.execute([]));
    let Err(error) = committed else { return outcomes };
    // If a rollback is needed, this is it.
    let _ = connection.control("ROLLBACK");
    // A full disk is noticed before the log has the end of the commit. A failed sync is not: what the log holds by then may be found
    // again at the next start.
    let error = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::SystemIoFailure) => StoreError::CommitUnknown(error.to_string()),
        _ => unavailable(error),
    };
    vec![Err(error); outcomes.len()]
}

fn run_in_savepoint(connection: &Rc<Connection>, unit: &mut dyn Work) -> Result<(), StoreError> {
    connection.control("SAVEPOINT unit")?;
    let (ran, _) = poll_once(connection, unit);
    if !matches!(ran, Ok(Ran::Keep)) {
        connection.control("ROLLBACK TO unit")?;
    }
    connection.control("RELEASE unit")?;
    ran.map(drop)
}

/// Every statement is ready at once here, so a pending future waits for something that is not its transaction.
/// Says also whether the unit wrote anything.
fn poll_once(connection: &Rc<Connection>, unit: &mut dyn Work) -> (Result<Ran, StoreError>, bool) {
    let name = unit.name();
    let tx = RawTx::new(RawConnection::Sqlite(Rc::clone(connection)));
    let polled = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let mut future = unit.run(Rc::clone(&tx));
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }));
    let ran = match polled {
        Ok(Poll::Ready(ran)) => Ok(ran),
        Ok(Poll::Pending) => Err(StoreError::Waited(name)),
        Err(_) => Err(StoreError::Panicked(name)),
    };
    (ran, tx.is_dirty.get())
}

fn read_loop(connection: &Rc<Connection>, units: &Mutex<mpsc::Receiver<Box<dyn Work>>>) {
    loop {
        let next = units.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut unit) = next else { return };
        let outcome = connection.control("BEGIN").and_then(|()| {
            let (ran, _) = poll_once(connection, unit.as_mut());
            connection.control("COMMIT")?;
            ran.map(drop)
        });
        if outcome.is_err() && !connection.connection.is_autocommit() {
            // Leave no snapshot open behind a failed read; the error of the read is the one to tell.
            let _ = connection.control("ROLLBACK");
        }
        unit.finish(outcome);
    }
}
