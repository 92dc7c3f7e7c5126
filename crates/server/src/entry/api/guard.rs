//! What stands in front of every handler: the request's form, who calls, and whether the row of its route lets them.

use super::extract::may_have_body;
use super::pace::Standings;
use super::problem::Carried;
use super::route::{Access, Route};
use super::{Api, Problem, json};
use crate::features::audit::Origin;
use crate::features::keys::{self, Caller, Channel, Key, Refused};
use crate::limits::SMALL_BODY_BYTES_MAX;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, Method, Uri, header};
use std::sync::Arc;
use std::time::Duration;

/// An answer about a key that does not work leaves no earlier than this after its request came, so that its time does not tell whether a
/// look-up was made: a key whose checksum is wrong costs none.
const UNAUTHORIZED_AFTER: Duration = Duration::from_millis(25);
/// Query parameters whose very name says that a key was meant.
const KEY_PARAMETERS: [&str; 8] = [
    "api_key",
    "apikey",
    "api-key",
    "key",
    "token",
    "access_token",
    "authorization",
    "bearer",
];
/// Sent by browsers only, and not by a page's choice.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets a request through to its handler, with its [`Caller`] if the route asks for one.
pub(super) async fn guard(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
    let is_browser = is_browser(request.headers());
    let credential = bearer(request.headers()).unwrap_or_default().to_owned();
    let refused = admit(&api, &mut request, &origin).await.err();
    let standings = request.extensions().get::<Standings>().cloned();
    let mut response = match refused {
        None => next.run(request).await,
        Some(problem) => {
            // A client that is still writing when the connection closes never sees the refusal.
            json::discard(request.into_body(), SMALL_BODY_BYTES_MAX).await;
            problem.into_response()
        }
    };
    if let Some(Carried(problem)) = response.extensions().get::<Carried>().cloned() {
        // Who is known by a key makes mistakes; who is not, and makes them, is looking for a way in. A browser is not: any page may make
        // its visitors ask for anything.
        if !is_browser {
            api.paces
                .suspect(&api.platform, &origin, &credential, problem.suspicion());
        }
        if let Some(standings) = problem.standings() {
            standings.tell(&api.platform, &mut response);
        }
    }
    if let Some(standings) = standings {
        standings.tell(&api.platform, &mut response);
    }
    response
}

/// Puts the [`Caller`] and its [`Standings`] beside the request, or says why not.
async fn admit(api: &Api, request: &mut Request, origin: &Origin) -> Result<(), Problem> {
    no_key_in_url(api, request.uri(), origin).await?;
    let path = request.extensions().get::<MatchedPath>();
    if path.is_some_and(|path| !path.as_str().starts_with("/v1/")) {
        // Health and the development pages: only the rule about URLs is theirs, too.
        return Ok(());
    }
    let credential = bearer(request.headers()).unwrap_or_default();
    api.paces.hear(&api.platform, origin, credential)?;
    if !is_canonical(request.uri().path()) {
        return Err(Problem::invalid_path());
    }
    let is_browser = is_browser(request.headers());
    if is_browser && *request.method() == Method::OPTIONS {
        return Err(Problem::browser_use_forbidden());
    }
    let matched = request.extensions().get::<MatchedPath>();
    let Some(route) = matched.and_then(|path| api.routes.find(request.method(), path.as_str())) else {
        // No such route, or not with this method: the router says so itself.
        return Ok(());
    };
    fits(route, request)?;
    if route.access == Access::Anyone {
        let standings = api.paces.stranger(&api.platform, origin).await?;
        request.extensions_mut().insert(standings);
        return Ok(());
    }
    let access = route.access;
    let caller = caller(api, request.headers(), origin, is_browser).await?;
    request.extensions_mut().insert(caller.clone());
    let standings = api.paces.charge(&api.platform, &caller).await?;
    request.extensions_mut().insert(standings);
    if let Access::Needs(permission) = access
        && !caller.permissions.allow(permission)
    {
        return Err(Problem::forbidden(permission));
    }
    Ok(())
}

/// A key in a URL stays in logs and histories: the handler never runs, and the key is burned.
async fn no_key_in_url(api: &Api, uri: &Uri, origin: &Origin) -> Result<(), Problem> {
    let names = uri.query().unwrap_or_default().split('&');
    let names_one = names.filter_map(|pair| pair.split('=').next()).any(|name| {
        KEY_PARAMETERS
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
    });
    let found: Vec<Key> = Key::find_all(&decoded(&uri.to_string())).collect();
    if !names_one && found.is_empty() {
        return Ok(());
    }
    if !found.is_empty() {
        // Each key costs a look-up, and everybody can invent keys.
        api.paces.stranger(&api.platform, origin).await?;
    }
    keys::expose_all(&api.platform, found, Channel::Url, origin).await?;
    Err(Problem::api_key_in_url())
}

/// How often a text may have been encoded over and over, and a key in it is found all the same.
const DECODED_MAX: usize = 3;

/// Decodes until nothing changes any more.
pub(super) fn decoded(text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..DECODED_MAX {
        let next = percent_decode(&text);
        if next == text {
            break;
        }
        text = next;
    }
    text
}

/// Decodes once; what is no UTF-8 then can't be a key.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let hex = |byte: &u8| char::from(*byte).to_digit(16);
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                let digits = hex(high).unwrap_or(0) * 16 + hex(low).unwrap_or(0);
                bytes.push(u8::try_from(digits).unwrap_or(b'?'));
                rest = after;
            }
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Paths have one form: unreserved characters (RFC 3986 §2.3) and single slashes, nothing encoded, no dot segments.
fn is_canonical(path: &str) -> bool {
    let is_segment = |segment: &str| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    // A slash at the end is a path that does not exist, which the router says.
    let path = path.strip_suffix('/').unwrap_or(path);
    path.is_empty()
        || path
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(is_segment))
}

fn is_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.contains_key(SEC_FETCH_SITE)
}

/// What the route does not know is refused before anything is read: query parameters, and bodies where there is none.
fn fits(route: &Route, request: &Request) -> Result<(), Problem> {
    let pairs = request.uri().query().unwrap_or_default().split('&');
    let names = pairs
        .filter_map(|pair| pair.split('=').next())
        .filter(|name| !name.is_empty());
    for name in names {
        let name = percent_decode(name);
        if !route.query.contains(name.as_str()) {
            return Err(Problem::invalid(name, "there is no such query parameter here"));
        }
    }
    let has_body = request.headers().contains_key(header::TRANSFER_ENCODING)
        || request
            .headers()
            .get(header::CONTENT_LENGTH)
            .is_some_and(|length| length != "0");
    if has_body && !(route.has_body && may_have_body(request.method())) {
        return Err(Problem::invalid("body", "this route takes no body"));
    }
    Ok(())
}

/// The caller, if the key is good.
async fn caller(
    api: &Api,
    headers: &HeaderMap,
    origin: &Origin,
    is_browser: bool,
) -> Result<Caller, Problem> {
    let arrived_at = api.platform.clock.now();
    let key = bearer(headers).unwrap_or_default();
    if is_browser && Key::parse(key).is_some() {
        api.paces.stranger(&api.platform, origin).await?;
        keys::expose(&api.platform, key, Channel::Browser, origin).await?;
        return Err(Problem::browser_use_forbidden());
    }
    api.paces.may_try(&api.platform, origin, key)?;
    let found = api.authenticator.caller(&api.platform, key, origin.clone()).await;
    match &found {
        Ok(_) => api.paces.tried(&api.platform, origin, key, true),
        Err(Refused::Unknown | Refused::Revoked | Refused::Expired) => {
            // Nothing was tried without a key, and any page may make its visitors ask without one.
            if !key.is_empty() && !is_browser {
                api.paces.tried(&api.platform, origin, key, false);
            }
            let elapsed = api.platform.clock.now().since(arrived_at);
            tokio::time::sleep(UNAUTHORIZED_AFTER.saturating_sub(elapsed)).await;
        }
        Err(Refused::Network) => drop(api.paces.stranger(&api.platform, origin).await?),
        Err(Refused::Store(_) | Refused::Vault(_)) => {}
    }
    Ok(found?)
}

/// The token of the one `Authorization: Bearer` header (RFC 6750 §2.1); two headers are none.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (all.next()?, all.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_form() {
        for (path, is_good) in [
            ("/", true),
            ("/v1/emails", true),
            ("/v1/emails/email_01abc", true),
            ("/.well-known/security.txt", true),
            ("/v1//emails", false),
            ("/v1/emails/", true),
            ("/v1/emails//", false),
            ("/v1/../emails", false),
            ("/v1/./emails", false),
            ("/v1/%65mails", false),
            ("/v1/%2e%2e/emails", false),
            ("/v1/%252e/emails", false),
            ("/v1/emails;a=b", false),
            ("/v1/emails\\x", false),
            ("*", false),
        ] {
            assert_eq!(is_canonical(path), is_good, "{path}");
        }
    }

    #[test]
    fn a_key_is_found_through_an_encoding() {
        assert_eq!(percent_decode("%6Ce_%7E%zz%"), "le_~%zz%");
    }
}
