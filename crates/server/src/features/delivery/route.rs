//! Which hosts take mail for a domain (RFC 5321 §5.1, RFC 7505).

use super::Delivery;
use super::exchange::Fate;
use super::lanes::Heard;
use super::transport::{Asked, Guarantee};
use super::wire::Target;
use crate::features::domains::Tls;
use crate::platform::net::{DnsError, MxAnswer};
use crate::platform::vault::random;
use sealwright_mail::address::Domain;
use sealwright_mail::smtp::Category;
use std::net::{IpAddr, SocketAddr};

/// Names of one MX set that are looked up, at most.
const NAMES_MAX: usize = 10;

const NO_SUCH_DOMAIN: &str = "the domain does not exist or has no mail host";

/// A host that may be tried, and what a connection to it has to guarantee.
pub(super) struct Candidate {
    pub(super) target: Target,
    pub(super) guarantee: Guarantee,
}

/// Where a domain's mail goes.
pub(super) enum Route {
    /// Hosts in the order in which they are to be tried.
    Hosts(Vec<Candidate>),
    /// Nowhere, now or ever; with what that tells of the destination's hosts.
    Nowhere(Fate, Option<Heard>),
}

impl Delivery {
    pub(super) async fn route(&self, domain: &Domain, wish: Tls) -> Route {
        if let Some(addr) = self.options.static_route {
            let host = addr.ip().to_string();
            return Route::Hosts(vec![Candidate {
                guarantee: self.transport.guarantee_of_route(&host, wish),
                target: Target { host, addr },
            }]);
        }
        let seed = u64::from_ne_bytes(random());
        let (answer, is_secure) = match self.transport.mail_hosts(domain.as_str(), seed).await {
            Ok((answer, is_secure)) => (Ok(answer), is_secure),
            Err(error) => (Err(error), false),
        };
        let names = match answer {
            Ok(MxAnswer::Hosts(hosts)) => hosts.into_iter().map(|host| host.name).take(NAMES_MAX).collect(),
            Ok(MxAnswer::ImplicitAddress) => vec![domain.as_str().to_owned()],
            Ok(MxAnswer::NullMx) => {
                return nobody_there("the domain says that it takes no mail (null MX)");
            }
            Ok(MxAnswer::NoSuchDomain) => {
                return nobody_there(NO_SUCH_DOMAIN);
            }
            Err(error) => return unanswered(&error),
        };
        match self.transport.asked(domain, is_secure).await {
            Ok(asked) => self.candidates(names, &asked, wish).await,
            Err(reason) => undecided(reason),
        }
    }

    async fn candidates(&self, names: Vec<String>, asked: &Asked, wish: Tls) -> Route {
        let mut candidates = Vec::new();
        let mut is_refused = false;
        let mut is_temporary = false;
        let mut unsafe_because = None;
        for host in names {
            match self.dns.lookup_ip(&host).await {
                Ok(ips) => {
                    let public: Vec<IpAddr> = ips
                        .into_iter()
                        .filter(|ip| self.guard.check(*ip).is_ok())
                        .collect();
                    is_refused |= public.is_empty();
                    let guarantee = match self.transport.guarantee(asked, &host, wish).await {
                        Ok(guarantee) => guarantee,
                        Err(reason) => {
                            unsafe_because = Some(reason);
                            continue;
                        }
                    };
                    candidates.extend(public.into_iter().map(|ip| Candidate {
                        target: Target {
                            host: host.clone(),
                            addr: SocketAddr::new(ip, self.options.port),
                        },
                        guarantee: guarantee.clone(),
                    }));
                }
                Err(error) => is_temporary |= error.temporary,
            }
        }
        if let (true, Some(reason)) = (candidates.is_empty(), unsafe_because) {
            return undecided(reason);
        }
        match (candidates.is_empty(), is_temporary, is_refused) {
            (false, ..) => Route::Hosts(candidates),
            (true, true, _) => unknown("the addresses of the domain's mail hosts can't be looked up now"),
            (true, false, true) => bounced("the domain's mail hosts have no public address"),
            (true, false, false) => bounced("the domain's mail hosts have no address"),
        }
    }
}

fn unanswered(error: &DnsError) -> Route {
    if error.temporary {
        unknown("the domain's mail hosts can't be looked up now")
    } else {
        nobody_there(NO_SUCH_DOMAIN)
    }
}

/// The domain itself says that it has no mailboxes.
fn nobody_there(reason: &str) -> Route {
    let fate = Fate::Bounced {
        reason: reason.to_owned(),
        category: Category::DomainNotFound,
        is_of_recipient: true,
    };
    Route::Nowhere(fate, None)
}

/// There is a domain that wants mail, and its hosts can't be reached: that may be mended tomorrow.
fn bounced(reason: &str) -> Route {
    let fate = Fate::Bounced {
        reason: reason.to_owned(),
        category: Category::DomainNotFound,
        is_of_recipient: false,
    };
    Route::Nowhere(fate, None)
}

/// Nobody can tell where the domain's hosts are, for this mail or any other.
fn unknown(reason: &str) -> Route {
    Route::Nowhere(Fate::deferred(reason), Some(Heard::Unreachable))
}

/// What has to be guaranteed on the way can't be known or had now. That says nothing of how the hosts do.
fn undecided(reason: String) -> Route {
    Route::Nowhere(Fate::deferred(reason), None)
}
