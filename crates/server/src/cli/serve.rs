//! `sealwright serve`.

use super::Failure;
use crate::app::{self, Roles};
use crate::config::Config;
use axum::Router;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

/// Serve: answer the API, deliver mail, send webhooks.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// What this process does: all, or a list of api, delivery, webhooks.
    #[arg(long, default_value = "all", value_name = "ROLES")]
    roles: String,
}

impl Serve {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        let roles = Roles::parse(&self.roles);
        let roles = roles.ok_or_else(|| {
            Failure::Usage("--roles: expected all, or a list of api, delivery, webhooks".into())
        })?;
        harden();
        let names = app::domain_names(&config)?;
        if !names.has_sender() {
            tracing::warn!("{}", names.nameless());
        }
        let running = app::start(&config, roles, Router::new()).await?;
        let (address, admin) = (
            running.address.map(|a| a.to_string()),
            running.admin_address.map(|a| a.to_string()),
        );
        tracing::info!(address, admin, roles = self.roles, node = %running.platform.node, "serving");
        stop_signal().await.map_err(Failure::of)?;
        tracing::info!("stopping");
        running.stop().await;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Keeps what is in memory out of core files and away from other processes of the same user.
pub(super) fn harden() {
    let not_dumpable = rustix::process::DumpableBehavior::NotDumpable;
    if let Err(error) = rustix::process::set_dumpable_behavior(not_dumpable) {
        tracing::warn!(%error, "core files can't be turned off; they would hold keys");
    }
}

/// Waits for SIGTERM or SIGINT.
pub(super) async fn stop_signal() -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
