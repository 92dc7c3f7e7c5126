//! Alerts: what is wrong with the installation itself, told to the organization of its operator.
//!
//! An alert is told once when it begins and once when it is over, however many processes see it and however often they are restarted:
//! while it goes on there is a row of it, made and removed in the commit of what is told. Not here: who looks (`app/watch.rs`), and
//! alerts that organizations set for themselves.

mod store;

pub use store::ALL as STATEMENTS;

use crate::clock::Timestamp;
use crate::features::events::{self, About, Type};
use crate::id::OrgId;
use crate::mode::Mode;
use crate::platform::Platform;
use crate::platform::jobs::Kind;
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::VaultError;
use serde::Serialize;

/// What may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alert {
    /// Mail is due and nobody tries it.
    QueueStalled,
    /// Mail was held by the check before sending.
    MailHeld,
}

impl Alert {
    /// The alert as it is stored, labelled and told.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueStalled => "queue_stalled",
            Self::MailHeld => "mail_held",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::QueueStalled => "mail is due and nobody tries it",
            Self::MailHeld => "mail failed the check before sending and is held; the log says which and why",
        }
    }
}

/// Why an alert could not be told.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    kind: &'static str,
    message: &'static str,
    fired_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cleared_at: Option<String>,
}

/// Tells that an alert begins; `false` when that was told already.
pub async fn fire(platform: &Platform, org: &OrgId, alert: Alert) -> Result<bool, AlertError> {
    let now = platform.clock.now();
    if fired_at(platform, org, alert).await?.is_some() {
        return Ok(false);
    }
    tell(platform, org, alert, now, None).await
}

/// Tells that an alert is over; `false` when there was none.
pub async fn clear(platform: &Platform, org: &OrgId, alert: Alert) -> Result<bool, AlertError> {
    match fired_at(platform, org, alert).await? {
        Some(fired_at) => {
            let now = platform.clock.now();
            tell(platform, org, alert, fired_at, Some(now)).await
        }
        None => Ok(false),
    }
}

async fn fired_at(platform: &Platform, org: &OrgId, alert: Alert) -> Result<Option<Timestamp>, StoreError> {
    let unit = async move |tx: &OrgTx| store::fired_at(tx, alert.name()).await;
    platform.store.org(org).read("alert_fired_at", unit).await
}

async fn tell(
    platform: &Platform,
    org: &OrgId,
    alert: Alert,
    fired_at: Timestamp,
    cleared_at: Option<Timestamp>,
) -> Result<bool, AlertError> {
    let about = About {
        kind: match cleared_at {
            None => Type::AlertFired,
            Some(_) => Type::AlertCleared,
        },
        mode: Mode::Live,
        email: None,
        at: cleared_at.unwrap_or(fired_at),
    };
    let data = Data {
        kind: alert.name(),
        message: alert.message(),
        fired_at: fired_at.rfc3339(),
        cleared_at: cleared_at.map(Timestamp::rfc3339),
    };
    let vault = platform.vault.org(org).await?;
    let event = events::prepare(&vault, about, &data).await?;
    let unit = async move |tx: &OrgTx| {
        let is_news = match cleared_at {
            None => store::insert(tx, alert.name(), fired_at).await?,
            Some(_) => store::delete(tx, alert.name()).await?,
        };
        if is_news {
            events::append(tx, &event).await?;
        }
        Ok::<_, StoreError>(is_news)
    };
    let is_news = platform.store.org(org).write("alert_tell", unit).await?;
    platform.hints.wake(Kind::Event);
    Ok(is_news)
}
