//! `/v1/api-keys`.

use super::extract::{Body, IdText, Limit, PathId, Query, Time, Who, present};
use super::page::{Deleted, List};
use super::word::{AskedPermission, Permission, Word};
use super::{Answered, Api, Created, Problem};
use crate::clock::Timestamp;
use crate::features::keys::{
    self, Caller, Change, Key, Networks, NewKey, Period, Permissions, Rate, Restrictions, Shown, Style,
};
use crate::id::{Id as _, KeyId};
use crate::limits::{KEY_NETWORKS_MAX, KEY_OVERLAP_S_MAX, KEY_RATE_REQUESTS_MAX};
use crate::mode::Mode;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// What a new key may do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NewApiKey {
    /// What people call it.
    #[schemars(length(min = 1, max = 255))]
    name: Option<String>,
    /// `area:action`, `area:*`, or `*` together with `allPermissions`; `emails:send` if not given.
    #[schemars(with = "Option<Vec<Word<AskedPermission>>>")]
    permissions: Option<Vec<String>>,
    /// Confirms that the key is to have every permission, also those that are added later.
    #[serde(default)]
    all_permissions: bool,
    /// Sending domains that it may use; empty for all of the organization's.
    #[serde(default)]
    #[schemars(length(max = 50))]
    domain_restrictions: Vec<String>,
    /// Addresses and networks (CIDR) that it may be used from; empty for any.
    #[serde(default)]
    #[schemars(length(max = 100))]
    ip_restrictions: Vec<String>,
    /// When it stops working.
    expires_at: Option<Time>,
    /// A limit of its own, beside the organization's.
    rate_limit: Option<RateLimit>,
    /// Live or test; the caller's if not given.
    mode: Option<Word<Mode>>,
    /// How it begins: `le_` or `mp_live_`/`mp_test_`.
    prefix: Option<Prefix>,
}

/// Requests in a period.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimit {
    /// Requests.
    #[schemars(range(min = 1, max = 1_000_000))]
    requests: u32,
    /// The period.
    period: Word<Period>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Prefix {
    Le,
    Mp,
}

impl RateLimit {
    fn rate(self) -> Result<Rate, Problem> {
        let requests =
            NonZeroU32::new(self.requests).filter(|requests| requests.get() <= KEY_RATE_REQUESTS_MAX);
        let refused = || {
            Problem::invalid(
                "rateLimit/requests",
                format!("expected a whole number from 1 to {KEY_RATE_REQUESTS_MAX}"),
            )
        };
        Ok(Rate {
            requests: requests.ok_or_else(refused)?,
            period: self.period.0,
        })
    }
}

impl From<Rate> for RateLimit {
    fn from(rate: Rate) -> Self {
        Self {
            requests: rate.requests.get(),
            period: Word(rate.period),
        }
    }
}

/// Reads permissions; everything has to be confirmed.
fn permissions(words: &[String], is_confirmed: bool) -> Result<Permissions, Problem> {
    let permissions = Permissions::parse(words).map_err(|_| {
        let known = Permissions::KNOWN.join(", ");
        Problem::invalid(
            "permissions",
            format!("there is a permission that does not exist; there are {known}, area:* and *"),
        )
    })?;
    if permissions.is_all() && !is_confirmed {
        return Err(Problem::confirmation_required());
    }
    Ok(permissions)
}

fn networks(texts: &[String]) -> Result<Networks, Problem> {
    if texts.len() > KEY_NETWORKS_MAX {
        return Err(Problem::invalid(
            "ipRestrictions",
            format!("a key may be restricted to at most {KEY_NETWORKS_MAX} networks"),
        ));
    }
    Networks::parse(texts).map_err(|place| {
        Problem::invalid(
            format!("ipRestrictions/{place}"),
            "expected an address (203.0.113.7) or a network without host bits (203.0.113.0/24)",
        )
    })
}

impl NewApiKey {
    fn new_key(&self, caller: &Caller) -> Result<NewKey, Problem> {
        let words = self
            .permissions
            .clone()
            .unwrap_or_else(|| vec!["emails:send".to_owned()]);
        Ok(NewKey {
            name: self.name.clone().unwrap_or_else(|| "Unnamed key".to_owned()),
            mode: self.mode.map_or(caller.mode, |mode| mode.0),
            style: match self.prefix {
                None | Some(Prefix::Le) => Style::Le,
                Some(Prefix::Mp) => Style::Mp,
            },
            permissions: permissions(&words, self.all_permissions)?,
            restrictions: Restrictions {
                networks: networks(&self.ip_restrictions)?,
                domains: self.domain_restrictions.clone(),
                rate: self.rate_limit.map(RateLimit::rate).transpose()?,
                expires_at: self.expires_at.map(|time| time.0),
            },
        })
    }
}

/// A key, without itself.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiKey {
    id: String,
    object: &'static str,
    name: String,
    /// The key itself: only in the answer that made it, never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    key_prefix: String,
    last_four: String,
    mode: Word<Mode>,
    #[schemars(with = "Vec<Word<Permission>>")]
    permissions: Vec<String>,
    domain_restrictions: Vec<String>,
    ip_restrictions: Vec<String>,
    rate_limit: Option<RateLimit>,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    /// When it was seen where it must not be.
    exposed_at: Option<String>,
    replaces: Option<String>,
    replaced_by: Option<String>,
    /// When it should be replaced.
    rotation_due_at: String,
    last_used_at: Option<String>,
    last_used_ip: Option<String>,
    last_used_user_agent: Option<String>,
    created_at: String,
}

impl From<&Shown> for ApiKey {
    fn from(shown: &Shown) -> Self {
        let restrictions = shown.restrictions();
        let id = |id: Option<&KeyId>| id.map(ToString::to_string);
        let time = |at: Option<Timestamp>| at.map(Timestamp::rfc3339);
        Self {
            id: shown.id().to_string(),
            object: "api_key",
            name: shown.name().to_owned(),
            key: None,
            key_prefix: shown.prefix().to_owned(),
            last_four: shown.last_four().to_owned(),
            mode: Word(shown.mode()),
            permissions: shown.permissions().words().to_vec(),
            domain_restrictions: restrictions.domains.clone(),
            ip_restrictions: restrictions.networks.texts(),
            rate_limit: restrictions.rate.map(RateLimit::from),
            expires_at: time(restrictions.expires_at),
            revoked_at: time(shown.revoked_at()),
            exposed_at: time(shown.exposed_at()),
            replaces: id(shown.replaces()),
            replaced_by: id(shown.replaced_by()),
            rotation_due_at: shown.rotation_due_at().rfc3339(),
            last_used_at: time(shown.last_used_at()),
            last_used_ip: shown
                .last_used_address()
                .map(|address| address.expose().to_string()),
            last_used_user_agent: shown.last_used_agent().map(|agent| agent.expose().clone()),
            created_at: shown.created_at().rfc3339(),
        }
    }
}

impl ApiKey {
    fn with_itself(shown: &Shown, key: &Key) -> Self {
        Self {
            key: Some(key.expose().to_owned()),
            ..shown.into()
        }
    }
}

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    new: Body<NewApiKey>,
) -> Result<Created<ApiKey>, Problem> {
    let (shown, key) = keys::create_by(&api.platform, &caller, new.new_key(&caller)?).await?;
    Ok(Answered(ApiKey::with_itself(&shown, &key)))
}

/// Which keys to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiKeysQuery {
    /// How many to show.
    #[serde(default, deserialize_with = "present")]
    limit: Option<Limit>,
    /// Show those after this one.
    #[serde(default, deserialize_with = "present")]
    starting_after: Option<IdText<KeyId>>,
    /// Show those before this one.
    #[serde(default, deserialize_with = "present")]
    ending_before: Option<IdText<KeyId>>,
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Query(query): Query<ApiKeysQuery>,
) -> Result<Json<List<ApiKey>>, Problem> {
    let (after, before) = (query.starting_after, query.ending_before);
    if after.is_some() && before.is_some() {
        return Err(Problem::invalid(
            "ending_before",
            "a page begins after one row or ends before one, not both",
        ));
    }
    let limit = Limit::get(query.limit);
    let found = keys::list(
        &api.platform,
        &caller,
        limit,
        after.map(|id| id.0),
        before.map(|id| id.0),
    )
    .await?;
    let data = found.keys.iter().map(ApiKey::from).collect();
    Ok(Json(List::new(data, found.has_more, found.total, false)))
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<KeyId>,
) -> Result<Json<ApiKey>, Problem> {
    Ok(Json(ApiKey::from(&keys::get(&api.platform, &caller, &id).await?)))
}

/// What is to change; what is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ApiKeyChange {
    /// What people call it.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String", length(min = 1, max = 255))]
    name: Option<String>,
    /// `area:action`, `area:*`, or `*` together with `allPermissions`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Vec<Word<AskedPermission>>")]
    permissions: Option<Vec<String>>,
    /// Confirms that the key is to have every permission, also those that are added later.
    #[serde(default)]
    all_permissions: bool,
    /// Sending domains that it may use; empty for all of the organization's.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Vec<String>", length(max = 50))]
    domain_restrictions: Option<Vec<String>>,
    /// Addresses and networks (CIDR) that it may be used from; empty for any.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Vec<String>", length(max = 100))]
    ip_restrictions: Option<Vec<String>>,
    /// When it stops working; `null` for never.
    #[serde(default, deserialize_with = "present")]
    expires_at: Option<Option<Time>>,
    /// A limit of its own; `null` for none.
    #[serde(default, deserialize_with = "present")]
    rate_limit: Option<Option<RateLimit>>,
}

pub(super) async fn change(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<KeyId>,
    body: Body<ApiKeyChange>,
) -> Result<Json<ApiKey>, Problem> {
    let words = body.permissions.as_deref();
    let rate = |rate: Option<RateLimit>| rate.map(RateLimit::rate).transpose();
    let change = Change {
        name: body.name.clone(),
        permissions: words
            .map(|words| permissions(words, body.all_permissions))
            .transpose()?,
        networks: body.ip_restrictions.as_deref().map(networks).transpose()?,
        domains: body.domain_restrictions.clone(),
        rate: body.rate_limit.map(rate).transpose()?,
        expires_at: body.expires_at.map(|at| at.map(|at| at.0)),
    };
    let changed = keys::change(&api.platform, &caller, &id, change).await?;
    Ok(Json(ApiKey::from(&changed)))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<KeyId>,
) -> Result<Json<Deleted>, Problem> {
    keys::delete(&api.platform, &caller, &id).await?;
    Ok(Json(Deleted::new(id.as_str(), "api_key")))
}

/// How a key is to be replaced.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// Seconds for which the old key goes on working; 24 hours if not given.
    #[schemars(range(max = 2_592_000))]
    overlap: Option<u32>,
    /// What people call the new key; the old one's name if not given.
    #[schemars(length(min = 1, max = 255))]
    name: Option<String>,
}

/// Seconds for which a rotated key goes on working if the caller says nothing.
const OVERLAP_S_DEFAULT: u32 = 86_400;

/// The new key, and what becomes of the old one.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RotatedKey {
    #[serde(flatten)]
    new: ApiKey,
    previous: Previous,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Previous {
    id: String,
    /// When it stops working.
    expires_at: Option<String>,
    /// Tells when everybody uses the new one.
    last_used_at: Option<String>,
}

pub(super) async fn rotate(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<KeyId>,
    rotation: Body<Rotation>,
) -> Result<Created<RotatedKey>, Problem> {
    let overlap = rotation.overlap.unwrap_or(OVERLAP_S_DEFAULT);
    if overlap > KEY_OVERLAP_S_MAX {
        return Err(Problem::invalid(
            "overlap",
            format!("expected seconds, at most {KEY_OVERLAP_S_MAX}"),
        ));
    }
    let overlap = Duration::from_secs(overlap.into());
    // The answer says when the old key was last used, this very second included.
    api.authenticator.usage.write_one(&api.platform, &id).await;
    let rotated = keys::rotate(&api.platform, &caller, &id, rotation.name.clone(), overlap).await?;
    let previous = &rotated.previous;
    Ok(Answered(RotatedKey {
        new: ApiKey::with_itself(&rotated.new, &rotated.key),
        previous: Previous {
            id: previous.id().to_string(),
            expires_at: previous.restrictions().expires_at.map(Timestamp::rfc3339),
            last_used_at: previous.last_used_at().map(Timestamp::rfc3339),
        },
    }))
}
