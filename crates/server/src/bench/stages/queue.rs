//! What a long queue costs beside a short one: on the same store, first with a hundredth of the messages in it, then with all.
//!
//! The messages are accepted as any others, while nothing delivers. Then, at each length: the time of claims of due work is taken; a server,
//! a process of its own as `serve` starts it, delivers half as many as the short queue has; it is killed, and started again. What it holds in memory
//! is read from outside. At the end nothing may be missing: every message has reached the sink or is still in the queue.

use super::super::ground::{Account, Ground};
use super::super::letter::number_of;
use super::super::meter::{Measured, Meter, Stopwatch, micros, peak_rss_mib_of, rss_mib_of};
use super::super::{BenchError, Comparison, Depth, Figure, Queue, Stage, failed};
use super::accept::{Sending, Until, send};
use super::deliver::sink;
use super::{figure, percentile_ms};
use crate::features::delivery::{self, Chosen};
use crate::platform::dev::sink::{Captured, Sink};
use crate::platform::jobs::{Jobs, Kind};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// The short queue is this part of the long one.
const SHORT_PART: u64 = 100;
/// Tasks that accept messages; the queue's length is rounded to what they accept together.
const SEEDING_TASKS: u64 = 128;
/// Jobs of one claim, and claims whose time is taken.
const CLAIMED_AT_ONCE: usize = 64;
const CLAIMS_MAX: u64 = 200;
/// Of the short queue, the part that a server delivers at either length before it is killed.
const DELIVERED_PART: u64 = 2;
/// A server that delivers nothing for so long will not.
const WAIT_MAX: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Messages that may have arrived without being recorded when the server was killed: its slots.
const UNRECORDED_MAX: u64 = 512;

/// Measures both lengths.
pub(super) async fn measure(ground: &Ground) -> Result<Figure, BenchError> {
    let account = {
        let (platform, _lock) = ground.open().await?;
        ground.account(&platform).await?
    };
    let mut line = Line::start(ground, account)?;
    let few = ground.options.queued / SHORT_PART;
    let count = few / DELIVERED_PART;
    let (short, _) = line.at(few, count).await?;
    let (long, measured) = line.at(ground.options.queued, count).await?;
    line.check().await?;
    Ok(Figure {
        peak_rss_mib: long.peak_rss_mib,
        comparison: Some(Comparison::Queue(Queue { short, long })),
        ..figure(ground, Stage::Queue, &[measured])
    })
}

/// A queue that grows, and the receiver of what leaves it.
struct Line<'a> {
    ground: &'a Ground,
    account: Account,
    sink: Sink,
    /// Numbers of the messages that arrived.
    arrived: Arc<Mutex<HashSet<u64>>>,
    accepted: u64,
}

impl<'a> Line<'a> {
    fn start(ground: &'a Ground, account: Account) -> Result<Self, BenchError> {
        let sink = sink(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let arrived = Arc::default();
        tokio::spawn(note(sink.subscribe(), Arc::clone(&arrived)));
        Ok(Self {
            ground,
            account,
            sink,
            arrived,
            accepted: 0,
        })
    }

    /// Everything at one length, and the claims as they were measured.
    async fn at(&mut self, wanted: u64, count: u64) -> Result<(Depth, Measured), BenchError> {
        let waiting = self.fill(wanted).await?;
        let mut claims = self.claim(waiting).await?;
        let mut server = self.serve()?;
        self.first_delivery(&mut server).await?;
        let first_rss_mib = rss_mib_of(server.0.id())?;
        let meter = Meter::start()?;
        let delivered_per_s = self.deliver(count).await?;
        let measured = meter.stop(count, Vec::new())?;
        let peak_rss_mib = peak_rss_mib_of(server.0.id())?;
        // Killed, so that its leases and its log are found as after a crash.
        drop(server);
        let mut server = self.serve()?;
        let first_delivery = self.first_delivery(&mut server).await?;
        server.stop().await?;
        claims.sort_unstable();
        let depth = Depth {
            queued: waiting,
            claim_p50_ms: percentile_ms(&claims, 50).unwrap_or_default(),
            claim_p99_ms: percentile_ms(&claims, 99).unwrap_or_default(),
            first_rss_mib,
            peak_rss_mib,
            delivered_per_s,
            first_delivery_s: first_delivery.as_secs_f64(),
        };
        let measured = Measured {
            latencies_us: claims,
            ..measured
        };
        Ok((depth, measured))
    }

    /// Accepts messages until so many wait; how many do.
    async fn fill(&mut self, wanted: u64) -> Result<u64, BenchError> {
        let waiting = self.accepted - self.arrived();
        let each = (wanted.saturating_sub(waiting) / SEEDING_TASKS).max(1);
        let (platform, _lock) = self.ground.open().await?;
        let sending = Sending {
            tasks: SEEDING_TASKS as usize,
            body_bytes: self.ground.options.body_bytes,
            seed: 900 + self.accepted,
            until: Until::Each(each),
            first: self.accepted,
            domain: None,
        };
        let units = send(&platform, &self.account.live, sending).await?.units;
        self.accepted += units;
        Ok(waiting + units)
    }

    /// Claims due work again and again, each time what comes next, and gives all of it back at the end; microseconds of each claim.
    async fn claim(&self, waiting: u64) -> Result<Vec<u32>, BenchError> {
        let what = "a claim";
        let (platform, _lock) = self.ground.open().await?;
        let jobs = Jobs::new(platform.store.clone(), platform.node.clone());
        let mut claims = Vec::new();
        for _ in 0..CLAIMS_MAX.min(waiting / CLAIMED_AT_ONCE as u64) {
            let watch = Stopwatch::start();
            let now = platform.clock.now();
            let claimed = jobs.lease(Kind::Deliver, CLAIMED_AT_ONCE, 0, now).await;
            claims.push(micros(watch.elapsed()));
            let claimed = claimed.map_err(failed(what))?.len();
            if claimed != CLAIMED_AT_ONCE {
                return Err(failed(what)(format!("only {claimed} jobs were due")));
            }
        }
        jobs.leave().await.map_err(failed(what))?;
        Ok(claims)
    }

    /// The server as its operator starts it, with the settings of this benchmark.
    fn serve(&self) -> Result<Server, BenchError> {
        let what = "the server";
        let settings = self.ground.settings()?;
        let settings = settings.with("delivery.static_route", self.sink.addr().to_string())?;
        let server = Command::new(std::env::current_exe().map_err(failed(what))?)
            .args(["serve", "--roles", "delivery"])
            .envs(settings.variables())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        server.map(Server).map_err(failed(what))
    }

    /// Waits until one more message has arrived than had.
    async fn first_delivery(&self, server: &mut Server) -> Result<Duration, BenchError> {
        let (watch, before) = (Stopwatch::start(), self.sink.received_count());
        while self.sink.received_count() == before {
            if let Some(status) = server.0.try_wait().map_err(failed("the server"))? {
                return Err(failed("the server")(format!("ended by itself with {status}")));
            }
            if watch.elapsed() > WAIT_MAX {
                return Err(failed("the server")("delivered nothing of what is due"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(watch.elapsed())
    }

    /// Lets the server deliver so many; at which rate it did.
    async fn deliver(&self, count: u64) -> Result<f64, BenchError> {
        let (watch, before) = (Stopwatch::start(), self.sink.received_count());
        while self.sink.received_count() < before + count {
            if watch.elapsed() > WAIT_MAX {
                return Err(failed("the server")("stopped delivering what is due"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(count as f64 / watch.elapsed().as_secs_f64())
    }

    fn arrived(&self) -> u64 {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// Every message has arrived or waits; both at once only what arrived in the moment of a kill.
    async fn check(&self) -> Result<(), BenchError> {
        let what = "the queue";
        let (platform, _lock) = self.ground.open().await?;
        let queue = delivery::Queue::of_others(platform, None);
        let (destinations, _) = queue.view(&Chosen::default()).await.map_err(failed(what))?;
        let waiting = destinations
            .iter()
            .map(|one| one.due + one.in_flight + one.deferred + one.held)
            .sum::<i64>()
            .unsigned_abs();
        let (arrived, accepted) = (self.arrived(), self.accepted);
        let known = arrived + waiting;
        if (accepted..=accepted + 2 * UNRECORDED_MAX).contains(&known) {
            return Ok(());
        }
        Err(failed(what)(format!(
            "{accepted} were accepted, {arrived} have arrived and {waiting} wait"
        )))
    }
}

async fn note(mut news: Receiver<Captured>, arrived: Arc<Mutex<HashSet<u64>>>) {
    loop {
        match news.recv().await {
            Ok(captured) => {
                let number = captured.rcpt_to.first().and_then(|to| number_of(to));
                let mut arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner);
                arrived.extend(number);
            }
            // What was missed is missing at the end, and there is no figure.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// A server's process; killed when it is dropped.
struct Server(Child);

impl Server {
    /// Asks it to end, and waits for that.
    async fn stop(mut self) -> Result<(), BenchError> {
        let what = "the server";
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).map_err(failed(what))?;
        let watch = Stopwatch::start();
        while self.0.try_wait().map_err(failed(what))?.is_none() {
            if watch.elapsed() > WAIT_MAX {
                return Err(failed(what)("does not end"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended, which is what this is for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
