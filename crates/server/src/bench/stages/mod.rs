//! The stages, and the rounds that hold each against its limits.

mod accept;
mod deliver;
mod fairness;
mod lint;
mod queue;
mod quota;
mod slow;
mod webhook;

use super::ground::Ground;
use super::meter::{Measured, Meter, forget_peak, peak_rss_mib};
use super::{BenchError, Comparison, Figure, Limit, Ratio, Stage, failed};
use accept::{Accept, Direct};
use deliver::Deliver;
use fairness::Fairness;
use slow::Slow;
use webhook::Webhook;

/// Measures one stage in all its rounds.
pub(super) async fn measure(ground: &Ground, stage: Stage) -> Result<Figure, BenchError> {
    forget_peak();
    match stage {
        Stage::Disk => rounds(ground, stage, async |_| alone(ground, Limit::Commit).await).await,
        Stage::Crypto => rounds(ground, stage, async |_| alone(ground, Limit::Signatures).await).await,
        Stage::Store => {
            let direct = Direct::start(ground).await?;
            let figure = rounds(ground, stage, async |round| direct.round(round).await).await;
            direct.stop().await;
            figure
        }
        Stage::Accept => {
            let accept = Accept::start(ground).await?;
            let figure = rounds(ground, stage, async |round| accept.round(round).await).await;
            accept.stop().await;
            figure
        }
        Stage::Deliver => {
            let deliver = Deliver::start(ground).await?;
            let figure = rounds(ground, stage, async |round| deliver.round(round).await).await;
            deliver.stop().await;
            figure
        }
        Stage::Webhook => {
            let mut webhook = Webhook::start(ground).await?;
            rounds(ground, stage, async |round| webhook.round(round).await).await
        }
        Stage::Lint => {
            let letters = lint::Letters::write(ground).await?;
            rounds(ground, stage, async |_| letters.look(ground).await).await
        }
        Stage::Quota => rounds(ground, stage, async |_| quota::decide(ground).await).await,
        Stage::Fairness => {
            let mut fairness = Fairness::start(ground).await?;
            let figure = rounds(ground, stage, async |round| fairness.round(round).await).await;
            let slowdown = fairness.stop().await;
            Ok(Figure {
                comparison: Some(Comparison::Slowdown(slowdown)),
                ..figure?
            })
        }
        Stage::Slow => {
            let mut slow = Slow::start(ground).await?;
            let figure = rounds(ground, stage, async |round| slow.round(round).await).await;
            let beside = slow.stop();
            Ok(Figure {
                comparison: Some(Comparison::Beside(beside)),
                ..figure?
            })
        }
        Stage::Queue => queue::measure(ground).await,
    }
}

/// A limit as a stage of its own.
async fn alone(ground: &Ground, limit: Limit) -> Result<Measured, BenchError> {
    let meter = Meter::start()?;
    let rate = ground.limit(limit, ground.options.period).await?;
    let measured = meter.stop(0, Vec::new())?;
    // The limit's own time leaves out what prepares it.
    Ok(Measured {
        units: (rate * measured.seconds) as u64,
        ..measured
    })
}

/// Limits, stage, limits again; as often as asked for.
async fn rounds(
    ground: &Ground,
    stage: Stage,
    mut measure: impl AsyncFnMut(u64) -> Result<Measured, BenchError>,
) -> Result<Figure, BenchError> {
    let limits = stage.limits();
    let mut stage_rounds = Vec::new();
    let mut limit_rounds: Vec<Vec<f64>> = vec![Vec::new(); limits.len()];
    for round in 0..ground.options.rounds as u64 {
        let before = limit_rates(ground, limits).await?;
        stage_rounds.push(measure(round).await?);
        let after = limit_rates(ground, limits).await?;
        for ((rates, before), after) in limit_rounds.iter_mut().zip(before).zip(after) {
            rates.push((before + after) / 2.0);
        }
    }
    let ratios = limits
        .iter()
        .zip(&limit_rounds)
        .map(|(limit, rates)| ratio(*limit, &stage_rounds, rates));
    Ok(Figure {
        ratios: ratios.collect(),
        peak_rss_mib: peak_rss_mib()?,
        ..figure(ground, stage, &stage_rounds)
    })
}

/// Half of the period: together with the other half on the stage's other side, a limit gets as long as the stage.
async fn limit_rates(ground: &Ground, limits: &[Limit]) -> Result<Vec<f64>, BenchError> {
    let mut rates = Vec::with_capacity(limits.len());
    for limit in limits {
        rates.push(ground.limit(*limit, ground.options.period / 2).await?);
    }
    Ok(rates)
}

fn ratio(limit: Limit, rounds: &[Measured], limit_rates: &[f64]) -> Ratio {
    let parts = rounds
        .iter()
        .zip(limit_rates)
        .map(|(round, limit)| round.rate_per_s() / limit.max(f64::EPSILON));
    let parts = sorted(parts.collect());
    Ratio {
        limit,
        limit_per_s: median(sorted(limit_rates.to_vec())),
        min: parts.first().copied().unwrap_or_default(),
        max: parts.last().copied().unwrap_or_default(),
        median: median(parts),
    }
}

fn figure(ground: &Ground, stage: Stage, rounds: &[Measured]) -> Figure {
    let mut latencies: Vec<u32> = rounds
        .iter()
        .flat_map(|round| round.latencies_us.iter().copied())
        .collect();
    latencies.sort_unstable();
    let thousands = rounds.iter().map(|round| round.units).sum::<u64>().max(1) as f64 / 1000.0;
    Figure {
        stage,
        engine: ground.options.engine,
        rate_per_s: median(sorted(rounds.iter().map(Measured::rate_per_s).collect())),
        p50_ms: percentile_ms(&latencies, 50),
        p99_ms: percentile_ms(&latencies, 99),
        machine_cpu_s_per_1000: rounds.iter().map(|round| round.machine_cpu_s).sum::<f64>() / thousands,
        process_cpu_s_per_1000: rounds.iter().map(|round| round.process_cpu_s).sum::<f64>() / thousands,
        peak_rss_mib: 0.0,
        ratios: Vec::new(),
        comparison: None,
    }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The middle of sorted values; of an even number the mean of the two in the middle.
fn median(sorted: Vec<f64>) -> f64 {
    let upper = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let lower = sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or_default();
    (lower + upper) / 2.0
}

/// The smallest latency that is not exceeded by `percent` of sorted latencies (nearest rank).
fn percentile_ms(sorted_us: &[u32], percent: usize) -> Option<f64> {
    let rank = (sorted_us.len() * percent).div_ceil(100).max(1);
    sorted_us.get(rank - 1).map(|micros| f64::from(*micros) / 1000.0)
}

/// Waits until `is_done` says so, and fails when that takes longer than anything here should.
async fn wait_for(what: &'static str, mut is_done: impl FnMut() -> bool) -> Result<(), BenchError> {
    /// Longer than any backlog that a round can leave.
    const WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(120);
    const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(1);
    let looking = async {
        while !is_done() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, looking)
        .await
        .map_err(|_| failed(what)("did not finish: work was lost or stands still"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let latencies: Vec<u32> = (1..=200).map(|n| n * 1000).collect();
        assert_eq!(percentile_ms(&latencies, 50), Some(100.0));
        assert_eq!(percentile_ms(&latencies, 99), Some(198.0));
        assert_eq!(percentile_ms(&[7000], 99), Some(7.0));
        assert_eq!(percentile_ms(&[], 50), None);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(sorted(vec![9.0, 1.0, 5.0])), 5.0);
        assert_eq!(median(sorted(vec![4.0, 1.0])), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let round = |units| Measured {
            units,
            seconds: 1.0,
            ..Measured::default()
        };
        let ratio = ratio(
            Limit::Commit,
            &[round(50), round(40), round(90)],
            &[100.0, 50.0, 100.0],
        );
        assert_eq!((ratio.min, ratio.median, ratio.max), (0.5, 0.8, 0.9));
        assert_eq!(ratio.limit_per_s, 100.0);
    }
}
