//! What became of what was accepted, counted by recipient and day, and the proof that nobody was lost.
//!
//! The law: every recipient that was accepted is delivered, bounced, failed, suppressed or cancelled; or scheduled, in flight or in doubt,
//! and then there is a job that will go on with it. [`days`] shows both sides of it; [`Balance`] looks for those who break it, all the
//! time.
//!
//! Counted when asked, from the rows themselves: a tally that is kept beside them would have to be believed.

mod balance;
mod store;

pub use balance::{Balance, Unaccounted};
pub use store::ALL as STATEMENTS;

use crate::clock::Timestamp;
use crate::features::emails::Status;
use crate::id::OrgId;
use crate::mode::Mode;
use crate::platform::Platform;
use crate::platform::store::{OrgTx, StoreError};
use std::collections::BTreeMap;

/// The recipients of the e-mails that were accepted on one day (UTC), by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Day {
    /// E-mails.
    pub emails: i64,
    /// Recipients, as many as there were when the e-mails were accepted.
    pub accepted: i64,
    /// Waiting for the e-mail's time.
    pub scheduled: i64,
    /// Waiting for an attempt, the first or another.
    pub in_flight: i64,
    /// The same, after an attempt of which nobody knows whether the mail was taken.
    pub in_doubt: i64,
    /// Taken by the receiving host.
    pub delivered: i64,
    /// Refused for good.
    pub bounced: i64,
    /// Given up.
    pub failed: i64,
    /// Not written to.
    pub suppressed: i64,
    /// Taken back.
    pub cancelled: i64,
}

impl Day {
    /// Whether every accepted recipient is one of the others.
    pub fn is_balanced(&self) -> bool {
        let open = self.scheduled + self.in_flight + self.in_doubt;
        let ended = self.delivered + self.bounced + self.failed + self.suppressed + self.cancelled;
        self.accepted == open + ended
    }

    fn add(&mut self, state: &str, count: i64) {
        let tally = match Status::parse(state) {
            Some(Status::Scheduled) => &mut self.scheduled,
            Some(Status::Delivered) => &mut self.delivered,
            Some(Status::Bounced) => &mut self.bounced,
            Some(Status::Failed) => &mut self.failed,
            Some(Status::Suppressed) => &mut self.suppressed,
            Some(Status::Cancelled) => &mut self.cancelled,
            Some(Status::Queued | Status::Deferred | Status::Sent) => &mut self.in_flight,
            None => &mut self.in_doubt,
        };
        *tally += count;
    }
}

/// The days (since the Unix epoch, UTC) from `first` through `last` on which something was accepted.
pub async fn days(
    platform: &Platform,
    org: &OrgId,
    mode: Mode,
    first: i64,
    last: i64,
) -> Result<BTreeMap<i64, Day>, StoreError> {
    let (from, until) = (Timestamp::of_day(first), Timestamp::of_day(last + 1));
    let unit = async move |tx: &OrgTx| {
        let accepted = store::accepted(tx, mode, from, until).await?;
        Ok::<_, StoreError>((accepted, store::became(tx, mode, from, until).await?))
    };
    let (accepted, became) = platform.store.org(org).read("usage_days", unit).await?;
    let mut days: BTreeMap<i64, Day> = BTreeMap::new();
    for (day, emails, accepted) in accepted {
        let day = days.entry(day).or_default();
        (day.emails, day.accepted) = (emails, accepted);
    }
    for (day, state, count) in became {
        days.entry(day).or_default().add(&state, count);
    }
    Ok(days)
}
