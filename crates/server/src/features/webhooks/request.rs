//! What a request to an endpoint carries beside what we put in: header fields of its owner's, and authentication (HTTP Basic, or a
//! bearer token that an OAuth 2.0 server gives for client credentials, RFC 6749 §4.4).

use super::endpoint::{WebhookError, request_cell};
use super::{Webhooks, store};
use crate::clock::Timestamp;
use crate::features::keys::Caller;
use crate::id::WebhookId;
use crate::limits::{WEBHOOK_HEADER_CHARS_MAX, WEBHOOK_HEADERS_MAX};
use crate::platform::Platform;
use crate::platform::net::{HttpClient, HttpsUrl, Outgoing, TlsMin};
use crate::platform::store::OrgTx;
use crate::platform::vault::{Class, OrgVault, VaultError};
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A token is used until so long before its end, so that none ends on its way.
const BEFORE_END: Duration = Duration::from_secs(30);
/// How long a token is used of which its server does not say how long it lives.
const UNSAID: Duration = Duration::from_secs(300);
/// Tokens kept at once; past it the memory starts anew.
const TOKENS_MAX: usize = 1_000;
/// Names that are ours or the connection's: a receiver must be able to trust the first, and the second would change the request's frame.
const TAKEN: [&str; 12] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "lettr-signature",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-mailpipe-signature",
];
/// Beginnings of names that are ours.
const TAKEN_PREFIXES: [&str; 3] = ["webhook-", "svix-", "sealwright-"];

/// Header fields and authentication.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Request {
    headers: Vec<(String, String)>,
    auth: Option<Auth>,
}

/// How a request says who it is from.
#[derive(Clone, Serialize, Deserialize)]
pub enum Auth {
    /// RFC 7617.
    Basic {
        /// Without a colon.
        username: String,
        /// The password.
        password: String,
    },
    /// A bearer token for client credentials.
    OAuth2 {
        /// The server that gives tokens.
        token_url: String,
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: String,
        /// What the token is for.
        scope: Option<String>,
    },
}

/// What may be shown of it.
#[derive(Debug, Clone, Default)]
pub struct RequestShown {
    /// Names of header fields.
    pub headers: Vec<String>,
    /// `basic` or `oauth2`, and for whom.
    pub auth: Option<(&'static str, String)>,
}

/// Why header fields or authentication can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestRefused {
    /// Too many.
    #[error("an endpoint has at most {WEBHOOK_HEADERS_MAX} header fields of its own")]
    HeaderCount,
    /// This name or value can't be one.
    #[error(
        "a header field has a name of letters, digits and hyphens that is not ours, and a value of up to {WEBHOOK_HEADER_CHARS_MAX} visible ASCII characters"
    )]
    Header,
    /// There would be two `Authorization` fields.
    #[error("give either auth or an Authorization header field")]
    TwoAuths,
    /// A part of it is missing, too long or can't be written.
    #[error(
        "user names, passwords, client ids and secrets have 1 to {WEBHOOK_HEADER_CHARS_MAX} characters and no control characters; a user name has no colon"
    )]
    Auth,
    /// The token server can't be used.
    #[error("tokenUrl is no https URL that everybody can reach")]
    TokenUrl,
}

/// Why there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoToken;

impl Request {
    /// Checks header fields and authentication.
    pub fn new(headers: Vec<(String, String)>, auth: Option<Auth>) -> Result<Self, RequestRefused> {
        if headers.len() > WEBHOOK_HEADERS_MAX {
            return Err(RequestRefused::HeaderCount);
        }
        if !headers.iter().all(|(name, value)| may_carry(name, value)) {
            return Err(RequestRefused::Header);
        }
        let has_authorization = headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        match &auth {
            Some(_) if has_authorization => return Err(RequestRefused::TwoAuths),
            Some(auth) => auth.check()?,
            None => {}
        }
        Ok(Self { headers, auth })
    }

    /// The same with other header fields or another authentication; what is `None` stays.
    pub(super) fn with(
        self,
        headers: Option<Vec<(String, String)>>,
        auth: Option<Option<Auth>>,
    ) -> Result<Self, RequestRefused> {
        Self::new(headers.unwrap_or(self.headers), auth.unwrap_or(self.auth))
    }

    fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.auth.is_none()
    }

    /// Header fields and authentication of an endpoint.
    pub(super) async fn of(
        platform: &Platform,
        caller: &Caller,
        id: &WebhookId,
    ) -> Result<Self, WebhookError> {
        let (mode, wanted) = (caller.mode.name(), id.clone());
        let unit = async move |tx: &OrgTx| store::get(tx, mode, Some(&wanted)).await;
        let scope = platform.store.org(&caller.org);
        let row = scope.read("webhook_request", unit).await?.pop();
        let row = row.ok_or(WebhookError::Unknown)?;
        let vault = platform.vault.org(&caller.org).await?;
        Ok(Self::open(&vault, id, row.request_sealed.as_deref()).await?)
    }

    /// `None` where there is nothing to seal.
    pub(super) async fn seal(
        &self,
        vault: &OrgVault,
        id: &WebhookId,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, VaultError> {
        if self.is_empty() {
            return Ok(None);
        }
        // Texts only: nothing of it can fail to be written.
        let stored = serde_json::to_vec(self).unwrap_or_default();
        let sealed = vault.seal(Class::Secrets, now, request_cell(id), &stored);
        Ok(Some(sealed.await?))
    }

    pub(super) async fn open(
        vault: &OrgVault,
        id: &WebhookId,
        sealed: Option<&[u8]>,
    ) -> Result<Self, VaultError> {
        let Some(sealed) = sealed else {
            return Ok(Self::default());
        };
        let stored = vault.open(request_cell(id), sealed).await?;
        Ok(serde_json::from_slice(&stored).unwrap_or_default())
    }

    pub(super) fn shown(&self) -> RequestShown {
        let auth = self.auth.as_ref().map(|auth| match auth {
            Auth::Basic { username, .. } => ("basic", username.clone()),
            Auth::OAuth2 { client_id, .. } => ("oauth2", client_id.clone()),
        });
        RequestShown {
            headers: self.headers.iter().map(|(name, _)| name.clone()).collect(),
            auth,
        }
    }

    /// Adds them to a request's header.
    pub(super) fn write(&self, headers: &mut HeaderMap, token: Option<&Secret<String>>) {
        for (name, value) in &self.headers {
            let (name, value) = (name.parse::<HeaderName>(), HeaderValue::from_str(value));
            if let (Ok(name), Ok(mut value)) = (name, value) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        let authorization = match (&self.auth, token) {
            (Some(Auth::Basic { username, password }), _) => Some(format!(
                "Basic {}",
                STANDARD.encode(format!("{username}:{password}"))
            )),
            (Some(Auth::OAuth2 { .. }), Some(token)) => Some(format!("Bearer {}", token.expose())),
            _ => None,
        };
        if let Some(Ok(mut value)) = authorization.map(|text| HeaderValue::from_str(&text)) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
    }
}

impl Auth {
    fn check(&self) -> Result<(), RequestRefused> {
        let is_text = |text: &str| {
            !text.is_empty()
                && text.chars().count() <= WEBHOOK_HEADER_CHARS_MAX
                && !text.chars().any(char::is_control)
        };
        match self {
            Self::Basic { username, password } => {
                let fits = is_text(username) && is_text(password) && !username.contains(':');
                fits.then_some(()).ok_or(RequestRefused::Auth)
            }
            Self::OAuth2 {
                token_url,
                client_id,
                client_secret,
                scope,
            } => {
                HttpsUrl::parse(token_url).map_err(|_| RequestRefused::TokenUrl)?;
                let fits =
                    is_text(client_id) && is_text(client_secret) && scope.as_deref().is_none_or(is_text);
                fits.then_some(()).ok_or(RequestRefused::Auth)
            }
        }
    }
}

fn may_carry(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_ours =
        TAKEN.contains(&name.as_str()) || TAKEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_value = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let fits = (1..=WEBHOOK_HEADER_CHARS_MAX).contains(&value.len())
        && (1..=WEBHOOK_HEADER_CHARS_MAX).contains(&name.len());
    fits && is_name && is_value && !is_ours
}

/// Bearer tokens that are in use, by endpoint.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<WebhookId, (Secret<String>, Timestamp)>>);

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: String,
    expires_in: Option<u64>,
}

impl Tokens {
    fn known(&self, id: &WebhookId, now: Timestamp) -> Option<Secret<String>> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (token, until) = tokens.get(id)?;
        (now < *until).then(|| token.clone())
    }

    fn keep(&self, id: &WebhookId, token: Secret<String>, until: Timestamp) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_MAX {
            tokens.clear();
        }
        tokens.insert(id.clone(), (token, until));
    }

    /// The endpoint did not take it: the next request brings another.
    pub(super) fn forget(&self, id: &WebhookId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

impl Webhooks {
    /// The bearer token of an endpoint, if it wants one.
    pub(super) async fn token(
        &self,
        http: &HttpClient,
        id: &WebhookId,
        request: &Request,
        now: Timestamp,
    ) -> Result<Option<Secret<String>>, NoToken> {
        let Some(Auth::OAuth2 {
            token_url,
            client_id,
            client_secret,
            scope,
        }) = &request.auth
        else {
            return Ok(None);
        };
        if let Some(token) = self.tokens.known(id, now) {
            return Ok(Some(token));
        }
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pair = format!("{}:{}", encoded(client_id), encoded(client_secret));
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        let basic = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair)));
        headers.insert(AUTHORIZATION, basic.map_err(|_| NoToken)?);
        let scope = scope.as_ref().map(|scope| format!("&scope={}", encoded(scope)));
        let body = format!("grant_type=client_credentials{}", scope.unwrap_or_default());
        let outgoing = Outgoing {
            url: &HttpsUrl::parse(token_url).map_err(|_| NoToken)?,
            headers,
            body: Bytes::from(body),
            timeout: self.options.timeout,
            min_tls: TlsMin::V1_2,
        };
        let answer = http.post(outgoing).await.map_err(|_| NoToken)?;
        if !answer.status.is_success() {
            return Err(NoToken);
        }
        let granted: Granted = serde_json::from_slice(&answer.body).map_err(|_| NoToken)?;
        let is_usable = granted.token_type.eq_ignore_ascii_case("bearer")
            && granted.access_token.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_usable {
            return Err(NoToken);
        }
        let life = granted.expires_in.map_or(UNSAID, Duration::from_secs);
        let token = Secret::new(granted.access_token);
        self.tokens
            .keep(id, token.clone(), now.plus(life.saturating_sub(BEFORE_END)));
        Ok(Some(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields_that_are_ours_or_break_the_frame_are_refused() {
        for (name, value, is_taken) in [
            ("X-Tenant", "seven", true),
            ("Authorization", "Bearer abc", true),
            ("Content-Length", "0", false),
            ("webhook-id", "evt_1", false),
            ("Lettr-Signature", "t=1,v1=0", false),
            ("X Tenant", "seven", false),
            ("X-Tenant", "seven\r\nX-Evil: 1", false),
            ("X-Tenant", "", false),
            ("", "seven", false),
            ("X-Tenant", "säven", false),
        ] {
            let request = Request::new(vec![(name.to_owned(), value.to_owned())], None);
            assert_eq!(request.is_ok(), is_taken, "{name}: {value}");
        }
        let many = vec![("X-A".to_owned(), "1".to_owned()); WEBHOOK_HEADERS_MAX + 1];
        assert_eq!(Request::new(many, None).err(), Some(RequestRefused::HeaderCount));
    }

    #[test]
    fn one_request_has_one_authorization() {
        let basic = Auth::Basic {
            username: "me".to_owned(),
            password: "p:w".to_owned(),
        };
        let field = vec![("authorization".to_owned(), "Bearer x".to_owned())];
        let refused = Request::new(field, Some(basic.clone())).err();
        assert_eq!(refused, Some(RequestRefused::TwoAuths));
        let mut headers = HeaderMap::new();
        Request::new(Vec::new(), Some(basic))
            .unwrap()
            .write(&mut headers, None);
        assert_eq!(headers[AUTHORIZATION], "Basic bWU6cDp3");
    }
}
