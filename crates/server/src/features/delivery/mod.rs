//! From the queue to the wire to an outcome.
//!
//! Life of a delivery: a job names an e-mail and a destination (all its recipients of one domain). The job is leased; the message is signed;
//! the destination's hosts are found; everything but the final dot goes over a kept or new connection; the attempt is marked as
//! started, durably, unless a recipient was suppressed meanwhile; the dot leaves; the reply becomes the recipients' outcome, in one commit with the events that tell of it and the
//! end (or the next date) of the job. A crash between mark and outcome is found at the next lease and recorded as *in doubt*.
//!
//! The pages to read: `dispatch`, `lanes` and `turns` (which mail gets a slot, and when), `attempt` (one job from lease to commit), `route`
//! (which hosts), `sources` (from which address), `transport` (what is guaranteed on the way to them, and who is told what came of it),
//! `ways` and `relaying` (through relays instead, and when another way may be
//! tried), `submission` (relays that are SMTP servers), `schedule` (when again), `returning` (where bounces go), `wire` (the SMTP driver). `queue` is the operator's view of what waits.

mod attempt;
mod dispatch;
mod exchange;
mod facts;
mod heard;
mod lanes;
mod lint;
mod pool;
mod providers;
mod queue;
mod relaying;
mod returning;
mod route;
mod schedule;
mod signing;
mod simulate;
mod sources;
mod submission;
mod transport;
mod turns;
mod ways;
pub mod wire;

pub use lint::{Expected, Finding, Verifier, lint, verdict as dkim_verdict};
pub use providers::Providers;
pub use queue::{Change, Changed, Chosen, Destination, Queue, QueueError};
pub use relaying::Relaying;
pub use returning::Returning;
pub use sealwright_mail::smtp::Category;
pub use sources::{STATEMENTS as SOURCE_STATEMENTS, Source, Sources};
pub use submission::Submission;
pub use transport::STATEMENTS;

use crate::features::domains::Signers;
use crate::features::emails::Fresh;
use crate::features::notices::Sender;
use crate::id::OrgId;
use crate::metrics::KindLabel;
use crate::platform::Platform;
use crate::platform::jobs::Stop;
use crate::platform::net::{Dns, Guard, Net};
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Sweeps after which kept DNS answers are dropped: what an idle process remembers should not tell whom it wrote to.
const FORGET_ROUNDS: u64 = 12;

/// How mail leaves, as set by the operator.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name said in EHLO.
    pub ehlo_name: String,
    /// Send everything here.
    pub static_route: Option<SocketAddr>,
    /// Port of receiving hosts.
    pub port: u16,
    /// Addresses that mail leaves from.
    pub sources: Sources,
    /// Deliveries under way at once.
    pub concurrency_max: usize,
    /// Deliveries under way to one destination at once.
    pub destination_concurrency_max: usize,
    /// How much large mailbox providers are sent.
    pub providers: Providers,
    /// Connections to one host at once.
    pub connections_per_host_max: usize,
    /// TLS towards receiving hosts: the least that every mail gets.
    pub tls: wire::TlsMode,
    /// Certificate authorities beside the public ones.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Port of the hosts that hold policies (MTA-STS).
    pub sts_port: u16,
    /// How long an e-mail is tried.
    pub expire_after: Duration,
    /// The wait between two looks for due work.
    pub poll: Duration,
    /// Waits inside SMTP.
    pub timeouts: wire::Timeouts,
    /// Whether receiving domains that ask for it are told what became of TLS.
    pub tls_reports: bool,
    /// Who sends mail for the installation, if anybody.
    pub sender: Option<Sender>,
    /// Whom alerts are told, if anybody.
    pub alerts_to: Option<OrgId>,
    /// How what comes back is taken.
    pub returning: Returning,
}

/// The delivery worker.
pub struct Delivery {
    platform: Platform,
    options: Options,
    fresh: Arc<Fresh>,
    signers: Signers,
    signing: signing::Signing,
    pool: pool::Pool,
    lanes: Arc<lanes::Lanes>,
    chooser: sources::Chooser,
    transport: transport::Transport,
    reporting: transport::Reporting,
    dns: Dns,
    guard: Guard,
    relaying: Relaying,
}

impl Delivery {
    /// A worker that is not running yet.
    ///
    /// # Errors
    /// When TLS, or the verifier of signatures, can't be set up.
    pub fn new(
        platform: Platform,
        options: Options,
        fresh: Arc<Fresh>,
        net: &Net,
        relaying: Relaying,
    ) -> Result<Arc<Self>, rustls::Error> {
        let transport = transport::Transport::new(&platform, &options, net);
        let results = Arc::clone(transport.results());
        Ok(Arc::new(Self {
            reporting: transport::Reporting::new(&platform, results, Arc::clone(&fresh), net, &options),
            pool: pool::Pool::new(&options, platform.clock.clone())?,
            chooser: sources::Chooser::new(platform.clone(), options.sources.clone()),
            lanes: lanes::Lanes::new(options.destination_concurrency_max, options.concurrency_max),
            transport,
            signing: signing::Signing::new().map_err(rustls::Error::General)?,
            signers: Signers::default(),
            platform,
            options,
            fresh,
            dns: net.dns.clone(),
            guard: net.guard.clone(),
            relaying,
        }))
    }

    /// The operator's hand on the queue and on the lanes of this process.
    pub fn queue(&self) -> Queue {
        Queue::new(
            self.platform.clone(),
            self.options.alerts_to.clone(),
            Some(Arc::clone(&self.lanes)),
        )
    }

    /// Delivers what is due until stopped; returns when the last delivery under way has its outcome.
    pub async fn run(self: Arc<Self>, stop: Stop) {
        let sweeping = async {
            for round in 1_u64.. {
                tokio::time::sleep(pool::SWEEP_EVERY).await;
                self.pool.sweep();
                self.count_lanes();
                if round % FORGET_ROUNDS == 0 {
                    self.dns.forget();
                    self.transport.forget();
                }
            }
        };
        tokio::select! {
            () = Arc::clone(&self).dispatch(stop) => {}
            () = sweeping => {}
            () = self.transport.keep_proving() => {}
            () = self.reporting.run() => {}
        }
        self.transport.results().flush().await;
        self.pool.close().await;
    }

    fn count_lanes(&self) {
        let (all, closed) = self.lanes.sweep(self.platform.clock.now());
        for (kind, count) in [("open", all - closed), ("closed", closed)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.platform
                .metrics
                .lanes
                .get_or_create(&KindLabel { kind })
                .set(count);
        }
    }
}
