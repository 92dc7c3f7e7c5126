//! Signing secrets, and how one follows another.

use super::endpoint::{self, WebhookError};
use super::sign::SECRET_PREFIX;
use super::store;
use crate::clock::Timestamp;
use crate::features::audit::{self, Act};
use crate::features::keys::Caller;
use crate::features::orgs;
use crate::id::{Id as _, WebhookId};
use crate::platform::Platform;
use crate::platform::store::OrgTx;
use crate::platform::vault::{Class, OrgVault, VaultError, random};
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use std::time::Duration;

/// How long the old secret signs beside the new one, unless its owner says otherwise.
pub const OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// The longest that it may.
pub const OVERLAP_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// How a secret is replaced.
#[derive(Debug, Clone, Copy)]
pub enum Rotation {
    /// Both sign for a while, so that no receiver refuses anything.
    Overlapping(Duration),
    /// Somebody else knows the old one: from now on it signs nothing.
    Compromised,
}

/// A new secret, which is shown this once.
pub struct Rotated {
    /// The new secret.
    pub secret: Secret<String>,
    /// Until when the old one signs as well.
    pub previous_until: Option<Timestamp>,
}

/// 32 random bytes, as Standard Webhooks writes them.
pub(super) fn generate() -> Secret<String> {
    Secret::new(format!("{SECRET_PREFIX}{}", STANDARD.encode(random::<32>())))
}

pub(super) async fn seal(
    vault: &OrgVault,
    id: &WebhookId,
    secret: &Secret<String>,
    now: Timestamp,
) -> Result<Vec<u8>, VaultError> {
    let cell = endpoint::secret_cell(id);
    vault
        .seal(Class::Secrets, now, cell, secret.expose().as_bytes())
        .await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    is_compromised: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_until: Option<String>,
}

/// Gives an endpoint a new secret.
///
/// # Errors
/// [`WebhookError::Rotating`] while the secret before the present one still signs: then there would be three, and receivers that know only
/// the first would refuse everything. A compromised secret is replaced at any time.
pub async fn rotate(
    platform: &Platform,
    caller: &Caller,
    id: &WebhookId,
    rotation: Rotation,
) -> Result<Rotated, WebhookError> {
    let now = platform.clock.now();
    let previous_until = match rotation {
        Rotation::Overlapping(overlap) if overlap > OVERLAP_MAX => return Err(WebhookError::Overlap),
        Rotation::Overlapping(overlap) => Some(now.plus(overlap)),
        Rotation::Compromised => None,
    };
    let vault = platform.vault.org(&caller.org).await?;
    let secret = generate();
    let sealed = seal(&vault, id, &secret, now).await?;
    let act = Act {
        actor: caller.actor.as_str(),
        action: "webhook.secret_rotated",
        target: id.as_str(),
        origin: &caller.origin,
        detail: Detail {
            is_compromised: previous_until.is_none(),
            previous_until: previous_until.map(Timestamp::rfc3339),
        },
    };
    let entry = audit::prepare(&vault, now, act).await?;
    let (mode, wanted) = (caller.mode.name(), id.clone());
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        let (old, old_until) = store::secret(tx, mode, &wanted)
            .await?
            .ok_or(WebhookError::Unknown)?;
        if let Some(until) = old_until.filter(|until| previous_until.is_some() && now < *until) {
            return Err(WebhookError::Rotating(until));
        }
        let previous = previous_until.map(|until| (old.as_ref(), until));
        store::rotate(tx, &wanted, &sealed, previous).await?;
        Ok(audit::record(tx, &entry).await?)
    };
    let scope = platform.store.org(&caller.org);
    scope.write("webhook_rotate", unit).await?;
    Ok(Rotated {
        secret,
        previous_until,
    })
}
