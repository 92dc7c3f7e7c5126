//! `/v1/emails`: send, list, get, attempts.

mod show;
mod wire;

use super::page::{List, Query};
use super::{Api, Problem, caller, json};
use crate::clock::Timestamp;
use crate::features::emails::{self, Filter, Idempotency, Sent, Status};
use crate::id::{EmailId, Id as _};
use crate::limits::{IDEMPOTENCY_KEY_CHARS_MAX, REQUEST_BODY_BYTES_MAX};
use aws_lc_rs::digest;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sealwright_mail::address::Address;
use std::sync::Arc;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

pub(super) async fn send(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let caller = caller::authorise(&api, &headers, "emails:send").await?;
    let received = json::read(&headers, body, REQUEST_BODY_BYTES_MAX).await?;
    let idempotency = idempotency(&headers, &received)?;
    let draft = json::parse::<wire::NewEmail>(&received)?.draft()?;
    let sent = emails::send(
        &api.platform,
        &api.fresh,
        &caller,
        draft,
        idempotency,
        show::accepted,
    )
    .await?;
    let (answer, is_replay) = match sent {
        Sent::Accepted(answer) => (answer, false),
        Sent::Replayed(answer) => (answer, true),
    };
    let mut response = (
        StatusCode::OK,
        [(header::CONTENT_TYPE, "application/json")],
        answer,
    )
        .into_response();
    if is_replay {
        response
            .headers_mut()
            .insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn idempotency(headers: &HeaderMap, body: &[u8]) -> Result<Option<Idempotency>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
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

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<List<show::Email>>, Problem> {
    let caller = caller::authorise(&api, &headers, "emails:read").await?;
    let mut query = Query::parse(query.as_deref())?;
    let vault = api.platform.vault.org(&caller.org).await?;
    let address = query.take("to").map(|text| Address::parse(&text)).transpose();
    let address = address.map_err(|error| Problem::invalid("to", error.to_string()))?;
    let filter = Filter {
        limit: query.take_limit()?,
        starting_after: query.take_id("starting_after")?,
        ending_before: query.take_id("ending_before")?,
        status: take_status(&mut query)?,
        from: take_time(&mut query, "from_date")?,
        until: take_time(&mut query, "to_date")?,
        address_index: address.map(|address| vault.blind_index("address", &address.canonical())),
        tag_index: query.take("tags").map(|tag| vault.blind_index("tag", &tag)),
    };
    query.end()?;
    let page = emails::list(&api.platform, &caller, filter).await?;
    let data = page.emails.iter().map(show::email).collect();
    Ok(Json(List::new(data, page.has_more, page.total, page.is_capped)))
}

fn take_status(query: &mut Query) -> Result<Option<Status>, Problem> {
    let Some(text) = query.take("status") else {
        return Ok(None);
    };
    let names = Status::ALL.map(Status::name).join(", ");
    Status::parse(&text)
        .map(Some)
        .ok_or_else(|| Problem::invalid("status", format!("expected one of {names}")))
}

fn take_time(query: &mut Query, name: &str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = query.take(name) else {
        return Ok(None);
    };
    let refused = || {
        Problem::invalid(
            name,
            "expected a date (2026-01-31) or a time with offset (RFC 3339)",
        )
    };
    Timestamp::parse(&text).map(Some).ok_or_else(refused)
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<show::EmailDetail>, Problem> {
    let caller = caller::authorise(&api, &headers, "emails:read").await?;
    let id = EmailId::parse(&id).ok_or_else(|| Problem::not_found("e-mail"))?;
    Ok(Json(show::detail(
        &emails::get(&api.platform, &caller, &id).await?,
    )))
}

pub(super) async fn attempts(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<List<show::Attempt>>, Problem> {
    let caller = caller::authorise(&api, &headers, "emails:read").await?;
    let id = EmailId::parse(&id).ok_or_else(|| Problem::not_found("e-mail"))?;
    let attempts = emails::attempts(&api.platform, &caller, &id).await?;
    let data: Vec<_> = attempts.iter().map(show::attempt).collect();
    let total = i64::try_from(data.len()).unwrap_or(i64::MAX);
    Ok(Json(List::new(data, false, total, false)))
}
