//! `/v1/members`: who may act for the organization, and as what.

use super::extract::{Body, IdText, Limit, PathId, Query, Who, present};
use super::page::{Deleted, List};
use super::word::Word;
use super::{Answered, Api, Code, Created, Problem};
use crate::features::people::{self, MemberError, Role};
use crate::id::{Id as _, IssuerId, MemberId};
use crate::secret::Personal;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Whom to add.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NewMember {
    /// The issuer whose word is taken for who it is.
    issuer_id: IdText<IssuerId>,
    /// `sub` of its tokens.
    #[schemars(length(min = 1, max = 255))]
    subject: String,
    /// What it may do.
    role: Word<Role>,
}

/// What is to change.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRole {
    /// What it may do from now on.
    role: Word<Role>,
}

/// A member of the organization.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Member {
    id: String,
    object: &'static str,
    issuer_id: String,
    subject: String,
    role: Word<Role>,
    created_at: String,
}

impl From<people::Member> for Member {
    fn from(member: people::Member) -> Self {
        Self {
            id: member.id.to_string(),
            object: "member",
            issuer_id: member.issuer.to_string(),
            subject: member.subject.expose().clone(),
            role: Word(member.role),
            created_at: member.created_at.rfc3339(),
        }
    }
}

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    body: Body<NewMember>,
) -> Result<Created<Member>, Problem> {
    let new = people::NewMember {
        issuer: body.issuer_id.0.clone(),
        subject: Personal::new(body.subject.clone()),
        role: body.role.0,
    };
    let added = people::add_member(&api.platform, &caller.by(), new).await?;
    Ok(Answered(added.into()))
}

/// Which members to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MembersQuery {
    /// How many to show.
    #[serde(default, deserialize_with = "present")]
    limit: Option<Limit>,
    /// Show those after this one.
    #[serde(default, deserialize_with = "present")]
    starting_after: Option<IdText<MemberId>>,
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Query(query): Query<MembersQuery>,
) -> Result<Json<List<Member>>, Problem> {
    let limit = Limit::get(query.limit);
    let after = query.starting_after.map(|id| id.0);
    let page = people::members(&api.platform, &caller.org, limit, after).await?;
    let data = page.members.into_iter().map(Member::from).collect();
    Ok(Json(List::new(data, page.has_more, page.total, false)))
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<MemberId>,
) -> Result<Json<Member>, Problem> {
    Ok(Json(
        people::member(&api.platform, &caller.org, &id).await?.into(),
    ))
}

pub(super) async fn change(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<MemberId>,
    body: Body<NewRole>,
) -> Result<Json<Member>, Problem> {
    let changed = people::change_role(&api.platform, &caller.by(), &id, body.role.0).await?;
    Ok(Json(changed.into()))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<MemberId>,
) -> Result<Json<Deleted>, Problem> {
    people::remove_member(&api.platform, &caller.by(), &id).await?;
    Ok(Json(Deleted::new(id.as_str(), "member")))
}

impl From<MemberError> for Problem {
    fn from(error: MemberError) -> Self {
        let text = error.to_string();
        match error {
            MemberError::Subject => Self::invalid("subject", text),
            MemberError::Issuer => Self::invalid("issuerId", text),
            MemberError::Taken => Self::new(Code::AlreadyExists, text),
            MemberError::Stronger => Self::new(Code::ForbiddenEscalation, text),
            MemberError::TooMany => Self::new(Code::LimitReached, text),
            MemberError::Unknown => Self::not_found("member"),
            MemberError::After => Self::invalid("starting_after", text),
            MemberError::Itself => Self::new(Code::CannotDeleteSelf, text),
            MemberError::Store(error) => error.into(),
            MemberError::Vault(error) => error.into(),
        }
    }
}
