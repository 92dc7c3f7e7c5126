//! Makes, shows, changes and deletes templates.

use super::store::{self, TemplateRow};
use super::{Source, TemplatesError, aside};
use crate::clock::Timestamp;
use crate::features::audit::{self, Act};
use crate::features::keys::Caller;
use crate::features::orgs;
use crate::id::{Id as _, TemplateId};
use crate::limits::{COUNT_MAX, NAME_CHARS_MAX, TEMPLATES_MAX};
use crate::platform::Platform;
use crate::platform::store::OrgTx;
use crate::platform::vault::{Cell, Class, OrgVault, VaultError, random};
use bytes::Bytes;
use serde::Serialize;

/// A template as it is listed.
#[derive(Debug, Clone)]
pub struct Template {
    /// Its id.
    pub id: TemplateId,
    /// What people call it.
    pub name: String,
    /// The version that mail is made from.
    pub active_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl From<TemplateRow> for Template {
    fn from(row: TemplateRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            active_version: row.active,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A version of a template.
#[derive(Debug, Clone, Copy)]
pub struct Version {
    /// Its number, from 1.
    pub number: i64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What is to change of a template; what is `None` stays.
#[derive(Default)]
pub struct Change {
    /// What people call it.
    pub name: Option<String>,
    /// The version that mail is to be made from.
    pub active_version: Option<i64>,
    /// Parts: each one new, gone (`Some(None)`), or as it is.
    pub subject: Option<Option<String>>,
    /// See [`Change::subject`].
    pub html: Option<Option<String>>,
    /// See [`Change::subject`].
    pub text: Option<Option<String>>,
    /// See [`Change::subject`].
    pub amp: Option<Option<String>>,
}

/// The versions of a template, latest first.
type Versions = Vec<Version>;

#[derive(Serialize)]
struct Detail<'a> {
    name: &'a str,
    version: i64,
}

/// A row's numbers are unique within the organization.
fn source_row(id: &TemplateId, version: i64) -> String {
    format!("{}/{version}", id.as_str())
}

fn source_cell(row: &str) -> Cell<'_> {
    Cell {
        table: "template_versions",
        column: "source_sealed",
        row,
    }
}

async fn seal(
    vault: &OrgVault,
    id: &TemplateId,
    version: i64,
    source: &Source,
    at: Timestamp,
) -> Result<Bytes, VaultError> {
    // Only text: this can't fail.
    let json = serde_json::to_vec(source).unwrap_or_default();
    let row = source_row(id, version);
    Ok(vault
        .seal(Class::Secrets, at, source_cell(&row), &json)
        .await?
        .into())
}

async fn open(vault: &OrgVault, id: &TemplateId, version: i64, sealed: &[u8]) -> Result<Source, VaultError> {
    let row = source_row(id, version);
    let json = vault.open(source_cell(&row), sealed).await?;
    serde_json::from_slice(&json).map_err(|_| VaultError::Forgotten)
}

/// Refuses what could not be sent; reading a large source takes a moment, so it is done aside.
async fn check(source: &Source) -> Result<(), TemplatesError> {
    if source.html.is_none() && source.text.is_none() {
        return Err(TemplatesError::Empty);
    }
    if source.amp.is_some() && source.html.is_none() {
        return Err(TemplatesError::AmpAlone);
    }
    let source = source.clone();
    aside(move || source.parse().map(drop)).await
}

fn check_name(name: &str) -> Result<(), TemplatesError> {
    let is_fit = (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    is_fit.then_some(()).ok_or(TemplatesError::Name)
}

async fn audited(
    vault: &OrgVault,
    caller: &Caller,
    action: &'static str,
    row: &TemplateRow,
    at: Timestamp,
) -> Result<audit::Entry, VaultError> {
    let act = Act {
        actor: caller.actor.as_str(),
        action,
        target: row.id.as_str(),
        origin: &caller.origin,
        detail: Detail {
            name: &row.name,
            version: row.active,
        },
    };
    audit::prepare(vault, at, act).await
}

/// Makes a template; its first version is active.
pub async fn create(
    platform: &Platform,
    caller: &Caller,
    name: String,
    source: &Source,
) -> Result<Template, TemplatesError> {
    check_name(&name)?;
    check(source).await?;
    let now = platform.clock.now();
    let vault = platform.vault.org(&caller.org).await?;
    let row = TemplateRow {
        id: TemplateId::generate(now, random()),
        name,
        active: 1,
        latest: 1,
        created_at: now,
        updated_at: now,
    };
    let sealed = seal(&vault, &row.id, 1, source, now).await?;
    let entry = audited(&vault, caller, "template.created", &row, now).await?;
    let made = Template::from(row.clone());
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        if store::count(tx).await? >= TEMPLATES_MAX {
            return Err(TemplatesError::TooMany);
        }
        store::insert(tx, &row, &sealed).await?;
        Ok(audit::record(tx, &entry).await?)
    };
    platform
        .store
        .org(&caller.org)
        .write("template_create", unit)
        .await?;
    Ok(made)
}

/// One template's row, its versions, and the sealed source of the active one, as of one moment.
async fn read(
    platform: &Platform,
    caller: &Caller,
    id: &TemplateId,
) -> Result<(TemplateRow, Vec<(i64, Timestamp)>, Bytes), TemplatesError> {
    let id = id.clone();
    let unit = async move |tx: &OrgTx| {
        let row = store::get(tx, &id).await?.ok_or(TemplatesError::Unknown)?;
        let versions = store::versions(tx, &id).await?;
        let sealed = store::source(tx, &id, row.active).await?;
        Ok((row, versions, sealed.ok_or(TemplatesError::NoVersion)?))
    };
    platform.store.org(&caller.org).read("template_get", unit).await
}

/// What is shown of one template: itself, its versions, and what the active one says.
pub async fn get(
    platform: &Platform,
    caller: &Caller,
    id: &TemplateId,
) -> Result<(Template, Versions, Source), TemplatesError> {
    let (row, versions, sealed) = read(platform, caller, id).await?;
    let vault = platform.vault.org(&caller.org).await?;
    let source = open(&vault, id, row.active, &sealed).await?;
    let version = |(number, created_at)| Version { number, created_at };
    Ok((row.into(), versions.into_iter().map(version).collect(), source))
}

/// What the active version of a template says.
pub async fn source(platform: &Platform, caller: &Caller, id: &TemplateId) -> Result<Source, TemplatesError> {
    let wanted = id.clone();
    let unit = async move |tx: &OrgTx| {
        let row = store::get(tx, &wanted).await?.ok_or(TemplatesError::Unknown)?;
        let sealed = store::source(tx, &wanted, row.active).await?;
        Ok::<_, TemplatesError>((row.active, sealed.ok_or(TemplatesError::NoVersion)?))
    };
    let (version, sealed) = platform
        .store
        .org(&caller.org)
        .read("template_source", unit)
        .await?;
    let vault = platform.vault.org(&caller.org).await?;
    Ok(open(&vault, id, version, &sealed).await?)
}

/// A page of templates.
pub struct Page {
    /// The templates, newest first.
    pub templates: Vec<Template>,
    /// Whether there are more beyond.
    pub has_more: bool,
    /// How many there are in all.
    pub total: i64,
}

/// Up to `limit` templates, newest first, from the one after `after`.
pub async fn list(
    platform: &Platform,
    caller: &Caller,
    limit: i64,
    after: Option<TemplateId>,
) -> Result<Page, TemplatesError> {
    let unit = async move |tx: &OrgTx| {
        if let Some(after) = &after {
            store::get(tx, after).await?.ok_or(TemplatesError::After)?;
        }
        let rows = store::list(tx, after.as_ref(), limit + 1).await?;
        Ok::<_, TemplatesError>((rows, store::count(tx).await?))
    };
    let (mut rows, total) = platform
        .store
        .org(&caller.org)
        .read("template_list", unit)
        .await?;
    let limit = usize::try_from(limit).unwrap_or(0);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    Ok(Page {
        templates: rows.into_iter().map(Template::from).collect(),
        has_more,
        total: total.min(COUNT_MAX),
    })
}

/// Changes a template: its name, its active version, or what it says, which makes a new version and that one active.
pub async fn update(
    platform: &Platform,
    caller: &Caller,
    id: &TemplateId,
    change: Change,
) -> Result<Template, TemplatesError> {
    let (old, versions, sealed) = read(platform, caller, id).await?;
    let vault = platform.vault.org(&caller.org).await?;
    let (mut new, now) = (old.clone(), platform.clock.now());
    // Later than what was read, also within one tick of the clock: the update is held against it.
    new.updated_at = now.max(old.updated_at.plus(std::time::Duration::from_micros(1)));
    if let Some(name) = change.name {
        check_name(&name)?;
        new.name = name;
    }
    let before = open(&vault, id, old.active, &sealed).await?;
    let source = Source {
        subject: change.subject.unwrap_or_else(|| before.subject.clone()),
        html: change.html.unwrap_or_else(|| before.html.clone()),
        text: change.text.unwrap_or_else(|| before.text.clone()),
        amp: change.amp.unwrap_or_else(|| before.amp.clone()),
    };
    let mut made = None;
    if source != before {
        if change.active_version.is_some() {
            return Err(TemplatesError::VersionAndSource);
        }
        check(&source).await?;
        new.latest = old.latest + 1;
        new.active = new.latest;
        made = Some(seal(&vault, id, new.latest, &source, now).await?);
    } else if let Some(wanted) = change.active_version {
        let is_kept = versions.iter().any(|(number, _)| *number == wanted);
        new.active = is_kept.then_some(wanted).ok_or(TemplatesError::NoVersion)?;
    }
    let entry = audited(&vault, caller, "template.updated", &new, now).await?;
    let changed = Template::from(new.clone());
    let unit = async move |tx: &OrgTx| {
        if !store::update(tx, &old, &new).await? {
            return Err(TemplatesError::Busy);
        }
        if let Some(sealed) = &made {
            store::insert_version(tx, &new.id, new.latest, sealed, now).await?;
        }
        Ok(audit::record(tx, &entry).await?)
    };
    platform
        .store
        .org(&caller.org)
        .write("template_update", unit)
        .await?;
    Ok(changed)
}

/// Deletes a template with its versions; mail that was made from it stays as it is.
pub async fn delete(platform: &Platform, caller: &Caller, id: &TemplateId) -> Result<(), TemplatesError> {
    let wanted = id.clone();
    let unit = async move |tx: &OrgTx| store::get(tx, &wanted).await?.ok_or(TemplatesError::Unknown);
    let row = platform.store.org(&caller.org).read("template_row", unit).await?;
    let vault = platform.vault.org(&caller.org).await?;
    let entry = audited(&vault, caller, "template.deleted", &row, platform.clock.now()).await?;
    let unit = async move |tx: &OrgTx| {
        if !store::delete(tx, &row.id).await? {
            return Err(TemplatesError::Unknown);
        }
        Ok(audit::record(tx, &entry).await?)
    };
    platform
        .store
        .org(&caller.org)
        .write("template_delete", unit)
        .await
}
