//! Keys that issuers publish (RFC 7517): fetched when they are needed, kept for a while, kept longer while the issuer is out of reach.
//!
//! One set per issuer. A token that names a key which is not in it makes us look again, but not more often than the cool-down allows:
//! anybody can write a token, and nobody shall make us call an issuer at will. A key that an issuer takes out of its set is refused once
//! the set is looked at again.

use super::token::Flaw;
use crate::clock::Timestamp;
use crate::features::people::Algorithm;
use crate::id::IssuerId;
use crate::platform::net::{HttpClient, HttpsUrl, Outgoing, TlsMin};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Mutex;

/// How long a set is used without looking again: how long a withdrawn key still counts.
const FRESH_FOR: Duration = Duration::from_secs(5 * 60);
/// How long a set is used while its issuer is out of reach.
const STALE_FOR: Duration = Duration::from_secs(60 * 60);
/// Between two looks at one issuer, whatever came of the first.
const COOL_DOWN: Duration = Duration::from_secs(30);
/// How long a look may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Issuers whose keys are kept at once; past it the memory starts anew.
const ISSUERS_KEPT_MAX: usize = 1_000;

/// The keys of all issuers that were asked for.
#[derive(Default)]
pub(super) struct Published(RwLock<HashMap<IssuerId, Arc<Kept>>>);

/// What is known of one issuer's keys.
#[derive(Default)]
struct Kept {
    look: RwLock<Look>,
    /// Whose turn it is to look.
    turn: Mutex<()>,
}

#[derive(Clone, Default)]
struct Look {
    keys: Arc<HashMap<String, DecodingKey>>,
    fetched_at: Option<Timestamp>,
    tried_at: Option<Timestamp>,
}

/// Which key is wanted, and where it may come from.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) issuer: &'a IssuerId,
    pub(super) url: &'a HttpsUrl,
    pub(super) algorithm: Algorithm,
    pub(super) key_id: &'a str,
}

impl Published {
    /// The issuer's key of this id.
    pub(super) async fn key(
        &self,
        http: &HttpClient,
        wanted: Wanted<'_>,
        now: Timestamp,
    ) -> Result<DecodingKey, Flaw> {
        let kept = self.kept(wanted.issuer);
        if let Some(key) = kept.look().find(wanted.key_id, now, FRESH_FOR) {
            return Ok(key);
        }
        let _turn = kept.turn.lock().await;
        // Whoever had the turn before may have brought it.
        let mut look = kept.look();
        if let Some(key) = look.find(wanted.key_id, now, FRESH_FOR) {
            return Ok(key);
        }
        if look.tried_at.is_none_or(|at| now.since(at) >= COOL_DOWN) {
            look.tried_at = Some(now);
            match fetch(http, &wanted).await {
                Ok(keys) => (look.keys, look.fetched_at) = (Arc::new(keys), Some(now)),
                Err(reason) => {
                    tracing::warn!(issuer = %wanted.issuer, reason, "the keys of a session issuer could not be fetched");
                }
            }
            *kept.look.write().unwrap_or_else(PoisonError::into_inner) = look.clone();
        }
        look.find(wanted.key_id, now, STALE_FOR).ok_or(Flaw::Key)
    }

    fn kept(&self, issuer: &IssuerId) -> Arc<Kept> {
        let known = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(issuer)
            .cloned();
        if let Some(kept) = known {
            return kept;
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ISSUERS_KEPT_MAX {
            all.clear();
        }
        Arc::clone(all.entry(issuer.clone()).or_default())
    }
}

impl Kept {
    fn look(&self) -> Look {
        self.look.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Look {
    fn find(&self, key_id: &str, now: Timestamp, within: Duration) -> Option<DecodingKey> {
        let is_recent = self.fetched_at.is_some_and(|at| now.since(at) < within);
        is_recent.then(|| self.keys.get(key_id).cloned()).flatten()
    }
}

async fn fetch(http: &HttpClient, wanted: &Wanted<'_>) -> Result<HashMap<String, DecodingKey>, &'static str> {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::ACCEPT,
        HeaderValue::from_static("application/jwk-set+json, application/json"),
    );
    let request = Outgoing {
        url: wanted.url,
        headers,
        body: Bytes::new(),
        timeout: FETCH_TIMEOUT,
        min_tls: TlsMin::V1_2,
    };
    let answer = http.get(request).await.map_err(|failure| failure.code())?;
    if answer.status != StatusCode::OK {
        return Err("the status is not 200");
    }
    if answer.truncated {
        return Err("the answer is too large");
    }
    read(&answer.body, wanted.algorithm).ok_or("the answer is not a key set")
}

#[derive(Deserialize)]
struct KeySet {
    /// Each read for itself: a kind of key that is new to us must not hide the others.
    keys: Vec<serde_json::Value>,
}

/// A key as it is published; of its parts, those that its kind has.
#[derive(Deserialize)]
struct PublishedKey {
    kty: String,
    kid: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    key_ops: Option<Vec<String>>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a set that check signatures by this algorithm, by their ids; of two with one id, the first. `None` if it is no set.
fn read(json: &[u8], algorithm: Algorithm) -> Option<HashMap<String, DecodingKey>> {
    let set: KeySet = serde_json::from_slice(json).ok()?;
    let mut keys = HashMap::new();
    for value in set.keys {
        // What does not read as a key with an id can't be asked for.
        let Ok(key) = serde_json::from_value::<PublishedKey>(value) else {
            continue;
        };
        if let Some(decoding) = key.decoding(algorithm) {
            keys.entry(key.kid).or_insert(decoding);
        }
    }
    Some(keys)
}

impl PublishedKey {
    fn decoding(&self, algorithm: Algorithm) -> Option<DecodingKey> {
        let is_for_signatures = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && self.alg.as_deref().is_none_or(|alg| alg == algorithm.name())
            && self
                .key_ops
                .as_ref()
                .is_none_or(|all| all.iter().any(|op| op == "verify"));
        if !is_for_signatures {
            return None;
        }
        match (algorithm, self.kty.as_str()) {
            (Algorithm::Rs256, "RSA") => {
                // What does not decode is no key.
                DecodingKey::from_rsa_components(self.n.as_ref()?, self.e.as_ref()?).ok()
            }
            (Algorithm::Es256, "EC") if self.crv.as_deref() == Some("P-256") => {
                let (x, y) = (self.x.as_ref()?, self.y.as_ref()?);
                (is_coordinate(x) && is_coordinate(y))
                    .then(|| DecodingKey::from_ec_components(x, y).ok())
                    .flatten()
            }
            // A secret has no place in a published set.
            (Algorithm::Hs256 | Algorithm::Rs256 | Algorithm::Es256, _) => None,
        }
    }
}

/// A coordinate on P-256 has 32 bytes, always (RFC 7518 §6.2.1.2).
fn is_coordinate(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A point of P-256 (its generator), and a modulus that is only long enough.
    const X: &str = "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY";
    const Y: &str = "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU";

    #[test]
    fn a_set_gives_the_keys_that_are_for_the_issuers_algorithm_only() {
        let n = "u".repeat(342) + "w";
        let set = format!(
            r#"{{"keys":[
                {{"kty":"EC","kid":"good","crv":"P-256","x":"{X}","y":"{Y}","use":"sig","alg":"ES256"}},
                {{"kty":"EC","kid":"good","crv":"P-256","x":"{Y}","y":"{X}"}},
                {{"kty":"EC","kid":"plain","crv":"P-256","x":"{X}","y":"{Y}","key_ops":["verify"]}},
                {{"kty":"EC","kid":"encrypts","crv":"P-256","x":"{X}","y":"{Y}","use":"enc"}},
                {{"kty":"EC","kid":"signs","crv":"P-256","x":"{X}","y":"{Y}","key_ops":["sign"]}},
                {{"kty":"EC","kid":"other curve","crv":"P-384","x":"{X}","y":"{Y}"}},
                {{"kty":"EC","kid":"short","crv":"P-256","x":"AAAA","y":"{Y}"}},
                {{"kty":"EC","kid":"other algorithm","crv":"P-256","x":"{X}","y":"{Y}","alg":"HS256"}},
                {{"kty":"EC","crv":"P-256","x":"{X}","y":"{Y}"}},
                {{"kty":"oct","kid":"secret","k":"c2VjcmV0","alg":"ES256"}},
                {{"kty":"AKP","kid":"new kind","alg":"ML-DSA-44"}},
                {{"kty":"RSA","kid":"rsa","n":"{n}","e":"AQAB"}}, 7
            ]}}"#
        );
        let ids = |algorithm| {
            let keys = read(set.as_bytes(), algorithm).unwrap();
            let mut ids: Vec<_> = keys.into_keys().collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(Algorithm::Es256), ["good", "plain"]);
        assert_eq!(ids(Algorithm::Rs256), ["rsa"]);
        assert!(ids(Algorithm::Hs256).is_empty());
        assert!(read(b"<html>", Algorithm::Es256).is_none());
        assert!(read(b"{\"keys\":[]}", Algorithm::Es256).unwrap().is_empty());
    }
}
