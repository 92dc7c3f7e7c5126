//! TLS for outgoing HTTPS: who is trusted, and what is the least that is accepted.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, version};

/// The lowest TLS version a connection may end up with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsMin {
    /// TLS 1.3 and nothing below: the default.
    #[default]
    V1_3,
    /// TLS 1.2 with forward secrecy and authenticated encryption, or better. An opt-down that its
    /// caller writes to the audit log.
    V1_2,
}

/// The TLS version a connection did end up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    V1_2,
    /// TLS 1.3, RFC 8446.
    V1_3,
}

impl TlsVersion {
    /// The name used in the API and in the delivery log.
    pub fn as_str(self) -> &'static str {
        match self {
            TlsVersion::V1_2 => "TLSv1.2",
            TlsVersion::V1_3 => "TLSv1.3",
        }
    }

    pub(super) fn of(negotiated: Option<ProtocolVersion>) -> Option<TlsVersion> {
        match negotiated? {
            ProtocolVersion::TLSv1_2 => Some(TlsVersion::V1_2),
            ProtocolVersion::TLSv1_3 => Some(TlsVersion::V1_3),
            _ => None,
        }
    }
}

/// A trust anchor or protocol set that rustls does not take.
#[derive(Debug, thiserror::Error)]
#[error("TLS for outgoing connections cannot be set up: {0}")]
pub struct TlsSetupError(#[from] rustls::Error);

/// Builds the client side of TLS: Mozilla's roots plus `extra_roots`, no client certificate,
/// HTTP/1.1 as the only application protocol, and no early data (a replayed POST is a second
/// delivery, RFC 8446 §8).
///
/// # Errors
/// [`TlsSetupError`] when an extra root is not a certificate.
pub fn client_config(
    min: TlsMin,
    extra_roots: &[CertificateDer<'_>],
) -> Result<Arc<ClientConfig>, TlsSetupError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for root in extra_roots {
        roots.add(root.clone().into_owned())?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(versions(min))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The provider is always named: the process-wide default belongs to whoever set it first.
fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: KEY_EXCHANGE.to_vec(),
        ..aws_lc_rs::default_provider()
    }
}

/// In order of preference; the hybrid comes first so that what is recorded today stays closed to a
/// later quantum computer. TLS 1.2 uses the elliptic curves alone.
const KEY_EXCHANGE: &[&dyn SupportedKxGroup] = &[
    kx_group::X25519MLKEM768,
    kx_group::X25519,
    kx_group::SECP256R1,
    kx_group::SECP384R1,
];

fn versions(min: TlsMin) -> &'static [&'static SupportedProtocolVersion] {
    static FROM_1_3: [&SupportedProtocolVersion; 1] = [&version::TLS13];
    static FROM_1_2: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    match min {
        TlsMin::V1_3 => &FROM_1_3,
        TlsMin::V1_2 => &FROM_1_2,
    }
}
