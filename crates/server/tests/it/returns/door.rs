//! The door itself: who is taken mail for, and what no client can do.

use super::*;
use crate::harness::{events_of, on_both_engines};
use sealwright::limits::{RETURN_BYTES_MAX, SMTP_CONNECTIONS_PER_NETWORK_MAX, SMTP_MESSAGES_MAX};
use std::sync::Arc;
use std::time::Duration;

/// Opens a transaction up to 354.
async fn at_data(house: &House, path: &str) -> Talk {
    let mut talk = Talk::start(house.smtp_address()).await;
    for line in ["MAIL FROM:<>", &format!("RCPT TO:<{path}>"), "DATA"] {
        assert!(talk.say(line).await.starts_with(['2', '3']));
    }
    talk
}

on_both_engines! {
    async fn nothing_is_taken_for_anybody_but_a_return_path_of_ours(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let house = house(engine, &clock).await;
        let (_, path) = sent(&house, &house.email("ada@reader.example")).await;
        let (local, _) = path.split_once('@').unwrap();
        let mut talk = Talk::start(house.smtp_address()).await;
        assert!(talk.say("MAIL FROM:<spammer@elsewhere.example>").await.starts_with("250 "));
        let last = if local.ends_with('0') { "1" } else { "0" };
        let forged = format!("{}{last}@{HOST}", &local[..local.len() - 1]);
        for (to, answer) in [
            (format!("{local}@elsewhere.example"), "550 5.7.1 "),
            ("victim@elsewhere.example".to_owned(), "550 5.7.1 "),
            (format!("victim%elsewhere.example@{HOST}"), "550 5.1.1 "),
            (format!("postmaster@{HOST}"), "550 5.1.1 only delivery reports"),
            ("postmaster".to_owned(), "550 5.1.1 only delivery reports"),
            ("abuse@bounce.house.example".to_owned(), "550 5.1.1 only delivery reports"),
            (house.account.address("hello"), "550 5.7.1 "),
            (forged, "550 5.1.1 no such return path"),
            (format!("\"{local}\"@{HOST}"), "550 5.1.1 "),
            (path.clone(), "250 "),
            // A customer's own host leads here, too.
            (format!("{local}@bounce.house.example"), "250 "),
            (format!("{local}@BOUNCE.House.Example"), "250 "),
        ] {
            let reply = talk.say(&format!("RCPT TO:<{to}>")).await;
            assert!(reply.starts_with(answer), "{to}: {reply}");
        }
        assert_eq!(counted(&house, "forged"), 1);
        clock.advance(Duration::from_secs(61 * 86_400));
        let reply = Talk::try_bring(house.smtp_address(), &path, &nobody("ada@reader.example")).await;
        assert!(reply.starts_with("550 5.1.1 this return path is no longer in use"), "{reply}");
        assert_eq!(counted(&house, "old"), 1);
    }

    async fn what_is_cut_off_too_big_or_smuggled_changes_nothing(engine: Engine) {
        let house = house(engine, &Clock::System).await;
        let (id, path) = sent(&house, &house.email("ghost@reader.example")).await;
        let report = nobody("ghost@reader.example").replace('\n', "\r\n");
        // Cut off in the middle, and just before the dot.
        for end in [report.len() / 2, report.len()] {
            let mut talk = at_data(&house, &path).await;
            talk.raw(&report.as_bytes()[..end]).await;
            drop(talk);
        }
        // Declared too big.
        let mut talk = Talk::start(house.smtp_address()).await;
        let reply = talk.say(&format!("MAIL FROM:<> SIZE={}", RETURN_BYTES_MAX + 1)).await;
        assert!(reply.starts_with("552 5.3.4 "), "{reply}");
        // Ten megabytes without a word about them: nobody reads that far.
        let mut talk = at_data(&house, &path).await;
        talk.raw(report.as_bytes()).await;
        let line = [b"x".repeat(70), b"\r\n".to_vec()].concat();
        for _ in 0..160 {
            talk.raw(&line.repeat(900)).await;
        }
        talk.raw(b"\r\n.\r\n").await;
        let reply = talk.reply().await;
        assert!(reply.is_empty() || reply.starts_with("552 5.3.4 "), "{reply}");
        // A second message inside of what one side takes for content (CVE-2023-51764 and its kin).
        let smuggled = format!("MAIL FROM:<>\r\nRCPT TO:<{path}>\r\nDATA\r\n{report}\r\n.\r\n");
        for end in ["\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\r.\r\n", "\r\n\0.\r\n"] {
            let mut talk = at_data(&house, &path).await;
            talk.raw(format!("Subject: hello\r\n\r\nbody{end}{smuggled}").as_bytes()).await;
            let reply = talk.reply().await;
            assert!(reply.is_empty() || reply.starts_with("550 5.6.0 ") || reply.starts_with("554 "), "{end:?}: {reply}");
        }
        // Content that is sent before it was asked for, and commands behind STARTTLS.
        let mut talk = Talk::start(house.smtp_address()).await;
        talk.raw(format!("MAIL FROM:<>\r\nRCPT TO:<{path}>\r\nDATA\r\n{report}\r\n.\r\n").as_bytes()).await;
        let replies = [talk.reply().await, talk.reply().await, talk.reply().await];
        assert!(replies[2].starts_with("554 5.5.0 "), "{replies:?}");
        let mut talk = Talk::start(house.smtp_address()).await;
        talk.raw(format!("STARTTLS\r\nMAIL FROM:<>\r\nRCPT TO:<{path}>\r\n").as_bytes()).await;
        assert!(talk.reply().await.starts_with("501 "));
        let shown = house.shown(&id).await;
        assert_eq!(shown["status"], "delivered");
        assert!(events_of(&shown, "email.bounced").is_empty());
        assert_eq!(counted(&house, "bounced"), 0);
        assert_eq!(house.sink.received_count(), 1, "nothing is ever sent in answer");
        Talk::bring(house.smtp_address(), &path, &nobody("ghost@reader.example")).await;
        house.reaches(&id, "bounced").await;
    }

    async fn a_report_comes_encrypted_too(engine: Engine) {
        let house = house(engine, &Clock::System).await;
        let (id, path) = sent(&house, &house.email("ghost@reader.example")).await;
        let mut talk = Talk::start(house.smtp_address()).await;
        assert!(talk.say("STARTTLS").await.starts_with("220 "));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        let pem = std::fs::read(&house.authority.ca_cert).unwrap();
        for certificate in <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::pem_slice_iter(&pem) {
            roots.add(certificate.unwrap()).unwrap();
        }
        // Many hosts know no more.
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "localhost".try_into().unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, talk.into_stream()).await.unwrap();
        let mut talk = Talk::over(stream);
        let offered = talk.say("EHLO mx.reader.example").await;
        assert!(!offered.contains("STARTTLS") && offered.contains("SIZE 1048576"), "{offered}");
        for line in ["MAIL FROM:<>", &format!("RCPT TO:<{path}>"), "DATA"] {
            assert!(talk.say(line).await.starts_with(['2', '3']));
        }
        let report = nobody("ghost@reader.example").replace('\n', "\r\n");
        assert!(talk.say(&format!("{report}\r\n.")).await.starts_with("250 "));
        assert_eq!(house.shown(&id).await["status"], "bounced");
        assert!(talk.say("QUIT").await.starts_with("221 "));
    }

    async fn a_network_has_its_share_of_connections_and_a_connection_of_messages(engine: Engine) {
        let house = house(engine, &Clock::System).await;
        let (_, path) = sent(&house, &house.email("ada@reader.example")).await;
        let mut talks = Vec::new();
        for _ in 0..SMTP_CONNECTIONS_PER_NETWORK_MAX {
            talks.push(Talk::start(house.smtp_address()).await);
        }
        let mut turned_away = Talk::over(tokio::net::TcpStream::connect(house.smtp_address()).await.unwrap());
        assert_eq!(turned_away.reply().await, "");
        let mut talk = talks.pop().unwrap();
        drop(talks);
        for _ in 0..SMTP_MESSAGES_MAX {
            for line in ["MAIL FROM:<>", &format!("RCPT TO:<{path}>"), "DATA", "Subject: nothing\r\n\r\n."] {
                assert!(talk.say(line).await.starts_with(['2', '3']));
            }
        }
        assert!(talk.say("MAIL FROM:<>").await.starts_with("421 "));
        assert_eq!(talk.reply().await, "");
        assert_eq!(counted(&house, "other"), u64::from(SMTP_MESSAGES_MAX));
    }

    async fn a_report_is_taken_only_when_it_is_on_disk(engine: Engine) {
        let house = house(engine, &Clock::System).await;
        let (id, path) = sent(&house, &house.email("ghost@reader.example")).await;
        crate::returns::lock_returns(&house, true).await;
        let reply = Talk::try_bring(house.smtp_address(), &path, &nobody("ghost@reader.example")).await;
        assert!(reply.starts_with("451 4.3.0 "), "{reply}");
        crate::returns::lock_returns(&house, false).await;
        Talk::bring(house.smtp_address(), &path, &nobody("ghost@reader.example")).await;
        house.reaches(&id, "bounced").await;
    }
}
