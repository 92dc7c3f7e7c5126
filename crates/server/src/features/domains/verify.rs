//! Verifies a domain: the DNS must show the key that we sign with.

use super::{DomainError, store};
use crate::id::OrgId;
use crate::platform::Platform;
use crate::platform::net::Dns;
use sealwright_mail::address::Domain;

/// What the DNS said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// The key is there: the domain may send.
    Verified,
    /// No such record, or another key in it.
    Missing {
        /// Host name of the record.
        host: String,
        /// What it should say.
        expected: String,
        /// What was found there.
        found: Vec<String>,
    },
}

/// Looks the DKIM record up and verifies the domain if it shows the current key.
pub async fn verify(
    platform: &Platform,
    dns: &Dns,
    org: &OrgId,
    name: &str,
) -> Result<Verification, DomainError> {
    let name = Domain::parse(name)
        .map_err(|error| DomainError::Name(error.to_string()))?
        .as_str()
        .to_owned();
    let read = name.clone();
    let unit = async move |tx: &crate::platform::store::OrgTx| store::key(tx, &read).await;
    let key = platform
        .store
        .org(org)
        .read("domain_key", unit)
        .await?
        .ok_or(DomainError::Unknown)?;
    let host = format!("{}._domainkey.{name}", key.selector);
    let found = dns
        .lookup_txt(&host)
        .await
        .map_err(|error| DomainError::Dns(error.to_string()))?;
    if !found
        .iter()
        .any(|record| public_part(record) == public_part(&key.public_record))
    {
        return Ok(Verification::Missing {
            host,
            expected: key.public_record,
            found,
        });
    }
    set_verified(platform, org, name).await?;
    Ok(Verification::Verified)
}

/// Verifies a domain on the operator's word, without asking the DNS: for development and for closed networks.
pub async fn assume_verified(platform: &Platform, org: &OrgId, name: &str) -> Result<(), DomainError> {
    let name = Domain::parse(name).map_err(|error| DomainError::Name(error.to_string()))?;
    set_verified(platform, org, name.as_str().to_owned()).await
}

async fn set_verified(platform: &Platform, org: &OrgId, name: String) -> Result<(), DomainError> {
    let now = platform.clock.now();
    let unit = async move |tx: &crate::platform::store::OrgTx| {
        if store::set_verified(tx, &name, now).await? {
            Ok(())
        } else {
            Err(DomainError::Unknown)
        }
    };
    platform.store.org(org).write("domain_verified", unit).await
}

/// The `p=` of a key record (RFC 6376 §3.6.1), without the white space that publishers fold it with.
fn public_part(record: &str) -> Option<String> {
    let tag = record
        .split(';')
        .map(str::trim)
        .find_map(|tag| tag.strip_prefix("p="))?;
    Some(tag.chars().filter(|c| !c.is_whitespace()).collect())
}
