//! The codes of refusals: each once, with its name on the wire and its status. `docs/errors.md` explains them.

use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

macro_rules! codes {
    ($($name:ident = $text:literal $status:ident;)*) => {
        /// Every code that the API may answer.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[schemars(rename = "RefusalCode")]
        pub enum Code {
            $(
                #[doc = $text]
                $name,
            )*
        }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Code] = &[$(Self::$name),*];

            /// The code as it is sent.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The status that goes with it.
            pub fn status(self) -> StatusCode {
                match self {
                    $(Self::$name => StatusCode::$status,)*
                }
            }
        }
    };
}

codes! {
    InvalidParameter = "invalid_parameter" BAD_REQUEST;
    InvalidFrom = "invalid_from" BAD_REQUEST;
    InvalidTo = "invalid_to" BAD_REQUEST;
    InvalidJson = "invalid_json" BAD_REQUEST;
    InvalidPath = "invalid_path" BAD_REQUEST;
    ApiKeyInUrl = "api_key_in_url" BAD_REQUEST;
    ConfirmationRequired = "confirmation_required" BAD_REQUEST;
    AttachmentUnreachable = "attachment_unreachable" BAD_REQUEST;
    DomainUnverified = "domain_unverified" BAD_REQUEST;
    Unauthorized = "unauthorized" UNAUTHORIZED;
    Forbidden = "forbidden" FORBIDDEN;
    ForbiddenEscalation = "forbidden_escalation" FORBIDDEN;
    IpNotAllowed = "ip_not_allowed" FORBIDDEN;
    DomainNotAllowed = "domain_not_allowed" FORBIDDEN;
    OriginNotAllowed = "origin_not_allowed" FORBIDDEN;
    BrowserUseForbidden = "browser_use_forbidden" FORBIDDEN;
    HttpsRequired = "https_required" FORBIDDEN;
    RequestBlocked = "request_blocked" FORBIDDEN;
    LimitReached = "limit_reached" FORBIDDEN;
    NotFound = "not_found" NOT_FOUND;
    MethodNotAllowed = "method_not_allowed" METHOD_NOT_ALLOWED;
    RequestTimeout = "request_timeout" REQUEST_TIMEOUT;
    IdempotencyKeyConflict = "idempotency_key_conflict" CONFLICT;
    CannotDeleteSelf = "cannot_delete_self" CONFLICT;
    KeyAlreadyRotated = "key_already_rotated" CONFLICT;
    KeyRevoked = "key_revoked" CONFLICT;
    AlreadyExists = "already_exists" CONFLICT;
    NotScheduled = "not_scheduled" CONFLICT;
    WebhookDisabled = "webhook_disabled" CONFLICT;
    RotationInProgress = "rotation_in_progress" CONFLICT;
    ReplayInProgress = "replay_in_progress" CONFLICT;
    ConcurrentChange = "concurrent_change" CONFLICT;
    RecordUnpublished = "record_unpublished" CONFLICT;
    ContentExpired = "content_expired" GONE;
    RequestTooLarge = "request_too_large" PAYLOAD_TOO_LARGE;
    UnsupportedContentType = "unsupported_content_type" UNSUPPORTED_MEDIA_TYPE;
    RateLimitExceeded = "rate_limit_exceeded" TOO_MANY_REQUESTS;
    TooManyFailures = "too_many_failures" TOO_MANY_REQUESTS;
    InternalError = "internal_error" INTERNAL_SERVER_ERROR;
    StorageUnavailable = "storage_unavailable" SERVICE_UNAVAILABLE;
    OutcomeUnknown = "outcome_unknown" SERVICE_UNAVAILABLE;
    Overloaded = "overloaded" SERVICE_UNAVAILABLE;
}
