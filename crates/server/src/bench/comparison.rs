//! What is held against another measurement of the same run instead of against a limit of the machine.

use super::report::grouped;
use serde::{Serialize, Serializer};

/// One thing beside another, with what should come of it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// An organization beside another's flood.
    Slowdown(Slowdown),
    /// A destination beside slow ones.
    Beside(Beside),
    /// A long queue beside a short one.
    Queue(Queue),
}

impl Comparison {
    /// A line for people.
    pub(super) fn line(&self) -> String {
        match self {
            Self::Slowdown(slowdown) => slowdown.line(),
            Self::Beside(beside) => beside.line(),
            Self::Queue(queue) => queue.lines(),
        }
    }
}

/// What a flood by one organization costs another.
#[derive(Debug, Clone, Serialize)]
pub struct Slowdown {
    /// The other's p99 while nobody else asks.
    #[serde(serialize_with = "rounded")]
    pub quiet_p99_ms: f64,
    /// Its p99 beside the same flood on another instance of the same machine.
    #[serde(serialize_with = "rounded")]
    pub elsewhere_p99_ms: f64,
    /// Its p99 during the flood.
    #[serde(serialize_with = "rounded")]
    pub flooded_p99_ms: f64,
    /// The last divided by the one before it, of all rounds together.
    #[serde(serialize_with = "rounded")]
    pub ratio: f64,
    /// The best round.
    #[serde(rename = "ratio_min", serialize_with = "rounded")]
    pub min: f64,
    /// The worst round.
    #[serde(rename = "ratio_max", serialize_with = "rounded")]
    pub max: f64,
    /// Requests per second that the flood offered.
    #[serde(serialize_with = "rounded")]
    pub offered_per_s: f64,
    /// Those of them that were admitted.
    #[serde(serialize_with = "rounded")]
    pub admitted_per_s: f64,
}

impl Slowdown {
    /// The ratio should stay below this.
    pub const GOAL: f64 = 1.20;

    fn line(&self) -> String {
        format!(
            "         p99 {:.1} ms alone; beside a flood of {}/s ({}/s admitted) {:.1} ms if another instance has it, {:.1} ms if this one has: {:.2} ({:.2} to {:.2}) times; the goal of less than {:.2} is {}\n",
            self.quiet_p99_ms,
            grouped(self.offered_per_s),
            grouped(self.admitted_per_s),
            self.elsewhere_p99_ms,
            self.flooded_p99_ms,
            self.ratio,
            self.min,
            self.max,
            Self::GOAL,
            met(self.ratio < Self::GOAL),
        )
    }
}

/// What slow destinations cost another.
#[derive(Debug, Clone, Serialize)]
pub struct Beside {
    /// Slow destinations with mail that is due.
    pub destinations: usize,
    /// The fewest of them, of all rounds, that were connected to while the other was measured.
    pub connected_to: usize,
    /// Deliveries per second of the other while there is no mail for slow ones: the median of the rounds.
    #[serde(serialize_with = "rounded")]
    pub alone_per_s: f64,
    /// Beside them.
    #[serde(serialize_with = "rounded")]
    pub beside_per_s: f64,
    /// Beside divided by alone: the median of the rounds.
    #[serde(serialize_with = "rounded")]
    pub ratio: f64,
    /// The worst round.
    #[serde(rename = "ratio_min", serialize_with = "rounded")]
    pub min: f64,
    /// The best round.
    #[serde(rename = "ratio_max", serialize_with = "rounded")]
    pub max: f64,
}

impl Beside {
    /// The ratio should reach this.
    pub const GOAL: f64 = 0.90;

    fn line(&self) -> String {
        format!(
            "         {}/s alone, {}/s beside {} slow destinations, of which {} were connected to: {:.2} ({:.2} to {:.2}); the goal of {:.2} is {}\n",
            grouped(self.alone_per_s),
            grouped(self.beside_per_s),
            grouped(self.destinations as f64),
            grouped(self.connected_to as f64),
            self.ratio,
            self.min,
            self.max,
            Self::GOAL,
            met(self.ratio >= Self::GOAL),
        )
    }
}

/// A queue as a server felt it.
#[derive(Debug, Clone, Serialize)]
pub struct Depth {
    /// Messages in it when it was measured.
    pub queued: u64,
    /// Milliseconds in which half of the claims of due work were committed.
    #[serde(serialize_with = "rounded")]
    pub claim_p50_ms: f64,
    /// Milliseconds in which 99 of 100 were.
    #[serde(serialize_with = "rounded")]
    pub claim_p99_ms: f64,
    /// Memory of the server's process at its first delivery.
    #[serde(serialize_with = "rounded")]
    pub first_rss_mib: f64,
    /// The most that it held while it delivered.
    #[serde(serialize_with = "rounded")]
    pub peak_rss_mib: f64,
    /// What it delivered per second from its first delivery on.
    #[serde(serialize_with = "rounded")]
    pub delivered_per_s: f64,
    /// Seconds from its start after a kill to its first delivery.
    #[serde(serialize_with = "rounded")]
    pub first_delivery_s: f64,
}

/// What the length of the queue costs.
#[derive(Debug, Clone, Serialize)]
pub struct Queue {
    /// The short one.
    pub short: Depth,
    /// The long one.
    pub long: Depth,
}

impl Queue {
    /// A long queue may cost so many times what a short one does.
    pub const TIMES_MAX: f64 = 1.10;
    /// Its first delivery after a start should come within so many seconds.
    pub const FIRST_DELIVERY_S_MAX: f64 = 5.0;

    fn lines(&self) -> String {
        let Self { short, long } = self;
        let row = |what: &str, unit: &str, short: f64, long: f64| {
            let times = long / short.max(f64::EPSILON);
            format!("         {what:<28} {short:>9.2} {long:>9.2} {unit:<4} {times:.2} times\n")
        };
        let mut lines = format!(
            "         {:<28} {:>9} {:>9}\n",
            "messages queued",
            grouped(short.queued as f64),
            grouped(long.queued as f64)
        );
        lines += &row("claim, p50", "ms", short.claim_p50_ms, long.claim_p50_ms);
        lines += &row("claim, p99", "ms", short.claim_p99_ms, long.claim_p99_ms);
        lines += &row(
            "memory at the first delivery",
            "MiB",
            short.first_rss_mib,
            long.first_rss_mib,
        );
        lines += &row("peak memory", "MiB", short.peak_rss_mib, long.peak_rss_mib);
        lines += &row(
            "delivered a second",
            "",
            short.delivered_per_s,
            long.delivered_per_s,
        );
        lines += &row(
            "first delivery after a kill",
            "s",
            short.first_delivery_s,
            long.first_delivery_s,
        );
        let is_soon = long.first_delivery_s <= Self::FIRST_DELIVERY_S_MAX;
        let is_flat = long.peak_rss_mib <= short.peak_rss_mib * Self::TIMES_MAX;
        lines
            + &format!(
                "         the goal of {:.2} times the memory is {}; the goal of {:.0} s is {}\n",
                Self::TIMES_MAX,
                met(is_flat),
                Self::FIRST_DELIVERY_S_MAX,
                met(is_soon),
            )
    }
}

fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "missed" }
}

/// To four digits after the point: more is noise.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn rounded<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((number * 10_000.0).round() / 10_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_destinations_are_held_against_the_goal() {
        let beside = |ratio| Beside {
            destinations: 1000,
            connected_to: 998,
            alone_per_s: 2000.0,
            beside_per_s: 2000.0 * ratio,
            ratio,
            min: 0.8,
            max: 1.0,
        };
        assert!(beside(0.9).line().contains("the goal of 0.90 is met"));
        assert!(beside(0.89).line().contains("the goal of 0.90 is missed"));
    }

    #[test]
    fn a_long_queue_is_held_against_a_short_one() {
        let depth = |queued, peak_rss_mib, first_delivery_s| Depth {
            queued,
            claim_p50_ms: 1.0,
            claim_p99_ms: 2.0,
            first_rss_mib: 30.0,
            peak_rss_mib,
            delivered_per_s: 1000.0,
            first_delivery_s,
        };
        let short = depth(10, 50.0, 0.5);
        let told = |long| {
            let short = short.clone();
            Queue { short, long }.lines()
        };
        let good = told(depth(1000, 55.0, 5.0));
        assert!(
            good.contains("the goal of 1.10 times the memory is met; the goal of 5 s is met"),
            "{good}"
        );
        let bad = told(depth(1000, 56.0, 5.1));
        assert!(
            bad.contains("the goal of 1.10 times the memory is missed; the goal of 5 s is missed"),
            "{bad}"
        );
    }
}
