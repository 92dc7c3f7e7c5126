//! `/v1/emails`: send, list, get, attempts.

mod show;
mod wire;

use super::extract::{Body, IdText, Limit, PathId, Query, Time, Who, present};
use super::page::List;
use super::word::Word;
use super::{Api, Problem, openapi};
use crate::features::emails::{self, Filter, Idempotency, Sent, Status};
use crate::id::EmailId;
use crate::limits::{IDEMPOTENCY_KEY_CHARS_MAX, REQUEST_BODY_BYTES_MAX};
use aide::generate::GenContext;
use aide::openapi::{Operation, StatusCode};
use aide::{OperationInput, OperationOutput};
use aws_lc_rs::digest;
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderName, HeaderValue, header};
use schemars::JsonSchema;
use sealwright_mail::address::Address;
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;

const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The header `Idempotency-Key` as it came. It is judged after the body was read, so that whoever sends a long one sees the refusal.
pub(super) struct IdempotencyKey(Option<HeaderValue>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.headers.get("idempotency-key").cloned()))
    }
}

impl OperationInput for IdempotencyKey {
    fn operation_input(_: &mut GenContext, operation: &mut Operation) {
        operation.parameters.push(openapi::parameter("Idempotency-Key"));
    }
}

impl IdempotencyKey {
    fn of(self, body: &[u8]) -> Result<Option<Idempotency>, Problem> {
        let Some(value) = self.0 else {
            return Ok(None);
        };
        let fits = |key: &&str| {
            let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(is_known)
        };
        let Some(key) = value.to_str().ok().filter(fits) else {
            let max = IDEMPOTENCY_KEY_CHARS_MAX;
            let message =
                format!("an idempotency key has 1 to {max} letters, digits, dots, dashes and underscores");
            return Err(Problem::invalid("Idempotency-Key", message));
        };
        let mut request_digest = [0; 32];
        request_digest.copy_from_slice(digest::digest(&digest::SHA256, body).as_ref());
        Ok(Some(Idempotency {
            key: key.to_owned(),
            request_digest,
        }))
    }
}

/// The answer to a send: the very bytes that are kept for replays.
pub(super) struct SentAnswer(Sent);

impl IntoResponse for SentAnswer {
    fn into_response(self) -> Response {
        let (answer, is_replay) = match self.0 {
            Sent::Accepted(answer) => (answer, false),
            Sent::Replayed(answer) => (answer, true),
        };
        let mut response = ([(header::CONTENT_TYPE, "application/json")], answer).into_response();
        if is_replay {
            response
                .headers_mut()
                .insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

impl OperationOutput for SentAnswer {
    type Inner = show::AcceptedEmail;

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<StatusCode>, aide::openapi::Response)> {
        let mut answers = Json::<show::AcceptedEmail>::inferred_responses(ctx, operation);
        for (_, answer) in &mut answers {
            openapi::tell(answer, &["Idempotency-Replayed"]);
        }
        answers
    }
}

pub(super) async fn send(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    key: IdempotencyKey,
    body: Body<wire::NewEmail, REQUEST_BODY_BYTES_MAX>,
) -> Result<SentAnswer, Problem> {
    let idempotency = key.of(body.bytes())?;
    let (new, _room) = body.into_parts();
    let draft = new.draft()?;
    let sent = emails::send(
        &api.platform,
        &api.fresh,
        &caller,
        draft,
        idempotency,
        show::accepted,
    );
    Ok(SentAnswer(sent.await?))
}

/// Which e-mails to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmailsQuery {
    /// How many to show.
    #[serde(default, deserialize_with = "present")]
    limit: Option<Limit>,
    /// Show those after this one.
    #[serde(default, deserialize_with = "present")]
    starting_after: Option<IdText<EmailId>>,
    /// Show those before this one.
    #[serde(default, deserialize_with = "present")]
    ending_before: Option<IdText<EmailId>>,
    /// Show those in this status.
    #[serde(default, deserialize_with = "present")]
    status: Option<Word<Status>>,
    /// Show those to this address.
    #[serde(default, deserialize_with = "present")]
    to: Option<String>,
    /// Show those with this tag.
    #[serde(default, deserialize_with = "present")]
    tags: Option<String>,
    /// Show those accepted at or after this time.
    #[serde(default, deserialize_with = "present")]
    from_date: Option<Time>,
    /// Show those accepted before this time.
    #[serde(default, deserialize_with = "present")]
    to_date: Option<Time>,
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Query(query): Query<EmailsQuery>,
) -> Result<Json<List<show::Email>>, Problem> {
    let vault = api.platform.vault.org(&caller.org).await?;
    let address = query.to.map(|text| Address::parse(&text)).transpose();
    let address = address.map_err(|error| Problem::invalid("to", error.to_string()))?;
    let filter = Filter {
        limit: Limit::get(query.limit),
        starting_after: query.starting_after.map(|id| id.0),
        ending_before: query.ending_before.map(|id| id.0),
        status: query.status.map(|status| status.0),
        from: query.from_date.map(|time| time.0),
        until: query.to_date.map(|time| time.0),
        address_index: address.map(|address| vault.blind_index("address", &address.canonical())),
        tag_index: query.tags.map(|tag| vault.blind_index("tag", &tag)),
    };
    let page = emails::list(&api.platform, &caller, filter).await?;
    let data = page.emails.iter().map(show::email).collect();
    Ok(Json(List::new(data, page.has_more, page.total, page.is_capped)))
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<EmailId>,
) -> Result<Json<show::EmailDetail>, Problem> {
    let detail = emails::get(&api.platform, &caller, &id).await?;
    Ok(Json(show::detail(&detail)))
}

pub(super) async fn attempts(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<EmailId>,
) -> Result<Json<List<show::Attempt>>, Problem> {
    let attempts = emails::attempts(&api.platform, &caller, &id).await?;
    let data: Vec<_> = attempts.iter().map(show::attempt).collect();
    let total = i64::try_from(data.len()).unwrap_or(i64::MAX);
    Ok(Json(List::new(data, false, total, false)))
}
