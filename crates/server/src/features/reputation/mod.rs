//! How mail from a domain is received, in figures: what bounced, what was complained of, and what both come to.
//!
//! Counted when asked, from the rows themselves, as in `usage`. Only live mail counts: nobody receives what a test key sends. The score
//! says what mailbox providers would hold against the domain; what they think beyond that, they keep to themselves.

mod store;

pub use store::ALL as STATEMENTS;

use crate::features::domains::{self, DomainError};
use crate::features::emails::Status as Outcome;
use crate::id::{DomainId, OrgId};
use crate::mode::Mode;
use crate::platform::Platform;
use crate::platform::store::OrgTx;
use std::time::Duration;

/// Days of the periods that are counted, the longest last.
const PERIODS: [u16; 2] = [7, 30];
/// Bounces are taken of so many recipients at least, so that one mistyped address is no verdict on a small sender.
const BOUNCES_OF_MIN: i64 = 100;
/// As are complaints, which are rarer and weigh more.
const COMPLAINTS_OF_MIN: i64 = 1_000;
/// Rates of bounces up to which a domain is good, and up to which it is fair.
const BOUNCES: Bounds = Bounds {
    good: 0.02,
    fair: 0.05,
};
/// Rates of complaints up to which a domain is good, and up to which it is fair: what large mailbox providers ask of bulk senders.
const COMPLAINTS: Bounds = Bounds {
    good: 0.001,
    fair: 0.003,
};
/// The lowest score that is good.
const GOOD: u8 = 80;
/// The lowest score that is fair.
const FAIR: u8 = 50;

/// What became of a domain's mail: recipients, once there is no more to come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken by the receiving host, and not sent back.
    pub delivered: i64,
    /// Refused for good, at once or by a report that came later.
    pub bounced: i64,
    /// Given up after many tries.
    pub failed: i64,
    /// Those who complained.
    pub complained: i64,
}

/// What a score is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nothing speaks against the domain's mail.
    Good,
    /// Some of it is about to be filtered.
    Fair,
    /// Much of it is filtered or refused, or will be soon.
    Poor,
}

/// The counts of the last days.
#[derive(Debug, Clone, Copy)]
pub struct Period {
    /// How many days.
    pub days: u16,
    /// What became of the mail that was accepted in them.
    pub counts: Counts,
}

/// The reputation of a domain.
#[derive(Debug, Clone)]
pub struct Reputation {
    /// The domain's name.
    pub name: String,
    /// From 0 to 100: the lower of the periods'.
    pub score: u8,
    /// The periods, the shortest first.
    pub periods: [Period; PERIODS.len()],
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 3] = [Self::Good, Self::Fair, Self::Poor];

    /// What a score is called.
    pub fn of(score: u8) -> Self {
        match score {
            GOOD.. => Self::Good,
            FAIR.. => Self::Fair,
            _ => Self::Poor,
        }
    }

    /// The word as it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Poor => "poor",
        }
    }
}

impl Counts {
    /// Recipients that mail was sent to, and came to an end.
    pub fn sent(self) -> i64 {
        self.delivered + self.bounced + self.failed
    }

    /// The part of `sent` that bounced.
    pub fn bounce_rate(self) -> f64 {
        rate(self.bounced, self.sent())
    }

    /// The part of `delivered` that complained.
    pub fn spam_rate(self) -> f64 {
        rate(self.complained, self.delivered)
    }

    /// The score: what the worse of both rates leaves of 100. Rates of few recipients are taken of more.
    pub fn score(self) -> u8 {
        let bounces = rate(self.bounced, self.sent().max(BOUNCES_OF_MIN));
        let complaints = rate(self.complained, self.delivered.max(COMPLAINTS_OF_MIN));
        BOUNCES.score(bounces).min(COMPLAINTS.score(complaints))
    }
}

fn rate(part: i64, whole: i64) -> f64 {
    // A complaint may arrive before the delivery is recorded.
    if part >= whole {
        return f64::from(u8::from(part > 0));
    }
    part as f64 / whole as f64
}

/// Up to which rate all is well, and up to which it is bearable.
struct Bounds {
    good: f64,
    fair: f64,
}

impl Bounds {
    /// 100 for none, [`GOOD`] at the first bound, [`FAIR`] at the second, 0 at twice the second; straight between them.
    fn score(&self, rate: f64) -> u8 {
        let points = [
            (0.0, 100.0),
            (self.good, f64::from(GOOD)),
            (self.fair, f64::from(FAIR)),
            (2.0 * self.fair, 0.0),
        ];
        let span = points.windows(2).find(|span| rate <= span[1].0);
        span.map_or(0, |span| {
            let ((from, high), (to, low)) = (span[0], span[1]);
            // Down, so that nothing past a bound is called as if it were not; but a rate at a bound is on it, whatever binary
            // fractions make of it.
            let score = high - (high - low) * (rate - from) / (to - from);
            (score + 1e-9).floor() as u8
        })
    }
}

/// The reputation of a domain as of now. With a test key there is nothing to count.
pub async fn of(
    platform: &Platform,
    org: &OrgId,
    mode: Mode,
    id: &DomainId,
) -> Result<Reputation, DomainError> {
    let domain = domains::get(platform, org, id).await?;
    let mut periods = PERIODS.map(|days| Period {
        days,
        counts: Counts::default(),
    });
    if mode == Mode::Live {
        let now = platform.clock.now();
        let begins = PERIODS.map(|days| now.minus(Duration::from_secs(u64::from(days) * 86_400)));
        let id = id.clone();
        let unit = async move |tx: &OrgTx| store::count(tx, &id, begins).await;
        let rows: Vec<_> = platform.store.org(org).read("domain_reputation", unit).await?;
        for (is_recent, outcome, count) in rows {
            let counted = if is_recent {
                &mut periods[..]
            } else {
                &mut periods[1..]
            };
            for period in counted {
                period.counts.add(&outcome, count);
            }
        }
    }
    let scores = periods.iter().map(|period| period.counts.score());
    Ok(Reputation {
        name: domain.name,
        score: scores.min().unwrap_or_default(),
        periods,
    })
}

impl Counts {
    fn add(&mut self, outcome: &str, count: i64) {
        match Outcome::parse(outcome) {
            Some(Outcome::Delivered) => self.delivered += count,
            Some(Outcome::Bounced) => self.bounced += count,
            Some(Outcome::Failed) => self.failed += count,
            // The others are not asked for; what is no status of a recipient is a complaint.
            Some(_) => {}
            None => self.complained += count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(delivered: i64, bounced: i64, complained: i64) -> Counts {
        Counts {
            delivered,
            bounced,
            failed: 0,
            complained,
        }
    }

    #[test]
    fn the_score_falls_with_the_worse_of_both_rates() {
        let table = [
            // Nothing was sent, or nothing speaks against it.
            (counts(0, 0, 0), 100, Status::Good),
            (counts(10_000, 0, 0), 100, Status::Good),
            // Bounces: 1 %, 2 %, just above, 3.5 %, 5 %, just above, 7.5 %, 10 %, all.
            (counts(9_900, 100, 0), 90, Status::Good),
            (counts(9_800, 200, 0), 80, Status::Good),
            (counts(9_799, 201, 0), 79, Status::Fair),
            (counts(9_650, 350, 0), 65, Status::Fair),
            (counts(9_500, 500, 0), 50, Status::Fair),
            (counts(9_499, 501, 0), 49, Status::Poor),
            (counts(9_250, 750, 0), 25, Status::Poor),
            (counts(9_000, 1_000, 0), 0, Status::Poor),
            (counts(0, 1_000, 0), 0, Status::Poor),
            // Complaints: 0.05 %, 0.1 %, 0.2 %, 0.3 %, 0.6 %.
            (counts(10_000, 0, 5), 90, Status::Good),
            (counts(10_000, 0, 10), 80, Status::Good),
            (counts(10_000, 0, 20), 65, Status::Fair),
            (counts(10_000, 0, 30), 50, Status::Fair),
            (counts(10_000, 0, 60), 0, Status::Poor),
            // The worse one counts.
            (counts(9_650, 350, 1), 65, Status::Fair),
            (counts(9_900, 100, 30), 49, Status::Poor),
        ];
        for (counts, score, status) in table {
            assert_eq!(
                (counts.score(), Status::of(counts.score())),
                (score, status),
                "{counts:?}"
            );
        }
    }

    #[test]
    fn one_bounce_or_complaint_is_no_verdict_on_a_small_sender() {
        assert_eq!(
            (counts(9, 1, 0).score(), counts(9, 1, 0).bounce_rate()),
            (90, 0.1)
        );
        assert_eq!(
            (counts(10, 0, 1).score(), counts(10, 0, 1).spam_rate()),
            (80, 0.1)
        );
        assert_eq!(Status::of(counts(10, 0, 4).score()), Status::Poor);
    }

    #[test]
    fn rates_are_parts_of_one() {
        assert_eq!(counts(0, 0, 0).bounce_rate(), 0.0);
        assert_eq!(
            counts(0, 0, 1).spam_rate(),
            1.0,
            "told before the delivery was recorded"
        );
        let given_up = Counts {
            failed: 50,
            ..counts(49, 1, 0)
        };
        assert_eq!((given_up.sent(), given_up.bounce_rate()), (100, 0.01));
    }
}
