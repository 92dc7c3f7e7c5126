//! What comes back of mail that had left: bounces and complaints, at the door that they come to.

mod door;
mod postfix;
mod reports;
mod tls_reports;

use crate::harness::{Engine, House, Setup, Talk, eventually};
use sealwright::clock::Clock;
use serde_json::Value;

/// The installation's own host of return paths.
const HOST: &str = "return.house.example";

/// A house that takes what comes back.
async fn house(engine: Engine, clock: &Clock) -> House {
    let setup = Setup::new(engine).clock(clock).set("returns.host", HOST);
    setup.set("smtp.listen", "127.0.0.1:0").start().await
}

/// Sends a mail that is delivered; its id and the return path that it left with.
async fn sent(house: &House, email: &Value) -> (String, String) {
    let id = house.accepted(email).await;
    house.reaches(&id, "delivered").await;
    let ulid = id.trim_start_matches("email_").to_owned();
    let mails = house.sink.received().into_iter();
    let ours = mails.rev().find(|mail| mail.mail_from.contains(&ulid));
    (id, ours.expect("no return path names it").mail_from)
}

/// A report in the form of RFC 3464, with these recipients and what is said of each.
fn report(recipients: &[(&str, &str, &str)]) -> String {
    let blocks = recipients.iter().map(|(recipient, status, said)| {
        format!(
            "\nFinal-Recipient: rfc822; {recipient}\nAction: failed\nStatus: {status}\nDiagnostic-Code: smtp; {said}\n"
        )
    });
    format!(
        "From: MAILER-DAEMON@mx.reader.example\nSubject: Undelivered Mail\nAuto-Submitted: auto-replied\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: text/plain\n\n\
         Your mail was not delivered.\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.reader.example\n{}\
         --b\nContent-Type: message/rfc822\n\nSubject: A subject\n\nA text.\n--b--\n",
        blocks.collect::<String>()
    )
}

/// The report that nobody is at `recipient`.
fn nobody(recipient: &str) -> String {
    report(&[(recipient, "5.1.1", "550 5.1.1 <ghost> user unknown")])
}

/// A feedback report (RFC 5965) on the mail that left with this return path.
fn feedback(kind: &str, path: &str) -> String {
    format!(
        "From: fbl@portal.example\nSubject: FW: A subject\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\nContent-Type: text/plain\n\n\
         A user complained.\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: {kind}\nVersion: 1\n\
         User-Agent: Portal/1\nOriginal-Mail-From: <{path}>\n--b\nContent-Type: message/rfc822\n\nSubject: A subject\n\nA text.\n--b--\n"
    )
}

/// How often something came to return paths with this result.
fn counted(house: &House, kind: &str) -> u64 {
    let text = house.platform.metrics.render();
    let name = format!("sealwright_returns_total{{kind=\"{kind}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |count| count.parse().unwrap())
}

/// The status of one recipient.
fn status<'a>(shown: &'a Value, address: &str) -> &'a str {
    let recipients = shown["recipients"].as_array().unwrap();
    let is_it = |recipient: &&Value| recipient.to_string().contains(address);
    recipients.iter().find(is_it).unwrap()["status"].as_str().unwrap()
}

/// Takes the table of returns away, or brings it back: nothing can be recorded meanwhile.
async fn lock_returns(house: &House, is_locked: bool) {
    let (from, to) = if is_locked {
        ("returns", "away")
    } else {
        ("away", "returns")
    };
    house.execute(&format!("ALTER TABLE {from} RENAME TO {to}")).await;
}
