//! How well the way to a mail host has to be protected, and what happens when it is not.

mod blind;
mod dane;
mod own;
mod reports;
mod required;
mod sts;
mod zones;

use crate::harness::House;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sealwright::entry::edge::Authority;
use sealwright::platform::dev::sink::{Sink, SinkOptions, SinkScript};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// A certificate with its key and the certificate of who issued it.
struct Identity {
    leaf: CertificateDer<'static>,
    issuer: CertificateDer<'static>,
    key: KeyPair,
}

/// An authority of its own.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "An authority of the tests");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn identity(issuer: &CertifiedIssuer<'static, KeyPair>, names: &[&str], is_expired: bool) -> Identity {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    if is_expired {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    Identity {
        leaf: params.signed_by(&key, issuer).unwrap().der().clone(),
        issuer: issuer.der().clone(),
        key,
    }
}

impl Identity {
    fn config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.leaf.clone(), self.issuer.clone()], key);
        Arc::new(config.unwrap())
    }

    /// As files, for a server that reads files.
    fn files(&self, folder: &Path) -> Authority {
        let pem = |der: &[u8]| {
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD.encode(der);
            format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
        };
        let files = Authority {
            ca_cert: folder.join("issuer.pem"),
            cert: folder.join("leaf.pem"),
            key: folder.join("leaf-key.pem"),
        };
        std::fs::write(&files.ca_cert, pem(&self.issuer)).unwrap();
        std::fs::write(&files.cert, pem(&self.leaf)).unwrap();
        std::fs::write(&files.key, self.key.serialize_pem()).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600)).unwrap();
        files
    }
}

/// A mail host with this identity, or without TLS.
fn mail_host(address: SocketAddr, identity: Option<&Identity>, script: SinkScript) -> Sink {
    let options = SinkOptions {
        tls: identity.map(Identity::config),
        script,
        ..SinkOptions::default()
    };
    Sink::start(address, options).unwrap()
}

impl House {
    /// What an attempt's connection had to guarantee.
    async fn guaranteed(&self, id: &str) -> Value {
        let attempts = self.attempts(id).await;
        attempts.last().unwrap()["facts"]["guarantee"].clone()
    }

    /// Why an e-mail waits.
    async fn waits_because(&self, id: &str) -> String {
        let shown = self.reaches(id, "deferred").await;
        let told = crate::harness::events_of(&shown, "email.deferred");
        told.last().unwrap()["data"]["reason"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}
