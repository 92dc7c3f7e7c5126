//! Which hosts take mail for a domain (RFC 5321 §5.1, RFC 7505).

use super::Delivery;
use super::exchange::Fate;
use super::wire::Target;
use crate::platform::net::{DnsError, MxAnswer};
use crate::platform::vault::random;
use sealwright_mail::address::Domain;
use sealwright_mail::smtp::Category;
use std::net::{IpAddr, SocketAddr};

/// Names of one MX set that are looked up, at most.
const NAMES_MAX: usize = 10;

const NO_SUCH_DOMAIN: &str = "the domain does not exist or has no mail host";

/// Hosts in the order in which they are to be tried.
pub(super) struct Candidates {
    pub(super) targets: Vec<Target>,
}

/// Where a domain's mail goes.
pub(super) enum Route {
    Hosts(Candidates),
    /// Nowhere, now or ever.
    Nowhere(Fate),
}

impl Delivery {
    pub(super) async fn route(&self, domain: &Domain) -> Route {
        if let Some(addr) = self.options.static_route {
            return Route::Hosts(Candidates {
                targets: vec![Target {
                    host: addr.ip().to_string(),
                    addr,
                }],
            });
        }
        let names = match self
            .dns
            .lookup_mx(domain.as_str(), u64::from_ne_bytes(random()))
            .await
        {
            Ok(MxAnswer::Hosts(hosts)) => hosts.into_iter().map(|host| host.name).take(NAMES_MAX).collect(),
            Ok(MxAnswer::ImplicitAddress) => vec![domain.as_str().to_owned()],
            Ok(MxAnswer::NullMx) => {
                return Route::Nowhere(nobody_there("the domain says that it takes no mail (null MX)"));
            }
            Ok(MxAnswer::NoSuchDomain) => {
                return Route::Nowhere(nobody_there(NO_SUCH_DOMAIN));
            }
            Err(error) => return Route::Nowhere(unanswered(&error)),
        };
        self.addresses(names).await
    }

    async fn addresses(&self, names: Vec<String>) -> Route {
        let mut targets = Vec::new();
        let mut is_refused = false;
        let mut is_temporary = false;
        for host in names {
            match self.dns.lookup_ip(&host).await {
                Ok(ips) => {
                    let public: Vec<IpAddr> = ips
                        .into_iter()
                        .filter(|ip| self.guard.check(*ip).is_ok())
                        .collect();
                    is_refused |= public.is_empty();
                    let target = |ip| Target {
                        host: host.clone(),
                        addr: SocketAddr::new(ip, self.options.port),
                    };
                    targets.extend(public.into_iter().map(target));
                }
                Err(error) => is_temporary |= error.temporary,
            }
        }
        match (targets.is_empty(), is_temporary, is_refused) {
            (false, ..) => Route::Hosts(Candidates { targets }),
            (true, true, _) => deferred("the addresses of the domain's mail hosts can't be looked up now"),
            (true, false, true) => bounced("the domain's mail hosts have no public address"),
            (true, false, false) => bounced("the domain's mail hosts have no address"),
        }
    }
}

fn unanswered(error: &DnsError) -> Fate {
    if error.temporary {
        Fate::deferred("the domain's mail hosts can't be looked up now")
    } else {
        nobody_there(NO_SUCH_DOMAIN)
    }
}

/// The domain itself says that it has no mailboxes.
fn nobody_there(reason: &str) -> Fate {
    Fate::Bounced {
        reason: reason.to_owned(),
        category: Category::DomainNotFound,
        is_of_recipient: true,
    }
}

/// There is a domain that wants mail, and its hosts can't be reached: that may be mended tomorrow.
fn bounced(reason: &str) -> Route {
    Route::Nowhere(Fate::Bounced {
        reason: reason.to_owned(),
        category: Category::DomainNotFound,
        is_of_recipient: false,
    })
}

fn deferred(reason: &str) -> Route {
    Route::Nowhere(Fate::deferred(reason))
}
