//! A unit of work as the engines see it, and the two transactions it can be written against.

use super::{Org, System};
use super::{Purpose, Row, Statement, StatementText, StoreError, Value};
use crate::id::{Id as _, OrgId};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use tokio::sync::oneshot;

/// Whether a unit may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Read,
    Write,
}

/// Whose rows a unit may touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    Org(OrgId),
    System(Purpose),
}

pub(super) type Answer<T, E> = oneshot::Receiver<Result<T, E>>;

/// How a run of a unit ended, as far as the engine has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    /// Its writes are to be kept.
    Keep,
    /// Its writes, if any, are to be undone; the answer is a refusal or an error.
    Undo,
}

/// A unit of work, without its types. Runs on the executor's own thread, so its futures need not be `Send`.
pub(super) trait Work: Send {
    fn name(&self) -> &'static str;
    fn scope(&self) -> &Scope;
    /// Runs the closure and keeps its result until `finish`; may be called again.
    fn run<'a>(&'a mut self, tx: Rc<RawTx>) -> Pin<Box<dyn Future<Output = Ran> + 'a>>;
    /// Answers the caller: with the kept result if `outcome` is `Ok`, with the error otherwise.
    fn finish(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct WorkOf<F, T, E> {
    name: &'static str,
    scope: Scope,
    work: F,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E: From<StoreError>> WorkOf<F, T, E> {
    fn keep(&mut self, result: Result<T, E>) -> Ran {
        let ran = if result.is_ok() { Ran::Keep } else { Ran::Undo };
        self.result = Some(result);
        ran
    }

    fn answer(self, outcome: Result<(), StoreError>) {
        // A result that was computed on rows which were then rolled back means nothing, even if it is a refusal.
        let result = match (outcome, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(E::from(StoreError::Unavailable("the unit did not run".into()))),
            (Err(error), _) => Err(E::from(error)),
        };
        // The caller may have given up (its client went away); the commit stands all the same.
        let _ = self.answer.send(result);
    }
}

struct OrgWork<F, T, E>(WorkOf<F, T, E>);
struct SystemWork<F, T, E>(WorkOf<F, T, E>);

macro_rules! impl_work {
    ($work:ident, $tx:ident) => {
        impl<F, T, E> Work for $work<F, T, E>
        where
            F: AsyncFn(&$tx) -> Result<T, E> + Send + 'static,
            T: Send + 'static,
            E: From<StoreError> + Send + 'static,
        {
            fn name(&self) -> &'static str {
                self.0.name
            }

            fn scope(&self) -> &Scope {
                &self.0.scope
            }

            fn run<'a>(&'a mut self, raw: Rc<RawTx>) -> Pin<Box<dyn Future<Output = Ran> + 'a>> {
                Box::pin(async move {
                    let tx = $tx {
                        raw,
                        scope: self.0.scope.clone(),
                    };
                    self.0.result = None;
                    let result = (self.0.work)(&tx).await;
                    self.0.keep(result)
                })
            }

            fn finish(self: Box<Self>, outcome: Result<(), StoreError>) {
                self.0.answer(outcome);
            }
        }
    };
}

impl_work!(OrgWork, OrgTx);
impl_work!(SystemWork, SystemTx);

pub(super) fn org_work<F, T, E>(name: &'static str, scope: Scope, work: F) -> (Box<dyn Work>, Answer<T, E>)
where
    F: AsyncFn(&OrgTx) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let (answer, receiver) = oneshot::channel();
    (
        Box::new(OrgWork(WorkOf {
            name,
            scope,
            work,
            result: None,
            answer,
        })),
        receiver,
    )
}

pub(super) fn system_work<F, T, E>(name: &'static str, scope: Scope, work: F) -> (Box<dyn Work>, Answer<T, E>)
where
    F: AsyncFn(&SystemTx) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let (answer, receiver) = oneshot::channel();
    (
        Box::new(SystemWork(WorkOf {
            name,
            scope,
            work,
            result: None,
            answer,
        })),
        receiver,
    )
}

/// The connection a unit runs on, with what the engine wants to know afterwards.
pub(super) struct RawTx {
    connection: RawConnection,
    /// A statement that writes was run.
    pub(super) is_dirty: Cell<bool>,
    /// The first error the engine gave; on PostgreSQL the transaction is dead after it.
    pub(super) error: RefCell<Option<StoreError>>,
}

pub(super) enum RawConnection {
    Sqlite(Rc<super::sqlite::Connection>),
    Postgres(Rc<super::postgres::Connection>),
}

impl RawTx {
    pub(super) fn new(connection: RawConnection) -> Rc<Self> {
        Rc::new(Self {
            connection,
            is_dirty: Cell::new(false),
            error: RefCell::new(None),
        })
    }

    async fn query(&self, text: &StatementText, params: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        if !text.postgres.trim_start().starts_with("SELECT") {
            self.is_dirty.set(true);
        }
        let answer = match &self.connection {
            RawConnection::Sqlite(connection) => connection.query(text, &params),
            RawConnection::Postgres(connection) => connection.query(text, &params).await,
        };
        answer.inspect_err(|error| self.note(error))
    }

    async fn execute(&self, text: &StatementText, params: Vec<Value>) -> Result<u64, StoreError> {
        let answer = match &self.connection {
            RawConnection::Sqlite(connection) => connection.execute(text, &params),
            RawConnection::Postgres(connection) => connection.execute(text, &params).await,
        };
        if !matches!(answer, Ok(0)) {
            self.is_dirty.set(true);
        }
        answer.inspect_err(|error| self.note(error))
    }

    fn note(&self, error: &StoreError) {
        self.error.borrow_mut().get_or_insert_with(|| error.clone());
    }
}

/// A transaction inside one organization.
pub struct OrgTx {
    raw: Rc<RawTx>,
    scope: Scope,
}

impl OrgTx {
    /// The organization.
    pub fn org(&self) -> &OrgId {
        match &self.scope {
            Scope::Org(org) => org,
            Scope::System(_) => unreachable!("an OrgTx is only made from an organization's scope"),
        }
    }

    fn bind(&self, params: Vec<Value>) -> Vec<Value> {
        let mut bound = Vec::with_capacity(params.len() + 1);
        bound.push(Value::Text(self.org().as_str().to_owned()));
        bound.extend(params);
        bound
    }

    /// All rows; the caller's parameters start at `$2`.
    pub async fn query(
        &self,
        statement: &Statement<Org>,
        params: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        self.raw.query(&statement.text, self.bind(params)).await
    }

    /// The first row, if any.
    pub async fn query_opt(
        &self,
        statement: &Statement<Org>,
        params: Vec<Value>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(statement, params).await?.into_iter().next())
    }

    /// The number of rows written.
    pub async fn execute(&self, statement: &Statement<Org>, params: Vec<Value>) -> Result<u64, StoreError> {
        self.raw.execute(&statement.text, self.bind(params)).await
    }
}

/// A transaction across organizations.
pub struct SystemTx {
    raw: Rc<RawTx>,
    scope: Scope,
}

impl SystemTx {
    /// Why this transaction may cross organizations.
    pub fn purpose(&self) -> Purpose {
        match &self.scope {
            Scope::System(purpose) => *purpose,
            Scope::Org(_) => unreachable!("a SystemTx is only made from a system scope"),
        }
    }

    /// All rows; parameters start at `$1`.
    pub async fn query(
        &self,
        statement: &Statement<System>,
        params: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        self.raw.query(&statement.text, params).await
    }

    /// The first row, if any.
    pub async fn query_opt(
        &self,
        statement: &Statement<System>,
        params: Vec<Value>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(statement, params).await?.into_iter().next())
    }

    /// The number of rows written.
    pub async fn execute(
        &self,
        statement: &Statement<System>,
        params: Vec<Value>,
    ) -> Result<u64, StoreError> {
        self.raw.execute(&statement.text, params).await
    }
}

/// Runs a unit where waiting is allowed; a panic becomes an error instead of the end of its executor.
pub(super) async fn run_caught(unit: &mut dyn Work, tx: &Rc<RawTx>) -> Result<Ran, StoreError> {
    let name = unit.name();
    let mut future = unit.run(Rc::clone(tx));
    std::future::poll_fn(move |context| {
        let poll = std::panic::AssertUnwindSafe(|| future.as_mut().poll(context));
        match std::panic::catch_unwind(poll) {
            Ok(polled) => polled.map(Ok),
            Err(_) => std::task::Poll::Ready(Err(StoreError::Panicked(name))),
        }
    })
    .await
}
