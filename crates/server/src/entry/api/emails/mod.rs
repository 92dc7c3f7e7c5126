//! `/v1/emails`: send one or many, list, get, attempts; move and take back what is scheduled.

mod refused;
mod show;
mod wire;

use super::extract::{Body, IdText, Limit, PathId, Query, Time, Who, present};
use super::page::List;
use super::word::Word;
use super::{Api, Problem, openapi};
use crate::features::emails::{self, Draft, Fetcher, Filling, Filter, Idempotency, Link, Sent, Status};
use crate::features::keys::Caller;
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
use std::marker::PhantomData;
use std::num::NonZeroU32;
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

/// The answer to a send, a `T` by now written out: the very bytes that are kept for replays.
pub(super) struct SentAnswer<T> {
    sent: Sent,
    shape: PhantomData<T>,
}

impl<T> From<Sent> for SentAnswer<T> {
    fn from(sent: Sent) -> Self {
        Self {
            sent,
            shape: PhantomData,
        }
    }
}

impl<T> IntoResponse for SentAnswer<T> {
    fn into_response(self) -> Response {
        let (answer, is_replay) = match self.sent {
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

impl<T: JsonSchema> OperationOutput for SentAnswer<T> {
    type Inner = T;

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<StatusCode>, aide::openapi::Response)> {
        let mut answers = Json::<T>::inferred_responses(ctx, operation);
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
) -> Result<SentAnswer<show::AcceptedEmail>, Problem> {
    let idempotency = key.of(body.bytes())?;
    let (new, _room) = body.into_parts();
    let (draft, links, filling) = new.draft()?;
    // What is fetched, or a template, may be gone by now, and the time it was to leave at is past.
    if (!links.is_empty() || draft.scheduled_at.is_some() || !filling.is_nothing())
        && let Some(replay) = replayed(&api, &caller, idempotency.as_ref()).await?
    {
        return Ok(replay.into());
    }
    if filling.of_recipients.is_some() {
        return Ok(send_each(&api, &caller, (draft, links, filling), idempotency)
            .await?
            .into());
    }
    let mut drafts = emails::fill(&api.platform, &caller, draft, filling).await?;
    let draft = drafts.pop().ok_or_else(Problem::internal)?;
    let mut fetcher = Fetcher::new(&api.platform, &api.net.http, &caller);
    let draft = fetcher.complete(draft, links).await?;
    let sent = emails::send(
        &api.platform,
        &api.fresh,
        &caller,
        draft,
        idempotency,
        show::accepted,
    );
    Ok(sent.await?.into())
}

/// Sends an e-mail to each recipient, each with values of its own; each counts as a request.
async fn send_each(
    api: &Api,
    caller: &Caller,
    (draft, links, filling): (Draft, Vec<Link>, Filling),
    idempotency: Option<Idempotency>,
) -> Result<Sent, Problem> {
    draft.check_recipients()?;
    let mut drafts = emails::fill(&api.platform, caller, draft, filling).await?;
    let count = u32::try_from(drafts.len()).ok().and_then(NonZeroU32::new);
    api.paces
        .charge_batch(&api.platform, caller, count.ok_or_else(Problem::internal)?)?;
    if let Some(first) = drafts.first_mut() {
        let mut fetcher = Fetcher::new(&api.platform, &api.net.http, caller);
        *first = fetcher.complete(first.clone(), links).await?;
    }
    emails::share_attachments(&mut drafts)?;
    let sent = emails::send_all(&api.platform, &api.fresh, caller, drafts, idempotency, show::each);
    Ok(sent.await?)
}

/// One e-mail of a batch, with its values; it stays one.
async fn fill_one(
    api: &Api,
    caller: &Caller,
    email: Result<wire::NewEmail, Problem>,
) -> Result<(Draft, Vec<Link>), Problem> {
    let (draft, links, filling) = email?.draft()?;
    if filling.of_recipients.is_some() {
        let message = "in a batch each e-mail has its own variables; list one e-mail for each recipient";
        return Err(Problem::invalid("recipientVariables", message));
    }
    let mut drafts = emails::fill(&api.platform, caller, draft, filling).await?;
    Ok((drafts.pop().ok_or_else(Problem::internal)?, links))
}

pub(super) async fn send_batch(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    key: IdempotencyKey,
    body: Body<wire::Batch, REQUEST_BODY_BYTES_MAX>,
) -> Result<SentAnswer<show::BatchAnswer>, Problem> {
    let idempotency = key.of(body.bytes())?;
    let (batch, _room) = body.into_parts();
    let (count, emails) = batch.read()?;
    if let Some(replay) = replayed(&api, &caller, idempotency.as_ref()).await? {
        return Ok(replay.into());
    }
    api.paces.charge_batch(&api.platform, &caller, count)?;
    let mut fetcher = Fetcher::new(&api.platform, &api.net.http, &caller);
    let mut drafts = Vec::with_capacity(emails.len());
    for email in emails {
        drafts.push(match fill_one(&api, &caller, email).await {
            Ok((draft, links)) => match fetcher.complete(draft, links).await {
                Err(error) if error.is_failure() => return Err(error.into()),
                completed => completed.map_err(Problem::from),
            },
            Err(refused) => Err(refused),
        });
    }
    let sent = emails::send_batch(
        &api.platform,
        &api.fresh,
        &caller,
        drafts,
        idempotency,
        show::batch,
    );
    Ok(sent.await?.into())
}

/// The first answer to a request that was done before: it is neither charged nor done again.
async fn replayed(
    api: &Api,
    caller: &Caller,
    idempotency: Option<&Idempotency>,
) -> Result<Option<Sent>, Problem> {
    match idempotency {
        Some(idempotency) => Ok(emails::replayed(&api.platform, caller, idempotency).await?),
        None => Ok(None),
    }
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

pub(super) async fn change(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<EmailId>,
    body: Body<wire::EmailChange>,
) -> Result<Json<show::Email>, Problem> {
    let summary = emails::reschedule(&api.platform, &caller, &id, body.scheduled_at.0).await?;
    Ok(Json(show::email(&summary)))
}

pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<EmailId>,
) -> Result<Json<show::CancelledEmail>, Problem> {
    emails::cancel(&api.platform, &caller, &id).await?;
    Ok(Json(show::cancelled(&id)))
}

pub(super) async fn content(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<EmailId>,
) -> Result<Json<show::Content>, Problem> {
    let message = emails::content(&api.platform, &caller, &id).await?;
    Ok(Json(show::content(&message)))
}

pub(super) async fn events(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<EmailId>,
) -> Result<Json<List<show::Timeline>>, Problem> {
    let data = show::timeline(&emails::timeline(&api.platform, &caller, &id).await?);
    let total = i64::try_from(data.len()).unwrap_or(i64::MAX);
    Ok(Json(List::new(data, false, total, false)))
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
