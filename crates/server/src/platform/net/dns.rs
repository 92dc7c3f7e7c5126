//! Questions to the DNS, with answers that tell *no* from *not now*.

use super::Unknown;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as AnswerError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

/// How long one question waits for one name server.
const QUERY_TIMEOUT: Duration = Duration::from_secs(3);

/// How often an unanswered question is asked again.
const QUERY_RETRIES: usize = 2;

/// How long a look-up may take, whatever it consists of.
pub(super) const LOOKUP_TIMEOUT: Duration = Duration::from_secs(15);

/// Answers kept until their time to live runs out.
const CACHED_ANSWERS_MAX: u64 = 16_384;

/// Questions waiting at once on one connection to a name server.
const QUESTIONS_PER_CONNECTION_MAX: usize = 512;

/// Addresses and MX hosts taken from one answer; nobody's mail needs more, and every one of them
/// may cost a connection.
const ANSWERS_MAX: usize = 64;

/// Port of name servers (RFC 1035 §4.2).
pub const AUTHORITY_PORT: u16 = 53;

/// Where to ask.
#[derive(Clone, Debug)]
pub struct DnsConfig {
    /// Recursive name servers; empty means those of `/etc/resolv.conf`, with `/etc/hosts` in front.
    pub servers: Vec<SocketAddr>,
    /// Port of the servers that have authority over a domain: [`AUTHORITY_PORT`] in the world.
    pub authority_port: u16,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            authority_port: AUTHORITY_PORT,
        }
    }
}

/// A caching stub resolver. Clones share the cache.
#[derive(Clone)]
pub struct Dns {
    pub(super) resolver: TokioResolver,
    pub(super) authority_port: u16,
}

/// Where a domain receives mail (RFC 5321 §5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MxAnswer {
    /// The domain says that it takes no mail (RFC 7505).
    NullMx,
    /// The hosts to try, in this order.
    Hosts(Vec<MxHost>),
    /// No MX, but the domain itself has an address and stands for its own mail host.
    ImplicitAddress,
    /// Nothing there could take mail: the domain does not exist, or has neither MX nor address.
    NoSuchDomain,
}

/// One mail host of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MxHost {
    /// Lower is tried first.
    pub preference: u16,
    /// The host's name, lower case, no trailing dot.
    pub name: String,
}

/// A question that has no usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DnsError {
    /// Whether the same question may have an answer later: name servers failed or stayed silent.
    /// Otherwise the DNS has said for certain that there is none.
    pub temporary: bool,
    /// What happened, in words.
    pub reason: &'static str,
}

/// The resolver cannot be set up: no usable name server is configured.
#[derive(Debug, thiserror::Error)]
#[error("the DNS resolver cannot be set up (check /etc/resolv.conf or set name servers): {0}")]
pub struct DnsSetupError(String);

impl DnsSetupError {
    pub(super) fn of(reason: String) -> Self {
        Self(reason)
    }
}

impl Dns {
    /// Sets the resolver up; asks nothing yet.
    ///
    /// # Errors
    /// [`DnsSetupError`] when the system's configuration is asked for and can't be read.
    pub fn new(config: DnsConfig) -> Result<Dns, DnsSetupError> {
        let setup_error = |error: NetError| DnsSetupError(error.to_string());
        let mut builder = if config.servers.is_empty() {
            TokioResolver::builder_tokio().map_err(setup_error)?
        } else {
            let servers = config.servers.into_iter().map(name_server).collect();
            let servers = ResolverConfig::from_name_servers(servers);
            let mut builder = TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default());
            builder.options_mut().use_hosts_file = ResolveHosts::Never;
            builder
        };
        limit(builder.options_mut());
        let resolver = builder.build().map_err(setup_error)?;
        Ok(Dns {
            resolver,
            authority_port: config.authority_port,
        })
    }

    /// The name servers of a zone; none when the name is not a zone's, be it that it leads to one that is.
    ///
    /// # Errors
    /// [`DnsError`] only while the answer can't be known.
    pub async fn lookup_ns(&self, zone: &str) -> Result<Vec<String>, DnsError> {
        match self.ask(zone, RecordType::NS).await {
            Ok(answer) => {
                let own = answer.answers().iter();
                let own = own.filter(|record| host_name(&record.name) == zone.to_ascii_lowercase());
                let names = own.filter_map(|record| match &record.data {
                    RData::NS(server) => Some(host_name(&server.0)),
                    _ => None,
                });
                Ok(names.collect())
            }
            Err(error) if error.temporary => Err(error),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// The name that `name` is another name for, if it is one. It is not followed.
    ///
    /// # Errors
    /// [`DnsError`] only while the answer can't be known.
    pub async fn lookup_cname(&self, name: &str) -> Result<Option<String>, DnsError> {
        match self.ask(name, RecordType::CNAME).await {
            Ok(answer) => Ok(answer.answers().iter().find_map(|record| match &record.data {
                RData::CNAME(target) => Some(host_name(&target.0)),
                _ => None,
            })),
            Err(error) if error.temporary => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Drops every kept answer: the names in it tell who was written to.
    pub fn forget(&self) {
        self.resolver.clear_cache();
    }

    /// All addresses of a host, IPv4 first. Never an empty answer.
    ///
    /// When only one of the two families can be had, its addresses are the answer; the other's
    /// failure counts only if there is nothing else.
    ///
    /// # Errors
    /// [`DnsError`], not temporary when the name has no address.
    pub async fn lookup_ip(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        let (v4, v6) = tokio::join!(self.ask(host, RecordType::A), self.ask(host, RecordType::AAAA));
        let is_temporary = [&v4, &v6]
            .iter()
            .any(|half| matches!(half, Err(error) if error.temporary));
        let first_error = v4.as_ref().err().or(v6.as_ref().err()).copied();
        let answers = [v4.ok(), v6.ok()];
        let addresses: Vec<IpAddr> = answers
            .iter()
            .flatten()
            .flat_map(addresses)
            .take(ANSWERS_MAX + 1)
            .collect();
        if addresses.len() > ANSWERS_MAX {
            // Cutting it short would hide the rest from the guard.
            return Err(DnsError::certain("the host has too many addresses"));
        }
        if !addresses.is_empty() {
            return Ok(addresses);
        }
        match first_error {
            Some(error) if is_temporary == error.temporary => Err(error),
            _ if is_temporary => Err(DnsError::FAILED),
            _ => Err(DnsError::NO_RECORD),
        }
    }

    /// Where `domain` receives mail. Hosts of one preference come in an order that depends on
    /// `seed` alone, so that callers with different seeds spread over them (RFC 5321 §5.1).
    ///
    /// # Errors
    /// [`DnsError`] only while the answer can't be known; every certain answer is an [`MxAnswer`].
    pub async fn lookup_mx(&self, domain: &str, seed: u64) -> Result<MxAnswer, DnsError> {
        match self.ask(domain, RecordType::MX).await {
            Ok(answer) => match mx_hosts(&answer, seed) {
                Some(answer) => Ok(answer),
                None => self.lookup_implicit_mx(domain).await,
            },
            Err(error) if error == DnsError::NO_RECORD => self.lookup_implicit_mx(domain).await,
            Err(error) if error.temporary => Err(error),
            Err(_) => Ok(MxAnswer::NoSuchDomain),
        }
    }

    /// The TXT records of a name, each with its strings joined (RFC 7208 §3.3); none when the name
    /// has none or does not exist. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// [`DnsError`] only while the answer can't be known.
    pub async fn lookup_txt(&self, name: &str) -> Result<Vec<String>, DnsError> {
        match self.ask(name, RecordType::TXT).await {
            Ok(answer) => Ok(texts(&answer)),
            Err(error) if error.temporary => Err(error),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// The names that an address leads to; none when it leads nowhere.
    ///
    /// # Errors
    /// [`DnsError`] only while the answer can't be known.
    pub async fn lookup_ptr(&self, address: IpAddr) -> Result<Vec<String>, DnsError> {
        match self.ask(&Name::from(address).to_ascii(), RecordType::PTR).await {
            Ok(answer) => {
                let names = answer.answers().iter().filter_map(|record| match &record.data {
                    RData::PTR(name) => Some(host_name(&name.0)),
                    _ => None,
                });
                Ok(names.take(ANSWERS_MAX).collect())
            }
            Err(error) if error.temporary => Err(error),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// Where a domain without MX receives mail: at itself, if it has an address.
    ///
    /// # Errors
    /// [`DnsError`] only while the answer can't be known.
    pub async fn lookup_implicit_mx(&self, domain: &str) -> Result<MxAnswer, DnsError> {
        match self.lookup_ip(domain).await {
            Ok(_) => Ok(MxAnswer::ImplicitAddress),
            Err(error) if error.temporary => Err(error),
            Err(_) => Ok(MxAnswer::NoSuchDomain),
        }
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Result<Lookup, DnsError> {
        let mut name = Name::from_ascii(name).map_err(|_| DnsError::BAD_NAME)?;
        // Fully qualified, so that no search domain is ever appended.
        name.set_fqdn(true);
        match tokio::time::timeout(LOOKUP_TIMEOUT, self.resolver.lookup(name, kind)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(DnsError::of(&error)),
            Err(_) => Err(DnsError::SILENT),
        }
    }
}

impl DnsError {
    const NO_RECORD: DnsError = DnsError::certain("the name has no record of this type");
    pub(super) const NO_NAME: DnsError = DnsError::certain("the name does not exist");
    /// Names that lead from one to the next, without an end that is near.
    pub(super) const TOO_LONG_A_WAY: DnsError = DnsError::certain("the name leads to too many others");
    /// There is a zone, and nobody to ask about it.
    pub(super) const NO_SERVER: DnsError =
        DnsError::certain("none of the zone's name servers has an address");
    /// There is somebody to ask, but not for us.
    pub(super) const PRIVATE_SERVER: DnsError =
        DnsError::temporary("the zone's name servers have no public address");
    /// The servers that were asked name others, which our resolver does not know yet.
    const HANDED_ON: DnsError = DnsError::temporary("the name belongs to a zone that is not known yet");
    const BAD_NAME: DnsError = DnsError::certain("the name is not a domain name");
    /// Nobody answered in time.
    pub const SILENT: DnsError = DnsError::temporary("the name servers did not answer in time");
    pub(super) const FAILED: DnsError = DnsError::temporary("the name servers could not answer");

    /// What is not known may be known later.
    pub fn unknown(unknown: Unknown) -> DnsError {
        match unknown {
            Unknown::Bogus => DnsError::temporary("the DNS answer is not signed as it has to be (DNSSEC)"),
            Unknown::Failed => DnsError::FAILED,
            Unknown::Silent => DnsError::SILENT,
        }
    }

    const fn certain(reason: &'static str) -> DnsError {
        DnsError {
            temporary: false,
            reason,
        }
    }

    const fn temporary(reason: &'static str) -> DnsError {
        DnsError {
            temporary: true,
            reason,
        }
    }

    fn of(error: &NetError) -> DnsError {
        match error {
            NetError::Dns(AnswerError::NoRecordsFound(none)) => match none.response_code {
                ResponseCode::NXDomain => DnsError::NO_NAME,
                // A referral (RFC 2308 §2.2), which says nothing of what is there.
                ResponseCode::NoError if none.ns.is_some() && none.soa.is_none() => DnsError::HANDED_ON,
                ResponseCode::NoError => DnsError::NO_RECORD,
                _ => DnsError::FAILED,
            },
            NetError::Timeout => DnsError::SILENT,
            _ => DnsError::FAILED,
        }
    }
}

pub(super) fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

pub(super) fn limit(options: &mut ResolverOpts) {
    options.timeout = QUERY_TIMEOUT;
    options.attempts = QUERY_RETRIES;
    options.cache_size = CACHED_ANSWERS_MAX;
    options.max_active_requests = QUESTIONS_PER_CONNECTION_MAX;
}

fn addresses(answer: &Lookup) -> impl Iterator<Item = IpAddr> {
    answer.answers().iter().filter_map(|record| match &record.data {
        RData::A(ip) => Some(IpAddr::V4(ip.0)),
        RData::AAAA(ip) => Some(IpAddr::V6(ip.0)),
        _ => None,
    })
}

/// The hosts of an MX answer, or nothing when it holds no MX after all.
pub(super) fn mx_hosts(answer: &Lookup, seed: u64) -> Option<MxAnswer> {
    let records = answer.answers().iter();
    let mut named: Vec<MxHost> = records
        .filter_map(|record| match &record.data {
            RData::MX(mx) => Some(MxHost {
                preference: mx.preference,
                name: host_name(&mx.exchange),
            }),
            _ => None,
        })
        .collect();
    let had_any = !named.is_empty();
    // The root is no host. Alone it is a null MX; beside others, which RFC 7505 §3 forbids, it is
    // a mistake that must not cost the domain its mail.
    named.retain(|host| !host.name.is_empty());
    if named.is_empty() {
        return had_any.then_some(MxAnswer::NullMx);
    }
    named.sort_by_cached_key(|host| (host.preference, shuffled(&host.name, seed)));
    named.dedup_by(|second, first| second.name == first.name);
    named.truncate(ANSWERS_MAX);
    Some(MxAnswer::Hosts(named))
}

pub(super) fn host_name(name: &Name) -> String {
    let mut text = name.to_ascii().to_ascii_lowercase();
    if text.ends_with('.') {
        text.pop();
    }
    text
}

/// A rank that looks random but depends on the name and the seed alone: FNV-1a over the name, then
/// the finishing steps of SplitMix64.
fn shuffled(name: &str, seed: u64) -> u64 {
    let mut hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^= seed;
    hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

fn texts(answer: &Lookup) -> Vec<String> {
    answer
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
            _ => None,
        })
        .collect()
}
