//! Certificates by ACME, with Pebble as the authority: the test server of the people who run Let's Encrypt.

use super::{ask, connect, said_until_closed};
use crate::harness::{Client, Engine, House, NameServer, Said, Setup, eventually, plain_get};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use sealwright::clock::Clock;
use sealwright::entry::edge::Authority;
use sealwright::metrics::KindLabel;
use sealwright::platform::net::{TlsMin, client_config};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const NAME: &str = "mail.acme.example";

/// A port that was free a moment ago. Pebble has to be told its ports and ours before either of us listens.
/// A port for a server that has to be told one. Below those that the system hands out (`ip_local_port_range`), or another test's
/// connection could take it in between.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 100).unwrap() * 100;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A running authority; killed when dropped.
struct Pebble {
    child: Child,
    authority: Authority,
    directory: u16,
    management: u16,
    /// Where it looks for our answers.
    tls_port: u16,
    http_port: u16,
    _names: NameServer,
    _folder: TempDir,
}

impl Pebble {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::in_folder(folder.path(), Clock::System.now()).unwrap();
        let names = NameServer::start(|_, kind| match kind {
            crate::harness::DNS_A => Said::Addresses(vec![Ipv4Addr::LOCALHOST]),
            _ => Said::Nothing,
        })
        .await;
        let [directory, management, tls_port, http_port] = std::array::from_fn(|_| free_port());
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{directory}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": authority.cert,
            "privateKey": authority.key,
            "httpPort": http_port,
            "tlsPort": tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        let path = folder.path().join("pebble.json");
        std::fs::write(&path, config.to_string()).unwrap();
        let child = Command::new("pebble")
            .arg("-config")
            .arg(&path)
            .arg("-dnsserver")
            .arg(names.address.to_string())
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pebble is not installed: tools/install-test-deps.sh");
        let pebble = Self {
            child,
            authority,
            directory,
            management,
            tls_port,
            http_port,
            _names: names,
            _folder: folder,
        };
        eventually("pebble listens", async || {
            TcpStream::connect(("127.0.0.1", directory)).await.ok()
        })
        .await;
        pebble
    }

    /// A house whose certificate comes from here.
    fn setup(&self, challenge: &str) -> Setup {
        without_certificate(self.directory, &self.authority)
            .set("server.listen", format!("127.0.0.1:{}", self.tls_port))
            .set("server.http_listen", format!("127.0.0.1:{}", self.http_port))
            .set("acme.challenge", challenge)
    }

    /// The authority's root, made anew each time that it starts.
    async fn root(&self) -> CertificateDer<'static> {
        let management = SocketAddr::from(([127, 0, 0, 1], self.management));
        let client = Client::new(management, &self.authority.ca_cert);
        let reply = client.get("/roots/0", "").await;
        CertificateDer::from_pem_slice(&reply.body).unwrap()
    }

    /// A connection that trusts this authority and nobody else beside the public ones.
    async fn open(&self, house: &House) -> std::io::Result<TlsStream<TcpStream>> {
        let config = client_config(TlsMin::V1_3, &[self.root().await]).unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        let stream = TcpStream::connect(house.address()).await?;
        TlsConnector::from(config).connect(name, stream).await
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn without_certificate(directory: u16, authority: &Authority) -> Setup {
    Setup::new(Engine::Sqlite)
        .set("server.tls_cert", "")
        .set("server.tls_key", "")
        .set("server.admin_listen", "127.0.0.1:0")
        .set("acme.names", format!("{NAME},WWW.acme.example"))
        .set("acme.directory", format!("https://localhost:{directory}/dir"))
        .set("acme.ca", authority.ca_cert.display().to_string())
        .set("acme.contact", "operator@acme.example")
        .set("acme.terms_accepted", "true")
}

fn orders(house: &House, kind: &'static str) -> u64 {
    let label = KindLabel { kind };
    house.platform.metrics.acme_orders.get_or_create(&label).get()
}

async fn readiness(house: &House) -> String {
    plain_get(house.admin_address().unwrap(), "/readyz").await
}

async fn has_certificate(pebble: &Pebble, house: &House) {
    let mut stream = eventually("there is a certificate", async || {
        assert_eq!(orders(house, "failed"), 0);
        pebble.open(house).await.ok()
    })
    .await;
    assert_eq!(ask(&mut stream, "/healthz", "").await.unwrap().status(), "200");
    eventually("the house is ready", async || {
        (readiness(house).await == "ready\n").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_obtained_over_tls_kept_and_used_again() {
    let pebble = Pebble::start().await;
    let mut house = pebble.setup("tls-alpn-01").start().await;
    has_certificate(&pebble, &house).await;
    assert_eq!(orders(&house, "succeeded"), 1);
    let folder = house.folder.path().join("acme");
    for (path, mode) in [("", 0o700), ("account.json", 0o600), ("certificate.pem", 0o600)] {
        let facts = std::fs::metadata(folder.join(path)).unwrap();
        assert_eq!(facts.permissions().mode() & 0o777, mode, "{path}");
    }
    let kept = std::fs::read(folder.join("certificate.pem")).unwrap();
    house.stop().await;
    house
        .restart(house.config.clone(), sealwright::app::Roles::ALL)
        .await;
    has_certificate(&pebble, &house).await;
    assert_eq!(orders(&house, "succeeded"), 0, "the kept one is as good");
    assert_eq!(std::fs::read(folder.join("certificate.pem")).unwrap(), kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_obtained_over_the_plain_listener() {
    let pebble = Pebble::start().await;
    let house = pebble.setup("http-01").start().await;
    has_certificate(&pebble, &house).await;
    let mut plain = connect(house.http_address().unwrap(), "127.0.0.1").await;
    assert_eq!(ask(&mut plain, "/", "").await.unwrap().code(), "https_required");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_when_two_thirds_of_its_life_are_over() {
    let pebble = Pebble::start().await;
    let clock = Clock::manual(Clock::System.now());
    let house = pebble.setup("tls-alpn-01").clock(&clock).start().await;
    has_certificate(&pebble, &house).await;
    let mut old = pebble.open(&house).await.unwrap();
    let shown = |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    // Pebble's certificates live for five years.
    clock.advance(Duration::from_secs(4 * 365 * 86_400));
    eventually("another certificate is shown", async || {
        let new = pebble.open(&house).await.unwrap();
        (shown(&new) != shown(&old)).then_some(())
    })
    .await;
    assert_eq!(orders(&house, "succeeded"), 2);
    assert_eq!(ask(&mut old, "/healthz", "").await.unwrap().status(), "200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_first_certificate_the_server_runs_and_says_that_it_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::in_folder(folder.path(), Clock::System.now()).unwrap();
    let house = without_certificate(free_port(), &authority).start().await;
    eventually("an order has failed", async || {
        (orders(&house, "failed") == 1).then_some(())
    })
    .await;
    assert!(readiness(&house).await.contains("no certificate"));
    let config = client_config(TlsMin::V1_3, &[]).unwrap();
    let stream = TcpStream::connect(house.address()).await.unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    let error = TlsConnector::from(config)
        .connect(name, stream)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("HandshakeFailure"), "{error}");
    let mut plain = TcpStream::connect(house.address()).await.unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    assert!(!said_until_closed(&mut plain).await.starts_with(b"HTTP"));
}
