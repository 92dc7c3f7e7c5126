//! What a key is restricted to: networks, sending domains, a rate of its own, a date.

use crate::clock::Timestamp;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

/// The networks that a key may be used from; none means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Reads addresses and networks (CIDR); names the first that is not one.
    ///
    /// Strict, because a list that means something else than its author thinks is a hole: no host bits, no `/0`, no octal or short
    /// forms, no zone ids. An IPv4 address inside IPv6 (`::ffff:a.b.c.d`) is the IPv4 address.
    pub fn parse(texts: &[String]) -> Result<Self, usize> {
        let parse = |(place, text): (usize, &String)| network(text).ok_or(place);
        texts
            .iter()
            .enumerate()
            .map(parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// A list that no address is on.
    pub(super) fn nobody() -> Self {
        // An address of the documentation range (RFC 5737), which no client has.
        Self(vec![IpNet::V4(Ipv4Net::from(Ipv4Addr::new(192, 0, 2, 0)))])
    }

    /// Whether a request from this address is allowed.
    pub fn allow(&self, address: Option<IpAddr>) -> bool {
        let inside = |address: IpAddr| {
            self.0
                .iter()
                .any(|network| network.contains(&address.to_canonical()))
        };
        self.0.is_empty() || address.is_some_and(inside)
    }

    fn cover(&self, other: &Networks) -> bool {
        let is_inside = |network: &IpNet| self.0.iter().any(|own| own.contains(network));
        self.0.is_empty() || (!other.0.is_empty() && other.0.iter().all(is_inside))
    }

    /// The networks as they are shown: single addresses without a length.
    pub fn texts(&self) -> Vec<String> {
        let text = |network: &IpNet| {
            if network.prefix_len() == network.max_prefix_len() {
                network.addr().to_string()
            } else {
                network.to_string()
            }
        };
        self.0.iter().map(text).collect()
    }
}

fn network(text: &str) -> Option<IpNet> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(prefix_length(length)?)),
        None => (text, None),
    };
    // The standard library refuses octal, short forms and zone ids.
    let network = match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(address) => IpNet::V4(Ipv4Net::new(address, length.unwrap_or(32)).ok()?),
        IpAddr::V6(address) => v6(address, length.unwrap_or(128))?,
    };
    (network.prefix_len() > 0 && network.network() == network.addr()).then_some(network)
}

fn v6(address: Ipv6Addr, length: u8) -> Option<IpNet> {
    match address.to_ipv4_mapped() {
        Some(inner) => Some(IpNet::V4(Ipv4Net::new(inner, length.checked_sub(96)?).ok()?)),
        None => Some(IpNet::V6(Ipv6Net::new(address, length).ok()?)),
    }
}

/// Decimal without a sign or leading zeros.
fn prefix_length(text: &str) -> Option<u8> {
    let length = text.parse::<u8>().ok()?;
    (length.to_string() == text).then_some(length)
}

/// The period of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// One second.
    Second,
    /// One minute.
    Minute,
    /// One hour.
    Hour,
}

impl Period {
    /// All periods.
    pub const ALL: [Period; 3] = [Self::Second, Self::Minute, Self::Hour];

    /// The period as it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
        }
    }

    /// How long it is.
    pub fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
        }
    }
}

/// Requests in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests.
    pub requests: NonZeroU32,
    /// The period.
    pub period: Period,
}

impl Rate {
    /// The period as a duration.
    pub fn period(&self) -> Duration {
        Duration::from_secs(self.period.seconds().into())
    }

    pub(super) fn from_stored(requests: Option<i64>, period_s: Option<i64>) -> Option<Self> {
        let requests = NonZeroU32::new(u32::try_from(requests?).ok()?)?;
        let period_s = period_s?;
        let period = Period::ALL
            .into_iter()
            .find(|period| i64::from(period.seconds()) == period_s)?;
        Some(Self { requests, period })
    }

    /// At most as many requests, both in the long run and at once.
    fn covers(&self, other: &Rate) -> bool {
        let long_run =
            |rate: &Rate, other: &Rate| u64::from(rate.requests.get()) * u64::from(other.period.seconds());
        self.requests >= other.requests && long_run(self, other) >= long_run(other, self)
    }
}

/// Everything that a key is restricted to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// From where it may be used.
    pub networks: Networks,
    /// Sending domains that it may use; none means every domain of the organization.
    pub domains: Vec<String>,
    /// A rate of its own, beside the organization's.
    pub rate: Option<Rate>,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

impl Restrictions {
    /// Whether a sender of this domain may be used.
    pub fn allow_domain(&self, domain: &str) -> bool {
        self.domains.is_empty() || self.domains.iter().any(|own| own == domain)
    }

    /// Whether `other` is as tight or tighter in every respect.
    pub fn cover(&self, other: &Restrictions) -> bool {
        let domains = self.domains.is_empty()
            || (!other.domains.is_empty() && other.domains.iter().all(|domain| self.allow_domain(domain)));
        let rate = self
            .rate
            .is_none_or(|own| other.rate.is_some_and(|rate| own.covers(&rate)));
        let expiry = self
            .expires_at
            .is_none_or(|own| other.expires_at.is_some_and(|at| at <= own));
        domains && rate && expiry && self.networks.cover(&other.networks)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn networks(texts: &[&str]) -> Result<Networks, usize> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Networks::parse(&texts)
    }

    #[test]
    fn a_network_is_read_strictly() {
        for (text, shown) in [
            ("203.0.113.0/24", Some("203.0.113.0/24")),
            ("203.0.113.7", Some("203.0.113.7")),
            ("203.0.113.7/32", Some("203.0.113.7")),
            ("2001:db8::/32", Some("2001:db8::/32")),
            ("2001:DB8::1", Some("2001:db8::1")),
            ("::ffff:203.0.113.7", Some("203.0.113.7")),
            ("::ffff:203.0.113.0/120", Some("203.0.113.0/24")),
            ("203.0.113.1/24", None),
            ("0.0.0.0/0", None),
            ("::/0", None),
            ("::ffff:0.0.0.0/96", None),
            ("::ffff:203.0.113.0/24", None),
            ("0203.0.113.7", None),
            ("203.0.113", None),
            ("127.1", None),
            ("0x7f.0.0.1", None),
            ("2130706433", None),
            ("fe80::1%eth0", None),
            ("203.0.113.0/024", None),
            ("203.0.113.0/+24", None),
            ("203.0.113.0/33", None),
            ("203.0.113.0/", None),
            (" 203.0.113.7", None),
            ("example.com", None),
            ("", None),
        ] {
            let read = networks(&[text]).ok().map(|networks| networks.texts().concat());
            assert_eq!(read.as_deref(), shown, "{text}");
        }
        assert_eq!(networks(&["203.0.113.7", "x"]), Err(1));
    }

    #[test]
    fn a_mapped_address_is_its_inner_one_on_both_sides() {
        let list = networks(&["203.0.113.0/24"]).unwrap();
        assert!(list.allow(Some("::ffff:203.0.113.9".parse().unwrap())));
        assert!(!list.allow(Some("::ffff:203.0.114.9".parse().unwrap())));
        assert!(!list.allow(None));
        assert!(networks(&[]).unwrap().allow(None));
    }

    #[test]
    fn a_restriction_covers_only_what_is_as_tight() {
        let rate = |requests, period| {
            Some(Rate {
                requests: NonZeroU32::new(requests).unwrap(),
                period,
            })
        };
        let own = Restrictions {
            networks: networks(&["203.0.113.0/24"]).unwrap(),
            domains: vec!["a.example".into()],
            rate: rate(60, Period::Minute),
            expires_at: Some(Timestamp::from_micros(10)),
        };
        let free = Restrictions::default();
        assert!(free.cover(&own) && own.cover(&own) && !own.cover(&free));
        let with = |change: fn(&mut Restrictions)| {
            let mut other = own.clone();
            change(&mut other);
            other
        };
        assert!(own.cover(&with(
            |o| o.networks = Networks::parse(&["203.0.113.7".into()]).unwrap()
        )));
        assert!(!own.cover(&with(
            |o| o.networks = Networks::parse(&["203.0.0.0/16".into()]).unwrap()
        )));
        assert!(!own.cover(&with(|o| o.networks = Networks::default())));
        assert!(!own.cover(&with(|o| o.domains.push("b.example".into()))));
        assert!(!own.cover(&with(|o| o.domains.clear())));
        assert!(!own.cover(&with(|o| o.expires_at = None)));
        assert!(!own.cover(&with(|o| o.expires_at = Some(Timestamp::from_micros(11)))));
        assert!(!own.cover(&with(|o| o.rate = None)));
        for (requests, period, covers) in [
            (60, Period::Minute, true),
            (61, Period::Minute, false),
            (2, Period::Second, false),
            (60, Period::Hour, true),
            (100, Period::Hour, false),
        ] {
            let mut other = own.clone();
            other.rate = rate(requests, period);
            assert_eq!(own.cover(&other), covers, "{requests} per {}", period.name());
        }
    }
}
