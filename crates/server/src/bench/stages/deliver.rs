//! From the request to the bytes in the receiver's hands, with a fixed number of e-mails on the way.
//!
//! The time of an e-mail runs from its request to the moment at which the sink has it; the rate counts what reached the sink within
//! the period. Afterwards everything that was accepted must have reached it, each with its outcome in the store, and a sample
//! must pass a DKIM verifier that is not ours: otherwise there is no figure.

use super::super::client::{Connection, Target};
use super::super::ground::Ground;
use super::super::letter::{Chance, Letter, number_of};
use super::super::meter::{Measured, Meter, Stopwatch, micros};
use super::super::{BenchError, failed};
use super::accept::target;
use super::wait_for;
use crate::app::{Roles, Running};
use crate::features::delivery::dkim_verdict;
use crate::metrics::KindLabel;
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

/// An instance that answers the API and delivers to a sink.
pub(super) struct Deliver<'a> {
    ground: &'a Ground,
    running: Running,
    sink: Sink,
    target: Target,
    dkim_records: Vec<(String, String)>,
}

impl<'a> Deliver<'a> {
    pub(super) async fn start(ground: &'a Ground) -> Result<Self, BenchError> {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = SinkOptions {
            max_kept: DKIM_SAMPLE,
            ..SinkOptions::default()
        };
        let sink = Sink::start(any_port, options).map_err(failed("the sink"))?;
        let mut config = ground.config.clone();
        config.delivery.static_route = Some(sink.addr());
        let roles = Roles {
            api: true,
            delivery: true,
            webhooks: false,
        };
        let running = ground.start(&config, roles).await?;
        let account = ground.account(&running.platform).await?;
        let target = target(ground, &running, &account)?;
        Ok(Self {
            ground,
            running,
            sink,
            target,
            dkim_records: vec![account.dkim_record],
        })
    }

    pub(super) async fn round(&self, round: u64) -> Result<Measured, BenchError> {
        let way = Arc::new(Way::new(self.ground.options.connections));
        let (recorded_before, received_before) = (self.recorded(), self.sink.received_count());
        let arrivals = tokio::spawn(arrive(self.sink.subscribe(), Arc::clone(&way)));
        let mut clients = self.clients(&way, round).await?;
        let measured = self.measure(&way, &mut clients).await;
        way.is_over.store(true, Ordering::Relaxed);
        way.places.close();
        let sent = way.finish(clients).await?;
        let measured = measured?;
        wait_for("the delivery", || self.recorded() - recorded_before >= sent).await?;
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
            clients.spawn(post_while_room(connection, Arc::clone(way), chance, body_bytes));
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

async fn post_while_room(
    mut connection: Connection,
    way: Arc<Way>,
    mut chance: Chance,
    body_bytes: usize,
) -> Result<(), BenchError> {
    while !way.is_over.load(Ordering::Relaxed) {
        // Closed when the round is over.
        let Ok(place) = way.places.acquire().await else {
            break;
        };
        place.forget();
        let number = way.leave();
        let body = Letter::write(number, body_bytes, &mut chance).json();
        connection.post(body).await?;
    }
    Ok(())
}
