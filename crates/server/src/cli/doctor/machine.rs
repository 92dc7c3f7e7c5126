//! What the machine gives: files, the store, the disk, the clock.

use super::{Finding, bad, good};
use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::entry::edge;
use crate::platform::store::{Schema, Store};
use crate::platform::vault::RootKey;
use std::time::Duration;

/// Commits timed to judge the disk.
const SYNCS: u32 = 20;
/// A commit slower than this makes every accept slow.
const SYNC_SLOW: Duration = Duration::from_millis(10);
/// Files and connections a busy process needs.
const DESCRIPTORS_MIN: u64 = 4096;

pub(super) fn tls(config: &Config) -> Finding {
    match edge::server_config(&config.server) {
        Ok(_) => good(format!(
            "the certificate and its key fit; clients need TLS {}",
            config.server.tls_min
        )),
        Err(error) => bad(error.to_string()),
    }
}

pub(super) fn root_key(config: &Config) -> Finding {
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

pub(super) async fn store(config: &Config) -> Vec<Finding> {
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
pub(super) fn disk(config: &Config) -> Finding {
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

pub(super) fn descriptors() -> Finding {
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

pub(super) fn clock() -> Finding {
    /// 2026-01-01: before this program existed.
    const EARLIEST_S: i64 = 1_767_225_600;
    if Clock::System.now().seconds() < EARLIEST_S {
        bad("the clock is wrong: it shows a time before this program was made")
    } else {
        good("the clock is plausible")
    }
}
