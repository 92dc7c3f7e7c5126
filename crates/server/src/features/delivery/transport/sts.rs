//! Policies of MTA-STS (RFC 8461): looked for, fetched, kept.
//!
//! What was fetched once holds until it expires, whatever the DNS says meanwhile: that is all the protection there is against who can
//! make records vanish. So it is kept in the store too, sealed, and a restart forgets nothing.

use super::policy::{Mode, Policy, announced};
use super::results::{Fault, Results};
use super::store;
use crate::clock::Timestamp;
use crate::metrics::KindLabel;
use crate::platform::Platform;
use crate::platform::net::{Dns, HttpClient, HttpsUrl, Net, Outgoing, TlsMin};
use crate::platform::store::StoreError;
use crate::platform::vault::Cell;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a policy may take to come.
const FETCH_TIMEOUT: Duration = Duration::from_secs(15);
/// How long nothing is fetched after a fetch, good or bad.
const FETCH_AGAIN_AFTER: Duration = Duration::from_secs(300);
/// A policy that is older is fetched anew, or at half of its life if that is shorter.
const REFRESH_AFTER: Duration = Duration::from_secs(86_400);

/// The policies of receiving domains.
pub(super) struct Policies {
    platform: Platform,
    dns: Dns,
    http: HttpClient,
    port: u16,
    results: Arc<Results>,
    known: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Known>>>>,
}

/// What is known of one domain. Its lock makes many mails wait for one fetch.
#[derive(Default)]
struct Known {
    /// The store was asked.
    is_read: bool,
    kept: Option<Kept>,
    fetched_at: Option<Timestamp>,
}

struct Kept {
    id: String,
    policy: Arc<Policy>,
    since: Timestamp,
}

/// A policy as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    domain: String,
    id: String,
    since: String,
    text: String,
}

impl Kept {
    fn of(stored: Stored) -> Option<Self> {
        Some(Self {
            policy: Arc::new(Policy::parse(&stored.text)?),
            since: Timestamp::parse(&stored.since)?,
            id: stored.id,
        })
    }

    fn expires_at(&self) -> Timestamp {
        self.since.plus(self.policy.max_age)
    }

    fn is_stale(&self, now: Timestamp) -> bool {
        now.since(self.since) > REFRESH_AFTER.min(self.policy.max_age / 2)
    }
}

impl Policies {
    pub(super) fn new(platform: Platform, net: &Net, port: u16, results: Arc<Results>) -> Self {
        Self {
            results,
            platform,
            dns: net.dns.clone(),
            http: net.http.clone(),
            port,
            known: Mutex::default(),
        }
    }

    /// The policy that is in force, if there is one: to be enforced, or to be tried and told of.
    pub(super) async fn current(&self, domain: &str) -> Result<Option<Arc<Policy>>, StoreError> {
        let known = {
            let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(domain.to_owned()).or_default())
        };
        let mut known = known.lock().await;
        let now = self.platform.clock.now();
        if !known.is_read {
            known.kept = self.stored(domain, now).await?;
            known.is_read = true;
        }
        known.kept = known.kept.take().filter(|kept| now < kept.expires_at());
        // While the DNS can't be asked, and when it shows nothing, what is kept goes on to hold.
        let records = self
            .dns
            .lookup_txt(&format!("_mta-sts.{domain}"))
            .await
            .unwrap_or_default();
        if let Some(id) = announced(&records)
            && known.needs(&id, now)
        {
            known.fetched_at = Some(now);
            self.renew(&mut known, domain, id, now).await;
        }
        let kept = known.kept.as_ref().filter(|kept| kept.policy.mode != Mode::None);
        Ok(kept.map(|kept| Arc::clone(&kept.policy)))
    }

    /// Forgets who was written to, but not what failed a moment ago.
    pub(super) fn forget(&self) {
        let now = self.platform.clock.now();
        let is_recent = |known: &Known| {
            known
                .fetched_at
                .is_some_and(|at| now.since(at) < FETCH_AGAIN_AFTER)
        };
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Who holds its lock is at work on it.
        all.retain(|_, known| known.try_lock().map_or(true, |known| is_recent(&known)));
    }

    async fn renew(&self, known: &mut Known, domain: &str, id: String, now: Timestamp) {
        let fetched = self.fetch(domain).await;
        let kind = match &fetched {
            Ok(_) => "fetched",
            Err(kind) => kind,
        };
        self.platform
            .metrics
            .sts_policies
            .get_or_create(&KindLabel { kind })
            .inc();
        let text = match fetched {
            Ok(text) => text,
            Err(kind) => {
                let fault = match kind {
                    "tls_error" => Fault::StsWebPkiInvalid,
                    "invalid" => Fault::StsPolicyInvalid,
                    _ => Fault::StsPolicyFetch,
                };
                return self.results.unread(domain, fault);
            }
        };
        let stored = Stored {
            domain: domain.to_owned(),
            id,
            since: now.rfc3339(),
            text,
        };
        // Only text: this can't fail.
        let json = serde_json::to_vec(&stored).unwrap_or_default();
        known.kept = Kept::of(stored);
        let Some(kept) = &known.kept else { return };
        let destination = self.platform.vault.destination(domain);
        let row = destination.to_string();
        let sealed = self.platform.vault.seal_own(cell(&row), &json).map(Bytes::from);
        let result = match sealed {
            Ok(sealed) => {
                let expires_at = kept.expires_at();
                let kept =
                    store::keep_policy(&self.platform.store, destination, sealed, expires_at, now).await;
                kept.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = result {
            tracing::warn!(%error, "a policy (MTA-STS) could not be stored; it is in force until this process ends");
        }
    }

    async fn stored(&self, domain: &str, now: Timestamp) -> Result<Option<Kept>, StoreError> {
        let destination = self.platform.vault.destination(domain);
        let Some(sealed) = store::policy(&self.platform.store, destination, now).await? else {
            return Ok(None);
        };
        let opened = self
            .platform
            .vault
            .open_own(cell(&destination.to_string()), &sealed);
        let stored: Option<Stored> = opened.ok().and_then(|json| serde_json::from_slice(&json).ok());
        if stored.is_none() {
            tracing::error!("a stored policy (MTA-STS) can't be read: it was changed or moved");
        }
        Ok(stored.filter(|stored| stored.domain == domain).and_then(Kept::of))
    }

    /// The policy's text, if it is one. The error is a word for the metric.
    async fn fetch(&self, domain: &str) -> Result<String, &'static str> {
        let port = if self.port == 443 {
            String::new()
        } else {
            format!(":{}", self.port)
        };
        let url = format!("https://mta-sts.{domain}{port}/.well-known/mta-sts.txt");
        let url = HttpsUrl::parse(&url).map_err(|_| "url_error")?;
        let request = Outgoing {
            url: &url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: FETCH_TIMEOUT,
            min_tls: TlsMin::V1_2,
        };
        let answer = self.http.get(request).await.map_err(|failure| failure.code())?;
        let kind = answer
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let kind = kind
            .and_then(|kind| kind.split(';').next())
            .unwrap_or_default()
            .trim();
        if answer.status != StatusCode::OK || answer.truncated || !kind.eq_ignore_ascii_case("text/plain") {
            return Err("refused");
        }
        let text = String::from_utf8(answer.body.to_vec()).map_err(|_| "invalid")?;
        Policy::parse(&text).map(|_| text).ok_or("invalid")
    }
}

impl Known {
    fn needs(&self, id: &str, now: Timestamp) -> bool {
        let is_recent = self
            .fetched_at
            .is_some_and(|at| now.since(at) < FETCH_AGAIN_AFTER);
        !is_recent
            && self
                .kept
                .as_ref()
                .is_none_or(|kept| kept.id != id || kept.is_stale(now))
    }
}

fn cell(row: &str) -> Cell<'_> {
    Cell {
        table: "sts_policies",
        column: "policy_sealed",
        row,
    }
}
