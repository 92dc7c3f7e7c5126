//! Who is at the other end, and who is believed about it.

use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

/// Bits of the network that one customer of an IPv6 provider usually holds; counting single addresses would count nobody.
const IPV6_NETWORK_BITS: u8 = 64;

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Over TLS.
    Https,
    /// In the clear: the operator's own listener, or the public one that refuses.
    Http,
}

/// Whom a request comes from; every request bears one as an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The client's address: of the TCP connection, or what a trusted proxy says. IPv4 is always written as IPv4.
    pub address: IpAddr,
    /// How it came in.
    pub scheme: Scheme,
}

impl Peer {
    /// The network that limits are counted by: an IPv4 address, or the /64 of an IPv6 one.
    pub fn network(&self) -> IpNet {
        network_of(self.address)
    }
}

/// As [`Peer::network`]. An IPv4 address inside of IPv6 (`::ffff:…`) is that IPv4 address.
pub(in crate::entry) fn network_of(address: IpAddr) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpNet::from(IpAddr::V4(v4)),
        // 64 is a possible length, so the address alone never comes back.
        v6 @ IpAddr::V6(_) => IpNet::new(v6, IPV6_NETWORK_BITS).map_or(IpNet::from(v6), |net| net.trunc()),
    }
}

/// The proxies that are believed about whom they speak for.
#[derive(Debug, Clone, Default)]
pub struct Trusted(Arc<[IpNet]>);

impl Trusted {
    /// Believes every address in these networks.
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    /// Whether this address is a trusted proxy's.
    pub fn holds(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_ipv4_address_or_the_64_of_an_ipv6_one() {
        for (address, network) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(network_of(address.parse().unwrap()).to_string(), network);
        }
    }

    #[test]
    fn a_proxy_is_trusted_in_either_notation_of_its_address() {
        let trusted = Trusted::new(&["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()]);
        for (address, is_trusted) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("2001:db8::1", true),
            ("11.0.0.1", false),
            ("::ffff:11.0.0.1", false),
            ("::1", false),
        ] {
            assert_eq!(trusted.holds(address.parse().unwrap()), is_trusted, "{address}");
        }
    }
}
