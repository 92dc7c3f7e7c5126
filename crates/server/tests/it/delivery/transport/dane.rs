//! TLSA records in signed zones (DANE), with a name server and a resolver of other makes.

use super::zones::Zones;
use super::{Identity, authority, identity, mail_host};
use crate::harness::{Engine, House, Setup, on_both_engines};
use aws_lc_rs::digest;
use sealwright::platform::dev::sink::{Sink, SinkScript};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn sha512(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA512, bytes).as_ref())
}

fn key_sha256(identity: &Identity) -> String {
    use rcgen::PublicKeyData as _;
    sha256(&identity.key.subject_public_key_info())
}

/// One domain: its records, its mail host, and what becomes of a mail to it.
struct Case {
    /// Domain of the recipients.
    domain: String,
    /// `delivered`, or the beginning of why not.
    expected: &'static str,
    guarantee: &'static str,
}

/// The table: records of the root and of the zone that is not signed, the mail hosts, and the cases.
struct World {
    root: String,
    plain: String,
    bogus: String,
    broken: Vec<String>,
    cases: Vec<Case>,
    sinks: Vec<Sink>,
    port: u16,
}

impl World {
    fn new() -> Self {
        // Its port becomes the port of all mail hosts, each on an address of its own.
        let first = mail_host(
            SocketAddr::from((Ipv4Addr::new(127, 0, 1, 1), 0)),
            None,
            SinkScript::default(),
        );
        Self {
            root: String::new(),
            plain: String::new(),
            bogus: String::new(),
            broken: Vec::new(),
            cases: Vec::new(),
            port: first.addr().port(),
            sinks: vec![first],
        }
    }

    /// A mail host; its address.
    fn host(&mut self, identity: Option<&Identity>) -> Ipv4Addr {
        let last = u8::try_from(self.sinks.len() + 1).unwrap();
        let address = Ipv4Addr::new(127, 0, 1, last);
        let sink = mail_host(
            SocketAddr::from((address, self.port)),
            identity,
            SinkScript::default(),
        );
        self.sinks.push(sink);
        address
    }

    fn expect(&mut self, domain: &str, expected: &'static str, guarantee: &'static str) {
        self.cases.push(Case {
            domain: domain.to_owned(),
            expected,
            guarantee,
        });
    }

    /// `<name>.town` with one mail host, all in the signed root, and these TLSA records.
    fn signed(
        &mut self,
        name: &str,
        identity: Option<&Identity>,
        tlsa: &[String],
        expected: &'static str,
        guarantee: &'static str,
    ) {
        let (address, port) = (self.host(identity), self.port);
        let domain = format!("{name}.town");
        writeln!(
            self.root,
            "{domain}. IN MX 10 mx.{domain}.\nmx.{domain}. IN A {address}"
        )
        .unwrap();
        for record in tlsa {
            writeln!(self.root, "_{port}._tcp.mx.{domain}. IN TLSA {record}").unwrap();
        }
        self.expect(&domain, expected, guarantee);
    }

    /// Certificates of servers, named by their key or as a whole.
    fn end_entities(&mut self) {
        let issuer = authority();
        let one = identity(&issuer, &["wherever.town"], false);
        let other = identity(&issuer, &["wherever.town"], false);
        let expired = identity(&issuer, &["wherever.town"], true);
        let (key, foreign) = (
            format!("3 1 1 {}", key_sha256(&one)),
            format!("3 1 1 {}", key_sha256(&other)),
        );
        let whole = format!("3 0 1 {}", sha256(&one.leaf));
        let full = format!("3 0 0 {}", hex(&one.leaf));
        let strong = |identity: &Identity| format!("3 0 2 {}", sha512(&identity.leaf));
        let weak = |identity: &Identity| format!("3 0 1 {}", sha256(&identity.leaf));
        let refused = "4.7.5 a certificate that fits the domain's TLSA records is demanded (DANE)";
        self.signed("key", Some(&one), std::slice::from_ref(&key), "delivered", "dane");
        self.signed("whole", Some(&one), &[whole], "delivered", "dane");
        self.signed("full", Some(&one), &[full], "delivered", "dane");
        self.signed(
            "one-of-two",
            Some(&one),
            &[foreign.clone(), key.clone()],
            "delivered",
            "dane",
        );
        self.signed(
            "mismatch",
            Some(&one),
            std::slice::from_ref(&foreign),
            refused,
            "dane",
        );
        self.signed(
            "expired",
            Some(&expired),
            &[format!("3 1 1 {}", key_sha256(&expired))],
            "delivered",
            "dane",
        );
        self.signed("no-tls", None, std::slice::from_ref(&key), "4.7.10 ", "dane");
        self.signed(
            "stale-weak",
            Some(&one),
            &[strong(&one), weak(&other)],
            "delivered",
            "dane",
        );
        self.signed(
            "stale-strong",
            Some(&one),
            &[strong(&other), weak(&one)],
            refused,
            "dane",
        );
        // Records that mail can't use still demand encryption.
        let unusable = ["1 1 1 00", "3 1 1 00", "0 0 1 00", "3 9 1 00"].map(str::to_owned);
        self.signed("unusable", Some(&one), &unusable, "delivered", "encrypted");
        self.signed("unusable-no-tls", None, &unusable, "4.7.10 ", "encrypted");
        self.signed(
            "usable-among",
            Some(&one),
            &[unusable[0].clone(), foreign.clone()],
            refused,
            "dane",
        );
        self.signed("no-tlsa", None, &[], "delivered", "opportunistic");
        self.elsewhere(&one, &key, &foreign);
    }

    /// Authorities that a domain names itself.
    fn authorities(&mut self) {
        let issuer = authority();
        let anchor = format!("2 0 1 {}", sha256(issuer.der()));
        let full = format!("2 0 0 {}", hex(issuer.der()));
        let foreign = format!("2 0 1 {}", sha256(authority().der()));
        for (name, names, is_expired, record, expected) in [
            ("ta", ["mx.ta.town"], false, &anchor, "delivered"),
            ("ta-full", ["mx.ta-full.town"], false, &full, "delivered"),
            ("ta-next-hop", ["ta-next-hop.town"], false, &anchor, "delivered"),
            ("ta-name", ["mx.elsewhere.town"], false, &anchor, "4.7.5 "),
            ("ta-expired", ["mx.ta-expired.town"], true, &anchor, "4.7.5 "),
            ("ta-foreign", ["mx.ta-foreign.town"], false, &foreign, "4.7.5 "),
        ] {
            let identity = identity(&issuer, &names, is_expired);
            self.signed(
                name,
                Some(&identity),
                std::slice::from_ref(record),
                expected,
                "dane",
            );
        }
    }

    /// Names that lead elsewhere, zones without signatures, and servers that fail.
    fn elsewhere(&mut self, one: &Identity, key: &str, foreign: &str) {
        let port = self.port;
        // An MX that anybody could have forged proves nothing of the host behind it.
        writeln!(self.plain, "insecure-mx.plain. IN MX 10 mx.mismatch.town.").unwrap();
        self.expect("insecure-mx.plain", "delivered", "opportunistic");
        let address = self.host(None);
        writeln!(self.root, "insecure-host.town. IN MX 10 mx.insecure-host.plain.").unwrap();
        writeln!(
            self.plain,
            "mx.insecure-host.plain. IN A {address}\n_{port}._tcp.mx.insecure-host.plain. IN TLSA {foreign}"
        )
        .unwrap();
        self.expect("insecure-host.town", "delivered", "opportunistic");
        // The records are at the end of the alias, or at the alias itself.
        for (name, at) in [("alias-end", "real"), ("alias-start", "mx")] {
            let address = self.host(Some(one));
            writeln!(
                self.root,
                "{name}.town. IN MX 10 mx.{name}.town.\nmx.{name}.town. IN CNAME real.{name}.town.\nreal.{name}.town. IN A {address}\n\
                 _{port}._tcp.{at}.{name}.town. IN TLSA {key}"
            )
            .unwrap();
            self.expect(&format!("{name}.town"), "delivered", "dane");
        }
        // The alias is signed, what it leads to is not: the records of the alias count.
        let address = self.host(Some(one));
        writeln!(self.root, "alias-out.town. IN MX 10 mx.alias-out.town.\nmx.alias-out.town. IN CNAME real.alias-out.plain.\n_{port}._tcp.mx.alias-out.town. IN TLSA {foreign}").unwrap();
        writeln!(self.plain, "real.alias-out.plain. IN A {address}").unwrap();
        self.expect("alias-out.town", "4.7.5 ", "dane");
        // Without MX the domain stands for itself.
        let address = self.host(Some(one));
        writeln!(
            self.root,
            "implicit.town. IN A {address}\n_{port}._tcp.implicit.town. IN TLSA {key}"
        )
        .unwrap();
        self.expect("implicit.town", "delivered", "dane");
        // A host that proves nothing is passed over for one that does.
        let (bad, good) = (self.host(Some(one)), self.host(Some(one)));
        writeln!(
            self.root,
            "second.town. IN MX 10 bad.second.town.\nsecond.town. IN MX 20 good.second.town.\nbad.second.town. IN A {bad}\ngood.second.town. IN A {good}\n\
             _{port}._tcp.bad.second.town. IN TLSA {foreign}\n_{port}._tcp.good.second.town. IN TLSA {key}"
        )
        .unwrap();
        self.expect("second.town", "delivered", "dane");
        // What can't be known is not taken for absent.
        let address = self.host(Some(one));
        let broken = format!("_{port}._tcp.mx.servfail.town.");
        writeln!(self.root, "servfail.town. IN MX 10 mx.servfail.town.\nmx.servfail.town. IN A {address}\n{broken} IN NS ns.root-servers.").unwrap();
        self.broken.push(broken);
        self.expect(
            "servfail.town",
            "4.7.5 the mail host's TLSA records can't be known now",
            "none",
        );
        let address = self.host(Some(one));
        writeln!(
            self.bogus,
            "forged.bogus. IN MX 10 mx.forged.bogus.\nmx.forged.bogus. IN A {address}"
        )
        .unwrap();
        self.expect(
            "forged.bogus",
            "the domain's mail hosts can't be looked up now",
            "none",
        );
        let address = self.host(Some(one));
        writeln!(self.root, "forged-host.town. IN MX 10 mx.forged-host.bogus.").unwrap();
        writeln!(self.bogus, "mx.forged-host.bogus. IN A {address}").unwrap();
        self.expect(
            "forged-host.town",
            "the addresses of the domain's mail hosts can't be looked up now",
            "none",
        );
    }

    async fn zones(&self) -> Zones {
        Zones::start(&self.root, &self.plain, &self.bogus, &self.broken).await
    }

    async fn house(&self, engine: Engine, zones: &Zones) -> House {
        Setup::new(engine)
            .unrouted()
            .clock(&super::super::standing_clock())
            .set("delivery.port", self.port.to_string())
            .set("net.name_servers", format!("127.0.0.1:{}", zones.resolver))
            .set("net.trust_anchor", zones.anchor.display().to_string())
            .start()
            .await
    }

    /// Sends to every domain and compares.
    async fn judge(&self, house: &House) {
        let mut ids = Vec::new();
        for case in &self.cases {
            ids.push(
                house
                    .accepted(&house.email(&format!("ada@{}", case.domain)))
                    .await,
            );
        }
        let mut wrong = Vec::new();
        for (case, id) in self.cases.iter().zip(&ids) {
            let status = if case.expected == "delivered" {
                "delivered"
            } else {
                "deferred"
            };
            let settled = crate::harness::eventually("it was tried", async || {
                let shown = house.shown(id).await;
                (shown["status"] != "queued").then_some(shown)
            })
            .await;
            let guarantee = house.guaranteed(id).await;
            let told = match status {
                "deferred" if settled["status"] == "deferred" => house.waits_because(id).await,
                _ => settled["status"].as_str().unwrap().to_owned(),
            };
            if !told.starts_with(case.expected) || guarantee.as_str().unwrap_or("none") != case.guarantee {
                wrong.push(format!("{}: {guarantee} {told}", case.domain));
            }
        }
        assert!(
            wrong.is_empty(),
            "{} of {} wrong:\n{}",
            wrong.len(),
            ids.len(),
            wrong.join("\n")
        );
        let delivered = self
            .cases
            .iter()
            .filter(|case| case.expected == "delivered")
            .count();
        let received: u64 = self.sinks.iter().map(Sink::received_count).sum();
        assert_eq!(received, delivered as u64, "nothing else was sent anywhere");
    }
}

on_both_engines! {
    async fn the_records_of_a_domain_decide_whom_its_mail_is_given_to(engine: Engine) {
        let mut world = World::new();
        world.end_entities();
        world.authorities();
        let zones = world.zones().await;
        let house = world.house(engine, &zones).await;
        world.judge(&house).await;
    }
}
