//! One connection, from its first byte to its end.

use super::exchange::{Door, exchange};
use super::heard::Heard;
use super::life::{Ending, Life};
use super::patience::Drained;
use super::peer::network_of;
use super::slots::Slot;
use super::tls::Version;
use super::{Shared, Transport, full, proxy};
use crate::limits::{
    H2_CONNECTION_WINDOW_BYTES, H2_LOCAL_RESETS_MAX, H2_PENDING_RESETS_MAX, H2_SEND_BUFFER_BYTES_MAX,
    H2_STREAM_WINDOW_BYTES, H2_STREAMS_MAX, PROXY_HEADER_TIMEOUT, REQUEST_HEAD_BYTES_MAX,
    REQUEST_HEADERS_MAX, TLS_HANDSHAKE_TIMEOUT,
};
use crate::platform::jobs::Stop;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

/// How often an HTTP/2 client has to show that it is still there.
const H2_PING_EVERY: Duration = Duration::from_secs(20);
/// How long a goodbye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that has its slot.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) stream: TcpStream,
    /// Of the TCP peer; of the client behind it once a PROXY header is read.
    pub(super) address: IpAddr,
    pub(super) life: Arc<Life>,
    pub(super) slot: Slot,
}

/// A connection on which HTTP can begin.
enum Entry {
    Tls(Box<TlsStream<Drained<TcpStream>>>, Version),
    Plain(Drained<TcpStream>),
}

impl Connection {
    /// Serves until either side ends it.
    pub(super) async fn run(self, router: Router, stop: Stop) {
        let shared = Arc::clone(&self.shared);
        let open = &shared.options.metrics.connections;
        open.inc();
        // Answers are small and should leave at once; a socket that refuses the option still works.
        let _ = self.stream.set_nodelay(true);
        let life = Arc::clone(&self.life);
        let entered = tokio::select! {
            entered = self.enter() => entered,
            ending = life.ended() => Err(ending.name()),
        };
        let closed = match entered {
            Ok((entry, address, _slot)) => {
                life.begin();
                let door = Door::new(Arc::clone(&shared), Arc::clone(&life), address, router);
                let ending = match entry {
                    Entry::Tls(stream, version) => http(*stream, version, door, life, stop).await,
                    Entry::Plain(stream) => http(stream, Version::Http1, door, life, stop).await,
                };
                ending.map(Ending::name)
            }
            Err(kind) => Some(kind),
        };
        if let Some(reason) = closed {
            tracing::debug!(reason, "a connection was closed");
            shared.count_closed(reason);
        }
        open.dec();
    }

    /// What comes before HTTP: the PROXY header and the handshake, each under a deadline.
    async fn enter(mut self) -> Result<(Entry, IpAddr, Slot), &'static str> {
        if self.shared.options.proxy_protocol {
            let source = timeout(PROXY_HEADER_TIMEOUT, proxy::source(&mut self.stream)).await;
            let source = source.map_err(|_| "proxy_header")?.map_err(|error| {
                tracing::debug!(%error, "a trusted proxy sent no good header");
                "proxy_header"
            })?;
            if let Some(source) = source {
                self.address = source;
                if !self.shared.options.trusted.holds(source) {
                    self.slot.name(network_of(source)).map_err(full)?;
                }
            }
        }
        let stall_max = self.shared.options.pace.answer_stall;
        let stream = Drained::new(self.stream, Arc::clone(&self.life), stall_max);
        let entry = match &self.shared.transport {
            Transport::Http | Transport::HttpOnce => Entry::Plain(stream),
            Transport::Https(tls) => match timeout(TLS_HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                Ok(Ok((stream, version))) => Entry::Tls(Box::new(stream), version),
                Ok(Err(error)) => return Err(error.name()),
                Err(_) => return Err("slow_handshake"),
            },
        };
        Ok((entry, self.address, self.slot))
    }
}

/// Speaks HTTP until the connection ends; tells why when it was us who ended it.
async fn http<S>(
    stream: S,
    version: Version,
    door: Arc<Door>,
    life: Arc<Life>,
    mut stop: Stop,
) -> Option<Ending>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let builder = builder(version);
    let stream = Heard::new(stream, version, Arc::clone(&life));
    let service = hyper::service::service_fn(move |request| exchange(Arc::clone(&door), request));
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut is_stopping = false;
    let ending = loop {
        tokio::select! {
            ended = serving.as_mut() => {
                let Err(error) = ended else {
                    return life.ending();
                };
                tracing::debug!(%error, "a connection ended early");
                return life.ending().or_else(|| ended_by_library(&*error));
            }
            ending = life.watch() => break ending,
            () = stop.wait(), if !is_stopping => {
                is_stopping = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    };
    if ending.is_gentle() {
        serving.as_mut().graceful_shutdown();
        // It is closed in any case.
        let _ = timeout(GOODBYE_TIMEOUT, serving).await;
    }
    Some(ending)
}

/// Why the HTTP/2 library ended a connection, if it did that by itself.
fn ended_by_library(error: &(dyn Error + 'static)) -> Option<Ending> {
    let mut causes = std::iter::successors(Some(error), |error| (*error).source());
    let error = causes.find_map(|error| error.downcast_ref::<h2::Error>())?;
    let reason = error
        .reason()
        .filter(|_| error.is_go_away() && error.is_library())?;
    Some(if reason == h2::Reason::ENHANCE_YOUR_CALM {
        Ending::Http2Flood
    } else {
        Ending::Http2Error
    })
}

/// Deadlines of heads and of kept connections are the connection's life's, so hyper's own are off.
fn builder(version: Version) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(REQUEST_HEADERS_MAX)
        .max_buf_size(REQUEST_HEAD_BYTES_MAX);
    // What is left at its default is bounded there: frames to 16 KiB, HPACK's table to 4 KiB, and CONTINUATION frames by the size of
    // the head that they make up.
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(REQUEST_HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(H2_PENDING_RESETS_MAX)
        .max_local_error_reset_streams(H2_LOCAL_RESETS_MAX)
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(H2_SEND_BUFFER_BYTES_MAX)
        .keep_alive_interval(H2_PING_EVERY)
        .keep_alive_timeout(H2_PING_EVERY);
    match version {
        Version::Http1 => builder.http1_only(),
        Version::Http2 => builder.http2_only(),
    }
}
