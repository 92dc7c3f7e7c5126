//! Which name servers are asked, what their silence means, and how often they are asked.

use super::{DAY, NAME, Town};
use crate::harness::{DNS_A, DNS_CNAME, DNS_NS, DNS_TXT, Engine, Said, on_both_engines};
use sealwright::clock::Clock;
use sealwright::limits::VERIFICATIONS_MAX;
use serde_json::json;

on_both_engines! {
    async fn each_zone_s_own_servers_are_asked(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, None, &clock).await;
        let domain = town.add().await;
        // The keys, a policy behind another name and a policy of a whole zone are all on another server.
        town.delegate(&format!("_domainkey.{NAME}"));
        town.delegate("policies.example");
        let dmarc = format!("_dmarc.{NAME}");
        for record in domain["dnsRecords"].as_array().unwrap() {
            match record["purpose"].as_str().unwrap() {
                "dkim" => town.elsewhere.publish(record),
                _ => town.shown.publish(record),
            }
        }
        town.shown.remove(&dmarc);
        town.shown.set(&dmarc, DNS_CNAME, Said::Name("shop.policies.example".into()));
        town.elsewhere.set("shop.policies.example", DNS_CNAME, Said::Name("strict.policies.example".into()));
        town.elsewhere.text("strict.policies.example", "v=DMARC1; p=reject");
        let seen = town.verify(&domain).await;
        assert_eq!((&seen["verified"], &seen["missingRecords"]), (&json!(true), &json!([])), "{seen:#}");
        assert_eq!(seen["dmarcPolicy"], "reject");
        // Names that lead nowhere near are not followed for ever.
        town.shown.set(&dmarc, DNS_CNAME, Said::Name("a.policies.example".into()));
        town.elsewhere.set("a.policies.example", DNS_CNAME, Said::Name("a.policies.example".into()));
        let seen = town.verify(&domain).await;
        assert_eq!(seen["dmarcStatus"], "missing");
        assert!(seen["missingRecords"][0]["advice"].as_str().unwrap().contains("leads to too many"), "{seen:#}");
    }

    async fn the_operator_s_zone_is_asked_itself(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, Some("mail.operator.example"), &clock).await;
        let domain = town.add().await;
        town.shown.publish_all(&domain);
        town.delegate("mail.operator.example");
        // The resolver remembers that nothing was there; the zone's server knows better.
        town.elsewhere.publish_zone(&town.zone().await);
        let seen = town.verify(&domain).await;
        assert_eq!(seen["missingRecords"], json!([]), "{seen:#}");
    }

    async fn servers_that_may_not_be_asked_prove_nothing(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, None, &clock).await;
        let domain = town.added_and_verified().await;
        let unreachable = [
            // None that is public.
            (vec!["private.example"], "no public address"),
            // One that fails, and then one that certainly has no address.
            (vec!["failing.example", "absent.example"], "could not answer"),
            (vec!["absent.example", "failing.example"], "could not answer"),
        ];
        town.shown.set("private.example", DNS_A, Said::Addresses(vec![[10, 0, 0, 1].into()]));
        town.shown.set("failing.example", DNS_A, Said::Failure);
        town.shown.set("absent.example", DNS_A, Said::NoName);
        for (servers, why) in unreachable {
            let names = servers.iter().map(|name| (*name).to_owned()).collect();
            town.shown.set(NAME, DNS_NS, Said::Names(names));
            clock.advance(DAY * 4);
            let seen = town.verify(&domain).await;
            let first = &seen["dnsRecords"][0];
            assert_eq!((&seen["status"], &first["status"]), (&json!("verified"), &json!("verified")), "{servers:?}: {first:#}");
            assert!(first["advice"].as_str().unwrap().contains(why), "{servers:?}: {first:#}");
        }
    }

    async fn a_policy_from_above_is_the_one_for_subdomains(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, None, &clock).await;
        let new = json!({"name": format!("news.{NAME}")});
        let domain = town.house.client.post("/v1/domains", &town.house.account.live, &new).await.expect(201);
        town.shown.text(&format!("_dmarc.{NAME}"), "v=DMARC1; p=reject; sp=quarantine");
        let seen = town.verify(&domain).await;
        assert_eq!((&seen["dmarcStatus"], &seen["dmarcPolicy"]), (&json!("verified"), &json!("quarantine")), "{seen:#}");
    }

    async fn two_keys_at_one_selector_or_one_of_another_kind_verify_nothing(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, None, &clock).await;
        let domain = town.add().await;
        let record = &domain["dnsRecords"][0];
        let (host, key) = (record["host"].as_str().unwrap(), record["value"].as_str().unwrap());
        let second = domain["dnsRecords"][1]["value"].as_str().unwrap();
        for (texts, status) in [
            (vec![key.to_owned(), second.to_owned()], "failed"),
            (vec![key.replace("k=rsa", "k=ed25519")], "failed"),
            (vec![format!("{key}; h=sha1")], "failed"),
            (vec![format!("{key}; h=sha256; t=s")], "verified"),
        ] {
            town.shown.set(host, DNS_TXT, Said::Texts(texts.clone()));
            assert_eq!(town.verify(&domain).await["dkimStatus"], status, "{texts:?}");
        }
    }

    async fn verifying_again_and_again_asks_nobody(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, None, &clock).await;
        let domain = town.add().await;
        town.shown.think_about(domain["dnsRecords"][0]["host"].as_str().unwrap());
        let mut knocks = tokio::task::JoinSet::new();
        for _ in 0..VERIFICATIONS_MAX + 4 {
            let (client, live) = (town.house.client.clone(), town.house.account.live.clone());
            let path = format!("/v1/domains/{}/verify", domain["id"].as_str().unwrap());
            knocks.spawn(async move { client.call(http::Method::POST, &path, &live, "").await.status.as_u16() });
        }
        let answers = knocks.join_all().await;
        let refused = answers.iter().filter(|status| **status == 503).count();
        assert_eq!(refused, 4, "{answers:?}");
        // What was just seen is the answer, whatever was published since.
        let first = town.verify(&domain).await;
        town.shown.publish_all(&domain);
        let again = town.act(&domain, "verify").await.expect(200);
        assert_eq!((&again["verified"], &again["checkedAt"]), (&json!(false), &first["checkedAt"]));
        assert_eq!(town.verify(&domain).await["verified"], true);
    }
}
