//! Members: who may act for an organization, and as what.

use super::store::{self, MemberRow};
use super::{Permissions, Role};
use crate::clock::Timestamp;
use crate::features::audit::{self, Act, Entry, Origin};
use crate::features::orgs;
use crate::id::{Id as _, IssuerId, MemberId, OrgId};
use crate::limits::{MEMBER_SUBJECT_CHARS_MAX, MEMBERS_MAX};
use crate::platform::Platform;
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Cell, Class, OrgVault, VaultError, random};
use crate::secret::Personal;
use serde::Serialize;

/// Who changes members and issuers, and how far they may go.
#[derive(Debug, Clone)]
pub struct By<'a> {
    /// In this organization.
    pub org: &'a OrgId,
    /// The actor, as the audit log names it.
    pub actor: &'a str,
    /// From where.
    pub origin: &'a Origin,
    /// The roles that they may give and take: those that may do nothing they can't do themselves.
    pub roles: Vec<Role>,
}

/// Somebody who may act for an organization.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Whose word is taken for who it is.
    pub issuer: IssuerId,
    /// What the issuer calls it: `sub` of its tokens.
    pub subject: Personal<String>,
    /// What it may do.
    pub role: Role,
    /// When it was added.
    pub created_at: Timestamp,
}

/// Whom to add.
#[derive(Debug, Clone)]
pub struct NewMember {
    /// Whose word is taken for who it is.
    pub issuer: IssuerId,
    /// What the issuer calls it.
    pub subject: Personal<String>,
    /// What it may do.
    pub role: Role,
}

/// Why a member was not added, changed, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The subject is empty, too long, or holds control characters.
    #[error("a subject has 1 to {MEMBER_SUBJECT_CHARS_MAX} characters and no control characters")]
    Subject,
    /// There is no such issuer.
    #[error("there is no such session issuer")]
    Issuer,
    /// The issuer's subject is a member already.
    #[error("this subject of this issuer is a member already; change its role instead")]
    Taken,
    /// The role may do more than whoever gives or takes it.
    #[error(
        "a role is given and taken only by those who may do as much themselves (permissions and mode count, and so do a key's restrictions)"
    )]
    Stronger,
    /// The organization has as many as it may.
    #[error("an organization has at most {MEMBERS_MAX} members; remove one first")]
    TooMany,
    /// There is none with this id.
    #[error("there is no such member")]
    Unknown,
    /// A page was to begin after a member that there is not.
    #[error("there is no member with this id for a page to begin at")]
    After,
    /// The member asks for its own end.
    #[error("a member can't remove itself; somebody else has to")]
    Itself,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

fn cell(id: &MemberId) -> Cell<'_> {
    Cell {
        table: "members",
        column: "subject_sealed",
        row: id.as_str(),
    }
}

fn subject_index(vault: &OrgVault, subject: &str) -> Vec<u8> {
    vault.blind_index("member subject", subject)
}

async fn opened(vault: &OrgVault, row: MemberRow) -> Result<Member, VaultError> {
    let subject = vault.open(cell(&row.id), &row.subject_sealed).await?;
    Ok(Member {
        subject: Personal::new(String::from_utf8_lossy(&subject).into_owned()),
        id: row.id,
        issuer: row.issuer,
        role: row.role,
        created_at: row.created_at,
    })
}

/// What the audit log says of a member.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail<'a> {
    issuer_id: &'a IssuerId,
    subject: &'a str,
    role: &'static str,
}

async fn entry(
    vault: &OrgVault,
    at: Timestamp,
    by: &By<'_>,
    action: &'static str,
    member: &Member,
) -> Result<Entry, VaultError> {
    let detail = Detail {
        issuer_id: &member.issuer,
        subject: member.subject.expose(),
        role: member.role.name(),
    };
    let act = Act {
        actor: by.actor,
        action,
        target: member.id.as_str(),
        origin: by.origin,
        detail,
    };
    audit::prepare(vault, at, act).await
}

fn may(roles: &[Role], role: Role) -> Result<(), MemberError> {
    roles.contains(&role).then_some(()).ok_or(MemberError::Stronger)
}

/// Adds a member.
pub async fn add_member(platform: &Platform, by: &By<'_>, new: NewMember) -> Result<Member, MemberError> {
    may(&by.roles, new.role)?;
    let subject = new.subject.expose();
    if subject.is_empty()
        || subject.chars().count() > MEMBER_SUBJECT_CHARS_MAX
        || subject.chars().any(char::is_control)
    {
        return Err(MemberError::Subject);
    }
    let now = platform.clock.now();
    let member = Member {
        id: MemberId::generate(now, random()),
        issuer: new.issuer,
        subject: new.subject,
        role: new.role,
        created_at: now,
    };
    let vault = platform.vault.org(by.org).await?;
    let subject = member.subject.expose();
    let row = MemberRow {
        id: member.id.clone(),
        issuer: member.issuer.clone(),
        subject_sealed: vault
            .seal(Class::Secrets, now, cell(&member.id), subject.as_bytes())
            .await?
            .into(),
        role: member.role,
        created_at: now,
    };
    let index = subject_index(&vault, subject);
    let entry = entry(&vault, now, by, "member.added", &member).await?;
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        if store::issuer(tx, &row.issuer).await?.is_none() {
            return Err(MemberError::Issuer);
        }
        if store::role_of(tx, &row.issuer, &index).await?.is_some() {
            return Err(MemberError::Taken);
        }
        if store::count_members(tx).await? >= MEMBERS_MAX {
            return Err(MemberError::TooMany);
        }
        store::insert_member(tx, &row, &index).await?;
        Ok(audit::record(tx, &entry).await?)
    };
    platform.store.org(by.org).write("member_add", unit).await?;
    Ok(member)
}

/// One member.
pub async fn member(platform: &Platform, org: &OrgId, id: &MemberId) -> Result<Member, MemberError> {
    let wanted = id.clone();
    let unit = async move |tx: &OrgTx| store::member(tx, &wanted).await;
    let row = platform.store.org(org).read("member_get", unit).await?;
    let vault = platform.vault.org(org).await?;
    Ok(opened(&vault, row.ok_or(MemberError::Unknown)?).await?)
}

/// One page of members, oldest first.
pub struct MembersPage {
    /// The members.
    pub members: Vec<Member>,
    /// Whether there are more.
    pub has_more: bool,
    /// How many there are at all.
    pub total: i64,
}

/// A page of `limit` members: the oldest, or those younger than `after`.
pub async fn members(
    platform: &Platform,
    org: &OrgId,
    limit: i64,
    after: Option<MemberId>,
) -> Result<MembersPage, MemberError> {
    let unit = async move |tx: &OrgTx| {
        if let Some(id) = &after
            && store::member(tx, id).await?.is_none()
        {
            return Err(MemberError::After);
        }
        let rows = store::members(tx, after.as_ref(), limit + 1).await?;
        Ok::<_, MemberError>((rows, store::count_members(tx).await?))
    };
    let (mut rows, total) = platform.store.org(org).read("member_list", unit).await?;
    let limit = usize::try_from(limit).unwrap_or(0);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let vault = platform.vault.org(org).await?;
    let mut members = Vec::with_capacity(rows.len());
    for row in rows {
        members.push(opened(&vault, row).await?);
    }
    Ok(MembersPage {
        members,
        has_more,
        total,
    })
}

/// Gives a member another role. Both the old and the new one have to be the caller's to give.
pub async fn change_role(
    platform: &Platform,
    by: &By<'_>,
    id: &MemberId,
    role: Role,
) -> Result<Member, MemberError> {
    let old = member(platform, by.org, id).await?;
    let new = Member { role, ..old };
    let vault = platform.vault.org(by.org).await?;
    let entry = entry(&vault, platform.clock.now(), by, "member.role_changed", &new).await?;
    let (roles, id) = (by.roles.clone(), id.clone());
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        let found = store::member(tx, &id).await?.ok_or(MemberError::Unknown)?;
        may(&roles, found.role)?;
        may(&roles, role)?;
        store::set_role(tx, &id, role).await?;
        Ok::<_, MemberError>(audit::record(tx, &entry).await?)
    };
    platform
        .store
        .org(by.org)
        .write("member_change_role", unit)
        .await?;
    Ok(new)
}

/// Removes a member: its sessions end within a second, on every node.
pub async fn remove_member(platform: &Platform, by: &By<'_>, id: &MemberId) -> Result<(), MemberError> {
    if by.actor == id.as_str() {
        return Err(MemberError::Itself);
    }
    let old = member(platform, by.org, id).await?;
    let vault = platform.vault.org(by.org).await?;
    let entry = entry(&vault, platform.clock.now(), by, "member.removed", &old).await?;
    let (roles, id) = (by.roles.clone(), id.clone());
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        let found = store::member(tx, &id).await?.ok_or(MemberError::Unknown)?;
        may(&roles, found.role)?;
        store::delete_member(tx, &id).await?;
        Ok::<_, MemberError>(audit::record(tx, &entry).await?)
    };
    platform.store.org(by.org).write("member_remove", unit).await
}

/// What a member may do at this moment, for a unit that must not go by what was found at the door.
pub async fn permissions_of(tx: &OrgTx, id: &MemberId) -> Result<Option<Permissions>, StoreError> {
    let found = store::member(tx, id).await?;
    Ok(found.map(|member| member.role.permissions()))
}

/// The member that is this subject of this issuer, with what it may do.
pub async fn role_of(
    platform: &Platform,
    org: &OrgId,
    issuer: &IssuerId,
    subject: &str,
) -> Result<Option<(MemberId, Permissions)>, MemberError> {
    let index = subject_index(&platform.vault.org(org).await?, subject);
    let issuer = issuer.clone();
    let unit = async move |tx: &OrgTx| store::role_of(tx, &issuer, &index).await;
    let found: Option<(MemberId, Role)> = platform.store.org(org).read("member_role", unit).await?;
    Ok(found.map(|(id, role)| (id, role.permissions())))
}
