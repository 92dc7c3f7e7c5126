//! Commands of the operator: `migrate`, `org`, `domain`, `key`.

use super::{Failure, print};
use crate::app;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::features::domains::{self, Verification};
use crate::features::keys::{self, Networks, NewKey, Permissions, Restrictions, Style};
use crate::features::orgs::{self, NewOrg, Plan};
use crate::id::{Id as _, OrgId};
use crate::mode::Mode;
use crate::platform::store::{Schema, Store};
use clap::{Args, Subcommand, ValueEnum};

pub(super) async fn migrate(config: &Config) -> Result<(), Failure> {
    let (data, keyring) = app::locations(config);
    std::fs::create_dir_all(&config.store.data_dir).map_err(Failure::of)?;
    for (location, schema) in [(data, &Schema::DATA), (keyring, &Schema::KEYRING)] {
        let report = Store::migrate(&location, schema).await.map_err(Failure::of)?;
        print(&format!(
            "{}: version {} -> {}\n",
            report.schema, report.from, report.to
        ))?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum PlanArg {
    Free,
    Pro,
    Enterprise,
}

impl From<PlanArg> for Plan {
    fn from(plan: PlanArg) -> Self {
        match plan {
            PlanArg::Free => Self::Free,
            PlanArg::Pro => Self::Pro,
            PlanArg::Enterprise => Self::Enterprise,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum OrgCommand {
    /// Create an organization and print its id.
    Create {
        /// What people call it.
        name: String,
        /// How fast it may call: free (10 requests a second), pro (100) or enterprise (see --rate).
        #[arg(long, value_enum, default_value = "free")]
        plan: PlanArg,
        /// Requests a second of an organization on the enterprise plan; 1000 if not given.
        #[arg(long, value_name = "REQUESTS")]
        rate: Option<u32>,
    },
    /// List all organizations.
    List,
}

impl OrgCommand {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        let (platform, _lock) = app::open(config, Clock::System).await?;
        match self {
            Self::Create { name, plan, rate } => {
                let new = NewOrg {
                    name: &name,
                    plan: plan.into(),
                    rate_per_second: rate,
                    region: &config.vault.region,
                };
                let org = orgs::create(&platform, new).await.map_err(Failure::of)?;
                print(&format!("{}\n", org.id))
            }
            Self::List => {
                for org in orgs::list(&platform).await.map_err(Failure::of)? {
                    print(&format!(
                        "{}\t{}\t{}\t{}\t{}\n",
                        org.id,
                        org.plan.name(),
                        org.region,
                        org.created_at,
                        org.name
                    ))?;
                }
                Ok(())
            }
        }
    }
}

fn org_id(text: &str) -> Result<OrgId, Failure> {
    OrgId::parse(text).ok_or_else(|| {
        Failure::Usage("--org: expected an id that begins with org_; `sealwright org list` shows them".into())
    })
}

/// A domain of an organization.
#[derive(Debug, Args)]
pub(super) struct DomainArgs {
    /// The domain.
    name: String,
    /// The organization's id.
    #[arg(long)]
    org: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum DomainCommand {
    /// Add a sending domain, make its DKIM key and print the record to publish.
    Add {
        #[command(flatten)]
        domain: DomainArgs,
        /// Take the domain for verified without asking the DNS: for development and closed networks.
        #[arg(long)]
        assume_verified: bool,
    },
    /// Look the record up and verify the domain if it is there.
    Verify {
        #[command(flatten)]
        domain: DomainArgs,
    },
}

impl DomainCommand {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        let (platform, _lock) = app::open(config, Clock::System).await?;
        match self {
            Self::Add {
                domain,
                assume_verified,
            } => {
                let org = org_id(&domain.org)?;
                let added = domains::add(&platform, &org, &domain.name)
                    .await
                    .map_err(Failure::of)?;
                if assume_verified {
                    domains::assume_verified(&platform, &org, &domain.name)
                        .await
                        .map_err(Failure::of)?;
                }
                print(&format!(
                    "{}\n{} TXT \"{}\"\n",
                    added.id, added.dkim_host, added.dkim_record
                ))
            }
            Self::Verify { domain } => {
                let org = org_id(&domain.org)?;
                let dns = app::net(config)?.dns;
                match domains::verify(&platform, &dns, &org, &domain.name)
                    .await
                    .map_err(Failure::of)?
                {
                    Verification::Verified => print("verified\n"),
                    Verification::Missing {
                        host,
                        expected,
                        found,
                    } => {
                        let found = if found.is_empty() {
                            "nothing".to_owned()
                        } else {
                            found.join(" | ")
                        };
                        Err(Failure::Failed(format!(
                            "{host} shows {found}; publish TXT \"{expected}\" there and try again"
                        )))
                    }
                }
            }
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum KeyStyle {
    Le,
    Mp,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Create an API key and print it: the only time that it is shown.
    Create {
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
        /// When it stops working: a date or a time with offset.
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
    },
}

impl KeyCommand {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        let Self::Create {
            name,
            org,
            test,
            style,
            permissions,
            networks,
            domains,
            expires_at,
        } = self;
        let org = org_id(&org)?;
        let permissions = Permissions::parse(&permissions).map_err(|unknown| {
            let known = Permissions::KNOWN.join(", ");
            Failure::Usage(format!(
                "--permission {unknown}: there is no such permission; there are {known}, area:* and *"
            ))
        })?;
        let time = |text: String| {
            Timestamp::parse(&text)
                .ok_or_else(|| Failure::Usage("--expires-at: expected a date or a time with offset".into()))
        };
        let new = NewKey {
            name,
            mode: if test { Mode::Test } else { Mode::Live },
            style: match style {
                KeyStyle::Le => Style::Le,
                KeyStyle::Mp => Style::Mp,
            },
            permissions,
            restrictions: Restrictions {
                networks: Networks::parse(&networks).map_err(|place| {
                    Failure::Usage(format!(
                        "--ip {}: expected an address or a network (CIDR)",
                        networks[place]
                    ))
                })?,
                domains,
                rate: None,
                expires_at: expires_at.map(time).transpose()?,
            },
        };
        let (platform, _lock) = app::open(config, Clock::System).await?;
        let (id, key) = keys::create(&platform, &org, new).await.map_err(Failure::of)?;
        print(&format!("{id}\n{}\n", key.expose()))
    }
}
