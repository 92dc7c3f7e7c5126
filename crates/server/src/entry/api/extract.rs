//! What handlers take: the caller, an id, a query, a body. Each is read strictly and describes itself in the OpenAPI document.

use super::json::{self, OWN_WORDS, Received};
use super::{Api, Problem};
use crate::clock::Timestamp;
use crate::features::keys::Caller;
use crate::id::{
    DeliveryId, DomainId, EmailId, EventId, Id, IssuerId, KeyId, MemberId, RelayId, SuppressionId,
    TemplateId, WebhookId,
};
use crate::limits::{PAGE_DEFAULT, PAGE_MAX, SMALL_BODY_BYTES_MAX};
use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, RequestBody, SchemaObject};
use aide::operation::{ParamLocation, add_parameters, parameters_from_schema, set_body};
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::request::Parts;
use http::{Method, header};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Deref;
use std::sync::Arc;

/// Who calls: put there by the guard, which has found the caller good and permitted.
pub(super) struct Who(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Only a route that the table opens to anyone has none; such a handler has no business asking.
        parts
            .extensions
            .get::<Caller>()
            .cloned()
            .map(Self)
            .ok_or_else(Problem::internal)
    }
}

impl OperationInput for Who {}

/// An id that stands in a path.
pub(super) trait Named: Id {
    /// What it is the id of, as refusals call it.
    const NOUN: &'static str;
}

impl Named for EmailId {
    const NOUN: &'static str = "e-mail";
}

impl Named for DomainId {
    const NOUN: &'static str = "domain";
}

impl Named for DeliveryId {
    const NOUN: &'static str = "webhook delivery";
}

impl Named for EventId {
    const NOUN: &'static str = "event";
}

impl Named for SuppressionId {
    const NOUN: &'static str = "suppression";
}

impl Named for TemplateId {
    const NOUN: &'static str = "template";
}

impl Named for RelayId {
    const NOUN: &'static str = "relay";
}

impl Named for WebhookId {
    const NOUN: &'static str = "webhook endpoint";
}

impl Named for KeyId {
    const NOUN: &'static str = "API key";
}

impl Named for IssuerId {
    const NOUN: &'static str = "session issuer";
}

impl Named for MemberId {
    const NOUN: &'static str = "member";
}

/// The id in the path. One of another form is not found, like one that does not exist.
pub(super) struct PathId<T>(pub(super) T);

impl<T: Named, S: Send + Sync> FromRequestParts<S> for PathId<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let unknown = || Problem::not_found(T::NOUN);
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        let text = path.map_err(|_| unknown())?;
        T::parse(&text).map(Self).ok_or_else(unknown)
    }
}

impl<T: Named> OperationInput for PathId<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let id = IdText::<T>::json_schema(&mut ctx.schema);
        let path = json_schema!({ "type": "object", "properties": { "id": id }, "required": ["id"] });
        let parameters = parameters_from_schema(ctx, path, ParamLocation::Path);
        add_parameters(ctx, operation, parameters);
    }
}

/// The ids in a path of a thing that belongs to another: `{id}` and `{delivery_id}`.
pub(super) struct PathIds<T, U>(pub(super) T, pub(super) U);

impl<T: Named, U: Named, S: Send + Sync> FromRequestParts<S> for PathIds<T, U> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<(String, String)>::from_request_parts(parts, state).await;
        let (owner, own) = path.map_err(|_| Problem::not_found(T::NOUN))?.0;
        let owner = T::parse(&owner).ok_or_else(|| Problem::not_found(T::NOUN))?;
        let own = U::parse(&own).ok_or_else(|| Problem::not_found(U::NOUN))?;
        Ok(Self(owner, own))
    }
}

impl<T: Named, U: Named> OperationInput for PathIds<T, U> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let id = IdText::<T>::json_schema(&mut ctx.schema);
        let own = IdText::<U>::json_schema(&mut ctx.schema);
        let path = json_schema!({
            "type": "object", "properties": { "id": id, "delivery_id": own }, "required": ["id", "delivery_id"],
        });
        let parameters = parameters_from_schema(ctx, path, ParamLocation::Path);
        add_parameters(ctx, operation, parameters);
    }
}

/// The query parameters, each at most once; what `T` does not have is refused.
///
/// Every field of `T` reads from text and is `Option` with `#[serde(default, deserialize_with = "present")]`.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let mut seen = HashSet::new();
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query)
            .map_err(|_| Problem::invalid("query", "the query string can't be decoded"))?;
        for (name, _) in &pairs {
            if !seen.insert(name.clone()) {
                return Err(Problem::invalid(
                    name.as_str(),
                    "this query parameter is given twice",
                ));
            }
        }
        let from = MapDeserializer::<_, serde::de::value::Error>::new(pairs.into_iter());
        serde_path_to_error::deserialize(from)
            .map(Self)
            .map_err(|error| json::misfit(error.path(), &error.inner().to_string()))
    }
}

impl<T: JsonSchema> OperationInput for Query<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let query = ctx.schema.subschema_for::<T>();
        let mut query = ctx.resolve_schema(&query).clone();
        // A parameter that is left out is left out: `null` is no text.
        let fields = query
            .get_mut("properties")
            .and_then(|fields| fields.as_object_mut());
        let fields = fields.into_iter().flat_map(|fields| fields.values_mut());
        for field in fields.filter_map(serde_json::Value::as_object_mut) {
            field.retain(|name, value| name != "default" || !value.is_null());
        }
        let parameters = parameters_from_schema(ctx, query, ParamLocation::Query);
        add_parameters(ctx, operation, parameters);
    }
}

/// The JSON body, at most `BYTES_MAX` bytes. Empty is `{}` where every field is optional.
pub(super) struct Body<T, const BYTES_MAX: usize = SMALL_BODY_BYTES_MAX> {
    value: T,
    received: Received,
}

impl<T, const BYTES_MAX: usize> Body<T, BYTES_MAX> {
    /// The bytes as they came.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.received
    }

    /// The value, and the room that the body takes in memory until it is dropped.
    pub(super) fn into_parts(self) -> (T, Received) {
        (self.value, self.received)
    }
}

impl<T, const BYTES_MAX: usize> Deref for Body<T, BYTES_MAX> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: DeserializeOwned, const BYTES_MAX: usize> FromRequest<Arc<Api>> for Body<T, BYTES_MAX> {
    type Rejection = Problem;
    async fn from_request(request: Request, _: &Arc<Api>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let is_empty =
            axum::body::HttpBody::is_end_stream(&body) && !parts.headers.contains_key(header::CONTENT_TYPE);
        let received = if is_empty {
            Received::empty_object()
        } else {
            json::read(&parts.headers, body, BYTES_MAX).await?
        };
        Ok(Self {
            value: json::parse(&received)?,
            received,
        })
    }
}

impl<T: JsonSchema, const BYTES_MAX: usize> OperationInput for Body<T, BYTES_MAX> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let json_schema = ctx.schema.subschema_for::<T>();
        let resolved = ctx.resolve_schema(&json_schema);
        let required = resolved.get("required").and_then(|names| names.as_array());
        let is_list = resolved.get("type").is_some_and(|kind| kind == "array");
        let is_required = is_list || required.is_some_and(|names| !names.is_empty());
        let media = MediaType {
            schema: Some(SchemaObject {
                json_schema,
                example: None,
                external_docs: None,
            }),
            ..MediaType::default()
        };
        let body = RequestBody {
            content: [("application/json".to_owned(), media)].into_iter().collect(),
            required: is_required,
            ..RequestBody::default()
        };
        set_body(ctx, operation, body);
    }
}

/// Whether a method may have a body at all.
pub(super) fn may_have_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PATCH | Method::PUT)
}

/// An id as a caller writes it: any case.
#[derive(Clone)]
pub(super) struct IdText<T>(pub(super) T);

impl<'de, T: Id> Deserialize<'de> for IdText<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        T::parse(&text).map(Self).ok_or_else(|| {
            D::Error::custom(format!(
                "{OWN_WORDS}expected an id that begins with {}_",
                T::PREFIX
            ))
        })
    }
}

impl<T: Id> JsonSchema for IdText<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("{}_id", T::PREFIX).into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": format!("^{}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$", T::PREFIX) })
    }
}

/// A time as a caller writes it.
#[derive(Clone, Copy)]
pub(super) struct Time(pub(super) Timestamp);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Timestamp::parse(&text).map(Self).ok_or_else(|| {
            D::Error::custom(format!(
                "{OWN_WORDS}expected a date (2026-01-31) or a time with offset (RFC 3339)"
            ))
        })
    }
}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0.rfc3339())
    }
}

impl JsonSchema for Time {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// A time at which something is to happen: to the second, with an offset, so that nobody's midnight is meant.
#[derive(Clone, Copy)]
pub(super) struct Instant(pub(super) Timestamp);

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Timestamp::parse_instant(&text).map(Self).ok_or_else(|| {
            D::Error::custom(format!(
                "{OWN_WORDS}expected a time with offset (RFC 3339, 2026-01-31T09:00:00+01:00)"
            ))
        })
    }
}

impl JsonSchema for Instant {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Instant".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// How many rows a page has.
#[derive(Clone, Copy)]
pub(super) struct Limit(i64);

impl Limit {
    pub(super) fn get(limit: Option<Limit>) -> i64 {
        limit.map_or(PAGE_DEFAULT, |limit| limit.0)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let limit = text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
        let refused = || D::Error::custom(format!("{OWN_WORDS}expected a whole number from 1 to {PAGE_MAX}"));
        limit.map(Self).ok_or_else(refused)
    }
}

impl JsonSchema for Limit {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT })
    }
}

/// Reads a field whose absence and whose `null` mean different things: absent stays, `null` takes away.
pub(super) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}
