//! The operator's commands for API keys: `key create`, `key list`, `key revoke`.

use super::operate::org_id;
use super::{Failure, print};
use crate::app;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::features::keys::{
    self, Caller, Networks, NewKey, Period, Permissions, Rate, Restrictions, Shown, Style,
};
use crate::id::{Id as _, KeyId};
use crate::limits::{KEY_RATE_REQUESTS_MAX, PAGE_MAX};
use crate::mode::Mode;
use crate::platform::Platform;
use clap::{Args, Subcommand, ValueEnum};
use std::num::NonZeroU32;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KeyStyle {
    Le,
    Mp,
}

/// A key to make.
#[derive(Debug, Args)]
pub(super) struct NewKeyArgs {
    /// What people call it.
    name: String,
    /// The organization's id.
    #[arg(long)]
    org: String,
    /// A test key: nothing that it sends reaches a network.
    #[arg(long)]
    test: bool,
    /// Prefix: le_ or mp_.
    #[arg(long, value_enum, default_value = "le")]
    style: KeyStyle,
    /// What it may do; may be repeated. `*` is everything.
    #[arg(long = "permission", default_value = "emails:send", value_name = "PERMISSION")]
    permissions: Vec<String>,
    /// Network from which it may be used (address or CIDR); may be repeated. From anywhere if not given.
    #[arg(long = "ip", value_name = "NETWORK")]
    networks: Vec<String>,
    /// Sending domain that it may use; may be repeated. Every domain of the organization if not given.
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<String>,
    /// Requests of its own in a second, a minute or an hour, as 60/minute. The organization's alone if not given.
    #[arg(long, value_name = "REQUESTS/PERIOD")]
    rate: Option<String>,
    /// When it stops working: a date or a time with offset.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Create an API key and print it: the only time that it is shown.
    Create(NewKeyArgs),
    /// List an organization's API keys, newest first: id, how it begins and ends, mode, state, name.
    List {
        /// The organization's id.
        #[arg(long)]
        org: String,
    },
    /// Revoke an API key: it stops working within a second, for good.
    Revoke {
        /// The key's id; `sealwright key list` shows them.
        id: String,
        /// The organization's id.
        #[arg(long)]
        org: String,
    },
}

impl KeyCommand {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        match self {
            Self::Create(arguments) => {
                let org = org_id("--org", &arguments.org)?;
                let new = arguments.new_key()?;
                let (platform, _lock) = app::open(config, Clock::System).await?;
                let (id, key) = keys::create(&platform, &org, new).await.map_err(Failure::of)?;
                print(&format!("{id}\n{}\n", key.expose()))
            }
            Self::List { org } => {
                let caller = Caller::system(org_id("--org", &org)?);
                let (platform, _lock) = app::open(config, Clock::System).await?;
                list(&platform, &caller).await
            }
            Self::Revoke { id, org } => {
                let org = org_id("--org", &org)?;
                let id = KeyId::parse(&id)
                    .ok_or_else(|| Failure::Usage("the key: expected an id that begins with key_".into()))?;
                let (platform, _lock) = app::open(config, Clock::System).await?;
                keys::revoke(&platform, &org, &id).await.map_err(Failure::of)
            }
        }
    }
}

async fn list(platform: &Platform, caller: &Caller) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let page = keys::list(platform, caller, PAGE_MAX, after, None)
            .await
            .map_err(Failure::of)?;
        for key in &page.keys {
            print(&line(key, platform.clock.now()))?;
        }
        match page.keys.last() {
            Some(last) if page.has_more => after = Some(last.id().clone()),
            _ => return Ok(()),
        }
    }
}

fn line(key: &Shown, now: Timestamp) -> String {
    let ends_at = key.restrictions().expires_at;
    let state = match (key.revoked_at(), ends_at) {
        (Some(_), _) => "revoked".to_owned(),
        (None, Some(at)) if at <= now => "expired".to_owned(),
        (None, Some(at)) => format!("until {at}"),
        (None, None) => "works".to_owned(),
    };
    let (id, prefix, last_four, mode) = (key.id(), key.prefix(), key.last_four(), key.mode().name());
    format!("{id}\t{prefix}…{last_four}\t{mode}\t{state}\t{}\n", key.name())
}

impl NewKeyArgs {
    fn new_key(self) -> Result<NewKey, Failure> {
        let permissions = Permissions::parse(&self.permissions).map_err(|unknown| {
            let known = Permissions::KNOWN.join(", ");
            Failure::Usage(format!(
                "--permission {unknown}: there is no such permission; there are {known}, area:* and *"
            ))
        })?;
        let networks = Networks::parse(&self.networks).map_err(|place| {
            Failure::Usage(format!(
                "--ip {}: expected an address or a network (CIDR)",
                self.networks[place]
            ))
        })?;
        let time = |text: String| {
            Timestamp::parse(&text)
                .ok_or_else(|| Failure::Usage("--expires-at: expected a date or a time with offset".into()))
        };
        Ok(NewKey {
            name: self.name,
            mode: if self.test { Mode::Test } else { Mode::Live },
            style: match self.style {
                KeyStyle::Le => Style::Le,
                KeyStyle::Mp => Style::Mp,
            },
            permissions,
            restrictions: Restrictions {
                networks,
                domains: self.domains,
                rate: self.rate.as_deref().map(rate).transpose()?,
                expires_at: self.expires_at.map(time).transpose()?,
            },
        })
    }
}

/// `60/minute`.
fn rate(text: &str) -> Result<Rate, Failure> {
    let read = || {
        let (requests, period) = text.split_once('/')?;
        let requests = requests
            .parse::<NonZeroU32>()
            .ok()
            .filter(|requests| requests.get() <= KEY_RATE_REQUESTS_MAX)?;
        let period = Period::ALL.into_iter().find(|known| known.name() == period)?;
        Some(Rate { requests, period })
    };
    read().ok_or_else(|| {
        Failure::Usage(format!(
            "--rate {text}: expected 1 to {KEY_RATE_REQUESTS_MAX} requests in a second, a minute or an hour, as 60/minute"
        ))
    })
}
