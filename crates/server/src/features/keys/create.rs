//! Makes an API key.

use super::format::{Key, Style};
use super::{Mode, Permissions, store};
use crate::clock::Timestamp;
use crate::id::{Id as _, KeyId, OrgId};
use crate::limits::NAME_CHARS_MAX;
use crate::platform::Platform;
use crate::platform::store::StoreError;
use crate::platform::vault::{Cell, Class, VaultError, random};

/// What the maker of a key chooses.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// Live or test.
    pub mode: Mode,
    /// Prefix style.
    pub style: Style,
    /// What it may do.
    pub permissions: Permissions,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

/// Why a key was not made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The name is empty, too long, or holds control characters.
    #[error("a key's name has 1 to {NAME_CHARS_MAX} characters and no control characters")]
    Name,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Makes a key; the answer is the only time that it is seen.
pub async fn create(platform: &Platform, org: &OrgId, new: NewKey) -> Result<(KeyId, Key), KeyError> {
    if new.name.is_empty()
        || new.name.chars().count() > NAME_CHARS_MAX
        || new.name.chars().any(char::is_control)
    {
        return Err(KeyError::Name);
    }
    let now = platform.clock.now();
    let key = Key::generate(new.style, new.mode, random::<32>);
    let id = KeyId::generate(now, random());
    let digest = key.digest();
    let vault = platform.vault.org(org).await?;
    let cell = Cell {
        table: "api_keys",
        column: "digest_sealed",
        row: id.as_str(),
    };
    let digest_sealed = vault.seal(Class::Secrets, now, cell, &digest).await?;
    let (prefix, last_four) = key.hints();
    let row = store::NewRow {
        id: id.clone(),
        lookup: platform.vault.key_lookup(&digest),
        digest_sealed,
        prefix,
        last_four,
        created_at: now,
        new,
    };
    let unit = async move |tx: &crate::platform::store::OrgTx| store::insert(tx, &row).await;
    platform.store.org(org).write("key_create", unit).await?;
    Ok((id, key))
}
