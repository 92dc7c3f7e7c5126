//! The keyring's rows: wrapped keys, made on first use.
//!
//! A key is wrapped by sealing it under the key above it, bound to what it is for. Two nodes that make the same key at
//! once agree on the row that was committed first.

use super::cipher::{self, Cell, Key, KeyName};
use super::{Class, VaultError, random};
use crate::clock::Timestamp;
use crate::id::{Id as _, OrgId};
use crate::platform::store::{Purpose, Store, StoreError, params, statements};
use crate::secret::Secret;
use bytes::Bytes;

statements! {
    system SYSTEM_KEY = "SELECT wrapped FROM system_keys WHERE name = $1";
    system ADD_SYSTEM_KEY = "INSERT INTO system_keys (name, wrapped, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    system ORG_KEY = "SELECT wrapped FROM org_keys WHERE org_id = $1";
    system ADD_ORG_KEY = "INSERT INTO org_keys (org_id, region, wrapped, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    system BUCKET_KEY = "SELECT wrapped FROM bucket_keys WHERE org_id = $1 AND class = $2 AND day = $3";
    system ADD_BUCKET_KEY = "INSERT INTO bucket_keys (org_id, class, day, wrapped, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
}

/// The name under which keys wrap keys: no class, no day.
const WRAPPING: KeyName = KeyName {
    class: Class::Secrets,
    day: 0,
};

pub(super) async fn system_key(
    keyring: &Store,
    root: &Key,
    name: &'static str,
    at: Timestamp,
) -> Result<Secret<[u8; 32]>, VaultError> {
    let bound = cipher::associated_data(
        "",
        "",
        WRAPPING,
        Cell {
            table: "system_keys",
            column: "wrapped",
            row: name,
        },
    );
    let fresh = wrap(root, &bound)?;
    let scope = keyring.system(Purpose::Keyring);
    let wrapped = scope.write("keyring_system_key", async move |tx| {
        if let Some(row) = tx.query_opt(&SYSTEM_KEY, params![name]).await? {
            return row.reader().next::<Bytes>();
        }
        tx.execute(&ADD_SYSTEM_KEY, params![name, &fresh, at]).await?;
        found(tx.query_opt(&SYSTEM_KEY, params![name]).await?)
    });
    unwrap(root, &bound, &wrapped.await?)
        .ok_or_else(|| VaultError::Root("this keyring was made with another root key".into()))
}

pub(super) async fn org_key(
    keyring: &Store,
    root: &Key,
    region: &str,
    org: &OrgId,
    at: Timestamp,
) -> Result<Secret<[u8; 32]>, VaultError> {
    let bound = cipher::associated_data(
        region,
        org.as_str(),
        WRAPPING,
        Cell {
            table: "org_keys",
            column: "wrapped",
            row: "",
        },
    );
    let fresh = wrap(root, &bound)?;
    let (org, region) = (org.clone(), region.to_owned());
    let scope = keyring.system(Purpose::Keyring);
    let wrapped = scope.write("keyring_org_key", async move |tx| {
        if let Some(row) = tx.query_opt(&ORG_KEY, params![&org]).await? {
            return row.reader().next::<Bytes>();
        }
        tx.execute(&ADD_ORG_KEY, params![&org, &region, &fresh, at])
            .await?;
        found(tx.query_opt(&ORG_KEY, params![&org]).await?)
    });
    let tampered = VaultError::Tampered {
        table: "org_keys",
        column: "wrapped",
    };
    unwrap(root, &bound, &wrapped.await?).ok_or(tampered)
}

/// Loads a bucket's key; makes it when `make_at` is given, else a missing key means that the bucket was forgotten.
pub(super) async fn bucket_key(
    keyring: &Store,
    org_key: &Key,
    region: &str,
    org: &OrgId,
    name: KeyName,
    make_at: Option<Timestamp>,
) -> Result<Secret<[u8; 32]>, VaultError> {
    let bound = cipher::associated_data(
        region,
        org.as_str(),
        name,
        Cell {
            table: "bucket_keys",
            column: "wrapped",
            row: "",
        },
    );
    let fresh = wrap(org_key, &bound)?;
    let (org, class, day) = (org.clone(), name.class.name(), name.day);
    let scope = keyring.system(Purpose::Keyring);
    let wrapped: Result<Option<Bytes>, StoreError> = match make_at {
        None => {
            let read = scope.read("keyring_bucket_key", async move |tx| {
                let row = tx.query_opt(&BUCKET_KEY, params![&org, class, day]).await?;
                row.map(|row| row.reader().next::<Bytes>()).transpose()
            });
            read.await
        }
        Some(at) => {
            let made = scope.write("keyring_make_bucket_key", async move |tx| {
                tx.execute(&ADD_BUCKET_KEY, params![&org, class, day, &fresh, at])
                    .await?;
                found(tx.query_opt(&BUCKET_KEY, params![&org, class, day]).await?)
            });
            made.await.map(Some)
        }
    };
    let wrapped = wrapped?.ok_or(VaultError::Forgotten)?;
    unwrap(org_key, &bound, &wrapped).ok_or(VaultError::Tampered {
        table: "bucket_keys",
        column: "wrapped",
    })
}

fn found(row: Option<crate::platform::store::Row>) -> Result<Bytes, StoreError> {
    let missing = || StoreError::Unavailable("a key that was just written can't be read".into());
    row.ok_or_else(missing)?.reader().next::<Bytes>()
}

fn wrap(by: &Key, bound: &[u8]) -> Result<Bytes, VaultError> {
    let secret = Secret::new(random::<32>());
    let wrapped = by.seal(WRAPPING, bound, random(), secret.expose());
    wrapped
        .map(Bytes::from)
        .map_err(|_| VaultError::Root("a key could not be wrapped".into()))
}

fn unwrap(by: &Key, bound: &[u8], wrapped: &[u8]) -> Option<Secret<[u8; 32]>> {
    let opened = zeroize::Zeroizing::new(by.open(bound, wrapped).ok()?);
    Some(Secret::new(opened.as_slice().try_into().ok()?))
}
