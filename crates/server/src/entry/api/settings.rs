//! `/v1/settings` and `/v1/me`.

use super::extract::{Body, Who, present};
use super::word::{Permission, Word};
use super::{Api, Problem};
use crate::features::keys::Actor;
use crate::features::orgs::{self, ExposurePolicy, Plan, SettingsChange};
use crate::id::OrgId;
use crate::mode::Mode;
use crate::secret::Personal;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An organization's settings.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settings {
    object: &'static str,
    /// Who is told about exposed and aging keys.
    security_contact: Option<String>,
    /// What happens to a key that was seen where it must not be. Over plain HTTP it is revoked, whatever is set here.
    key_exposure_policy: Word<ExposurePolicy>,
    /// Days after which a key stops working, whatever its own date says.
    api_key_max_age_days: Option<u16>,
    /// Origins whose pages may call with a session.
    browser_origins: Vec<String>,
}

impl From<orgs::Settings> for Settings {
    fn from(settings: orgs::Settings) -> Self {
        Self {
            object: "settings",
            security_contact: settings.security_contact.map(|contact| contact.expose().clone()),
            key_exposure_policy: Word(settings.exposure_policy),
            api_key_max_age_days: settings.key_max_age_days,
            browser_origins: settings.browser_origins,
        }
    }
}

/// What is to change; what is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NewSettings {
    /// Who is told about exposed and aging keys; `null` for nobody.
    #[serde(default, deserialize_with = "present")]
    security_contact: Option<Option<String>>,
    /// What happens to a key that was seen where it must not be.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Word<ExposurePolicy>")]
    key_exposure_policy: Option<Word<ExposurePolicy>>,
    /// Days after which a key stops working; `null` for never.
    #[serde(default, deserialize_with = "present")]
    #[schemars(range(min = 1, max = 3650))]
    api_key_max_age_days: Option<Option<u16>>,
    /// Origins whose pages may call with a session.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Vec<String>", length(max = 50))]
    browser_origins: Option<Vec<String>>,
}

pub(super) async fn get(State(api): State<Arc<Api>>, Who(caller): Who) -> Result<Json<Settings>, Problem> {
    Ok(Json(orgs::settings(&api.platform, &caller.org).await?.into()))
}

pub(super) async fn change(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    body: Body<NewSettings>,
) -> Result<Json<Settings>, Problem> {
    let change = SettingsChange {
        security_contact: body
            .security_contact
            .clone()
            .map(|contact| contact.map(Personal::new)),
        exposure_policy: body.key_exposure_policy.map(|policy| policy.0),
        key_max_age_days: body.api_key_max_age_days,
        browser_origins: body.browser_origins.clone(),
    };
    let actor = caller.actor.as_str();
    let changed = orgs::change_settings(&api.platform, &caller.org, actor, &caller.origin, change).await?;
    Ok(Json(changed.into()))
}

/// Who is calling.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Me {
    object: &'static str,
    #[schemars(with = "String")]
    organization_id: OrgId,
    /// The key, if it is a program that calls.
    key_id: Option<String>,
    /// The member, if it is a person.
    member_id: Option<String>,
    mode: Word<Mode>,
    #[schemars(with = "Vec<Word<Permission>>")]
    permissions: Vec<String>,
    plan: Word<Plan>,
}

pub(super) async fn me(Who(caller): Who) -> Json<Me> {
    Json(Me {
        object: "caller",
        key_id: matches!(caller.actor, Actor::Key(_)).then(|| caller.actor.as_str().to_owned()),
        member_id: matches!(caller.actor, Actor::Member(_)).then(|| caller.actor.as_str().to_owned()),
        mode: Word(caller.mode),
        permissions: caller.permissions.words().to_vec(),
        plan: Word(caller.plan),
        organization_id: caller.org,
    })
}
