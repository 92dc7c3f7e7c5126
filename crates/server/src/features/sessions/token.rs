//! Checks a token (RFC 7519, RFC 8725): its form, its signature by the one algorithm and key of its issuer, its claims.
//!
//! The header of a token says nothing about how to check it: the algorithm is the issuer's, the key is looked up where the issuer's row
//! says. What the header may do is to disagree, and then the token is refused.

use crate::clock::Timestamp;
use crate::features::people::{Algorithm, Trusted};
use crate::limits::{MEMBER_SUBJECT_CHARS_MAX, SESSION_TOKEN_BYTES_MAX};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, Header, Validation};
use serde::Deserialize;
use std::time::Duration;

/// By how much the issuer's clock may differ from ours.
const LEEWAY: Duration = Duration::from_secs(30);

/// What is wrong with a token. It goes to the log and to nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Not three parts of base64url with JSON in them, or too long.
    #[error("it is not a token")]
    Form,
    /// The header asks for something that is not done here (`crit`, an embedded key, compression, another kind of token).
    #[error("its header asks for what is not done here")]
    Header,
    /// The request names no organization, or not in one header.
    #[error("the request names no organization")]
    Organization,
    /// The organization trusts no issuer of this name.
    #[error("its issuer is not trusted by the organization")]
    Issuer,
    /// The header names another algorithm than the issuer's.
    #[error("it is signed with another algorithm than its issuer's")]
    Algorithm,
    /// The header names no key, or none that the issuer publishes.
    #[error("its issuer publishes no such key")]
    Key,
    /// The signature is not the key's.
    #[error("its signature is wrong")]
    Signature,
    /// A claim is missing or of the wrong type.
    #[error("a claim is missing or malformed")]
    Claims,
    /// It is for somebody else.
    #[error("it is for another audience")]
    Audience,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not come, or it does not say when it does.
    #[error("its time has not come, or it does not say when it does")]
    Early,
    /// Its subject is no member.
    #[error("its subject is not a member of the organization")]
    Member,
}

/// A token of which only the form is known to be right.
pub(super) struct Token<'a> {
    text: &'a str,
    header: Header,
    issuer: String,
}

/// Who a good token is about, and until when it is good.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) subject: String,
    pub(super) good_until: Timestamp,
}

#[derive(Deserialize)]
struct Unverified {
    iss: String,
}

/// The claims that count; any others are the issuer's own. serde refuses one that comes twice.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn names(&self, wanted: &str) -> bool {
        match self {
            Self::One(name) => name == wanted,
            Self::Several(names) => names.iter().any(|name| name == wanted),
        }
    }
}

impl<'a> Token<'a> {
    /// Reads a token without believing any of it.
    pub(super) fn parse(text: &'a str) -> Result<Self, Flaw> {
        if text.len() > SESSION_TOKEN_BYTES_MAX {
            return Err(Flaw::Form);
        }
        let mut parts = text.split('.');
        let (Some(_), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Flaw::Form);
        };
        // `none` and algorithms that do not exist are no values of the header's type.
        let header = jsonwebtoken::decode_header(text).map_err(|_| Flaw::Form)?;
        if !is_plain(&header) {
            return Err(Flaw::Header);
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Flaw::Form)?;
        let Unverified { iss } = serde_json::from_slice(&payload).map_err(|_| Flaw::Form)?;
        Ok(Self {
            text,
            header,
            issuer: iss,
        })
    }

    /// Whom the token says it is from.
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The key that the token says it is signed with.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Refuses a token that names another algorithm than its issuer's, before a key is looked for.
    pub(super) fn fits(&self, algorithm: Algorithm) -> Result<(), Flaw> {
        (self.header.alg == of(algorithm))
            .then_some(())
            .ok_or(Flaw::Algorithm)
    }

    /// Who the token is about, if the issuer's key made its signature and its claims fit.
    pub(super) fn verify(
        &self,
        key: &DecodingKey,
        issuer: &Trusted,
        now: Timestamp,
    ) -> Result<Subject, Flaw> {
        let mut signature_only = Validation::new(of(issuer.proof.algorithm()));
        // Claims are checked below: by our clock, which tests move, and all of them.
        signature_only.validate_exp = false;
        signature_only.validate_aud = false;
        signature_only.required_spec_claims.clear();
        let decoded = jsonwebtoken::decode::<Claims>(self.text, key, &signature_only);
        let claims = decoded.map_err(|error| flaw(&error))?.claims;
        claims.check(issuer, now)
    }
}

/// Whether a header holds nothing that would change how the token is read: no extension that must be understood (RFC 7515 §4.1.11), no key
/// of its own making, neither encrypted nor compressed, and no other kind of token than those that stand for a session (RFC 8725 §3.11).
fn is_plain(header: &Header) -> bool {
    let kind = header.typ.as_deref().unwrap_or("JWT");
    let is_session = ["JWT", "at+jwt", "application/at+jwt"]
        .iter()
        .any(|known| kind.eq_ignore_ascii_case(known));
    is_session
        && header.crit.is_none()
        && header.jwk.is_none()
        && header.jku.is_none()
        && header.x5u.is_none()
        && header.x5c.is_none()
        && header.enc.is_none()
        && header.zip.is_none()
        && header.cty.is_none()
}

impl Claims {
    fn check(self, issuer: &Trusted, now: Timestamp) -> Result<Subject, Flaw> {
        if self.iss != issuer.name {
            return Err(Flaw::Issuer);
        }
        if !self.aud.names(&issuer.audience) {
            return Err(Flaw::Audience);
        }
        if self.sub.is_empty() || self.sub.chars().count() > MEMBER_SUBJECT_CHARS_MAX {
            return Err(Flaw::Claims);
        }
        let good_until = instant(self.exp).plus(LEEWAY);
        if good_until <= now {
            return Err(Flaw::Expired);
        }
        // A token says from when on it is good. Many issuers leave nbf out (Supabase does); then the time at which it was made stands for it.
        if self.nbf.is_none() && (issuer.requires_nbf || self.iat.is_none()) {
            return Err(Flaw::Early);
        }
        let is_to_come = |time: f64| instant(time) > now.plus(LEEWAY);
        if [self.nbf, self.iat].into_iter().flatten().any(is_to_come) {
            return Err(Flaw::Early);
        }
        Ok(Subject {
            subject: self.sub,
            good_until,
        })
    }
}

/// A NumericDate (RFC 7519 §2): seconds, which may have a fraction.
#[allow(
    clippy::cast_possible_truncation,
    reason = "saturates, and no time that is out of range is good"
)]
fn instant(seconds: f64) -> Timestamp {
    Timestamp::from_micros((seconds * 1_000_000.0) as i64)
}

fn of(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
    }
}

fn flaw(error: &jsonwebtoken::errors::Error) -> Flaw {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::Json(_) => Flaw::Claims,
        ErrorKind::InvalidAlgorithm => Flaw::Algorithm,
        _ => Flaw::Signature,
    }
}
