//! Sending domains: their records, what the DNS shows of them, and their keys.

mod keys;
mod life;
mod records;
mod reputation;
mod servers;

use crate::harness::{
    DNS_A, DNS_CNAME, DNS_MX, DNS_NS, DNS_TXT, Engine, House, NameServer, Said, Setup, eventually,
};
use http::Method;
use sealwright::clock::Clock;
use sealwright::limits::VERIFY_AGAIN_AFTER;
use sealwright::platform::jobs::Kind;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
/// The domain that is added here.
const NAME: &str = "shop.example";
/// How long a name server thinks, if it does.
const THOUGHT: Duration = Duration::from_secs(2);

/// What a name server shows, as a test changes it.
#[derive(Clone, Default)]
struct Shown {
    said: Arc<Mutex<HashMap<(String, u16), Said>>>,
    /// A name about which it thinks for long, once. Everybody else waits meanwhile.
    slow: Arc<Mutex<Option<String>>>,
}

impl Shown {
    fn set(&self, name: &str, kind: u16, said: Said) {
        self.said.lock().unwrap().insert((name.to_owned(), kind), said);
    }

    fn remove(&self, name: &str) {
        self.said.lock().unwrap().retain(|(known, _), _| known != name);
    }

    fn text(&self, name: &str, text: &str) {
        self.set(name, DNS_TXT, Said::Text(text.to_owned()));
    }

    /// Publishes a record as the API gave it; two texts of one name become one answer.
    fn publish(&self, record: &Value) {
        let field = |name: &str| record[name].as_str().unwrap().to_owned();
        let (kind, said) = match record["type"].as_str().unwrap() {
            "CNAME" => (DNS_CNAME, Said::Name(field("value"))),
            "MX" => {
                let preference = u16::try_from(record["priority"].as_u64().unwrap()).unwrap();
                (DNS_MX, Said::Hosts(vec![(preference, field("value"))]))
            }
            "TXT" => (DNS_TXT, Said::Text(field("value"))),
            other => panic!("a record of type {other}"),
        };
        self.set(&field("host"), kind, said);
    }

    fn publish_all(&self, domain: &Value) {
        for record in domain["dnsRecords"].as_array().unwrap() {
            self.publish(record);
        }
    }

    /// The operator's zone, line by line.
    fn publish_zone(&self, zone: &str) {
        let origin = zone
            .lines()
            .find_map(|line| line.strip_prefix("$ORIGIN "))
            .unwrap()
            .trim_end_matches('.');
        for line in zone.lines() {
            let [name, _, "TXT", value] = line.split('\t').collect::<Vec<_>>()[..] else {
                continue;
            };
            let text: String = value.split('"').skip(1).step_by(2).collect();
            self.text(&format!("{name}.{origin}"), &text);
        }
    }

    fn think_about(&self, name: &str) {
        *self.slow.lock().unwrap() = Some(name.to_owned());
    }

    fn answer(&self, name: &str, kind: u16) -> Said {
        let slow = self.slow.lock().unwrap().take_if(|slow| slow == name);
        if slow.is_some() {
            #[allow(clippy::disallowed_methods, reason = "a server that thinks hears nobody else")]
            std::thread::sleep(THOUGHT);
        }
        let said = self.said.lock().unwrap();
        said.get(&(name.to_owned(), kind))
            .cloned()
            .unwrap_or(Said::Nothing)
    }
}

/// A house whose DNS is ours.
struct Town {
    house: House,
    shown: Shown,
    /// What another server shows, which has authority over other zones.
    elsewhere: Shown,
    _servers: [NameServer; 2],
}

impl Town {
    /// With a zone of the operator's, or without.
    async fn start(engine: Engine, zone: Option<&str>, clock: &Clock) -> Self {
        let zone = zone.map(|zone| ("domains.zone", zone));
        let settings: Vec<(&str, &str)> = zone.into_iter().collect();
        Self::set(engine, clock, &settings, async |setup| setup.start().await).await
    }

    async fn set(
        engine: Engine,
        clock: &Clock,
        settings: &[(&str, &str)],
        start: impl AsyncFnOnce(Setup) -> House,
    ) -> Self {
        let (shown, elsewhere) = (Shown::default(), Shown::default());
        for name in [NAME, "house.example", "mail.operator.example"] {
            shown.set(name, DNS_NS, Said::Name("ns.hosting.example".to_owned()));
        }
        let address = |last| Said::Addresses(vec![Ipv4Addr::new(127, 0, 0, last)]);
        shown.set("ns.hosting.example", DNS_A, address(1));
        shown.set("ns.elsewhere.example", DNS_A, address(2));
        let script = shown.clone();
        let here = NameServer::start(move |name, kind| script.answer(name, kind)).await;
        let port = here.address.port();
        let script = elsewhere.clone();
        let second = SocketAddr::from(([127, 0, 0, 2], port));
        let there = NameServer::start_on(second, move |name, kind| script.answer(name, kind)).await;
        let setup = Setup::new(engine)
            .clock(clock)
            .set("net.name_servers", here.address.to_string())
            .set("net.authority_port", port.to_string())
            .set("server.admin_listen", "127.0.0.1:0")
            .set("smtp.listen", "127.0.0.1:0");
        let setup = settings
            .iter()
            .fold(setup, |setup, (key, value)| setup.set(key, *value));
        Self {
            house: start(setup).await,
            shown,
            elsewhere,
            _servers: [here, there],
        }
    }

    /// A zone that the other server has.
    fn delegate(&self, zone: &str) {
        self.shown
            .set(zone, DNS_NS, Said::Name("ns.elsewhere.example".to_owned()));
    }

    async fn add(&self) -> Value {
        let new = json!({"name": NAME});
        self.house
            .client
            .post("/v1/domains", &self.house.account.live, &new)
            .await
            .expect(201)
    }

    /// Adds the domain, publishes everything and verifies it.
    async fn added_and_verified(&self) -> Value {
        let domain = self.add().await;
        self.shown.publish_all(&domain);
        if self.house.config.domains.zone.is_some() {
            self.shown.publish_zone(&self.zone().await);
        }
        let verified = self.verify(&domain).await;
        assert_eq!(verified["verified"], true, "{verified:#}");
        verified
    }

    /// Asks anew, however lately it was asked.
    async fn verify(&self, domain: &Value) -> Value {
        self.house.clock.advance(VERIFY_AGAIN_AFTER);
        self.act(domain, "verify").await.expect(200)
    }

    async fn act(&self, domain: &Value, verb: &str) -> crate::harness::Reply {
        let path = format!("/v1/domains/{}/{verb}", domain["id"].as_str().unwrap());
        self.house
            .client
            .call(Method::POST, &path, &self.house.account.live, "")
            .await
    }

    async fn change(&self, domain: &Value, change: &Value) -> crate::harness::Reply {
        let path = format!("/v1/domains/{}", domain["id"].as_str().unwrap());
        let live = &self.house.account.live;
        self.house
            .client
            .call(Method::PATCH, &path, live, change.to_string())
            .await
    }

    async fn delete(&self, domain: &Value) {
        let path = format!("/v1/domains/{}", domain["id"].as_str().unwrap());
        let deleted = self.house.client.delete(&path, &self.house.account.live).await;
        deleted.expect(200);
    }

    async fn get(&self, domain: &Value) -> Value {
        let path = format!("/v1/domains/{}", domain["id"].as_str().unwrap());
        self.house
            .client
            .get(&path, &self.house.account.live)
            .await
            .expect(200)
    }

    /// The operator's zone, as the admin listener prints it.
    async fn zone(&self) -> String {
        crate::harness::plain_get(self.house.admin_address().unwrap(), "/zone").await
    }

    /// Sends from the domain, and hands the answer on.
    async fn send(&self) -> crate::harness::Reply {
        let email = json!({"from": format!("shop@{NAME}"), "to": "ada@reader.example", "subject": "Hello", "text": "A text."});
        self.house.post(&email).await
    }

    /// The message that came out of an accepted e-mail.
    async fn received(&self, id: &str) -> Vec<u8> {
        self.house.reaches(id, "delivered").await;
        let mails = self.house.sink.received();
        let id = id.trim_start_matches("email_");
        let ours = mails
            .iter()
            .rev()
            .find(|mail| String::from_utf8_lossy(&mail.bytes).contains(id));
        ours.unwrap_or_else(|| panic!("no message names {id}"))
            .bytes
            .to_vec()
    }

    /// Lets time pass, and waits until the domain is as it should be.
    async fn later(&self, by: Duration, domain: &Value, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        self.house.clock.advance(by);
        eventually(what, async || {
            self.house.platform.hints.wake(Kind::DomainCheck);
            let shown = self.get(domain).await;
            is_so(&shown).then_some(shown)
        })
        .await
    }
}
