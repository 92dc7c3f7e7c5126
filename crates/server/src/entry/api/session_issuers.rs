//! `/v1/session-issuers`: whose session tokens the organization trusts.

use super::extract::{Body, PathId, Who};
use super::page::{Deleted, List};
use super::word::Word;
use super::{Answered, Api, Code, Created, Problem};
use crate::features::people::{self, Algorithm, IssuerError, NewIssuer, Proof};
use crate::id::{Id as _, IssuerId};
use crate::secret::Secret;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Whose tokens to trust.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NewSessionIssuer {
    /// `iss` of its tokens.
    #[schemars(length(min = 1, max = 255))]
    issuer: String,
    /// What `aud` of its tokens has to name.
    #[schemars(length(min = 1, max = 255))]
    audience: String,
    /// The one algorithm that its tokens are signed with.
    algorithm: Word<Algorithm>,
    /// The secret of HS256: at least 32 bytes. It is never shown.
    #[schemars(length(min = 32, max = 1024))]
    secret: Option<String>,
    /// Where the keys of RS256 or ES256 are published: an https URL that everybody can reach.
    jwks_url: Option<String>,
    /// Whether tokens without `nbf` are refused, also when they have `iat`.
    #[serde(default)]
    require_nbf: bool,
}

/// An issuer of session tokens.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionIssuer {
    id: String,
    object: &'static str,
    issuer: String,
    audience: String,
    algorithm: Word<Algorithm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_url: Option<String>,
    require_nbf: bool,
    created_at: String,
}

impl From<people::Issuer> for SessionIssuer {
    fn from(issuer: people::Issuer) -> Self {
        Self {
            id: issuer.id.to_string(),
            object: "session_issuer",
            issuer: issuer.name,
            audience: issuer.audience,
            algorithm: Word(issuer.algorithm),
            jwks_url: issuer.jwks_url,
            require_nbf: issuer.requires_nbf,
            created_at: issuer.created_at.rfc3339(),
        }
    }
}

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    body: Body<NewSessionIssuer>,
) -> Result<Created<SessionIssuer>, Problem> {
    let (new, _room) = body.into_parts();
    let secret = new.secret.map(Secret::new);
    let new = NewIssuer {
        proof: Proof::new(new.algorithm.0, secret, new.jwks_url.as_deref())?,
        name: new.issuer,
        audience: new.audience,
        requires_nbf: new.require_nbf,
    };
    let added = people::add_issuer(&api.platform, &caller.by(), new).await?;
    Ok(Answered(added.into()))
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
) -> Result<Json<List<SessionIssuer>>, Problem> {
    let issuers = people::issuers(&api.platform, &caller.org).await?;
    let total = i64::try_from(issuers.len()).unwrap_or(i64::MAX);
    let data = issuers.into_iter().map(SessionIssuer::from).collect();
    Ok(Json(List::new(data, false, total, false)))
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<IssuerId>,
) -> Result<Json<SessionIssuer>, Problem> {
    Ok(Json(
        people::issuer(&api.platform, &caller.org, &id).await?.into(),
    ))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<IssuerId>,
) -> Result<Json<Deleted>, Problem> {
    people::remove_issuer(&api.platform, &caller.by(), &id).await?;
    Ok(Json(Deleted::new(id.as_str(), "session_issuer")))
}

impl From<IssuerError> for Problem {
    fn from(error: IssuerError) -> Self {
        let text = error.to_string();
        match error {
            IssuerError::Name => Self::invalid("issuer", text),
            IssuerError::Audience => Self::invalid("audience", text),
            IssuerError::Secret => Self::invalid("secret", text),
            IssuerError::NoJwks | IssuerError::Url(_) => Self::invalid("jwksUrl", text),
            IssuerError::Taken => Self::new(Code::AlreadyExists, text),
            IssuerError::TooMany => Self::new(Code::LimitReached, text),
            IssuerError::Unknown => Self::not_found("session issuer"),
            IssuerError::Stronger => Self::new(Code::ForbiddenEscalation, text),
            IssuerError::Store(error) => error.into(),
            IssuerError::Vault(error) => error.into(),
        }
    }
}
