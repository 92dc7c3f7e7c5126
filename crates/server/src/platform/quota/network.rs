//! Where a request comes from, as coarse as one customer's line.

use std::fmt;
use std::net::IpAddr;

/// One IPv4 address, or a /64 of IPv6: within a /64 an address costs nothing, so counting single ones would count nothing.
/// An IPv4 address that is written as IPv6 (`::ffff:a.b.c.d`) is the IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(u64);

/// IPv4 addresses take the numbers of `::/32`, where no IPv6 host is.
impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(u64::from(v4.to_bits())),
            IpAddr::V6(v6) => Self((v6.to_bits() >> 64) as u64),
        }
    }
}

impl Network {
    pub(super) fn octets(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Debug for Network {
    /// Says nothing: an address is personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_a_64_are_one_network_and_mapped_addresses_are_folded() {
        let network = |text: &str| Network::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7"));
        assert_ne!(network("192.0.2.7"), network("192.0.2.8"));
        assert_eq!(format!("{:?}", network("192.0.2.7")), "Network");
    }
}
