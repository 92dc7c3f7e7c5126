//! Test mode: outcomes come from the recipient's name, never from a network.
//!
//! `docs/test-mode.md` has the table, and `tests/it/test_mode/outcomes.rs` holds this file against it. The name is what stands before
//! the first `+`; a label behind it may say more (`bounced+mailbox_full@`, `deferred+3m@`), and labels that say nothing are ignored.
//!
//! Nothing here sleeps: a recipient that has to wait gets a date, and the job comes back then.

use super::attempt::Work;
use super::exchange::{Exchange, Fate};
use crate::features::emails::Status;
use crate::features::suppressions::Type;
use sealwright_mail::address::Mailbox;
use sealwright_mail::smtp::{Category, EnhancedCode, classify};
use std::time::Duration;

/// How long `deferred@` is deferred.
const DEFERRED_FOR: Duration = Duration::from_secs(120);
/// How long `slow@` is on its way.
const SLOW_FOR: Duration = Duration::from_secs(30);
/// What a host that is not there says.
const REFUSED: &str = "test mode: refused";
/// Refusals by the category they fall into, with reply code, subject and detail; the first if no label names one.
const REFUSALS: [(Category, u16, (u16, u16)); 8] = [
    (Category::InvalidAddress, 550, (1, 1)),
    (Category::DomainNotFound, 550, (1, 2)),
    (Category::ContentRejected, 554, (6, 0)),
    (Category::PolicyRelated, 550, (7, 26)),
    (Category::Blocked, 550, (7, 1)),
    (Category::MailboxFull, 552, (2, 2)),
    (Category::ServerError, 554, (3, 0)),
    (Category::RateLimited, 550, (7, 28)),
];

pub(super) fn exchange(work: &Work) -> Exchange {
    let now = work.attempt.started_at;
    let mut fates = Vec::with_capacity(work.mailed.recipients.len());
    for recipient in &work.mailed.recipients {
        let mailbox = Mailbox::parse(&recipient.mailbox);
        let local = mailbox.as_ref().map_or("", |mailbox| mailbox.address.local());
        fates.push(match recipient.suppressed {
            Some(kind) => Fate::Suppressed {
                reason: kind.reason(),
            },
            None => fate(local, recipient.status, now.since(recipient.since)),
        });
    }
    Exchange {
        fates,
        host: Some("test mode".to_owned()),
        ..Exchange::of_all(0, &delivered())
    }
}

/// What becomes of a recipient that has been in its status for this long.
fn fate(local: &str, status: Status, waited: Duration) -> Fate {
    let local = local.to_ascii_lowercase();
    let mut labels = local.split('+');
    match labels.next().unwrap_or_default() {
        "bounced" => labels.find_map(refusal).unwrap_or_else(|| refused(REFUSALS[0])),
        "complained" => Fate::Complained { reply: taken() },
        "deferred" => deferred(labels.find_map(wait).unwrap_or(DEFERRED_FOR), status, waited),
        "slow" => after(labels.find_map(wait).unwrap_or(SLOW_FOR), waited),
        "suppressed" => Fate::Suppressed {
            reason: labels.find_map(suppression).unwrap_or(Type::HardBounces.reason()),
        },
        _ => delivered(),
    }
}

/// Delivered at the second attempt.
fn deferred(wait: Duration, status: Status, waited: Duration) -> Fate {
    if status == Status::Deferred {
        return after(wait, waited);
    }
    Fate::Deferred {
        reason: "451 4.7.1 test mode: try again later".to_owned(),
        wait: Some(wait),
    }
}

/// Delivered once it has waited long enough; its job may come back earlier for somebody else.
fn after(wait: Duration, waited: Duration) -> Fate {
    match wait.saturating_sub(waited) {
        Duration::ZERO => delivered(),
        left => Fate::Waiting { left },
    }
}

fn delivered() -> Fate {
    Fate::Delivered { reply: taken() }
}

fn taken() -> String {
    "250 2.0.0 test mode: nothing was sent".to_owned()
}

/// A label that is a reply code of permanent refusal, or a category.
fn refusal(label: &str) -> Option<Fate> {
    if let Some(code) = number(label).filter(|code| (500..600).contains(code)) {
        return Some(Fate::Bounced {
            reason: format!("{code} {REFUSED}"),
            category: classify(Some(code), None, REFUSED),
            is_of_recipient: true,
        });
    }
    REFUSALS
        .into_iter()
        .find(|(category, ..)| category.name() == label)
        .map(refused)
}

fn refused((_, code, (subject, detail)): (Category, u16, (u16, u16))) -> Fate {
    let enhanced = EnhancedCode::new(5, subject, detail);
    Fate::Bounced {
        reason: format!("{code} {enhanced} {REFUSED}"),
        category: classify(Some(code), Some(enhanced), REFUSED),
        is_of_recipient: true,
    }
}

/// A label such as `90s`, `3m` or `2h`.
fn wait(label: &str) -> Option<Duration> {
    let split = label.len().checked_sub(1)?;
    let (count, unit) = label.split_at_checked(split)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    number(count).map(|count| Duration::from_secs(u64::from(count) * seconds))
}

/// One to three digits.
fn number(text: &str) -> Option<u16> {
    let is_plain = text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

fn suppression(label: &str) -> Option<&'static str> {
    let reasons = Type::ALL.map(Type::reason);
    reasons.into_iter().find(|reason| *reason == label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_once(local: &str) -> Fate {
        fate(local, Status::Queued, Duration::ZERO)
    }

    #[test]
    fn the_name_before_the_first_label_decides_whatever_its_case() {
        assert!(matches!(at_once("Bounced+today"), Fate::Bounced { .. }));
        assert!(matches!(at_once("COMPLAINED"), Fate::Complained { .. }));
        for other in [
            "ada",
            "ada+bounced",
            "bounced.ada",
            "bouncedd",
            "\"bounced x\"",
            "",
            "+bounced",
        ] {
            assert!(matches!(at_once(other), Fate::Delivered { .. }), "{other}");
        }
    }

    #[test]
    fn a_label_names_the_refusal_by_code_or_category() {
        let told = |local: &str| match at_once(local) {
            Fate::Bounced { reason, category, .. } => (reason, Some(category.name())),
            other => (format!("{other:?}"), None),
        };
        for (category, code, (subject, detail)) in REFUSALS {
            let name = category.name();
            let (reason, told) = told(&format!("bounced+x+{name}"));
            assert!(
                reason.starts_with(&format!("{code} 5.{subject}.{detail} ")),
                "{reason}"
            );
            assert_eq!(told, Some(name));
        }
        assert_eq!(told("bounced+552").1, Some("mailbox_full"));
        assert_eq!(told("bounced+552").0, "552 test mode: refused");
        for nothing in [
            "bounced",
            "bounced+250",
            "bounced+5500",
            "bounced+451",
            "bounced+",
            "bounced++",
        ] {
            assert!(told(nothing).0.starts_with("550 5.1.1 "), "{nothing}");
        }
    }

    #[test]
    fn a_label_names_the_wait_and_anything_else_is_no_wait() {
        for (label, seconds) in [
            ("1s", 1),
            ("90s", 90),
            ("3m", 180),
            ("2h", 7200),
            ("999h", 3_596_400),
        ] {
            assert_eq!(wait(label), Some(Duration::from_secs(seconds)));
        }
        for label in ["", "m", "3", "3d", "-3m", "+3m", "1000s", "3m3", "3 m", "é", "3é"] {
            assert_eq!(wait(label), None, "{label}");
        }
    }

    #[test]
    fn a_recipient_waits_for_its_own_date_when_its_job_comes_back_early() {
        let second = Duration::from_secs;
        let is_left = |fate: Fate, seconds| matches!(fate, Fate::Waiting { left } if left == second(seconds));
        assert!(is_left(fate("slow", Status::Queued, second(0)), 30));
        assert!(is_left(fate("slow", Status::Queued, second(29)), 1));
        assert!(matches!(
            fate("slow", Status::Queued, second(30)),
            Fate::Delivered { .. }
        ));
        assert!(is_left(fate("deferred", Status::Deferred, second(30)), 90));
        assert!(matches!(
            fate("deferred", Status::Deferred, second(500)),
            Fate::Delivered { .. }
        ));
        let deferred = fate("deferred+5s", Status::Queued, second(500));
        assert!(matches!(deferred, Fate::Deferred { wait: Some(wait), .. } if wait == second(5)));
    }
}
