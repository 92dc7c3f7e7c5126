//! Policies of receiving domains (MTA-STS).

use super::super::standing_clock;
use super::{Identity, authority, identity, mail_host};
use crate::harness::{DNS_A, DNS_MX, DNS_TXT};
use crate::harness::{Engine, House, NameServer, Receiver, Said, Setup, on_both_engines};
use rcgen::{CertifiedIssuer, KeyPair};
use sealwright::app::Roles;
use sealwright::platform::dev::sink::{Sink, SinkScript};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const DOMAIN: &str = "sts.example";
const POLICY: &str = "/.well-known/mta-sts.txt";
const DAY: Duration = Duration::from_secs(86_400);

fn policy(mode: &str, host: &str) -> String {
    format!("version: STSv1\r\nmode: {mode}\r\nmx: {host}\r\nmax_age: 604800\r\n")
}

/// A domain with a policy host and a mail host, both ours.
struct Town {
    house: House,
    sink: Sink,
    policies: Receiver,
    records: Arc<Mutex<HashMap<String, String>>>,
    _names: NameServer,
    _folder: TempDir,
}

impl Town {
    /// The mail host shows this identity; both identities' issuer is trusted.
    async fn start(
        engine: Engine,
        issuer: &CertifiedIssuer<'static, KeyPair>,
        host: Option<&Identity>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = identity(issuer, &["mta-sts.sts.example"], false).files(folder.path());
        let policies = Receiver::start(&files).await;
        let records: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let shown = Arc::clone(&records);
        let names = NameServer::start(move |name, kind| match (name, kind) {
            (DOMAIN, DNS_MX) => Said::Hosts(vec![(10, "mx.sts.example".to_owned())]),
            ("mx.sts.example" | "mta-sts.sts.example", DNS_A) => Said::Addresses(vec![HERE]),
            (_, DNS_TXT) => shown
                .lock()
                .unwrap()
                .get(name)
                .map_or(Said::NoName, |text| Said::Text(text.clone())),
            _ => Said::Nothing,
        });
        let names = names.await;
        let sink = mail_host(SocketAddr::from((HERE, 0)), host, SinkScript::default());
        let house = Setup::new(engine)
            .unrouted()
            .clock(&standing_clock())
            .set("delivery.port", sink.addr().port().to_string())
            .set("net.name_servers", names.address.to_string())
            .set("net.mta_sts_port", policies.address.port().to_string())
            .set("net.extra_ca", files.ca_cert.display().to_string())
            .start()
            .await;
        Self {
            house,
            sink,
            policies,
            records,
            _names: names,
            _folder: folder,
        }
    }

    fn announce(&self, id: Option<&str>) {
        let mut records = self.records.lock().unwrap();
        records.clear();
        records.extend(id.map(|id| (format!("_mta-sts.{DOMAIN}"), format!("v=STSv1; id={id};"))));
    }

    /// The policy as its row holds it.
    async fn stored(&self) -> Vec<u8> {
        let sql = "SELECT policy_sealed FROM sts_policies";
        match &self.house.database {
            Some(database) => {
                let sql = sql.replace("sts_policies", "sealwright.sts_policies");
                database
                    .superuser()
                    .await
                    .query_one(&sql, &[])
                    .await
                    .unwrap()
                    .get(0)
            }
            None => {
                let connection =
                    rusqlite::Connection::open(self.house.folder.path().join("data.db")).unwrap();
                connection.query_row(sql, [], |row| row.get(0)).unwrap()
            }
        }
    }

    async fn sends(&self, status: &str) -> String {
        let id = self
            .house
            .accepted(&self.house.email(&format!("ada@{DOMAIN}")))
            .await;
        self.house.reaches(&id, status).await;
        id
    }
}

fn contains(octets: &[u8], wanted: &[u8]) -> bool {
    octets.windows(wanted.len()).any(|window| window == wanted)
}

on_both_engines! {
    async fn an_enforced_policy_wants_a_host_that_it_names_and_that_proves_itself(engine: Engine) {
        let issuer = authority();
        let good = identity(&issuer, &["mx.sts.example"], false);
        let expired = identity(&issuer, &["mx.sts.example"], true);
        let other = identity(&issuer, &["other.example"], false);
        let stranger = identity(&authority(), &["mx.sts.example"], false);
        for (host, mode, named, status, told) in [
            (Some(&good), "enforce", "mx.sts.example", "delivered", "pkix"),
            (Some(&good), "enforce", "*.sts.example", "delivered", "pkix"),
            (Some(&good), "enforce", "*.example", "deferred", "4.7.5 the domain's policy (MTA-STS) does not name"),
            (Some(&expired), "enforce", "mx.sts.example", "deferred", "4.7.5 a certificate that is valid"),
            (Some(&other), "enforce", "mx.sts.example", "deferred", "4.7.5 a certificate that is valid"),
            (Some(&stranger), "enforce", "mx.sts.example", "deferred", "4.7.5 a certificate that is valid"),
            (None, "enforce", "mx.sts.example", "deferred", "4.7.10 "),
            (Some(&stranger), "testing", "mx.sts.example", "delivered", "opportunistic"),
            (None, "none", "mx.sts.example", "delivered", "opportunistic"),
        ] {
            let town = Town::start(engine, &issuer, host).await;
            town.policies.show(POLICY, policy(mode, named));
            town.announce(Some("1"));
            let id = town.sends(status).await;
            if status == "delivered" {
                assert_eq!(town.house.guaranteed(&id).await, told, "{mode} {named}");
            } else {
                let reason = town.house.waits_because(&id).await;
                assert!(reason.starts_with(told), "{mode} {named}: {reason}");
            }
            assert_eq!(town.sink.received_count(), u64::from(status == "delivered"), "{mode} {named}");
            assert_eq!(town.policies.hooks().len(), 1);
        }
    }

    /// Who can make records vanish and hosts unreachable must not get clear text by it; nor by our restart.
    async fn a_policy_holds_until_it_expires_whatever_the_world_says_meanwhile(engine: Engine) {
        let issuer = authority();
        let mut town = Town::start(engine, &issuer, None).await;
        town.policies.show(POLICY, policy("enforce", "mx.sts.example"));
        town.announce(Some("1"));
        town.sends("deferred").await;
        assert_eq!(town.policies.hooks().len(), 1);
        town.announce(None);
        for days in [0, 3, 3] {
            town.house.stop().await;
            town.house.clock.advance(days * DAY);
            let config = town.house.config.clone();
            town.house.restart(config, Roles::ALL).await;
            town.sends("deferred").await;
        }
        let stored = town.stored().await;
        assert!(!stored.is_empty() && !contains(&stored, b"sts.example"), "who was written to is stored sealed");
        assert_eq!(town.sink.received_count(), 0);
        town.house.clock.advance(2 * DAY);
        let id = town.sends("delivered").await;
        assert_eq!(town.house.guaranteed(&id).await, "opportunistic");
        assert_eq!(town.policies.hooks().len(), 1);
    }

    async fn a_new_id_brings_a_new_policy_and_an_old_policy_is_renewed(engine: Engine) {
        let issuer = authority();
        let town = Town::start(engine, &issuer, None).await;
        town.policies.show(POLICY, policy("enforce", "mx.sts.example"));
        town.announce(Some("1"));
        town.sends("deferred").await;
        town.sends("deferred").await;
        assert_eq!(town.policies.hooks().len(), 1, "the second mail knows the policy");
        town.house.clock.advance(DAY + DAY / 24);
        town.sends("deferred").await;
        assert_eq!(town.policies.hooks().len(), 2, "a day later it is looked at again");
        town.announce(Some("2"));
        town.policies.show(POLICY, policy("none", "mx.sts.example"));
        town.house.clock.advance(DAY / 24);
        let id = town.sends("delivered").await;
        assert_eq!(town.house.guaranteed(&id).await, "opportunistic");
        assert_eq!(town.policies.hooks().len(), 3);
    }

    async fn a_policy_that_can_not_be_had_leaves_the_old_one_or_none(engine: Engine) {
        let issuer = authority();
        let town = Town::start(engine, &issuer, None).await;
        town.announce(Some("1"));
        for answer in [404, 301, 500] {
            town.policies.answer([answer]);
            town.sends("delivered").await;
            town.sends("delivered").await;
            town.house.clock.advance(DAY / 24);
        }
        assert_eq!(town.policies.hooks().len(), 3, "a failure is not repeated at once");
        town.policies.show(POLICY, "<html>welcome</html>");
        town.sends("delivered").await;
        town.house.clock.advance(DAY / 24);
        town.policies.show(POLICY, policy("enforce", "mx.sts.example"));
        town.sends("deferred").await;
        town.announce(Some("2"));
        town.house.clock.advance(DAY / 24);
        town.policies.answer([500]);
        town.sends("deferred").await;
        assert_eq!(town.policies.hooks().len(), 6);
    }
}
