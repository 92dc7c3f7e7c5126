//! Sessions: a person calls with a token of an issuer that the organization trusts, from a server or from a page in a browser.
//!
//! The request names the organization, so everything is looked up inside it: the issuer by `iss`, the member by issuer and `sub`. `token`
//! checks the token, `jwks` brings published keys, `people` says what the member may do. A token gives no more than its member's role, and
//! what was found good is asked for again half a second later: a role that is taken is gone within a second.
//!
//! Sessions, and never keys, may come from pages: of the origins that the organization lists. A preflight does not say for which
//! organization it asks; it is answered by whether any lists the origin, and the request itself is judged by its own organization.

mod jwks;
mod store;
mod token;

pub use store::ALL as STATEMENTS;
pub use token::Flaw;

use crate::clock::Timestamp;
use crate::features::audit::Origin;
use crate::features::keys::{Actor, Caller, Recent, Restrictions};
use crate::features::people::{self, IssuerError, MemberError, Proof};
use crate::id::{Id as _, OrgId};
use crate::mode::Mode;
use crate::platform::Platform;
use crate::platform::net::HttpClient;
use crate::platform::store::StoreError;
use crate::platform::vault::VaultError;
use aws_lc_rs::digest;
use jsonwebtoken::DecodingKey;
use jwks::Published;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use token::Token;
use tokio::sync::Mutex;

/// How old the list of all origins may be that preflights are answered from.
const ORIGINS_FRESH_FOR: Duration = Duration::from_secs(1);

/// Whether a bearer token is meant as a session's: three parts with dots between them (RFC 7515 §7.1). A key has no dots.
pub fn is_session(bearer: &str) -> bool {
    bearer.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// What a request with a session brings. It can't be printed: it holds the token.
#[derive(Clone)]
pub struct Presented<'a> {
    /// The token.
    pub token: &'a str,
    /// The organization that it names.
    pub org: Option<&'a str>,
    /// The mode that it wants to work in.
    pub mode: Mode,
    /// The origin of the page that sent it.
    pub page: Option<&'a str>,
    /// Where it came from.
    pub origin: Origin,
}

/// Why a session was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Something is wrong with the token. Callers are not told what.
    #[error(transparent)]
    Token(#[from] Flaw),
    /// It came from a page that the organization does not list.
    #[error(
        "sessions are taken from pages of the organization's browserOrigins only, and this origin is not among them"
    )]
    Page,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<IssuerError> for Refused {
    fn from(error: IssuerError) -> Self {
        match error {
            IssuerError::Store(error) => error.into(),
            IssuerError::Vault(error) => error.into(),
            // A row that can't be used, by a rule that is stricter today than when it was written.
            IssuerError::Name
            | IssuerError::Audience
            | IssuerError::Secret
            | IssuerError::NoJwks
            | IssuerError::Url(_)
            | IssuerError::Taken
            | IssuerError::TooMany
            | IssuerError::Unknown
            | IssuerError::Stronger => Flaw::Issuer.into(),
        }
    }
}

impl From<MemberError> for Refused {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::Store(error) => error.into(),
            MemberError::Vault(error) => error.into(),
            MemberError::Subject
            | MemberError::Issuer
            | MemberError::Taken
            | MemberError::Stronger
            | MemberError::TooMany
            | MemberError::Unknown
            | MemberError::After
            | MemberError::Itself => Flaw::Member.into(),
        }
    }
}

/// A session that was found good.
#[derive(Debug, Clone)]
struct Known {
    /// In live mode, without an origin.
    caller: Caller,
    pages: Arc<[String]>,
}

/// Knows the sessions that were good a moment ago, the keys that issuers publish, and the origins that anybody lists.
pub struct Sessions {
    http: HttpClient,
    recent: Recent<Known>,
    published: Published,
    origins: Mutex<Option<(Timestamp, HashSet<String>)>>,
}

impl Sessions {
    /// Starts with empty memory; `http` fetches keys.
    pub fn new(http: HttpClient) -> Self {
        Self {
            http,
            recent: Recent::default(),
            published: Published::default(),
            origins: Mutex::default(),
        }
    }

    /// Finds who calls with this session.
    pub async fn caller(&self, platform: &Platform, presented: Presented<'_>) -> Result<Caller, Refused> {
        let org = presented.org.and_then(OrgId::parse).ok_or(Flaw::Organization)?;
        let now = platform.clock.now();
        let lookup = lookup(&org, presented.token);
        let known = match self.recent.get(&lookup, now) {
            Some(known) => known,
            None => {
                let (known, good_until) = self.verified(platform, org, presented.token, now).await?;
                self.recent.put(lookup, now, Some(good_until), known.clone());
                known
            }
        };
        let is_listed = |page: &str| known.pages.iter().any(|listed| listed == page);
        if presented.page.is_some_and(|page| !is_listed(page)) {
            return Err(Refused::Page);
        }
        Ok(Caller {
            mode: presented.mode,
            origin: presented.origin,
            ..known.caller
        })
    }

    /// The session of a token whose every check succeeds, and when the token ends.
    async fn verified(
        &self,
        platform: &Platform,
        org: OrgId,
        text: &str,
        now: Timestamp,
    ) -> Result<(Known, Timestamp), Refused> {
        let token = Token::parse(text)?;
        let issuer = people::trusted(platform, &org, token.issuer()).await?;
        let issuer = issuer.ok_or(Flaw::Issuer)?;
        token.fits(issuer.proof.algorithm())?;
        let key = match &issuer.proof {
            Proof::Hs256(secret) => DecodingKey::from_secret(secret.expose().as_bytes()),
            Proof::Rs256(url) | Proof::Es256(url) => {
                let key_id = token.key_id().ok_or(Flaw::Key)?;
                let wanted = jwks::Wanted {
                    issuer: &issuer.id,
                    url,
                    algorithm: issuer.proof.algorithm(),
                    key_id,
                };
                self.published.key(&self.http, wanted, now).await?
            }
        };
        let claims = token.verify(&key, &issuer, now)?;
        let member = people::role_of(platform, &org, &issuer.id, &claims.subject).await?;
        let (member, permissions) = member.ok_or(Flaw::Member)?;
        let caller = Caller {
            org,
            actor: Actor::Member(member),
            mode: Mode::Live,
            permissions,
            restrictions: Arc::<Restrictions>::default(),
            plan: issuer.plan,
            org_per_second: issuer.org_per_second,
            origin: Origin::default(),
        };
        let pages = issuer.browser_origins.into();
        Ok((Known { caller, pages }, claims.good_until))
    }

    /// Whether any organization lists this origin.
    pub async fn is_listed_by_anyone(&self, platform: &Platform, page: &str) -> Result<bool, StoreError> {
        let now = platform.clock.now();
        let mut origins = self.origins.lock().await;
        if let Some((at, listed)) = &*origins
            && now.since(*at) < ORIGINS_FRESH_FOR
        {
            return Ok(listed.contains(page));
        }
        let listed = store::origins(&platform.store).await?;
        let is_listed = listed.contains(page);
        *origins = Some((now, listed));
        Ok(is_listed)
    }
}

/// What a session is remembered by: nothing of the token stays in memory.
fn lookup(org: &OrgId, token: &str) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    // An organization's id has a fixed length, so no two pairs are read as one.
    context.update(org.as_str().as_bytes());
    context.update(token.as_bytes());
    context.finish().as_ref().to_vec()
}
