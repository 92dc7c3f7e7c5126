//! `sealwright domain`: sending domains, for the operator.

use super::operate::org_id;
use super::{Failure, print};
use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::features::domains::{self, Checks, Domain, Status};
use crate::features::keys::Caller;
use crate::id::OrgId;
use crate::limits::DOMAINS_MAX;
use crate::platform::Platform;
use clap::{Args, Subcommand};
use sealwright_mail::address::Domain as Name;

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
    /// Add a sending domain, make its DKIM keys and print the records to publish.
    Add {
        #[command(flatten)]
        domain: DomainArgs,
        /// Take the domain for verified without asking the DNS: for development and closed networks.
        #[arg(long)]
        assume_verified: bool,
    },
    /// Ask the DNS about a domain, and print what it shows and what is to be done.
    Verify {
        #[command(flatten)]
        domain: DomainArgs,
    },
    /// Take a domain that is there for verified without asking the DNS: for development and closed networks.
    AssumeVerified {
        #[command(flatten)]
        domain: DomainArgs,
    },
    /// Take a domain away: nothing more is accepted from it.
    Delete {
        #[command(flatten)]
        domain: DomainArgs,
    },
    /// List an organization's domains.
    List {
        /// The organization's id.
        #[arg(long)]
        org: String,
    },
}

impl DomainCommand {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        let (platform, _lock) = app::open(config, Clock::System).await?;
        let names = app::domain_names(config)?;
        match self {
            Self::Add {
                domain,
                assume_verified,
            } => {
                let org = org_id("--org", &domain.org)?;
                let operator = Caller::system(org.clone());
                let added = domains::add(&platform, &operator, &domain.name)
                    .await
                    .map_err(Failure::of)?;
                if assume_verified {
                    domains::assume_verified(&platform, &org, &added.id)
                        .await
                        .map_err(Failure::of)?;
                }
                let added = domains::complete(&platform, &org, added)
                    .await
                    .map_err(Failure::of)?;
                print(&format!("{}\n{}", added.id, added.zone_file(&names)))
            }
            Self::Verify { domain } => {
                let org = org_id("--org", &domain.org)?;
                let known = named(&platform, &org, &domain.name).await?;
                let net = app::net(config)?;
                let checks = Checks::new(platform.clone(), &net, names);
                let seen = checks.ask(&org, &known.id).await.map_err(Failure::of)?;
                tell(&seen)
            }
            Self::AssumeVerified { domain } => {
                let org = org_id("--org", &domain.org)?;
                let known = named(&platform, &org, &domain.name).await?;
                let assumed = domains::assume_verified(&platform, &org, &known.id).await;
                assumed.map_err(Failure::of)
            }
            Self::Delete { domain } => {
                let org = org_id("--org", &domain.org)?;
                let known = named(&platform, &org, &domain.name).await?;
                let deleted = domains::delete(&platform, &Caller::system(org), &known.id).await;
                deleted.map_err(Failure::of)
            }
            Self::List { org } => {
                let org = org_id("--org", &org)?;
                for domain in all(&platform, &org).await? {
                    let status = domain.status.name();
                    print(&format!("{}\t{status}\t{}\n", domain.id, domain.name))?;
                }
                Ok(())
            }
        }
    }
}

/// Says what a look found; a failure unless the domain may send.
fn tell(seen: &Domain) -> Result<(), Failure> {
    for finding in &seen.findings {
        let advice = finding.advice.as_deref().unwrap_or_default();
        let shows = finding.shows.name();
        print(&format!(
            "{}\t{}\t{shows}\t{advice}\n",
            finding.host, finding.kind
        ))?;
    }
    if seen.status == Status::Verified {
        return print("verified\n");
    }
    let why = "the DNS does not show the key that signs; publish the records and try again";
    Err(Failure::Failed(format!(
        "{} is {}: {why}",
        seen.name,
        seen.status.name()
    )))
}

async fn all(platform: &Platform, org: &OrgId) -> Result<Vec<Domain>, Failure> {
    let page = domains::list(platform, org, None, DOMAINS_MAX, None).await;
    Ok(page.map_err(Failure::of)?.domains)
}

async fn named(platform: &Platform, org: &OrgId, name: &str) -> Result<Domain, Failure> {
    let parsed = Name::parse(name).map_err(Failure::of)?;
    let found = all(platform, org)
        .await?
        .into_iter()
        .find(|domain| domain.name == parsed.as_str());
    found.ok_or_else(|| {
        Failure::Usage(format!(
            "there is no domain {name}; `sealwright domain list` shows them"
        ))
    })
}
