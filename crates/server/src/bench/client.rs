//! The client: kept HTTPS connections, one request at a time on each, the next as soon as the last was answered.

use super::letter::{Chance, Letter};
use super::meter::{Measured, Meter, Stopwatch, micros};
use super::{BenchError, failed};
use crate::secret::Secret;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// Characters of a refusal that an error shows.
const REFUSAL_CHARS: usize = 300;

/// Where requests go, and as whom.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) tls: Arc<rustls::ClientConfig>,
    pub(super) path: &'static str,
    pub(super) key: Option<Secret<String>>,
}

/// A kept connection.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    path: &'static str,
    authorization: Option<HeaderValue>,
}

impl Connection {
    pub(super) async fn open(target: &Target) -> Result<Self, BenchError> {
        let what = "the client's connection";
        let stream = TcpStream::connect(target.address).await.map_err(failed(what))?;
        stream.set_nodelay(true).map_err(failed(what))?;
        let name = ServerName::try_from("localhost").map_err(failed(what))?;
        let connector = TlsConnector::from(Arc::clone(&target.tls));
        let stream = connector.connect(name, stream).await.map_err(failed(what))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(failed(what))?;
        // Its errors reach the requests on it.
        tokio::spawn(async move { drop(connection.await) });
        let bearer = |key: &Secret<String>| HeaderValue::from_str(&format!("Bearer {}", key.expose()));
        Ok(Self {
            sender,
            path: target.path,
            authorization: target
                .key
                .as_ref()
                .map(bearer)
                .transpose()
                .map_err(failed(what))?,
        })
    }

    /// Posts and reads the whole answer; anything but 2xx is an error.
    pub(super) async fn post(&mut self, body: Bytes) -> Result<(), BenchError> {
        let (status, answer) = self.exchange(body).await?;
        if status.is_success() {
            return Ok(());
        }
        let answer: String = String::from_utf8_lossy(&answer)
            .chars()
            .take(REFUSAL_CHARS)
            .collect();
        Err(failed("a request of the client")(format!(
            "answered with {status}: {answer}"
        )))
    }

    /// Posts and reads the whole answer, whatever it is.
    pub(super) async fn exchange(&mut self, body: Bytes) -> Result<(StatusCode, Bytes), BenchError> {
        let what = "a request of the client";
        let mut request = Request::post(self.path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(body)).map_err(failed(what))?;
        let response = self.sender.send_request(request).await.map_err(failed(what))?;
        let status = response.status();
        let answer = response
            .into_body()
            .collect()
            .await
            .map_err(failed(what))?
            .to_bytes();
        Ok((status, answer))
    }
}

/// What every client task does: its e-mails are its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) connections: usize,
    pub(super) period: Duration,
    pub(super) body_bytes: usize,
    /// Runs with different seeds write different mail.
    pub(super) seed: u64,
}

/// Posts e-mails for a while on all connections.
pub(super) async fn post_letters(target: &Target, load: Load) -> Result<Measured, BenchError> {
    let mut connections = Vec::with_capacity(load.connections);
    for _ in 0..load.connections {
        connections.push(Connection::open(target).await?);
    }
    let start = Arc::new(Barrier::new(load.connections + 1));
    let mut tasks = JoinSet::new();
    for (place, connection) in (0_u64..).zip(connections) {
        let start = Arc::clone(&start);
        tasks.spawn(async move {
            start.wait().await;
            post_until(connection, load, place).await
        });
    }
    start.wait().await;
    let meter = Meter::start()?;
    let mut latencies = Vec::new();
    while let Some(task) = tasks.join_next().await {
        latencies.extend(task.map_err(failed("a client task"))??);
    }
    let units = latencies.len() as u64;
    meter.stop(units, latencies)
}

async fn post_until(mut connection: Connection, load: Load, place: u64) -> Result<Vec<u32>, BenchError> {
    let mut chance = Chance::new(load.seed.wrapping_mul(1 << 20).wrapping_add(place));
    let clock = Stopwatch::start();
    let mut latencies = Vec::with_capacity(4096);
    let mut number = place;
    while clock.elapsed() < load.period {
        let body = Letter::write(number, load.body_bytes, &mut chance).json();
        let sent = Stopwatch::start();
        connection.post(body).await?;
        latencies.push(micros(sent.elapsed()));
        number += load.connections as u64;
    }
    Ok(latencies)
}
