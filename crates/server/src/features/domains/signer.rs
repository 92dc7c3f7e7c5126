//! What delivery needs of a domain for each message: its parsed DKIM keys, kept because parsing one costs as much as half a signature,
//! where bounces go, and which way the mail leaves.

use super::records::{bounce_host, dkim_host};
use super::{Algorithm, DomainError, RecordPurpose, Route, Shows, keys, shows, store};
use crate::clock::Timestamp;
use crate::id::OrgId;
use crate::platform::Platform;
use crate::platform::store::{OrgTx, StoreError};
use sealwright_mail::address::Domain as Name;
use sealwright_mail::dkim::{DkimError, Signer, SigningKey};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// Domains kept at once; past it the memory starts anew.
const KEPT_MAX: usize = 1_000;
/// How long keys are used without looking whether others sign by now. What they sign meanwhile is still verified.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// A key and the time in which it signs.
struct Term {
    algorithm: Algorithm,
    since: Timestamp,
    until: Option<Timestamp>,
    key: Key,
}

/// A key that signs, and where and how the DNS shows it.
#[derive(Clone)]
struct Key {
    signer: Signer,
    host: String,
    record: String,
}

struct Kept {
    terms: Vec<Term>,
    /// The DNS shows the record that brings bounces to us.
    has_return_path: bool,
    route: Route,
    read_at: Timestamp,
}

/// The keys of all domains that sent lately.
#[derive(Default)]
pub struct Signers {
    kept: Mutex<HashMap<(OrgId, String), Arc<Kept>>>,
}

/// The keys that sign one message: RSA, and Ed25519 if the domain asks for it.
pub struct Signing(Vec<Key>);

impl Signing {
    /// The signature fields of a message whose body begins at `body_start`.
    pub fn sign(&self, message: &[u8], body_start: usize, signed_at_s: i64) -> Result<Vec<u8>, DkimError> {
        let mut fields = Vec::new();
        for key in &self.0 {
            fields.extend(key.signer.sign(message, body_start, signed_at_s)?);
        }
        Ok(fields)
    }

    /// The records of the keys as the DNS is to show them: names of hosts and texts.
    pub fn published(&self) -> Vec<(String, String)> {
        let records = self.0.iter();
        records
            .map(|key| (key.host.clone(), key.record.clone()))
            .collect()
    }
}

impl Signers {
    /// The keys of a domain for what was released at that time, so that every attempt sends the same bytes, a change of keys or not.
    /// A domain without a key can't send: mail that is not signed does not leave.
    pub async fn of(
        &self,
        platform: &Platform,
        org: &OrgId,
        domain: &Name,
        released_at: Timestamp,
    ) -> Result<Signing, DomainError> {
        let kept = self.kept(platform, org, domain).await?;
        let keys = Algorithm::ALL.into_iter().filter_map(|algorithm| {
            let terms = kept.terms.iter().filter(|term| term.algorithm == algorithm);
            let is_current = |term: &&Term| {
                term.since <= released_at && term.until.is_none_or(|until| released_at < until)
            };
            let current = terms.clone().find(is_current);
            // Released before its first key signed: the oldest will do. There is none for Ed25519, which came later.
            let oldest = || terms.clone().next_back().filter(|_| algorithm == Algorithm::Rsa);
            current.or_else(oldest).map(|term| term.key.clone())
        });
        let keys: Vec<Key> = keys.collect();
        if keys.is_empty() {
            return Err(DomainError::Unknown);
        }
        Ok(Signing(keys))
    }

    /// The host that bounces of a domain go to; `None` while its record is not to be seen.
    pub async fn bounce_host(
        &self,
        platform: &Platform,
        org: &OrgId,
        domain: &Name,
    ) -> Result<Option<String>, DomainError> {
        let kept = self.kept(platform, org, domain).await?;
        Ok(kept.has_return_path.then(|| bounce_host(domain.as_str())))
    }

    /// Which way mail of a domain leaves: as it was set at most a minute ago.
    pub async fn route(&self, platform: &Platform, org: &OrgId, domain: &Name) -> Result<Route, DomainError> {
        Ok(self.kept(platform, org, domain).await?.route)
    }

    async fn kept(&self, platform: &Platform, org: &OrgId, domain: &Name) -> Result<Arc<Kept>, DomainError> {
        let now = platform.clock.now();
        let place = (org.clone(), domain.as_str().to_owned());
        let known = self.lock().get(&place).cloned();
        if let Some(kept) = known.filter(|kept| now.since(kept.read_at) < KEPT_FOR) {
            return Ok(kept);
        }
        let name = place.1.clone();
        let unit = async move |tx: &OrgTx| {
            let findings = store::findings(tx, &name).await?;
            Ok::<_, StoreError>((store::signing_keys(tx, &name).await?, findings))
        };
        let (rows, (findings, route)) = platform.store.org(org).read("domain_signing_keys", unit).await?;
        let vault = platform.vault.org(org).await?;
        let unusable = |error: DkimError| DomainError::Key(error.to_string());
        let mut terms = Vec::with_capacity(rows.len());
        for row in rows {
            let pkcs8 = Zeroizing::new(vault.open(keys::cell(&row.id), &row.private_sealed).await?);
            let key = match row.algorithm {
                Algorithm::Rsa => SigningKey::rsa_pkcs8(&pkcs8),
                Algorithm::Ed25519 => SigningKey::ed25519_pkcs8(&pkcs8),
            };
            let key = Arc::new(key.map_err(unusable)?);
            terms.push(Term {
                algorithm: row.algorithm,
                since: row.since,
                until: row.until,
                key: Key {
                    signer: Signer::new(key, domain, &row.selector).map_err(unusable)?,
                    host: dkim_host(&row.selector, domain.as_str()),
                    record: row.public_record,
                },
            });
        }
        let kept = Arc::new(Kept {
            terms,
            has_return_path: shows(&findings, RecordPurpose::ReturnPath) == Shows::Verified,
            route,
            read_at: now,
        });
        let mut all = self.lock();
        if all.len() >= KEPT_MAX {
            all.clear();
        }
        all.insert(place, Arc::clone(&kept));
        Ok(kept)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(OrgId, String), Arc<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
