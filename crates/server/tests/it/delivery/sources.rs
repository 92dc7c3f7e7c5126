//! Which mail leaves from which address, and how a new address is made known.

use super::standing_clock;
use crate::harness::{Engine, House, Setup, eventually, on_both_engines, stays};
use sealwright::app::Roles;
use sealwright::clock::Clock;
use sealwright::platform::dev::sink::Captured;
use serde_json::json;
use std::net::IpAddr;
use std::time::Duration;
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(86_400);

async fn house(engine: Engine, clock: &Clock, table: &str) -> (House, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sources.toml");
    std::fs::write(&path, table).unwrap();
    let setup = Setup::new(engine)
        .clock(clock)
        .set("delivery.sources", path.display().to_string());
    (setup.start().await, folder)
}

fn peers(received: &[Captured]) -> Vec<String> {
    received.iter().map(|mail| mail.peer.to_string()).collect()
}

/// Mail from each address so far.
fn count(house: &House, peer: &str) -> usize {
    let peer: IpAddr = peer.parse().unwrap();
    let received = house.sink.received();
    received.iter().filter(|mail| mail.peer == peer).count()
}

async fn send(house: &House, count: usize) {
    for _ in 0..count {
        let id = house.accepted(&house.email("ada@reader.example")).await;
        house.reaches(&id, "delivered").await;
    }
}

/// The day's first second, so that no test runs into the next day by itself.
fn morning() -> Clock {
    let now = Clock::System.now();
    Clock::manual(now.minus(Duration::from_secs(
        now.seconds().rem_euclid(86_400).unsigned_abs(),
    )))
}

on_both_engines! {
    async fn streams_and_domains_leave_from_their_own_addresses_by_their_own_names(engine: Engine) {
        let table = "
            [one]
            address = '127.0.0.2'
            ehlo_name = 'one.house.example'
            streams = ['transactional']
            [bulk]
            address = '127.0.0.3'
            ehlo_name = 'bulk.house.example'
            streams = ['broadcast']";
        let (house, _folder) = house(engine, &standing_clock(), table).await;
        let mut last = String::new();
        for stream in ["transactional", "broadcast", "transactional", "broadcast"] {
            let mut email = house.email("ada@reader.example");
            email["stream"] = json!(stream);
            last = house.accepted(&email).await;
            house.reaches(&last, "delivered").await;
        }
        let received = house.sink.received();
        assert_eq!(peers(&received), ["127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.3"]);
        let names: Vec<_> = received.iter().map(|mail| mail.client_name.as_str()).collect();
        assert_eq!(names[..2], ["one.house.example", "bulk.house.example"]);
        assert_eq!(house.attempts(&last).await[0]["facts"]["source"], "127.0.0.3");
    }

    async fn an_address_that_is_kept_for_a_domain_carries_its_mail_and_no_other(engine: Engine) {
        let clock = standing_clock();
        let domain = Setup::new(engine).start().await.account.address("a");
        let domain = domain.split_once('@').unwrap().1;
        let table = format!("
            [all]
            address = '127.0.0.2'
            [kept]
            address = '127.0.0.3'
            domains = ['{domain}']
            [other]
            address = '127.0.0.4'
            domains = ['other.example']");
        let (house, _folder) = house(engine, &clock, &table).await;
        send(&house, 3).await;
        assert_eq!(peers(&house.sink.received()), ["127.0.0.3"; 3]);
    }

    async fn a_new_address_carries_its_days_allowance_and_a_known_one_the_rest(engine: Engine) {
        let clock = morning();
        let table = format!("
            [known]
            address = '127.0.0.2'
            [new]
            address = '127.0.0.3'
            warm_since = '{}'", clock.now().date());
        let (mut house, _folder) = house(engine, &clock, &table).await;
        send(&house, 30).await;
        assert_eq!((count(&house, "127.0.0.3"), count(&house, "127.0.0.2")), (30, 0));
        // What was given is known after a restart; what this process had taken and not used is lost.
        house.stop().await;
        house.restart(house.config.clone(), Roles::ALL).await;
        send(&house, 30).await;
        assert_eq!(count(&house, "127.0.0.3"), 50, "fifty on the first day, to each provider");
        assert_eq!(count(&house, "127.0.0.2"), 10);
        clock.advance(DAY);
        send(&house, 20).await;
        assert_eq!(count(&house, "127.0.0.3"), 70, "the next day has an allowance of its own");
    }

    async fn mail_waits_for_the_next_day_where_every_address_is_new(engine: Engine) {
        let clock = morning();
        let table = format!("[new]
            address = '127.0.0.3'
            warm_since = '{}'", clock.now().date());
        let (house, _folder) = house(engine, &clock, &table).await;
        send(&house, 50).await;
        let id = house.accepted(&house.email("ada@reader.example")).await;
        stays("it left over the allowance", 40, async || house.sink.received_count() == 50).await;
        assert_eq!(house.shown(&id).await["status"], "queued");
        clock.advance(DAY);
        clock.advance(Duration::from_secs(3600));
        house.reaches(&id, "delivered").await;
        eventually("it left on the next day", async || (house.sink.received_count() == 51).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_the_days_allowance() {
    let clock = morning();
    let table = format!(
        "[known]\naddress = '127.0.0.2'\n[new]\naddress = '127.0.0.3'\nwarm_since = '{}'\n",
        clock.now().date()
    );
    let (house, _folder) = house(Engine::Postgres, &clock, &table).await;
    let second = house.second_node().await;
    let mut ids = Vec::new();
    for _ in 0..120 {
        ids.push(house.accepted(&house.email("ada@reader.example")).await);
    }
    for id in ids {
        house.reaches(&id, "delivered").await;
    }
    let new = count(&house, "127.0.0.3");
    assert!((1..=50).contains(&new), "{new} left from the new address");
    assert_eq!(new + count(&house, "127.0.0.2"), 120);
    drop(second);
}
