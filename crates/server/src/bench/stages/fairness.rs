//! Whether one organization's flood is felt by another.
//!
//! The calm one posts e-mails at a steady pace within its quota; the noisy one offers [`FLOOD_FACTOR`] times its own and is refused most
//! of the time. Each round measures the calm one alone, beside the same flood on another instance, and beside the flood on its own, in an
//! order that changes from round to round. A latency counts from when a request was due, not from when it could be sent, so that a
//! stall is not measured once but by everyone who waited in it. Clients share the cores with the server: the flood on another instance
//! takes as much of the machine as one here, so what is above it is what one organization takes from another.

use super::super::client::{Connection, Target};
use super::super::ground::Ground;
use super::super::letter::{Chance, Letter};
use super::super::meter::{Measured, Meter, Stopwatch, micros};
use super::super::{BenchError, Slowdown, failed};
use super::accept::target;
use super::percentile_ms;
use crate::app::{Roles, Running};
use crate::features::orgs::Plan;
use bytes::Bytes;
use http::StatusCode;
use std::time::Duration;
use tokio::task::JoinSet;

/// What the noisy organization's plan allows, per second (`free`), and what it offers.
const NOISY_QUOTA: u32 = 10;
const FLOOD_FACTOR: u32 = 100;
/// What the calm organization asks per second: `pro` allows 100.
const CALM_PER_S: u32 = 80;
/// Connections of the calm one.
const CALM_CONNECTIONS: u32 = 8;

/// An instance with two organizations.
pub(super) struct Fairness<'a> {
    ground: &'a Ground,
    running: Running,
    elsewhere: Running,
    calm: Target,
    noisy: Target,
    noisy_elsewhere: Target,
    quiet_us: Vec<u32>,
    elsewhere_us: Vec<u32>,
    flooded_us: Vec<u32>,
    ratios: Vec<f64>,
    flood: Flood,
}

/// What the calm one felt of a flood.
struct Flooded {
    measured: Measured,
    flood: Flood,
}

/// What became of a flood.
#[derive(Debug, Default, Clone, Copy)]
struct Flood {
    offered: u64,
    admitted: u64,
    seconds: f64,
}

impl<'a> Fairness<'a> {
    pub(super) async fn start(ground: &'a Ground) -> Result<Self, BenchError> {
        let roles = Roles {
            api: true,
            delivery: false,
            webhooks: false,
        };
        let running = ground.start(&ground.config, roles).await?;
        let calm = ground.account_on(&running.platform, Plan::Pro).await?;
        let noisy = ground.account_on(&running.platform, Plan::Free).await?;
        let elsewhere = ground.start_elsewhere(roles).await?;
        let noisy_elsewhere = ground.account_on(&elsewhere.platform, Plan::Free).await?;
        Ok(Self {
            ground,
            calm: target(ground, &running, &calm)?,
            noisy: target(ground, &running, &noisy)?,
            noisy_elsewhere: target(ground, &elsewhere, &noisy_elsewhere)?,
            running,
            elsewhere,
            quiet_us: Vec::new(),
            elsewhere_us: Vec::new(),
            flooded_us: Vec::new(),
            ratios: Vec::new(),
            flood: Flood::default(),
        })
    }

    /// The calm one alone, beside a flood elsewhere and beside one here; what is handed on is the last.
    pub(super) async fn round(&mut self, round: u64) -> Result<Measured, BenchError> {
        let (noisy, elsewhere) = (self.noisy.clone(), self.noisy_elsewhere.clone());
        let quiet = self.quiet(round).await?;
        let (beside, flooded) = if round.is_multiple_of(2) {
            let beside = self.flooded(&elsewhere, round).await?;
            (beside, self.flooded(&noisy, round).await?)
        } else {
            let flooded = self.flooded(&noisy, round).await?;
            (self.flooded(&elsewhere, round).await?, flooded)
        };
        let Flooded { measured, flood } = flooded;
        self.flood.offered += flood.offered;
        self.flood.admitted += flood.admitted;
        self.flood.seconds += flood.seconds;
        let beside = beside.measured.latencies_us;
        self.ratios
            .push(p99_ms(&measured.latencies_us) / p99_ms(&beside).max(f64::EPSILON));
        self.quiet_us.extend(&quiet.latencies_us);
        self.elsewhere_us.extend(&beside);
        self.flooded_us.extend(&measured.latencies_us);
        Ok(measured)
    }

    pub(super) async fn stop(self) -> Slowdown {
        self.running.stop().await;
        self.elsewhere.stop().await;
        let (elsewhere, flooded) = (p99_ms(&self.elsewhere_us), p99_ms(&self.flooded_us));
        let seconds = self.flood.seconds.max(f64::EPSILON);
        Slowdown {
            quiet_p99_ms: p99_ms(&self.quiet_us),
            elsewhere_p99_ms: elsewhere,
            flooded_p99_ms: flooded,
            ratio: flooded / elsewhere.max(f64::EPSILON),
            min: self.ratios.iter().copied().fold(f64::INFINITY, f64::min),
            max: self.ratios.iter().copied().fold(0.0, f64::max),
            offered_per_s: self.flood.offered as f64 / seconds,
            admitted_per_s: self.flood.admitted as f64 / seconds,
        }
    }

    async fn quiet(&self, round: u64) -> Result<Measured, BenchError> {
        let meter = Meter::start()?;
        let latencies = calm_posts(&self.calm, self.pace(CALM_PER_S, CALM_CONNECTIONS, 500 + round)).await?;
        meter.stop(latencies.len() as u64, latencies)
    }

    async fn flooded(&self, noisy: &Target, round: u64) -> Result<Flooded, BenchError> {
        let connections = u32::try_from(self.ground.options.connections).unwrap_or(u32::MAX);
        let pace = self.pace(NOISY_QUOTA * FLOOD_FACTOR, connections, 600 + round);
        let (meter, noisy) = (Meter::start()?, noisy.clone());
        let flood = tokio::spawn(async move { noisy_posts(&noisy, pace).await });
        let latencies = calm_posts(&self.calm, self.pace(CALM_PER_S, CALM_CONNECTIONS, 700 + round)).await;
        let flood = flood.await.map_err(failed("the flood"))??;
        if flood.admitted == flood.offered {
            return Err(failed("the flood")(
                "nothing of it was refused: the API limits nobody",
            ));
        }
        let latencies = latencies?;
        let measured = meter.stop(latencies.len() as u64, latencies)?;
        Ok(Flooded { measured, flood })
    }

    fn pace(&self, per_s: u32, connections: u32, seed: u64) -> Pace {
        Pace {
            every: Duration::from_secs(1) * connections / per_s,
            connections,
            period: self.ground.options.period,
            body_bytes: self.ground.options.body_bytes,
            seed,
        }
    }
}

/// Requests at fixed times, whether the last was answered quickly or not.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Between two requests of one connection; connections take turns.
    every: Duration,
    connections: u32,
    period: Duration,
    body_bytes: usize,
    seed: u64,
}

impl Pace {
    /// The bodies of one connection with the time at which each is due.
    fn due(self, place: u32) -> impl Iterator<Item = (Duration, Bytes)> {
        let mut chance = Chance::new((self.seed << 20) + u64::from(place));
        let first = self.every * place / self.connections;
        (0_u32..)
            .map(move |turn| first + self.every * turn)
            .take_while(move |due| *due < self.period)
            .zip((u64::from(place)..).step_by(self.connections as usize))
            .map(move |(due, number)| (due, Letter::write(number, self.body_bytes, &mut chance).json()))
    }
}

/// Posts that all must be accepted; microseconds from when each was due.
async fn calm_posts(target: &Target, pace: Pace) -> Result<Vec<u32>, BenchError> {
    let mut connections = Vec::new();
    for _ in 0..pace.connections {
        connections.push(Connection::open(target).await?);
    }
    let (watch, mut tasks) = (Stopwatch::start(), JoinSet::new());
    for (place, mut connection) in (0_u32..).zip(connections) {
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            for (due, body) in pace.due(place) {
                tokio::time::sleep(due.saturating_sub(watch.elapsed())).await;
                connection.post(body).await?;
                latencies.push(micros(watch.elapsed().saturating_sub(due)));
            }
            Ok::<_, BenchError>(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(task) = tasks.join_next().await {
        latencies.extend(task.map_err(failed("a client task"))??);
    }
    Ok(latencies)
}

/// Posts most of which should be refused. A connection that the server closes is opened again: who floods does that too.
async fn noisy_posts(target: &Target, pace: Pace) -> Result<Flood, BenchError> {
    let (watch, mut tasks) = (Stopwatch::start(), JoinSet::new());
    for place in 0..pace.connections {
        let target = target.clone();
        tasks.spawn(async move {
            let (mut connection, mut flood) = (Connection::open(&target).await?, Flood::default());
            for (due, body) in pace.due(place) {
                tokio::time::sleep(due.saturating_sub(watch.elapsed())).await;
                flood.offered += 1;
                match connection.exchange(body).await {
                    Ok((status, _)) if status.is_success() => flood.admitted += 1,
                    Ok((StatusCode::TOO_MANY_REQUESTS, _)) => {}
                    Ok((status, _)) => return Err(failed("the flood")(format!("answered with {status}"))),
                    Err(_) => connection = Connection::open(&target).await?,
                }
            }
            Ok::<_, BenchError>(flood)
        });
    }
    let mut all = Flood::default();
    while let Some(task) = tasks.join_next().await {
        let flood = task.map_err(failed("a client task"))??;
        all.offered += flood.offered;
        all.admitted += flood.admitted;
    }
    all.seconds = watch.elapsed().as_secs_f64();
    Ok(all)
}

fn p99_ms(latencies_us: &[u32]) -> f64 {
    let mut sorted = latencies_us.to_vec();
    sorted.sort_unstable();
    percentile_ms(&sorted, 99).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_turns_and_keep_the_pace_together() {
        let pace = Pace {
            every: Duration::from_secs(1) * 8 / 80,
            connections: 8,
            period: Duration::from_secs(1),
            body_bytes: 100,
            seed: 1,
        };
        let mut due: Vec<_> = (0..8)
            .flat_map(|place| pace.due(place).map(|(due, _)| due))
            .collect();
        due.sort_unstable();
        let steady: Vec<_> = (0..80).map(|turn| Duration::from_micros(12_500) * turn).collect();
        assert_eq!(due, steady);
    }
}
