//! The HTTPS client: one request, one bounded answer.

#![allow(
    clippy::disallowed_methods,
    reason = "durations of network steps only; nothing here is a stored time"
)]

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, timeout};

use super::connect::{Connector, rustls_error, tls_reason};
use super::dns::Dns;
use super::guard::Guard;
use super::pool::{Connection, Key, Pool};
use super::tls::{TlsMin, TlsSetupError, TlsVersion, client_config};
use super::url::HttpsUrl;

/// How long an exchange may take when its caller has no better number.
pub const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of a response body is read, in bytes, unless the caller says otherwise.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a kept connection may take to finish with its previous request.
const READY_TIMEOUT: Duration = Duration::from_millis(250);

/// Settings of an [`HttpClient`].
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Addresses to send from, used in turn; empty leaves the choice to the system. When set, only
    /// hosts with an address of the same family can be reached.
    pub local: Vec<IpAddr>,
    /// Authorities to trust beside Mozilla's: an operator's private one.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// The `User-Agent` of requests that bring none.
    pub user_agent: HeaderValue,
}

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig {
            local: Vec::new(),
            extra_roots: Vec::new(),
            user_agent: HeaderValue::from_static("Sealwright"),
        }
    }
}

/// Sends requests to servers on the public internet and keeps its connections for the next one.
///
/// Clones share their connections. Redirects are answers like any other, `*_PROXY` variables are
/// not read, and bodies are opaque: no encoding is asked for and none is undone.
#[derive(Clone)]
pub struct HttpClient {
    shared: Arc<Shared>,
    guard: Arc<Guard>,
}

struct Shared {
    connector: Connector,
    pool: Arc<Pool>,
    user_agent: HeaderValue,
}

/// A request to be sent.
pub struct Outgoing<'a> {
    /// Where to.
    pub url: &'a HttpsUrl,
    /// Fields beside those the client sets itself: `Host`, `Content-Length` and everything about
    /// the connection or encodings, which are dropped when they are given here.
    pub headers: HeaderMap,
    /// The content; ignored by [`HttpClient::get`] and [`HttpClient::head`].
    pub body: Bytes,
    /// How long everything together may take, from the look-up to the last byte read.
    pub timeout: Duration,
    /// The least TLS version.
    pub min_tls: TlsMin,
}

/// What the server answered.
#[derive(Clone)]
pub struct Answer {
    /// The status, 3xx included.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The content, as it was sent, at most [`BODY_BYTES_MAX`] or as much as was asked for.
    pub body: Bytes,
    /// Whether there was more content than `body` holds.
    pub truncated: bool,
    /// From the call to the last byte read.
    pub elapsed: Duration,
    /// The version of TLS; none for plain HTTP to a loopback address.
    pub tls_version: Option<TlsVersion>,
    /// The address that answered.
    pub remote: IpAddr,
    /// What opening the connection took; none when a kept one was used.
    pub opening: Option<Opening>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Header and content are somebody's data.
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .field("truncated", &self.truncated)
            .field("elapsed", &self.elapsed)
            .finish_non_exhaustive()
    }
}

/// The steps of opening a connection.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// Resolving the host's name.
    pub resolve: Duration,
    /// Connecting, including addresses that failed.
    pub connect: Duration,
    /// The TLS handshake.
    pub handshake: Duration,
}

/// Why there is no answer. The texts may be shown to the owner of the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpFailure {
    /// The host cannot be the name of a TLS server.
    #[error("the URL's host cannot be used")]
    Url,
    /// The host's name has no address, or not now.
    #[error("the host name {}", if *.temporary { "could not be resolved" } else { "has no address" })]
    Dns {
        /// Whether it may have one later.
        temporary: bool,
    },
    /// The host has an address that the guard refuses.
    #[error("the host has an address that is not on the public internet")]
    RefusedAddress,
    /// No address took the connection.
    #[error("{reason}")]
    Connect {
        /// What the last address tried did.
        reason: &'static str,
    },
    /// TLS failed: certificate, version or handshake.
    #[error("{reason}")]
    Tls {
        /// What was wrong.
        reason: &'static str,
    },
    /// It took longer than it may.
    #[error("the server did not answer completely in time")]
    Timeout,
    /// What came back is not an HTTP/1.1 answer, or stopped in the middle of one.
    #[error("{reason}")]
    Protocol {
        /// What was wrong.
        reason: &'static str,
    },
}

impl HttpFailure {
    /// The stable name used in the API and in metrics.
    pub fn code(&self) -> &'static str {
        match self {
            HttpFailure::Url => "url_error",
            HttpFailure::Dns { .. } => "dns_error",
            HttpFailure::RefusedAddress => "refused_address",
            HttpFailure::Connect { .. } => "connect_error",
            HttpFailure::Tls { .. } => "tls_error",
            HttpFailure::Timeout => "timeout",
            HttpFailure::Protocol { .. } => "protocol_error",
        }
    }

    /// Whether the request may have reached the server, which may have done what it asks for.
    pub fn may_have_arrived(&self) -> bool {
        match self {
            HttpFailure::Url
            | HttpFailure::Dns { .. }
            | HttpFailure::RefusedAddress
            | HttpFailure::Connect { .. }
            | HttpFailure::Tls { .. } => false,
            HttpFailure::Timeout | HttpFailure::Protocol { .. } => true,
        }
    }

    fn of(error: &hyper::Error) -> HttpFailure {
        // Not `Tls`: the request may have left by now, and the server may have taken it.
        let reason = if let Some(error) = rustls_error(error) {
            tls_reason(error)
        } else if error.is_parse_too_large() {
            "the response header is too large"
        } else if error.is_parse() {
            "the response is not valid HTTP/1.1"
        } else {
            "the connection was closed before the response was complete"
        };
        HttpFailure::Protocol { reason }
    }
}

impl HttpClient {
    /// Sets the client up; connects to nothing yet.
    ///
    /// # Errors
    /// [`TlsSetupError`] when an extra root is not a certificate.
    pub fn new(guard: Guard, dns: Dns, config: HttpConfig) -> Result<HttpClient, TlsSetupError> {
        let connector = Connector {
            dns,
            tls_1_3: client_config(TlsMin::V1_3, &config.extra_roots)?,
            tls_1_2: client_config(TlsMin::V1_2, &config.extra_roots)?,
            local: config.local,
            next_local: AtomicUsize::new(0),
        };
        let shared = Shared {
            connector,
            pool: Arc::default(),
            user_agent: config.user_agent,
        };
        Ok(HttpClient {
            shared: Arc::new(shared),
            guard: Arc::new(guard),
        })
    }

    /// The same client and connections under another guard: for an organization whose receivers
    /// are on a private network. A kept connection is used only if this guard allows its address.
    #[must_use]
    pub fn with_guard(&self, guard: Guard) -> HttpClient {
        HttpClient {
            shared: Arc::clone(&self.shared),
            guard: Arc::new(guard),
        }
    }

    /// Sends a POST and reads the answer. It is sent at most once, so a failure after
    /// [`HttpFailure::Connect`] and its like does not say that the server did nothing.
    ///
    /// # Errors
    /// [`HttpFailure`] when there is no complete answer; an answer with any status is a success.
    pub async fn post(&self, request: Outgoing<'_>) -> Result<Answer, HttpFailure> {
        self.exchange(Method::POST, request, BODY_BYTES_MAX).await
    }

    /// Sends a GET and reads the answer.
    ///
    /// # Errors
    /// As [`HttpClient::post`].
    pub async fn get(&self, request: Outgoing<'_>) -> Result<Answer, HttpFailure> {
        self.get_up_to(request, BODY_BYTES_MAX).await
    }

    /// Sends a GET and reads the answer, of its content up to `bytes_max`.
    ///
    /// # Errors
    /// As [`HttpClient::post`].
    pub async fn get_up_to(&self, request: Outgoing<'_>, bytes_max: usize) -> Result<Answer, HttpFailure> {
        let request = Outgoing {
            body: Bytes::new(),
            ..request
        };
        self.exchange(Method::GET, request, bytes_max).await
    }

    /// Sends a HEAD and reads the answer, which has no content.
    ///
    /// # Errors
    /// As [`HttpClient::post`].
    pub async fn head(&self, request: Outgoing<'_>) -> Result<Answer, HttpFailure> {
        let request = Outgoing {
            body: Bytes::new(),
            ..request
        };
        self.exchange(Method::HEAD, request, BODY_BYTES_MAX).await
    }

    async fn exchange(
        &self,
        method: Method,
        outgoing: Outgoing<'_>,
        bytes_max: usize,
    ) -> Result<Answer, HttpFailure> {
        let started = Instant::now();
        let Outgoing {
            url,
            headers,
            body,
            timeout: limit,
            min_tls,
        } = outgoing;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url.target();
        *request.headers_mut() = self.own_headers(headers, url);
        let key = Key {
            origin: url.origin_key(),
            min_tls,
        };
        let steps = self.reuse_or_open(request, url, &key, bytes_max);
        let mut answer = timeout(limit, steps).await.map_err(|_| HttpFailure::Timeout)??;
        answer.elapsed = started.elapsed();
        Ok(answer)
    }

    fn own_headers(&self, mut headers: HeaderMap, url: &HttpsUrl) -> HeaderMap {
        for name in CLIENT_FIELDS {
            headers.remove(name);
        }
        headers.insert(header::HOST, url.host_header());
        if !headers.contains_key(header::USER_AGENT) {
            headers.insert(header::USER_AGENT, self.shared.user_agent.clone());
        }
        headers
    }

    /// Uses kept connections until one takes the request, or else a new one.
    async fn reuse_or_open(
        &self,
        mut request: Request<Full<Bytes>>,
        url: &HttpsUrl,
        key: &Key,
        bytes_max: usize,
    ) -> Result<Answer, HttpFailure> {
        while let Some(connection) = self.shared.pool.take(key) {
            if self.guard.check(connection.remote).is_err() {
                continue; // opened under a guard that allows more than this one
            }
            match self.send(key, connection, request, None, bytes_max).await? {
                Sent::Answered(answer) => return Ok(answer),
                Sent::Not(back) => request = back,
            }
        }
        let (connection, opening) = self.shared.connector.open(&self.guard, url, key.min_tls).await?;
        match self
            .send(key, connection, request, Some(opening), bytes_max)
            .await?
        {
            Sent::Answered(answer) => Ok(answer),
            Sent::Not(_) => Err(HttpFailure::Protocol {
                reason: "the server closed the connection before the request was sent",
            }),
        }
    }

    async fn send(
        &self,
        key: &Key,
        mut connection: Connection,
        request: Request<Full<Bytes>>,
        opening: Option<Opening>,
        bytes_max: usize,
    ) -> Result<Sent, HttpFailure> {
        if !connection.sender.is_ready() {
            let ready = timeout(READY_TIMEOUT, connection.sender.ready()).await;
            if !matches!(ready, Ok(Ok(()))) {
                return Ok(Sent::Not(request));
            }
        }
        let response = match connection.sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut refused) => {
                return match refused.take_message() {
                    Some(request) => Ok(Sent::Not(request)),
                    None => Err(HttpFailure::of(refused.error())),
                };
            }
        };
        let answer = self
            .receive(key, connection, response, opening, bytes_max)
            .await?;
        Ok(Sent::Answered(answer))
    }

    async fn receive(
        &self,
        key: &Key,
        connection: Connection,
        response: Response<Incoming>,
        opening: Option<Opening>,
        bytes_max: usize,
    ) -> Result<Answer, HttpFailure> {
        let (head, body) = response.into_parts();
        let (body, truncated) = read_body(body, bytes_max).await?;
        let answer = Answer {
            status: head.status,
            headers: head.headers,
            body,
            truncated,
            elapsed: Duration::ZERO,
            tls_version: connection.tls,
            remote: connection.remote,
            opening,
        };
        if !truncated {
            let announced = keep_alive(&answer.headers);
            self.shared.pool.put(key.clone(), connection, announced);
        }
        Ok(answer)
    }

    #[cfg(test)]
    pub(super) fn idle_count(&self) -> usize {
        self.shared.pool.idle_count()
    }
}

/// What became of a request given to a connection.
enum Sent {
    Answered(Answer),
    /// Not a byte of it left; it may go elsewhere.
    Not(Request<Full<Bytes>>),
}

/// Fields that describe this connection or how we read, whatever a caller or its customer says:
/// letting them through would make two requests of one (RFC 9112 §11.2) or bring compressed bodies.
const CLIENT_FIELDS: [HeaderName; 12] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

async fn read_body(mut body: Incoming, bytes_max: usize) -> Result<(Bytes, bool), HttpFailure> {
    let mut read = BytesMut::new();
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else {
            break;
        };
        let frame = frame.map_err(|error| HttpFailure::of(&error))?;
        let Ok(data) = frame.into_data() else {
            continue; // trailers
        };
        let room = bytes_max - read.len();
        read.extend_from_slice(data.get(..room).unwrap_or(&data));
        if data.len() > room {
            return Ok((read.freeze(), true));
        }
    }
    Ok((read.freeze(), false))
}

/// The idle time a server announces, as in `Keep-Alive: timeout=5`.
fn keep_alive(headers: &HeaderMap) -> Option<Duration> {
    let field = headers.get("keep-alive")?.to_str().ok()?;
    let mut parameters = field.split(',').filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))?;
    let seconds: u32 = value.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.into()))
}
