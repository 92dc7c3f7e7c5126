//! Requests that are done once: the first answer is kept for whoever sends the same request again.

use super::send::{SendError, Sent};
use super::store;
use crate::clock::Timestamp;
use crate::features::keys::Caller;
use crate::platform::Platform;
use crate::platform::store::OrgTx;
use crate::platform::vault::{Cell, Class, OrgVault, VaultError};
use bytes::Bytes;

/// A caller's idempotency key, with a digest of what was asked.
#[derive(Clone)]
pub struct Idempotency {
    /// The key.
    pub key: String,
    /// SHA-256 of the request.
    pub request_digest: [u8; 32],
}

/// A key with the answer that its request will have had.
pub(super) struct Kept {
    pub(super) key_index: Vec<u8>,
    pub(super) request_digest: Bytes,
    pub(super) body_sealed: Bytes,
}

impl Kept {
    /// Seals an answer for its key.
    pub(super) async fn new(
        vault: &OrgVault,
        caller: &Caller,
        at: Timestamp,
        idempotency: &Idempotency,
        answer: &[u8],
    ) -> Result<Self, VaultError> {
        let key_index = index(vault, caller, idempotency);
        let row = hex(&key_index);
        let body_sealed = vault.seal(Class::Metadata, at, cell(&row), answer).await?;
        Ok(Self {
            key_index,
            request_digest: Bytes::copy_from_slice(&idempotency.request_digest),
            body_sealed: body_sealed.into(),
        })
    }

    /// The answer to the same request, if it was done before; asked inside the unit that does it.
    pub(super) async fn earlier(&self, tx: &OrgTx) -> Result<Option<Replay>, SendError> {
        earlier(tx, &self.key_index, &self.request_digest).await
    }
}

/// A first answer, still sealed.
pub(super) struct Replay {
    row: String,
    sealed: Bytes,
}

impl Replay {
    pub(super) async fn open(&self, vault: &OrgVault) -> Result<Vec<u8>, VaultError> {
        vault.open(cell(&self.row), &self.sealed).await
    }
}

/// The first answer to a request that was done before: for those who have to do more for it than a commit. The commit asks again.
pub async fn replayed(
    platform: &Platform,
    caller: &Caller,
    idempotency: &Idempotency,
) -> Result<Option<Sent>, SendError> {
    let vault = platform.vault.org(&caller.org).await?;
    let (key_index, digest) = (index(&vault, caller, idempotency), idempotency.request_digest);
    let unit = async move |tx: &OrgTx| earlier(tx, &key_index, &digest).await;
    match platform.store.org(&caller.org).read("email_replay", unit).await? {
        Some(replay) => Ok(Some(Sent::Replayed(replay.open(&vault).await?))),
        None => Ok(None),
    }
}

async fn earlier(tx: &OrgTx, key_index: &[u8], request_digest: &[u8]) -> Result<Option<Replay>, SendError> {
    match store::idempotency(tx, key_index).await? {
        Some(earlier) if earlier.request_digest == request_digest => Ok(Some(Replay {
            row: hex(key_index),
            sealed: earlier.body_sealed,
        })),
        Some(_) => Err(SendError::IdempotencyConflict),
        None => Ok(None),
    }
}

fn cell(row: &str) -> Cell<'_> {
    Cell {
        table: "idempotency",
        column: "body_sealed",
        row,
    }
}

/// Live and test keys of one organization have each their own idempotency keys.
fn index(vault: &OrgVault, caller: &Caller, idempotency: &Idempotency) -> Vec<u8> {
    vault.blind_index(
        "idempotency",
        &format!("{}/{}", caller.mode.name(), idempotency.key),
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
