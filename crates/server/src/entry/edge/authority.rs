//! A local certificate authority, made for development.

use super::tls::{TlsSettingError, file_error};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

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
