//! What stands in front of every handler: the request's form, who calls, and whether the row of its route lets them.

use super::extract::may_have_body;
use super::pace::Standings;
use super::problem::Carried;
use super::route::{Access, Route};
use super::{Api, Problem, cors, json};
use crate::features::audit::Origin;
use crate::features::keys::{self, Actor, Caller, Channel, Key, Refused};
use crate::features::sessions::{self, Presented};
use crate::limits::SMALL_BODY_BYTES_MAX;
use crate::mode::Mode;
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
/// Names the organization that a session is for.
const ORGANIZATION: HeaderName = HeaderName::from_static("sealwright-organization");
/// Names the mode that a session works in; live if it is not sent. A key has its own.
const MODE: HeaderName = HeaderName::from_static("sealwright-mode");

/// Lets a request through to its handler, with its [`Caller`] if the route asks for one.
pub(super) async fn guard(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
    let is_browser = cors::is_browser(request.headers());
    let credential = bearer(request.headers()).unwrap_or_default().to_owned();
    let admitted = admit(&api, &mut request, &origin).await;
    let standings = request.extensions().get::<Standings>().cloned();
    let reader = request.extensions_mut().remove::<cors::Reader>();
    let mut response = match admitted {
        Ok(None) => next.run(request).await,
        Ok(Some(answer)) => answer,
        Err(problem) => {
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
    if let Some(reader) = reader {
        response.extensions_mut().insert(reader);
    }
    response
}

/// Puts the [`Caller`] and its [`Standings`] beside the request, or says why not; or the answer, where nothing behind has one to give.
async fn admit(api: &Api, request: &mut Request, origin: &Origin) -> Result<Option<Response>, Problem> {
    no_key_in_url(api, request.uri(), origin).await?;
    let path = request.extensions().get::<MatchedPath>();
    if path.is_some_and(|path| !path.as_str().starts_with("/v1/")) {
        // Health and the development pages: only the rule about URLs is theirs, too.
        return Ok(None);
    }
    let credential = bearer(request.headers()).unwrap_or_default();
    api.paces.hear(&api.platform, origin, credential)?;
    if !is_canonical(request.uri().path()) {
        return Err(Problem::invalid_path());
    }
    let is_browser = cors::is_browser(request.headers());
    if is_browser && *request.method() == Method::OPTIONS {
        let path = request.extensions().get::<MatchedPath>().cloned();
        return preflight(api, path, request.headers()).await.map(Some);
    }
    let matched = request.extensions().get::<MatchedPath>();
    let Some(route) = matched.and_then(|path| api.routes.find(request.method(), path.as_str())) else {
        // No such route, or not with this method: the router says so itself.
        return Ok(None);
    };
    if route.access == Access::Anyone {
        let path = request.uri().path();
        let standings = api.paces.anyone(&api.platform, origin, path).await?;
        request.extensions_mut().insert(standings);
        fits(route, request)?;
        return Ok(None);
    }
    let caller = caller(api, request.headers(), origin, is_browser).await?;
    request.extensions_mut().insert(caller.clone());
    if let (Actor::Member(_), Some(reader)) = (&caller.actor, cors::Reader::of(request.headers())) {
        // Also a refusal may be read by the page from here on.
        request.extensions_mut().insert(reader);
    }
    let standings = api.paces.charge(&api.platform, &caller).await?;
    // From here on every answer tells where the caller stands.
    request.extensions_mut().insert(standings);
    permitted(route.access, &caller)?;
    fits(route, request)?;
    Ok(None)
}

fn permitted(access: Access, caller: &Caller) -> Result<(), Problem> {
    match access.permission() {
        Some(permission) if !caller.permissions.allow(permission) => {
            Err(Problem::forbidden(caller, permission))
        }
        _ if matches!(access, Access::NeedsLive(_)) && caller.mode == Mode::Test => Err(Problem::live_only()),
        _ => Ok(()),
    }
}

/// A preflight is answered where callers have a route, to pages of origins that some organization lists.
async fn preflight(api: &Api, path: Option<MatchedPath>, headers: &HeaderMap) -> Result<Response, Problem> {
    if let (Some(path), Some(page)) = (path, cors::page(headers))
        && cors::is_preflight(headers)
        && api.sessions.is_listed_by_anyone(&api.platform, page).await?
        && let Some(answer) = cors::preflight(&api.routes, path.as_str(), headers)
    {
        return Ok(answer);
    }
    Err(Problem::browser_use_forbidden())
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

/// The caller, if the key or the session is good.
async fn caller(
    api: &Api,
    headers: &HeaderMap,
    origin: &Origin,
    is_browser: bool,
) -> Result<Caller, Problem> {
    let arrived_at = api.platform.clock.now();
    let token = bearer(headers).unwrap_or_default();
    if is_browser && Key::parse(token).is_some() {
        api.paces.stranger(&api.platform, origin).await?;
        keys::expose(&api.platform, token, Channel::Browser, origin).await?;
        return Err(Problem::browser_use_forbidden());
    }
    api.paces.may_try(&api.platform, origin, token)?;
    let found = if sessions::is_session(token) {
        session(api, headers, token, origin.clone()).await
    } else {
        let found = api
            .authenticator
            .caller(&api.platform, token, origin.clone())
            .await;
        if let Err(Refused::Network) = &found {
            api.paces.stranger(&api.platform, origin).await?;
        }
        found.map_err(Problem::from)
    };
    if found.is_ok() {
        api.paces.tried(&api.platform, origin, token, true);
    } else if found.as_ref().is_err_and(Problem::is_unauthorized) {
        // Nothing was tried without a key, and any page may make its visitors ask without one.
        if !token.is_empty() && !is_browser {
            api.paces.tried(&api.platform, origin, token, false);
        }
        let elapsed = api.platform.clock.now().since(arrived_at);
        tokio::time::sleep(UNAUTHORIZED_AFTER.saturating_sub(elapsed)).await;
    }
    found
}

async fn session(api: &Api, headers: &HeaderMap, token: &str, origin: Origin) -> Result<Caller, Problem> {
    let mode = match headers.get(MODE) {
        None => Mode::Live,
        Some(name) => {
            let mode = name.to_str().ok().and_then(Mode::parse);
            mode.ok_or_else(|| Problem::invalid("Sealwright-Mode", "expected live or test"))?
        }
    };
    let presented = Presented {
        token,
        org: only(headers, &ORGANIZATION),
        mode,
        page: cors::page(headers),
        origin,
    };
    Ok(api.sessions.caller(&api.platform, presented).await?)
}

/// The token of the one `Authorization: Bearer` header (RFC 6750 §2.1); two headers are none.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = only(headers, &header::AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The text of a header that is there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut all = headers.get_all(name).iter();
    let (value, None) = (all.next()?, all.next()) else {
        return None;
    };
    value.to_str().ok()
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
