//! Whether an SPF record lets an address send (RFC 7208), for records of our own: macros, `exists` and `ptr` are not read.

use crate::platform::net::{Dns, DnsError, MxAnswer};
use ipnet::IpNet;
use std::net::IpAddr;

/// Terms that ask the DNS, in one check (RFC 7208 §4.6.4).
const LOOKUPS_MAX: u32 = 10;

/// What a record says of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    Yes,
    No,
    NoRecord,
}

/// Why a record says nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("{0}; try again")]
    Dns(#[from] DnsError),
    #[error("{0} has more than one record; make one of them")]
    Several(String),
    #[error("it asks for more than {LOOKUPS_MAX} look-ups; name addresses with ip4: and ip6: instead")]
    TooLong,
    #[error("`{0}` is not understood; mend it")]
    Term(String),
}

/// One check.
pub(super) struct Spf<'a> {
    dns: &'a Dns,
    lookups: u32,
}

/// A mechanism's arguments: the name and the lengths of its networks.
struct Terms<'a> {
    name: &'a str,
    v4: u8,
    v6: u8,
}

impl<'a> Spf<'a> {
    pub(super) fn new(dns: &'a Dns) -> Self {
        Self { dns, lookups: 0 }
    }

    /// What the record of a name says of an address.
    pub(super) async fn allows(&mut self, name: &str, address: IpAddr) -> Result<Allowed, Trouble> {
        let texts = self.dns.lookup_txt(name).await?;
        let is_spf = |text: &&String| {
            text.split(' ')
                .next()
                .is_some_and(|word| word.eq_ignore_ascii_case("v=spf1"))
        };
        let mut records = texts.iter().filter(is_spf);
        let Some(record) = records.next() else {
            return Ok(Allowed::NoRecord);
        };
        if records.next().is_some() {
            return Err(Trouble::Several(name.to_owned()));
        }
        let mut redirect = None;
        for term in record.split_whitespace().skip(1) {
            if let Some((modifier, value)) = term.split_once('=') {
                redirect = redirect.or((modifier.eq_ignore_ascii_case("redirect")).then_some(value));
                continue;
            }
            let (is_pass, mechanism) = match term.split_at_checked(1) {
                Some(("+", rest)) => (true, rest),
                Some(("-" | "~" | "?", rest)) => (false, rest),
                _ => (true, term),
            };
            if self.matches(mechanism, name, address).await? {
                return Ok(if is_pass { Allowed::Yes } else { Allowed::No });
            }
        }
        match redirect {
            Some(target) => {
                self.count()?;
                Box::pin(self.allows(target, address)).await
            }
            None => Ok(Allowed::No),
        }
    }

    async fn matches(&mut self, mechanism: &str, name: &str, address: IpAddr) -> Result<bool, Trouble> {
        let end = mechanism.find([':', '/']).unwrap_or(mechanism.len());
        let (word, rest) = mechanism.split_at(end);
        let unread = || Trouble::Term(mechanism.to_owned());
        match word.to_ascii_lowercase().as_str() {
            "all" => Ok(true),
            "ip4" | "ip6" => {
                let text = rest.strip_prefix(':').ok_or_else(unread)?;
                let network = text.parse::<IpNet>().ok();
                let network = network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
                Ok(network.ok_or_else(unread)?.contains(&address))
            }
            "a" => {
                self.count()?;
                let terms = terms(rest, name).ok_or_else(unread)?;
                self.leads_to(terms.name, &terms, address).await
            }
            "mx" => {
                self.count()?;
                let terms = terms(rest, name).ok_or_else(unread)?;
                let MxAnswer::Hosts(hosts) = self.dns.lookup_mx(terms.name, 0).await? else {
                    return Ok(false);
                };
                for host in hosts {
                    if self.leads_to(&host.name, &terms, address).await? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            "include" => {
                self.count()?;
                let target = rest.strip_prefix(':').ok_or_else(unread)?;
                Ok(Box::pin(self.allows(target, address)).await? == Allowed::Yes)
            }
            _ => Err(unread()),
        }
    }

    async fn leads_to(&self, host: &str, terms: &Terms<'_>, address: IpAddr) -> Result<bool, Trouble> {
        let addresses = match self.dns.lookup_ip(host).await {
            Ok(addresses) => addresses,
            Err(error) if error.temporary => return Err(error.into()),
            Err(_) => return Ok(false),
        };
        let covers = |found: IpAddr| {
            let length = if found.is_ipv4() { terms.v4 } else { terms.v6 };
            IpNet::new(found, length).is_ok_and(|network| network.contains(&address))
        };
        Ok(addresses.into_iter().any(covers))
    }

    fn count(&mut self) -> Result<(), Trouble> {
        self.lookups += 1;
        if self.lookups > LOOKUPS_MAX {
            return Err(Trouble::TooLong);
        }
        Ok(())
    }
}

/// Reads `[:name][/length][//length]`.
fn terms<'a>(rest: &'a str, own: &'a str) -> Option<Terms<'a>> {
    let (named, lengths) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (v4, v6) = lengths.split_at(lengths.find("//").unwrap_or(lengths.len()));
    let length = |text: &str, slashes: &str, most: u8| match text.strip_prefix(slashes) {
        Some(number) => number.parse().ok().filter(|number| *number <= most),
        None => text.is_empty().then_some(most),
    };
    Some(Terms {
        name: match named.strip_prefix(':') {
            Some(name) => (!name.is_empty() && !name.contains('%')).then_some(name)?,
            None => own,
        },
        v4: length(v4, "/", 32)?,
        v6: length(v6, "//", 128)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn arguments_are_a_name_and_the_lengths_of_two_kinds_of_networks() {
        for (rest, expected) in [
            ("", Some(("own", 32, 128))),
            (":mail.example", Some(("mail.example", 32, 128))),
            ("/24", Some(("own", 24, 128))),
            (":mail.example/24//64", Some(("mail.example", 24, 64))),
            ("//64", Some(("own", 32, 64))),
            (":", None),
            (":%{i}.example", None),
            ("/33", None),
            ("/x", None),
        ] {
            let read = terms(rest, "own").map(|terms| (terms.name, terms.v4, terms.v6));
            assert_eq!(read, expected, "{rest}");
        }
    }
}
