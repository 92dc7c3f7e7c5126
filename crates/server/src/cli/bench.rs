//! `sealwright bench`.

use super::Failure;
use crate::config::Settings;
use clap::Args;

/// Measure.
#[derive(Debug, Args)]
pub(super) struct Bench {}

impl Bench {
    pub(super) async fn run(self, _settings: &Settings) -> Result<(), Failure> {
        Err(Failure::Failed("not built yet".into()))
    }
}
