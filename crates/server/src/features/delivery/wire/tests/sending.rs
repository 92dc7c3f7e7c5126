//! What works.

use std::sync::atomic::{AtomicBool, Ordering};

use sealwright_mail::smtp::Offer;

use super::*;

#[tokio::test]
async fn message_arrives_octet_for_octet() {
    let sink = sink(SinkOptions::default());
    let mut connection = open(&sink, &options(TlsMode::Off)).await.unwrap();
    let opening = connection.take_steps();
    assert_eq!(
        verbs(&opening),
        [("connect", None), ("greeting", Some(220)), ("EHLO", Some(250))]
    );
    assert!(connection.extensions().pipelining);

    let parts: [&[u8]; 4] = [
        b"DKIM-Signature: x\r\n",
        b"Subject: y\r",
        b"\n\r\n.\r\n..\r\n",
        b".dot\r\nend",
    ];
    let transaction = connection
        .send(&envelope(&["a@example.net", "b@example.net"]), &parts, ready())
        .await;
    let Ok(transaction) = transaction;
    assert_eq!(words(&transaction), ["delivered 250", "delivered 250"]);
    assert!(transaction.reached_dot && !transaction.in_doubt);
    let expected = [
        ("MAIL", Some(250)),
        ("RCPT", Some(250)),
        ("RCPT", Some(250)),
        ("DATA", Some(354)),
        ("content", None),
        ("dot", Some(250)),
    ];
    assert_eq!(verbs(&transaction.steps), expected);
    assert!(transaction.steps.last().unwrap().reply.contains("accepted"));

    let received = sink.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].mail_from, "news@example.com");
    assert_eq!(received[0].rcpt_to, ["a@example.net", "b@example.net"]);
    assert_eq!(
        &*received[0].bytes,
        b"DKIM-Signature: x\r\nSubject: y\r\n\r\n.\r\n..\r\n.dot\r\nend\r\n"
    );
    assert!(!received[0].tls && connection.tls().is_none());
    connection.quit().await;
    sink.shutdown().await;
}

#[tokio::test]
async fn connection_carries_many_messages() {
    let sink = sink(SinkOptions {
        max_kept: 3,
        ..SinkOptions::default()
    });
    let mut news = sink.subscribe();
    let mut connection = open(&sink, &options(TlsMode::Off)).await.unwrap();
    for number in 1..=5_u64 {
        assert!(connection.idle_probe());
        let message = format!("Subject: {number}\r\n\r\n");
        let transaction = send(&mut connection, &["a@example.net"], message.as_bytes()).await;
        assert_eq!(words(&transaction), ["delivered 250"]);
        let captured = news.recv().await.unwrap();
        assert_eq!((captured.seq, &*captured.bytes), (number, message.as_bytes()));
    }
    let kept: Vec<u64> = sink.received().iter().map(|captured| captured.seq).collect();
    assert_eq!(kept, [3, 4, 5]);
    assert_eq!(sink.received_count(), 5);
}

#[tokio::test]
async fn server_without_extensions_is_served_one_command_at_a_time() {
    let offer = Offer {
        pipelining: false,
        size: false,
        eight_bit_mime: false,
        smtputf8: false,
        starttls: false,
    };
    let sink = sink(SinkOptions {
        offer,
        ..SinkOptions::default()
    });
    let mut connection = open(&sink, &options(TlsMode::Opportunistic)).await.unwrap();
    assert!(!connection.extensions().pipelining);
    let transaction = send(&mut connection, &["a@example.net", "b@example.net"], b"x\r\n").await;
    assert_eq!(words(&transaction), ["delivered 250", "delivered 250"]);

    let mut needy = envelope(&["a@example.net"]);
    needy.eight_bit = true;
    let Ok(transaction) = connection.send(&needy, &[b"\xc3\xbc\r\n"], ready()).await;
    assert!(words(&transaction)[0].starts_with("failed the server does not take 8-bit"));
    needy.smtputf8 = true;
    let Ok(transaction) = connection.send(&needy, &[b"\xc3\xbc\r\n"], ready()).await;
    assert!(words(&transaction)[0].starts_with("failed the server does not take internationalized"));
    assert_eq!(transaction.recipients[0].enhanced().unwrap().to_string(), "5.6.7");
    assert!(transaction.steps.is_empty() && connection.is_reusable());
}

#[tokio::test]
async fn recipients_have_fates_of_their_own() {
    let sink = sink(SinkOptions {
        script: SinkScript::by_local_part(),
        ..SinkOptions::default()
    });
    let mut connection = open(&sink, &options(TlsMode::Off)).await.unwrap();
    let to = ["rcpt-550@example.net", "ok@example.net", "rcpt-451@example.net"];
    let transaction = send(&mut connection, &to, b"x\r\n").await;
    assert_eq!(
        words(&transaction),
        ["failed 550", "delivered 250", "deferred 451"]
    );
    assert_eq!(sink.received()[0].rcpt_to, ["ok@example.net"]);

    let transaction = send(
        &mut connection,
        &["rcpt-550@example.net", "rcpt-450@example.net"],
        b"x\r\n",
    )
    .await;
    assert_eq!(words(&transaction), ["failed 550", "deferred 450"]);
    assert!(!transaction.reached_dot);

    let transaction = send(
        &mut connection,
        &["dot-554@example.net", "ok@example.net"],
        b"x\r\n",
    )
    .await;
    assert_eq!(words(&transaction), ["failed 554", "failed 554"]);
    let transaction = send(&mut connection, &["ok@example.net"], b"y\r\n").await;
    assert_eq!(words(&transaction), ["delivered 250"]);
    assert_eq!(sink.received_count(), 2);
}

#[tokio::test]
async fn mark_is_made_after_the_content_and_before_the_dot() {
    let content_came = Arc::new(AtomicBool::new(false));
    let noticed = Arc::clone(&content_came);
    let sink = scripted(move |moment| {
        noticed.fetch_or(moment == Moment::Content, Ordering::SeqCst);
        Verdict::Accept
    });
    let mut connection = open(&sink, &options(TlsMode::Off)).await.unwrap();
    let mark = async {
        while !content_came.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(sink.received_count(), 0, "the dot was sent before the mark");
        ready().await
    };
    let Ok(transaction) = connection
        .send(&envelope(&["a@example.net"]), &[b"x\r\n"], mark)
        .await;
    assert_eq!(words(&transaction), ["delivered 250"]);
    assert_eq!(sink.received_count(), 1);
}

#[tokio::test]
async fn failed_mark_keeps_the_dot_back() {
    let sink = sink(SinkOptions::default());
    let mut connection = open(&sink, &options(TlsMode::Off)).await.unwrap();
    let refused = connection
        .send(&envelope(&["a@example.net"]), &[b"x\r\n"], async {
            Err("disk full")
        })
        .await;
    assert_eq!(refused.err(), Some("disk full"));
    assert!(!connection.is_reusable());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(sink.received_count(), 0);
    let transaction = send(&mut connection, &["a@example.net"], b"x\r\n").await;
    assert_eq!(words(&transaction), ["deferred the connection was lost at MAIL"]);
}

#[tokio::test]
async fn no_mark_is_made_when_nobody_was_accepted() {
    let sink = sink(SinkOptions {
        script: SinkScript::by_local_part(),
        ..SinkOptions::default()
    });
    let mut connection = open(&sink, &options(TlsMode::Off)).await.unwrap();
    let mark = async { panic!("marked") };
    let sent: Result<Transaction, Infallible> = connection
        .send(&envelope(&["rcpt-550@example.net"]), &[b"x\r\n"], mark)
        .await;
    let Ok(transaction) = sent;
    assert_eq!(words(&transaction), ["failed 550"]);
}

#[tokio::test]
async fn bare_line_feed_is_refused_before_anything_is_written() {
    let sink = sink(SinkOptions::default());
    let mut connection = open(&sink, &options(TlsMode::Off)).await.unwrap();
    for content in [&b"a\nb\r\n"[..], b"a\rb\r\n", b"a\r\n.\nb\r\n", b"a\r"] {
        connection.take_steps();
        let transaction = send(&mut connection, &["a@example.net"], content).await;
        assert_eq!(
            words(&transaction),
            ["failed the message can not be sent: a bare CR or LF in the content"]
        );
        assert!(transaction.steps.is_empty() && connection.is_reusable());
    }
    assert_eq!(
        words(&send(&mut connection, &["a@example.net"], b"a\r\n").await),
        ["delivered 250"]
    );
}

#[tokio::test]
async fn too_big_message_is_not_offered() {
    let sink = sink(SinkOptions {
        message_octets_max: 1000,
        ..SinkOptions::default()
    });
    let mut connection = open(&sink, &options(TlsMode::Off)).await.unwrap();
    // The envelope says nothing of the size: the parts are counted.
    let transaction = send(&mut connection, &["a@example.net"], &long_message(1000)).await;
    assert!(words(&transaction)[0].contains("1000 octets"));
    assert!(connection.is_reusable());
}

#[tokio::test]
async fn thousands_of_recipients_do_not_block_each_other() {
    let sink = sink(SinkOptions {
        recipients_max: 3000,
        ..SinkOptions::default()
    });
    let mut connection = open(&sink, &options(TlsMode::Off)).await.unwrap();
    let to: Vec<String> = (0..3001)
        .map(|number| format!("recipient-{number}@example.net"))
        .collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let transaction = send(&mut connection, &to, b"x\r\n").await;
    let delivered = words(&transaction)
        .iter()
        .filter(|word| *word == "delivered 250")
        .count();
    assert_eq!(
        (delivered, words(&transaction).pop().unwrap().as_str()),
        (3000, "deferred 452")
    );
}

#[tokio::test]
async fn big_messages_pass() {
    let (ca, config) = certificate(HOST);
    let sink = sink(SinkOptions {
        tls: Some(config),
        ..SinkOptions::default()
    });
    let message = long_message(8 << 20);
    let verifying = ConnectOptions {
        tls_config: verifying_config(&[ca]).unwrap(),
        ..options(TlsMode::Required)
    };
    for options in [options(TlsMode::Off), verifying] {
        let mut connection = open(&sink, &options).await.unwrap();
        assert_eq!(
            words(&send(&mut connection, &["a@example.net"], &message).await),
            ["delivered 250"]
        );
        assert!(*sink.received().pop().unwrap().bytes == *message);
    }
}

#[tokio::test]
async fn source_address_is_used() {
    let sink = sink(SinkOptions::default());
    let from = |last| Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
    let good = ConnectOptions {
        source: from(1),
        ..options(TlsMode::Off)
    };
    assert!(open(&sink, &good).await.is_ok());
    // An address of documentation belongs to no machine.
    let foreign = ConnectOptions {
        source: Some("192.0.2.1".parse().unwrap()),
        ..options(TlsMode::Off)
    };
    let failure = open(&sink, &foreign).await.err().unwrap();
    assert!(failure.reason.starts_with("could not connect"), "{failure}");
}

#[tokio::test]
async fn debug_output_holds_no_address_and_no_reply() {
    let sink = scripted(|moment| match moment {
        Moment::Rcpt { to } => Verdict::Reply(Reply::new(550, None, &format!("no <{to}> here"))),
        _ => Verdict::Accept,
    });
    let mut connection = open(&sink, &options(TlsMode::Off)).await.unwrap();
    let transaction = send(&mut connection, &["secret@example.net"], b"x\r\n").await;
    assert!(
        transaction
            .steps
            .iter()
            .any(|step| step.reply.contains("secret@example.net"))
    );
    let shown = format!(
        "{transaction:?} {:?} {:?}",
        envelope(&["secret@example.net"]),
        sink.received()
    );
    assert!(!shown.contains("secret"), "{shown}");
}
