//! `/v1/secrets/exposed`: anybody may say that a key of ours has come to light.

use super::extract::Body;
use super::{Accepted, Answered, Api, Problem};
use crate::features::audit::Origin;
use crate::features::keys::{self, Channel};
use crate::limits::EXPOSED_TOKENS_MAX;
use axum::Extension;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Keys that came to light.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Report {
    #[schemars(length(min = 1, max = 100))]
    secrets: Vec<Secret>,
}

/// One of them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Secret {
    /// The key.
    token: String,
    /// Where it was found.
    #[allow(dead_code, reason = "said by whoever reports; nothing is done with it")]
    url: Option<String>,
    /// What kind of place that is.
    #[allow(dead_code, reason = "as above")]
    source: Option<String>,
}

/// That the report was taken. It does not say which keys are real.
#[derive(Serialize, JsonSchema)]
pub(super) struct Receipt {
    object: &'static str,
    received: usize,
}

pub(super) async fn report(
    State(api): State<Arc<Api>>,
    Extension(origin): Extension<Origin>,
    report: Body<Report>,
) -> Result<Accepted<Receipt>, Problem> {
    let secrets = &report.secrets;
    if secrets.is_empty() || secrets.len() > EXPOSED_TOKENS_MAX {
        return Err(Problem::invalid(
            "secrets",
            format!("a report has 1 to {EXPOSED_TOKENS_MAX} secrets"),
        ));
    }
    for secret in secrets {
        keys::expose(&api.platform, secret.token.trim(), Channel::Report, &origin).await?;
    }
    let receipt = Receipt {
        object: "exposure_report",
        received: secrets.len(),
    };
    Ok(Answered(receipt))
}
