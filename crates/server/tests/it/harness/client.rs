//! A small HTTPS client that can send anything, right or wrong.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use sealwright::platform::net::{TlsMin, client_config};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Talks to one server, a new connection for each request.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    from: IpAddr,
    tls: TlsConnector,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// The body, which must be JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} with a body that is not JSON: {error}", self.status))
    }

    /// The value of a header, empty when absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Asserts the status and hands the JSON on.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self.json()
    }

    /// Code and param of a refusal with this status.
    #[track_caller]
    pub(crate) fn refusal(&self, status: u16) -> (String, String) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        let error = self.json()["error"].take();
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        assert!(!text("message").is_empty() && !text("docs").is_empty());
        assert_eq!(text("requestId"), self.header("x-request-id"));
        (text("code"), text("param"))
    }
}

impl Client {
    /// A client that trusts the authority in `ca_cert`.
    pub(crate) fn new(address: SocketAddr, ca_cert: &Path) -> Self {
        let root = CertificateDer::from_pem_file(ca_cert).unwrap();
        let config = client_config(TlsMin::V1_3, &[root]).unwrap();
        Self {
            address,
            from: IpAddr::from([127, 0, 0, 1]),
            tls: TlsConnector::from(Arc::clone(&config)),
        }
    }

    /// The same client at another address of this machine (all of 127.0.0.0/8 is).
    pub(crate) fn at(&self, from: [u8; 4]) -> Self {
        Self {
            from: IpAddr::from(from),
            ..self.clone()
        }
    }

    /// The same client, each request from an address of its own: for what a network is not heard with for long.
    pub(crate) fn everywhere(&self) -> Self {
        Self {
            from: IpAddr::from([0, 0, 0, 0]),
            ..self.clone()
        }
    }

    /// A connection of its own that speaks `protocol` (`h2` or `http/1.1`).
    pub(crate) async fn connect(&self, protocol: &str) -> TlsStream<TcpStream> {
        let mut config = rustls::ClientConfig::clone(self.tls.config());
        config.alpn_protocols = vec![protocol.into()];
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap()
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, mut request: Request<Full<Bytes>>) -> Reply {
        let headers = request.headers_mut();
        headers.insert("host", "localhost".parse().unwrap());
        headers.insert("connection", "close".parse().unwrap());
        let socket = TcpSocket::new_v4().unwrap();
        let from = if self.from.is_unspecified() {
            static NEXT: AtomicU32 = AtomicU32::new(1);
            let [.., high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            IpAddr::from([127, 16, high, low.clamp(1, 254)])
        } else {
            self.from
        };
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = self.tls.connect(name, stream).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        // The exchange itself says what went wrong on the connection.
        tokio::spawn(async move { drop(connection.await) });
        let response = sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        Reply {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    /// A request with a key, and JSON unless `body` is empty.
    pub(crate) async fn call(&self, method: Method, path: &str, key: &str, body: impl Into<Bytes>) -> Reply {
        let body = body.into();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {key}"));
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        self.send(request.body(Full::new(body)).unwrap()).await
    }

    /// A request with any headers, and JSON unless `body` is empty.
    pub(crate) async fn call_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let body = body.into();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        self.send(request.body(Full::new(body)).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str, key: &str) -> Reply {
        self.call(Method::GET, path, key, Bytes::new()).await
    }

    pub(crate) async fn delete(&self, path: &str, key: &str) -> Reply {
        self.call(Method::DELETE, path, key, Bytes::new()).await
    }

    pub(crate) async fn patch(&self, path: &str, key: &str, body: &Value) -> Reply {
        self.call(Method::PATCH, path, key, body.to_string()).await
    }

    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> Reply {
        self.call(Method::POST, path, key, body.to_string()).await
    }
}

/// The body of a plain HTTP answer, as the operator's listener gives it.
pub(crate) async fn plain_get(address: SocketAddr, path: &str) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    // As above.
    tokio::spawn(async move { drop(connection.await) });
    let request = Request::get(path)
        .header("host", "localhost")
        .body(Full::<Bytes>::default())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}
