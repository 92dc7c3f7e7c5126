//! Problems as callers see them: status, stable code, what happened, what to do next. The only place with status codes.

use super::request::RequestId;
use crate::features::emails::{DraftError, ReadError, SendError};
use crate::features::keys::Refused;
use crate::features::webhooks::WebhookError;
use crate::id::Id as _;
use crate::platform::store::StoreError;
use crate::platform::vault::VaultError;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// Where the codes are explained.
const DOCS: &str = "docs/errors.md";
/// Seconds after which a caller may try again when the store is out of reach.
const RETRY_AFTER_S: u16 = 2;

/// A refusal or a failure.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    param: Option<String>,
    retry_after: Option<u16>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Body<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'a str>,
    request_id: &'a str,
    docs: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u16>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            param: None,
            retry_after: None,
        }
    }

    /// A field, header or query parameter is refused; `param` is its name or its path (`attachments/0/content`).
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        let param = param.into();
        let code = match param.split('/').next() {
            Some("from") => "invalid_from",
            Some("to" | "cc" | "bcc") => "invalid_to",
            _ => "invalid_parameter",
        };
        Self {
            param: Some(param),
            ..Self::new(StatusCode::BAD_REQUEST, code, message)
        }
    }

    /// The body is not JSON.
    pub fn not_json(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_json", message)
    }

    /// The body is not of the type that is read here.
    pub fn content_type() -> Self {
        let message = "send the body as application/json, without Content-Encoding";
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_content_type",
            message,
        )
    }

    /// The body is too large.
    pub fn too_large(max: usize) -> Self {
        let message = format!("the request body may have at most {max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    }

    /// The body did not arrive in time.
    pub fn too_slow() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "the request body did not arrive in time; send it again",
        )
    }

    /// No key, or not one that works. The same words for every reason that a guesser could learn from.
    pub fn unauthorized() -> Self {
        let message = "Invalid API key: send a valid one as Authorization: Bearer <key>";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// The key may not do this.
    pub fn forbidden(permission: &str) -> Self {
        let message = format!("API key lacks required permission: {permission}");
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// There is no such thing, or it belongs to somebody else.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no such {what}; check the id and the key's mode"),
        )
    }

    /// There is no such route.
    pub fn no_route() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is nothing at this path; the API's routes begin with /v1/",
        )
    }

    /// The route has no such method.
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this path does not take this method; see the Allow header",
        )
    }

    fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "idempotency_key_conflict", message)
    }

    fn unavailable() -> Self {
        let message = "the store is unavailable; nothing was accepted; try again, with the same Idempotency-Key if there was one";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "storage_unavailable", message);
        Self {
            retry_after: Some(RETRY_AFTER_S),
            ..problem
        }
    }

    fn commit_unknown() -> Self {
        let message = "the store went away while it was committing, so the outcome is not known; send the request again with the \
                       same Idempotency-Key to learn it";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "outcome_unknown", message);
        Self {
            retry_after: Some(RETRY_AFTER_S),
            ..problem
        }
    }

    /// Something that should not happen; the log has more, under the request's id.
    pub fn internal() -> Self {
        let message = "something went wrong here; the operator finds more in the log under this request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
    }

    /// The answer to this request.
    pub fn answer(&self, request: &RequestId) -> Response {
        let body = Body {
            code: self.code,
            message: &self.message,
            param: self.param.as_deref(),
            request_id: request.as_str(),
            docs: format!("{DOCS}#{}", self.code),
            retry_after: self.retry_after,
        };
        // Only text and numbers: this can't fail.
        let json = serde_json::to_vec(&Envelope { error: body }).unwrap_or_default();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], json).into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Carries a problem to the outermost layer, which knows the request's id.
#[derive(Debug, Clone)]
pub(super) struct Carried(pub(super) std::sync::Arc<Problem>);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response
            .extensions_mut()
            .insert(Carried(std::sync::Arc::new(self)));
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed a request");
        match error {
            StoreError::Unavailable(_) => Self::unavailable(),
            StoreError::CommitUnknown(_) => Self::commit_unknown(),
            StoreError::Statement { .. }
            | StoreError::Shape { .. }
            | StoreError::Waited(_)
            | StoreError::Panicked(_)
            | StoreError::Schema(_) => Self::internal(),
        }
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Keyring(error) => error.into(),
            VaultError::Forgotten => Self::new(
                StatusCode::GONE,
                "content_expired",
                "the content was forgotten when its retention ended",
            ),
            error @ (VaultError::Tampered { .. } | VaultError::Root(_)) => {
                tracing::error!(%error, "the vault failed a request");
                Self::internal()
            }
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown | Refused::Revoked | Refused::Expired => Self::unauthorized(),
            Refused::Store(error) => error.into(),
            Refused::Vault(error) => error.into(),
        }
    }
}

impl From<DraftError> for Problem {
    fn from(error: DraftError) -> Self {
        Self::invalid(error.field, error.reason)
    }
}

impl From<SendError> for Problem {
    fn from(error: SendError) -> Self {
        let text = error.to_string();
        match error {
            SendError::Draft(error) => error.into(),
            SendError::DomainUnverified(_) => {
                let problem = Self::new(StatusCode::BAD_REQUEST, "domain_unverified", text);
                Self {
                    param: Some("from".into()),
                    ..problem
                }
            }
            SendError::IdempotencyConflict => Self::conflict(text),
            SendError::Store(error) => error.into(),
            SendError::Vault(error) => error.into(),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unknown => Self::not_found("e-mail"),
            ReadError::Store(error) => error.into(),
            ReadError::Vault(error) => error.into(),
        }
    }
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        let text = error.to_string();
        match error {
            WebhookError::Url(_) => Self::invalid("url", text),
            WebhookError::Event(place) => Self::invalid(format!("events/{place}"), text),
            WebhookError::EventCount => Self::invalid("events", text),
            WebhookError::Description => Self::invalid("description", text),
            WebhookError::TooMany => Self::new(StatusCode::FORBIDDEN, "limit_reached", text),
            WebhookError::Unknown => Self::not_found("webhook endpoint"),
            WebhookError::Store(error) => error.into(),
            WebhookError::Vault(error) => error.into(),
        }
    }
}
