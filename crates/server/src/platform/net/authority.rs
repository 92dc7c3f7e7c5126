//! Questions to the servers with authority themselves, whose answers are what is published now.

use super::dns::{limit, name_server};
use super::{Dns, DnsError, Guard, MxAnswer};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// Name servers of one zone that are asked, by name and by address.
const SERVERS_MAX: usize = 8;

/// Labels that are taken off a name in search of its zone.
const ZONE_WALK_MAX: usize = 16;

/// Names that one leads to, one after the other.
const CNAMES_MAX: usize = 4;

/// The servers of one zone; `None` for a name that is not a zone's.
type Servers = Arc<OnceCell<Result<Option<Dns>, DnsError>>>;

/// The servers with authority, each zone's found once. It keeps no answers of theirs, and is made for one look, because zones move.
pub struct Authorities {
    recursive: Dns,
    guard: Guard,
    zones: Mutex<HashMap<String, Servers>>,
}

impl Authorities {
    /// Nothing is found yet. `recursive` finds the servers, and only those at addresses that `guard` lets through are asked.
    pub fn new(recursive: Dns, guard: Guard) -> Self {
        Self {
            recursive,
            guard,
            zones: Mutex::default(),
        }
    }

    /// The TXT records of a name, or of the one that it leads to, in whatever zones they are.
    ///
    /// # Errors
    /// [`DnsError`], not temporary when no zone below a public suffix holds a name on the way.
    pub async fn lookup_txt(&self, name: &str) -> Result<Vec<String>, DnsError> {
        let (servers, name) = self.end_of(name).await?;
        servers.lookup_txt(&name).await
    }

    /// Where a name, or the one that it leads to, receives mail.
    ///
    /// # Errors
    /// As [`Self::lookup_txt`].
    pub async fn lookup_mx(&self, name: &str) -> Result<MxAnswer, DnsError> {
        let (servers, name) = self.end_of(name).await?;
        servers.lookup_mx(&name, 0).await
    }

    /// The name that `name` is another name for, if it is one. It is not followed.
    ///
    /// # Errors
    /// As [`Self::lookup_txt`].
    pub async fn lookup_cname(&self, name: &str) -> Result<Option<String>, DnsError> {
        self.over(name).await?.lookup_cname(name).await
    }

    /// The name that a name leads to in the end, and its servers.
    async fn end_of(&self, name: &str) -> Result<(Dns, String), DnsError> {
        let mut name = name.to_owned();
        for _ in 0..=CNAMES_MAX {
            let servers = self.over(&name).await?;
            match servers.lookup_cname(&name).await? {
                Some(target) => name = target,
                None => return Ok((servers, name)),
            }
        }
        Err(DnsError::TOO_LONG_A_WAY)
    }

    /// The servers of the nearest zone at or above a name that is not a top-level domain.
    async fn over(&self, name: &str) -> Result<Dns, DnsError> {
        let mut zone = name;
        for _ in 0..ZONE_WALK_MAX {
            if let Some(servers) = self.servers(zone).await? {
                return Ok(servers);
            }
            match zone.split_once('.') {
                Some((_, parent)) if parent.contains('.') => zone = parent,
                _ => break,
            }
        }
        Err(DnsError::NO_NAME)
    }

    async fn servers(&self, zone: &str) -> Result<Option<Dns>, DnsError> {
        let servers = self
            .zones
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(zone.to_owned())
            .or_default()
            .clone();
        servers.get_or_init(|| self.find(zone)).await.clone()
    }

    async fn find(&self, zone: &str) -> Result<Option<Dns>, DnsError> {
        let hosts = match self.recursive.lookup_ns(zone).await {
            Ok(hosts) => hosts,
            // Another name for one that fails is no zone, however little is known of the other.
            Err(error) => match self.recursive.lookup_cname(zone).await? {
                Some(_) => return Ok(None),
                None => return Err(error),
            },
        };
        if hosts.is_empty() {
            return Ok(None);
        }
        let (mut addresses, mut unreachable) = (Vec::new(), DnsError::NO_SERVER);
        for host in hosts.iter().take(SERVERS_MAX) {
            match self.recursive.lookup_ip(host).await {
                Ok(ips) => {
                    let allowed = ips.into_iter().filter(|ip| self.guard.check(*ip).is_ok());
                    let before = addresses.len();
                    addresses.extend(allowed);
                    if addresses.len() == before {
                        unreachable = DnsError::PRIVATE_SERVER;
                    }
                }
                // What is not known of one server is not known of the zone, whatever is certain of the others.
                Err(error) if error.temporary => unreachable = error,
                Err(_) => {}
            }
        }
        addresses.truncate(SERVERS_MAX);
        if addresses.is_empty() {
            return Err(unreachable);
        }
        let at = |ip| name_server(SocketAddr::new(ip, self.recursive.authority_port));
        let servers = ResolverConfig::from_name_servers(addresses.into_iter().map(at).collect());
        let mut builder = TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        limit(options);
        options.use_hosts_file = ResolveHosts::Never;
        options.recursion_desired = false;
        options.cache_size = 0;
        let resolver = builder.build().map_err(|_| DnsError::FAILED)?;
        Ok(Some(Dns {
            resolver,
            authority_port: self.recursive.authority_port,
        }))
    }
}
