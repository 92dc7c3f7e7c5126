//! What is said of records that are not as they should be, and the records as zone files.

use super::{NAME, Town};
use crate::harness::{DNS_CNAME, DNS_MX, DNS_TXT, Engine, Knot, Said, Talk, eventually, on_both_engines};
use sealwright::clock::Clock;
use sealwright::limits::VERIFY_AGAIN_AFTER;
use serde_json::{Value, json};

/// The first record of a purpose.
fn record<'a>(domain: &'a Value, purpose: &str) -> &'a Value {
    let records = domain["dnsRecords"].as_array().unwrap();
    records
        .iter()
        .find(|record| record["purpose"] == purpose)
        .unwrap()
}

on_both_engines! {
    async fn each_record_says_what_was_found_and_what_to_do(engine: Engine) {
        let town = Town::start(engine, Some("mail.operator.example"), &Clock::manual(Clock::System.now())).await;
        let domain = town.added_and_verified().await;
        let texts = |texts: &[&str]| Said::Texts(texts.iter().map(|text| (*text).to_owned()).collect());
        let (dkim, bounce, dmarc) = (format!("sw1._domainkey.{NAME}"), format!("bounce.{NAME}"), format!("_dmarc.{NAME}"));
        let include = "v=spf1 include:spf.mail.operator.example ~all";
        let above = "_dmarc.example";
        let cases = [
            ("spf", NAME, DNS_TXT, texts(&["v=spf1 mx -all", "unrelated"]), "failed", "add include:spf.mail.operator.example"),
            ("spf", NAME, DNS_TXT, texts(&[include, "v=spf1 -all"]), "failed", "one SPF record only"),
            ("spf", NAME, DNS_TXT, texts(&["V=SPF1 +include:SPF.mail.operator.example. -all"]), "verified", ""),
            ("spf", NAME, DNS_TXT, texts(&["v=spf1 mx -all include:spf.mail.operator.example"]), "failed", "move include:spf.mail.operator.example before"),
            ("spf", NAME, DNS_TXT, texts(&["v=spf10 include:spf.mail.operator.example"]), "missing", "publish this TXT"),
            ("dkim", dkim.as_str(), DNS_CNAME, Said::Name("elsewhere.example".into()), "failed", "let it lead to sw1."),
            ("dkim", dkim.as_str(), DNS_CNAME, Said::Nothing, "missing", "publish this CNAME"),
            ("return_path", bounce.as_str(), DNS_CNAME, Said::Name("other.example".into()), "failed", "let it lead to bounce.mail.operator.example"),
            ("dmarc", dmarc.as_str(), DNS_TXT, texts(&["v=DMARC1; p=maybe"]), "failed", "none, quarantine or reject"),
            ("dmarc", dmarc.as_str(), DNS_TXT, texts(&["v=DMARC1; p=none", "v=DMARC1; p=reject"]), "failed", "one DMARC record only"),
            ("dmarc", dmarc.as_str(), DNS_TXT, texts(&["v=DMARC1 ; p = reject ; rua=mailto:a@b.example"]), "verified", ""),
            ("dmarc", dmarc.as_str(), DNS_TXT, Said::Nothing, "missing", "publish this TXT"),
        ];
        for (purpose, host, kind, said, status, advice) in cases {
            town.shown.set(host, kind, said.clone());
            let seen = town.verify(&domain).await;
            let record = record(&seen, purpose);
            assert_eq!(record["status"], status, "{purpose} {said:?}: {record:#}");
            assert!(record["advice"].as_str().unwrap_or_default().contains(advice), "{purpose} {said:?}: {record:#}");
            town.shown.publish_all(&domain);
        }
        // The policy of a domain above counts (RFC 9989), but not one of a top-level domain.
        town.shown.remove(&dmarc);
        town.shown.text(above, "v=DMARC1; p=reject");
        assert_eq!(town.verify(&domain).await["dmarcStatus"], "missing");
    }

    async fn bounces_come_back_below_the_domain_while_the_dns_brings_them_here(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, Some("mail.operator.example"), &clock).await;
        let domain = town.added_and_verified().await;
        let id = town.send().await.expect(200)["id"].as_str().unwrap().to_owned();
        town.received(&id).await;
        let path = town.house.sink.received().pop().unwrap().mail_from;
        assert!(path.ends_with(&format!("@bounce.{NAME}")), "{path}");
        let report = "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\nFinal-Recipient: rfc822; ada@reader.example\n\
            Action: failed\nStatus: 4.4.7\n";
        Talk::bring(town.house.smtp_address(), &path, report).await;
        town.house.reaches(&id, "bounced").await;
        // Gone from the DNS, and known to be: with no other host, they go to the author.
        town.shown.remove(&format!("bounce.{NAME}"));
        town.verify(&domain).await;
        clock.advance(std::time::Duration::from_secs(61));
        let id = town.send().await.expect(200)["id"].as_str().unwrap().to_owned();
        town.received(&id).await;
        assert_eq!(town.house.sink.received().pop().unwrap().mail_from, format!("shop@{NAME}"));
    }

    async fn without_a_zone_the_owner_publishes_keys_and_hosts(engine: Engine) {
        let town = Town::start(engine, None, &Clock::manual(Clock::System.now())).await;
        let domain = town.added_and_verified().await;
        let records = domain["dnsRecords"].as_array().unwrap();
        let kinds: Vec<&str> = records.iter().map(|record| record["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["TXT", "TXT", "TXT", "TXT", "TXT", "MX", "TXT"]);
        assert_eq!(record(&domain, "spf")["value"], "v=spf1 a:out.house.example ~all");
        let host = format!("bounce.{NAME}");
        town.shown.set(&host, DNS_MX, Said::Hosts(vec![(10, "mx.elsewhere.example".into())]));
        let seen = town.verify(&domain).await;
        assert_eq!((&seen["returnPathStatus"], &seen["verified"]), (&json!("failed"), &json!(true)));
        let answer = crate::harness::plain_get(town.house.admin_address().unwrap(), "/zone").await;
        assert_eq!(answer, "domains.zone is not set\n");
    }

    async fn an_installation_without_a_host_name_says_so(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let nameless = [("delivery.ehlo_name", "vm")];
        let town = Town::set(engine, &clock, &nameless, async |setup| setup.start().await).await;
        let seen = town.added_and_verified().await;
        for purpose in ["spf", "return_path"] {
            let record = record(&seen, purpose);
            assert_eq!(record["status"], "failed", "{record:#}");
            assert!(record["advice"].as_str().unwrap().contains("delivery.ehlo_name"), "{record:#}");
        }
    }

    /// A name server of another make serves both files as they are, and by its answers the domain is verified.
    async fn knot_serves_the_zone_files(engine: Engine) {
        let town = Town::start(engine, Some("mail.operator.example"), &Clock::manual(Clock::System.now())).await;
        let domain = town.add().await;
        let path = format!("/v1/domains/{}/dns", domain["id"].as_str().unwrap());
        let file = town.house.client.get(&path, &town.house.account.live).await;
        assert_eq!((file.status.as_u16(), file.header("content-type")), (200, "text/dns"));
        let knot = Knot::serve([
            (NAME, file.text()),
            ("mail.operator.example", town.zone().await),
            ("hosting.example", "ns 60 IN A 127.0.0.1\n".to_owned()),
        ]);
        let mut house = town.house;
        house.stop().await;
        let mut settings = house.config.clone();
        settings.net.name_servers = vec![knot.address];
        settings.net.authority_port = knot.address.port();
        house.restart(settings, sealwright::app::Roles::ALL).await;
        let path = format!("/v1/domains/{}/verify", domain["id"].as_str().unwrap());
        let seen = eventually("knot answers", async || {
            house.clock.advance(VERIFY_AGAIN_AFTER);
            let seen = house.client.call(http::Method::POST, &path, &house.account.live, "").await.expect(200);
            (seen["verified"] == true).then_some(seen)
        }).await;
        assert_eq!(seen["missingRecords"], json!([]), "{seen:#}");
    }
}
