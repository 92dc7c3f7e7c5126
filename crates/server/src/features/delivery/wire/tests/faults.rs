//! Every step refused, delayed and cut.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Whether `moment` is the one called so.
fn is(moment: Moment<'_>, name: &str) -> bool {
    let called = match moment {
        Moment::Connect => "greeting",
        Moment::Hello => "EHLO",
        Moment::StartTls => "STARTTLS",
        Moment::Mail { .. } => "MAIL",
        Moment::Rcpt { .. } => "RCPT",
        Moment::Data => "DATA",
        Moment::Content => "content",
        Moment::Message { .. } => "dot",
    };
    called == name
}

fn faulty(name: &'static str, verdict: Verdict) -> Sink {
    scripted(move |moment| {
        if is(moment, name) {
            verdict.clone()
        } else {
            Verdict::Accept
        }
    })
}

#[tokio::test]
async fn cut_while_opening_is_a_temporary_failure() {
    for verb in ["greeting", "EHLO"] {
        let sink = faulty(verb, Verdict::HangUp);
        let failure = open(&sink, &impatient()).await.err().unwrap();
        assert_eq!(failure.reason, format!("the connection was lost at {verb}"));
        assert!(!failure.permanent && !failure.retry_without_tls);
        assert_eq!(verbs(&failure.steps).last(), Some(&(verb, None)));
    }
}

#[tokio::test]
async fn cut_before_the_dot_is_never_in_doubt() {
    for verb in ["MAIL", "RCPT", "DATA", "content"] {
        let sink = faulty(verb, Verdict::HangUp);
        let mut connection = open(&sink, &impatient()).await.unwrap();
        // Big enough that the content can't be on its way entirely when the cut is noticed.
        let transaction = send(&mut connection, &["a@example.net"], &long_message(16 << 20)).await;
        assert_eq!(
            words(&transaction),
            [format!("deferred the connection was lost at {verb}")]
        );
        assert!(!transaction.reached_dot && !transaction.in_doubt, "{verb}");
        assert_eq!(verbs(&transaction.steps).last(), Some(&(verb, None)));
        assert!(!connection.is_reusable());
        assert_eq!(sink.received_count(), 0);
    }
}

#[tokio::test]
async fn cut_after_the_dot_is_in_doubt_whether_taken_or_not() {
    for (verdict, taken) in [(Verdict::HangUp, 0), (Verdict::KeepAndHangUp, 1)] {
        let sink = faulty("dot", verdict);
        let mut connection = open(&sink, &impatient()).await.unwrap();
        let transaction = send(&mut connection, &["a@example.net"], b"x\r\n").await;
        assert_eq!(words(&transaction), ["deferred the connection was lost at dot"]);
        assert!(transaction.reached_dot && transaction.in_doubt);
        assert_eq!(sink.received_count(), taken);
    }
}

#[tokio::test]
async fn silence_ends_at_the_step_s_limit() {
    let pause = || Verdict::Wait(Duration::from_secs(60), Box::new(Verdict::Accept));
    for verb in ["greeting", "EHLO"] {
        let sink = faulty(verb, pause());
        let failure = open(&sink, &impatient()).await.err().unwrap();
        assert_eq!(
            failure.reason,
            format!("the server did not answer {verb} in time")
        );
    }
    for verb in ["MAIL", "RCPT", "DATA", "dot"] {
        let sink = faulty(verb, pause());
        let mut connection = open(&sink, &impatient()).await.unwrap();
        let transaction = send(&mut connection, &["a@example.net"], b"x\r\n").await;
        assert_eq!(
            words(&transaction),
            [format!("deferred the server did not answer {verb} in time")]
        );
        assert_eq!(transaction.in_doubt, verb == "dot");
        let last = transaction.steps.last().unwrap();
        assert!(
            last.verb == verb && last.ms >= 400 && last.code.is_none(),
            "{last:?}"
        );
    }
}

#[tokio::test]
async fn closing_reply_at_any_step_defers() {
    for verb in ["greeting", "EHLO"] {
        let sink = faulty(verb, Verdict::refuse(421));
        let failure = open(&sink, &impatient()).await.err().unwrap();
        assert_eq!(failure.reply.unwrap().code(), 421);
        assert!(!failure.permanent);
    }
    for verb in ["MAIL", "RCPT", "DATA", "content", "dot"] {
        let sink = faulty(verb, Verdict::refuse(421));
        let mut connection = open(&sink, &impatient()).await.unwrap();
        let transaction = send(&mut connection, &["a@example.net"], &long_message(16 << 20)).await;
        assert_eq!(words(&transaction), ["deferred 421"], "{verb}");
        assert!(!transaction.in_doubt && !connection.is_reusable());
        assert_eq!(verbs(&transaction.steps).last(), Some(&(verb, Some(421))));
    }
}

#[tokio::test]
async fn refusal_of_one_message_leaves_the_connection_usable() {
    for (verb, code) in [
        ("MAIL", 550),
        ("MAIL", 451),
        ("RCPT", 550),
        ("DATA", 554),
        ("dot", 554),
        ("dot", 452),
    ] {
        let refusals = AtomicUsize::new(0);
        let sink = scripted(move |moment| {
            // The first time only.
            let refused = is(moment, verb) && refusals.fetch_add(1, Ordering::SeqCst) == 0;
            if refused {
                Verdict::refuse(code)
            } else {
                Verdict::Accept
            }
        });
        let mut connection = open(&sink, &impatient()).await.unwrap();
        let transaction = send(&mut connection, &["a@example.net"], b"x\r\n").await;
        let class = if code < 500 { "deferred" } else { "failed" };
        assert_eq!(words(&transaction), [format!("{class} {code}")]);
        assert_eq!(transaction.reached_dot, verb == "dot");
        let transaction = send(&mut connection, &["a@example.net"], b"y\r\n").await;
        assert_eq!(words(&transaction), ["delivered 250"], "after {code} at {verb}");
        assert_eq!(transaction.steps[0].verb, "RSET");
    }
}

#[tokio::test]
async fn refusal_during_the_content_is_heard_and_the_dot_withheld() {
    let sink = faulty("content", Verdict::refuse(552));
    let mut connection = open(&sink, &impatient()).await.unwrap();
    let transaction = send(&mut connection, &["a@example.net"], &long_message(16 << 20)).await;
    assert_eq!(words(&transaction), ["failed 552"]);
    assert!(!transaction.reached_dot && !transaction.in_doubt && !connection.is_reusable());
}

#[tokio::test]
async fn host_that_wants_no_mail_is_a_permanent_failure() {
    let sink = faulty("greeting", Verdict::refuse(554));
    let failure = open(&sink, &impatient()).await.err().unwrap();
    assert!(failure.permanent && failure.reply.is_some());
    assert_eq!(failure.reason, "the server refused greeting: 554 5.0.0");
}

#[tokio::test]
async fn closed_port_is_a_temporary_failure() {
    let sink = sink(SinkOptions::default());
    let addr = sink.addr();
    sink.shutdown().await;
    let failure = Connection::open(&target(addr), &impatient()).await.err().unwrap();
    assert_eq!(failure.reason, "could not connect: connection refused");
    assert!(!failure.permanent);
    assert_eq!(verbs(&failure.steps), [("connect", None)]);
}

#[tokio::test]
async fn idle_probe_notices_a_server_that_left() {
    let sink = sink(SinkOptions::default());
    let mut connection = open(&sink, &impatient()).await.unwrap();
    assert!(connection.idle_probe());
    sink.shutdown().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!connection.idle_probe() && !connection.is_reusable());
}
