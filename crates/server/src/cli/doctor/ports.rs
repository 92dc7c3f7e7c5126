//! The way out to other hosts' port 25, and the way in to our own listener.

use super::{Finding, bad, good};
use crate::app;
use crate::config::Config;
use crate::features::delivery::wire::{
    ConnectOptions, Connection, Target, Timeouts, TlsMode, WireFailure, opportunistic_config,
};
use crate::platform::net::{Dns, MxAnswer};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Nobody watches for longer.
const PATIENCE: Duration = Duration::from_secs(15);

/// A host of the world takes a connection: by the static route, or where a domain that the operator names takes mail.
pub(super) async fn outwards(config: &Config, dns: &Dns) -> Finding {
    let port = config.delivery.port;
    let (what, target) = match (config.delivery.static_route, &config.doctor.probe_domain) {
        (Some(route), _) => (
            "delivery.static_route".to_owned(),
            Ok(target("the static route", route)),
        ),
        (None, None) => {
            return good(format!(
                "whether port {port} is open outwards was not tried; set doctor.probe_domain to a domain that takes mail elsewhere"
            ));
        }
        (None, Some(domain)) => (
            format!("the mail host of {domain}"),
            first_host(dns, domain, port).await,
        ),
    };
    let target = match target {
        Ok(target) => target,
        Err(why) => return bad(format!("{what} is not found: {why}; check doctor.probe_domain")),
    };
    match greet(config, &target).await {
        Ok(tls) => good(format!("{what} answers on port {}, {tls}", target.addr.port())),
        Err(why) => bad(format!(
            "{what} does not answer on port {}: {why}; ask your provider to open it outwards, or set delivery.static_route",
            target.addr.port()
        )),
    }
}

/// What comes back finds our listener.
pub(super) async fn inwards(config: &Config, dns: &Dns) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(listen) = config.smtp.listen {
        findings.push(listener(config, listen).await);
    }
    if let Some(host) = &config.returns.host {
        findings.push(match first_host(dns, host, config.delivery.port).await {
            Ok(target) => match greet(config, &target).await {
                Ok(tls) => good(format!("bounces to {host} reach {}, {tls}", target.host)),
                Err(why) => bad(format!(
                    "bounces to {host} go to {} ({}), which does not answer: {why}; open the port inwards, and see that a process with \
                     smtp.listen runs there",
                    target.host, target.addr
                )),
            },
            Err(why) => bad(format!(
                "bounces to {host} find no host: {why}; publish an MX record that leads to a host with smtp.listen"
            )),
        });
    }
    findings
}

async fn listener(config: &Config, listen: SocketAddr) -> Finding {
    let mut near = listen;
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => near.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => near.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    if let Ok(tls) = greet(config, &target("smtp.listen", near)).await {
        return good(format!("smtp.listen answers on {listen}, {tls}"));
    }
    match std::net::TcpListener::bind(listen) {
        Ok(_) => good(format!(
            "nobody serves on smtp.listen {listen} yet, and it is free"
        )),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => bad(format!(
            "smtp.listen {listen} may not be bound; give the server CAP_NET_BIND_SERVICE, or redirect port 25 to a higher one"
        )),
        Err(error) => bad(format!(
            "smtp.listen {listen} is taken by something that is no mail server: {error}; stop it, or choose another address"
        )),
    }
}

fn target(host: &str, addr: SocketAddr) -> Target {
    let host = host.to_owned();
    Target { host, addr }
}

/// The first address of the first host that takes mail for a domain.
async fn first_host(dns: &Dns, domain: &str, port: u16) -> Result<Target, String> {
    let host = match dns.lookup_mx(domain, 0).await {
        Ok(MxAnswer::Hosts(hosts)) => hosts.into_iter().next().map(|host| host.name),
        Ok(MxAnswer::ImplicitAddress) => Some(domain.to_owned()),
        Ok(MxAnswer::NullMx | MxAnswer::NoSuchDomain) => None,
        Err(error) => return Err(error.to_string()),
    };
    let host = host.ok_or("the domain takes no mail")?;
    let addresses = dns.lookup_ip(&host).await;
    let addresses = addresses.map_err(|error| format!("{host}: {error}"))?;
    let first = addresses.first().ok_or("it has no address")?;
    Ok(target(&host, SocketAddr::new(*first, port)))
}

/// Says EHLO and leaves; tells how well the talk was kept.
async fn greet(config: &Config, target: &Target) -> Result<&'static str, String> {
    let delivery = app::delivery_options(config).map_err(|error| error.to_string())?;
    let waits = Timeouts {
        connect: PATIENCE,
        greeting: PATIENCE,
        total: PATIENCE,
        ..Timeouts::default()
    };
    let mut options = ConnectOptions {
        ehlo_name: delivery.ehlo_name,
        tls: TlsMode::Opportunistic,
        tls_config: opportunistic_config(&[]).map_err(|error| error.to_string())?,
        timeouts: waits,
        source: config
            .delivery
            .source_address
            .filter(|ip| ip.is_ipv4() == target.addr.is_ipv4()),
        login: None,
    };
    let why = |failure: WireFailure| failure.reason;
    let connection = match Connection::open(target, &options).await {
        Err(failure) if failure.retry_without_tls => {
            options.tls = TlsMode::Off;
            Connection::open(target, &options).await.map_err(why)?
        }
        other => other.map_err(why)?,
    };
    let tls = match connection.tls() {
        Some(_) => "with TLS",
        None => "without TLS",
    };
    connection.quit().await;
    Ok(tls)
}
