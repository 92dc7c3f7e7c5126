//! The edge: listeners, TLS, and the limits of a connection.
//!
//! One accept loop per listener on hyper: a connection slot, a handshake under a deadline, HTTP/1.1 or HTTP/2 with bounded heads and
//! streams, a graceful end. Not here yet: limits per network, PROXY protocol, certificate reload, the request firewall.

mod tls;

pub use tls::{Authority, TlsSettingError, server_config};

use crate::limits::{H2_STREAMS_MAX, REQUEST_HEAD_BYTES_MAX, REQUEST_HEAD_TIMEOUT, TLS_HANDSHAKE_TIMEOUT};
use crate::platform::jobs::Stop;
use axum::Router;
use hyper::service::Service as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsAcceptor;

/// How often an HTTP/2 client has to show that it is still there.
const H2_PING_EVERY: Duration = Duration::from_secs(20);
/// Rest after the system refused a new connection (out of descriptors, usually).
const REST_AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(50);

/// Who is at the other end; every request carries it as an extension.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The client's address.
    pub address: IpAddr,
}

/// A listener that is bound and not accepting yet.
pub struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    connections_max: usize,
}

impl Listener {
    /// Binds. Without `tls` the listener speaks plain HTTP: only for the operator's own network.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
        connections_max: usize,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        Ok(Self {
            socket,
            tls: tls.map(TlsAcceptor::from),
            connections_max,
        })
    }

    /// The address that was bound.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until stopped, then waits up to `grace` for requests under way.
    pub async fn serve(self, router: Router, mut stop: Stop, grace: Duration) {
        let slots = Arc::new(Semaphore::new(self.connections_max));
        let graceful = Arc::new(GracefulShutdown::new());
        loop {
            let accepted = tokio::select! {
                slot = Arc::clone(&slots).acquire_owned() => {
                    let Ok(slot) = slot else { break };
                    tokio::select! {
                        accepted = self.socket.accept() => accepted.map(|(stream, from)| (stream, from, slot)),
                        () = stop.wait() => break,
                    }
                }
                () = stop.wait() => break,
            };
            let (stream, from, slot) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(REST_AFTER_ACCEPT_ERROR).await;
                    continue;
                }
            };
            let (tls, router, watcher) = (self.tls.clone(), router.clone(), graceful.watcher());
            tokio::spawn(async move {
                let address = from.ip().to_canonical();
                connection(stream, Peer { address }, tls, router, watcher).await;
                drop(slot);
            });
        }
        drop(self.socket);
        let graceful = Arc::try_unwrap(graceful).unwrap_or_default();
        // Connections that outlive the grace end with the process.
        let _ = tokio::time::timeout(grace, graceful.shutdown()).await;
    }
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    tls: Option<TlsAcceptor>,
    router: Router,
    watcher: Watcher,
) {
    // Answers are small and should leave at once; a socket that refuses the option still works.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return http(stream, peer, Version::Http1, router, watcher).await;
    };
    match tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let version = if is_http2 { Version::Http2 } else { Version::Http1 };
            http(stream, peer, version, router, watcher).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

/// Settled by the handshake (ALPN, RFC 7301), never guessed from a client's first bytes.
enum Version {
    Http1,
    Http2,
}

async fn http<S>(stream: S, peer: Peer, version: Version, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEAD_TIMEOUT)
        .max_buf_size(REQUEST_HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(REQUEST_HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(H2_PING_EVERY)
        .keep_alive_timeout(H2_PING_EVERY);
    let builder = match version {
        Version::Http1 => builder.http1_only(),
        Version::Http2 => builder.http2_only(),
    };
    // hyper's own deadlines begin with a request's first byte; a client that never sends one would hold its connection for ever.
    let was_used = Arc::new(Notify::new());
    let first = Arc::clone(&was_used);
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        first.notify_one();
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    let serving = std::pin::pin!(watcher.watch(serving.into_owned()));
    let unused = async {
        if tokio::time::timeout(REQUEST_HEAD_TIMEOUT, was_used.notified())
            .await
            .is_ok()
        {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = serving => if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        },
        () = unused => tracing::debug!("a connection without a request was closed"),
    }
}
