//! The OpenAPI document: its head, the refusals that every operation can answer, and the door that serves it.

use super::Api;
use super::problem::Envelope;
use super::route::Access;
use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::{
    Components, Info, License, OpenApi, Operation, ReferenceOr, SecurityScheme, Server, StatusCode,
};
use aide::transform::TransformOperation;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use std::sync::Arc;

/// Name of the scheme by which keys and sessions are sent.
const BEARER: &str = "bearer";

/// The document without its operations.
pub(super) fn head() -> OpenApi {
    let bearer = SecurityScheme::Http {
        scheme: "bearer".to_owned(),
        bearer_format: None,
        description: Some(
            "An API key, or a session's token together with Sealwright-Organization".to_owned(),
        ),
        extensions: Default::default(),
    };
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
            security_schemes: [(BEARER.to_owned(), ReferenceOr::Item(bearer))]
                .into_iter()
                .collect(),
            ..Components::default()
        }),
        ..OpenApi::default()
    }
}

/// Describes what any operation with this access may answer besides its success.
pub(super) fn refusals(operation: TransformOperation<'_>, access: Access) -> TransformOperation<'_> {
    let operation = operation
        .response_with::<400, Json<Envelope>, _>(|it| it.description("The request is not as it should be."))
        .response_with::<429, Json<Envelope>, _>(|it| it.description("Too many requests; see Retry-After."))
        .default_response_with::<Json<Envelope>, _>(|it| it.description("Any other refusal or failure."));
    if access == Access::Anyone {
        return operation;
    }
    operation
        .response_with::<401, Json<Envelope>, _>(|it| it.description("No key, or not one that works."))
        .response_with::<403, Json<Envelope>, _>(|it| it.description("The caller may not do this."))
        .security_requirement(BEARER)
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
    ) -> Vec<(Option<StatusCode>, aide::openapi::Response)> {
        Json::<serde_json::Map<String, serde_json::Value>>::inferred_responses(ctx, operation)
    }
}

/// `GET /v1/openapi.json`.
pub(super) async fn get(State(api): State<Arc<Api>>) -> Document {
    api.document.clone()
}
