//! From the request to the bytes in the receiver's hands, with a fixed number of e-mails on the way.
//!
//! The time of an e-mail runs from its request to the moment at which the sink has it; the rate counts what reached the sink within
//! the period. Afterwards everything that was accepted must have reached it, each with its outcome in the store, and a sample
//! must pass a DKIM verifier that is not ours: otherwise there is no figure.

use super::super::client::{Connection, Target};
use super::super::ground::{Account, Ground};
use super::super::letter::{Chance, Letter, number_of};
use super::super::meter::{Measured, Meter, Stopwatch, micros};
use super::super::{BenchError, failed};
use super::accept::target;
use super::wait_for;
use crate::app::{Roles, Running};
use crate::features::delivery::dkim_verdict;
use crate::metrics::KindLabel;
use crate::platform::Platform;
use crate::platform::dev::sink::{Captured, Sink, SinkOptions};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;

/// E-mails on the way at once, for each connection of the client: enough that the delivery has always something to do.
const ON_THE_WAY_PER_CONNECTION: usize = 4;
/// Fewer than the sink's subscribers may lag behind, so that none is missed.
const ON_THE_WAY_MAX: usize = 512;
/// Deliveries before the clock starts: connections are opened, keys opened and parsed.
const WARM_UP: Duration = Duration::from_millis(500);
/// Messages that the DKIM verifier looks at, each round.
const DKIM_SAMPLE: usize = 20;
/// What an instance does that is measured here.
pub(super) const ROLES: Roles = Roles {
    api: true,
    delivery: true,
    webhooks: false,
};

/// A receiver that takes everything.
pub(super) fn sink(address: SocketAddr) -> Result<Sink, BenchError> {
    let options = SinkOptions {
        max_kept: DKIM_SAMPLE,
        ..SinkOptions::default()
    };
    Sink::start(address, options).map_err(failed("the sink"))
}

/// An instance that answers the API and delivers to a sink.
pub(super) struct Deliver<'a> {
    ground: &'a Ground,
    running: Running,
    sink: Sink,
    target: Target,
    dkim_records: Vec<(String, String)>,
    /// The only domain that is written to, where the sink does not take everything.
    domain: Option<&'static str>,
    /// Where mail goes that is not measured.
    others: Arc<[Sink]>,
}

impl<'a> Deliver<'a> {
    pub(super) async fn start(ground: &'a Ground) -> Result<Self, BenchError> {
        let sink = sink(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let mut config = ground.config.clone();
        config.delivery.static_route = Some(sink.addr());
        let running = ground.start(&config, ROLES).await?;
        let account = ground.account(&running.platform).await?;
        Ok(Self {
            target: target(ground, &running, &account)?,
            ground,
            running,
            sink,
            dkim_records: vec![account.dkim_record],
            domain: None,
            others: Arc::new([]),
        })
    }

    /// One whose mail finds its way by itself: that of `domain` to the sink, what waits already to others.
    pub(super) fn beside(
        ground: &'a Ground,
        running: Running,
        account: &Account,
        (domain, sink): (&'static str, Sink),
        others: Arc<[Sink]>,
    ) -> Result<Self, BenchError> {
        Ok(Self {
            target: target(ground, &running, account)?,
            ground,
            running,
            sink,
            dkim_records: vec![account.dkim_record.clone()],
            domain: Some(domain),
            others,
        })
    }

    pub(super) async fn round(&self, round: u64) -> Result<Measured, BenchError> {
        let way = Arc::new(Way::new(self.ground.options.connections));
        let (recorded_before, received_before) = (self.recorded(), self.sink.received_count());
        let others_before = self.received_by_others();
        let arrivals = tokio::spawn(arrive(self.sink.subscribe(), Arc::clone(&way)));
        let mut clients = self.clients(&way, round).await?;
        let measured = self.measure(&way, &mut clients).await;
        way.is_over.store(true, Ordering::Relaxed);
        way.places.close();
        let sent = way.finish(clients).await?;
        let measured = measured?;
        // What others have may not be recorded yet, so this waits for one of theirs too many rather than one of ours too few.
        let expected = || recorded_before + sent + self.received_by_others() - others_before;
        wait_for("the outcomes", || self.recorded() >= expected()).await?;
        arrivals.abort();
        let received = self.sink.received_count() - received_before;
        if received != sent {
            let told = format!("{sent} e-mails were accepted and {received} received");
            return Err(failed("the delivery")(told));
        }
        self.verify_sample().await?;
        Ok(measured)
    }

    pub(super) async fn stop(self) {
        self.running.stop().await;
        self.sink.shutdown().await;
    }

    /// What the instance stands on.
    pub(super) fn platform(&self) -> &Platform {
        &self.running.platform
    }

    /// Outcomes in the store.
    fn recorded(&self) -> u64 {
        let delivered = KindLabel { kind: "delivered" };
        self.running
            .platform
            .metrics
            .outcomes
            .get_or_create(&delivered)
            .get()
    }

    fn received_by_others(&self) -> u64 {
        self.others.iter().map(Sink::received_count).sum()
    }

    async fn clients(
        &self,
        way: &Arc<Way>,
        round: u64,
    ) -> Result<JoinSet<Result<(), BenchError>>, BenchError> {
        let mut clients = JoinSet::new();
        let body_bytes = self.ground.options.body_bytes;
        for place in 0..self.ground.options.connections as u64 {
            let connection = Connection::open(&self.target).await?;
            let chance = Chance::new((300 + round) * (1 << 20) + place);
            let writing = Writing {
                chance,
                body_bytes,
                domain: self.domain,
            };
            clients.spawn(post_while_room(connection, Arc::clone(way), writing));
        }
        Ok(clients)
    }

    /// Waits for the warm-up and the period, unless a client fails.
    async fn measure(
        &self,
        way: &Way,
        clients: &mut JoinSet<Result<(), BenchError>>,
    ) -> Result<Measured, BenchError> {
        tokio::time::sleep(WARM_UP).await;
        // What arrived so far does not count.
        drop(way.take_latencies());
        let meter = Meter::start()?;
        let count = self.sink.received_count();
        tokio::select! {
            () = tokio::time::sleep(self.ground.options.period) => {}
            Some(ended) = clients.join_next() => {
                ended.map_err(failed("a client task"))??;
                return Err(failed("a client task")("ended early"));
            }
        }
        let units = self.sink.received_count() - count;
        meter.stop(units, way.take_latencies())
    }

    async fn verify_sample(&self) -> Result<(), BenchError> {
        for captured in self.sink.received() {
            let verdict = dkim_verdict(&captured.bytes, &self.dkim_records);
            if verdict != "pass" {
                return Err(failed("the DKIM signature of a delivered message")(verdict));
            }
        }
        Ok(())
    }
}

/// The e-mails between client and sink.
struct Way {
    places: Semaphore,
    under_way: Mutex<HashMap<u64, Stopwatch>>,
    latencies_us: Mutex<Vec<u32>>,
    next: AtomicU64,
    is_over: AtomicBool,
}

impl Way {
    fn new(connections: usize) -> Self {
        let places = (connections * ON_THE_WAY_PER_CONNECTION).min(ON_THE_WAY_MAX);
        Self {
            places: Semaphore::new(places),
            under_way: Mutex::default(),
            latencies_us: Mutex::default(),
            next: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    fn leave(&self) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, Stopwatch::start());
        number
    }

    fn arrived(&self, captured: &Captured) {
        let Some(number) = captured
            .rcpt_to
            .first()
            .and_then(|recipient| number_of(recipient))
        else {
            return;
        };
        let left = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&number);
        if let Some(left) = left {
            let latency = micros(left.elapsed());
            self.latencies_us
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(latency);
            self.places.add_permits(1);
        }
    }

    fn take_latencies(&self) -> Vec<u32> {
        std::mem::take(&mut *self.latencies_us.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until the clients have ended and everything that they sent has arrived; how many that were.
    async fn finish(&self, mut clients: JoinSet<Result<(), BenchError>>) -> Result<u64, BenchError> {
        while let Some(client) = clients.join_next().await {
            client.map_err(failed("a client task"))??;
        }
        let is_empty = || {
            self.under_way
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_empty()
        };
        wait_for("the delivery", is_empty).await?;
        Ok(self.next.load(Ordering::Relaxed))
    }
}

async fn arrive(mut news: broadcast::Receiver<Captured>, way: Arc<Way>) {
    // A lag would lose places for good; there are fewer e-mails under way than the channel holds.
    while let Ok(captured) = news.recv().await {
        way.arrived(&captured);
    }
}

/// How a client writes its letters.
struct Writing {
    chance: Chance,
    body_bytes: usize,
    domain: Option<&'static str>,
}

impl Writing {
    fn letter(&mut self, number: u64) -> Letter {
        let letter = Letter::write(number, self.body_bytes, &mut self.chance);
        match self.domain {
            Some(domain) => letter.to(domain),
            None => letter,
        }
    }
}

async fn post_while_room(
    mut connection: Connection,
    way: Arc<Way>,
    mut writing: Writing,
) -> Result<(), BenchError> {
    while !way.is_over.load(Ordering::Relaxed) {
        // Closed when the round is over.
        let Ok(place) = way.places.acquire().await else {
            break;
        };
        place.forget();
        let number = way.leave();
        connection.post(writing.letter(number).json()).await?;
    }
    Ok(())
}
