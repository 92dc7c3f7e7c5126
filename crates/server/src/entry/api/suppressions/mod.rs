//! `/v1/suppressions`.

mod csv;

use super::extract::{Body, IdText, Limit, PathId, Query, Who, present};
use super::json::{self, Received};
use super::page::{Deleted, List};
use super::word::{Spoken as _, Vocabulary as _, Word};
use super::{Answered, Api, Created, Problem};
use crate::features::suppressions::{self, Entry, Suppression, SuppressionError, Type, Which};
use crate::id::SuppressionId;
use crate::limits::{
    SUPPRESSION_IMPORT_BYTES_MAX, SUPPRESSION_REASON_CHARS_MAX, SUPPRESSIONS_EXPORTED_MAX,
    SUPPRESSIONS_IMPORTED_MAX,
};
use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, ReferenceOr, Response as Answer, StatusCode};
use aide::{OperationInput, OperationOutput};
use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use http::header;
use schemars::JsonSchema;
use sealwright_mail::address::Address;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An address that is not to be written to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSuppression {
    /// The address.
    email: String,
    /// Why; `manual` if not given.
    #[serde(rename = "type")]
    kind: Option<Word<Type>>,
    /// Why, in words of your own.
    #[schemars(length(max = SUPPRESSION_REASON_CHARS_MAX))]
    reason: Option<String>,
}

/// A suppression as it holds.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Suppression")]
pub(super) struct Shown {
    id: String,
    object: &'static str,
    email: String,
    #[serde(rename = "type")]
    kind: Word<Type>,
    /// A caller's words, or the receiving host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The e-mail whose outcome it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    email_id: Option<String>,
    created_at: String,
}

impl Shown {
    fn of(suppression: &Suppression) -> Self {
        Self {
            id: suppression.id.to_string(),
            object: "suppression",
            email: suppression.address.expose().clone(),
            kind: Word(suppression.kind),
            reason: suppression.reason.as_ref().map(|reason| reason.expose().clone()),
            email_id: suppression.email.as_ref().map(ToString::to_string),
            created_at: suppression.created_at.rfc3339(),
        }
    }
}

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    new: Body<NewSuppression>,
) -> Result<Created<Shown>, Problem> {
    let (new, _room) = new.into_parts();
    let entry = Entry::parse(&new.email, new.kind.map(|kind| kind.0), new.reason)?;
    let made = suppressions::create(&api.platform, &caller, entry).await?;
    Ok(Answered(Shown::of(&made)))
}

/// Which suppressions to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SuppressionsQuery {
    /// How many to show.
    #[serde(default, deserialize_with = "present")]
    limit: Option<Limit>,
    /// Show those after this one.
    #[serde(default, deserialize_with = "present")]
    starting_after: Option<IdText<SuppressionId>>,
    /// Those of this type.
    #[serde(default, rename = "type", deserialize_with = "present")]
    kind: Option<Word<Type>>,
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Query(query): Query<SuppressionsQuery>,
) -> Result<Json<List<Shown>>, Problem> {
    let (limit, after) = (Limit::get(query.limit), query.starting_after.map(|id| id.0));
    let kind = query.kind.map(|kind| kind.0);
    let page = suppressions::list(&api.platform, &caller, kind, limit, after).await?;
    Ok(Json(shown(&page)))
}

fn shown(page: &suppressions::Page) -> List<Shown> {
    let data = page.suppressions.iter().map(Shown::of).collect();
    List::new(data, page.has_more, page.total, page.is_capped)
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<SuppressionId>,
) -> Result<Json<Shown>, Problem> {
    let found = suppressions::find(&api.platform, &caller, Which::Id(id)).await?;
    let found = found.ok_or(SuppressionError::Unknown)?;
    Ok(Json(Shown::of(&found)))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<SuppressionId>,
) -> Result<Json<Deleted>, Problem> {
    let gone = suppressions::delete(&api.platform, &caller, Which::Id(id)).await?;
    Ok(Json(Deleted::new(&gone.id.to_string(), "suppression")))
}

/// Whose suppression is meant.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressQuery {
    /// The whole address; it is required.
    #[serde(default, deserialize_with = "present")]
    email: Option<String>,
}

impl AddressQuery {
    fn address(self) -> Result<Address, Problem> {
        let text = self
            .email
            .ok_or_else(|| Problem::invalid("email", "this query parameter is required"))?;
        Address::parse(&text).map_err(|error| SuppressionError::from(error).into())
    }
}

/// By its address, which is no part of a path: paths have one form and stand in logs.
pub(super) async fn delete_by_address(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Query(query): Query<AddressQuery>,
) -> Result<Json<Deleted>, Problem> {
    let which = Which::Address(query.address()?);
    let gone = suppressions::delete(&api.platform, &caller, which).await?;
    Ok(Json(Deleted::new(&gone.id.to_string(), "suppression")))
}

/// Whether an address is written to.
#[derive(Serialize, JsonSchema)]
pub(super) struct SuppressionCheck {
    object: &'static str,
    /// The address in its simplest form.
    email: String,
    suppressed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<Word<Type>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(super) async fn check(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Query(query): Query<AddressQuery>,
) -> Result<Json<SuppressionCheck>, Problem> {
    let address = query.address()?;
    let email = address.as_str().to_owned();
    let found = suppressions::find(&api.platform, &caller, Which::Address(address)).await?;
    let found = found.as_ref().map(Shown::of);
    Ok(Json(SuppressionCheck {
        object: "suppression_check",
        email,
        suppressed: found.is_some(),
        kind: found.as_ref().map(|shown| shown.kind),
        reason: found.as_ref().and_then(|shown| shown.reason.clone()),
        id: found.map(|shown| shown.id),
    }))
}

/// Addresses that are not to be written to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSuppressions {
    #[schemars(length(max = SUPPRESSIONS_IMPORTED_MAX))]
    suppressions: Vec<NewSuppression>,
}

/// The body of an import: JSON, or CSV with a header.
pub(super) struct Import {
    /// Each with what is wrong with it, if anything is.
    entries: Vec<Result<Entry, Problem>>,
    _room: Received,
}

impl FromRequest<Arc<Api>> for Import {
    type Rejection = Problem;
    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        if !json::is_media(request.headers(), csv::MEDIA) {
            let body =
                Body::<NewSuppressions, SUPPRESSION_IMPORT_BYTES_MAX>::from_request(request, api).await?;
            let (new, room) = body.into_parts();
            let entry =
                |new: NewSuppression| Ok(Entry::parse(&new.email, new.kind.map(|kind| kind.0), new.reason)?);
            return Self::of(new.suppressions, entry, room);
        }
        let (parts, body) = request.into_parts();
        let room = json::read_media(&parts.headers, body, SUPPRESSION_IMPORT_BYTES_MAX, csv::MEDIA).await?;
        let lines = csv::read(&room).map_err(|error| Problem::invalid("suppressions", error.to_string()))?;
        let entry = |line: csv::Line| {
            let kind = line.kind.as_deref().map(|word| {
                let refused = || format!("expected one of {}", Type::words().join(", "));
                Type::heard(word).ok_or_else(|| Problem::invalid("type", refused()))
            });
            Ok(Entry::parse(&line.email, kind.transpose()?, line.reason)?)
        };
        Self::of(lines, entry, room)
    }
}

impl Import {
    /// Too many are refused before any is read.
    fn of<T>(
        all: Vec<T>,
        entry: impl Fn(T) -> Result<Entry, Problem>,
        room: Received,
    ) -> Result<Self, Problem> {
        if all.len() > SUPPRESSIONS_IMPORTED_MAX {
            return Err(SuppressionError::TooMany.into());
        }
        Ok(Self {
            entries: all.into_iter().map(entry).collect(),
            _room: room,
        })
    }
}

impl OperationInput for Import {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        Body::<NewSuppressions, SUPPRESSION_IMPORT_BYTES_MAX>::operation_input(ctx, operation);
        if let Some(ReferenceOr::Item(body)) = &mut operation.request_body {
            body.content.insert(csv::MEDIA.to_owned(), MediaType::default());
        }
    }
}

/// What an import came to.
#[derive(Serialize, JsonSchema)]
pub(super) struct SuppressionImport {
    object: &'static str,
    /// Addresses that were not suppressed before.
    created: usize,
    /// Addresses that were; they stay as they are.
    existing: usize,
    /// Entries that can't be read; they are left out.
    refused: Vec<RefusedSuppression>,
}

#[derive(Serialize, JsonSchema)]
struct RefusedSuppression {
    /// Its place in the list, or among the lines after the header; 0 is the first.
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<String>,
    message: String,
}

pub(super) async fn import(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Import { entries, _room }: Import,
) -> Result<Json<SuppressionImport>, Problem> {
    let (mut good, mut refused) = (Vec::with_capacity(entries.len()), Vec::new());
    for (index, entry) in entries.into_iter().enumerate() {
        match entry {
            Ok(entry) => good.push(entry),
            Err(problem) => refused.push(RefusedSuppression {
                index,
                param: problem.param().map(str::to_owned),
                message: problem.message().to_owned(),
            }),
        }
    }
    let imported = suppressions::import(&api.platform, &caller, &good).await?;
    Ok(Json(SuppressionImport {
        object: "suppression_import",
        created: imported.created,
        existing: imported.existing,
        refused,
    }))
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ExportFormat {
    Json,
    Csv,
}

/// What to export, and how.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportQuery {
    /// `json` if not given.
    #[serde(default, deserialize_with = "present")]
    format: Option<ExportFormat>,
    /// Those of this type.
    #[serde(default, rename = "type", deserialize_with = "present")]
    kind: Option<Word<Type>>,
    /// Those after this one: the last of the part before.
    #[serde(default, deserialize_with = "present")]
    starting_after: Option<IdText<SuppressionId>>,
}

/// A part of an export; `Link` leads to the next.
pub(super) struct Export {
    format: ExportFormat,
    page: suppressions::Page,
    next: Option<String>,
}

pub(super) async fn export(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Query(query): Query<ExportQuery>,
) -> Result<Export, Problem> {
    let format = query.format.unwrap_or(ExportFormat::Json);
    let (kind, after) = (query.kind.map(|kind| kind.0), query.starting_after.map(|id| id.0));
    let page = suppressions::list(&api.platform, &caller, kind, SUPPRESSIONS_EXPORTED_MAX, after).await?;
    let last = page.suppressions.last().filter(|_| page.has_more);
    let next = last.map(|last| {
        let word = match format {
            ExportFormat::Json => "json",
            ExportFormat::Csv => "csv",
        };
        let kind = kind
            .map(|kind| format!("&type={}", kind.name()))
            .unwrap_or_default();
        let path = "/v1/suppressions/export";
        format!(
            "<{path}?format={word}{kind}&starting_after={}>; rel=\"next\"",
            last.id
        )
    });
    Ok(Export { format, page, next })
}

impl IntoResponse for Export {
    fn into_response(self) -> Response {
        let link = self.next.map(|next| [(header::LINK, next)]);
        match self.format {
            ExportFormat::Json => (link, Json(shown(&self.page))).into_response(),
            ExportFormat::Csv => {
                let media = [(header::CONTENT_TYPE, csv::MEDIA)];
                (link, media, csv::write(&self.page.suppressions)).into_response()
            }
        }
    }
}

impl OperationOutput for Export {
    type Inner = List<Shown>;

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<StatusCode>, Answer)> {
        let mut answers = Json::<List<Shown>>::inferred_responses(ctx, operation);
        for (_, answer) in &mut answers {
            answer.content.insert(csv::MEDIA.to_owned(), MediaType::default());
        }
        answers
    }
}
