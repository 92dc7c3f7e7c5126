//! Reports on TLS to our own host (RFC 8460), signed by a tool of another make and brought by SMTP.

use super::*;
use crate::harness::{DNS_TXT, NameServer, Said, base_settings, on_both_engines, run};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_mail::dkim::SigningKey;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const TO: &str = "tls-reports@return.house.example";

/// Who reports: a domain whose key the DNS shows.
struct Portal {
    names: NameServer,
    key: String,
}

impl Portal {
    async fn open() -> Self {
        let (pkcs8, key) = SigningKey::generate_rsa_2048().unwrap();
        let record: Arc<str> = key.dns_record().into();
        let names = NameServer::start(move |name, kind| match (name, kind) {
            ("s1._domainkey.portal.example" | "s1._domainkey.other.example", DNS_TXT) => {
                Said::Text(record.to_string())
            }
            ("mute._domainkey.portal.example", _) => Said::Failure,
            _ => Said::NoName,
        });
        Self {
            names: names.await,
            key: STANDARD.encode(&*pkcs8),
        }
    }

    async fn house(&self, engine: Engine, clock: &Clock) -> House {
        let setup = Setup::new(engine).clock(clock).set("returns.host", HOST);
        let setup = setup.set("net.name_servers", self.names.address.to_string());
        let setup = setup.set("server.admin_listen", "127.0.0.1:0");
        setup.set("smtp.listen", "127.0.0.1:0").start().await
    }

    /// The message, signed by dkimpy.
    fn signed(&self, domain: &str, selector: &str, message: &str) -> String {
        let tree = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let mut signing = Command::new(format!("{tree}/.deps/venv/bin/python"))
            .arg(format!("{tree}/tools/dkim/dkimpy_sign.py"))
            .args([domain, selector, &self.key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("dkimpy is missing: run tools/install-test-deps.sh");
        let message = message.replace('\n', "\r\n");
        signing
            .stdin
            .take()
            .unwrap()
            .write_all(message.as_bytes())
            .unwrap();
        let mut signed = String::new();
        signing
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut signed)
            .unwrap();
        assert!(signing.wait().unwrap().success());
        signed
    }
}

/// A report on a day, about a domain.
fn json_of(id: &str, day: &str, domain: &str) -> Value {
    json!({
        "organization-name": "Portal",
        "date-range": {"start-datetime": format!("{day}T00:00:00Z"), "end-datetime": format!("{day}T23:59:59Z")},
        "contact-info": "tls@portal.example",
        "report-id": id,
        "policies": [{
            "policy": {"policy-type": "sts", "policy-domain": domain},
            "summary": {"total-successful-session-count": 40, "total-failure-session-count": 2},
            "failure-details": [{"result-type": "certificate-expired", "failed-session-count": 2}],
        }],
    })
}

/// A mail with such a report, packed.
fn mail(report: &Value) -> String {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(report.to_string().as_bytes()).unwrap();
    let packed = STANDARD.encode(packed.finish().unwrap());
    let lines: Vec<&str> = packed
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "From: Reports <noreply@mail.portal.example>\nTo: <{TO}>\nSubject: Report Domain: {HOST} Submitter: portal.example\n\
         TLS-Report-Domain: {HOST}\nTLS-Report-Submitter: portal.example\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=\"tlsrpt\"; boundary=\"b\"\n\n--b\nContent-Type: text/plain\n\nA report.\n\
         --b\nContent-Type: application/tlsrpt+gzip\nContent-Transfer-Encoding: base64\n\n{}\n--b--\n",
        lines.join("\n")
    )
}

/// How many reports ended so.
fn ended(house: &House, kind: &str) -> u64 {
    let text = house.platform.metrics.render();
    let name = format!("sealwright_tls_reports_total{{kind=\"{kind}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |count| count.parse().unwrap())
}

/// What `sealwright reports` prints.
async fn printed(house: &House, arguments: &'static [&str]) -> String {
    let mut settings = base_settings(
        house.folder.path(),
        &house.authority,
        house.database.as_ref(),
        Some(house.sink.addr()),
    );
    let admin = house.admin_address().unwrap().to_string();
    settings.push(("server.admin_listen".to_owned(), admin));
    let running = tokio::task::spawn_blocking(move || run(&settings, &[&["reports"], arguments].concat()));
    let output = running.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The sums that it shows: result and sessions of each.
async fn sums(house: &House) -> Vec<(String, i64)> {
    let shown: Vec<Value> = serde_json::from_str(&printed(house, &["--json"]).await).unwrap();
    let row = |row: &Value| {
        assert_eq!(row["reporter"], "portal.example");
        assert_eq!(row["policy"], "sts");
        (
            row["result"].as_str().unwrap().to_owned(),
            row["sessions"].as_i64().unwrap(),
        )
    };
    shown.iter().map(row).collect()
}

on_both_engines! {
    async fn a_report_that_its_submitter_signed_is_counted_once(engine: Engine) {
        let (clock, portal) = (Clock::manual(Clock::System.now()), Portal::open().await);
        let house = portal.house(engine, &clock).await;
        assert!(printed(&house, &[]).await.starts_with("no reports yet"));
        let day = clock.now().date();
        let report = portal.signed("portal.example", "s1", &mail(&json_of("one", &day, HOST)));
        for _ in 0..2 {
            Talk::bring(house.smtp_address(), TO, &report).await;
        }
        let of = |failed, well| [("certificate-expired".to_owned(), failed), ("success".to_owned(), well)];
        assert_eq!(sums(&house).await, of(2, 40));
        assert_eq!((ended(&house, "counted"), ended(&house, "repeated")), (1, 1));
        // A second report of the day adds to its sums.
        let report = portal.signed("portal.example", "s1", &mail(&json_of("two", &day, HOST)));
        Talk::bring(house.smtp_address(), &TO.to_ascii_uppercase(), &report).await;
        assert_eq!(sums(&house).await, of(4, 80));
        let told = house.platform.metrics.render();
        assert!(told.contains("sealwright_tls_report_sessions_total{kind=\"success\"} 80"), "{told}");
        let table = printed(&house, &[]).await;
        assert!(table.contains("portal.example  sts     certificate-expired  4"), "{table}");
        // It is kept for 90 days, and the next report sweeps.
        clock.advance(Duration::from_secs(91 * 86_400));
        assert!(sums(&house).await.is_empty());
        let report = portal.signed("portal.example", "s1", &mail(&json_of("one", &clock.now().date(), HOST)));
        Talk::bring(house.smtp_address(), TO, &report).await;
        assert_eq!(sums(&house).await, of(2, 40));
        assert_eq!(ended(&house, "counted"), 3);
    }

    async fn a_report_that_nobody_vouches_for_is_refused(engine: Engine) {
        let portal = Portal::open().await;
        let house = portal.house(engine, &Clock::System).await;
        let plain = mail(&json_of("one", &Clock::System.now().date(), HOST));
        let signed = portal.signed("portal.example", "s1", &plain);
        for (message, answer) in [
            (plain.clone(), "550 5.7.20 "),
            // The report of another day under the signature of this one.
            (signed.replace("A report.", "Another report."), "550 5.7.20 "),
            // A signature that holds, of somebody else.
            (portal.signed("other.example", "s1", &plain), "550 5.7.20 "),
            (signed.replace("Submitter: portal.example", "Submitter: other.example"), "550 5.7.20 "),
            (portal.signed("portal.example", "gone", &plain), "550 5.7.20 "),
            // Whether it holds will be known later.
            (portal.signed("portal.example", "mute", &plain), "451 4.3.0 "),
            (portal.signed("portal.example", "s1", &plain.replace("tlsrpt+gzip", "pdf")), "550 5.6.0 "),
            (portal.signed("portal.example", "s1", &mail(&json!({"report-id": "one"}))), "550 5.6.0 "),
        ] {
            let reply = Talk::try_bring(house.smtp_address(), TO, &message).await;
            assert!(reply.starts_with(answer), "{reply}: {message}");
        }
        assert_eq!((ended(&house, "unproved"), ended(&house, "undecided"), ended(&house, "unreadable")), (5, 1, 2));
        // What is not about our host is taken, and forgotten.
        for (day, domain) in [(Clock::System.now().date(), "elsewhere.example"), ("2001-01-01".to_owned(), HOST)] {
            let report = portal.signed("portal.example", "s1", &mail(&json_of("one", &day, domain)));
            Talk::bring(house.smtp_address(), TO, &report).await;
        }
        assert_eq!(ended(&house, "foreign"), 2);
        assert!(sums(&house).await.is_empty());
        assert_eq!(house.sink.received_count(), 0, "nothing is ever sent in answer");
        // At another name of ours nobody reads reports.
        let reply = Talk::try_bring(house.smtp_address(), "tls-reports@bounce.house.example", &signed).await;
        assert!(reply.starts_with("550 5.1.1 "), "{reply}");
    }
}
