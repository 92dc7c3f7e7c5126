//! Block lists that are published by DNS (RFC 5782): whether our addresses are on one. None is asked unless the operator names it, because
//! most of them have terms.

use super::{Finding, bad, good};
use crate::config::Config;
use crate::platform::net::{Dns, DnsError};
use std::net::{IpAddr, Ipv4Addr};

/// What every list of IPv4 addresses holds, and what none does (RFC 5782 §5).
const ALWAYS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const NEVER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Asks each list about each address.
pub(super) async fn listed(config: &Config, dns: &Dns, addresses: &[IpAddr]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for list in &config.doctor.blocklists {
        if let Some(trouble) = trouble(dns, list).await {
            findings.push(bad(format!(
                "the block list {list} can't be asked from here: {trouble}; ask by a name server of your own, or take it off \
                 doctor.blocklists"
            )));
            continue;
        }
        for address in addresses {
            findings.push(match is_listed(dns, list, *address).await {
                Ok(false) => good(format!("{address} is not on {list}")),
                Ok(true) => bad(format!(
                    "{address} is on the block list {list}{}; find out what it sent, stop it, and ask the list to take it off",
                    why(dns, list, *address).await
                )),
                Err(error) => bad(format!("the block list {list} did not answer about {address}: {error}; try again")),
            });
        }
    }
    findings
}

/// Why a list's answers mean nothing: it refuses us, it is gone, or somebody answers to everything.
async fn trouble(dns: &Dns, list: &str) -> Option<String> {
    match (
        is_listed(dns, list, ALWAYS).await,
        is_listed(dns, list, NEVER).await,
    ) {
        (Ok(true), Ok(false)) => None,
        (Ok(false), _) => Some("it does not hold its test entry".to_owned()),
        (_, Ok(true)) => Some("it holds everything".to_owned()),
        (Err(error), _) | (_, Err(error)) => Some(error.to_string()),
    }
}

/// An entry is an address of 127.0.0.0/8; 127.255.255.0/24 is how lists say that they don't answer this name server.
async fn is_listed(dns: &Dns, list: &str, address: IpAddr) -> Result<bool, DnsError> {
    match dns.lookup_ip(&entry(list, address)).await {
        Ok(found) => Ok(found.iter().any(|ip| match ip {
            IpAddr::V4(ip) => ip.octets()[0] == 127 && ip.octets()[..3] != [127, 255, 255],
            IpAddr::V6(_) => false,
        })),
        Err(error) if error.temporary => Err(error),
        Err(_) => Ok(false),
    }
}

/// What the list says of it, if it says something.
async fn why(dns: &Dns, list: &str, address: IpAddr) -> String {
    let texts = dns.lookup_txt(&entry(list, address)).await.unwrap_or_default();
    let shown =
        |text: &String| -> String { text.chars().filter(|char| !char.is_control()).take(200).collect() };
    texts
        .first()
        .map(|text| format!(" ({})", shown(text)))
        .unwrap_or_default()
}

/// The name of an address in a list: its octets or nibbles, the last one first.
fn entry(list: &str, address: IpAddr) -> String {
    let parts: Vec<String> = match address {
        IpAddr::V4(ip) => ip.octets().iter().rev().map(u8::to_string).collect(),
        IpAddr::V6(ip) => {
            let octets = ip.octets();
            let nibbles = octets.iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}")).collect()
        }
    };
    format!("{}.{list}", parts.join("."))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn entries_have_the_address_backwards() {
        assert_eq!(
            entry("list.example", "192.0.2.99".parse().unwrap()),
            "99.2.0.192.list.example"
        );
        let v6 = entry("list.example", "2001:db8:1:2:3:4:567:89ab".parse().unwrap());
        assert_eq!(
            v6,
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.list.example"
        );
    }
}
