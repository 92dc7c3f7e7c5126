//! Organizations with a verified domain and keys, made the way the command line makes them.

use sealwright::features::domains;
use sealwright::features::keys::{self, Caller, NewKey, Permissions, Restrictions, Style};
use sealwright::features::orgs::{self, NewOrg, Plan};
use sealwright::id::OrgId;
use sealwright::mode::Mode;
use sealwright::platform::Platform;

/// An organization that may send.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) org: OrgId,
    pub(crate) domain: String,
    /// Host and text of the DKIM record.
    pub(crate) dkim: (String, String),
    pub(crate) live: String,
    pub(crate) test: String,
}

impl Account {
    /// An address of its domain.
    pub(crate) fn address(&self, local: &str) -> String {
        format!("{local}@{}", self.domain)
    }
}

pub(crate) async fn account(platform: &Platform, name: &str, domain: &str) -> Account {
    let org = orgs::create(
        platform,
        NewOrg {
            name,
            plan: Plan::Enterprise,
            rate_per_second: None,
            region: "us",
        },
    )
    .await
    .unwrap()
    .id;
    let added = domains::add(platform, &Caller::system(org.clone()), domain)
        .await
        .unwrap();
    domains::assume_verified(platform, &org, &added.id).await.unwrap();
    Account {
        live: key(platform, &org, Mode::Live, &["*"]).await,
        test: key(platform, &org, Mode::Test, &["*"]).await,
        dkim: added.dkim_record().unwrap(),
        domain: added.name,
        org,
    }
}

/// A key with the given permissions.
pub(crate) async fn key(platform: &Platform, org: &OrgId, mode: Mode, permissions: &[&str]) -> String {
    let words: Vec<String> = permissions.iter().map(|word| (*word).to_owned()).collect();
    let new = NewKey {
        name: "a test".to_owned(),
        mode,
        style: Style::Le,
        permissions: Permissions::parse(&words).unwrap(),
        restrictions: Restrictions::default(),
    };
    let (_, key) = keys::create(platform, org, new).await.unwrap();
    key.expose().to_owned()
}
