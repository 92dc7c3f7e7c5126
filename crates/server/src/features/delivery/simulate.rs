//! Test mode: outcomes come from the recipient's name, never from a network.
//!
//! `delivered@`, `bounced@`, `deferred@` (with any `+label`) behave as they are called; every other name is delivered.

use super::attempt::Work;
use super::exchange::{Exchange, Fate};
use super::facts::Category;
use sealwright_mail::address::Mailbox;

/// Attempts after which `deferred@` is delivered.
const DEFERRED_ATTEMPTS: i64 = 2;

pub(super) fn exchange(work: &Work) -> Exchange {
    let fate = |recipient: &crate::features::emails::Destined| {
        let mailbox = Mailbox::parse(&recipient.mailbox);
        let local = mailbox.as_ref().map_or("", |mailbox| mailbox.address.local());
        fate(local, work.attempt.number)
    };
    let fates = work.mailed.recipients.iter().map(fate).collect();
    Exchange {
        fates,
        host: Some("test mode".to_owned()),
        ..Exchange::of_all(0, &fate_delivered())
    }
}

fn fate(local: &str, attempt: i64) -> Fate {
    let name = local.split('+').next().unwrap_or_default();
    if name.eq_ignore_ascii_case("bounced") {
        let reason = "550 5.1.1 test mode: no such user".to_owned();
        Fate::Bounced {
            reason,
            category: Category::InvalidAddress,
        }
    } else if name.eq_ignore_ascii_case("deferred") && attempt < DEFERRED_ATTEMPTS {
        Fate::Deferred {
            reason: "451 4.7.1 test mode: try again later".to_owned(),
        }
    } else {
        fate_delivered()
    }
}

fn fate_delivered() -> Fate {
    Fate::Delivered {
        reply: "250 2.0.0 test mode: nothing was sent".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_before_the_label_decides() {
        assert!(matches!(fate("bounced+today", 1), Fate::Bounced { .. }));
        assert!(matches!(fate("Deferred", 1), Fate::Deferred { .. }));
        assert!(matches!(fate("deferred", 2), Fate::Delivered { .. }));
        assert!(matches!(fate("ada", 1), Fate::Delivered { .. }));
    }
}
