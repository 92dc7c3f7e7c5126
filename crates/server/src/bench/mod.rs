//! Measures this program, and what this machine can do at most, in the same run.
//!
//! A disk or a neighbour changes within the hour, so a rate alone says little; the ratio of a stage to the limit that bounds it, both
//! measured within the same seconds, says how much the program takes away. In each round every limit is measured, then the
//! stage, then every limit again (A/B/A), and the figure is the median of the rounds' ratios.
//!
//! Everything runs in this process over loopback: a whole instance as `serve` starts it, our own HTTPS client, the SMTP sink, a
//! webhook receiver. So a rate is what all of them do together on the machine's cores, and the CPU time is everybody's. Bodies differ,
//! the store is a fresh folder on a disk (never in memory), and nothing is made faster than `serve` makes it.
//!
//! The pages to read: `stages` (what is measured), `limits` and `comparison` (against what), `client` (the load), `report` (how it is shown).
//! Not here: peers (`bench/` at the root of the repository runs them on the same work), inbound mail, injected slowness of disks.

mod client;
mod comparison;
mod ground;
mod letter;
mod limits;
mod meter;
mod names;
mod report;
mod stages;

pub use comparison::{Beside, Comparison, Depth, Queue, Slowdown};
pub use report::{header, json_line, table};

use crate::app::StartError;
use crate::config::{ConfigError, Settings};
use crate::platform::dev::postgres::LocalPostgresError;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

/// A thing that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The limit of the store alone: rows committed in groups.
    Disk,
    /// The limit of signing alone: RSA-2048 signatures.
    Crypto,
    /// Accepting without HTTPS: policy, composing, sealing, the commit.
    Store,
    /// From `POST /v1/emails` to its answer; nothing is delivered.
    Accept,
    /// From `POST /v1/emails` to the bytes in the receiver's hands and the outcome in the store.
    Deliver,
    /// The last look at a signed message: parsed and verified by means that neither composed nor signed it.
    Lint,
    /// From an event in the store to the receiver's 2xx and its durable record.
    Webhook,
    /// Deciding about requests: a quota for the organization and one for its key, charged together.
    Quota,
    /// One organization's answers while another offers a hundred times its quota.
    Fairness,
    /// Deliveries to one destination beside a thousand slow ones.
    Slow,
    /// A long queue beside a short one: claims, memory, the first delivery after a start.
    Queue,
}

impl Stage {
    /// All stages, in the order in which they are measured.
    pub const ALL: [Stage; 11] = [
        Self::Disk,
        Self::Crypto,
        Self::Store,
        Self::Accept,
        Self::Deliver,
        Self::Lint,
        Self::Webhook,
        Self::Quota,
        Self::Fairness,
        Self::Slow,
        Self::Queue,
    ];

    /// The stage as it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Crypto => "crypto",
            Self::Store => "store",
            Self::Accept => "accept",
            Self::Deliver => "deliver",
            Self::Lint => "lint",
            Self::Webhook => "webhook",
            Self::Quota => "quota",
            Self::Fairness => "fairness",
            Self::Slow => "slow",
            Self::Queue => "queue",
        }
    }

    /// What the ratio to the stage's first limit should be: for now, and in the end.
    pub fn goal(self, engine: Engine) -> Option<(f64, f64)> {
        match (self, engine) {
            (Self::Accept, Engine::Sqlite) => Some((0.50, 0.80)),
            (Self::Accept, Engine::Postgres) | (Self::Webhook, _) => Some((0.33, 0.50)),
            (Self::Deliver, _) => Some((0.40, 0.50)),
            (
                Self::Disk
                | Self::Crypto
                | Self::Store
                | Self::Lint
                | Self::Quota
                | Self::Fairness
                | Self::Slow
                | Self::Queue,
                _,
            ) => None,
        }
    }

    /// What bounds the stage; the first is the one that the goal speaks of.
    fn limits(self) -> &'static [Limit] {
        match self {
            Self::Disk | Self::Crypto | Self::Quota | Self::Fairness | Self::Slow | Self::Queue => &[],
            Self::Store => &[Limit::Commit],
            Self::Accept => &[Limit::Commit, Limit::Requests],
            Self::Deliver => &[Limit::Signatures, Limit::Commit],
            Self::Lint => &[Limit::Signatures],
            Self::Webhook => &[Limit::Posts, Limit::Commit],
        }
    }
}

/// Where rows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The embedded store.
    Sqlite,
    /// A PostgreSQL server that the benchmark starts for itself.
    Postgres,
}

impl Engine {
    /// The engine as it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// What this machine can do at most in one part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Rows of the body's size, committed in groups on the same engine, in the same folder, with the same durability.
    Commit,
    /// RSA-2048 signatures on all cores.
    Signatures,
    /// HTTPS requests with the same bodies, connections and TLS to a handler that only reads them.
    Requests,
    /// HTTPS posts by the client that sends webhooks to the same receiver, signed by nobody and recorded nowhere.
    Posts,
}

impl Limit {
    /// The limit as it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Commit => "group commit",
            Self::Signatures => "RSA-2048 signatures",
            Self::Requests => "bare HTTPS requests",
            Self::Posts => "bare HTTPS posts",
        }
    }
}

/// How to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where rows are kept.
    pub engine: Engine,
    /// How long a stage is measured in each round; its limits take half of that before and half after.
    pub period: Duration,
    /// Rounds of each stage.
    pub rounds: usize,
    /// Bytes of HTML in each e-mail; as much goes into each row of the group commit.
    pub body_bytes: usize,
    /// Connections of the client, each with one request at a time.
    pub connections: usize,
    /// Messages in the long queue.
    pub queued: u64,
    /// Folder in which a fresh one is made and removed again; the system's for temporary files when absent.
    pub folder: Option<PathBuf>,
    /// Settings of the instance, beside those that the benchmark needs itself.
    pub settings: Settings,
}

/// A stage's rate against a limit of the same run, round by round.
#[derive(Debug, Clone)]
pub struct Ratio {
    /// What it is held against.
    pub limit: Limit,
    /// The limit's own rate: the median of the rounds.
    pub limit_per_s: f64,
    /// Stage divided by limit: median of the rounds.
    pub median: f64,
    /// The worst round.
    pub min: f64,
    /// The best round.
    pub max: f64,
}

/// What was measured of a stage.
#[derive(Debug, Clone)]
pub struct Figure {
    /// The stage.
    pub stage: Stage,
    /// The engine below it.
    pub engine: Engine,
    /// Units of work per second: the median of the rounds.
    pub rate_per_s: f64,
    /// Milliseconds in which half of the units were answered, where a unit has an answer.
    pub p50_ms: Option<f64>,
    /// Milliseconds in which 99 of 100 were.
    pub p99_ms: Option<f64>,
    /// CPU seconds of the whole machine per 1,000 units.
    pub machine_cpu_s_per_1000: f64,
    /// CPU seconds of this process (server, client and receiver) per 1,000 units.
    pub process_cpu_s_per_1000: f64,
    /// The most memory that this process held during the stage, limits included; a PostgreSQL server's is not in it.
    pub peak_rss_mib: f64,
    /// Against what.
    pub ratios: Vec<Ratio>,
    /// What it is held against where that is no limit.
    pub comparison: Option<Comparison>,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The folder is in memory.
    #[error("{0} is in memory (tmpfs), where nothing is durable; choose a folder on a disk with --data")]
    InMemory(String),
    /// A part failed.
    #[error("{what}: {reason}")]
    Failed {
        /// The part.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The settings don't fit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The instance could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// PostgreSQL could not be started.
    #[error(transparent)]
    Postgres(#[from] LocalPostgresError),
}

/// Names the part of the benchmark that an error comes from.
fn failed<E: Display>(what: &'static str) -> impl FnOnce(E) -> BenchError {
    move |error| BenchError::Failed {
        what,
        reason: error.to_string(),
    }
}

/// Measures the stages one after the other and hands over each figure as soon as it is there.
///
/// # Errors
/// [`BenchError`] when a part can't be started or fails: a benchmark in which work was lost or refused has no figures.
pub async fn run(
    options: &Options,
    stages: &[Stage],
    mut each: impl FnMut(Figure),
) -> Result<(), BenchError> {
    let mut ground = ground::Ground::prepare(options).await?;
    for stage in stages {
        ground.turn_to(*stage).await?;
        each(stages::measure(&ground, *stage).await?);
    }
    ground.clear().await;
    Ok(())
}
