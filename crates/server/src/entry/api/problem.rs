//! Problems as callers see them: status, stable code, what happened, what to do next. The only place with status codes.

use super::code::Code;
use super::pace::Standings;
use super::request::RequestId;
use crate::features::domains::DomainError;
use crate::features::keys::{Actor, Caller, ExposeError, KeyError, Refused};
use crate::features::orgs::SettingsError;
use crate::features::sessions;
use crate::features::suppressions::SuppressionError;
use crate::features::templates::TemplatesError;
use crate::features::webhooks::{RequestRefused, WebhookError};
use crate::id::Id as _;
use crate::platform::store::StoreError;
use crate::platform::vault::VaultError;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use schemars::JsonSchema;
use serde::Serialize;

/// Where the codes are explained.
const DOCS: &str = "docs/errors.md";
/// Seconds after which a caller may try again when the store is out of reach.
const RETRY_AFTER_S: u64 = 2;

/// A refusal or a failure.
pub struct Problem {
    code: Code,
    message: String,
    param: Option<String>,
    retry_after: Option<u32>,
    /// Told in headers: a caller that is refused for its pace wants to know it most.
    standings: Option<Standings>,
}

/// A refusal as it is sent.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Refusal")]
pub(super) struct Envelope {
    /// What happened, and what to do next.
    error: Body,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RefusalError")]
struct Body {
    /// The stable code.
    code: Code,
    /// For people.
    message: String,
    /// The field, header or parameter that is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<String>,
    /// The request's id, which the operator's log has, too.
    request_id: String,
    /// Where the code is explained.
    docs: String,
    /// Seconds after which to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
}

/// The refusal of one of many.
#[derive(Serialize, JsonSchema)]
pub(super) struct Brief {
    /// The stable code.
    code: Code,
    /// For people.
    message: String,
    /// The field that is refused, within its own item.
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<String>,
}

impl Problem {
    /// A refusal or failure of this code; one of its own below says it better, where there is one.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            param: None,
            retry_after: None,
            standings: None,
        }
    }

    /// The same about a field.
    pub(super) fn about(self, param: impl Into<String>) -> Self {
        Self {
            param: Some(param.into()),
            ..self
        }
    }

    fn later(code: Code, message: impl Into<String>, seconds: u64) -> Self {
        Self {
            retry_after: Some(u32::try_from(seconds).unwrap_or(u32::MAX)),
            ..Self::new(code, message)
        }
    }

    /// The organization or the key has used up its quota.
    pub(super) fn rate_limit_exceeded(seconds: u64, standings: Standings) -> Self {
        let message = format!(
            "too many requests; try again after {seconds} s, or keep to the pace that RateLimit-Policy tells"
        );
        Self {
            standings: Some(standings),
            ..Self::later(Code::RateLimitExceeded, message, seconds)
        }
    }

    /// This network has tried too many credentials that don't work.
    pub fn too_many_failures(seconds: u64) -> Self {
        let message = format!(
            "too many keys from this network did not work; check the key and try again after {seconds} s"
        );
        Self::later(Code::TooManyFailures, message, seconds)
    }

    /// This network's requests look like attacks.
    pub fn request_blocked(seconds: u64) -> Self {
        let message = format!(
            "too many requests of this network were not as they should be; it is heard again after {seconds} s"
        );
        Self::later(Code::RequestBlocked, message, seconds)
    }

    /// The field that is refused.
    pub(super) fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// What is told to people.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// How much a refusal counts towards shutting its network out: much for what no client sends by mistake.
    pub(super) fn suspicion(&self) -> u32 {
        match self.code {
            Code::InvalidPath => 10,
            Code::MethodNotAllowed | Code::UnsupportedContentType => 3,
            Code::InvalidJson | Code::InvalidParameter | Code::NotFound => 1,
            _ => 0,
        }
    }

    /// Where the caller stands with its quotas, if it was refused for them.
    pub(super) fn standings(&self) -> Option<&Standings> {
        self.standings.as_ref()
    }

    /// A field, header or query parameter is refused; `param` is its name or its path (`attachments/0/content`).
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        let param = param.into();
        let code = match param.split('/').next() {
            Some("from") => Code::InvalidFrom,
            Some("to" | "cc" | "bcc") => Code::InvalidTo,
            _ => Code::InvalidParameter,
        };
        Self {
            param: Some(param),
            ..Self::new(code, message)
        }
    }

    /// What is told of it where it stands for one of many in an answer.
    pub(super) fn brief(&self) -> Brief {
        Brief {
            code: self.code,
            message: self.message.clone(),
            param: self.param.clone(),
        }
    }

    /// The body is not JSON.
    pub fn not_json(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidJson, message)
    }

    /// The body is not of the type that is read here.
    pub fn content_type() -> Self {
        let message = "send the body as application/json, without Content-Encoding";
        Self::new(Code::UnsupportedContentType, message)
    }

    /// The body is too large.
    pub fn too_large(max: usize) -> Self {
        let message = format!("the request body may have at most {max} bytes");
        Self::new(Code::RequestTooLarge, message)
    }

    /// The body did not arrive in time.
    pub fn too_slow() -> Self {
        Self::new(
            Code::RequestTimeout,
            "the request body did not arrive in time; send it again",
        )
    }

    /// No key, or not one that works. The same words for every reason that a guesser could learn from.
    pub fn unauthorized() -> Self {
        let message = "Invalid API key: send a valid one as Authorization: Bearer <key>";
        Self::new(Code::Unauthorized, message)
    }

    /// Whether it is the refusal of a key or a session that does not work.
    pub(super) fn is_unauthorized(&self) -> bool {
        self.code == Code::Unauthorized
    }

    /// The caller may not do this.
    pub fn forbidden(caller: &Caller, permission: &str) -> Self {
        let message = match caller.actor {
            Actor::Member(_) => format!("your role lacks the permission {permission}"),
            Actor::Key(_) | Actor::System => format!("API key lacks required permission: {permission}"),
        };
        Self::new(Code::Forbidden, message)
    }

    /// A key that may do everything, also what comes later, must be asked for in so many words.
    pub fn confirmation_required() -> Self {
        let message = "\"*\" is everything, also what is added later; name the permissions that are needed, or send allPermissions: true \
                       with it";
        Self {
            param: Some("permissions".to_owned()),
            ..Self::new(Code::ConfirmationRequired, message)
        }
    }

    /// A key in a URL: it is in logs and histories by now.
    pub fn api_key_in_url() -> Self {
        let message = "API keys belong into the header Authorization: Bearer <key>, never into a URL; a key that was sent this way is \
                       taken for exposed, so replace it";
        Self::new(Code::ApiKeyInUrl, message)
    }

    /// A key in a browser: whoever opens the page has it.
    pub fn browser_use_forbidden() -> Self {
        let message = "API keys are for servers; a page uses its user's session instead, and a key that was sent by a browser is taken \
                       for exposed, so replace it";
        Self::new(Code::BrowserUseForbidden, message)
    }

    /// Plain HTTP.
    pub fn https_required() -> Self {
        let message = "the API speaks HTTPS only; a key that was sent this way is revoked, because whoever was on the way has it";
        Self::new(Code::HttpsRequired, message)
    }

    /// The path is not in the one form that paths have here.
    pub fn invalid_path() -> Self {
        let message = "a path here has letters, digits, - . _ ~ and single slashes, nothing encoded and no dot segments";
        Self::new(Code::InvalidPath, message)
    }

    /// There is no such thing, or it belongs to somebody else.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            Code::NotFound,
            format!("there is no such {what}; check the id and the key's mode"),
        )
    }

    /// There is no such route.
    pub fn no_route() -> Self {
        Self::new(
            Code::NotFound,
            "there is nothing at this path; the API's routes begin with /v1/",
        )
    }

    /// The route has no such method.
    pub fn method_not_allowed() -> Self {
        Self::new(
            Code::MethodNotAllowed,
            "this path does not take this method; see the Allow header",
        )
    }

    /// Somebody else changed the same thing meanwhile; nothing was done.
    fn busy(message: impl Into<String>) -> Self {
        Self::later(Code::ConcurrentChange, message, RETRY_AFTER_S)
    }

    fn unavailable() -> Self {
        let message = "the store is unavailable; nothing was accepted; try again, with the same Idempotency-Key if there was one";
        Self::later(Code::StorageUnavailable, message, RETRY_AFTER_S)
    }

    fn commit_unknown() -> Self {
        let message = "the store went away while it was committing, so the outcome is not known; send the request again with the \
                       same Idempotency-Key to learn it";
        Self::later(Code::OutcomeUnknown, message, RETRY_AFTER_S)
    }

    /// Too much is under way here, or for this client's network.
    pub fn overloaded() -> Self {
        let message = "too many requests are under way; nothing was accepted; try again, with the same Idempotency-Key if there was one";
        Self::later(Code::Overloaded, message, RETRY_AFTER_S)
    }

    /// A test key sees and makes only test data.
    pub fn live_only() -> Self {
        let message = "a test key can't change what live keys depend on; use a live one";
        Self::new(Code::Forbidden, message)
    }

    /// Something that should not happen; the log has more, under the request's id.
    pub fn internal() -> Self {
        let message = "something went wrong here; the operator finds more in the log under this request id";
        Self::new(Code::InternalError, message)
    }

    /// The answer to this request.
    pub fn answer(&self, request: &RequestId) -> Response {
        let body = Body {
            code: self.code,
            message: self.message.clone(),
            param: self.param.clone(),
            request_id: request.as_str().to_owned(),
            docs: format!("{DOCS}#{}", self.code.name()),
            retry_after: self.retry_after,
        };
        // Only text and numbers: this can't fail.
        let json = serde_json::to_vec(&Envelope { error: body }).unwrap_or_default();
        let mut response = (
            self.code.status(),
            [(header::CONTENT_TYPE, "application/json")],
            json,
        )
            .into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthorized {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"sealwright\""),
            );
        }
        response
    }
}

impl std::fmt::Debug for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}: {}", self.code, self.param, self.message)
    }
}

/// Carries a problem to the outermost layer, which knows the request's id.
#[derive(Debug, Clone)]
pub(super) struct Carried(pub(super) std::sync::Arc<Problem>);

/// The table describes refusals once for all routes (`openapi::refusals`).
impl aide::OperationOutput for Problem {
    type Inner = Self;
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
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
                Code::ContentExpired,
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
            Refused::Network => Self::new(Code::IpNotAllowed, refused.to_string()),
            Refused::Store(error) => error.into(),
            Refused::Vault(error) => error.into(),
        }
    }
}

impl From<sessions::Refused> for Problem {
    fn from(refused: sessions::Refused) -> Self {
        let text = refused.to_string();
        match refused {
            sessions::Refused::Token(flaw) => {
                tracing::debug!(%flaw, "a session was refused");
                Self::unauthorized()
            }
            sessions::Refused::Page => Self::new(Code::OriginNotAllowed, text),
            sessions::Refused::Store(error) => error.into(),
            sessions::Refused::Vault(error) => error.into(),
        }
    }
}

impl From<ExposeError> for Problem {
    fn from(error: ExposeError) -> Self {
        match error {
            ExposeError::Store(error) => error.into(),
            ExposeError::Vault(error) => error.into(),
        }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        let text = error.to_string();
        match error {
            KeyError::Name => Self::invalid("name", text),
            KeyError::Domain(place) => Self::invalid(format!("domainRestrictions/{place}"), text),
            KeyError::Domains => Self::invalid("domainRestrictions", text),
            KeyError::Expiry(_) => Self::invalid("expiresAt", text),
            KeyError::Stronger => Self::new(Code::ForbiddenEscalation, text),
            KeyError::TooMany => Self::new(Code::LimitReached, text),
            KeyError::Unknown => Self::not_found("API key"),
            KeyError::After => Self::invalid("starting_after", text),
            KeyError::Before => Self::invalid("ending_before", text),
            KeyError::Itself => Self::new(Code::CannotDeleteSelf, text),
            KeyError::Replaced => Self::new(Code::KeyAlreadyRotated, text),
            KeyError::Revoked => Self::new(Code::KeyRevoked, text),
            KeyError::Gone => Self::unauthorized(),
            KeyError::Busy => Self::busy(text),
            KeyError::Store(error) => error.into(),
            KeyError::Vault(error) => error.into(),
        }
    }
}

impl From<SettingsError> for Problem {
    fn from(error: SettingsError) -> Self {
        let text = error.to_string();
        match error {
            SettingsError::Contact(_) => Self::invalid("securityContact", text),
            SettingsError::Age => Self::invalid("apiKeyMaxAgeDays", text),
            SettingsError::Origin(place) => Self::invalid(format!("browserOrigins/{place}"), text),
            SettingsError::Origins => Self::invalid("browserOrigins", text),
            SettingsError::Busy => Self::busy(text),
            SettingsError::Store(error) => error.into(),
            SettingsError::Vault(error) => error.into(),
        }
    }
}

impl From<DomainError> for Problem {
    fn from(error: DomainError) -> Self {
        let text = error.to_string();
        match error {
            DomainError::Name(_) => Self::invalid("name", text),
            DomainError::Exists => Self::new(Code::AlreadyExists, text),
            DomainError::TooMany(_) | DomainError::TooManyDeleted(_) => Self::new(Code::LimitReached, text),
            DomainError::Unknown => Self::not_found("domain"),
            DomainError::Unpublished(_) => Self::new(Code::RecordUnpublished, text),
            DomainError::NoneWaits(_) => Self::new(Code::RecordUnpublished, text),
            DomainError::After => Self::invalid("starting_after", text),
            DomainError::Overloaded => Self::overloaded(),
            DomainError::Busy => Self::busy(text),
            DomainError::Key(_) => {
                tracing::error!(error = text, "a DKIM key failed a request");
                Self::internal()
            }
            DomainError::Store(error) => error.into(),
            DomainError::Vault(error) => error.into(),
        }
    }
}

impl From<TemplatesError> for Problem {
    fn from(error: TemplatesError) -> Self {
        let text = error.to_string();
        match error {
            TemplatesError::Name => Self::invalid("name", text),
            TemplatesError::Part(part) => Self::invalid(part.part, text),
            TemplatesError::Empty => Self::invalid("html", text),
            TemplatesError::AmpAlone => Self::invalid("amp", text),
            TemplatesError::NoVersion | TemplatesError::VersionAndSource => {
                Self::invalid("activeVersion", text)
            }
            TemplatesError::TooMany => Self::new(Code::LimitReached, text),
            TemplatesError::Unknown => Self::not_found("template"),
            TemplatesError::After => Self::invalid("starting_after", text),
            TemplatesError::Busy => Self::busy(text),
            TemplatesError::Store(error) => error.into(),
            TemplatesError::Vault(error) => error.into(),
        }
    }
}

impl From<SuppressionError> for Problem {
    fn from(error: SuppressionError) -> Self {
        let text = error.to_string();
        match error {
            SuppressionError::Address(_) => Self::invalid("email", text),
            SuppressionError::Reason => Self::invalid("reason", text),
            SuppressionError::TooMany => Self::invalid("suppressions", text),
            SuppressionError::Unknown => Self::not_found("suppression"),
            SuppressionError::After => Self::invalid("starting_after", text),
            SuppressionError::Store(error) => error.into(),
            SuppressionError::Vault(error) => error.into(),
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
            WebhookError::TooMany => Self::new(Code::LimitReached, text),
            WebhookError::Request(refused) => {
                let field = match refused {
                    RequestRefused::HeaderCount | RequestRefused::Header => "headers",
                    RequestRefused::TwoAuths | RequestRefused::Auth => "auth",
                    RequestRefused::TokenUrl => "auth/tokenUrl",
                };
                Self::invalid(field, text)
            }
            WebhookError::Overlap => Self::invalid("overlapSeconds", text),
            WebhookError::Range => Self::invalid("since", text),
            WebhookError::Rotating(_) => Self::new(Code::RotationInProgress, text),
            WebhookError::Replaying => Self::new(Code::ReplayInProgress, text),
            WebhookError::Disabled => Self::new(Code::WebhookDisabled, text),
            WebhookError::Unknown => Self::not_found("webhook endpoint"),
            WebhookError::UnknownDelivery => Self::not_found("webhook delivery"),
            WebhookError::UnknownEvent(_) => Self::not_found("event"),
            WebhookError::Store(error) => error.into(),
            WebhookError::Vault(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_changed_meanwhile_is_a_conflict_and_no_failure_of_the_store() {
        let all: [Problem; 3] = [
            KeyError::Busy.into(),
            SettingsError::Busy.into(),
            DomainError::Busy.into(),
        ];
        for problem in all {
            assert_eq!(problem.code, Code::ConcurrentChange);
            assert!(problem.retry_after.is_some() && problem.message.contains("try again"));
        }
    }
}
