//! What a measurement costs in time, CPU and memory.

use super::{BenchError, failed};
use std::time::{Duration, Instant};

/// Ticks per second of the times in `/proc` (`USER_HZ`): 100 on every architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;
/// Writing this to `clear_refs` makes the kernel forget the peak of resident memory (proc(5)).
const FORGET_PEAK: &str = "5";

/// Time since a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    #[allow(
        clippy::disallowed_methods,
        reason = "durations of measurements only; nothing here is a stored time"
    )]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// What was measured in one round of a stage.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) units: u64,
    pub(super) seconds: f64,
    pub(super) process_cpu_s: f64,
    pub(super) machine_cpu_s: f64,
    /// Microseconds to each answer.
    pub(super) latencies_us: Vec<u32>,
}

impl Measured {
    pub(super) fn rate_per_s(&self) -> f64 {
        self.units as f64 / self.seconds.max(f64::EPSILON)
    }
}

/// Time and CPU from a moment on.
#[derive(Debug)]
pub(super) struct Meter {
    watch: Stopwatch,
    process_cpu_s: f64,
    machine_cpu_s: f64,
}

impl Meter {
    pub(super) fn start() -> Result<Self, BenchError> {
        Ok(Self {
            process_cpu_s: process_cpu_s()?,
            machine_cpu_s: machine_cpu_s()?,
            watch: Stopwatch::start(),
        })
    }

    pub(super) fn stop(self, units: u64, latencies_us: Vec<u32>) -> Result<Measured, BenchError> {
        Ok(Measured {
            units,
            seconds: self.watch.elapsed().as_secs_f64(),
            process_cpu_s: process_cpu_s()? - self.process_cpu_s,
            machine_cpu_s: machine_cpu_s()? - self.machine_cpu_s,
            latencies_us,
        })
    }
}

/// A latency as it is kept.
pub(super) fn micros(latency: Duration) -> u32 {
    u32::try_from(latency.as_micros()).unwrap_or(u32::MAX)
}

/// User and system time of this process.
fn process_cpu_s() -> Result<f64, BenchError> {
    let stat = std::fs::read_to_string("/proc/self/stat").map_err(failed("/proc/self/stat"))?;
    process_ticks(&stat)
        .map(|ticks| ticks as f64 / TICKS_PER_SECOND)
        .ok_or_else(|| failed("/proc/self/stat")("no CPU times in it"))
}

/// Fields 14 and 15; counted from behind the program's name, which may itself hold spaces and parentheses.
fn process_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Time that all cores spent on anything.
fn machine_cpu_s() -> Result<f64, BenchError> {
    let stat = std::fs::read_to_string("/proc/stat").map_err(failed("/proc/stat"))?;
    machine_ticks(&stat)
        .map(|ticks| ticks as f64 / TICKS_PER_SECOND)
        .ok_or_else(|| failed("/proc/stat")("no CPU times in it"))
}

/// user, nice, system, irq and softirq of the first line: not idle, not waiting for a disk, not stolen by another machine. Guests are
/// part of user already.
fn machine_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    [0, 1, 2, 5, 6].iter().map(|place| ticks.get(*place)).sum()
}

/// Forgets the peak of resident memory, so that the next stage has its own.
pub(super) fn forget_peak() {
    // Where the kernel does not allow it the peak is that of all stages so far: too high, never too low.
    let _ = std::fs::write("/proc/self/clear_refs", FORGET_PEAK);
}

/// The most memory that this process held since it was last forgotten.
pub(super) fn peak_rss_mib() -> Result<f64, BenchError> {
    memory_mib("/proc/self/status", "VmHWM:")
}

/// The most memory that another process has held.
pub(super) fn peak_rss_mib_of(pid: u32) -> Result<f64, BenchError> {
    memory_mib(&status_of(pid), "VmHWM:")
}

/// What another process holds.
pub(super) fn rss_mib_of(pid: u32) -> Result<f64, BenchError> {
    memory_mib(&status_of(pid), "VmRSS:")
}

fn status_of(pid: u32) -> String {
    format!("/proc/{pid}/status")
}

fn memory_mib(path: &str, field: &str) -> Result<f64, BenchError> {
    let what = "the status of a process";
    let status = std::fs::read_to_string(path).map_err(failed(what))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0)
        .ok_or_else(|| failed(what)(format!("no {field} in it")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_times_are_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 700 33 0 0 20 0";
        assert_eq!(process_ticks(stat), Some(733));
        assert_eq!(process_ticks("42 (a) S 1 2"), None);
    }

    #[test]
    fn idle_waiting_and_stolen_time_is_nobodys_work() {
        let stat = "cpu  100 20 30 99999 8888 4 5 7777 66 0\ncpu0 1 2 3\n";
        assert_eq!(machine_ticks(stat), Some(159));
        assert_eq!(machine_ticks("cpu  1 2"), None);
    }

    #[test]
    fn work_of_this_process_is_seen() -> Result<(), BenchError> {
        let meter = Meter::start()?;
        let mut sum = 0_u64;
        while meter.watch.elapsed() < Duration::from_millis(60) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let measured = meter.stop(6, Vec::new())?;
        assert!(measured.process_cpu_s > 0.0);
        assert!(measured.rate_per_s() > 0.0 && measured.rate_per_s() <= 100.0);
        assert!(peak_rss_mib()? > 1.0);
        Ok(())
    }
}
