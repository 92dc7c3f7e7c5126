//! API keys: their form, how one becomes a [`Caller`], how they are made, changed, replaced, and burned.
//!
//! A key is shown once. What is kept is `HMAC(pepper, SHA-256(key))`, by which it is found, and the SHA-256 sealed; neither
//! gives the key back. Its life: made ([`make`]), used (`usage`), looked after by reminders while it ages ([`Ages`]), replaced with an
//! overlap or deleted ([`manage`]), burned when it is seen where it must not be ([`expose`]).
//!
//! A key never makes, or becomes, a key that may do more than the one that asks for it: [`Caller::covers`].

mod age;
mod authenticate;
mod expose;
mod format;
mod make;
mod manage;
mod recent;
mod restrictions;
mod store;
mod usage;

pub use age::{Ages, ROTATION_DUE_AFTER};
pub use authenticate::{Authenticator, Refused};
pub use expose::{Channel, ExposeError, expose, expose_all};
pub use format::{Key, Style};
pub use make::{KeyError, NewKey, create, create_by};
pub use manage::{Change, Page, Rotated, Shown, change, delete, get, list, revoke, rotate};
pub use recent::Recent;
pub use restrictions::{Networks, Period, Rate, Restrictions};
pub use store::ALL as STATEMENTS;
pub use usage::Usage;

pub use crate::features::people::Permissions;

use crate::clock::Timestamp;
use crate::features::audit::Origin;
use crate::features::orgs::{self, Plan};
use crate::features::people::{self, By, Role};
use crate::id::{Id as _, KeyId, MemberId, OrgId};
use crate::mode::Mode;
use crate::platform::store::OrgTx;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A program, by its key.
    Key(KeyId),
    /// A person, by a session.
    Member(MemberId),
    /// The installation itself.
    System,
}

impl Actor {
    /// The actor as it is stored and shown.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Key(id) => id.as_str(),
            Self::Member(id) => id.as_str(),
            Self::System => "system",
        }
    }
}

/// Who is calling, once the key or the session was found good.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The organization.
    pub org: OrgId,
    /// The key or the member.
    pub actor: Actor,
    /// Whether effects are real.
    pub mode: Mode,
    /// What it may do.
    pub permissions: Permissions,
    /// From where, for which domains, how fast and how long.
    pub restrictions: Arc<Restrictions>,
    /// The organization's plan.
    pub plan: Plan,
    /// Requests a second of the whole organization.
    pub org_per_second: NonZeroU32,
    /// Where this request came from.
    pub origin: Origin,
}

impl Caller {
    /// The installation, acting for an organization.
    pub fn system(org: OrgId) -> Self {
        Self {
            org,
            actor: Actor::System,
            mode: Mode::Live,
            permissions: Permissions::all(),
            restrictions: Arc::default(),
            plan: Plan::Enterprise,
            org_per_second: NonZeroU32::MAX,
            origin: Origin::default(),
        }
    }

    /// Whether a key with these rights could do nothing that the caller can't: a key never makes a stronger one.
    pub fn covers(&self, mode: Mode, permissions: &Permissions, restrictions: &Restrictions) -> bool {
        (self.mode == Mode::Live || mode == Mode::Test)
            && self.permissions.cover(permissions)
            && self.restrictions.cover(restrictions)
    }

    /// The caller as it is in this commit: what was found at the door may be half a second old, and a key that was narrowed, burned or
    /// revoked meanwhile, or a member whose role was taken, must not undo it. Asked behind the organization's lock.
    async fn renewed(&self, tx: &OrgTx, permission: &str, now: Timestamp) -> Result<Self, KeyError> {
        let id = match &self.actor {
            Actor::Key(id) => id,
            Actor::Member(id) => {
                let permissions = people::permissions_of(tx, id).await?;
                let permissions = permissions.filter(|own| own.allow(permission));
                return Ok(Self {
                    permissions: permissions.ok_or(KeyError::Gone)?,
                    ..self.clone()
                });
            }
            Actor::System => return Ok(self.clone()),
        };
        let row = store::get(tx, id).await?.ok_or(KeyError::Gone)?;
        let oldest = orgs::key_max_age(tx).await?.map(|age| row.created_at.plus(age));
        let ends_at = [row.restrictions.expires_at, oldest].into_iter().flatten().min();
        if row.revoked_at.is_some()
            || ends_at.is_some_and(|at| at <= now)
            || !row.permissions.allow(permission)
        {
            return Err(KeyError::Gone);
        }
        Ok(Self {
            permissions: row.permissions,
            restrictions: Arc::new(row.restrictions),
            ..self.clone()
        })
    }

    /// The caller as whoever changes members and issuers: roles are given and taken by those who may do as much themselves.
    pub fn by(&self) -> By<'_> {
        let covered = |role: &Role| self.covers(Mode::Live, &role.permissions(), &Restrictions::default());
        By {
            org: &self.org,
            actor: self.actor.as_str(),
            origin: &self.origin,
            roles: Role::ALL.into_iter().filter(covered).collect(),
        }
    }

    /// The mode whose keys the caller may see: test keys know only their kind.
    fn sees(&self) -> Option<Mode> {
        (self.mode == Mode::Test).then_some(Mode::Test)
    }
}
