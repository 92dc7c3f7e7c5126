//! TLS of a listener: what is spoken, and the handshake.
//!
//! The client's hello is read first and judged before any certificate is shown: a name that is not served gets the alert that says
//! so, and a certificate authority that checks a challenge (RFC 8737) gets the answer to it and nothing else.

use super::certificates::{Certificates, Files};
use crate::config::Server;
use crate::limits::TLS_SESSIONS_MAX;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::server::{Acceptor, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::version::{TLS12, TLS13};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSettingError {
    /// The settings don't say which certificate to use.
    #[error(
        "server.tls_cert and server.tls_key, or acme.names, must be set: the API is never served without TLS (`sealwright dev` makes its own)"
    )]
    Missing,
    /// `server.tls_min` is neither 1.2 nor 1.3.
    #[error("setting server.tls_min: expected 1.3 or 1.2")]
    Min,
    /// A file can't be read or holds something else.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The certificate and the key don't fit together.
    #[error("certificate and key can't be used: {0}")]
    Pair(String),
}

pub(super) fn file_error(path: &Path, reason: impl ToString) -> TlsSettingError {
    TlsSettingError::File {
        path: path.display().to_string(),
        reason: reason.to_string(),
    }
}

/// In order of preference; the hybrid comes first so that what is recorded today stays closed to a later quantum computer. TLS 1.2 uses
/// the elliptic curves alone.
const KEY_EXCHANGE: &[&dyn SupportedKxGroup] = &[
    kx_group::X25519MLKEM768,
    kx_group::X25519,
    kx_group::SECP256R1,
    kx_group::SECP384R1,
];

/// The provider is always named: the process-wide default belongs to whoever set it first.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: KEY_EXCHANGE.to_vec(),
        ..aws_lc_rs::default_provider()
    })
}

/// The server's side of TLS with the files that the settings name, read once: for listeners that live shorter than a certificate.
pub fn server_config(settings: &Server) -> Result<Arc<rustls::ServerConfig>, TlsSettingError> {
    Ok(Arc::clone(&Tls::from_files(settings)?.config))
}

/// TLS 1.3 (or 1.2 where the operator says so), AEAD and forward secrecy only, no early data: a replayed POST would be a second e-mail.
fn config(
    tls_min: &str,
    protocols: &[&str],
    certificates: Arc<dyn ResolvesServerCert>,
) -> Result<Arc<rustls::ServerConfig>, TlsSettingError> {
    let versions: &[_] = match tls_min {
        "1.3" => &[&TLS13],
        "1.2" => &[&TLS13, &TLS12],
        _ => return Err(TlsSettingError::Min),
    };
    let unusable = |error: rustls::Error| TlsSettingError::Pair(error.to_string());
    let builder = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(unusable)?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificates);
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    // Its keys change every six hours and open tickets for twice that.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(unusable)?;
    // For TLS 1.2 clients that take no tickets.
    config.session_storage = ServerSessionMemoryCache::new(TLS_SESSIONS_MAX);
    Ok(Arc::new(config))
}

/// TLS of a listener whose certificate may change while it serves.
#[derive(Debug)]
pub struct Tls {
    certificates: Arc<Certificates>,
    config: Arc<rustls::ServerConfig>,
}

/// Settled by the handshake (ALPN, RFC 7301), never guessed from a client's first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::entry) enum Version {
    Http1,
    Http2,
}

/// How a handshake ended, if not in a connection for HTTP.
#[derive(Debug, thiserror::Error)]
pub(in crate::entry) enum NoConnection {
    /// It failed.
    #[error("the TLS handshake failed")]
    Failed(#[from] io::Error),
    /// The client asked for a name that is not served.
    #[error("the client asked for a name that the certificate does not cover")]
    Name,
    /// There is no certificate yet.
    #[error("there is no certificate yet")]
    NoCertificate,
    /// A certificate authority looked at a challenge and has seen it.
    #[error("the connection was a challenge's")]
    Challenge,
}

impl NoConnection {
    /// The name in metrics.
    pub(in crate::entry) fn name(&self) -> &'static str {
        match self {
            Self::Failed(_) => "handshake",
            Self::Name => "unknown_name",
            Self::NoCertificate => "no_certificate",
            Self::Challenge => "challenge",
        }
    }
}

/// Alerts that are sent before there is a session to send them (RFC 8446 §6).
#[derive(Clone, Copy)]
enum Alert {
    HandshakeFailure = 40,
    UnrecognizedName = 112,
}

impl Tls {
    /// TLS as set, with whatever certificate is in `certificates` when a client comes.
    pub fn new(settings: &Server, certificates: Arc<Certificates>) -> Result<Arc<Self>, TlsSettingError> {
        let config = config(
            &settings.tls_min,
            &["h2", "http/1.1"],
            Arc::clone(&certificates) as _,
        )?;
        Ok(Arc::new(Self { certificates, config }))
    }

    /// TLS of a listener for mail: a host whose handshake fails sends in the clear, so an older version is better than none.
    pub fn for_mail(certificates: Arc<Certificates>) -> Result<Arc<Self>, TlsSettingError> {
        let config = config("1.2", &[], Arc::clone(&certificates) as _)?;
        Ok(Arc::new(Self { certificates, config }))
    }

    /// TLS with the files that the settings name, read once.
    pub fn from_files(settings: &Server) -> Result<Arc<Self>, TlsSettingError> {
        let files = Files::of(settings).ok_or(TlsSettingError::Missing)?;
        let certificates = Arc::new(Certificates::default());
        certificates.install(files.load()?);
        Self::new(settings, certificates)
    }

    /// Shakes hands; the caller has a deadline.
    pub(in crate::entry) async fn accept<S>(&self, stream: S) -> Result<(TlsStream<S>, Version), NoConnection>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let hello = start.client_hello();
        if let Some(challenge) = self.certificates.challenge(&hello) {
            start.into_stream(challenge).await?.shutdown().await?;
            return Err(NoConnection::Challenge);
        }
        let refused = match self.certificates.covers(hello.server_name()) {
            Some(true) => None,
            Some(false) => Some((Alert::UnrecognizedName, NoConnection::Name)),
            None => Some((Alert::HandshakeFailure, NoConnection::NoCertificate)),
        };
        if let Some((alert, refused)) = refused {
            let mut stream = start.io;
            // A fatal alert in a record of its own, in the clear: nothing has been agreed on.
            stream.write_all(&[21, 3, 3, 0, 2, 2, alert as u8]).await?;
            stream.shutdown().await?;
            return Err(refused);
        }
        let stream = start.into_stream(Arc::clone(&self.config)).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((stream, if is_http2 { Version::Http2 } else { Version::Http1 }))
    }
}
