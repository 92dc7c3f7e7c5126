//! The vault: values are sealed before they reach a row, and forgotten by destroying a key.
//!
//! Root key (a file, mode 0600) → organization key → **bucket key** (organization × class × day) → a subkey per value. The wrapped keys
//! are rows of their own store, the keyring, apart from the data: whoever holds only one of the two reads nothing, and
//! destroying one row of the keyring forgets a day of one organization's content, backups of the data included.
//!
//! A sealed value carries its class and day and is bound to its [`Cell`] (region, organization, table, column, row): moved to another cell
//! it does not open. Addresses and the like are found again by blind indexes, keyed hashes per organization.
//!
//! Sealing happens before a unit of work, opening after it. A new bucket key is committed to the keyring before anything is
//! sealed under it. Not here: when a bucket is destroyed (that is retention) and what a value means.

mod cipher;
mod random;
mod root;
mod store;

pub use cipher::Cell;
pub use random::random;
pub use root::RootKey;
pub use store::ALL as STATEMENTS;

use crate::clock::{Clock, Timestamp};
use crate::id::{Id as _, OrgId};
use crate::platform::store::{Store, StoreError};
use crate::secret::Secret;
use aws_lc_rs::hmac;
use cipher::{Key, KeyName};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Bytes of a blind index: enough that two addresses never meet by chance in one organization.
pub const BLIND_INDEX_BYTES: usize = 16;
/// Organizations whose keys are kept open at once; past it the cache starts anew.
const ORGS_CACHED_MAX: usize = 10_000;
/// Bucket keys kept open per organization: all classes for the days that requests usually touch.
const BUCKETS_CACHED_MAX: usize = 128;

/// What a value is, which decides how long its key lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Bodies and attachments: 7 days by default.
    Content,
    /// Addresses, subjects, metadata, events, attempts: 90 days by default.
    Metadata,
    /// Request logs: 30 days by default.
    Logs,
    /// Kept until deleted: DKIM keys, webhook secrets, credentials.
    Secrets,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Metadata => "metadata",
            Self::Logs => "logs",
            Self::Secrets => "secrets",
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Content => 1,
            Self::Metadata => 2,
            Self::Logs => 3,
            Self::Secrets => 4,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Content, Self::Metadata, Self::Logs, Self::Secrets]
            .into_iter()
            .find(|class| class.byte() == byte)
    }

    fn bucket(self, at: Timestamp) -> i64 {
        if self == Self::Secrets { 0 } else { at.day() }
    }
}

/// Why a value could not be sealed or opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VaultError {
    /// The key was destroyed: the value is forgotten.
    #[error("the key of this value was destroyed")]
    Forgotten,
    /// The value was changed, truncated, or belongs to another cell.
    #[error("a sealed value of {table}.{column} does not open: it was changed or moved")]
    Tampered {
        /// The cell's table.
        table: &'static str,
        /// The cell's column.
        column: &'static str,
    },
    /// The root key is missing, unreadable, or not the one that this keyring was made with.
    #[error("root key: {0}")]
    Root(String),
    /// The keyring can't be read or written.
    #[error(transparent)]
    Keyring(#[from] StoreError),
}

/// All keys, opened as they are needed.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    root: Key,
    region: String,
    keyring: Store,
    clock: Clock,
    lookup_pepper: hmac::Key,
    destination_pepper: hmac::Key,
    return_path: hmac::Key,
    own: Key,
    orgs: RwLock<HashMap<OrgId, OrgVault>>,
}

impl Vault {
    /// Opens the keyring with the root key; a keyring made with another root key is refused.
    pub async fn open(
        root: &RootKey,
        region: &str,
        keyring: Store,
        clock: Clock,
    ) -> Result<Self, VaultError> {
        let root = root.key();
        let seed = store::system_key(&keyring, &root, "blind_index_seed", clock.now()).await?;
        let derive = |label: &[u8]| derive(seed.expose(), label);
        let own = store::system_key(&keyring, &root, "own_rows", clock.now()).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                lookup_pepper: derive(b"sealwright api key look-up v1"),
                destination_pepper: derive(b"sealwright destination v1"),
                return_path: derive(b"sealwright return path v1"),
                own: Key::new(own.expose()),
                root,
                region: region.to_owned(),
                keyring,
                clock,
                orgs: RwLock::default(),
            }),
        })
    }

    /// The keys of one organization, made on first use.
    pub async fn org(&self, org: &OrgId) -> Result<OrgVault, VaultError> {
        let known = self
            .inner
            .orgs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(org)
            .cloned();
        if let Some(vault) = known {
            return Ok(vault);
        }
        let now = self.inner.clock.now();
        let secret = store::org_key(
            &self.inner.keyring,
            &self.inner.root,
            &self.inner.region,
            org,
            now,
        )
        .await?;
        let vault = OrgVault {
            inner: Arc::new(OrgInner {
                org: org.clone(),
                region: self.inner.region.clone(),
                keyring: self.inner.keyring.clone(),
                key: Key::new(secret.expose()),
                blind: derive(secret.expose(), b"sealwright blind index v1"),
                buckets: RwLock::default(),
            }),
        };
        let mut orgs = self.inner.orgs.write().unwrap_or_else(PoisonError::into_inner);
        if orgs.len() >= ORGS_CACHED_MAX {
            orgs.clear();
        }
        Ok(orgs.entry(org.clone()).or_insert(vault).clone())
    }

    /// Seals a value that belongs to the installation and to no organization. Its key stays for as long as the keyring does.
    pub fn seal_own(&self, cell: Cell<'_>, value: &[u8]) -> Result<Vec<u8>, VaultError> {
        let bound = cipher::associated_data(&self.inner.region, "", OWN, cell);
        let sealed = self.inner.own.seal(OWN, &bound, random(), value);
        sealed.map_err(|_| tampered(cell))
    }

    /// Opens a value that [`Vault::seal_own`] sealed for this cell.
    pub fn open_own(&self, cell: Cell<'_>, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let bound = cipher::associated_data(&self.inner.region, "", OWN, cell);
        self.inner.own.open(&bound, sealed).map_err(|_| tampered(cell))
    }

    /// The row key of an API key: HMAC(pepper, SHA-256 of the key).
    pub fn key_lookup(&self, digest: &[u8; 32]) -> Vec<u8> {
        hmac::sign(&self.inner.lookup_pepper, digest).as_ref().to_vec()
    }

    /// What makes return paths, and tells them from forged ones.
    pub fn return_path(&self) -> &hmac::Key {
        &self.inner.return_path
    }

    /// The number under which recipients of one domain are delivered together; the same for all organizations.
    pub fn destination(&self, domain: &str) -> i64 {
        let tag = hmac::sign(&self.inner.destination_pepper, domain.as_bytes());
        tag.as_ref()
            .iter()
            .take(8)
            .fold(0_i64, |sum, byte| (sum << 8) | i64::from(*byte))
    }
}

/// The name of the key of the installation's own rows.
const OWN: KeyName = KeyName {
    class: Class::Secrets,
    day: 0,
};

fn tampered(cell: Cell<'_>) -> VaultError {
    VaultError::Tampered {
        table: cell.table,
        column: cell.column,
    }
}

fn derive(secret: &[u8; 32], label: &[u8]) -> hmac::Key {
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), label);
    hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
}

/// The keys of one organization.
#[derive(Clone)]
pub struct OrgVault {
    inner: Arc<OrgInner>,
}

struct OrgInner {
    org: OrgId,
    region: String,
    keyring: Store,
    key: Key,
    blind: hmac::Key,
    buckets: RwLock<HashMap<KeyName, Arc<Key>>>,
}

impl OrgVault {
    /// Seals a value for its cell under the bucket of `at`, making the bucket's key if it is the first.
    pub async fn seal(
        &self,
        class: Class,
        at: Timestamp,
        cell: Cell<'_>,
        value: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let name = KeyName {
            class,
            day: class.bucket(at),
        };
        let key = match self.cached(name) {
            Some(key) => key,
            None => self.load(name, Some(at)).await?,
        };
        let bound = self.bound(name, cell);
        key.seal(name, &bound, random(), value)
            .map_err(|_| VaultError::Tampered {
                table: cell.table,
                column: cell.column,
            })
    }

    /// Opens a value that was sealed for this cell.
    pub async fn open(&self, cell: Cell<'_>, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let tampered = VaultError::Tampered {
            table: cell.table,
            column: cell.column,
        };
        let Some(name) = KeyName::of(sealed) else {
            return Err(tampered);
        };
        let key = match self.cached(name) {
            Some(key) => key,
            None => self.load(name, None).await?,
        };
        key.open(&self.bound(name, cell), sealed).map_err(|_| tampered)
    }

    /// A blind index: equal values of one kind have equal indexes inside the organization, and nowhere else.
    pub fn blind_index(&self, kind: &'static str, value: &str) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.inner.blind);
        context.update(kind.as_bytes());
        context.update(&[0]);
        context.update(value.as_bytes());
        let tag = context.sign();
        tag.as_ref().get(..BLIND_INDEX_BYTES).unwrap_or_default().to_vec()
    }

    fn bound(&self, name: KeyName, cell: Cell<'_>) -> Vec<u8> {
        cipher::associated_data(&self.inner.region, self.inner.org.as_str(), name, cell)
    }

    fn cached(&self, name: KeyName) -> Option<Arc<Key>> {
        self.inner
            .buckets
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&name)
            .cloned()
    }

    async fn load(&self, name: KeyName, make_at: Option<Timestamp>) -> Result<Arc<Key>, VaultError> {
        let inner = &self.inner;
        let secret: Secret<[u8; 32]> = store::bucket_key(
            &inner.keyring,
            &inner.key,
            &inner.region,
            &inner.org,
            name,
            make_at,
        )
        .await?;
        let key = Arc::new(Key::new(secret.expose()));
        let mut buckets = inner.buckets.write().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_CACHED_MAX {
            buckets.clear();
        }
        Ok(Arc::clone(buckets.entry(name).or_insert(key)))
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(…)")
    }
}

impl std::fmt::Debug for OrgVault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OrgVault(…)")
    }
}
