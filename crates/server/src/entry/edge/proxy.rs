//! The PROXY protocol, versions 1 and 2: a proxy that passes bytes on says first whom it passes them on for.
//!
//! Read to its last byte and not one further: what follows belongs to TLS.

use crate::limits::PROXY_HEADER_BYTES_MAX;
use ppp::{v1, v2};
use std::net::IpAddr;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes of the shortest header of either version (`PROXY UNKNOWN\r\n`); the second version's is one longer.
const SHORTEST: usize = 15;
/// Bytes of a header of version 2 before its addresses.
const V2_FIXED_BYTES: usize = 16;
/// Bytes of the longest header of version 1.
const V1_BYTES_MAX: usize = 107;

/// Why a PROXY header is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    /// The connection ended, or failed, before the header did.
    #[error("the connection ended inside of its PROXY header")]
    Ended(#[from] std::io::Error),
    /// It is longer than it may be.
    #[error("the PROXY header is longer than {PROXY_HEADER_BYTES_MAX} bytes")]
    TooLong,
    /// It is not a PROXY header, or not one for TCP.
    #[error("the connection does not begin with a PROXY header for TCP")]
    Malformed,
}

/// The address that the proxy speaks for; `None` when it speaks for itself (health checks).
pub(super) async fn source<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<IpAddr>, ProxyError> {
    let mut header = vec![0; SHORTEST];
    stream.read_exact(&mut header).await?;
    if header.starts_with(v2::PROTOCOL_PREFIX) {
        binary(stream, header).await
    } else if header.starts_with(b"PROXY ") {
        text(stream, header).await
    } else {
        Err(ProxyError::Malformed)
    }
}

async fn binary<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut header: Vec<u8>,
) -> Result<Option<IpAddr>, ProxyError> {
    header.push(stream.read_u8().await?);
    let length = header.last_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes));
    let length = V2_FIXED_BYTES + usize::from(length);
    if length > PROXY_HEADER_BYTES_MAX {
        return Err(ProxyError::TooLong);
    }
    header.resize(length, 0);
    stream
        .read_exact(header.get_mut(V2_FIXED_BYTES..).unwrap_or_default())
        .await?;
    let header = v2::Header::try_from(header.as_slice()).map_err(|_| ProxyError::Malformed)?;
    match (header.command, header.protocol, header.addresses) {
        (v2::Command::Local, _, _) => Ok(None),
        (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::IPv4(pair)) => {
            Ok(Some(pair.source_address.into()))
        }
        (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::IPv6(pair)) => {
            Ok(Some(IpAddr::from(pair.source_address).to_canonical()))
        }
        (v2::Command::Proxy, _, _) => Err(ProxyError::Malformed),
    }
}

async fn text<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut header: Vec<u8>,
) -> Result<Option<IpAddr>, ProxyError> {
    while !header.ends_with(b"\r\n") {
        if header.len() == V1_BYTES_MAX {
            return Err(ProxyError::TooLong);
        }
        header.push(stream.read_u8().await?);
    }
    let header = v1::Header::try_from(header.as_slice()).map_err(|_| ProxyError::Malformed)?;
    match header.addresses {
        v1::Addresses::Unknown => Ok(None),
        v1::Addresses::Tcp4(pair) => Ok(Some(pair.source_address.into())),
        v1::Addresses::Tcp6(pair) => Ok(Some(IpAddr::from(pair.source_address).to_canonical())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read, and how many bytes of `TLS` are left.
    async fn read(header: &[u8]) -> String {
        let bytes = [header, b"TLS"].concat();
        let mut stream = bytes.as_slice();
        match source(&mut stream).await {
            Ok(address) => {
                assert_eq!(stream, b"TLS");
                address.map_or_else(|| "itself".to_owned(), |address| address.to_string())
            }
            Err(error) => error.to_string().split_whitespace().last().unwrap().to_owned(),
        }
    }

    fn binary(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [
            v2::PROTOCOL_PREFIX,
            &[0x20 | command, family],
            &length[..],
            payload,
        ]
        .concat()
    }

    #[tokio::test]
    async fn version_1_is_read_to_its_last_byte() {
        for (header, said) in [
            ("PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n", "192.0.2.7"),
            ("PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n", "2001:db8::7"),
            ("PROXY UNKNOWN\r\n", "itself"),
            ("PROXY TCP4 192.0.2.07 198.51.100.1 4711 443\r\n", "TCP"),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n", "TCP"),
            ("PROXY UDP4 192.0.2.7 198.51.100.1 4711 443\r\n", "TCP"),
            ("proxy tcp4 192.0.2.7 198.51.100.1 4711 443\r\n", "TCP"),
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", "TCP"),
        ] {
            assert_eq!(read(header.as_bytes()).await, said, "{header}");
        }
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(200));
        assert_eq!(read(endless.as_bytes()).await, "bytes");
    }

    #[tokio::test]
    async fn version_2_is_read_with_what_it_brings_along() {
        let v4 = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 1, 0xbb];
        let note = [&v4[..], &[4, 0, 1, 42]].concat();
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"::ffff:192.0.2.7".parse::<std::net::Ipv6Addr>().unwrap().octets());
        for (header, said) in [
            (binary(1, 0x11, &v4), "192.0.2.7"),
            (binary(1, 0x11, &note), "192.0.2.7"),
            (binary(1, 0x21, &v6), "192.0.2.7"),
            (binary(0, 0, &[]), "itself"),
            (binary(0, 0x11, &v4), "itself"),
            (binary(1, 0, &[]), "TCP"),
            (binary(1, 0x12, &v4), "TCP"),
            (binary(1, 0x31, &[0; 216]), "TCP"),
            (binary(1, 0x11, &v4[..8]), "TCP"),
            (binary(2, 0x11, &v4), "TCP"),
            (binary(1, 0x11, &[0; 5000]), "bytes"),
        ] {
            assert_eq!(read(&header).await, said, "{header:?}");
        }
        let cut = &binary(1, 0x11, &v4)[..20];
        assert!(matches!(source(&mut &*cut).await, Err(ProxyError::Ended(_))));
    }
}
