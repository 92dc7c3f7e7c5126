//! Accepts many e-mails that came in one request: all that can be accepted in one commit, and of the others why not.

use super::idempotency::{Kept, Replay};
use super::send::{self, Prepared, SendError, Sent};
use super::suppressed::{self, Suppressed};
use super::{Accepted, Draft, Fresh, Idempotency, store};
use crate::clock::Timestamp;
use crate::features::domains;
use crate::features::keys::Caller;
use crate::platform::Platform;
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{OrgVault, VaultError};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Accepts a batch. What is refused does not stop the rest; what fails (store or vault) fails the whole request, and nothing is accepted.
///
/// `answer` renders what is answered, also to a replay: each e-mail by its place, accepted or refused. `E` is a refusal as the door knows
/// it; some may be known already.
pub async fn send_batch<E: From<SendError> + Send>(
    platform: &Platform,
    fresh: &Fresh,
    caller: &Caller,
    drafts: Vec<Result<Draft, E>>,
    idempotency: Option<Idempotency>,
    answer: impl Fn(&[Result<Accepted, E>]) -> Vec<u8> + Send,
) -> Result<Sent, SendError> {
    let verified = verified_domains(platform, caller, &drafts).await?;
    let (mut all, mut messages) = (Vec::new(), Vec::new());
    let mut results = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let draft = match draft {
            Ok(draft) => draft,
            Err(refused) => {
                results.push(Err(refused));
                continue;
            }
        };
        let domain = draft.from.address.domain().as_str().to_owned();
        let prepared = if verified.get(&domain) == Some(&true) {
            prepare(platform, caller, draft).await
        } else {
            Err(SendError::DomainUnverified(domain))
        };
        match prepared {
            Ok((prepared, message)) => {
                results.push(Ok(prepared.accepted.clone()));
                all.push(prepared);
                messages.push(message);
            }
            Err(error) if error.is_failure() => return Err(error),
            Err(refused) => results.push(Err(refused.into())),
        }
    }
    commit(
        platform,
        fresh,
        caller,
        (all, messages),
        results,
        idempotency,
        answer,
    )
    .await
}

/// Accepts e-mails that are one to their caller: all of them, or none.
pub async fn send_all(
    platform: &Platform,
    fresh: &Fresh,
    caller: &Caller,
    drafts: Vec<Draft>,
    idempotency: Option<Idempotency>,
    answer: impl Fn(&[Result<Accepted, SendError>]) -> Vec<u8> + Send,
) -> Result<Sent, SendError> {
    if let Some(first) = drafts.first() {
        send::check_sender(platform, caller, first).await?;
    }
    let (mut all, mut messages) = (Vec::new(), Vec::new());
    for draft in drafts {
        let (prepared, message) = prepare(platform, caller, draft).await?;
        all.push(prepared);
        messages.push(message);
    }
    let results = all.iter().map(|prepared| Ok(prepared.accepted.clone())).collect();
    commit(
        platform,
        fresh,
        caller,
        (all, messages),
        results,
        idempotency,
        answer,
    )
    .await
}

/// Stores what was prepared in one commit, with the answer to all of it.
async fn commit<E: Send>(
    platform: &Platform,
    fresh: &Fresh,
    caller: &Caller,
    (all, messages): (Vec<Prepared>, Vec<Arc<[u8]>>),
    mut results: Vec<Result<Accepted, E>>,
    idempotency: Option<Idempotency>,
    answer: impl Fn(&[Result<Accepted, E>]) -> Vec<u8> + Send,
) -> Result<Sent, SendError> {
    let vault = platform.vault.org(&caller.org).await?;
    let (mut all, at) = (Arc::new(all), platform.clock.now());
    loop {
        let answer = answer(&results);
        let kept = match &idempotency {
            Some(key) => Some(Kept::new(&vault, caller, at, key, &answer).await?),
            None => None,
        };
        let unit = {
            let all = Arc::clone(&all);
            async move |tx: &OrgTx| accept(tx, &all, kept.as_ref(), at).await
        };
        match platform.store.org(&caller.org).write("email_batch", unit).await? {
            Verdict::Accepted => {
                for (prepared, message) in all.iter().zip(messages) {
                    send::committed(platform, fresh, prepared, message, true);
                }
                return Ok(Sent::Accepted(answer));
            }
            Verdict::Replay(replay) => return Ok(Sent::Replayed(replay.open(&vault).await?)),
            Verdict::Suppressed(found) => {
                all = Arc::new(with_suppressed(&vault, Arc::unwrap_or_clone(all), found).await?);
                for (accepted, prepared) in results.iter_mut().flatten().zip(all.iter()) {
                    *accepted = prepared.accepted.clone();
                }
            }
        }
    }
}

async fn prepare(
    platform: &Platform,
    caller: &Caller,
    draft: Draft,
) -> Result<(Prepared, Arc<[u8]>), SendError> {
    send::check(platform, caller, &draft).await?;
    let vault = platform.vault.org(&caller.org).await?;
    send::prepare(platform, &vault, caller, draft).await
}

/// The same e-mails with what was found of those at these places.
async fn with_suppressed(
    vault: &OrgVault,
    all: Vec<Prepared>,
    found: Vec<(usize, Suppressed)>,
) -> Result<Vec<Prepared>, VaultError> {
    let mut found: BTreeMap<usize, Suppressed> = found.into_iter().collect();
    let mut known = Vec::with_capacity(all.len());
    for (place, prepared) in all.into_iter().enumerate() {
        known.push(match found.remove(&place) {
            Some(found) => prepared.with_suppressed(vault, found).await?,
            None => prepared,
        });
    }
    Ok(known)
}

/// Whether the domain of each sender may send. Asked before the commit, because the answer that is kept has to say who was refused; the
/// commit asks again, and a domain that was lost in between refuses the whole request.
async fn verified_domains<E>(
    platform: &Platform,
    caller: &Caller,
    drafts: &[Result<Draft, E>],
) -> Result<HashMap<String, bool>, StoreError> {
    let domains = drafts.iter().filter_map(|draft| draft.as_ref().ok());
    let domains: Vec<String> = domains
        .map(|draft| draft.from.address.domain().as_str().to_owned())
        .collect();
    let unit = async move |tx: &OrgTx| {
        let mut verified = HashMap::new();
        for domain in &domains {
            if !verified.contains_key(domain) {
                verified.insert(domain.clone(), domains::may_send(tx, domain).await?.is_some());
            }
        }
        Ok(verified)
    };
    platform
        .store
        .org(&caller.org)
        .read("email_batch_domains", unit)
        .await
}

enum Verdict {
    Accepted,
    Replay(Replay),
    /// Others are suppressed than were known, of the e-mails at these places; nothing was stored.
    Suppressed(Vec<(usize, Suppressed)>),
}

/// The unit of work.
async fn accept(
    tx: &OrgTx,
    all: &[Prepared],
    kept: Option<&Kept>,
    at: Timestamp,
) -> Result<Verdict, SendError> {
    if let Some(kept) = kept
        && let Some(replay) = kept.earlier(tx).await?
    {
        return Ok(Verdict::Replay(replay));
    }
    let mut found = Vec::new();
    for (place, prepared) in all.iter().enumerate() {
        found.extend(suppressed::news(tx, prepared).await?.map(|news| (place, news)));
    }
    if !found.is_empty() {
        return Ok(Verdict::Suppressed(found));
    }
    for prepared in all {
        send::take(tx, prepared).await?;
    }
    if let Some(kept) = kept {
        store::insert_idempotency(tx, kept, at).await?;
    }
    Ok(Verdict::Accepted)
}
