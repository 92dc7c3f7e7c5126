//! TLS: versions, names, certificates that change.

use super::{Stage, ask, said_until_closed};
use crate::harness::{Engine, House, Setup, eventually, plain_get, stays};
use http::Method;
use rustls::pki_types::ServerName;
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};
use sealwright::clock::Clock;
use sealwright::entry::edge::Authority;
use sealwright::metrics::KindLabel;
use std::path::Path;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

type Shaken = std::io::Result<TlsStream<TcpStream>>;

async fn shake(stage: &Stage, config: rustls::ClientConfig, name: &str) -> Shaken {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = stage.tcp("127.0.0.1").await;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The client's half of TLS with one version only.
fn only(stage: &Stage, version: &'static rustls::SupportedProtocolVersion) -> rustls::ClientConfig {
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    let root = rustls::pki_types::CertificateDer::from_pem_file(&stage.authority.ca_cert);
    roots.add(root.unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[tokio::test]
async fn tls_1_2_is_spoken_only_where_the_setting_says_so_and_only_with_forward_secrecy() {
    let strict = Stage::start(|_| {}).await;
    let config = only(&strict, &rustls::version::TLS12);
    assert!(shake(&strict, config, "localhost").await.is_err());
    assert_eq!(strict.closed("handshake"), 1);
    let lenient = Stage::start_with("1.2", |_| {}).await;
    let config = only(&lenient, &rustls::version::TLS12);
    let stream = shake(&lenient, config, "localhost").await.unwrap();
    let suite = stream.get_ref().1.negotiated_cipher_suite().unwrap().suite();
    let suite = format!("{suite:?}");
    assert!(
        suite.starts_with("TLS_ECDHE_") && !suite.contains("CBC"),
        "{suite}"
    );
}

#[tokio::test]
async fn tls_1_3_with_the_hybrid_key_exchange_is_what_is_chosen() {
    let stage = Stage::start_with("1.2", |_| {}).await;
    let stream = shake(&stage, stage.client_config(), "localhost").await.unwrap();
    let session = stream.get_ref().1;
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let group = session.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn a_session_is_resumed_without_early_data() {
    let stage = Stage::start(|_| {}).await;
    let mut config = stage.client_config();
    config.enable_early_data = true;
    let config = Arc::new(config);
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let name = ServerName::try_from("localhost").unwrap();
        let stream = stage.tcp("127.0.0.1").await;
        let connector = TlsConnector::from(Arc::clone(&config)).early_data(true);
        let mut stream = connector.connect(name, stream).await.unwrap();
        // The tickets come with the answer.
        assert_eq!(ask(&mut stream, "/peer", "").await.unwrap().status(), "200");
        let session = stream.get_ref().1;
        assert_eq!(session.handshake_kind(), Some(expected));
        assert!(!session.is_early_data_accepted());
    }
}

#[tokio::test]
async fn a_name_that_the_certificate_does_not_cover_is_refused_and_no_name_is_served() {
    let stage = Stage::start(|_| {}).await;
    for name in ["example.com", "localhost.example.com", "a.localhost"] {
        let error = shake(&stage, stage.client_config(), name).await.unwrap_err();
        assert!(error.to_string().contains("UnrecognisedName"), "{name}: {error}");
    }
    assert_eq!(stage.closed("unknown_name"), 3);
    for name in ["localhost", "LocalHost", "127.0.0.1"] {
        let mut stream = shake(&stage, stage.client_config(), name).await.unwrap();
        assert_eq!(
            ask(&mut stream, "/peer", "").await.unwrap().status(),
            "200",
            "{name}"
        );
    }
}

#[tokio::test]
async fn plaintext_on_the_tls_port_gets_no_http_answer() {
    let stage = Stage::start(|_| {}).await;
    for bytes in [
        &b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"EHLO localhost\r\n",
    ] {
        let mut stream = stage.tcp("127.0.0.1").await;
        stream.write_all(bytes).await.unwrap();
        let said = said_until_closed(&mut stream).await;
        // At most the alert of a handshake that failed.
        assert!(said.is_empty() || said.starts_with(&[21, 3]), "{said:?}");
        assert!(said.len() <= 7);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_https_answer_bears_hsts() {
    let house = House::start(Engine::Sqlite).await;
    let key = &house.account.live;
    for (method, path, key, body) in [
        (Method::GET, "/healthz", "", ""),
        (Method::GET, "/readyz", "", ""),
        (Method::HEAD, "/healthz", "", ""),
        (Method::GET, "/", "", ""),
        (Method::GET, "/v1/emails", "", ""),
        (Method::GET, "/v1/emails", key, ""),
        (Method::DELETE, "/v1/emails", key, ""),
        (Method::POST, "/v1/emails", key, "{"),
        (Method::OPTIONS, "/v1/emails", "", ""),
        (Method::TRACE, "/healthz", "", ""),
    ] {
        let reply = house.client.call(method.clone(), path, key, body).await;
        assert_eq!(
            reply.header("strict-transport-security"),
            "max-age=63072000; includeSubDomains; preload",
            "{method} {path}"
        );
    }
}

fn reloads(house: &House, kind: &'static str) -> u64 {
    let label = KindLabel { kind };
    house
        .platform
        .metrics
        .certificate_reloads
        .get_or_create(&label)
        .get()
}

fn replace(from: &Path, to: &Path) {
    let beside = to.with_extension("new");
    std::fs::copy(from, &beside).unwrap();
    std::fs::rename(beside, to).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_certificate_is_shown_to_new_connections_and_old_ones_live_on() {
    let house = House::start(Engine::Sqlite).await;
    let mut old = open(&house, &house.authority).await.unwrap();
    assert_eq!(ask(&mut old, "/healthz", "").await.unwrap().status(), "200");
    let folder = tempfile::tempdir().unwrap();
    let new = Authority::in_folder(folder.path(), Clock::System.now()).unwrap();
    assert!(open(&house, &new).await.is_err());
    replace(&new.cert, &house.authority.cert);
    replace(&new.key, &house.authority.key);
    let mut fresh = eventually("the new certificate is shown", async || {
        open(&house, &new).await.ok()
    })
    .await;
    assert_eq!(ask(&mut fresh, "/healthz", "").await.unwrap().status(), "200");
    assert_eq!(ask(&mut old, "/healthz", "").await.unwrap().status(), "200");
    assert!(open(&house, &house.authority).await.is_err());
    assert!(reloads(&house, "loaded") >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_that_does_not_fit_changes_nothing() {
    let house = House::start(Engine::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let other = Authority::in_folder(folder.path(), Clock::System.now()).unwrap();
    for (number, content) in [std::fs::read(&other.key).unwrap(), b"nonsense".to_vec()]
        .iter()
        .enumerate()
    {
        std::fs::write(&house.authority.key, content).unwrap();
        let count = number as u64 + 1;
        eventually("the pair is refused", async || {
            (reloads(&house, "refused") >= count).then_some(())
        })
        .await;
        stays("the old certificate is shown", 5, async || {
            open(&house, &house.authority).await.is_ok()
        })
        .await;
    }
    assert_eq!(reloads(&house, "loaded"), 0);
}

async fn open(house: &House, authority: &Authority) -> Shaken {
    use rustls::pki_types::pem::PemObject as _;
    let root = rustls::pki_types::CertificateDer::from_pem_file(&authority.ca_cert).unwrap();
    let config = sealwright::platform::net::client_config(Default::default(), &[root]).unwrap();
    let stream = TcpStream::connect(house.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificates_remaining_time_and_the_connections_are_measured() {
    let house = Setup::new(Engine::Sqlite)
        .set("server.admin_listen", "127.0.0.1:0")
        .start()
        .await;
    let _open = open(&house, &house.authority).await.unwrap();
    let admin = house.admin_address().unwrap();
    eventually("metrics tell them", async || {
        let text = plain_get(admin, "/metrics").await;
        let value = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split(' ').nth(1)?.parse::<i64>().ok()
        };
        let left = value("sealwright_certificate_expires_seconds ")?;
        (left > 3600 && value("sealwright_connections ")? >= 1).then_some(())
    })
    .await;
}
