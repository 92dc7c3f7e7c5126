//! Answers that are proven by DNSSEC, from a resolver of their own.
//!
//! Routing asks [`Dns`](super::Dns) and does not wait for proofs; only what protects a connection is asked here. Whether proofs come
//! through at all is tried first ([`SecureDns::prove`]): many resolvers leave them out, and then nothing is believed, nothing is
//! refused, and [`Path::Blind`] says so. One name server is asked at a time, and an answer that does not hold is asked for again over
//! TCP before it counts: truncated answers look like forged ones.
//!
//! Not here: what follows from a proof. That is for the caller to say.

use super::dns::{DnsSetupError, LOOKUP_TIMEOUT, MxAnswer, host_name, limit, mx_hosts, name_server};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as AnswerError, NetError};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType, rdata};
use hickory_resolver::proto::serialize::txt::trust_anchor::{Entry, Parser};
use hickory_resolver::system_conf::read_system_conf;

/// Name servers that are asked in turn, at most.
const SERVERS_MAX: usize = 3;
/// Octets of an answer over UDP: what passes everywhere without fragments.
const UDP_OCTETS: u16 = 1232;
/// Aliases that are followed.
const ALIASES_MAX: usize = 8;
/// TLSA records taken from one answer.
const TLSA_MAX: usize = 32;
/// Failures that make the path be tried again at once.
const DOUBTS_MAX: u32 = 20;
/// Good tries in a row before a path that was lost is believed again.
const GOOD_AGAIN: u32 = 3;

/// How often the path is tried while it is good.
const PROVE_EVERY: Duration = Duration::from_secs(600);
/// How often while it is not, and how often doubts are looked at.
const PROVE_BLIND_EVERY: Duration = Duration::from_secs(20);

/// Whether proofs come through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Path {
    /// Not wanted.
    Off,
    /// Not tried yet.
    Untried,
    /// They do: a name that is signed was proven to be.
    Proven,
    /// They don't: a name server, or something before it, leaves them out or does not answer.
    Blind,
}

impl Path {
    /// All of them.
    pub const ALL: [Path; 4] = [Self::Off, Self::Untried, Self::Proven, Self::Blind];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Untried => "untried",
            Self::Proven => "proven",
            Self::Blind => "blind",
        }
    }
}

/// What is known of records that were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Signed, up to the anchor.
    Secure,
    /// Proven to lie in a zone that is not signed.
    Insecure,
}

/// Why the truth can't be known now. It never means that there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// The proof does not hold.
    #[error("the DNS answer is not signed as it has to be")]
    Bogus,
    /// The name server says that it failed.
    #[error("the name servers could not answer")]
    Failed,
    /// No answer came.
    #[error("the name servers did not answer in time")]
    Silent,
}

/// Records, or that there are none.
pub type Found<T> = Result<Option<(T, Security)>, Unknown>;

/// Whose certificate a TLSA record describes (RFC 7218 §2.1), as far as mail uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsaUsage {
    /// An authority's: DANE-TA(2).
    TrustAnchor,
    /// The server's: DANE-EE(3).
    EndEntity,
}

/// What of the certificate it describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsaSelector {
    /// All of it: Cert(0).
    Certificate,
    /// Its public key: SPKI(1).
    Key,
}

/// How it is described. Later ones are stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsaMatching {
    /// Byte for byte: Full(0).
    Full,
    /// SHA2-256(1).
    Sha256,
    /// SHA2-512(2).
    Sha512,
}

/// A TLSA record that mail can use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tlsa {
    /// Whose.
    pub usage: TlsaUsage,
    /// What.
    pub selector: TlsaSelector,
    /// How.
    pub matching: TlsaMatching,
    /// The description.
    pub data: Vec<u8>,
}

impl Tlsa {
    /// Usage, selector and matching type, as the record has them.
    pub fn numbers(&self) -> (u8, u8, u8) {
        let usage = match self.usage {
            TlsaUsage::TrustAnchor => 2,
            TlsaUsage::EndEntity => 3,
        };
        let selector = match self.selector {
            TlsaSelector::Certificate => 0,
            TlsaSelector::Key => 1,
        };
        let matching = match self.matching {
            TlsaMatching::Full => 0,
            TlsaMatching::Sha256 => 1,
            TlsaMatching::Sha512 => 2,
        };
        (usage, selector, matching)
    }

    /// `None` for what RFC 7672 §3.1.3 calls unusable: PKIX usages, unknown numbers, digests of the wrong length.
    fn of(record: &rdata::TLSA) -> Option<Self> {
        let usage = match u8::from(record.cert_usage) {
            2 => TlsaUsage::TrustAnchor,
            3 => TlsaUsage::EndEntity,
            _ => return None,
        };
        let selector = match u8::from(record.selector) {
            0 => TlsaSelector::Certificate,
            1 => TlsaSelector::Key,
            _ => return None,
        };
        let (matching, has_length) = match (u8::from(record.matching), record.cert_data.len()) {
            (0, length) => (TlsaMatching::Full, length > 0),
            (1, length) => (TlsaMatching::Sha256, length == 32),
            (2, length) => (TlsaMatching::Sha512, length == 64),
            _ => return None,
        };
        has_length.then(|| Self {
            usage,
            selector,
            matching,
            data: record.cert_data.clone(),
        })
    }
}

/// How answers are proven.
#[derive(Clone, Debug)]
pub struct SecureConfig {
    /// Whether they are at all.
    pub is_wanted: bool,
    /// Name servers; empty means those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// DNSKEY records that are trusted instead of the root's, one a line.
    pub trust_anchor: Option<PathBuf>,
}

/// A resolver that proves. Clones share what it knows.
#[derive(Clone)]
pub struct SecureDns {
    shared: Arc<Shared>,
}

struct Shared {
    servers: Vec<Server>,
    /// Zones whose keys are trusted: what is asked to try the path.
    anchored: Vec<Name>,
    path: AtomicU8,
    doubts: AtomicU32,
    good_in_a_row: AtomicU32,
}

struct Server {
    any: TokioResolver,
    tcp: TokioResolver,
}

impl SecureDns {
    /// Sets it up; asks nothing yet.
    ///
    /// # Errors
    /// [`DnsSetupError`] when the system's configuration or the trust anchors can't be read.
    pub fn new(config: SecureConfig) -> Result<Self, DnsSetupError> {
        if !config.is_wanted {
            return Ok(Self::of(Vec::new(), Vec::new(), Path::Off));
        }
        let (anchors, anchored) = match &config.trust_anchor {
            None => (TrustAnchors::default(), vec![Name::root()]),
            Some(path) => {
                let unfit = |reason: String| DnsSetupError::of(format!("{}: {reason}", path.display()));
                let text = std::fs::read_to_string(path).map_err(|error| unfit(error.to_string()))?;
                let unreadable = |error: &dyn std::fmt::Display| unfit(error.to_string());
                let entries = Parser::new(text.as_str())
                    .parse()
                    .map_err(|error| unreadable(&error))?;
                let names = entries.iter().filter_map(|entry| match entry {
                    Entry::DNSKEY(record) => Some(record.name().clone()),
                    _ => None,
                });
                let names = names.collect();
                (text.parse().map_err(|error| unreadable(&error))?, names)
            }
        };
        let anchors: Arc<TrustAnchors> = Arc::new(anchors);
        let servers = if config.servers.is_empty() {
            let (system, _) = read_system_conf().map_err(|error| DnsSetupError::of(error.to_string()))?;
            system.name_servers
        } else {
            config.servers.into_iter().map(name_server).collect()
        };
        let servers = servers.into_iter().take(SERVERS_MAX);
        let servers = servers.map(|server| Server::new(server, &anchors));
        Ok(Self::of(
            servers.collect::<Result<_, _>>()?,
            anchored,
            Path::Untried,
        ))
    }

    fn of(servers: Vec<Server>, anchored: Vec<Name>, path: Path) -> Self {
        let shared = Shared {
            servers,
            anchored,
            path: AtomicU8::new(path as u8),
            doubts: AtomicU32::new(0),
            good_in_a_row: AtomicU32::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Whether proofs come through, as far as is known.
    pub fn path(&self) -> Path {
        let known = self.shared.path.load(Ordering::Relaxed);
        let found = Path::ALL.into_iter().find(|path| *path as u8 == known);
        found.unwrap_or(Path::Blind)
    }

    /// Asks for what is signed for certain, and so learns whether proofs come through.
    pub async fn prove(&self) -> Path {
        let before = self.path();
        if before == Path::Off {
            return before;
        }
        self.shared.doubts.store(0, Ordering::Relaxed);
        let mut is_good = false;
        for zone in &self.shared.anchored {
            for server in &self.shared.servers {
                // What is remembered proves nothing of the way.
                server.any.clear_lookup_cache(zone.clone(), RecordType::SOA);
                server.tcp.clear_lookup_cache(zone.clone(), RecordType::SOA);
            }
            let answer = self.ask(zone.clone(), RecordType::SOA).await;
            is_good |= matches!(answer, Ok(Some((_, Security::Secure))));
        }
        let good = &self.shared.good_in_a_row;
        let in_a_row = if is_good {
            good.fetch_add(1, Ordering::Relaxed) + 1
        } else {
            0
        };
        good.store(in_a_row, Ordering::Relaxed);
        let now = match before {
            _ if !is_good => Path::Blind,
            Path::Blind if in_a_row < GOOD_AGAIN => Path::Blind,
            _ => Path::Proven,
        };
        self.shared.path.store(now as u8, Ordering::Relaxed);
        match (before, now) {
            (Path::Blind, Path::Blind) | (Path::Proven, Path::Proven) => {}
            (_, Path::Proven) => tracing::info!("DNS answers can be proven (DNSSEC); DANE is in force"),
            _ => tracing::warn!(
                "DNS answers can't be proven: a name server leaves DNSSEC out or does not answer. Mail goes on without DANE; use a resolver that passes DNSSEC on, such as unbound on this host, or set net.dnssec to off"
            ),
        }
        now
    }

    /// Tries the path now and then, for as long as it is polled; `told` hears of each try.
    pub async fn keep_proving(&self, told: impl Fn(Path)) {
        if self.path() == Path::Off {
            return std::future::pending().await;
        }
        let mut since_last = Duration::ZERO;
        loop {
            tokio::time::sleep(PROVE_BLIND_EVERY).await;
            since_last += PROVE_BLIND_EVERY;
            let is_doubtful = self.shared.doubts.load(Ordering::Relaxed) >= DOUBTS_MAX;
            if self.path() == Path::Blind || is_doubtful || since_last >= PROVE_EVERY {
                told(self.prove().await);
                since_last = Duration::ZERO;
            }
        }
    }

    /// Where a domain receives mail, as [`Dns::lookup_mx`](super::Dns::lookup_mx) tells it; `None` when it has no MX.
    pub async fn mx(&self, domain: &str, seed: u64) -> Found<MxAnswer> {
        let Some((answer, security)) = self.ask_text(domain, RecordType::MX).await? else {
            return Ok(None);
        };
        Ok(mx_hosts(&answer, seed).map(|hosts| (hosts, security)))
    }

    /// The names below which the TLSA records of a host may be, in this order: the end of its aliases if all of them and the addresses
    /// there are secure, and the host itself if its alias is (RFC 7672 §2.2.2). None means that none are to be asked for: some name
    /// servers of zones without signatures fail at the mere question.
    pub async fn anchored(&self, host: &str) -> Result<Vec<String>, Unknown> {
        let mut bases = Vec::new();
        let mut is_secure = true;
        let mut end = host.to_owned();
        // Hop by hop: the proof of where an alias leads to must not hang on what is there.
        for _ in 0..ALIASES_MAX {
            let Some((answer, security)) = self.ask_text(&end, RecordType::CNAME).await? else {
                break;
            };
            let target = answer.answers().iter().find_map(|record| match &record.data {
                RData::CNAME(target) => Some(host_name(&target.0)),
                _ => None,
            });
            is_secure &= security == Security::Secure;
            if is_secure && bases.is_empty() {
                bases.push(host.to_owned());
            }
            end = target.ok_or(Unknown::Failed)?;
        }
        if is_secure && self.has_secure_address(&end).await? && !bases.contains(&end) {
            bases.insert(0, end);
        }
        Ok(bases)
    }

    async fn has_secure_address(&self, host: &str) -> Result<bool, Unknown> {
        let kinds = [RecordType::A, RecordType::AAAA];
        let (v4, v6) = tokio::join!(self.ask_text(host, kinds[0]), self.ask_text(host, kinds[1]));
        let is_secure = |answer: &Found<Lookup>| matches!(answer, Ok(Some((_, Security::Secure))));
        if is_secure(&v4) || is_secure(&v6) {
            return Ok(true);
        }
        // What is not known may be what is signed.
        v4.and(v6).map(|_| false)
    }

    /// The TLSA records of a mail host on this port: those that can be used, which may be none of those that are there.
    pub async fn tlsa(&self, base: &str, port: u16) -> Found<Vec<Tlsa>> {
        let name = format!("_{port}._tcp.{base}");
        let Some((answer, security)) = self.ask_text(&name, RecordType::TLSA).await? else {
            return Ok(None);
        };
        let records = answer.answers().iter().filter_map(|record| match &record.data {
            RData::TLSA(record) => Tlsa::of(record),
            _ => None,
        });
        Ok(Some((records.take(TLSA_MAX).collect(), security)))
    }

    /// Drops every kept answer: the names in it tell who was written to.
    pub fn forget(&self) {
        for server in &self.shared.servers {
            server.any.clear_cache();
            server.tcp.clear_cache();
        }
    }

    async fn ask_text(&self, name: &str, kind: RecordType) -> Found<Lookup> {
        let mut name = Name::from_ascii(name).map_err(|_| Unknown::Failed)?;
        name.set_fqdn(true);
        let answer = self.ask(name, kind).await;
        if answer.is_err() {
            self.shared.doubts.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    async fn ask(&self, name: Name, kind: RecordType) -> Found<Lookup> {
        let asking = async {
            let mut last = Unknown::Silent;
            for server in &self.shared.servers {
                for resolver in [&server.any, &server.tcp] {
                    match judged(resolver.lookup(name.clone(), kind).await, kind) {
                        Err(why) => last = why,
                        answer => return answer,
                    }
                    if last != Unknown::Bogus {
                        break;
                    }
                }
            }
            Err(last)
        };
        let answer = tokio::time::timeout(LOOKUP_TIMEOUT, asking).await;
        answer.unwrap_or(Err(Unknown::Silent))
    }
}

impl Server {
    fn new(server: NameServerConfig, anchors: &Arc<TrustAnchors>) -> Result<Self, DnsSetupError> {
        let mut over_tcp = server.clone();
        over_tcp.connections = vec![ConnectionConfig::tcp()];
        if let (Some(tcp), Some(known)) = (over_tcp.connections.first_mut(), server.connections.first()) {
            tcp.port = known.port;
        }
        let resolver = |server: NameServerConfig| {
            let config = ResolverConfig::from_name_servers(vec![server]);
            let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            let mut builder = builder.with_trust_anchor(Arc::clone(anchors));
            let options = builder.options_mut();
            limit(options);
            options.use_hosts_file = ResolveHosts::Never;
            options.validate = true;
            options.num_concurrent_reqs = 1;
            options.edns_payload_len = UDP_OCTETS;
            // The names on the way are part of the proof.
            options.preserve_intermediates = true;
            builder
                .build()
                .map_err(|error| DnsSetupError::of(error.to_string()))
        };
        Ok(Self {
            any: resolver(server)?,
            tcp: resolver(over_tcp)?,
        })
    }
}

/// What an answer is worth. Everything on the way to the records counts, aliases included.
fn judged(answer: Result<Lookup, NetError>, kind: RecordType) -> Found<Lookup> {
    let lookup = match answer {
        Ok(lookup) => lookup,
        Err(error) => return no_records(&error),
    };
    let is_ours =
        |record: &&Record| record.record_type() == kind || record.record_type() == RecordType::CNAME;
    let mut security = Security::Secure;
    let mut has_records = false;
    for record in lookup.answers().iter().filter(is_ours) {
        has_records |= record.record_type() == kind;
        match record.proof {
            Proof::Secure => {}
            Proof::Insecure => security = Security::Insecure,
            Proof::Bogus | Proof::Indeterminate => return Err(Unknown::Bogus),
        }
    }
    Ok(has_records.then_some((lookup, security)))
}

fn no_records(error: &NetError) -> Found<Lookup> {
    let is_denial = |code| matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
    match error {
        NetError::Dns(AnswerError::NoRecordsFound(none)) if is_denial(none.response_code) => Ok(None),
        // There is nothing, and the zone is not signed in a way that could prove it.
        NetError::Dns(AnswerError::Nsec { response, proof, .. })
            if *proof == Proof::Insecure && is_denial(response.response_code) =>
        {
            Ok(None)
        }
        NetError::Dns(AnswerError::Nsec { .. } | AnswerError::DnssecBogus) => Err(Unknown::Bogus),
        NetError::Timeout => Err(Unknown::Silent),
        _ => Err(Unknown::Failed),
    }
}
