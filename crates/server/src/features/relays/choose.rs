//! Which relays may carry a mail, and in which order they are asked.

use super::store::Sealed;
use super::{Account, Credentials, Kind, RelayError, credentials_cell, store};
use crate::clock::Timestamp;
use crate::id::{OrgId, RelayId};
use crate::platform::Platform;
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{OrgVault, VaultError};
use aws_lc_rs::digest;

/// A relay that may be asked.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its id.
    pub id: RelayId,
    /// The account.
    pub account: Account,
    /// Whether its credentials were not taken when it was last asked.
    pub is_failing: bool,
    priority: i64,
    weight: i64,
}

impl Candidate {
    /// The provider.
    pub fn kind(&self) -> Kind {
        self.account.kind
    }

    async fn open(vault: &OrgVault, sealed: Sealed) -> Result<Self, VaultError> {
        let relay = sealed.relay;
        let stored = vault
            .open(credentials_cell(&relay.id), &sealed.credentials_sealed)
            .await?;
        Ok(Self {
            account: Account {
                kind: relay.kind,
                credentials: Credentials::from_stored(&stored),
                region: relay.region,
                domain: relay.sending_domain,
            },
            is_failing: relay.failing_since.is_some(),
            priority: relay.priority,
            weight: relay.weight,
            id: relay.id,
        })
    }
}

/// The relays that may carry mail from this domain now.
pub async fn candidates(
    platform: &Platform,
    org: &OrgId,
    domain: &str,
) -> Result<Vec<Candidate>, RelayError> {
    let unit = async move |tx: &OrgTx| store::list(tx).await;
    let rows = platform.store.org(org).read("relay_candidates", unit).await?;
    let vault = platform.vault.org(org).await?;
    let mut candidates = Vec::new();
    for sealed in rows {
        let relay = &sealed.relay;
        let is_for = relay.domains.is_empty() || relay.domains.iter().any(|own| own == domain);
        if relay.is_enabled && is_for {
            candidates.push(Candidate::open(&vault, sealed).await?);
        }
    }
    Ok(candidates)
}

/// One relay, whatever it is for: the only one that may be asked about a mail that it may have taken.
pub async fn candidate(
    platform: &Platform,
    org: &OrgId,
    id: &RelayId,
) -> Result<Option<Candidate>, RelayError> {
    let wanted = id.clone();
    let unit = async move |tx: &OrgTx| store::get(tx, &wanted).await;
    let Some(sealed) = platform.store.org(org).read("relay_candidate", unit).await? else {
        return Ok(None);
    };
    let vault = platform.vault.org(org).await?;
    Ok(Some(Candidate::open(&vault, sealed).await?))
}

/// By priority, and among those of one priority by chance in proportion to their weights. The chance comes from the seed, so that every
/// attempt of a mail asks in the same order.
pub fn in_order(mut candidates: Vec<Candidate>, seed: &str) -> Vec<Candidate> {
    candidates.sort_by(|one, other| {
        let by_chance = || turn(one, seed).total_cmp(&turn(other, seed));
        one.priority.cmp(&other.priority).then_with(by_chance)
    });
    candidates
}

/// When its turn comes: the least of exponential times belongs to each with a chance in proportion to its rate.
fn turn(candidate: &Candidate, seed: &str) -> f64 {
    let text = format!("{seed}/{}", candidate.id);
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    let bits = digest
        .as_ref()
        .iter()
        .take(4)
        .fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    let chance = (f64::from(bits) + 1.0) / (f64::from(u32::MAX) + 2.0);
    let weight = u32::try_from(candidate.weight).unwrap_or(1).max(1);
    -chance.ln() / f64::from(weight)
}

/// Notes whether the provider takes the relay's credentials, if that is news.
pub async fn note_credentials(
    platform: &Platform,
    org: &OrgId,
    candidate: &Candidate,
    are_taken: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    if candidate.is_failing != are_taken {
        return Ok(());
    }
    let (id, since) = (candidate.id.clone(), (!are_taken).then_some(now));
    let unit = async move |tx: &OrgTx| store::set_failing(tx, &id, since).await;
    platform.store.org(org).write("relay_credentials", unit).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id as _;

    fn candidate(n: u8, priority: i64, weight: i64) -> Candidate {
        Candidate {
            id: RelayId::generate(Timestamp::from_micros(0), [n; 10]),
            account: Account {
                kind: Kind::Resend,
                credentials: Credentials::default(),
                region: None,
                domain: None,
            },
            is_failing: false,
            priority,
            weight,
        }
    }

    #[test]
    fn priority_goes_before_weight_and_a_retry_asks_in_the_same_order() {
        let all = [candidate(1, 10, 1), candidate(2, 0, 3), candidate(3, 0, 1)];
        let order = |seed: &str, all: Vec<Candidate>| -> Vec<RelayId> {
            in_order(all, seed).into_iter().map(|one| one.id).collect()
        };
        let (mut firsts, mails) = (0, 4_000);
        for mail in 0..mails {
            let seed = format!("email_{mail}/0");
            let forwards = order(&seed, all.to_vec());
            let backwards = order(&seed, all.iter().rev().cloned().collect());
            assert_eq!(forwards, backwards, "{seed}");
            assert_eq!(forwards.last(), Some(&all[0].id), "{seed}");
            firsts += i32::from(forwards.first() == Some(&all[1].id));
        }
        // Three of four, with more than five standard deviations to either side.
        assert!((2_850..=3_150).contains(&firsts), "{firsts} of {mails}");
    }
}
