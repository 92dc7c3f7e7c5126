//! `/v1/usage`: what became of the recipients of each day.

use super::extract::{Query, Time, Who, present};
use super::{Api, Problem};
use crate::clock::Timestamp;
use crate::features::usage::{self, Day};
use crate::limits::{USAGE_DAYS_DEFAULT, USAGE_DAYS_MAX};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which days to show.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct UsageQuery {
    /// The first day (UTC); six days before the last unless given.
    #[serde(default, deserialize_with = "present")]
    from_date: Option<Time>,
    /// The last day (UTC), at most 30 days after the first; today unless given.
    #[serde(default, deserialize_with = "present")]
    to_date: Option<Time>,
}

/// The recipients of the e-mails that were accepted on one day, by what became of them.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsageDay {
    /// The day (UTC).
    #[schemars(extend("format" = "date"))]
    date: String,
    /// E-mails accepted.
    emails: i64,
    /// Recipients of these, as many as there were when they were accepted.
    accepted: i64,
    /// Those that wait for the e-mail's time.
    scheduled: i64,
    /// Those that wait for an attempt, the first or another.
    in_flight: i64,
    /// The same, after an attempt of which nobody knows whether the mail was taken.
    in_doubt: i64,
    /// Taken by the receiving host.
    delivered: i64,
    /// Refused for good.
    bounced: i64,
    /// Given up.
    failed: i64,
    /// Not written to.
    suppressed: i64,
    /// Taken back.
    cancelled: i64,
    /// Whether `accepted` is the sum of the other eight, as it always must be.
    balanced: bool,
}

/// What became of what was accepted.
#[derive(Serialize, JsonSchema)]
pub(super) struct Usage {
    object: &'static str,
    /// The days on which something was accepted, oldest first.
    data: Vec<UsageDay>,
}

fn shown(day: i64, counted: Day) -> UsageDay {
    UsageDay {
        date: Timestamp::of_day(day).date(),
        emails: counted.emails,
        accepted: counted.accepted,
        scheduled: counted.scheduled,
        in_flight: counted.in_flight,
        in_doubt: counted.in_doubt,
        delivered: counted.delivered,
        bounced: counted.bounced,
        failed: counted.failed,
        suppressed: counted.suppressed,
        cancelled: counted.cancelled,
        balanced: counted.is_balanced(),
    }
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Query(query): Query<UsageQuery>,
) -> Result<Json<Usage>, Problem> {
    let day = |time: Time| time.0.day();
    let last = query.to_date.map_or_else(|| api.platform.clock.now().day(), day);
    let first = query.from_date.map_or(last - (USAGE_DAYS_DEFAULT - 1), day);
    if !(0..USAGE_DAYS_MAX).contains(&(last - first)) {
        let text = format!(
            "must be at most {} days before toDate, and not after it",
            USAGE_DAYS_MAX - 1
        );
        return Err(Problem::invalid("fromDate", text));
    }
    let days = usage::days(&api.platform, &caller.org, caller.mode, first, last).await?;
    Ok(Json(Usage {
        object: "usage",
        data: days
            .into_iter()
            .map(|(day, counted)| shown(day, counted))
            .collect(),
    }))
}
