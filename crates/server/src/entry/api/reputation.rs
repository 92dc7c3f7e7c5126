//! `/v1/domains/{id}/reputation`: how mail from a domain is received.

use super::extract::{PathId, Who};
use super::word::Word;
use super::{Api, Problem};
use crate::features::reputation::{self, Period, Reputation, Status};
use crate::id::DomainId;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

/// What became of the mail that was accepted in the last days, by recipient.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReputationPeriod {
    /// How many days, up to now.
    days: u16,
    /// Recipients that mail was sent to, and came to an end: delivered, bounced, or given up.
    sent: i64,
    /// Taken by the receiving host, and not sent back.
    delivered: i64,
    /// Refused for good, at once or by a report that came later.
    bounced: i64,
    /// Those who complained.
    complained: i64,
    /// The part of `sent` that bounced.
    #[schemars(range(min = 0, max = 1))]
    bounce_rate: f64,
    /// The part of `delivered` that complained.
    #[schemars(range(min = 0, max = 1))]
    spam_rate: f64,
}

/// How mail from a domain is received.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DomainReputation {
    object: &'static str,
    domain_id: String,
    /// In A-labels.
    name: String,
    /// 100 when nothing speaks against the domain's mail; of the worse period.
    #[schemars(range(min = 0, max = 100))]
    score: u8,
    /// `good` from 80, `fair` from 50.
    status: Word<Status>,
    /// Of the longest period.
    #[schemars(range(min = 0, max = 1))]
    bounce_rate: f64,
    /// Of the longest period.
    #[schemars(range(min = 0, max = 1))]
    spam_rate: f64,
    /// The last 7 days, and the last 30.
    periods: Vec<ReputationPeriod>,
}

impl From<Period> for ReputationPeriod {
    fn from(Period { days, counts }: Period) -> Self {
        Self {
            days,
            sent: counts.sent(),
            delivered: counts.delivered,
            bounced: counts.bounced,
            complained: counts.complained,
            bounce_rate: counts.bounce_rate(),
            spam_rate: counts.spam_rate(),
        }
    }
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<DomainId>,
) -> Result<Json<DomainReputation>, Problem> {
    let found = reputation::of(&api.platform, &caller.org, caller.mode, &id).await?;
    let Reputation { name, score, periods } = found;
    let [_, whole] = periods;
    Ok(Json(DomainReputation {
        object: "domain_reputation",
        domain_id: id.to_string(),
        name,
        score,
        status: Word(Status::of(score)),
        bounce_rate: whole.counts.bounce_rate(),
        spam_rate: whole.counts.spam_rate(),
        periods: periods.map(ReputationPeriod::from).into(),
    }))
}
