//! `sealwright bench`.

use super::{Failure, print};
use crate::bench::{self, Engine, Figure, Options, Stage};
use crate::config::Settings;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Longest time of a stage in a round: a typing error should not fill the disk.
const SECS_MAX: u64 = 600;
/// Most rounds.
const ROUNDS_MAX: u64 = 100;
/// Most connections of the client.
const CONNECTIONS_MAX: u64 = 1024;
/// Fewest and most bytes of HTML in each e-mail.
const SIZE: std::ops::RangeInclusive<u64> = 100..=1024 * 1024;
/// Fewest and most messages in a long queue.
const QUEUED: std::ops::RangeInclusive<u64> = 20_000..=100_000_000;
/// Log levels below this would be part of what is measured.
const LOG_FILTER: &str = "error";

/// Measure this machine and this program on it, against each other.
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// What to measure.
    #[arg(value_enum, default_value = "all", conflicts_with = "stage")]
    what: What,
    /// What to measure, said as a flag.
    #[arg(long, value_enum)]
    stage: Option<What>,
    /// Where rows are kept; for postgres a server is started from the programs installed on this machine.
    #[arg(long, value_enum, default_value = "sqlite")]
    engine: EngineArg,
    /// Seconds of each stage in each round; its limits take as long again.
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u64).range(1..=SECS_MAX))]
    secs: u64,
    /// Rounds of each stage.
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u64).range(1..=ROUNDS_MAX))]
    rounds: u64,
    /// Bytes of HTML in each e-mail.
    #[arg(long, default_value = "10240", value_parser = clap::value_parser!(u64).range(SIZE))]
    size: u64,
    /// Connections of the client, each with one request at a time.
    #[arg(long, default_value = "64", value_parser = clap::value_parser!(u64).range(1..=CONNECTIONS_MAX))]
    connections: u64,
    /// Messages in the long queue of the stage `queue`; the short one has a hundredth.
    #[arg(long, default_value = "100000", value_parser = clap::value_parser!(u64).range(QUEUED))]
    count: u64,
    /// Print one JSON object a line and nothing else.
    #[arg(long)]
    json: bool,
    /// Fail if a stage's rate is a smaller part of its first limit than this.
    #[arg(long, value_name = "RATIO")]
    min_ratio: Option<f64>,
    /// Folder on a disk in which a fresh one is made and removed again.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Everything below.
    All,
    /// The limit of the store: rows committed in groups.
    Disk,
    /// The limit of signing: RSA-2048 signatures.
    Crypto,
    /// Accepting without HTTPS.
    Store,
    /// From a request to its answer.
    Accept,
    /// From a request to the bytes at the receiver.
    Deliver,
    /// The last look at a signed message before it leaves.
    Lint,
    /// From an event to the receiver's answer and its record.
    Webhook,
    /// Deciding about requests by quota.
    Quota,
    /// What a flood by one organization costs another.
    Fairness,
    /// What a thousand slow destinations cost another.
    Slow,
    /// What a long queue costs beside a short one.
    Queue,
}

impl What {
    fn stages(self) -> Vec<Stage> {
        match self {
            Self::All => Stage::ALL.to_vec(),
            Self::Disk => vec![Stage::Disk],
            Self::Crypto => vec![Stage::Crypto],
            Self::Store => vec![Stage::Store],
            Self::Accept => vec![Stage::Accept],
            Self::Deliver => vec![Stage::Deliver],
            Self::Lint => vec![Stage::Lint],
            Self::Webhook => vec![Stage::Webhook],
            Self::Quota => vec![Stage::Quota],
            Self::Fairness => vec![Stage::Fairness],
            Self::Slow => vec![Stage::Slow],
            Self::Queue => vec![Stage::Queue],
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum EngineArg {
    Sqlite,
    Postgres,
}

impl Bench {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let settings = settings.clone().with("log.filter", LOG_FILTER)?;
        crate::log::start(&settings.config()?.log).map_err(Failure::Usage)?;
        let as_size = |number: u64| usize::try_from(number).map_err(Failure::of);
        let options = Options {
            engine: match self.engine {
                EngineArg::Sqlite => Engine::Sqlite,
                EngineArg::Postgres => Engine::Postgres,
            },
            period: Duration::from_secs(self.secs),
            rounds: as_size(self.rounds)?,
            body_bytes: as_size(self.size)?,
            connections: as_size(self.connections)?,
            queued: self.count,
            folder: self.data,
            settings,
        };
        if !self.json {
            print(&bench::header(&options))?;
        }
        let mut figures: Vec<Figure> = Vec::new();
        let mut printed = Ok(());
        let each = |figure: Figure| {
            let text = if self.json {
                bench::json_line(&figure)
            } else {
                bench::table(&figure)
            };
            if printed.is_ok() {
                printed = print(&text);
            }
            figures.push(figure);
        };
        let stages = self.stage.unwrap_or(self.what).stages();
        bench::run(&options, &stages, each).await.map_err(Failure::of)?;
        printed?;
        check(&figures, self.min_ratio)
    }
}

/// Names the stages whose part of their first limit is too small.
fn check(figures: &[Figure], min_ratio: Option<f64>) -> Result<(), Failure> {
    let Some(min) = min_ratio else {
        return Ok(());
    };
    let missed = figures.iter().filter_map(|figure| {
        let ratio = figure.ratios.first()?;
        let (stage, limit) = (figure.stage.name(), ratio.limit.name());
        (ratio.median < min).then(|| format!("{stage} reached {:.3} of {limit}", ratio.median))
    });
    let missed: Vec<_> = missed.collect();
    if missed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Failed(format!(
            "{}; at least {min} was asked for",
            missed.join(", ")
        )))
    }
}
