//! How figures are shown: a few lines for people, one JSON object a line for scripts.

use super::{Comparison, Engine, Figure, Options, Ratio};
use serde::Serialize;

/// What the figures were measured with.
pub fn header(options: &Options) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{} on {cores} cores, {} bytes of HTML, {} connections, {} rounds of {} s; client and receivers share the cores\n",
        match options.engine {
            Engine::Sqlite => "SQLite",
            Engine::Postgres => "PostgreSQL",
        },
        grouped(options.body_bytes as f64),
        options.connections,
        options.rounds,
        options.period.as_secs_f64(),
    )
}

/// A figure in a few lines.
pub fn table(figure: &Figure) -> String {
    let answers = match (figure.p50_ms, figure.p99_ms) {
        (Some(p50), Some(p99)) => format!("  p50 {p50:.1} ms  p99 {p99:.1} ms"),
        _ => String::new(),
    };
    let mut lines = format!(
        "\n{:<8} {:>7}/s{answers}  CPU {:.3} s per 1,000 (this process {:.3})  peak {:.0} MiB\n",
        figure.stage.name(),
        grouped(figure.rate_per_s),
        figure.machine_cpu_s_per_1000,
        figure.process_cpu_s_per_1000,
        figure.peak_rss_mib,
    );
    let goal = figure.stage.goal(figure.engine);
    for (place, ratio) in figure.ratios.iter().enumerate() {
        lines.push_str(&ratio_line(ratio, goal.filter(|_| place == 0)));
    }
    if let Some(comparison) = &figure.comparison {
        lines.push_str(&comparison.line());
    }
    lines
}

fn ratio_line(ratio: &Ratio, goal: Option<(f64, f64)>) -> String {
    let goal = match goal {
        Some((now, end)) if ratio.median >= end => format!("; the goals of {now:.2} and {end:.2} are met"),
        Some((now, end)) if ratio.median >= now => {
            format!("; the goal of {now:.2} is met, in the end {end:.2}")
        }
        Some((now, end)) => format!("; the goal of {now:.2} is missed, in the end {end:.2}"),
        None => String::new(),
    };
    format!(
        "         {:.2} ({:.2} to {:.2}) of {}, {}/s{goal}\n",
        ratio.median,
        ratio.min,
        ratio.max,
        ratio.limit.name(),
        grouped(ratio.limit_per_s),
    )
}

/// A whole number with commas between its thousands.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::with_capacity(digits.len() + 4);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[derive(Serialize)]
struct Line<'a> {
    stage: &'a str,
    engine: &'a str,
    rate_per_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_ms: Option<f64>,
    cpu_s_per_1000: f64,
    process_cpu_s_per_1000: f64,
    peak_rss_mib: f64,
    limits: Vec<LimitLine<'a>>,
    #[serde(flatten)]
    comparison: Option<&'a Comparison>,
}

#[derive(Serialize)]
struct LimitLine<'a> {
    name: &'a str,
    rate_per_s: f64,
    ratio: f64,
    ratio_min: f64,
    ratio_max: f64,
}

/// A figure as one line of JSON.
pub fn json_line(figure: &Figure) -> String {
    let limits = figure.ratios.iter().map(|ratio| LimitLine {
        name: ratio.limit.name(),
        rate_per_s: rounded(ratio.limit_per_s),
        ratio: rounded(ratio.median),
        ratio_min: rounded(ratio.min),
        ratio_max: rounded(ratio.max),
    });
    let line = Line {
        stage: figure.stage.name(),
        engine: figure.engine.name(),
        rate_per_s: rounded(figure.rate_per_s),
        p50_ms: figure.p50_ms,
        p99_ms: figure.p99_ms,
        cpu_s_per_1000: rounded(figure.machine_cpu_s_per_1000),
        process_cpu_s_per_1000: rounded(figure.process_cpu_s_per_1000),
        peak_rss_mib: rounded(figure.peak_rss_mib),
        limits: limits.collect(),
        comparison: figure.comparison.as_ref(),
    };
    // Strings and finite numbers always serialise.
    let mut text = serde_json::to_string(&line).unwrap_or_default();
    text.push('\n');
    text
}

/// To four digits after the point: more is noise.
fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::bench::{Limit, Slowdown, Stage};

    fn figure(median: f64) -> Figure {
        Figure {
            stage: Stage::Accept,
            engine: Engine::Sqlite,
            rate_per_s: 12_345.678_91,
            p50_ms: Some(3.25),
            p99_ms: None,
            machine_cpu_s_per_1000: 0.123_45,
            process_cpu_s_per_1000: 0.1,
            peak_rss_mib: 80.0,
            ratios: vec![Ratio {
                limit: Limit::Commit,
                limit_per_s: 24_000.0,
                median,
                min: 0.5,
                max: 0.6,
            }],
            comparison: None,
        }
    }

    #[test]
    fn a_line_of_json_has_what_scripts_ask_for_and_leaves_out_what_was_not_measured() {
        let line = json_line(&figure(0.51));
        assert_eq!(line.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["stage"], "accept");
        assert_eq!(value["engine"], "sqlite");
        assert_eq!(value["rate_per_s"], 12_345.678_9);
        assert_eq!(value["p50_ms"], 3.25);
        assert!(value.get("p99_ms").is_none());
        assert_eq!(value["limits"][0]["name"], "group commit");
        assert_eq!(value["limits"][0]["ratio"], 0.51);
    }

    #[test]
    fn a_table_says_whether_the_goal_is_met() {
        assert!(table(&figure(0.49)).contains("the goal of 0.50 is missed"));
        assert!(table(&figure(0.51)).contains("the goal of 0.50 is met, in the end 0.80"));
        assert!(table(&figure(0.81)).contains("the goals of 0.50 and 0.80 are met"));
    }

    #[test]
    fn a_slowdown_is_held_against_its_goal_and_left_out_where_there_is_none() {
        let slowed = |ratio| Figure {
            comparison: Some(Comparison::Slowdown(Slowdown {
                quiet_p99_ms: 3.0,
                elsewhere_p99_ms: 4.0,
                flooded_p99_ms: 4.0 * ratio,
                ratio,
                min: 1.0,
                max: 1.5,
                offered_per_s: 1000.0,
                admitted_per_s: 10.0,
            })),
            ..figure(0.5)
        };
        assert!(table(&slowed(1.19)).contains("the goal of less than 1.20 is met"));
        assert!(table(&slowed(1.2)).contains("the goal of less than 1.20 is missed"));
        assert!(
            json_line(&slowed(1.1)).contains("\"slowdown\":{\"quiet_p99_ms\":3.0,\"elsewhere_p99_ms\":4.0,")
        );
        assert!(!json_line(&figure(0.5)).contains("slowdown"));
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(7.4), "7");
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        assert_eq!(grouped(123.0), "123");
    }
}
