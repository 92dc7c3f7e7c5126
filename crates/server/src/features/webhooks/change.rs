//! Makes and changes endpoints.

use super::endpoint::{self, Disabled, Endpoint, Health, WebhookError, event_patterns, tls_word};
use super::request::{Auth, Request};
use super::{secret, store};
use crate::clock::Timestamp;
use crate::features::audit::{self, Act};
use crate::features::keys::Caller;
use crate::features::orgs;
use crate::id::{Id as _, WebhookId};
use crate::limits::{NAME_CHARS_MAX, WEBHOOK_EVENTS_MAX, WEBHOOKS_MAX};
use crate::platform::Platform;
use crate::platform::net::{HttpsUrl, TlsMin};
use crate::platform::store::OrgTx;
use crate::platform::vault::{Class, OrgVault, random};
use crate::secret::Secret;
use serde::Serialize;

/// An endpoint as its owner wants it.
pub struct Wish {
    /// Where events go.
    pub url: String,
    /// Event names and wildcards.
    pub events: Vec<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The least version of TLS.
    pub min_tls: TlsMin,
    /// Whether deliveries about one e-mail wait for those before them.
    pub is_ordered: bool,
    /// Header fields and authentication of its own.
    pub request: Request,
}

/// What is to change; what is `None` stays.
#[derive(Default)]
pub struct Change {
    /// Where events go.
    pub url: Option<String>,
    /// Event names and wildcards.
    pub events: Option<Vec<String>>,
    /// What it is for.
    pub description: Option<String>,
    /// The least version of TLS.
    pub min_tls: Option<TlsMin>,
    /// Whether deliveries about one e-mail wait for those before them.
    pub is_ordered: Option<bool>,
    /// Header fields of its own.
    pub headers: Option<Vec<(String, String)>>,
    /// Authentication; `Some(None)` takes it away.
    pub auth: Option<Option<Auth>>,
    /// Whether it gets events.
    pub is_enabled: Option<bool>,
}

/// A new endpoint with its secret, which is shown this once.
pub struct Created {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its signing secret.
    pub secret: Secret<String>,
}

/// What the audit log says of an endpoint: never where it is, nor anything secret.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<&'static str>,
    min_tls: &'static str,
}

impl Wish {
    /// One that says only where to send what, and leaves the rest as it is meant to be.
    pub fn new(url: &str, events: &[&str]) -> Self {
        Self {
            url: url.to_owned(),
            events: events.iter().map(|&event| event.to_owned()).collect(),
            description: None,
            min_tls: TlsMin::V1_3,
            is_ordered: true,
            request: Request::default(),
        }
    }

    fn check(&self) -> Result<HttpsUrl, WebhookError> {
        let url = HttpsUrl::parse(&self.url)?;
        if self.events.is_empty() || self.events.len() > WEBHOOK_EVENTS_MAX {
            return Err(WebhookError::EventCount);
        }
        let known = event_patterns();
        if let Some(place) = self.events.iter().position(|pattern| !known.contains(pattern)) {
            return Err(WebhookError::Event(place));
        }
        let is_unfit =
            |text: &String| text.chars().count() > NAME_CHARS_MAX || text.chars().any(char::is_control);
        if self.description.as_ref().is_some_and(is_unfit) {
            return Err(WebhookError::Description);
        }
        Ok(url)
    }

    /// Checks it, and seals what is stored only sealed.
    async fn settings(
        &self,
        vault: &OrgVault,
        id: &WebhookId,
        now: Timestamp,
    ) -> Result<store::Settings, WebhookError> {
        let url = self.check()?;
        let cell = endpoint::url_cell(id);
        Ok(store::Settings {
            url_sealed: vault
                .seal(Class::Secrets, now, cell, url.as_str().as_bytes())
                .await?,
            events: self.events.join(" "),
            description: self.description.clone(),
            min_tls: tls_word(self.min_tls),
            is_ordered: self.is_ordered,
            request_sealed: self.request.seal(vault, id, now).await?,
        })
    }
}

impl Change {
    fn fields(&self) -> Vec<&'static str> {
        let all = [
            (self.url.is_some(), "url"),
            (self.events.is_some(), "events"),
            (self.description.is_some(), "description"),
            (self.min_tls.is_some(), "minTls"),
            (self.is_ordered.is_some(), "ordered"),
            (self.headers.is_some(), "headers"),
            (self.auth.is_some(), "auth"),
            (self.is_enabled.is_some(), "status"),
        ];
        let given = all.into_iter().filter(|(is, _)| *is);
        given.map(|(_, name)| name).collect()
    }

    fn over(&mut self, old: &Endpoint, request: Request) -> Result<Wish, WebhookError> {
        Ok(Wish {
            url: self.url.take().unwrap_or_else(|| old.url.clone()),
            events: self.events.take().unwrap_or_else(|| old.events.clone()),
            description: self.description.take().or_else(|| old.description.clone()),
            min_tls: self.min_tls.unwrap_or(old.min_tls),
            is_ordered: self.is_ordered.unwrap_or(old.is_ordered),
            request: request.with(self.headers.take(), self.auth.take())?,
        })
    }
}

/// Makes an endpoint in the caller's mode: test events go only to endpoints that were made with a test key.
pub async fn create(platform: &Platform, caller: &Caller, wish: Wish) -> Result<Created, WebhookError> {
    let now = platform.clock.now();
    let id = WebhookId::generate(now, random());
    let vault = platform.vault.org(&caller.org).await?;
    let secret = secret::generate();
    let new = store::NewWebhook {
        settings: wish.settings(&vault, &id, now).await?,
        mode: caller.mode.name(),
        secret_sealed: secret::seal(&vault, &id, &secret, now).await?,
        created_at: now,
        id: id.clone(),
    };
    let act = Act {
        actor: caller.actor.as_str(),
        action: "webhook.created",
        target: id.as_str(),
        origin: &caller.origin,
        detail: Detail {
            fields: Vec::new(),
            min_tls: tls_word(wish.min_tls),
        },
    };
    let entry = audit::prepare(&vault, now, act).await?;
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        let listeners = store::count(tx).await?;
        if listeners >= WEBHOOKS_MAX {
            return Err(WebhookError::TooMany);
        }
        store::insert(tx, &new).await?;
        audit::record(tx, &entry).await?;
        Ok(orgs::set_listeners(tx, listeners + 1).await?)
    };
    let scope = platform.store.org(&caller.org);
    scope.write("webhook_create", unit).await?;
    let endpoint = endpoint::get(platform, caller, &id).await?;
    Ok(Created { endpoint, secret })
}

/// Changes an endpoint; what is sent from now on is sent as it says. Enabled again, it starts without the failures of before.
pub async fn change(
    platform: &Platform,
    caller: &Caller,
    id: &WebhookId,
    mut change: Change,
) -> Result<Endpoint, WebhookError> {
    let old = endpoint::get(platform, caller, id).await?;
    let fields = change.fields();
    if fields.is_empty() {
        return Ok(old);
    }
    let now = platform.clock.now();
    let vault = platform.vault.org(&caller.org).await?;
    let is_enabled = change.is_enabled;
    let request = Request::of(platform, caller, id).await?;
    let wish = change.over(&old, request)?;
    let settings = wish.settings(&vault, id, now).await?;
    let act = Act {
        actor: caller.actor.as_str(),
        action: "webhook.updated",
        target: id.as_str(),
        origin: &caller.origin,
        detail: Detail {
            fields,
            min_tls: settings.min_tls,
        },
    };
    let entry = audit::prepare(&vault, now, act).await?;
    let (mode, wanted) = (caller.mode.name(), id.clone());
    let unit = async move |tx: &OrgTx| {
        orgs::lock(tx).await?;
        if store::secret(tx, mode, &wanted).await?.is_none() {
            return Err(WebhookError::Unknown);
        }
        store::change(tx, &wanted, &settings).await?;
        match is_enabled {
            Some(true) => store::enable(tx, &wanted).await?,
            Some(false) => store::disable(tx, &wanted, Disabled::ByOwner).await.map(drop)?,
            None => {}
        }
        audit::record(tx, &entry).await?;
        Ok::<_, WebhookError>(())
    };
    let scope = platform.store.org(&caller.org);
    scope.write("webhook_change", unit).await?;
    endpoint::get(platform, caller, id).await
}

impl Endpoint {
    /// Whether it gets nothing.
    pub(super) fn is_disabled(&self) -> bool {
        self.status == Health::Disabled.name()
    }
}
