//! Which certificates are accepted, and what is known about an encrypted connection.
//!
//! Opportunistic encryption (RFC 7435) protects against listeners only, so it accepts any certificate: refusing one
//! would mean clear text, which is worse. Whether the certificate would have convinced a strict client is found out
//! all the same and recorded.

use super::dane::Dane;
use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

/// A TLS configuration that remembers what its success proves. Cheap to clone; share one, so that sessions resume.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    trust: Trust,
}

#[derive(Clone)]
enum Trust {
    /// The handshake fails unless the certificate is good.
    Proven,
    /// The handshake accepts all; this verifier is asked afterwards.
    Unproven(Arc<WebPkiServerVerifier>),
}

impl ClientTls {
    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// This configuration, but with certificates judged by TLSA records alone. Nothing is resumed: the session of a certificate that
    /// was accepted under other records proves nothing under these.
    pub fn by_dane(&self, dane: &Dane) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::disabled();
        let algorithms = config.crypto_provider().signature_verification_algorithms;
        config.dangerous().set_certificate_verifier(Arc::new(OwnVerifier {
            dane: Some(dane.clone()),
            algorithms,
        }));
        Self {
            config: Arc::new(config),
            trust: Trust::Proven,
        }
    }

    pub(super) fn facts(&self, name: &ServerName<'_>, connection: &ClientConnection) -> TlsFacts {
        let error = match &self.trust {
            Trust::Proven => None,
            Trust::Unproven(verifier) => problem(verifier, name, connection.peer_certificates()),
        };
        let problem = error.as_ref().map(describe);
        TlsFacts {
            version: connection
                .protocol_version()
                .map_or_else(String::new, |version| format!("{version:?}").replace('_', ".")),
            cipher: connection
                .negotiated_cipher_suite()
                .map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
            verified: problem.is_none(),
            fault: error.as_ref().map(TlsFault::of),
            problem,
            peer_name: name.to_str().into_owned(),
        }
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.trust {
            Trust::Proven => "ClientTls(verifying)",
            Trust::Unproven(_) => "ClientTls(opportunistic)",
        })
    }
}

/// What is known about an encrypted connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: String,
    /// The cipher suite's IANA name.
    pub cipher: String,
    /// Whether the certificate is valid for `peer_name` under the configured roots.
    pub verified: bool,
    /// Why it is not.
    pub problem: Option<String>,
    /// The kind of it.
    pub fault: Option<TlsFault>,
    /// The name that was asked for and checked.
    pub peer_name: String,
}

/// Accepts every certificate, and finds out whether it would verify under the public roots or `extra_roots`.
pub fn opportunistic_config(extra_roots: &[CertificateDer<'_>]) -> Result<ClientTls, rustls::Error> {
    let provider = provider();
    let verifier = verifier(roots(extra_roots)?, &provider)?;
    let accept_any = OwnVerifier {
        dane: None,
        algorithms: provider.signature_verification_algorithms,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(accept_any))
        .with_no_client_auth();
    Ok(ClientTls {
        config: Arc::new(config),
        trust: Trust::Unproven(verifier),
    })
}

/// Accepts only certificates that are valid for the host's name under the public roots or `extra_roots`.
pub fn verifying_config(extra_roots: &[CertificateDer<'_>]) -> Result<ClientTls, rustls::Error> {
    let provider = provider();
    let verifier = verifier(roots(extra_roots)?, &provider)?;
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    Ok(ClientTls {
        config: Arc::new(config),
        trust: Trust::Proven,
    })
}

fn roots(extra: &[CertificateDer<'_>]) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for root in extra {
        roots.add(root.clone().into_owned())?;
    }
    Ok(roots)
}

/// Never the process's default provider: what another library installs must not change how mail is encrypted.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn verifier(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))
}

/// Wall-clock time is read here as rustls itself reads it for every other certificate.
fn problem(
    verifier: &WebPkiServerVerifier,
    name: &ServerName<'_>,
    chain: Option<&[CertificateDer<'_>]>,
) -> Option<rustls::Error> {
    let Some((end_entity, intermediates)) = chain.and_then(<[_]>::split_first) else {
        return Some(rustls::Error::NoCertificatesPresented);
    };
    verifier
        .verify_server_cert(end_entity, intermediates, name, &[], UnixTime::now())
        .err()
}

/// Why TLS did not come about or proves nothing: the kinds that RFC 8460 §4.3 tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// The server does not offer it, or takes the offer back.
    NotOffered,
    /// The certificate is another host's.
    HostMismatch,
    /// The certificate has expired.
    Expired,
    /// Nobody who is trusted vouches for the certificate.
    NotTrusted,
    /// Anything else.
    Other,
}

impl TlsFault {
    pub(super) fn of(error: &rustls::Error) -> Self {
        use CertificateError::{
            Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer,
        };
        match error {
            rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => Self::Expired,
            rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
                Self::HostMismatch
            }
            rustls::Error::InvalidCertificate(UnknownIssuer) => Self::NotTrusted,
            _ => Self::Other,
        }
    }
}

/// Characters of a TLS error kept; some repeat all names of a certificate.
const DESCRIPTION_CHARS_MAX: usize = 200;

/// An error of rustls in one short line. Certificates hold names that a stranger chose.
pub(super) fn describe(error: &rustls::Error) -> String {
    let line = error.to_string();
    line.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(DESCRIPTION_CHARS_MAX)
        .collect()
}

/// Takes a certificate that fits TLSA records, or any; but insists that the server holds its key: otherwise a good certificate copied
/// from elsewhere would be taken, or recorded as verified.
#[derive(Debug)]
struct OwnVerifier {
    dane: Option<Dane>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for OwnVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(dane) = &self.dane {
            dane.check(end_entity, intermediates, now, &self.algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
