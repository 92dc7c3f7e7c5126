//! Commands of the operator: `migrate`, `org`, `domain`.

use super::{Failure, print};
use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::features::orgs::{self, NewOrg, Plan};
use crate::id::{Id as _, OrgId};
use crate::platform::store::{Schema, Store};
use clap::{Subcommand, ValueEnum};

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
    /// Give an organization another plan; it counts within a second.
    Plan {
        /// The organization's id.
        org: String,
        /// How fast it may call: free (10 requests a second), pro (100) or enterprise (see --rate).
        #[arg(value_enum)]
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
            Self::Plan { org, plan, rate } => {
                let org = org_id("the organization", &org)?;
                orgs::set_plan(&platform, &org, plan.into(), rate)
                    .await
                    .map_err(Failure::of)
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

pub(super) fn org_id(argument: &str, text: &str) -> Result<OrgId, Failure> {
    OrgId::parse(text).ok_or_else(|| {
        Failure::Usage(format!(
            "{argument}: expected an id that begins with org_; `sealwright org list` shows them"
        ))
    })
}
