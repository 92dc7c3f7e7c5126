//! The only way out: every connection this server opens to somebody else's is prepared here.
//!
//! A request to a customer's URL goes through five stations, and none can be passed by:
//! [`HttpsUrl`] takes one notation of one kind of URL; [`Dns`] resolves its host; [`Guard`] refuses
//! the whole answer if any address in it is not public; the connection goes to an address of that
//! same answer, with the name kept for TLS and `Host`; and [`HttpClient`] reads a bounded answer
//! within a bounded time. Webhooks, attachment fetches, MTA-STS policies, sign-in providers and
//! relays all use it; the SMTP client takes its addresses from [`Dns`] and asks [`Guard`] as well.
//! [`SecureDns`] gives answers that DNSSEC proves, for DANE.
//!
//! Life cycle: one [`Net`] is made at start from plain parameters and lives as long as the process.
//! It owns the DNS cache and the kept connections, and no data.
//!
//! Deliberately not here: retries, schedules and limits per receiver (they belong to the jobs that
//! call), signatures, following redirects, proxies, cookies, decompression, HTTP/2, and any
//! knowledge of organizations: a guard that allows more comes from the caller
//! ([`HttpClient::with_guard`]).

pub mod dns;
pub mod guard;
pub mod http;
pub mod secure;
pub mod sigv4;
pub mod tls;
pub mod url;

mod authority;
mod connect;
mod local;
mod pool;
#[cfg(test)]
mod tests;

pub use authority::Authorities;
pub use dns::{AUTHORITY_PORT, Dns, DnsConfig, DnsError, DnsSetupError, MxAnswer, MxHost};
pub use guard::{Guard, Refused};
pub use http::{
    Answer, BODY_BYTES_MAX, EXCHANGE_TIMEOUT, HttpClient, HttpConfig, HttpFailure, Opening, Outgoing,
};
pub use local::{LocalFailure, ask_local};
pub use secure::{
    Path, SecureConfig, SecureDns, Security, Tlsa, TlsaMatching, TlsaSelector, TlsaUsage, Unknown,
};
pub use tls::{TlsMin, TlsSetupError, TlsVersion, client_config};
pub use url::{Host, HttpsUrl, URL_BYTES_MAX, UrlRefused, UrlRules};

/// The parts of the way out, made once.
#[derive(Clone)]
pub struct Net {
    /// What may be reached when nothing else is said.
    pub guard: Guard,
    /// The resolver.
    pub dns: Dns,
    /// The resolver whose answers are proven.
    pub secure: SecureDns,
    /// The HTTPS client, under `guard`.
    pub http: HttpClient,
}

/// The way out cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum NetSetupError {
    /// No usable name servers.
    #[error(transparent)]
    Dns(#[from] DnsSetupError),
    /// A root certificate is not one.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
}

impl Net {
    /// Makes the parts; nothing is connected to or asked yet.
    ///
    /// # Errors
    /// [`NetSetupError`] when the name servers, the trust anchors or the extra roots can't be used.
    pub fn new(
        guard: Guard,
        dns: DnsConfig,
        secure: SecureConfig,
        http: HttpConfig,
    ) -> Result<Net, NetSetupError> {
        let dns = Dns::new(dns)?;
        let secure = SecureDns::new(secure)?;
        let http = HttpClient::new(guard.clone(), dns.clone(), http)?;
        Ok(Net {
            guard,
            dns,
            secure,
            http,
        })
    }
}
