//! What the DNS shows of this host: its name, its addresses, and who may send from them.

use super::spf::{Allowed, Spf};
use super::{Finding, bad, good};
use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::features::delivery::Sources;
use crate::features::returns::{tls_reports_record, tls_reports_record_name};
use crate::platform::net::{Dns, Path, SecureDns};
use std::net::IpAddr;

pub(super) async fn resolver(config: &Config, dns: &Dns) -> Finding {
    if config.delivery.static_route.is_some() {
        return good("mail goes to delivery.static_route, so no name server is needed for it");
    }
    // Whom every one of them knows. Special names (RFC 6761) would be answered without asking anybody.
    match dns.lookup_ns(".").await {
        Err(_) => bad("the name servers do not answer; set net.name_servers or mend /etc/resolv.conf"),
        Ok(_) => good("the name servers answer"),
    }
}

/// Whether proofs come through, so that DANE is in force.
pub(super) async fn proofs(config: &Config, secure: &SecureDns) -> Option<Finding> {
    if config.delivery.static_route.is_some() {
        return None;
    }
    Some(match secure.prove().await {
        Path::Off => good("net.dnssec is off: DANE is not used"),
        Path::Proven => good("the name servers pass DNSSEC on: DANE is in force"),
        Path::Untried | Path::Blind => bad(
            "the name servers leave DNSSEC out or do not answer, so DANE is not used; use a resolver that passes it on, such as unbound on this host, or set net.dnssec to off",
        ),
    })
}

/// What customers' SPF records lead to has to be a name of the DNS.
pub(super) fn sender(config: &Config) -> Finding {
    match app::domain_names(config) {
        Ok(names) if names.has_sender() => {
            good(format!("records of sending domains lead to {}", names.sender))
        }
        Ok(names) => bad(names.nameless()),
        Err(error) => bad(error.to_string()),
    }
}

/// The name that is said in EHLO and the addresses that mail leaves from lead to each other; tells also those addresses.
pub(super) async fn host(config: &Config, dns: &Dns) -> (Vec<Finding>, Vec<IpAddr>) {
    if config.delivery.static_route.is_some() {
        let text =
            "mail leaves by delivery.static_route, whose addresses and names are not this host's to show";
        return (vec![good(text)], Vec::new());
    }
    if config.delivery.sources.is_some() {
        return match app::delivery_options(config) {
            Ok(options) => sources(&options.sources, dns).await,
            Err(error) => (vec![bad(error.to_string())], Vec::new()),
        };
    }
    let source = config.delivery.source_address;
    let Some(name) = app::domain_names(config)
        .ok()
        .filter(crate::features::domains::Names::has_sender)
        .map(|names| names.sender)
    else {
        // Why there is none is a finding of its own.
        return (Vec::new(), source.into_iter().collect());
    };
    let mut findings = Vec::new();
    let mut addresses = match dns.lookup_ip(&name).await {
        Ok(addresses) => addresses,
        Err(error) => {
            findings.push(bad(format!(
                "delivery.ehlo_name {name} has no address: {error}; publish an A or AAAA record with the address that mail leaves from"
            )));
            Vec::new()
        }
    };
    match source {
        Some(source) if !addresses.contains(&source) => {
            if !addresses.is_empty() {
                findings.push(bad(format!(
                    "delivery.ehlo_name {name} does not lead to delivery.source_address {source}; add the address to its records"
                )));
            }
            addresses = vec![source];
        }
        Some(source) => {
            findings.push(good(format!(
                "delivery.ehlo_name {name} leads to {source}, where mail leaves from"
            )));
            addresses = vec![source];
        }
        None if addresses.is_empty() => {}
        None => findings.push(good(format!(
            "delivery.ehlo_name {name} leads to {}; mail has to leave from there",
            listed(&addresses)
        ))),
    }
    for address in &addresses {
        findings.push(reverse(dns, &name, *address).await);
    }
    (findings, addresses)
}

/// The same of each address of a table, and whether it is this machine's.
async fn sources(sources: &Sources, dns: &Dns) -> (Vec<Finding>, Vec<IpAddr>) {
    let (mut findings, mut addresses) = (Vec::new(), Vec::new());
    let today = Clock::System.now().day();
    for source in sources.all() {
        let (Some(address), name) = (source.address, &source.ehlo_name) else {
            continue;
        };
        addresses.push(address);
        if std::net::TcpListener::bind((address, 0)).is_err() {
            findings.push(bad(format!(
                "{} ({address}) is no address of this machine: nothing can leave from it",
                source.name
            )));
        }
        let found = dns.lookup_ip(name).await;
        findings.push(match found {
            Ok(found) if found.contains(&address) => good(format!(
                "{} calls itself {name}, which leads to {address}",
                source.name
            )),
            Ok(_) => bad(format!(
                "{} calls itself {name}, which does not lead to {address}; add the address to its records",
                source.name
            )),
            Err(error) => bad(format!(
                "{} calls itself {name}, which has no address: {error}",
                source.name
            )),
        });
        findings.push(reverse(dns, name, address).await);
        if let Some(allowed) = source.allowance(today) {
            findings.push(good(format!(
                "{} is new: {allowed} mails today for each provider",
                source.name
            )));
        }
    }
    (findings, addresses)
}

/// The address leads to a name that leads back to it.
async fn reverse(dns: &Dns, name: &str, address: IpAddr) -> Finding {
    let whose = "whoever gave you the address can";
    let names = match dns.lookup_ptr(address).await {
        Ok(names) => names,
        Err(error) => {
            return bad(format!(
                "the PTR record of {address} can't be looked up: {error}; try again"
            ));
        }
    };
    if names.is_empty() {
        return bad(format!(
            "{address} has no PTR record, and many hosts refuse its mail; {whose} set it to {name}"
        ));
    }
    let mut back = Vec::new();
    for found in &names {
        let leads_back = dns.lookup_ip(found).await;
        if leads_back.is_ok_and(|addresses| addresses.contains(&address)) {
            back.push(found.as_str());
        }
    }
    if back.contains(&name) {
        good(format!("{address} leads to {name} and back"))
    } else if let [first, ..] = back.as_slice() {
        bad(format!(
            "{address} leads to {first} and back, but this host calls itself {name}; set delivery.ehlo_name to {first}, or {whose} set \
             the PTR record to {name}"
        ))
    } else {
        bad(format!(
            "{address} leads to {}, which does not lead back to it; {whose} set its PTR record to {name}",
            names.join(", ")
        ))
    }
}

/// The names of ours that envelopes bear, or customers' records include, let our addresses send.
pub(super) async fn spf(config: &Config, dns: &Dns, addresses: &[IpAddr]) -> Vec<Finding> {
    let mut names = Vec::new();
    if let Some(zone) = &config.domains.zone {
        names.extend([format!("spf.{zone}"), format!("bounce.{zone}")]);
    }
    names.extend(config.returns.host.clone());
    let mut findings = Vec::new();
    for name in names {
        for address in addresses {
            findings.push(match Spf::new(dns).allows(&name, *address).await {
                Ok(Allowed::Yes) => good(format!("SPF of {name} lets {address} send")),
                Ok(Allowed::No) => bad(format!(
                    "SPF of {name} does not let {address} send; add the address or an `a:` mechanism to it"
                )),
                Ok(Allowed::NoRecord) => bad(format!(
                    "{name} has no SPF record; publish TXT \"v=spf1 a:{} -all\" there",
                    app::domain_names(config)
                        .map(|names| names.sender)
                        .unwrap_or_default()
                )),
                Err(trouble) => bad(format!("SPF of {name} can't be used: {trouble}")),
            });
        }
    }
    findings
}

/// The DNS announces the policy (MTA-STS) that is served, and no other one.
pub(super) async fn policy(config: &Config, dns: &Dns) -> Option<Finding> {
    let policy = match app::sts_policy(config) {
        Ok(policy) => policy?,
        Err(error) => return Some(bad(error.to_string())),
    };
    let (name, record) = (policy.record_name(), policy.record());
    let found = dns.lookup_txt(&name).await.unwrap_or_default();
    let mut announced = found.iter().filter(|text| text.starts_with("v=STSv1"));
    Some(match (announced.next(), announced.next()) {
        (Some(one), None) if *one == record => good(format!("{name} announces the policy that is served")),
        (Some(_), None) => bad(format!(
            "{name} announces another policy than is served; publish TXT \"{record}\" instead"
        )),
        (Some(_), Some(_)) => bad(format!(
            "{name} has more than one policy, so that none counts; publish only TXT \"{record}\""
        )),
        (None, _) => bad(format!("{name} announces no policy; publish TXT \"{record}\"")),
    })
}

/// The DNS asks senders for reports on TLS (RFC 8460); only with a policy, which they are about.
pub(super) async fn tls_reports(config: &Config, dns: &Dns) -> Option<Finding> {
    // Whether the policy can be used is a finding of its own.
    app::sts_policy(config).ok().flatten()?;
    let host = config.returns.host.as_deref()?.to_ascii_lowercase();
    let (name, record) = (tls_reports_record_name(&host), tls_reports_record(&host));
    let found = dns.lookup_txt(&name).await.unwrap_or_default();
    let mut asked = found.iter().filter(|text| text.starts_with("v=TLSRPTv1"));
    Some(match (asked.next(), asked.next()) {
        (Some(one), None) if *one == record => {
            good(format!("{name} asks for TLS reports, which are counted here"))
        }
        (Some(_), None) => bad(format!(
            "{name} asks for TLS reports elsewhere; publish TXT \"{record}\" instead, so that they are counted here"
        )),
        (Some(_), Some(_)) => bad(format!(
            "{name} asks for TLS reports more than once, so that none is sent; publish only TXT \"{record}\""
        )),
        (None, _) => bad(format!(
            "{name} asks for no TLS reports; publish TXT \"{record}\""
        )),
    })
}

fn listed(addresses: &[IpAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    texts.join(", ")
}
