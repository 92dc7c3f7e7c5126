//! Takes what a relay's provider tells of mail that it took: proved, matched with its e-mail, recorded as what comes back of it.

use super::path::{Returned, named};
use super::receive::{Found, ReturnError, record};
use super::store;
use crate::features::emails;
use crate::features::relays::{self, FeedEvent, FeedRequest, Kind, Outcome};
use crate::id::{Id as _, OrgId, RelayId};
use crate::platform::Platform;
use std::collections::BTreeSet;

/// Organizations among which the relay of one request is looked for.
const ORGS_MAX: usize = 16;

/// Takes a request to a relay's feed; returns after the commit of what it says. `None` where nothing is known of such a relay, or the
/// request does not prove that its provider made it, about mail of the relay's organization.
pub async fn hear(
    platform: &Platform,
    relay: &RelayId,
    request: &FeedRequest<'_>,
) -> Result<Option<usize>, ReturnError> {
    let now = platform.clock.now();
    let name = |event: &FeedEvent<'_>| named(&platform.vault, event.tag, now).ok();
    // Whose relay it is says a tag; of which provider, the relay. One account there may send for several organizations, and SendGrid
    // tells of all of them at once.
    let all = Kind::ALL
        .into_iter()
        .flat_map(|kind| relays::told(kind, request.json));
    let ends: BTreeSet<String> = all.filter_map(|event| Some(name(&event)?.org_end)).collect();
    let mut orgs = Vec::new();
    for end in ends.iter().take(ORGS_MAX) {
        orgs.extend(store::orgs_by_end(&platform.store, end).await?);
    }
    for org in orgs {
        let Some((kind, key)) = relays::feed(platform, &org, relay).await? else {
            continue;
        };
        if !key.made(request, now) {
            continue;
        }
        let events = relays::told(kind, request.json).into_iter();
        let own = events.filter_map(|event| {
            let returned = name(&event).filter(|returned| org.as_str().ends_with(&returned.org_end))?;
            Some((event, returned))
        });
        let mut taken = 0;
        for (event, returned) in own {
            take(platform, &org, &returned, &event).await?;
            taken += 1;
        }
        return Ok((taken > 0).then_some(taken));
    }
    Ok(None)
}

async fn take(
    platform: &Platform,
    org: &OrgId,
    returned: &Returned,
    event: &FeedEvent<'_>,
) -> Result<(), ReturnError> {
    if matches!(event.outcome, Outcome::Other) {
        return Ok(());
    }
    let vault = platform.vault.org(org).await?;
    let sent = emails::sent_to(platform, &vault, org, &returned.email, returned.first).await?;
    let Some(sent) = sent else { return Ok(()) };
    let found = Found {
        org: org.clone(),
        vault,
        email: returned.email.clone(),
        sent,
    };
    let now = platform.clock.now();
    let outcome = match (found.whom(&event.whom), &event.outcome) {
        (Some(reached), Outcome::Bounced { failure, category }) => Some(
            found
                .bounce((reached, true), failure, *category, &failure.reason, now)
                .await?,
        ),
        (Some(reached), Outcome::Complained) => Some(found.complaint(reached, "", now).await?),
        (Some(_), Outcome::Other) | (None, _) => None,
    };
    record(platform, org, outcome.into_iter().collect()).await
}
