//! `sealwright reports`: what other mail systems report of TLS on the way to `returns.host` (RFC 8460), in sums.

use super::{Failure, columns, print, running};
use crate::config::Config;
use crate::features::returns::{self, TlsSessions};
use clap::Args;

/// Shows what other mail systems report of TLS on the way to `returns.host`.
#[derive(Debug, Args)]
pub(super) struct Reports {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Reports {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        let answer: Option<Vec<TlsSessions>> = running::ask(config, "/tls-reports", &()).await?;
        let sums = match answer {
            Some(sums) => sums,
            None => {
                let (platform, _lock) = running::open(config).await?;
                returns::tls_sessions(&platform).await.map_err(Failure::of)?
            }
        };
        if self.json {
            let json = serde_json::to_string_pretty(&sums).map_err(Failure::of)?;
            return print(&format!("{json}\n"));
        }
        print(&table(&sums))
    }
}

fn table(sums: &[TlsSessions]) -> String {
    if sums.is_empty() {
        return "no reports yet; `sealwright doctor` shows the record that asks for them\n".to_owned();
    }
    let titles = ["DAY", "REPORTER", "POLICY", "RESULT", "SESSIONS"].map(str::to_owned);
    let rows = sums.iter().map(|sum| {
        let sum = sum.clone();
        [
            sum.day,
            sum.reporter,
            sum.policy,
            sum.result,
            sum.sessions.to_string(),
        ]
    });
    columns(&[titles].into_iter().chain(rows).collect::<Vec<_>>())
}
