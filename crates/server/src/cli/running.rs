//! Asks the running server, over its admin listener: an embedded store has only one process.

use super::Failure;
use crate::app::{self, StartError};
use crate::clock::Clock;
use crate::config::Config;
use crate::entry::admin::Token;
use crate::platform::Platform;
use crate::platform::net::{LocalFailure, ask_local};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Asks the running server; `None` where nobody serves.
pub(super) async fn ask<A: DeserializeOwned>(
    config: &Config,
    path: &str,
    question: &impl Serialize,
) -> Result<Option<A>, Failure> {
    let Some(address) = config.server.admin_listen else {
        return Ok(None);
    };
    let file = app::admin_token_path(config);
    let unreadable = |error: std::io::Error| Failure::Failed(format!("{}: {error}", file.display()));
    let Some(token) = Token::read(&file).map_err(unreadable)? else {
        return Ok(None);
    };
    let address = reachable(address);
    let body = serde_json::to_vec(question).map_err(Failure::of)?;
    let request = Request::post(path)
        .header(header::HOST, address.to_string())
        .header(header::AUTHORIZATION, token.authorization())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(Failure::of)?;
    let (status, body) = match ask_local(address, request).await {
        Ok(answer) => answer,
        Err(LocalFailure::Nobody(_)) => return Ok(None),
        Err(error) => return Err(Failure::of(error)),
    };
    let said = || String::from_utf8_lossy(&body).trim().to_owned();
    match status {
        StatusCode::OK => serde_json::from_slice(&body).map(Some).map_err(Failure::of),
        StatusCode::BAD_REQUEST => Err(Failure::Usage(said())),
        _ => Err(Failure::Failed(format!(
            "{address} answered {status}: {}",
            said()
        ))),
    }
}

/// Opens the store where nobody serves; the lock keeps others from serving meanwhile.
pub(super) async fn open(config: &Config) -> Result<(Platform, impl Sized + use<>), Failure> {
    match app::open(config, Clock::System).await {
        Ok(opened) => Ok(opened),
        Err(error @ StartError::InUse(_)) => Err(Failure::Failed(format!(
            "{error}; set server.admin_listen, there and here, so that this command can ask it"
        ))),
        Err(error) => Err(error.into()),
    }
}

/// Where a listener on every address is reached from here.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:9", "127.0.0.1:9"),
            ("[::]:9", "[::1]:9"),
            ("10.1.2.3:9", "10.1.2.3:9"),
        ] {
            let listen = listen.parse::<SocketAddr>();
            assert_eq!(listen.map(|at| reachable(at).to_string()).as_deref(), Ok(asked));
        }
    }
}
