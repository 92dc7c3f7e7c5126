//! A question to a running process of this installation, over plain HTTP to the listener that its settings name.

use super::http::BODY_BYTES_MAX;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the process may take to take the connection: it is near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long it may work on the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3600);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 16 * BODY_BYTES_MAX;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LocalFailure {
    /// Nobody listens there.
    #[error("nobody listens on {0}")]
    Nobody(SocketAddr),
    /// Somebody does, and the exchange broke off: what was asked for may have been done.
    #[error("{0} gave no answer: {1}")]
    BrokenOff(SocketAddr, String),
}

/// Sends one request and reads the answer.
///
/// # Errors
/// [`LocalFailure`]; every answer is none, whatever its status.
pub async fn ask_local(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), LocalFailure> {
    let stream = match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(LocalFailure::Nobody(address));
        }
        Ok(Err(error)) => return Err(LocalFailure::BrokenOff(address, error.to_string())),
        Err(_) => return Err(LocalFailure::Nobody(address)),
    };
    let broken = |error: &dyn std::fmt::Display| LocalFailure::BrokenOff(address, error.to_string());
    let exchange = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        let driver = tokio::spawn(connection);
        let answer = async {
            let answer = sender
                .send_request(request)
                .await
                .map_err(|error| broken(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok((status, body.map_err(|error| broken(&error))?.to_bytes()))
        };
        let answer = answer.await;
        driver.abort();
        answer
    };
    timeout(ANSWER_TIMEOUT, exchange)
        .await
        .unwrap_or_else(|_| Err(broken(&"it took too long")))
}
