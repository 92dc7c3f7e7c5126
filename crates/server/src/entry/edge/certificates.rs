//! The certificate that is shown, and its change while connections live.
//!
//! Files are looked at every few seconds, and at once on SIGHUP. A pair that can't be used changes nothing: the one that was read last
//! stays, the log says why, and a metric counts it. New handshakes get the new certificate; connections keep what they began with.

use super::tls::{TlsSettingError, file_error, provider};
use super::x509;
use crate::clock::{Clock, Timestamp};
use crate::config::Server;
use crate::metrics::{KindLabel, Metrics};
use crate::platform::jobs::Stop;
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The protocol that says: this is a certificate authority's check of a challenge (RFC 8737 §3).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// A certificate with its key, ready for use.
#[derive(Debug)]
pub struct Pair {
    key: Arc<CertifiedKey>,
    /// When the certificate begins.
    pub valid_from: Timestamp,
    /// When the certificate ends.
    pub expires_at: Timestamp,
}

impl Pair {
    /// Reads a chain and its key (PEM); they have to fit together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|error| format!("the certificate: {error}"))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the key: {error}"))?;
        let leaf = chain
            .first()
            .ok_or("the certificate: there is none in the file")?;
        let validity = x509::validity(leaf);
        let (valid_from, expires_at) = validity.ok_or("the certificate: its validity can't be read")?;
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| error.to_string())?;
        Ok(Self {
            key: Arc::new(key),
            valid_from,
            expires_at,
        })
    }

    /// Whether the certificate is good for this name.
    pub fn covers(&self, name: &str) -> bool {
        let (Some(leaf), Ok(name)) = (self.key.cert.first(), ServerName::try_from(name)) else {
            return false;
        };
        ParsedCertificate::try_from(leaf).is_ok_and(|leaf| verify_server_name(&leaf, &name).is_ok())
    }
}

/// What a listener shows.
#[derive(Debug, Default)]
pub struct Certificates {
    current: RwLock<Option<Arc<Pair>>>,
    /// The answers to challenges under way, by the name they are for.
    challenges: RwLock<HashMap<String, Arc<rustls::ServerConfig>>>,
}

impl Certificates {
    /// Shows this one from now on.
    pub fn install(&self, pair: Pair) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(pair));
    }

    /// When the certificate that is shown ends; `None` when there is none yet.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.current().map(|pair| pair.expires_at)
    }

    fn current(&self) -> Option<Arc<Pair>> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether the certificate is good for the name that a client asks for, none being as good as any; `None` when there is no
    /// certificate.
    pub(super) fn covers(&self, name: Option<&str>) -> Option<bool> {
        let pair = self.current()?;
        Some(name.is_none_or(|name| pair.covers(name)))
    }

    /// Answers challenges for `name` with this certificate.
    pub(super) fn add_challenge(&self, name: &str, key: CertifiedKey) -> Result<(), rustls::Error> {
        let config = challenge_config(key)?;
        let mut challenges = self.challenges.write().unwrap_or_else(PoisonError::into_inner);
        challenges.insert(name.to_ascii_lowercase(), config);
        Ok(())
    }

    /// Answers challenges no longer.
    pub(super) fn clear_challenges(&self) {
        let mut challenges = self.challenges.write().unwrap_or_else(PoisonError::into_inner);
        challenges.clear();
    }

    /// What to answer a hello with that checks a challenge.
    pub(super) fn challenge(&self, hello: &ClientHello<'_>) -> Option<Arc<rustls::ServerConfig>> {
        let mut protocols = hello.alpn()?;
        if (protocols.next(), protocols.next()) != (Some(ACME_TLS), None) {
            return None;
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        let challenges = self.challenges.read().unwrap_or_else(PoisonError::into_inner);
        challenges.get(&name).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current().map(|pair| Arc::clone(&pair.key))
    }
}

fn challenge_config(key: CertifiedKey) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    Ok(Arc::new(config))
}

/// The files of a certificate and its key.
#[derive(Debug, Clone)]
pub struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// What tells that a file was written: change time and length.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Files {
    /// The files that the settings name.
    pub fn of(settings: &Server) -> Option<Self> {
        Some(Self {
            cert: settings.tls_cert.clone()?,
            key: settings.tls_key.clone()?,
        })
    }

    /// Reads both.
    pub fn load(&self) -> Result<Pair, TlsSettingError> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| file_error(path, error));
        let (chain, key) = (read(&self.cert)?, zeroize::Zeroizing::new(read(&self.key)?));
        Pair::from_pem(&chain, &key).map_err(|reason| {
            TlsSettingError::Pair(format!(
                "{} and {}: {reason}",
                self.cert.display(),
                self.key.display()
            ))
        })
    }

    fn stamp(&self) -> Stamp {
        [&self.cert, &self.key].map(|path| {
            let facts = std::fs::metadata(path).ok()?;
            Some((facts.modified().ok()?, facts.len()))
        })
    }

    /// Shows what the files hold whenever they change, until stopped.
    pub async fn follow(self, certificates: Arc<Certificates>, metrics: Arc<Metrics>, mut stop: Stop) {
        // Without the signal there is still the look every few seconds.
        let mut hangup = signal(SignalKind::hangup()).ok();
        let mut last = self.stamp();
        loop {
            let is_asked = tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => false,
                () = heard(&mut hangup) => true,
                () = stop.wait() => return,
            };
            let stamp = self.stamp();
            if stamp == last && !is_asked {
                continue;
            }
            last = stamp;
            let kind = match self.load() {
                Ok(pair) => {
                    tracing::info!(expires_at = %pair.expires_at, "the certificate was read again");
                    certificates.install(pair);
                    "loaded"
                }
                Err(error) => {
                    tracing::warn!(%error, "the new certificate can't be used; the old one stays");
                    "refused"
                }
            };
            metrics
                .certificate_reloads
                .get_or_create(&KindLabel { kind })
                .inc();
        }
    }
}

async fn heard(hangup: &mut Option<Signal>) {
    // `None` comes when no signal can come any more.
    let is_heard = match hangup {
        Some(signal) => signal.recv().await.is_some(),
        None => false,
    };
    if !is_heard {
        std::future::pending::<()>().await;
    }
}

/// Keeps the metric of the certificate's remaining time, until stopped.
pub async fn measure(certificates: Arc<Certificates>, metrics: Arc<Metrics>, clock: Clock, mut stop: Stop) {
    // Where no files are followed nobody listens, and the signal would end the process.
    let _hangup = signal(SignalKind::hangup());
    loop {
        if let Some(expires_at) = certificates.expires_at() {
            let left = expires_at.seconds() - clock.now().seconds();
            metrics.certificate_expires_seconds.set(left);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = stop.wait() => return,
        }
    }
}
