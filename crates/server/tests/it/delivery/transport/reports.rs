//! What receiving domains are told of TLS on the way to them (RFC 8460).

use super::super::standing_clock;
use super::{Identity, authority, identity, mail_host};
use crate::harness::{DNS_A, DNS_MX, DNS_TXT};
use crate::harness::{Engine, House, NameServer, Receiver, Said, Setup, eventually, on_both_engines, stays};
use flate2::read::GzDecoder;
use mail_parser::{MessageParser, MimeHeaders as _};
use sealwright::app::Roles;
use sealwright::clock::Clock;
use sealwright::platform::dev::sink::{Sink, SinkScript};
use serde_json::{Value, json};
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const DOMAIN: &str = "told.example";
const MX: &str = "mx.told.example";
/// Reports of a day have left by then.
const UNTIL_TOLD: Duration = Duration::from_secs(86_400 + 4 * 3600 + 700);

/// A domain with a mail host, perhaps a policy, and two places that want reports.
struct Town {
    house: House,
    sink: Sink,
    web: Receiver,
    clock: Clock,
    /// The name server fails at the question who wants reports.
    is_silent: Arc<AtomicBool>,
    _names: NameServer,
    _folder: TempDir,
}

impl Town {
    async fn start(
        engine: Engine,
        issuer: &rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
        host: Option<&Identity>,
        policy: Option<String>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files =
            identity(issuer, &["mta-sts.told.example", "web.told.example"], false).files(folder.path());
        let web = Receiver::start(&files).await;
        let has_policy = policy.is_some();
        if let Some(policy) = policy {
            web.show("/.well-known/mta-sts.txt", policy);
        }
        let places = format!(
            "v=TLSRPTv1; rua=mailto:tls@box.example,https://web.told.example:{}/tls",
            web.address.port()
        );
        let is_silent = Arc::new(AtomicBool::new(false));
        let silent = Arc::clone(&is_silent);
        let names = NameServer::start(move |name, kind| match (name, kind) {
            (DOMAIN, DNS_MX) => Said::Hosts(vec![(10, MX.to_owned())]),
            ("box.example", DNS_MX) => Said::Hosts(vec![(10, "mx.box.example".to_owned())]),
            (MX | "mx.box.example" | "mta-sts.told.example" | "web.told.example", DNS_A) => {
                Said::Addresses(vec![HERE])
            }
            ("_mta-sts.told.example", DNS_TXT) if has_policy => Said::Text("v=STSv1; id=1;".to_owned()),
            ("_smtp._tls.told.example", DNS_TXT) if silent.load(Ordering::SeqCst) => Said::Failure,
            ("_smtp._tls.told.example", DNS_TXT) => Said::Text(places.clone()),
            _ => Said::Nothing,
        });
        let names = names.await;
        let sink = mail_host(SocketAddr::from((HERE, 0)), host, SinkScript::default());
        let clock = standing_clock();
        let setup = Setup::new(engine)
            .unrouted()
            .clock(&clock)
            .set("delivery.port", sink.addr().port().to_string())
            .set("delivery.ehlo_name", "out.house.example")
            .set("delivery.poll_ms", "10")
            .set("net.name_servers", names.address.to_string())
            .set("net.mta_sts_port", web.address.port().to_string())
            .set("net.extra_ca", files.ca_cert.display().to_string());
        let house = House::with_notices(setup).await;
        Self {
            house,
            sink,
            web,
            clock,
            is_silent,
            _names: names,
            _folder: folder,
        }
    }

    async fn sends(&self, status: &str) {
        let email = self.house.email(&format!("ada@{DOMAIN}"));
        let id = self.house.accepted(&email).await;
        self.house.reaches(&id, status).await;
    }

    fn mailed(&self) -> Vec<Vec<u8>> {
        let received = self.sink.received().into_iter();
        let reports = received.filter(|mail| mail.rcpt_to == ["tls@box.example"]);
        reports.map(|mail| mail.bytes.to_vec()).collect()
    }

    /// The report that came by mail, and is the one that was posted.
    async fn told(&self) -> Value {
        self.told_later(UNTIL_TOLD).await
    }

    async fn told_later(&self, later: Duration) -> Value {
        self.clock.advance(later);
        let mail = eventually("a report comes by mail", async || self.mailed().pop()).await;
        assert_eq!(self.house.dkim_verdict(&mail), "pass");
        let mail = MessageParser::default().parse(&mail).unwrap();
        let kind = mail.content_type().unwrap();
        assert_eq!(
            (kind.ctype(), kind.subtype(), kind.attribute("report-type")),
            ("multipart", Some("report"), Some("tlsrpt"))
        );
        for (name, expected) in [
            ("TLS-Report-Domain", DOMAIN),
            ("TLS-Report-Submitter", "out.house.example"),
            ("TLS-Required", "No"),
        ] {
            assert_eq!(mail.header_raw(name).map(str::trim), Some(expected));
        }
        let file = mail.attachment(0).unwrap();
        assert_eq!(file.content_type().unwrap().subtype(), Some("tlsrpt+gzip"));
        let name = file.attachment_name().unwrap();
        assert!(
            name.starts_with("out.house.example!told.example!") && name.ends_with(".json.gz"),
            "{name}"
        );
        let posted = self.web.wait_at("/tls", 1).await.remove(0);
        assert_eq!(posted.header("content-type"), "application/tlsrpt+gzip");
        assert_eq!(posted.body, file.contents());
        let mut json = String::new();
        GzDecoder::new(file.contents()).read_to_string(&mut json).unwrap();
        serde_json::from_str(&json).unwrap()
    }
}

fn policy(mode: &str, host: &str) -> String {
    format!("version: STSv1\r\nmode: {mode}\r\nmx: {host}\r\nmax_age: 604800\r\n")
}

on_both_engines! {
    async fn a_domain_is_told_how_often_tls_came_about_and_how_it_failed(engine: Engine) {
        let issuer = authority();
        let good = identity(&issuer, &[MX], false);
        let expired = identity(&issuer, &[MX], true);
        let other = identity(&issuer, &["other.example"], false);
        for (host, policy, status, kind, expected) in [
            (Some(&good), None, "delivered", "no-policy-found", None),
            (None, None, "delivered", "no-policy-found", Some("starttls-not-supported")),
            (Some(&good), Some(policy("enforce", MX)), "delivered", "sts", None),
            (Some(&expired), Some(policy("enforce", MX)), "deferred", "sts", Some("certificate-expired")),
            (Some(&other), Some(policy("testing", MX)), "delivered", "sts", Some("certificate-host-mismatch")),
            (Some(&good), Some(policy("testing", "*.told.other")), "delivered", "sts", Some("validation-failure")),
            (Some(&good), Some("no policy".to_owned()), "delivered", "sts", Some("sts-policy-invalid")),
        ] {
            let what = format!("{policy:?} {expected:?}");
            let is_read = policy.as_ref().is_some_and(|policy| policy.starts_with("version"));
            let town = Town::start(engine, &issuer, host, policy.clone()).await;
            town.sends(status).await;
            let report = town.told().await;
            let day = town.house.clock.now().minus(UNTIL_TOLD).date();
            assert_eq!(report["organization-name"], "out.house.example");
            assert_eq!(report["date-range"]["start-datetime"], format!("{day}T00:00:00Z"));
            let part = report["policies"].as_array().unwrap().iter().find(|part| part["policy"]["policy-type"] == kind);
            let part = part.unwrap_or_else(|| panic!("{what}: {report}"));
            assert_eq!(part["policy"]["policy-domain"], DOMAIN);
            if is_read {
                let lines: Vec<String> = policy.unwrap().lines().map(str::to_owned).collect();
                assert_eq!(part["policy"]["policy-string"], json!(lines), "{what}");
                assert_eq!(part["policy"]["mx-host"].as_array().unwrap().len(), 1, "{what}");
            }
            let (good, bad) = if expected.is_none() { (1, 0) } else { (0, 1) };
            assert_eq!(part["summary"], json!({"total-successful-session-count": good, "total-failure-session-count": bad}), "{what}");
            if let Some(expected) = expected {
                let detail = &part["failure-details"][0];
                assert_eq!((&detail["result-type"], &detail["failed-session-count"]), (&json!(expected), &json!(1)), "{what}");
                if expected != "sts-policy-invalid" {
                    assert_eq!((&detail["receiving-mx-hostname"], &detail["receiving-ip"]), (&json!(MX), &json!("127.0.0.1")), "{what}");
                }
            }
        }
    }

    async fn a_report_waits_while_it_is_not_known_who_wants_it(engine: Engine) {
        let issuer = authority();
        let good = identity(&issuer, &[MX], false);
        let town = Town::start(engine, &issuer, Some(&good), None).await;
        town.sends("delivered").await;
        town.is_silent.store(true, Ordering::SeqCst);
        town.clock.advance(UNTIL_TOLD);
        eventually("it was tried", async || {
            let metrics = town.house.platform.metrics.render();
            metrics.contains("sealwright_tls_reports_made_total{kind=\"failed\"}").then_some(())
        })
        .await;
        town.is_silent.store(false, Ordering::SeqCst);
        let report = town.told_later(Duration::ZERO).await;
        assert_eq!(report["policies"][0]["summary"]["total-successful-session-count"], 1);
    }

    async fn a_restart_forgets_no_count_and_tells_nothing_twice(engine: Engine) {
        let issuer = authority();
        let good = identity(&issuer, &[MX], false);
        let mut town = Town::start(engine, &issuer, Some(&good), None).await;
        town.sends("delivered").await;
        let config = town.house.config.clone();
        town.house.stop().await;
        town.house.restart(config.clone(), Roles::ALL).await;
        town.sends("delivered").await;
        let report = town.told().await;
        assert_eq!(report["policies"][0]["summary"]["total-successful-session-count"], 2);
        town.house.stop().await;
        town.house.restart(config, Roles::ALL).await;
        town.clock.advance(Duration::from_secs(3600));
        stays("it was told twice", 40, async || town.mailed().len() == 1 && town.web.hooks_at("/tls").len() == 1).await;
        let rows = town.house.platform.metrics.render();
        assert!(!rows.contains("sealwright_tls_reports_made_total{kind=\"failed\"}"), "{rows}");
    }
}
