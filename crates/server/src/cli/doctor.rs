//! `sealwright doctor`: what is wrong with this machine or its settings, in plain words.

use super::{Failure, print};
use crate::app;
use crate::clock::Clock;
use crate::config::{Config, Settings};
use crate::entry::edge;
use crate::platform::net::Path;
use crate::platform::store::{Schema, Store};
use crate::platform::vault::RootKey;
use std::time::Duration;

/// Commits timed to judge the disk.
const SYNCS: u32 = 20;
/// A commit slower than this makes every accept slow.
const SYNC_SLOW: Duration = Duration::from_millis(10);
/// Files and connections a busy process needs.
const DESCRIPTORS_MIN: u64 = 4096;

struct Finding {
    is_good: bool,
    text: String,
}

fn good(text: impl Into<String>) -> Finding {
    Finding {
        is_good: true,
        text: text.into(),
    }
}

fn bad(text: impl Into<String>) -> Finding {
    Finding {
        is_good: false,
        text: text.into(),
    }
}

pub(super) async fn run(settings: &Settings) -> Result<(), Failure> {
    let config = settings.config()?;
    let mut findings = vec![good("the settings fit")];
    findings.push(tls(&config));
    findings.push(root_key(&config));
    findings.extend(store(&config).await);
    findings.push(disk(&config));
    findings.push(descriptors());
    findings.extend(resolver(&config).await);
    findings.push(sender(&config));
    findings.push(clock());
    for finding in &findings {
        print(&format!(
            "{} {}\n",
            if finding.is_good { "ok  " } else { "BAD " },
            finding.text
        ))?;
    }
    let wrong = findings.iter().filter(|finding| !finding.is_good).count();
    if wrong == 0 {
        Ok(())
    } else {
        Err(Failure::Failed(format!(
            "{wrong} of {} checks found something wrong",
            findings.len()
        )))
    }
}

fn tls(config: &Config) -> Finding {
    match edge::server_config(&config.server) {
        Ok(_) => good(format!(
            "the certificate and its key fit; clients need TLS {}",
            config.server.tls_min
        )),
        Err(error) => bad(error.to_string()),
    }
}

fn root_key(config: &Config) -> Finding {
    let path = app::root_key_path(config);
    if !path.exists() {
        return good(format!(
            "there is no root key yet; the first start makes {}",
            path.display()
        ));
    }
    match RootKey::read(&path) {
        Ok(_) => good("the root key can be read, and only by its owner"),
        Err(error) => bad(error.to_string()),
    }
}

async fn store(config: &Config) -> Vec<Finding> {
    let (data, keyring) = app::locations(config);
    if !config.store.is_postgres() && !config.store.data_dir.join("data.db").exists() {
        return vec![good(format!(
            "there is no store yet; the first start makes it in {}",
            config.store.data_dir.display()
        ))];
    }
    let mut findings = Vec::new();
    for (location, schema) in [(data, &Schema::DATA), (keyring, &Schema::KEYRING)] {
        findings.push(match Store::open(&location, schema, false).await {
            Ok(_) => good(format!(
                "the store answers and schema {} is at version {}",
                schema.name,
                schema.version()
            )),
            Err(error) => bad(error.to_string()),
        });
    }
    findings
}

/// Times what every accept waits for: a small write that must reach the disk.
fn disk(config: &Config) -> Finding {
    let folder = &config.store.data_dir;
    let path = folder.join("doctor.tmp");
    let timed = (|| -> std::io::Result<Duration> {
        std::fs::create_dir_all(folder)?;
        let mut file = std::fs::File::create(&path)?;
        let clock = Clock::System;
        let start = clock.now();
        for _ in 0..SYNCS {
            std::io::Write::write_all(&mut file, &[0; 4096])?;
            file.sync_data()?;
        }
        Ok(clock.now().since(start) / SYNCS)
    })();
    // What could not be made can't be removed; what was made is of no use to anyone.
    let _ = std::fs::remove_file(&path);
    match timed {
        Ok(each) if each > SYNC_SLOW => bad(format!(
            "a synced write to {} takes {} ms; use a faster disk",
            folder.display(),
            each.as_millis()
        )),
        Ok(each) => good(format!("a synced write takes {} µs", each.as_micros())),
        Err(error) => bad(format!("{} can't be written: {error}", folder.display())),
    }
}

fn descriptors() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .current
        .unwrap_or(u64::MAX);
    if limit < DESCRIPTORS_MIN {
        return bad(format!(
            "only {limit} files and connections may be open at once; raise the limit (ulimit -n) to {DESCRIPTORS_MIN} or more"
        ));
    }
    good(format!("{limit} files and connections may be open at once"))
}

async fn resolver(config: &Config) -> Vec<Finding> {
    if config.delivery.static_route.is_some() {
        return vec![good(
            "mail goes to delivery.static_route, so no name server is needed for it",
        )];
    }
    let net = match app::net(config) {
        Ok(net) => net,
        Err(error) => return vec![bad(error.to_string())],
    };
    // A name that must not exist (RFC 6761 §6.4): a resolver that answers at all is enough.
    let answers = match net.dns.lookup_mx("doctor.invalid", 0).await {
        Err(error) if error.temporary => {
            bad("the name servers do not answer; set net.name_servers or mend /etc/resolv.conf")
        }
        _ => good("the name servers answer"),
    };
    let proofs = match net.secure.prove().await {
        Path::Off => good("net.dnssec is off: DANE is not used"),
        Path::Proven => good("the name servers pass DNSSEC on: DANE is in force"),
        Path::Untried | Path::Blind => bad(
            "the name servers leave DNSSEC out or do not answer, so DANE is not used; use a resolver that passes it on, such as unbound on this host, or set net.dnssec to off",
        ),
    };
    vec![answers, proofs]
}

/// What customers' SPF records lead to has to be a name of the DNS.
fn sender(config: &Config) -> Finding {
    match app::domain_names(config) {
        Ok(names) if names.has_sender() => {
            good(format!("records of sending domains lead to {}", names.sender))
        }
        Ok(names) => bad(names.nameless()),
        Err(error) => bad(error.to_string()),
    }
}

fn clock() -> Finding {
    /// 2026-01-01: before this program existed.
    const EARLIEST_S: i64 = 1_767_225_600;
    if Clock::System.now().seconds() < EARLIEST_S {
        bad("the clock is wrong: it shows a time before this program was made")
    } else {
        good("the clock is plausible")
    }
}
