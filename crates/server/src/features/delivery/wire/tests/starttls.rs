//! Encryption: wanted, demanded, broken.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn with_certificate(name: &str, script: SinkScript) -> (CertificateDer<'static>, Sink) {
    let (ca, config) = certificate(name);
    (
        ca,
        sink(SinkOptions {
            tls: Some(config),
            script,
            ..SinkOptions::default()
        }),
    )
}

fn at_starttls(verdict: Verdict) -> SinkScript {
    SinkScript::new(move |moment| {
        if moment == Moment::StartTls {
            verdict.clone()
        } else {
            Verdict::Accept
        }
    })
}

#[tokio::test]
async fn unknown_certificate_encrypts_and_is_recorded_as_unverified() {
    let (_, sink) = with_certificate(HOST, SinkScript::default());
    let mut connection = open(&sink, &options(TlsMode::Opportunistic)).await.unwrap();
    let facts = connection.tls().unwrap().clone();
    assert_eq!(
        (facts.version.as_str(), facts.peer_name.as_str(), facts.verified),
        ("TLSv1.3", HOST, false)
    );
    assert!(facts.cipher.starts_with("TLS13_"), "{}", facts.cipher);
    assert!(facts.problem.unwrap().contains("UnknownIssuer"));
    assert!(connection.extensions().esmtp && !connection.extensions().starttls);
    let expected = [
        ("connect", None),
        ("greeting", Some(220)),
        ("EHLO", Some(250)),
        ("STARTTLS", Some(220)),
        ("TLS", None),
        ("EHLO", Some(250)),
    ];
    assert_eq!(verbs(&connection.take_steps()), expected);
    assert_eq!(
        words(&send(&mut connection, &["a@example.net"], b"x\r\n").await),
        ["delivered 250"]
    );
    assert!(sink.received()[0].tls);
    assert!(connection.idle_probe());
    connection.quit().await;
}

#[tokio::test]
async fn known_certificate_is_recorded_as_verified() {
    let (ca, sink) = with_certificate(HOST, SinkScript::default());
    let verifying = ConnectOptions {
        tls_config: verifying_config(&[ca]).unwrap(),
        ..options(TlsMode::Required)
    };
    // The second connection resumes the first one's session and proves as much.
    for _ in 0..2 {
        let mut connection = open(&sink, &verifying).await.unwrap();
        let facts = connection.tls().unwrap();
        assert!(facts.verified && facts.problem.is_none());
        assert_eq!(
            words(&send(&mut connection, &["a@example.net"], b"x\r\n").await),
            ["delivered 250"]
        );
    }
}

#[tokio::test]
async fn resumed_opportunistic_session_is_judged_like_the_first() {
    let (_, sink) = with_certificate(HOST, SinkScript::default());
    let options = options(TlsMode::Opportunistic);
    for _ in 0..2 {
        let mut connection = open(&sink, &options).await.unwrap();
        assert!(!connection.tls().unwrap().verified);
        assert!(
            connection
                .tls()
                .unwrap()
                .problem
                .as_ref()
                .unwrap()
                .contains("UnknownIssuer")
        );
        send(&mut connection, &["a@example.net"], b"x\r\n").await;
    }
}

#[tokio::test]
async fn wrong_name_and_unknown_issuer_are_refused_when_verifying() {
    let (ca, sink) = with_certificate("other.example", SinkScript::default());
    let (stranger, _) = certificate(HOST);
    for (root, problem) in [(ca, "not valid for name"), (stranger, "UnknownIssuer")] {
        let options = ConnectOptions {
            tls_config: verifying_config(&[root]).unwrap(),
            ..options(TlsMode::Required)
        };
        let failure = open(&sink, &options).await.err().unwrap();
        assert!(failure.reason.contains(problem), "{failure}");
        assert!(!failure.permanent && !failure.retry_without_tls);
        assert_eq!(verbs(&failure.steps).last(), Some(&("TLS", None)));
    }
    assert_eq!(sink.received_count(), 0);
}

#[tokio::test]
async fn broken_handshake_may_be_retried_in_clear_only_if_opportunistic() {
    let garbage = || at_starttls(Verdict::Raw(b"220 go ahead\r\n".to_vec()));
    for (mode, retry) in [(TlsMode::Opportunistic, true), (TlsMode::Required, false)] {
        let (_, sink) = with_certificate(HOST, garbage());
        let failure = open(&sink, &options(mode)).await.err().unwrap();
        assert!(
            failure.reason.starts_with("the TLS handshake failed"),
            "{failure}"
        );
        assert_eq!((failure.retry_without_tls, failure.permanent), (retry, false));
        let mut connection = open(&sink, &options(TlsMode::Off)).await.unwrap();
        assert_eq!(
            words(&send(&mut connection, &["a@example.net"], b"x\r\n").await),
            ["delivered 250"]
        );
    }
}

#[tokio::test]
async fn silent_handshake_ends_in_time() {
    let listener = super::hostile::server(|mut peer| async move {
        peer.say("220 mx.example ESMTP\r\n").await;
        peer.line().await;
        peer.say("250-mx.example\r\n250 STARTTLS\r\n").await;
        peer.line().await;
        peer.say("220 go ahead\r\n").await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    })
    .await;
    let mut options = ConnectOptions {
        timeouts: short(),
        ..options(TlsMode::Opportunistic)
    };
    options.timeouts.handshake = Duration::from_millis(300);
    let failure = Connection::open(&target(listener), &options).await.err().unwrap();
    assert_eq!(failure.reason, "the TLS handshake took too long");
    assert!(failure.retry_without_tls);
}

#[tokio::test]
async fn refused_starttls_means_clear_text_or_nothing() {
    for (mode, opens) in [
        (TlsMode::Opportunistic, true),
        (TlsMode::Required, false),
        (TlsMode::Off, true),
    ] {
        let (_, sink) = with_certificate(HOST, at_starttls(Verdict::refuse(454)));
        match open(&sink, &options(mode)).await {
            Ok(connection) => assert!(opens && connection.tls().is_none()),
            Err(failure) => {
                assert!(!opens && !failure.permanent && !failure.retry_without_tls);
                assert_eq!(failure.reply.unwrap().code(), 454);
            }
        }
    }
}

#[tokio::test]
async fn required_tls_that_is_not_offered_sends_nothing() {
    let sink = sink(SinkOptions::default());
    let failure = open(&sink, &options(TlsMode::Required)).await.err().unwrap();
    assert_eq!(failure.reason, "the server does not offer TLS, which is required");
    assert!(!failure.permanent && !failure.retry_without_tls);
}

#[tokio::test]
async fn clear_text_behind_the_reply_to_starttls_is_an_attack() {
    let injected = b"220 go ahead\r\n250-evil.example\r\n250 SMTPUTF8\r\n";
    for mode in [TlsMode::Opportunistic, TlsMode::Required] {
        let (_, sink) = with_certificate(HOST, at_starttls(Verdict::Raw(injected.to_vec())));
        let failure = open(&sink, &options(mode)).await.err().unwrap();
        assert!(
            failure.reason.ends_with("clear text after the reply to STARTTLS"),
            "{failure}"
        );
        assert!(
            !failure.retry_without_tls,
            "an attacker would get clear text by it"
        );
    }
}

#[tokio::test]
async fn cut_in_the_first_encrypted_reply_may_be_retried_in_clear() {
    let hellos = AtomicUsize::new(0);
    let script = SinkScript::new(move |moment| match moment {
        Moment::Hello if hellos.fetch_add(1, Ordering::SeqCst) == 1 => Verdict::HangUp,
        _ => Verdict::Accept,
    });
    let (_, sink) = with_certificate(HOST, script);
    let failure = open(&sink, &options(TlsMode::Opportunistic)).await.err().unwrap();
    assert_eq!(failure.reason, "the connection was lost at EHLO");
    assert!(failure.retry_without_tls);
}
