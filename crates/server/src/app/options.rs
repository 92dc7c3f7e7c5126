//! From settings to what the parts of a process are made with. Nothing is opened here but files that settings name.

use super::{StartError, file_error};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::entry::api::Published;
use crate::entry::edge::TlsSettingError;
use crate::features::delivery::wire::{Timeouts, TlsMode};
use crate::features::delivery::{self, Submission};
use crate::features::domains;
use crate::features::notices;
use crate::id::{Id as _, OrgId};
use crate::platform::net::{DnsConfig, Guard, HttpConfig, HttpsUrl, Net, SecureConfig, UrlRefused};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sealwright_mail::address::{AddressError, Domain, Mailbox};
use std::path::Path;
use std::time::Duration;

/// The certificates of a PEM file.
pub(super) fn roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let roots = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    roots.map_err(|error| file_error(path, std::io::Error::other(error.to_string())))
}

fn extra_roots(config: &Config) -> Result<Vec<CertificateDer<'static>>, StartError> {
    config.net.extra_ca.as_deref().map_or(Ok(Vec::new()), roots)
}

/// The way to SMTP relays, as set.
pub(super) fn submission(config: &Config, net: &Net) -> Result<Submission, StartError> {
    let (dns, guard) = (net.dns.clone(), net.guard.clone());
    let made = Submission::new(dns, guard, ehlo_name(config), &extra_roots(config)?);
    made.map_err(|error| TlsSettingError::Pair(error.to_string()).into())
}

/// The way out, as set.
pub fn net(config: &Config) -> Result<Net, StartError> {
    let extra_roots = extra_roots(config)?;
    let guard = Guard::with_allowed(config.net.allow_private.clone());
    let dns = DnsConfig {
        servers: config.net.name_servers.clone(),
        authority_port: config.net.authority_port,
    };
    let is_wanted = match config.net.dnssec.as_str() {
        "auto" => true,
        "off" => false,
        _ => return Err(StartError::Setting("net.dnssec: expected auto or off".into())),
    };
    let secure = SecureConfig {
        is_wanted,
        servers: config.net.name_servers.clone(),
        trust_anchor: config.net.trust_anchor.clone(),
    };
    let local = config.webhooks.source_addresses.clone();
    Ok(Net::new(
        guard,
        dns,
        secure,
        HttpConfig {
            local,
            extra_roots,
            ..HttpConfig::default()
        },
    )?)
}

/// Where the records of sending domains lead to, as set.
pub fn domain_names(config: &Config) -> Result<domains::Names, StartError> {
    let settings = &config.domains;
    let parse = |name: &str, value: &Option<String>| -> Result<Option<Domain>, StartError> {
        let unfit = |error: AddressError| StartError::Setting(format!("domains.{name}: {error}"));
        value.as_deref().map(Domain::parse).transpose().map_err(unfit)
    };
    Ok(domains::Names {
        zone: parse("zone", &settings.zone)?,
        sender: ehlo_name(config),
        inbound: parse("inbound_host", &settings.inbound_host)?,
        tracking: parse("tracking_host", &settings.tracking_host)?,
    })
}

pub(super) fn ehlo_name(config: &Config) -> String {
    config.delivery.ehlo_name.clone().unwrap_or_else(host_name)
}

/// The installation's own host of return paths, as set.
pub(super) fn return_host(config: &Config) -> Result<Option<String>, StartError> {
    let host = config.returns.host.as_deref().map(Domain::parse).transpose();
    let unfit = |error: AddressError| StartError::Setting(format!("returns.host: {error}"));
    Ok(host.map_err(unfit)?.map(|host| host.as_str().to_owned()))
}

/// How mail leaves, as set.
pub fn delivery_options(config: &Config) -> Result<delivery::Options, StartError> {
    let settings = &config.delivery;
    let tls = match settings.tls.as_str() {
        "opportunistic" => TlsMode::Opportunistic,
        "required" => TlsMode::Required,
        "off" => TlsMode::Off,
        _ => {
            return Err(StartError::Setting(
                "delivery.tls: expected opportunistic, required or off".into(),
            ));
        }
    };
    Ok(delivery::Options {
        ehlo_name: ehlo_name(config),
        static_route: settings.static_route,
        port: settings.port,
        sources: sources(config)?,
        concurrency_max: settings.concurrency_max.max(1),
        destination_concurrency_max: settings.destination_concurrency_max.max(1),
        providers: providers(config)?,
        connections_per_host_max: settings.connections_per_host_max.max(1),
        tls,
        extra_roots: extra_roots(config)?,
        sts_port: config.net.mta_sts_port,
        expire_after: Duration::from_secs(settings.expire_hours.saturating_mul(3600)),
        poll: Duration::from_millis(settings.poll_ms.max(10)),
        timeouts: Timeouts::default(),
        tls_reports: config.delivery.tls_reports,
        sender: notice_sender(config)?,
        alerts_to: alerts_to(config)?,
        returning: delivery::Returning {
            is_taken: config.smtp.listen.is_some() || config.returns.host.is_some(),
            host: return_host(config)?,
        },
    })
}

/// Where webhooks come from, as it is published.
pub(super) fn published(config: &Config) -> Result<Published, StartError> {
    let settings = &config.webhooks;
    let announced = settings.announced_addresses.iter().map(|text| {
        let (address, day) = text.split_once(" from ")?;
        let day = day.trim();
        Timestamp::parse(&format!("{day}T00:00:00Z"))?;
        Some((address.trim().parse().ok()?, day.to_owned()))
    });
    let announced: Option<Vec<_>> = announced.collect();
    let unfit = || {
        StartError::Setting(
            "webhooks.announced_addresses: expected such as 203.0.113.9 from 2026-12-31".into(),
        )
    };
    Ok(Published {
        used: settings.source_addresses.clone(),
        announced: announced.ok_or_else(unfit)?,
    })
}

fn sources(config: &Config) -> Result<delivery::Sources, StartError> {
    let (settings, ehlo_name) = (&config.delivery, ehlo_name(config));
    let unfit = |wrong: String| StartError::Setting(format!("delivery.sources: {wrong}"));
    match (&settings.sources, settings.source_address) {
        (Some(_), Some(_)) => Err(unfit(
            "it takes the place of delivery.source_address; set one of them".into(),
        )),
        (None, address) => Ok(delivery::Sources::single(address, &ehlo_name)),
        (Some(path), None) => {
            let text = std::fs::read_to_string(path).map_err(|error| file_error(path, error))?;
            delivery::Sources::parse(&text, &ehlo_name).map_err(unfit)
        }
    }
}

fn providers(config: &Config) -> Result<delivery::Providers, StartError> {
    let path = config.delivery.providers.as_deref();
    let own = path.map(|path| std::fs::read_to_string(path).map_err(|error| file_error(path, error)));
    let unfit = |wrong: String| StartError::Setting(format!("delivery.providers: {wrong}"));
    delivery::Providers::new(own.transpose()?.as_deref()).map_err(unfit)
}

/// The organization that is told what is wrong with the installation, if one is set.
pub fn alerts_to(config: &Config) -> Result<Option<OrgId>, StartError> {
    Ok(notice_sender(config)?.map(|sender| sender.org))
}

/// What is asked instead of relays' providers, as set.
pub(super) fn relay_base(config: &Config) -> Result<Option<String>, StartError> {
    let Some(base) = &config.relays.base_url else {
        return Ok(None);
    };
    let unfit = |error: UrlRefused| StartError::Setting(format!("relays.base_url: {error}"));
    HttpsUrl::parse(base).map_err(unfit)?;
    Ok(Some(base.trim_end_matches('/').to_owned()))
}

/// Who sends notices, as set.
pub(super) fn notice_sender(config: &Config) -> Result<Option<notices::Sender>, StartError> {
    let (from, org) = match (&config.notices.from, &config.notices.org) {
        (Some(from), Some(org)) => (from, org),
        (None, None) => return Ok(None),
        _ => {
            return Err(StartError::Setting(
                "notices.from and notices.org belong together".into(),
            ));
        }
    };
    let unfit = |name: &str, reason: String| StartError::Setting(format!("notices.{name}: {reason}"));
    Ok(Some(notices::Sender {
        from: Mailbox::parse(from).map_err(|error| unfit("from", error.to_string()))?,
        org: OrgId::parse(org).ok_or_else(|| unfit("org", "expected an id that begins with org_".into()))?,
    }))
}

/// The machine's own name, as it calls itself.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name.to_owned()
    }
}
