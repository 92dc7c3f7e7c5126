//! `sealwright queue`: what waits for each destination, and the operator's hand on it.
//!
//! A running server is asked over its admin listener: an embedded store has only one process, and only that knows its lanes. Where nobody
//! serves, the store is opened.

use super::{Failure, columns, print, running};
use crate::app;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::entry::admin::{self, Act, Answer, Question, Refused, Shown};
use crate::features::delivery;
use clap::{Args, Subcommand};

/// Characters of a reply that fit into the table.
const REPLY_CHARS_SHOWN: usize = 60;

/// Shows what waits for delivery, by destination.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Queue {
    #[command(subcommand)]
    change: Option<QueueCommand>,
    #[command(flatten)]
    chosen: Chosen,
}

#[derive(Debug, Subcommand)]
enum QueueCommand {
    /// Try mail now, held or not; the server asked no longer leaves its destinations alone.
    Retry {
        #[command(flatten)]
        chosen: Chosen,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Keep mail that waits now from leaving, until it is retried or dropped. Mail that is accepted later is not held.
    Hold {
        #[command(flatten)]
        chosen: Chosen,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Give mail up: its recipients have failed, and their senders are told so.
    Drop {
        #[command(flatten)]
        chosen: Chosen,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// Which mail is meant.
#[derive(Debug, Args)]
struct Chosen {
    /// Only mail to this domain.
    #[arg(long, value_name = "DOMAIN")]
    destination: Option<String>,
    /// Only mail of this organization.
    #[arg(long, value_name = "ID")]
    org: Option<String>,
    /// Only this e-mail.
    #[arg(long, value_name = "ID")]
    email: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Queue {
    pub(super) async fn run(self, config: &Config) -> Result<(), Failure> {
        let (act, chosen, reason) = match self.change {
            None => (Act::Show, self.chosen, None),
            Some(QueueCommand::Retry { chosen, reason }) => (Act::Retry, chosen, reason),
            Some(QueueCommand::Hold { chosen, reason }) => (Act::Hold, chosen, Some(reason)),
            Some(QueueCommand::Drop { chosen, reason }) => (Act::Drop, chosen, Some(reason)),
        };
        let question = Question {
            act,
            destination: chosen.destination,
            org: chosen.org,
            email: chosen.email,
            reason,
        };
        let answer = match running::ask(config, "/queue", &question).await? {
            Some(answer) => answer,
            None => open(config, question).await?,
        };
        if chosen.json {
            let json = serde_json::to_string_pretty(&answer).map_err(Failure::of)?;
            return print(&format!("{json}\n"));
        }
        match answer {
            Answer::Queue {
                destinations,
                has_more,
            } => print(&table(&destinations, has_more, Clock::System.now())),
            Answer::Changed { changed, left } => print(&format!("{changed} changed, {left} left\n")),
        }
    }
}

/// Answers the question from the store itself.
async fn open(config: &Config, question: Question) -> Result<Answer, Failure> {
    let (platform, _lock) = running::open(config).await?;
    let queue = delivery::Queue::of_others(platform, app::alerts_to(config)?);
    admin::answer(&queue, question)
        .await
        .map_err(|refused| match refused {
            Refused::Question(text) => Failure::Usage(text),
            Refused::Fault(_) => Failure::of(refused),
        })
}

/// The table, its columns as wide as they have to be.
fn table(destinations: &[Shown], has_more: bool, now: Timestamp) -> String {
    if destinations.is_empty() {
        return "nothing waits\n".to_owned();
    }
    let titles = [
        "DESTINATION",
        "DUE",
        "IN FLIGHT",
        "DEFERRED",
        "HELD",
        "OLDEST",
        "NEXT",
        "LANE",
        "LAST REPLY",
    ];
    let mut rows = vec![titles.map(str::to_owned)];
    rows.extend(destinations.iter().map(|shown| row(shown, now)));
    let mut text = columns(&rows);
    if has_more {
        text.push_str("and more destinations; --destination, --org and --email narrow it\n");
    }
    text
}

fn row(shown: &Shown, now: Timestamp) -> [String; 9] {
    let name = shown.destination.as_deref().unwrap_or("(forgotten)");
    let at = |text: &Option<String>| text.as_deref().and_then(Timestamp::parse_instant);
    let oldest = Timestamp::parse_instant(&shown.oldest_at);
    let ahead = |at: Timestamp| match at.since(now).as_secs() {
        0 => "now".to_owned(),
        seconds => format!("in {}", span(seconds)),
    };
    let lane = at(&shown.closed_until).map(|until| format!("closed {}", span(until.since(now).as_secs())));
    let dash = || "-".to_owned();
    [
        match shown.mode.as_str() {
            "test" => format!("{name} (test)"),
            _ => name.to_owned(),
        },
        shown.due.to_string(),
        shown.in_flight.to_string(),
        shown.deferred.to_string(),
        shown.held.to_string(),
        oldest.map_or_else(dash, |oldest| span(now.since(oldest).as_secs())),
        at(&shown.next_at).map_or_else(dash, ahead),
        lane.unwrap_or_else(|| "open".to_owned()),
        shown.last_reply.as_deref().map_or_else(dash, printable),
    ]
}

/// A span of time in its largest unit.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// What another host said may hold anything, also what a terminal would obey.
fn printable(text: &str) -> String {
    let kept = text.chars().take(REPLY_CHARS_SHOWN);
    kept.map(|char| if char.is_control() { '·' } else { char })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_and_never_obeys_what_a_host_said() {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let later = now.plus(std::time::Duration::from_secs(90));
        let shown = Shown {
            destination: Some("reader.example".into()),
            mode: "live".into(),
            due: 1,
            in_flight: 0,
            deferred: 12,
            held: 0,
            oldest_at: now.minus(std::time::Duration::from_secs(7300)).rfc3339(),
            next_at: Some(later.rfc3339()),
            closed_until: Some(later.rfc3339()),
            last_reply: Some("451 \u{1b}[31m4.3.0 no".into()),
        };
        let other = Shown {
            destination: None,
            mode: "test".into(),
            next_at: None,
            closed_until: None,
            last_reply: None,
            ..shown.clone()
        };
        let text = table(&[shown, other], true, now);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("DEFERRED"), lines[1].find("12"));
        assert!(
            lines[1].ends_with("2h      in 1m  closed 1m  451 ·[31m4.3.0 no"),
            "{text}"
        );
        assert!(
            lines[2].starts_with("(forgotten) (test)  1") && lines[2].ends_with("-      open       -"),
            "{text}"
        );
        assert!(lines[3].starts_with("and more"));
        assert_eq!(table(&[], false, now), "nothing waits\n");
    }
}
