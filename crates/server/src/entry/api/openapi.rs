//! The OpenAPI document: its head, what every operation takes and answers beside its own, and the door that serves it.

use super::Api;
use super::problem::Envelope;
use super::route::Access;
use super::word::Word;
use crate::limits::IDEMPOTENCY_KEY_CHARS_MAX;
use crate::mode::Mode;
use aide::OperationOutput;
use aide::generate::{GenContext, in_context};
use aide::openapi::{
    ApiKeyLocation, Components, Header, HeaderStyle, Info, License, MediaType, OpenApi, Operation, Parameter,
    ParameterData, ParameterSchemaOrContent, ReferenceOr, Response as Answer, SchemaObject, SecurityScheme,
    Server, StatusCode,
};
use aide::transform::TransformOperation;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use schemars::{Schema, json_schema};
use std::sync::Arc;

/// Names of the schemes by which callers say who they are: a key alone, or a session and the organization that it is for.
const KEY: &str = "bearer";
const SESSION: &str = "session";
const ORGANIZATION: &str = "organization";

/// Headers that tell a caller where it stands with its quotas.
const STANDINGS: [&str; 5] = [
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "RateLimit-Policy",
    "RateLimit",
];

/// The document without its operations.
pub(super) fn head() -> OpenApi {
    OpenApi {
        info: Info {
            title: "Sealwright".to_owned(),
            summary: Some("E-mail that programs send and receive".to_owned()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            license: Some(License {
                name: "Apache-2.0".to_owned(),
                identifier: Some("Apache-2.0".to_owned()),
                ..License::default()
            }),
            ..Info::default()
        },
        servers: vec![Server {
            url: "/".to_owned(),
            description: Some("The server that this document came from".to_owned()),
            ..Server::default()
        }],
        components: Some(Components {
            security_schemes: schemes()
                .into_iter()
                .map(|(name, scheme)| (name.to_owned(), ReferenceOr::Item(scheme)))
                .collect(),
            headers: headers()
                .into_iter()
                .map(|(name, schema, text)| (name.to_owned(), ReferenceOr::Item(header(schema, text))))
                .collect(),
            parameters: parameters()
                .into_iter()
                .map(|(name, schema, text)| (name.to_owned(), ReferenceOr::Item(taken(name, schema, text))))
                .collect(),
            responses: refusals()
                .into_iter()
                .map(|(name, text, headers)| (name.to_owned(), ReferenceOr::Item(refusal(text, headers))))
                .collect(),
            ..Components::default()
        }),
        ..OpenApi::default()
    }
}

fn schemes() -> [(&'static str, SecurityScheme); 3] {
    let bearer = |text: &str, format: Option<&str>| SecurityScheme::Http {
        scheme: "bearer".to_owned(),
        bearer_format: format.map(str::to_owned),
        description: Some(text.to_owned()),
        extensions: Default::default(),
    };
    let organization = SecurityScheme::ApiKey {
        location: ApiKeyLocation::Header,
        name: "Sealwright-Organization".to_owned(),
        description: Some("The organization that a session is for; a key has its own".to_owned()),
        extensions: Default::default(),
    };
    [
        (KEY, bearer("An API key", None)),
        (
            SESSION,
            bearer("A token of an issuer that the organization trusts", Some("JWT")),
        ),
        (ORGANIZATION, organization),
    ]
}

/// What answers bear: name, form, meaning.
fn headers() -> [(&'static str, Schema, &'static str); 8] {
    let whole = || json_schema!({ "type": "integer", "minimum": 0 });
    let text = || json_schema!({ "type": "string" });
    let [limit, remaining, reset, policy, standing] = STANDINGS;
    [
        ("X-Request-Id", text(), "Names the request in the operator's log."),
        ("Retry-After", whole(), "Seconds after which to try again."),
        (
            "Idempotency-Replayed",
            json_schema!({ "const": "true" }),
            "That this is the answer to an earlier request with the same key.",
        ),
        (
            limit,
            whole(),
            "Requests that the quota allows which is closest to its end.",
        ),
        (remaining, whole(), "Requests that are left of it."),
        (reset, whole(), "When it is full again, in seconds since 1970."),
        (
            policy,
            text(),
            "Every quota of the caller: requests (q) in seconds (w).",
        ),
        (
            standing,
            text(),
            "What is left of each (r), and the seconds until it is full (t).",
        ),
    ]
}

/// What requests may bear beside `Authorization`: name, form, meaning.
fn parameters() -> [(&'static str, Schema, &'static str); 2] {
    let key = json_schema!({ "type": "string", "pattern": format!("^[A-Za-z0-9._-]{{1,{IDEMPOTENCY_KEY_CHARS_MAX}}}$") });
    let mode = in_context(|ctx| ctx.schema.subschema_for::<Word<Mode>>());
    [
        (
            "Idempotency-Key",
            key,
            "The same key and body get the answer of the first request, for seven days.",
        ),
        (
            "Sealwright-Mode",
            mode,
            "The mode that a session works in; live if it is not sent. A key has its own.",
        ),
    ]
}

/// What every operation may be refused with: name, meaning, headers.
fn refusals() -> [(&'static str, &'static str, &'static [&'static str]); 5] {
    [
        ("Invalid", "The request is not as it should be.", &[]),
        ("Unauthorized", "No key or session, or not one that works.", &[]),
        ("Forbidden", "The caller may not do this.", &["Retry-After"]),
        ("TooMany", "Too many requests.", &["Retry-After"]),
        ("Refused", "Any other refusal or failure.", &["Retry-After"]),
    ]
}

fn schema(json_schema: Schema) -> SchemaObject {
    SchemaObject {
        json_schema,
        external_docs: None,
        example: None,
    }
}

fn header(form: Schema, text: &str) -> Header {
    Header {
        description: Some(text.to_owned()),
        style: HeaderStyle::Simple,
        required: false,
        deprecated: None,
        format: ParameterSchemaOrContent::Schema(schema(form)),
        example: None,
        examples: Default::default(),
        extensions: Default::default(),
    }
}

fn taken(name: &str, form: Schema, text: &str) -> Parameter {
    let parameter_data = ParameterData {
        name: name.to_owned(),
        description: Some(text.to_owned()),
        required: false,
        deprecated: None,
        format: ParameterSchemaOrContent::Schema(schema(form)),
        example: None,
        examples: Default::default(),
        explode: None,
        extensions: Default::default(),
    };
    Parameter::Header {
        parameter_data,
        style: HeaderStyle::Simple,
    }
}

fn refusal(text: &str, headers: &[&str]) -> Answer {
    let media = MediaType {
        schema: Some(schema(in_context(|ctx| ctx.schema.subschema_for::<Envelope>()))),
        ..MediaType::default()
    };
    let mut answer = Answer {
        description: text.to_owned(),
        content: [("application/json".to_owned(), media)].into_iter().collect(),
        ..Answer::default()
    };
    tell(&mut answer, &["X-Request-Id"]);
    tell(&mut answer, headers);
    tell(&mut answer, &STANDINGS);
    answer
}

/// A header that an operation takes, by its name.
pub(super) fn parameter(name: &str) -> ReferenceOr<Parameter> {
    ReferenceOr::ref_(&format!("#/components/parameters/{name}"))
}

/// Adds headers that an answer bears.
pub(super) fn tell(answer: &mut Answer, names: &[&str]) {
    for name in names {
        let header = ReferenceOr::ref_(&format!("#/components/headers/{name}"));
        answer.headers.insert((*name).to_owned(), header);
    }
}

/// Adds to an operation what all with this access have: who may call, the headers of an answer, the refusals.
pub(super) fn standard(mut operation: TransformOperation<'_>, access: Access) -> TransformOperation<'_> {
    let described = operation.inner_mut();
    let answers = described.responses.get_or_insert_default();
    for answer in answers
        .responses
        .values_mut()
        .filter_map(ReferenceOr::as_item_mut)
    {
        tell(answer, &["X-Request-Id"]);
        tell(answer, &STANDINGS);
    }
    let refused = |name: &str| ReferenceOr::ref_(&format!("#/components/responses/{name}"));
    answers.default = Some(refused("Refused"));
    answers
        .responses
        .insert(StatusCode::Code(400), refused("Invalid"));
    answers
        .responses
        .insert(StatusCode::Code(429), refused("TooMany"));
    if access == Access::Anyone {
        // Also where a document may have a general rule: none.
        described.security = vec![Default::default()];
        return operation;
    }
    answers
        .responses
        .insert(StatusCode::Code(401), refused("Unauthorized"));
    answers
        .responses
        .insert(StatusCode::Code(403), refused("Forbidden"));
    described.parameters.push(parameter("Sealwright-Mode"));
    operation
        .security_requirement(KEY)
        .security_requirement_multi([SESSION, ORGANIZATION])
}

/// The rendered document.
#[derive(Clone)]
pub(super) struct Document(pub(super) Bytes);

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

impl OperationOutput for Document {
    type Inner = ();

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<StatusCode>, Answer)> {
        Json::<serde_json::Map<String, serde_json::Value>>::inferred_responses(ctx, operation)
    }
}

/// `GET /v1/openapi.json`.
pub(super) async fn get(State(api): State<Arc<Api>>) -> Document {
    api.document.clone()
}
