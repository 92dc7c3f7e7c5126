//! Adds a domain with its DKIM key.

use super::{Added, store};
use crate::id::{DkimKeyId, DomainId, Id as _, OrgId};
use crate::platform::Platform;
use crate::platform::store::StoreError;
use crate::platform::vault::{Cell, Class, VaultError, random};
use sealwright_mail::address::Domain;
use sealwright_mail::dkim::SigningKey;

/// Selector of a domain's first key.
const FIRST_SELECTOR: &str = "sw1";

/// Why a domain could not be added, verified or used.
#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    /// The name is not a domain.
    #[error("the domain is not valid: {0}")]
    Name(String),
    /// The organization has it already.
    #[error("the domain was added already")]
    Exists,
    /// The organization does not have it, or it has no key.
    #[error("no such domain; add it with `sealwright domain add`")]
    Unknown,
    /// A key could not be made or read.
    #[error("the DKIM key can't be used: {0}")]
    Key(String),
    /// The DNS could not be asked.
    #[error("the DNS could not be asked: {0}")]
    Dns(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Adds a domain, pending, and makes its RSA-2048 key (about 100 ms of work on a thread of its own).
pub async fn add(platform: &Platform, org: &OrgId, name: &str) -> Result<Added, DomainError> {
    let name = Domain::parse(name).map_err(|error| DomainError::Name(error.to_string()))?;
    let key_failed = |error: &dyn std::fmt::Display| DomainError::Key(error.to_string());
    let generated = tokio::task::spawn_blocking(SigningKey::generate_rsa_2048)
        .await
        .map_err(|e| key_failed(&e))?;
    let (pkcs8, key) = generated.map_err(|e| key_failed(&e))?;
    let now = platform.clock.now();
    let key_id = DkimKeyId::generate(now, random());
    let vault = platform.vault.org(org).await?;
    let cell = Cell {
        table: "dkim_keys",
        column: "private_sealed",
        row: key_id.as_str(),
    };
    let row = store::NewDomain {
        id: DomainId::generate(now, random()),
        name: name.as_str().to_owned(),
        key_id: key_id.clone(),
        selector: FIRST_SELECTOR,
        public_record: key.dns_record(),
        private_sealed: vault.seal(Class::Secrets, now, cell, &pkcs8).await?,
        created_at: now,
    };
    let added = Added {
        id: row.id.clone(),
        name: row.name.clone(),
        dkim_host: format!("{FIRST_SELECTOR}._domainkey.{}", row.name),
        dkim_record: row.public_record.clone(),
    };
    let unit = async move |tx: &crate::platform::store::OrgTx| {
        if store::insert(tx, &row).await? {
            Ok(())
        } else {
            Err(DomainError::Exists)
        }
    };
    platform.store.org(org).write("domain_add", unit).await?;
    Ok(added)
}
