//! Decides whether an address may be connected to at all.
//!
//! The rule is the connect-time half of the defence against requests that a customer aims at the
//! operator's own network: whoever resolves a name asks [`Guard::check_all`] about the whole
//! answer, and connects only to an address that was part of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The set of addresses that outgoing connections may reach.
///
/// IPv4 is open except for the IANA special-purpose registry (RFC 6890) and a few platform
/// addresses; IPv6 is closed except for global unicast `2000::/3` (RFC 4291 §2.4), and inside it
/// the special-purpose blocks are closed again. Addresses that carry an IPv4 address inside an
/// IPv6 one are refused whatever they carry: translating them here would have to agree with every
/// translator on the way.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allowed: Vec<IpNet>,
    own: Vec<IpAddr>,
}

/// An address was refused.
///
/// The text names neither the address nor its range, because it may be shown to a customer, and a
/// refusal that explains itself maps the operator's network. [`Refused::range`] is for the
/// operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host has an address that is not on the public internet")]
pub struct Refused {
    range: &'static str,
}

impl Refused {
    /// What kind of address it was, for the operator's eyes only.
    pub fn range(&self) -> &'static str {
        self.range
    }
}

impl Guard {
    /// Allows public addresses and nothing else.
    pub fn public_only() -> Guard {
        Guard::default()
    }

    /// Allows public addresses and the given networks: the operator's setting for receivers on a
    /// private network, and how tests reach the loopback interface.
    ///
    /// An allowed network never opens the IPv6 forms that embed an IPv4 address, so `::/0` does
    /// not open `::ffff:10.0.0.1`.
    pub fn with_allowed(allowed: Vec<IpNet>) -> Guard {
        Guard {
            allowed,
            own: Vec::new(),
        }
    }

    /// Also refuses the addresses this server itself listens on, public as they may be.
    ///
    /// A request that comes back to its sender would arrive with the sender's network position.
    /// A network named in [`Guard::with_allowed`] wins over this list.
    #[must_use]
    pub fn with_own_addresses(mut self, own: Vec<IpAddr>) -> Guard {
        self.own = own;
        self
    }

    /// Accepts or refuses one address.
    ///
    /// # Errors
    /// [`Refused`] when it is special-purpose, embeds an IPv4 address or is our own.
    pub fn check(&self, ip: IpAddr) -> Result<(), Refused> {
        if let IpAddr::V6(ip) = ip
            && let Some(range) = embedded_v4(ip)
        {
            return Err(Refused { range });
        }
        if self.allowed.iter().any(|net| net.contains(&ip)) {
            return Ok(());
        }
        if self.own.contains(&ip) {
            return Err(Refused {
                range: "our own address",
            });
        }
        let special = match ip {
            IpAddr::V4(ip) => special_v4(ip),
            IpAddr::V6(ip) => special_v6(ip),
        };
        special.map_or(Ok(()), |range| Err(Refused { range }))
    }

    /// Accepts an answer only when every address in it is accepted.
    ///
    /// Dropping the bad ones and using the rest would leave a name with a public and a private
    /// address half usable, which is the set-up of a rebinding attack and of nothing legitimate.
    ///
    /// # Errors
    /// [`Refused`] for the first address that [`Guard::check`] refuses.
    pub fn check_all(&self, ips: &[IpAddr]) -> Result<(), Refused> {
        ips.iter().try_for_each(|ip| self.check(*ip))
    }
}

fn special_v4(ip: Ipv4Addr) -> Option<&'static str> {
    let bits = ip.to_bits();
    SPECIAL_V4
        .iter()
        .find(|(net, prefix, _)| (bits ^ net.to_bits()) >> (32 - prefix) == 0)
        .map(|(_, _, range)| *range)
}

/// The IANA IPv4 special-purpose registry, and `168.63.129.16`, which is routable by its looks but
/// inside Azure is the host's own control endpoint.
const SPECIAL_V4: &[(Ipv4Addr, u32, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private use"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "cloud platform endpoint"),
    (
        Ipv4Addr::new(169, 254, 0, 0),
        16,
        "link-local and instance metadata",
    ),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private use"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "IETF protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "AS112"),
    (
        Ipv4Addr::new(192, 52, 193, 0),
        24,
        "automatic multicast tunnelling",
    ),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private use"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "AS112"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved and broadcast"),
];

fn special_v6(ip: Ipv6Addr) -> Option<&'static str> {
    let bits = ip.to_bits();
    let known = SPECIAL_V6.iter().find(|block| block.contains(bits));
    match known {
        Some(block) => Some(block.range),
        None if GLOBAL_UNICAST.contains(bits) => None,
        None => Some("outside global unicast"),
    }
}

fn embedded_v4(ip: Ipv6Addr) -> Option<&'static str> {
    if ip.is_unspecified() || ip.is_loopback() {
        return None; // inside ::/96 by their bits, yet ordinary special addresses
    }
    let bits = ip.to_bits();
    if let Some(block) = EMBEDDED_V4.iter().find(|block| block.contains(bits)) {
        return Some(block.range);
    }
    // RFC 5214 §6.1: any prefix, then 00-00-5E-FE or 02-00-5E-FE, then the IPv4 address.
    let [_, _, _, _, high, low, _, _] = ip.segments();
    (high & 0xfdff == 0 && low == 0x5efe).then_some("ISATAP")
}

struct Block {
    net: u128,
    prefix: u32,
    range: &'static str,
}

impl Block {
    const fn new(net: Ipv6Addr, prefix: u32, range: &'static str) -> Block {
        Block {
            net: net.to_bits(),
            prefix,
            range,
        }
    }

    fn contains(&self, bits: u128) -> bool {
        (bits ^ self.net) >> (128 - self.prefix) == 0
    }
}

const fn v6(a: u16, b: u16, c: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)
}

const GLOBAL_UNICAST: Block = Block::new(v6(0x2000, 0, 0), 3, "global unicast");

/// Forms with an IPv4 address inside. Network-specific NAT64 prefixes (RFC 6052 §2.2) look like
/// any other prefix; an operator who runs one lists nothing, but keeps it from routing to private
/// IPv4 at the translator (RFC 6052 §3.1).
const EMBEDDED_V4: &[Block] = &[
    Block::new(v6(0, 0, 0), 96, "IPv4-compatible"),
    Block::new(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, "IPv4-mapped"),
    Block::new(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, "IPv4-translated"),
    Block::new(v6(0x64, 0xff9b, 0), 96, "NAT64"),
    Block::new(v6(0x64, 0xff9b, 1), 48, "local-use NAT64"),
    Block::new(v6(0x2001, 0, 0), 32, "Teredo"),
    Block::new(v6(0x2002, 0, 0), 16, "6to4"),
];

/// The IANA IPv6 special-purpose registry and its retired neighbours. Entries outside `2000::/3`
/// would be refused without being listed; they are here so that the operator reads what they were.
const SPECIAL_V6: &[Block] = &[
    Block::new(Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    Block::new(Ipv6Addr::LOCALHOST, 128, "loopback"),
    Block::new(v6(0x100, 0, 0), 64, "discard-only"),
    // Benchmarking, ORCHID, ORCHIDv2, AMT, AS112 and anycast assignments all lie in this block.
    Block::new(v6(0x2001, 0, 0), 23, "IETF protocol assignments"),
    Block::new(v6(0x2001, 0xdb8, 0), 32, "documentation"),
    Block::new(v6(0x2620, 0x4f, 0x8000), 48, "AS112"),
    Block::new(v6(0x3ffe, 0, 0), 16, "retired 6bone"),
    Block::new(v6(0x3fff, 0, 0), 20, "documentation"),
    Block::new(v6(0x5f00, 0, 0), 16, "segment routing"),
    Block::new(v6(0xfc00, 0, 0), 7, "unique local"),
    Block::new(v6(0xfe80, 0, 0), 10, "link-local"),
    Block::new(v6(0xfec0, 0, 0), 10, "site-local"),
    Block::new(v6(0xff00, 0, 0), 8, "multicast"),
];
