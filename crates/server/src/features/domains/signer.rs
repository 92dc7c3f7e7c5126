//! Parsed DKIM keys, kept because parsing one costs as much as half a signature.

use super::{DomainError, store};
use crate::id::{Id as _, OrgId};
use crate::platform::Platform;
use crate::platform::vault::Cell;
use sealwright_mail::address::Domain;
use sealwright_mail::dkim::{Signer, SigningKey};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// Keys kept at once; past it the memory starts anew.
const KEPT_MAX: usize = 1_000;

/// The signers of all domains that sent lately.
#[derive(Default)]
pub struct Signers {
    kept: Mutex<HashMap<(OrgId, String), Arc<Signer>>>,
}

impl Signers {
    /// The signer of a domain. A domain without a key can't send: mail that is not signed does not leave.
    pub async fn of(
        &self,
        platform: &Platform,
        org: &OrgId,
        domain: &Domain,
    ) -> Result<Arc<Signer>, DomainError> {
        let place = (org.clone(), domain.as_str().to_owned());
        if let Some(signer) = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&place)
        {
            return Ok(Arc::clone(signer));
        }
        let name = place.1.clone();
        let unit = async move |tx: &crate::platform::store::OrgTx| store::key(tx, &name).await;
        let row = platform
            .store
            .org(org)
            .read("domain_key", unit)
            .await?
            .ok_or(DomainError::Unknown)?;
        let vault = platform.vault.org(org).await?;
        let cell = Cell {
            table: "dkim_keys",
            column: "private_sealed",
            row: row.id.as_str(),
        };
        let pkcs8 = Zeroizing::new(vault.open(cell, &row.private_sealed).await?);
        let unusable = |error: sealwright_mail::dkim::DkimError| DomainError::Key(error.to_string());
        let key = Arc::new(SigningKey::rsa_pkcs8(&pkcs8).map_err(unusable)?);
        let signer = Arc::new(Signer::new(key, domain, &row.selector).map_err(unusable)?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(place, Arc::clone(&signer));
        Ok(signer)
    }
}
