//! Slow and dead destinations beside living ones.

use crate::harness::{DNS_A, DNS_MX, Engine, House, NameServer, Said, Setup, eventually, on_both_engines};
use sealwright::clock::Clock;
use sealwright::platform::dev::sink::{Moment, SinkScript, Verdict};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

/// Hosts that take connections and never say a word, at 127.0.7.1 and on, all on the sink's port.
struct Silent {
    connections: Arc<AtomicUsize>,
}

impl Silent {
    async fn start(port: u16, hosts: u8) -> Self {
        let connections = Arc::new(AtomicUsize::new(0));
        for host in 1..=hosts {
            let listener = TcpListener::bind(SocketAddr::from(([127, 0, 7, host], port)))
                .await
                .unwrap();
            let connections = Arc::clone(&connections);
            tokio::spawn(async move {
                let mut kept = Vec::new();
                while let Ok((stream, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::Relaxed);
                    kept.push(stream);
                }
            });
        }
        Self { connections }
    }
}

/// `live.example` is the sink, `silentN.example` a silent host, `deadN.example` an address where nobody listens.
fn world(name: &str, kind: u16) -> Said {
    let number = |prefix: &str| name.strip_prefix(prefix)?.split('.').next()?.parse::<u8>().ok();
    let address = match (number("silent"), number("dead")) {
        (Some(n), _) => [127, 0, 7, n],
        (_, Some(n)) => [127, 0, 8, n],
        _ => [127, 0, 0, 1],
    };
    match kind {
        DNS_MX if name.starts_with("customer") => Said::Hosts(vec![(10, "mx.provider.example".to_owned())]),
        DNS_MX => Said::Hosts(vec![(10, name.to_owned())]),
        DNS_A => Said::Addresses(vec![Ipv4Addr::from(address)]),
        _ => Said::Nothing,
    }
}

async fn town(engine: Engine, clock: &Clock, slots: &str) -> (House, NameServer) {
    town_with(engine, clock, slots, &[]).await
}

async fn town_with(engine: Engine, clock: &Clock, slots: &str, more: &[(&str, &str)]) -> (House, NameServer) {
    let names = NameServer::start(world).await;
    let setup = more
        .iter()
        .fold(Setup::new(engine), |setup, (key, value)| setup.set(key, *value));
    let mut house = setup
        .unrouted()
        .clock(clock)
        .script(SinkScript::by_local_part())
        .set("net.name_servers", names.address.to_string())
        .set("delivery.concurrency_max", slots)
        .start()
        .await;
    // The sink's port is the port of all hosts of this world.
    house.stop().await;
    let mut config = house.config.clone();
    config.delivery.port = house.sink.addr().port();
    house.restart(config, sealwright::app::Roles::ALL).await;
    (house, names)
}

on_both_engines! {
    async fn silent_hosts_hold_up_nobody_else(engine: Engine) {
        let (house, _names) = town(engine, &Clock::System, "8").await;
        let known = house.accepted(&house.email("ada@live.example")).await;
        house.reaches(&known, "delivered").await;
        let silent = Silent::start(house.sink.addr().port(), 60).await;
        for host in 1..=60 {
            for _ in 0..3 {
                house.accepted(&house.email(&format!("ada@silent{host}.example"))).await;
            }
        }
        eventually("the silent hosts are tried", async || (silent.connections.load(Ordering::Relaxed) >= 2).then_some(())).await;
        let mut live = Vec::new();
        for _ in 0..30 {
            live.push(house.accepted(&house.email("ada@live.example")).await);
        }
        for id in &live {
            house.reaches(id, "delivered").await;
        }
        let tried = silent.connections.load(Ordering::Relaxed);
        assert!(tried <= 60, "{tried} connections to silent hosts: one to each at most");
    }

    async fn a_newcomer_gets_its_turn_behind_silent_hosts(engine: Engine) {
        let (house, _names) = town(engine, &Clock::System, "8").await;
        let silent = Silent::start(house.sink.addr().port(), 6).await;
        for host in 1..=6 {
            house.accepted(&house.email(&format!("ada@silent{host}.example"))).await;
        }
        eventually("the silent hosts are tried", async || (silent.connections.load(Ordering::Relaxed) >= 2).then_some(())).await;
        let id = house.accepted(&house.email("ada@new.example")).await;
        house.reaches(&id, "delivered").await;
    }

    async fn a_dead_host_is_asked_by_one_mail_for_all_and_all_of_them_come_back(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let (house, _names) = town(engine, &clock, "64").await;
        let mut waiting = Vec::new();
        for _ in 0..20 {
            waiting.push(house.accepted(&house.email("ada@dead1.example")).await);
        }
        let attempts = async || {
            let mut all = Vec::new();
            for id in &waiting {
                all.extend(house.attempts(id).await);
            }
            all.len()
        };
        eventually("one of them is tried", async || (attempts().await == 1).then_some(())).await;
        let id = house.accepted(&house.email("ada@live.example")).await;
        house.reaches(&id, "delivered").await;
        crate::harness::stays("the others wait", 25, async || attempts().await == 1).await;
        let port = house.sink.addr().port();
        let back = sealwright::platform::dev::sink::Sink::start(SocketAddr::from(([127, 0, 8, 1], port)), Default::default()).unwrap();
        // Its own next attempt is due after two minutes, that of the others after the host's wait.
        eventually("all are delivered once the host is back", async || {
            clock.advance(Duration::from_secs(20));
            house.platform.hints.wake(sealwright::platform::jobs::Kind::Deliver);
            tokio::time::sleep(Duration::from_millis(50)).await;
            (back.received_count() == 20).then_some(())
        }).await;
        for id in &waiting {
            house.reaches(id, "delivered").await;
        }
    }

    async fn a_host_that_says_421_is_left_alone_for_a_while(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let (house, _names) = town(engine, &clock, "64").await;
        let first = house.accepted(&house.email("rcpt-421@live.example")).await;
        house.reaches(&first, "deferred").await;
        let second = house.accepted(&house.email("ada@live.example")).await;
        crate::harness::stays("the second waits", 25, async || house.shown(&second).await["status"] == "queued").await;
        assert_eq!(house.attempts(&second).await.len(), 0);
        eventually("it goes out afterwards", async || {
            clock.advance(Duration::from_secs(2));
            house.platform.hints.wake(sealwright::platform::jobs::Kind::Deliver);
            (house.shown(&second).await["status"] == "delivered").then_some(())
        }).await;
    }

    async fn scheduled_mail_waits_for_its_lane_however_long_ago_it_was_accepted(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let (house, _names) = town(engine, &clock, "64").await;
        let second = Duration::from_secs(1);
        // Longer than mail is tried.
        let wait = 4 * 86_400 * second;
        let mut email = house.email("ada@live.example");
        email["scheduledAt"] = clock.now().plus(wait).rfc3339().into();
        let scheduled = house.accepted(&email).await;
        clock.advance(wait - second);
        let first = house.accepted(&house.email("rcpt-421@live.example")).await;
        house.reaches(&first, "deferred").await;
        clock.advance(second);
        house.platform.hints.wake(sealwright::platform::jobs::Kind::Deliver);
        crate::harness::stays("it waits", 25, async || house.shown(&scheduled).await["status"] == "scheduled").await;
        eventually("it goes out afterwards", async || {
            clock.advance(2 * second);
            house.platform.hints.wake(sealwright::platform::jobs::Kind::Deliver);
            (house.shown(&scheduled).await["status"] == "delivered").then_some(())
        }).await;
    }
}

on_both_engines! {
    async fn an_organization_with_much_mail_leaves_turns_to_another(engine: Engine) {
        let (house, _names) = town(engine, &Clock::System, "2").await;
        let other = crate::harness::account(&house.platform, "Other", "other.example").await;
        for domain in 0..40 {
            house.accepted(&house.email(&format!("slow-200@live{domain}.example"))).await;
        }
        let email = serde_json::json!({"from": other.address("a"), "to": "bo@reader.example", "subject": "Mine", "text": "A text."});
        house.client.post("/v1/emails", &other.live, &email).await.expect(200);
        let ahead = eventually("the other's mail arrives", async || {
            let mails = house.sink.received();
            mails.iter().position(|mail| String::from_utf8_lossy(&mail.bytes).contains("Subject: Mine"))
        }).await;
        assert!(ahead <= 25, "{ahead} of 40 went first");
    }

    async fn a_provider_gets_so_many_messages_a_second_whichever_of_its_domains_they_are_for(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("providers.toml");
        std::fs::write(&table, "[provider]\nmx = [\"*.provider.example\"]\nper_second = 3\n").unwrap();
        let (house, _names) = town_with(engine, &clock, "64", &[("delivery.providers", table.to_str().unwrap())]).await;
        for number in 0..14 {
            house.accepted(&house.email(&format!("ada@customer{number}.example"))).await;
        }
        let mut arrived = vec![0];
        while arrived.last() != Some(&14) {
            clock.advance(Duration::from_secs(1));
            // What may leave in this second leaves at once.
            tokio::time::sleep(Duration::from_millis(400)).await;
            arrived.push(house.sink.received_count());
            assert!(arrived.len() < 60, "they do not arrive: {arrived:?}");
        }
        let most = arrived.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!((2..=3).contains(&most), "up to {most} in a second: {arrived:?}");
    }

    async fn broadcasts_wait_for_transactional_mail_and_get_on_all_the_same(engine: Engine) {
        let script = SinkScript::new(|moment| match moment {
            Moment::Message { .. } => Verdict::Wait(Duration::from_millis(40), Box::new(Verdict::Accept)),
            _ => Verdict::Accept,
        });
        let house = Setup::new(engine).script(script).set("delivery.concurrency_max", "1").start().await;
        let mut broadcast = house.email("ada@live.example");
        (broadcast["stream"], broadcast["subject"]) = ("broadcast".into(), "many".into());
        for _ in 0..40 {
            house.accepted(&broadcast).await;
        }
        eventually("broadcasts are under way", async || (house.sink.received_count() >= 2).then_some(())).await;
        for _ in 0..12 {
            house.accepted(&house.email("bo@live.example")).await;
        }
        let before = house.sink.received_count();
        eventually("everything arrived", async || (house.sink.received_count() == 52).then_some(())).await;
        let kinds: Vec<bool> = house.sink.received().iter().map(|mail| mail.rcpt_to == ["bo@live.example"]).collect();
        let last = kinds.iter().rposition(|is_first| *is_first).unwrap();
        let between = kinds[..last].iter().skip(before as usize).filter(|is_first| !**is_first).count();
        // One was under way, and of nine places one is the broadcasts'.
        assert!(between <= 4, "{between} broadcasts left after mail that should go first was there: {kinds:?}");
    }
}
