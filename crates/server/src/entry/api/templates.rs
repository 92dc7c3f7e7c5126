//! `/v1/templates`.

use super::extract::{Body, IdText, Limit, PathId, Query, Who, present};
use super::page::{Deleted, List};
use super::variables::Variables;
use super::{Answered, Api, Created, Problem};
use crate::features::templates::{self, Change, Rendered, Source, Template, TemplatesError, Version};
use crate::id::{Id as _, TemplateId};
use crate::limits::{NAME_CHARS_MAX, TEMPLATE_BODY_BYTES_MAX};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use sealwright_mail::template::Value;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A template to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTemplate {
    /// What people call it.
    #[schemars(length(min = 1, max = NAME_CHARS_MAX))]
    name: String,
    /// The subject.
    subject: Option<String>,
    /// The HTML part; this or `text` is needed.
    html: Option<String>,
    /// The text part; derived from `html` when mail is sent, if not given.
    text: Option<String>,
    /// The AMP part, beside `html`.
    amp: Option<String>,
}

/// What is to change of a template. A new part makes a new version, which becomes the active one; `null` takes a part away.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct TemplateChange {
    /// What people call it.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String", length(min = 1, max = NAME_CHARS_MAX))]
    name: Option<String>,
    /// The version that mail is to be made from.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "u32")]
    active_version: Option<u32>,
    /// The subject.
    #[serde(default, deserialize_with = "present")]
    subject: Option<Option<String>>,
    /// The HTML part.
    #[serde(default, deserialize_with = "present")]
    html: Option<Option<String>>,
    /// The text part.
    #[serde(default, deserialize_with = "present")]
    text: Option<Option<String>>,
    /// The AMP part.
    #[serde(default, deserialize_with = "present")]
    amp: Option<Option<String>>,
}

/// A template.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Template")]
pub(super) struct Shown {
    id: String,
    object: &'static str,
    name: String,
    /// The version that mail is made from.
    active_version: i64,
    created_at: String,
    updated_at: String,
}

impl From<Template> for Shown {
    fn from(template: Template) -> Self {
        Self {
            id: template.id.to_string(),
            object: "template",
            name: template.name,
            active_version: template.active_version,
            created_at: template.created_at.rfc3339(),
            updated_at: template.updated_at.rfc3339(),
        }
    }
}

/// A template with what it says.
#[derive(Serialize, JsonSchema)]
pub(super) struct TemplateDetail {
    #[serde(flatten)]
    template: Shown,
    /// `null` when there is no such part.
    subject: Option<String>,
    html: Option<String>,
    text: Option<String>,
    amp: Option<String>,
    /// The names of the values that it uses.
    variables: Vec<String>,
    /// The versions that are kept, latest first.
    versions: Vec<ShownVersion>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TemplateVersion")]
struct ShownVersion {
    version: i64,
    created_at: String,
}

impl From<&Version> for ShownVersion {
    fn from(version: &Version) -> Self {
        Self {
            version: version.number,
            created_at: version.created_at.rfc3339(),
        }
    }
}

/// Which templates to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TemplatesQuery {
    /// How many to show.
    #[serde(default, deserialize_with = "present")]
    limit: Option<Limit>,
    /// Show those after this one.
    #[serde(default, deserialize_with = "present")]
    starting_after: Option<IdText<TemplateId>>,
}

/// Values to try a template with.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Trial {
    /// Values by name.
    #[serde(default)]
    variables: Variables,
}

/// What mail made from a template would say.
#[derive(Serialize, JsonSchema)]
pub(super) struct Rendering {
    object: &'static str,
    /// `null` when there is no such part.
    subject: Option<String>,
    html: Option<String>,
    text: Option<String>,
    amp: Option<String>,
}

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    body: Body<NewTemplate, TEMPLATE_BODY_BYTES_MAX>,
) -> Result<Created<Shown>, Problem> {
    let (new, _room) = body.into_parts();
    let source = Source {
        subject: new.subject,
        html: new.html,
        text: new.text,
        amp: new.amp,
    };
    let made = templates::create(&api.platform, &caller, new.name, &source).await?;
    Ok(Answered(made.into()))
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Query(query): Query<TemplatesQuery>,
) -> Result<Json<List<Shown>>, Problem> {
    let (limit, after) = (Limit::get(query.limit), query.starting_after.map(|id| id.0));
    let page = templates::list(&api.platform, &caller, limit, after).await?;
    let data = page.templates.into_iter().map(Shown::from).collect();
    Ok(Json(List::new(data, page.has_more, page.total, false)))
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<TemplateId>,
) -> Result<Json<TemplateDetail>, Problem> {
    let (template, versions, source) = templates::get(&api.platform, &caller, &id).await?;
    let (source, variables) = aside(move || {
        let variables = source.parse()?.names().into_iter().collect();
        Ok((source, variables))
    })
    .await?;
    Ok(Json(TemplateDetail {
        template: template.into(),
        subject: source.subject,
        html: source.html,
        text: source.text,
        amp: source.amp,
        variables,
        versions: versions.iter().map(ShownVersion::from).collect(),
    }))
}

pub(super) async fn change(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<TemplateId>,
    body: Body<TemplateChange, TEMPLATE_BODY_BYTES_MAX>,
) -> Result<Json<Shown>, Problem> {
    let (change, _room) = body.into_parts();
    let change = Change {
        name: change.name,
        active_version: change.active_version.map(i64::from),
        subject: change.subject,
        html: change.html,
        text: change.text,
        amp: change.amp,
    };
    Ok(Json(
        templates::update(&api.platform, &caller, &id, change)
            .await?
            .into(),
    ))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<TemplateId>,
) -> Result<Json<Deleted>, Problem> {
    templates::delete(&api.platform, &caller, &id).await?;
    Ok(Json(Deleted::new(id.as_str(), "template")))
}

pub(super) async fn render(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<TemplateId>,
    body: Body<Trial, TEMPLATE_BODY_BYTES_MAX>,
) -> Result<Json<Rendering>, Problem> {
    let (trial, _room) = body.into_parts();
    let source = templates::source(&api.platform, &caller, &id).await?;
    let variables = Value::Map(trial.variables.within("variables")?);
    let Rendered {
        subject,
        html,
        text,
        amp,
    } = aside(move || source.parse()?.render(&variables)).await?;
    Ok(Json(Rendering {
        object: "rendering",
        subject,
        html,
        text,
        amp,
    }))
}

/// Reads or renders where it does not hold up other requests.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, templates::PartError> + Send + 'static,
) -> Result<T, Problem> {
    let done = templates::aside(work).await;
    done.map_err(|error: TemplatesError| error.into())
}
