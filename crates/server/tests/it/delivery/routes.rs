//! Which hosts are asked, and how they are spoken to.

use super::standing_clock;
use crate::harness::{DNS_A as A, DNS_MX as MX};
use crate::harness::{Engine, House, NameServer, Said, Setup, events_of, eventually, on_both_engines};
use sealwright::clock::Clock;
use sealwright::entry::edge::{self, Authority};
use sealwright::platform::dev::sink::{Moment, Sink, SinkOptions, SinkScript, Verdict};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// On the loopback interface, and nobody listens there.
const NOBODY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 99);

fn world(name: &str, kind: u16) -> Said {
    let hosts =
        |names: &[(u16, &str)]| Said::Hosts(names.iter().map(|(p, name)| (*p, (*name).to_owned())).collect());
    match (name, kind) {
        ("mx.example", MX) => hosts(&[(10, "dead.mx.example"), (20, "good.mx.example")]),
        ("dead.mx.example", A) => Said::Addresses(vec![NOBODY]),
        ("good.mx.example", A) | ("implicit.example", A) => Said::Addresses(vec![NOBODY, HERE]),
        ("null.example", MX) => hosts(&[(0, ".")]),
        ("private.example", A) => Said::Addresses(vec![Ipv4Addr::new(10, 1, 2, 3)]),
        ("null.example" | "implicit.example" | "mx.example" | "private.example", _) => Said::Nothing,
        ("good.mx.example" | "dead.mx.example", _) => Said::Nothing,
        ("broken.example", _) => Said::Failure,
        _ => Said::NoName,
    }
}

/// A house whose mail finds its own way in a small world.
async fn worldly(engine: Engine) -> (House, Sink, NameServer) {
    let names = NameServer::start(world).await;
    let sink = Sink::start(SocketAddr::from((HERE, 0)), SinkOptions::default()).unwrap();
    let house = Setup::new(engine)
        .unrouted()
        .clock(&standing_clock())
        .set("delivery.port", sink.addr().port().to_string())
        .set("net.name_servers", names.address.to_string())
        .start()
        .await;
    (house, sink, names)
}

on_both_engines! {
    async fn mail_goes_to_the_mail_hosts_in_order_and_past_those_that_are_down(engine: Engine) {
        let (house, sink, _names) = worldly(engine).await;
        for domain in ["mx.example", "implicit.example"] {
            let id = house.accepted(&house.email(&format!("ada@{domain}"))).await;
            house.reaches(&id, "delivered").await;
            let facts = &house.attempts(&id).await[0]["facts"];
            assert_eq!(facts["address"], HERE.to_string());
            assert_eq!(facts["host"], if domain == "mx.example" { "good.mx.example" } else { domain });
        }
        assert_eq!(sink.received_count(), 2);
        assert_eq!(house.sink.received_count(), 0);
    }

    async fn domains_that_take_no_mail_bounce_at_once(engine: Engine) {
        let (house, sink, _names) = worldly(engine).await;
        for domain in ["null.example", "nowhere.example", "private.example"] {
            let id = house.accepted(&house.email(&format!("ada@{domain}"))).await;
            let shown = house.reaches(&id, "bounced").await;
            let told = &events_of(&shown, "email.bounced")[0]["data"];
            assert_eq!(told["bounceCategory"], "domain_not_found", "{domain}");
            assert!(!told["message"].as_str().unwrap().contains("10.1.2.3"));
        }
        assert_eq!(sink.received_count(), 0);
    }

    async fn a_name_server_that_fails_defers(engine: Engine) {
        let (house, sink, _names) = worldly(engine).await;
        let id = house.accepted(&house.email("ada@broken.example")).await;
        house.reaches(&id, "deferred").await;
        assert_eq!(sink.received_count(), 0);
    }

    async fn starttls_is_used_when_offered_and_its_facts_are_kept(engine: Engine) {
        let folder = tempfile::tempdir().unwrap();
        let house = Setup::new(engine).sink(tls_sink(folder.path())).start().await;
        let id = house.accepted(&house.email("ada@reader.example")).await;
        house.reaches(&id, "delivered").await;
        let tls = &house.attempts(&id).await[0]["facts"]["tls"];
        assert!(tls["version"].as_str().unwrap().contains("1.3"), "{tls}");
        assert!(!tls["cipher"].as_str().unwrap().is_empty());
        assert_eq!(tls["verified"], false, "the sink's authority is nobody's");
        assert!(house.sink.received()[0].tls);
    }

    async fn required_tls_never_goes_without(engine: Engine) {
        let clock = standing_clock();
        let house = Setup::new(engine).clock(&clock).set("delivery.tls", "required").start().await;
        let id = house.accepted(&house.email("ada@reader.example")).await;
        house.reaches(&id, "deferred").await;
        assert_eq!(house.sink.received_count(), 0);
    }

    async fn a_connection_is_used_for_the_next_mail_too(engine: Engine) {
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let script = SinkScript::new(move |moment| {
            if moment == Moment::Connect {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            Verdict::Accept
        });
        let house = Setup::new(engine).script(script).start().await;
        for _ in 0..5 {
            let id = house.accepted(&house.email("ada@reader.example")).await;
            house.reaches(&id, "delivered").await;
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1);
        assert_eq!(house.sink.received_count(), 5);
    }

    async fn many_mails_at_once_are_all_delivered_once(engine: Engine) {
        let house = Arc::new(House::start(engine).await);
        let senders = (0..8).map(|sender| {
            let house = Arc::clone(&house);
            tokio::spawn(async move {
                for number in 0..10 {
                    house.accepted(&house.email(&format!("r{sender}-{number}@d{number}.example"))).await;
                }
            })
        });
        for sender in senders.collect::<Vec<_>>() {
            sender.await.unwrap();
        }
        eventually("all are delivered", async || {
            let list = house.client.get("/v1/emails?status=delivered", &house.account.live).await.expect(200);
            (list["totalCount"] == 80).then_some(())
        })
        .await;
        let mut recipients: Vec<_> = house.sink.received().iter().flat_map(|mail| mail.rcpt_to.clone()).collect();
        assert_eq!(recipients.len(), 80);
        recipients.sort();
        recipients.dedup();
        assert_eq!(recipients.len(), 80);
    }
}

fn tls_sink(folder: &std::path::Path) -> SinkOptions {
    let authority = Authority::in_folder(folder, Clock::System.now()).unwrap();
    let settings = sealwright::config::Settings::default()
        .with("server.tls_cert", authority.cert.display().to_string())
        .unwrap()
        .with("server.tls_key", authority.key.display().to_string())
        .unwrap();
    SinkOptions {
        tls: Some(edge::server_config(&settings.config().unwrap().server).unwrap()),
        ..SinkOptions::default()
    }
}
