//! Issuers: whose session tokens an organization trusts, and how their signatures are checked.

use super::members::By;
use super::store::{self, IssuerRow};
use crate::clock::Timestamp;
use crate::features::audit::{self, Act};
use crate::features::orgs::{self, Plan};
use crate::id::{Id as _, IssuerId, OrgId};
use crate::limits::{ISSUER_NAME_CHARS_MAX, ISSUER_SECRET_BYTES_MAX, ISSUER_SECRET_BYTES_MIN, ISSUERS_MAX};
use crate::platform::Platform;
use crate::platform::net::{HttpsUrl, UrlRefused};
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Cell, Class, VaultError, random};
use crate::secret::Secret;
use serde::Serialize;
use std::num::NonZeroU32;

/// How tokens are signed; an issuer has one way, and a token that names another is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256, by a secret that both sides know.
    Hs256,
    /// RSA PKCS #1 v1.5 with SHA-256, by a published key.
    Rs256,
    /// ECDSA on P-256 with SHA-256, by a published key.
    Es256,
}

impl Algorithm {
    /// All algorithms.
    pub const ALL: [Algorithm; 3] = [Self::Hs256, Self::Rs256, Self::Es256];

    /// The algorithm as tokens name it (RFC 7518 §3.1).
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }

    /// Reads a stored algorithm.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == text)
    }
}

/// What signatures are checked with. There is no secret beside a public-key algorithm and no URL beside HS256, so that neither can be
/// taken for the other.
#[derive(Debug, Clone)]
pub enum Proof {
    /// HS256 with this secret.
    Hs256(Secret<String>),
    /// RS256 with the keys at this URL.
    Rs256(HttpsUrl),
    /// ES256 with the keys at this URL.
    Es256(HttpsUrl),
}

impl Proof {
    /// Puts together what belongs together, and refuses what does not.
    pub fn new(
        algorithm: Algorithm,
        secret: Option<Secret<String>>,
        jwks_url: Option<&str>,
    ) -> Result<Self, IssuerError> {
        match (algorithm, secret, jwks_url) {
            (Algorithm::Hs256, Some(secret), None) => {
                let bytes = secret.expose().len();
                let fits = (ISSUER_SECRET_BYTES_MIN..=ISSUER_SECRET_BYTES_MAX).contains(&bytes);
                fits.then_some(Self::Hs256(secret)).ok_or(IssuerError::Secret)
            }
            (Algorithm::Rs256, None, Some(url)) => Ok(Self::Rs256(HttpsUrl::parse(url)?)),
            (Algorithm::Es256, None, Some(url)) => Ok(Self::Es256(HttpsUrl::parse(url)?)),
            (Algorithm::Hs256, ..) => Err(IssuerError::Secret),
            (Algorithm::Rs256 | Algorithm::Es256, ..) => Err(IssuerError::NoJwks),
        }
    }

    /// The algorithm that it is for.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hs256(_) => Algorithm::Hs256,
            Self::Rs256(_) => Algorithm::Rs256,
            Self::Es256(_) => Algorithm::Es256,
        }
    }

    fn jwks_url(&self) -> Option<String> {
        match self {
            Self::Hs256(_) => None,
            Self::Rs256(url) | Self::Es256(url) => Some(url.as_str().to_owned()),
        }
    }
}

/// Whose tokens to trust.
#[derive(Debug, Clone)]
pub struct NewIssuer {
    /// `iss` of its tokens.
    pub name: String,
    /// What `aud` of its tokens must name.
    pub audience: String,
    /// What their signatures are checked with.
    pub proof: Proof,
    /// Whether a token must say from when on it is good (`nbf`), rather than only when it was made (`iat`).
    pub requires_nbf: bool,
}

/// An issuer as it is shown: its secret is not.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its id.
    pub id: IssuerId,
    /// `iss` of its tokens.
    pub name: String,
    /// What `aud` of its tokens must name.
    pub audience: String,
    /// How they are signed.
    pub algorithm: Algorithm,
    /// Where its keys are published.
    pub jwks_url: Option<String>,
    /// Whether `nbf` is required.
    pub requires_nbf: bool,
    /// When it was added.
    pub created_at: Timestamp,
}

/// An issuer as a session needs it, with what the organization says about sessions.
#[derive(Debug, Clone)]
pub struct Trusted {
    /// Its id.
    pub id: IssuerId,
    /// `iss` of its tokens.
    pub name: String,
    /// What `aud` of its tokens must name.
    pub audience: String,
    /// What their signatures are checked with.
    pub proof: Proof,
    /// Whether `nbf` is required.
    pub requires_nbf: bool,
    /// The organization's plan.
    pub plan: Plan,
    /// Requests a second of the organization.
    pub org_per_second: NonZeroU32,
    /// Origins whose pages may call with a session.
    pub browser_origins: Vec<String>,
}

/// Why an issuer was not added, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The name can't be the `iss` of a token.
    #[error(
        "an issuer's name is the iss of its tokens: 1 to {ISSUER_NAME_CHARS_MAX} characters without spaces"
    )]
    Name,
    /// The audience can't be the `aud` of a token.
    #[error(
        "an audience is what aud of a token must name: 1 to {ISSUER_NAME_CHARS_MAX} characters without spaces"
    )]
    Audience,
    /// HS256 without a secret, or with one that is too weak or too long, or with a URL as well.
    #[error(
        "HS256 takes a secret of {ISSUER_SECRET_BYTES_MIN} to {ISSUER_SECRET_BYTES_MAX} bytes, and no jwksUrl"
    )]
    Secret,
    /// A public-key algorithm without a URL, or with a secret.
    #[error("RS256 and ES256 take a jwksUrl, and no secret")]
    NoJwks,
    /// The URL can't be used.
    #[error("{0}")]
    Url(#[from] UrlRefused),
    /// The organization trusts an issuer of this name already.
    #[error("there is an issuer of this name already; remove it first, and its members with it")]
    Taken,
    /// The organization has as many as it may.
    #[error("an organization trusts at most {ISSUERS_MAX} session issuers; remove one first")]
    TooMany,
    /// There is none with this id.
    #[error("there is no such session issuer")]
    Unknown,
    /// It has members whose role may do more than whoever asks.
    #[error("this issuer has members whose role may do more than you; removing it would remove them")]
    Stronger,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

fn cell(id: &IssuerId) -> Cell<'_> {
    Cell {
        table: "session_issuers",
        column: "secret_sealed",
        row: id.as_str(),
    }
}

fn is_name(text: &str) -> bool {
    let fits = |c: char| !c.is_control() && !c.is_whitespace();
    !text.is_empty() && text.chars().count() <= ISSUER_NAME_CHARS_MAX && text.chars().all(fits)
}

/// What the audit log says of an issuer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail<'a> {
    issuer: &'a str,
    audience: &'a str,
    algorithm: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_url: Option<&'a str>,
    require_nbf: bool,
}

impl<'a> From<&'a Issuer> for Detail<'a> {
    fn from(issuer: &'a Issuer) -> Self {
        Self {
            issuer: &issuer.name,
            audience: &issuer.audience,
            algorithm: issuer.algorithm.name(),
            jwks_url: issuer.jwks_url.as_deref(),
            require_nbf: issuer.requires_nbf,
        }
    }
}

fn act<'a>(by: &By<'a>, action: &'static str, issuer: &'a Issuer) -> Act<'a, Detail<'a>> {
    Act {
        actor: by.actor,
        action,
        target: issuer.id.as_str(),
        origin: by.origin,
        detail: Detail::from(issuer),
    }
}

/// Trusts an issuer from now on. It has no members yet, so nobody can come in by it.
pub async fn add_issuer(platform: &Platform, by: &By<'_>, new: NewIssuer) -> Result<Issuer, IssuerError> {
    if !is_name(&new.name) {
        return Err(IssuerError::Name);
    }
    if !is_name(&new.audience) {
        return Err(IssuerError::Audience);
    }
    let now = platform.clock.now();
    let issuer = Issuer {
        id: IssuerId::generate(now, random()),
        name: new.name,
        audience: new.audience,
        algorithm: new.proof.algorithm(),
        jwks_url: new.proof.jwks_url(),
        requires_nbf: new.requires_nbf,
        created_at: now,
    };
    let vault = platform.vault.org(by.org).await?;
    let secret_sealed = match &new.proof {
        Proof::Hs256(secret) => {
            let secret = secret.expose().as_bytes();
            Some(vault.seal(Class::Secrets, now, cell(&issuer.id), secret).await?)
        }
        Proof::Rs256(_) | Proof::Es256(_) => None,
    };
    let entry = audit::prepare(&vault, now, act(by, "session_issuer.added", &issuer)).await?;
    let row = IssuerRow {
        issuer: issuer.clone(),
        secret_sealed: secret_sealed.map(Into::into),
    };
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        let all = store::issuers(tx).await?;
        if all.iter().any(|known| known.name == row.issuer.name) {
            return Err(IssuerError::Taken);
        }
        if i64::try_from(all.len()).unwrap_or(i64::MAX) >= ISSUERS_MAX {
            return Err(IssuerError::TooMany);
        }
        store::insert_issuer(tx, &row).await?;
        Ok(audit::record(tx, &entry).await?)
    };
    platform.store.org(by.org).write("issuer_add", unit).await?;
    Ok(issuer)
}

/// The issuers that an organization trusts, oldest first; there are at most [`ISSUERS_MAX`].
pub async fn issuers(platform: &Platform, org: &OrgId) -> Result<Vec<Issuer>, IssuerError> {
    let unit = async move |tx: &OrgTx| store::issuers(tx).await;
    Ok(platform.store.org(org).read("issuer_list", unit).await?)
}

/// One issuer.
pub async fn issuer(platform: &Platform, org: &OrgId, id: &IssuerId) -> Result<Issuer, IssuerError> {
    let wanted = id.clone();
    let unit = async move |tx: &OrgTx| store::issuer(tx, &wanted).await;
    let found: Option<Issuer> = platform.store.org(org).read("issuer_get", unit).await?;
    found.ok_or(IssuerError::Unknown)
}

/// Trusts an issuer no longer, and removes its members: their sessions end within a second, on every node.
pub async fn remove_issuer(platform: &Platform, by: &By<'_>, id: &IssuerId) -> Result<(), IssuerError> {
    let old = issuer(platform, by.org, id).await?;
    let vault = platform.vault.org(by.org).await?;
    let entry = audit::prepare(
        &vault,
        platform.clock.now(),
        act(by, "session_issuer.removed", &old),
    )
    .await?;
    let roles = by.roles.clone();
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        let held = store::roles_of_issuer(tx, &old.id).await?;
        if held.iter().any(|role| !roles.contains(role)) {
            return Err(IssuerError::Stronger);
        }
        store::delete_members_of(tx, &old.id).await?;
        if !store::delete_issuer(tx, &old.id).await? {
            return Err(IssuerError::Unknown);
        }
        Ok(audit::record(tx, &entry).await?)
    };
    platform.store.org(by.org).write("issuer_remove", unit).await
}

/// The issuer of this name, if the organization trusts it. An organization that does not exist trusts nobody.
pub async fn trusted(platform: &Platform, org: &OrgId, name: &str) -> Result<Option<Trusted>, IssuerError> {
    let wanted = name.to_owned();
    let unit = async move |tx: &OrgTx| store::trusted(tx, &wanted).await;
    let found: Option<store::TrustedRow> = platform.store.org(org).read("issuer_trusted", unit).await?;
    let Some(store::TrustedRow { row, terms }) = found else {
        return Ok(None);
    };
    let secret = match &row.secret_sealed {
        Some(sealed) => {
            let vault = platform.vault.org(org).await?;
            let secret = vault.open(cell(&row.issuer.id), sealed).await?;
            Some(Secret::new(String::from_utf8_lossy(&secret).into_owned()))
        }
        None => None,
    };
    let issuer = row.issuer;
    Ok(Some(Trusted {
        proof: Proof::new(issuer.algorithm, secret, issuer.jwks_url.as_deref())?,
        id: issuer.id,
        name: issuer.name,
        audience: issuer.audience,
        requires_nbf: issuer.requires_nbf,
        plan: terms.plan,
        org_per_second: terms.plan.per_second(terms.rate_per_second),
        browser_origins: terms.browser_origins,
    }))
}
