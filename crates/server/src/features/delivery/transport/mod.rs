//! What is guaranteed on the way to a host: nothing, encryption, or encryption with somebody known to be there.
//!
//! Three may demand more than what a server offers by itself: the receiving domain by DANE (RFC 7672), by MTA-STS (RFC 8461), and the
//! sender by `tls: required`. What they come to for one host is its [`Guarantee`]; a connection has it from its opening, and nothing
//! that needs more ever goes over one that has less. DANE wins over MTA-STS. What can't be known defers; it is never taken for absent.
//! DANE needs answers that DNSSEC proves ([`SecureDns`]); where these don't come through it is off, and mail goes on without it.
//!
//! What TLS came to is counted (`results`), and domains that ask for it are told once a day (`report`, `reporting`; RFC 8460).

mod dane;
mod guarantee;
mod policy;
mod report;
mod reporting;
mod results;
mod store;
mod sts;

pub(super) use guarantee::Guarantee;
pub(super) use reporting::Reporting;
pub(super) use results::{Expected, Results};
pub use store::ALL as STATEMENTS;

use super::Options;
use super::wire::TlsMode;
use crate::features::domains::Tls;
use crate::metrics::KindLabel;
use crate::platform::Platform;
use crate::platform::net::{Dns, DnsError, MxAnswer, Net, Path, SecureDns, Security};
use dane::Dane;
use guarantee::Demands;
use policy::Policy;
use sealwright_mail::address::Domain;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Finds what is guaranteed, host by host.
pub(super) struct Transport {
    platform: Platform,
    dns: Dns,
    secure: SecureDns,
    first_try: OnceCell<()>,
    sts: sts::Policies,
    results: Arc<Results>,
    tls: TlsMode,
    port: u16,
    is_routed: bool,
}

/// What a domain itself demands of the way to its hosts.
pub(super) struct Asked {
    next_hop: String,
    /// Whether the names of its hosts are proven.
    is_mx_secure: bool,
    sts: Option<Arc<Policy>>,
}

impl Transport {
    pub(super) fn new(platform: &Platform, options: &Options, net: &Net) -> Self {
        let results = Results::new(platform.clone(), options.tls_reports);
        Self {
            platform: platform.clone(),
            dns: net.dns.clone(),
            secure: net.secure.clone(),
            first_try: OnceCell::new(),
            sts: sts::Policies::new(platform.clone(), net, options.sts_port, Arc::clone(&results)),
            results,
            tls: options.tls,
            port: options.port,
            is_routed: options.static_route.is_some(),
        }
    }

    /// Where it is counted what TLS came to.
    pub(super) fn results(&self) -> &Arc<Results> {
        &self.results
    }

    /// Tries whether DNS answers can be proven, and goes on trying for as long as it is polled.
    pub(super) async fn keep_proving(&self) {
        if self.is_routed {
            return std::future::pending().await;
        }
        self.path().await;
        self.secure.keep_proving(|path| self.tell_path(path)).await;
    }

    /// Whether DNS answers can be proven; whoever needs to know it first waits for the first try.
    async fn path(&self) -> Path {
        let first = async || self.tell_path(self.secure.prove().await);
        self.first_try.get_or_init(first).await;
        self.secure.path()
    }

    /// Forgets names that tell who was written to.
    pub(super) fn forget(&self) {
        self.secure.forget();
        self.sts.forget();
    }

    /// Where a domain receives mail, and whether that is proven. A domain without MX stands for itself, and what its addresses prove is
    /// enough then.
    pub(super) async fn mail_hosts(&self, domain: &str, seed: u64) -> Result<(MxAnswer, bool), DnsError> {
        if self.path().await != Path::Proven {
            return Ok((self.dns.lookup_mx(domain, seed).await?, false));
        }
        match self.secure.mx(domain, seed).await {
            Ok(Some((hosts, security))) => Ok((hosts, security == Security::Secure)),
            Ok(None) => Ok((self.dns.lookup_implicit_mx(domain).await?, true)),
            Err(unknown) => Err(DnsError::unknown(unknown)),
        }
    }

    /// What the domain demands, of all its hosts. The error says why that can't be known now.
    pub(super) async fn asked(&self, domain: &Domain, is_mx_secure: bool) -> Result<Asked, String> {
        let sts = self.sts.current(domain.as_str()).await;
        Ok(Asked {
            next_hop: domain.as_str().to_owned(),
            is_mx_secure,
            sts: sts.map_err(|_| {
                "4.7.5 whether the domain demands TLS (MTA-STS) can't be known now".to_owned()
            })?,
        })
    }

    /// What is guaranteed to a host of the domain, and what the domain expects to be told of it; the error says why nothing may be sent to
    /// it now.
    pub(super) async fn guarantee(
        &self,
        asked: &Asked,
        host: &str,
        wish: Tls,
    ) -> Result<(Guarantee, Expected), String> {
        let dane = if asked.is_mx_secure && self.path().await == Path::Proven {
            dane::of(&self.secure, host, &asked.next_hop, self.port).await
        } else {
            Dane::Absent
        };
        let demands = Demands {
            dane,
            sts: asked.sts.as_deref(),
            wish,
            mode: self.tls,
        };
        let guarantee = demands.of(host);
        let kind = guarantee.as_ref().map_or("none", Guarantee::name);
        self.platform
            .metrics
            .transport_plans
            .get_or_create(&KindLabel { kind })
            .inc();
        let sts = asked.sts.as_deref();
        match guarantee {
            Ok(guarantee) => {
                let expected = Expected::of(&asked.next_hop, host, &guarantee, sts);
                Ok((guarantee, expected))
            }
            Err(unmet) => {
                self.results.unmet(&asked.next_hop, host, &unmet, sts);
                Err(unmet.to_string())
            }
        }
    }

    /// What is guaranteed to a host that the operator chose.
    pub(super) fn guarantee_of_route(&self, host: &str, wish: Tls) -> Guarantee {
        let demands = Demands {
            dane: Dane::Absent,
            sts: None,
            wish,
            mode: self.tls,
        };
        // Without records and policies nothing is refused.
        demands.of(host).unwrap_or(Guarantee::Pkix {
            host: host.to_owned(),
        })
    }

    fn tell_path(&self, path: Path) {
        for one in Path::ALL {
            let gauge = self
                .platform
                .metrics
                .dnssec_path
                .get_or_create(&KindLabel { kind: one.name() });
            gauge.set(i64::from(one == path));
        }
    }
}
