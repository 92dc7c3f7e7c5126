//! Server certificates: from files, or from a local authority made for development.

use crate::config::Server;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSettingError {
    /// The settings don't say which certificate to use.
    #[error(
        "server.tls_cert and server.tls_key must be set: the API is never served without TLS (`sealwright dev` makes its own)"
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

fn file_error(path: &Path, reason: impl ToString) -> TlsSettingError {
    TlsSettingError::File {
        path: path.display().to_string(),
        reason: reason.to_string(),
    }
}

/// The server's side of TLS: 1.3 (or 1.2 where the operator says so), AEAD and forward secrecy only, no early data: a replayed POST would
/// be a second e-mail.
pub fn server_config(settings: &Server) -> Result<Arc<rustls::ServerConfig>, TlsSettingError> {
    let (Some(cert), Some(key)) = (&settings.tls_cert, &settings.tls_key) else {
        return Err(TlsSettingError::Missing);
    };
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| file_error(cert, error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| file_error(key, error))?;
    let versions: &[_] = match settings.tls_min.as_str() {
        "1.3" => &[&TLS13],
        "1.2" => &[&TLS13, &TLS12],
        _ => return Err(TlsSettingError::Min),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let pair = |error: rustls::Error| TlsSettingError::Pair(error.to_string());
    let builder = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(pair)?;
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Files of a local certificate authority and of a server certificate that it issued.
#[derive(Debug, Clone)]
pub struct Authority {
    /// The authority's certificate: what clients are told to trust.
    pub ca_cert: PathBuf,
    /// The server's certificate.
    pub cert: PathBuf,
    /// The server's key.
    pub key: PathBuf,
}

impl Authority {
    /// Uses the files in `folder`, making them if they are not all there. For `localhost` and the loopback addresses, nothing else.
    pub fn in_folder(folder: &Path) -> Result<Self, TlsSettingError> {
        let files = Self {
            ca_cert: folder.join("ca.pem"),
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        };
        if [&files.ca_cert, &files.cert, &files.key]
            .iter()
            .all(|file| file.exists())
        {
            return Ok(files);
        }
        let made = make().map_err(|error| TlsSettingError::Pair(error.to_string()))?;
        write(&files.ca_cert, &made.ca_cert)?;
        write(&files.key, &made.key)?;
        write(&files.cert, &made.cert)?;
        Ok(files)
    }
}

struct Made {
    ca_cert: String,
    cert: String,
    key: String,
}

fn make() -> Result<Made, rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    ca.distinguished_name
        .push(DnType::CommonName, "Sealwright local development authority");
    let ca_cert = ca.self_signed(&ca_key)?.pem();
    // The authority's key is dropped here: nothing else can ever be issued by it.
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate()?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut server = CertificateParams::new(names)?;
    server.distinguished_name.push(DnType::CommonName, "localhost");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let cert = server.signed_by(&key, &issuer)?.pem();
    Ok(Made {
        ca_cert,
        cert,
        key: key.serialize_pem(),
    })
}

fn write(path: &Path, text: &str) -> Result<(), TlsSettingError> {
    let mut options = std::fs::OpenOptions::new();
    let opened = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    let mut file = opened.map_err(|error| file_error(path, error))?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(|error| file_error(path, error))
}
