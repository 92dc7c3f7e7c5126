//! From the Authorization header to a caller who may do what the route asks for.

use super::{Api, Problem};
use crate::features::keys::Caller;
use http::{HeaderMap, header};
use std::sync::Arc;

/// The caller, if the key is good and has the permission.
pub(super) async fn authorise(
    api: &Api,
    headers: &HeaderMap,
    permission: &str,
) -> Result<Arc<Caller>, Problem> {
    let key = bearer(headers).ok_or_else(Problem::unauthorized)?;
    let caller = api.authenticator.caller(&api.platform, key).await?;
    if caller.permissions.allow(permission) {
        Ok(caller)
    } else {
        Err(Problem::forbidden(permission))
    }
}

/// The token of the one `Authorization: Bearer` header (RFC 6750 §2.1); two headers are none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (all.next()?, all.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
