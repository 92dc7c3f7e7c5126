//! Opening a connection: resolve, check, connect to what was checked, TLS, HTTP.

#![allow(
    clippy::disallowed_methods,
    reason = "durations of network steps only; nothing here is a stored time"
)]

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::dns::Dns;
use super::guard::Guard;
use super::http::{HttpFailure, Opening};
use super::pool::Connection;
use super::tls::{TlsMin, TlsVersion};
use super::url::{Host, HttpsUrl};

/// How long one address is given to accept the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How many addresses of a host are tried.
const ADDRESSES_TRIED_MAX: usize = 4;

/// How long the TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest response header, in bytes.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Everything that opening a connection needs beside the URL.
pub(super) struct Connector {
    pub(super) dns: Dns,
    pub(super) tls_1_3: Arc<ClientConfig>,
    pub(super) tls_1_2: Arc<ClientConfig>,
    /// Addresses to send from, in turn; empty leaves the choice to the system.
    pub(super) local: Vec<IpAddr>,
    pub(super) next_local: AtomicUsize,
}

impl Connector {
    /// Opens a connection to the server of `url`.
    pub(super) async fn open(
        &self,
        guard: &Guard,
        url: &HttpsUrl,
        min_tls: TlsMin,
    ) -> Result<(Connection, Opening), HttpFailure> {
        let started = Instant::now();
        let addresses = self.checked_addresses(guard, url).await?;
        let resolved = Instant::now();
        let (tcp, remote) = self.connect_first(&addresses, url.port()).await?;
        let connected = Instant::now();
        let connection = if url.is_plain() {
            speak_http(tcp, remote, None).await?
        } else {
            self.secure(tcp, remote, url, min_tls).await?
        };
        let opening = Opening {
            resolve: resolved - started,
            connect: connected - resolved,
            handshake: connected.elapsed(),
        };
        Ok((connection, opening))
    }

    /// The addresses of the host, all of which the guard has passed. Nothing is looked up after
    /// this, so there is no second answer that could differ.
    async fn checked_addresses(&self, guard: &Guard, url: &HttpsUrl) -> Result<Vec<IpAddr>, HttpFailure> {
        let addresses = match url.host() {
            Host::Ip(ip) => vec![*ip],
            Host::Name(name) => {
                let answer = self.dns.lookup_ip(name).await;
                answer.map_err(|error| HttpFailure::Dns {
                    temporary: error.temporary,
                })?
            }
        };
        match guard.check_all(&addresses) {
            Ok(()) => Ok(addresses),
            Err(refused) => {
                tracing::debug!(range = refused.range(), "outgoing connection refused");
                Err(HttpFailure::RefusedAddress)
            }
        }
    }

    async fn connect_first(
        &self,
        addresses: &[IpAddr],
        port: u16,
    ) -> Result<(TcpStream, IpAddr), HttpFailure> {
        let mut failure = HttpFailure::Connect {
            reason: "no address that can be reached from the configured source addresses",
        };
        let reachable = addresses
            .iter()
            .filter_map(|ip| Some((*ip, self.source_for(*ip)?)));
        for (ip, source) in reachable.take(ADDRESSES_TRIED_MAX) {
            let attempt = connect(SocketAddr::new(ip, port), source);
            match timeout(CONNECT_TIMEOUT, attempt).await {
                Ok(Ok(tcp)) => return Ok((tcp, ip)),
                Ok(Err(error)) => {
                    failure = HttpFailure::Connect {
                        reason: connect_reason(&error),
                    };
                }
                Err(_) => {
                    failure = HttpFailure::Connect {
                        reason: "the connection was not accepted in time",
                    };
                }
            }
        }
        Err(failure)
    }

    /// The address to send from when going to `remote`: `Some(None)` is the system's choice,
    /// `None` means that no configured address is of that family.
    fn source_for(&self, remote: IpAddr) -> Option<Option<IpAddr>> {
        if self.local.is_empty() {
            return Some(None);
        }
        let same_family = || self.local.iter().filter(|ip| ip.is_ipv4() == remote.is_ipv4());
        let turn = self.next_local.fetch_add(1, Ordering::Relaxed);
        let choices = same_family().count();
        same_family().nth(turn.checked_rem(choices)?).map(|ip| Some(*ip))
    }

    async fn secure(
        &self,
        tcp: TcpStream,
        remote: IpAddr,
        url: &HttpsUrl,
        min_tls: TlsMin,
    ) -> Result<Connection, HttpFailure> {
        let config = match min_tls {
            TlsMin::V1_3 => &self.tls_1_3,
            TlsMin::V1_2 => &self.tls_1_2,
        };
        let name = url.server_name().ok_or(HttpFailure::Url)?;
        let handshake = TlsConnector::from(Arc::clone(config)).connect(name, tcp);
        match timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => {
                let version = TlsVersion::of(stream.get_ref().1.protocol_version());
                speak_http(stream, remote, version).await
            }
            Ok(Err(error)) => Err(HttpFailure::Tls {
                reason: rustls_error(&error).map_or("the TLS handshake broke off", tls_reason),
            }),
            Err(_) => Err(HttpFailure::Timeout),
        }
    }
}

/// Finds the TLS error inside an I/O or HTTP error.
pub(super) fn rustls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    // An I/O error shows what it wraps through `get_ref`; its `source` skips that level.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match wrapped {
        Some(inner) => rustls_error(inner),
        None => rustls_error(error.source()?),
    }
}

/// A TLS failure in words for the owner of the receiving server.
pub(super) fn tls_reason(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate_reason(error),
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            "the server does not offer the required TLS version or cipher suites"
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::UnknownCA) => {
            "the server asks for a client certificate"
        }
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            "the server does not know the host name"
        }
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "the server does not speak HTTP/1.1"
        }
        rustls::Error::AlertReceived(_) => "the server refused the TLS handshake",
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS on this port",
        _ => "the TLS handshake failed",
    }
}

fn certificate_reason(error: &CertificateError) -> &'static str {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, Revoked, UnknownIssuer,
    };
    match error {
        Expired | ExpiredContext { .. } => "the server's certificate has expired",
        NotValidYet | NotValidYetContext { .. } => "the server's certificate is not valid yet",
        NotValidForName | NotValidForNameContext { .. } => "the server's certificate is for another name",
        // A bad signature is an authority that bears the name of a known one.
        UnknownIssuer | BadSignature => {
            "the server's certificate is not from a known authority (self-signed, or an intermediate is missing)"
        }
        Revoked => "the server's certificate has been revoked",
        _ => "the server's certificate is not valid",
    }
}

async fn connect(remote: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = match remote {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    // Requests are written whole; waiting for more would only delay them.
    socket.set_nodelay(true)?;
    socket.connect(remote).await
}

fn connect_reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused",
        io::ErrorKind::ConnectionReset => "the connection was reset",
        io::ErrorKind::HostUnreachable => "the host cannot be reached",
        io::ErrorKind::NetworkUnreachable => "the network cannot be reached",
        io::ErrorKind::AddrNotAvailable => "the configured source address is not on this machine",
        _ => "the connection failed",
    }
}

async fn speak_http<S>(stream: S, remote: IpAddr, tls: Option<TlsVersion>) -> Result<Connection, HttpFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, driver) = http1::Builder::new()
        .max_header_size(HEADER_BYTES_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|_| HttpFailure::Protocol {
            reason: "the connection could not be used for HTTP",
        })?;
    let task = tokio::spawn(async move {
        // Whoever waits for an answer is told by the sender; an idle connection's end is no news.
        let _ = driver.await;
    });
    Ok(Connection::new(sender, task, remote, tls))
}
