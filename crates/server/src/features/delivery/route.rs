//! Which hosts take mail for a domain (RFC 5321 §5.1, RFC 7505).

use super::Delivery;
use super::exchange::Fate;
use super::heard::Heard;
use super::lanes::Place;
use super::pool::MESSAGES_MAX;
use super::providers::Provider;
use super::transport::{Asked, Expected, Guarantee};
use super::wire::Target;
use crate::features::domains::Tls;
use crate::platform::net::{DnsError, MxAnswer, MxHost};
use crate::platform::vault::random;
use sealwright_mail::address::Domain;
use sealwright_mail::smtp::Category;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Names of one MX set that are looked up, at most.
const NAMES_MAX: usize = 10;

const NO_SUCH_DOMAIN: &str = "the domain does not exist or has no mail host";

/// A host that may be tried, and what a connection to it has to guarantee.
pub(super) struct Candidate {
    pub(super) target: Target,
    pub(super) guarantee: Guarantee,
    /// What is counted of connections to it; nothing where the operator chose the host.
    pub(super) expected: Option<Expected>,
    /// Whose host it is.
    pub(super) provider: Option<Arc<Provider>>,
    /// How many go over one connection.
    pub(super) messages_max: usize,
}

/// Where a domain's mail goes.
pub(super) enum Route {
    /// Hosts in the order in which they are to be tried, and the place on their lane that was only found now.
    Hosts(Vec<Candidate>, Option<Place>),
    /// Nowhere, now or ever; with what that tells of the destination's hosts.
    Nowhere(Fate, Option<Heard>),
}

impl Delivery {
    pub(super) async fn route(&self, domain: &Domain, destination: i64, wish: Tls) -> Route {
        if let Some(addr) = self.options.static_route {
            let host = addr.ip().to_string();
            let candidates = vec![Candidate {
                guarantee: self.transport.guarantee_of_route(&host, wish),
                target: Target { host, addr },
                expected: None,
                provider: None,
                messages_max: MESSAGES_MAX,
            }];
            return Route::Hosts(candidates, None);
        }
        let seed = u64::from_ne_bytes(random());
        let (answer, is_secure) = match self.transport.mail_hosts(domain.as_str(), seed).await {
            Ok((answer, is_secure)) => (Ok(answer), is_secure),
            Err(error) => (Err(error), false),
        };
        let mut place = None;
        let names = match answer {
            Ok(MxAnswer::Hosts(hosts)) => {
                place = match self.join(destination, &hosts) {
                    Ok(place) => place,
                    Err(full) => return full,
                };
                hosts.into_iter().map(|host| host.name).take(NAMES_MAX).collect()
            }
            Ok(MxAnswer::ImplicitAddress) => vec![domain.as_str().to_owned()],
            Ok(MxAnswer::NullMx) => {
                return nobody_there("the domain says that it takes no mail (null MX)");
            }
            Ok(MxAnswer::NoSuchDomain) => {
                return nobody_there(NO_SUCH_DOMAIN);
            }
            Err(error) => {
                self.lanes.part(destination);
                return unanswered(&error);
            }
        };
        match self.transport.asked(domain, is_secure).await {
            Ok(asked) => match self.candidates(names, &asked, wish).await {
                Route::Hosts(candidates, _) => Route::Hosts(candidates, place),
                nowhere => nowhere,
            },
            Err(reason) => undecided(reason),
        }
    }

    /// Mail of all domains that have the same best hosts, or whose best host is the same provider's, goes by one lane. Who learns only now
    /// which one that is needs a place there, too.
    fn join(&self, destination: i64, hosts: &[MxHost]) -> Result<Option<Place>, Route> {
        let Some(first) = hosts.first() else {
            return Ok(None);
        };
        let best = hosts.iter().filter(|host| host.preference == first.preference);
        let names: Vec<&str> = best.map(|host| host.name.as_str()).collect();
        let provider = self.options.providers.of(&first.name);
        let now = self.platform.clock.now();
        if !self.lanes.join(destination, &names, provider, now) {
            return Ok(None);
        }
        let place = self.lanes.enter(destination, now);
        if place.is_none() {
            let left = self.lanes.turn(destination, now).since(now);
            return Err(Route::Nowhere(Fate::Waiting { left }, None));
        }
        Ok(place)
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
                    let (guarantee, expected) = match self.transport.guarantee(asked, &host, wish).await {
                        Ok(found) => found,
                        Err(reason) => {
                            unsafe_because = Some(reason);
                            continue;
                        }
                    };
                    let provider = self.options.providers.of(&host);
                    let messages_max = provider.and_then(|provider| provider.per_connection);
                    let provider = provider.cloned();
                    candidates.extend(public.into_iter().map(|ip| Candidate {
                        target: Target {
                            host: host.clone(),
                            addr: SocketAddr::new(ip, self.options.port),
                        },
                        guarantee: guarantee.clone(),
                        expected: Some(expected.clone()),
                        provider: provider.clone(),
                        messages_max: messages_max.unwrap_or(MESSAGES_MAX),
                    }));
                }
                Err(error) => is_temporary |= error.temporary,
            }
        }
        if let (true, Some(reason)) = (candidates.is_empty(), unsafe_because) {
            return undecided(reason);
        }
        match (candidates.is_empty(), is_temporary, is_refused) {
            (false, ..) => Route::Hosts(candidates, None),
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
