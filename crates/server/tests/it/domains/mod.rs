//! Sending domains: their records, what the DNS shows of them, and their keys.

mod keys;
mod life;
mod records;

use crate::harness::{
    DNS_A, DNS_CNAME, DNS_MX, DNS_NS, DNS_TXT, Engine, House, NameServer, Said, Setup, eventually,
};
use http::Method;
use sealwright::clock::Clock;
use sealwright::platform::jobs::Kind;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
/// The domain that is added here.
const NAME: &str = "shop.example";

/// What a name server shows, as a test changes it.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<HashMap<(String, u16), Said>>>);

impl Shown {
    fn set(&self, name: &str, kind: u16, said: Said) {
        self.0.lock().unwrap().insert((name.to_owned(), kind), said);
    }

    fn remove(&self, name: &str) {
        self.0.lock().unwrap().retain(|(known, _), _| known != name);
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

    fn answer(&self, name: &str, kind: u16) -> Said {
        self.0
            .lock()
            .unwrap()
            .get(&(name.to_owned(), kind))
            .cloned()
            .unwrap_or(Said::Nothing)
    }
}

/// A house whose DNS is ours.
struct Town {
    house: House,
    shown: Shown,
    _servers: NameServer,
}

impl Town {
    /// With a zone of the operator's, or without.
    async fn start(engine: Engine, zone: Option<&str>, clock: &Clock) -> Self {
        let shown = Shown::default();
        for name in [NAME, "house.example"] {
            shown.set(name, DNS_NS, Said::Name("ns.hosting.example".to_owned()));
        }
        shown.set(
            "ns.hosting.example",
            DNS_A,
            Said::Addresses(vec![Ipv4Addr::LOCALHOST]),
        );
        let script = shown.clone();
        let servers = NameServer::start(move |name, kind| script.answer(name, kind)).await;
        let mut setup = Setup::new(engine)
            .clock(clock)
            .set("net.name_servers", servers.address.to_string())
            .set("net.authority_port", servers.address.port().to_string())
            .set("server.admin_listen", "127.0.0.1:0")
            .set("smtp.listen", "127.0.0.1:0");
        if let Some(zone) = zone {
            setup = setup.set("domains.zone", zone);
        }
        Self {
            house: setup.start().await,
            shown,
            _servers: servers,
        }
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

    async fn verify(&self, domain: &Value) -> Value {
        self.act(domain, "verify").await.expect(200)
    }

    async fn act(&self, domain: &Value, verb: &str) -> crate::harness::Reply {
        let path = format!("/v1/domains/{}/{verb}", domain["id"].as_str().unwrap());
        self.house
            .client
            .call(Method::POST, &path, &self.house.account.live, "")
            .await
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

/// A UDP and TCP port that nobody has, for a name server of another make.
fn free_port() -> u16 {
    let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    socket.local_addr().unwrap().port()
}
