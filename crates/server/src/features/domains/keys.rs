//! DKIM keys: made, kept complete, and taking turns.
//!
//! A key's life: published and waiting, signing, retired and still shown, destroyed. The next key has been in the DNS for long before it
//! signs, and a retired one stays there for as long as what it signed may still be verified (`x=`, RFC 6376 §3.5).

use super::{Algorithm, DkimKey, Domain, DomainError, SELECTORS, Shows, manage, records, store};
use crate::clock::Timestamp;
use crate::features::audit::{self, Act};
use crate::features::keys::Caller;
use crate::features::orgs;
use crate::id::{DkimKeyId, DomainId, Id as _, OrgId};
use crate::platform::Platform;
use crate::platform::store::OrgTx;
use crate::platform::vault::{Cell, Class, OrgVault, random};
use sealwright_mail::dkim::{SIGNATURE_LIFETIME_S, SigningKey};
use serde::Serialize;
use std::time::Duration;

/// How long a key signs.
pub(super) const SIGNS_FOR: Duration = Duration::from_secs(180 * 86_400);
/// How long a retired key is still shown.
const SHOWN_FOR: Duration = Duration::from_secs(SIGNATURE_LIFETIME_S.unsigned_abs());

/// A key with its private half.
pub(super) struct NewKey {
    pub(super) key: DkimKey,
    pub(super) private_sealed: Vec<u8>,
}

pub(super) fn cell(id: &DkimKeyId) -> Cell<'_> {
    Cell {
        table: "dkim_keys",
        column: "private_sealed",
        row: id.as_str(),
    }
}

/// Makes a key that waits for its turn.
pub(super) async fn make(
    vault: &OrgVault,
    now: Timestamp,
    algorithm: Algorithm,
    place: u8,
) -> Result<NewKey, DomainError> {
    let failed = |error: &dyn std::fmt::Display| DomainError::Key(error.to_string());
    let generate = move || match algorithm {
        Algorithm::Rsa => SigningKey::generate_rsa_2048(),
        Algorithm::Ed25519 => SigningKey::generate_ed25519(),
    };
    let made = tokio::task::spawn_blocking(generate)
        .await
        .map_err(|error| failed(&error))?;
    let (pkcs8, public) = made.map_err(|error| failed(&error))?;
    let id = DkimKeyId::generate(now, random());
    let private_sealed = vault.seal(Class::Secrets, now, cell(&id), &pkcs8).await?;
    let key = DkimKey {
        id,
        selector: algorithm.selector(place),
        algorithm,
        public_record: public.dns_record(),
        signing_since: None,
        retired_at: None,
    };
    Ok(NewKey { key, private_sealed })
}

/// The domain with a key in every place that signs, waits, or may still be needed; a key that nobody needs any more is replaced by a
/// new one and destroyed, and of an algorithm that is switched off just destroyed.
pub async fn complete(platform: &Platform, org: &OrgId, domain: Domain) -> Result<Domain, DomainError> {
    let now = platform.clock.now();
    let vault = platform.vault.org(org).await?;
    let is_over = |key: &DkimKey| key.retired_at.is_some_and(|at| at.plus(SHOWN_FOR) <= now);
    let (mut missing, mut unneeded) = (Vec::new(), Vec::new());
    for algorithm in Algorithm::ALL {
        for place in SELECTORS {
            let old = domain.key(&algorithm.selector(place));
            if !domain.signs_by(algorithm) {
                let is_unneeded = |key: &&DkimKey| key.signing_since.is_none() || is_over(key);
                unneeded.extend(old.filter(is_unneeded).map(|key| key.id.clone()));
            } else if old.is_none_or(is_over) {
                let new = make(&vault, now, algorithm, place).await?;
                missing.push((old.map(|key| key.id.clone()), new));
            }
        }
    }
    if missing.is_empty() && unneeded.is_empty() {
        return Ok(domain);
    }
    let id = domain.id.clone();
    let unit = async move |tx: &OrgTx| -> Result<(), DomainError> {
        orgs::lock(tx).await?;
        // Somebody else may have been here meanwhile.
        let there = store::get(tx, &id).await?;
        let Some(there) = there.filter(|domain| domain.deleted_at.is_none()) else {
            return Err(DomainError::Unknown);
        };
        if !there.has_ed25519 {
            for key in &unneeded {
                store::delete_key(tx, key).await?;
            }
        }
        for (old, new) in &missing {
            let key = there.key(&new.key.selector).map(|key| &key.id);
            if key != old.as_ref() || !there.signs_by(new.key.algorithm) {
                continue;
            }
            if let Some(old) = old {
                store::delete_key(tx, old).await?;
            }
            store::insert_key(tx, &id, new, now).await?;
        }
        Ok(())
    };
    platform.store.org(org).write("domain_keys", unit).await?;
    manage::get(platform, org, &domain.id).await
}

impl Domain {
    /// Whether its mail is to be signed by this algorithm.
    pub(super) fn signs_by(&self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Rsa => true,
            Algorithm::Ed25519 => self.has_ed25519,
        }
    }

    /// The key of this algorithm that signs.
    pub(super) fn signing(&self, algorithm: Algorithm) -> Option<&DkimKey> {
        self.keys
            .iter()
            .find(|key| key.algorithm == algorithm && key.is_signing())
    }

    /// The waiting key whose turn is next: of the places behind the one that signs, the nearest.
    fn next(&self, algorithm: Algorithm) -> Option<&DkimKey> {
        let current = self.signing(algorithm).map(|key| key.selector.clone());
        let place = SELECTORS
            .iter()
            .position(|place| Some(algorithm.selector(*place)) == current)
            .map_or(0, |at| at + 1);
        let (before, behind) = SELECTORS.split_at(place);
        behind
            .iter()
            .chain(before)
            .filter_map(|place| self.key(&algorithm.selector(*place)))
            .find(|key| key.signing_since.is_none())
    }

    /// The key that may take over now, because the DNS shows it.
    pub(super) fn successor(&self, algorithm: Algorithm) -> Result<&DkimKey, DomainError> {
        let Some(next) = self.next(algorithm) else {
            let others = self.keys.iter().filter(|key| key.algorithm == algorithm);
            let first = others.filter_map(|key| key.retired_at).min();
            return Err(first.map_or(DomainError::Busy, |at| DomainError::NoneWaits(at.plus(SHOWN_FOR))));
        };
        let finding = self.finding_of(next);
        if finding.is_some_and(|finding| finding.shows_now() == Shows::Verified) {
            Ok(next)
        } else {
            Err(DomainError::Unpublished(records::dkim_host(
                &next.selector,
                &self.name,
            )))
        }
    }
}

#[derive(Serialize)]
struct Rotated<'a> {
    selectors: Vec<&'a str>,
}

/// Lets the next keys sign, of each algorithm that signs now. They have to be in the DNS, as of the last look.
pub async fn rotate(platform: &Platform, caller: &Caller, id: &DomainId) -> Result<Domain, DomainError> {
    let domain = manage::get(platform, &caller.org, id).await?;
    let domain = complete(platform, &caller.org, domain).await?;
    let mut turns = Vec::new();
    for algorithm in Algorithm::ALL {
        if let Some(old) = domain.signing(algorithm) {
            turns.push((old.clone(), domain.successor(algorithm)?.clone()));
        }
    }
    let now = platform.clock.now();
    let act = Act {
        actor: caller.actor.as_str(),
        action: "domain.dkim_rotated",
        target: id.as_str(),
        origin: &caller.origin,
        detail: Rotated {
            selectors: turns.iter().map(|(_, new)| new.selector.as_str()).collect(),
        },
    };
    let entry = audit::prepare(&platform.vault.org(&caller.org).await?, now, act).await?;
    let unit = async move |tx: &OrgTx| -> Result<(), DomainError> {
        orgs::lock(tx).await?;
        for (old, new) in &turns {
            take_turn(tx, old, new, now).await?;
        }
        Ok(audit::record(tx, &entry).await?)
    };
    platform
        .store
        .org(&caller.org)
        .write("domain_rotate", unit)
        .await?;
    manage::get(platform, &caller.org, id).await
}

/// Retires the old key and lets the new one sign, if both are still what they were.
pub(super) async fn take_turn(
    tx: &OrgTx,
    old: &DkimKey,
    new: &DkimKey,
    now: Timestamp,
) -> Result<(), DomainError> {
    if store::retire(tx, &old.id, now).await? && store::sign(tx, &new.id, now).await? {
        Ok(())
    } else {
        Err(DomainError::Busy)
    }
}
