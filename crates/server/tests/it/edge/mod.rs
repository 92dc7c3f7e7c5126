//! The edge, from outside: real sockets from several loopback addresses, real TLS and HTTP clients, and bytes written by hand where no
//! client would write them. No row is touched, so one engine is enough where the whole house is needed.

mod acme;
mod connections;
mod forwarded;
mod frames;
mod framing;
mod http2;
mod pace;
mod plain;
mod tls;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Extension;
use axum::routing::{get, post};
use http_body_util::BodyExt as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use sealwright::clock::Clock;
use sealwright::config::Settings;
use sealwright::entry::edge::{Authority, Listener, Options, Peer, Tls, Transport};
use sealwright::metrics::{KindLabel, Metrics};
use sealwright::platform::jobs::Stop;
use sealwright::platform::net::{TlsMin, client_config};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// More than any socket's buffers take.
const BIG_BYTES: usize = 32 * 1024 * 1024;
/// How long a connection that has to be closed may take to be.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A listener of the edge with a router that shows what reaches it.
pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    pub(crate) authority: Authority,
    metrics: Arc<Metrics>,
    /// `/wait` answers when it gets a permit.
    gate: Arc<Semaphore>,
    _folder: tempfile::TempDir,
    _stop: watch::Sender<bool>,
}

impl Stage {
    /// Starts with the limits of the field, changed.
    pub(crate) async fn start(change: impl FnOnce(&mut Options)) -> Self {
        Self::start_with("1.3", change).await
    }

    pub(crate) async fn start_with(tls_min: &str, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::in_folder(folder.path(), Clock::System.now()).unwrap();
        let settings = [
            ("server.tls_cert", authority.cert.display().to_string()),
            ("server.tls_key", authority.key.display().to_string()),
            ("server.tls_min", tls_min.to_owned()),
        ];
        let settings = settings
            .into_iter()
            .fold(Settings::default(), |all, (key, value)| {
                all.with(key, value).unwrap()
            });
        let tls = Tls::from_files(&settings.config().unwrap().server).unwrap();
        let mut options = Options::private(1000);
        change(&mut options);
        let metrics = Arc::clone(&options.metrics);
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(any_port, Transport::Https(tls), options).await;
        let listener = listener.unwrap();
        let address = listener.address().unwrap();
        let (stop, stopped) = Stop::new();
        let gate = Arc::new(Semaphore::new(0));
        tokio::spawn(listener.serve(router(Arc::clone(&gate)), stopped, Duration::ZERO));
        Self {
            address,
            authority,
            metrics,
            gate,
            _folder: folder,
            _stop: stop,
        }
    }

    /// A connection from a loopback address.
    pub(crate) async fn tcp(&self, from: &str) -> TcpStream {
        connect(self.address, from).await
    }

    /// An HTTP/1.1 connection from a loopback address.
    pub(crate) async fn tls(&self, from: &str) -> TlsStream<TcpStream> {
        let stream = self.tcp(from).await;
        self.secure(stream, "http/1.1").await.unwrap()
    }

    /// TLS over a connection that is open already.
    pub(crate) async fn secure<S>(&self, stream: S, protocol: &str) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut config = self.client_config();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    pub(crate) fn client_config(&self) -> rustls::ClientConfig {
        let root = CertificateDer::from_pem_file(&self.authority.ca_cert).unwrap();
        (*client_config(TlsMin::V1_2, &[root]).unwrap()).clone()
    }

    /// How many connections were closed for this reason.
    pub(crate) fn closed(&self, kind: &'static str) -> u64 {
        let label = KindLabel { kind };
        self.metrics.connections_closed.get_or_create(&label).get()
    }

    /// How many requests were refused for this reason.
    pub(crate) fn refused(&self, kind: &'static str) -> u64 {
        let label = KindLabel { kind };
        self.metrics.requests_refused.get_or_create(&label).get()
    }

    /// Lets so many requests to `/wait` go.
    pub(crate) fn release(&self, count: usize) {
        self.gate.add_permits(count);
    }
}

fn router(gate: Arc<Semaphore>) -> Router {
    let wait = async move || {
        gate.acquire().await.unwrap().forget();
        "waited"
    };
    Router::new()
        .route(
            "/peer",
            get(async |Extension(peer): Extension<Peer>| peer.address.to_string()),
        )
        .route("/wait", get(wait))
        .route("/big", get(async || Bytes::from(vec![b'x'; BIG_BYTES])))
        .route("/read", post(read))
}

async fn read(body: Body) -> String {
    match body.collect().await {
        Ok(body) => body.to_bytes().len().to_string(),
        Err(error) => error.to_string(),
    }
}

/// A connection from a loopback address.
pub(crate) async fn connect(to: SocketAddr, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    // Bytes by hand go out in small pieces, each of which has to arrive now.
    socket.set_nodelay(true).unwrap();
    socket.connect(to).await.unwrap()
}

/// An answer on HTTP/1.1: its head in lower case, and its content.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Told {
    pub(crate) fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of a header, `None` when absent.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// The code of a refusal.
    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["error"]["requestId"].as_str(), self.header("x-request-id"));
        body["error"]["code"].as_str().unwrap().to_owned()
    }
}

/// Reads one answer; `None` when the connection ends first.
pub(crate) async fn answer<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Told> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    let mut told = Told {
        head: String::from_utf8(head).unwrap().to_ascii_lowercase(),
        body: String::new(),
    };
    let length = told
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    told.body = String::from_utf8(body).unwrap();
    Some(told)
}

/// One request without a body, and its answer.
pub(crate) async fn ask<S>(stream: &mut S, path: &str, headers: &str) -> Option<Told>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    answer(stream).await
}

/// Waits for the end of a connection and returns what was said until then.
pub(crate) async fn said_until_closed<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut said = Vec::new();
    let closed = tokio::time::timeout(CLOSE_TIMEOUT, stream.read_to_end(&mut said)).await;
    // An error is an end too: a reset, or TLS without its farewell.
    assert!(closed.is_ok(), "the connection is still open");
    said
}
