//! From adding a domain to taking it away.

use super::{DAY, NAME, Town};
use crate::harness::{DNS_TXT, Engine, House, Receiver, Said, account, eventually, key, on_both_engines};
use http::Method;
use sealwright::clock::Clock;
use sealwright::mode::Mode;
use sealwright::platform::jobs::Kind;
use serde_json::json;

on_both_engines! {
    async fn a_domain_sends_once_the_dns_shows_its_key(engine: Engine) {
        let town = Town::start(engine, Some("mail.operator.example"), &Clock::manual(Clock::System.now())).await;
        let receiver = Receiver::start(&town.house.authority).await;
        let hook = json!({"url": receiver.url("/domains"), "events": ["domain.verified"]});
        town.house.client.post("/v1/webhooks", &town.house.account.live, &hook).await.expect(201);
        let domain = town.add().await;
        assert_eq!((&domain["status"], &domain["name"]), (&json!("pending"), &json!(NAME)));
        assert_eq!(town.send().await.refusal(400), ("domain_unverified".into(), "from".into()));
        let before = town.verify(&domain).await;
        assert_eq!((&before["verified"], &before["dkimStatus"]), (&json!(false), &json!("missing")));
        assert_eq!(before["missingRecords"].as_array().unwrap().len(), before["dnsRecords"].as_array().unwrap().len());
        assert_eq!(town.send().await.refusal(400), ("domain_unverified".into(), "from".into()));

        town.shown.publish_all(&domain);
        let half = town.verify(&domain).await;
        let first = &half["dnsRecords"][0];
        assert_eq!((&half["verified"], &first["status"]), (&json!(false), &json!("failed")), "{half:#}");
        assert!(first["advice"].as_str().unwrap().contains("operator"), "{first:#}");
        town.shown.publish_zone(&town.zone().await);
        let after = town.verify(&domain).await;
        assert_eq!(after["missingRecords"], json!([]), "{after:#}");
        for status in ["dkimStatus", "spfStatus", "dmarcStatus", "returnPathStatus"] {
            assert_eq!(after[status], "verified", "{status}");
        }
        assert_eq!((&after["status"], &after["dmarcPolicy"]), (&json!("verified"), &json!("none")));
        let event = eventually("it is told", async || receiver.hooks().first().map(|hook| hook.json())).await;
        assert_eq!(event["data"], json!({"domainId": domain["id"], "name": NAME}));
        let id = town.send().await.expect(200)["id"].as_str().unwrap().to_owned();
        town.received(&id).await;
        assert_eq!(town.house.audited().await.iter().filter(|entry| entry.ends_with("domain.added")).count(), 2);
    }

    async fn a_domain_whose_key_is_gone_for_three_days_fails_and_comes_back(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, None, &clock).await;
        let domain = town.added_and_verified().await;
        let key = domain["dnsRecords"][0]["host"].as_str().unwrap();
        town.shown.set(key, DNS_TXT, Said::Failure);
        let silent = town.later(DAY * 2, &domain, "looked at again", |it| it["checkedAt"] != domain["checkedAt"]).await;
        assert_eq!((&silent["status"], &silent["dkimStatus"]), (&json!("verified"), &json!("verified")), "a failing name server is no proof");
        town.shown.remove(key);
        let missing = town.later(DAY * 2, &domain, "the key is missed", |it| it["dkimStatus"] == "missing").await;
        assert_eq!(missing["status"], "verified");
        town.send().await.expect(200);
        town.later(DAY * 3, &domain, "it has failed", |it| it["status"] == "failed").await;
        assert_eq!(town.send().await.refusal(400), ("domain_unverified".into(), "from".into()));
        town.shown.publish_all(&domain);
        town.later(DAY * 2, &domain, "it is verified again", |it| it["status"] == "verified").await;
        town.send().await.expect(200);
    }

    async fn silence_after_one_miss_fails_nobody_and_its_time_does_not_count(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, None, &clock).await;
        let domain = town.added_and_verified().await;
        let key = domain["dnsRecords"][0]["host"].as_str().unwrap();
        let looked = async |days: u32, what: &str| {
            let before = town.get(&domain).await;
            town.later(DAY * days, &domain, what, |it| it["checkedAt"] != before["checkedAt"]).await
        };
        town.shown.remove(key);
        assert_eq!(looked(1, "it is missed").await["dkimStatus"], "missing");
        town.shown.set(key, DNS_TXT, Said::Failure);
        for _ in 0..2 {
            let silent = looked(4, "nobody knows").await;
            assert_eq!((&silent["status"], &silent["dkimStatus"]), (&json!("verified"), &json!("missing")), "it shows what was seen last");
        }
        town.shown.remove(key);
        assert_eq!(looked(1, "it is missed again").await["status"], "verified", "a day and no more has counted");
        assert_eq!(looked(3, "it is missed for long").await["status"], "failed");
    }

    async fn the_security_contact_hears_of_a_domain_that_failed(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::set(engine, &clock, &[], House::with_notices).await;
        let contact = json!({"securityContact": "guard@reader.example"}).to_string();
        town.house.client.call(Method::PATCH, "/v1/settings", &town.house.account.live, contact).await.expect(200);
        let domain = town.added_and_verified().await;
        town.shown.remove(domain["dnsRecords"][0]["host"].as_str().unwrap());
        town.later(DAY * 2, &domain, "it is missed", |it| it["dkimStatus"] == "missing").await;
        town.later(DAY * 4, &domain, "it has failed", |it| it["status"] == "failed").await;
        let text = eventually("a mail says so", async || {
            let mails = town.house.sink.received();
            let texts = mails.iter().map(|mail| String::from_utf8_lossy(&mail.bytes).into_owned());
            texts.into_iter().find(|text| text.contains("Subject: A sending domain failed"))
        }).await;
        assert!(text.contains(domain["id"].as_str().unwrap()) && !text.contains(NAME), "it says which, in no words of others: {text}");
        assert!(town.house.audited().await.contains(&"system domain.failure_notified".to_owned()));
    }

    async fn a_domain_that_comes_back_is_looked_at_soon(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, None, &clock).await;
        let domain = town.added_and_verified().await;
        town.delete(&domain).await;
        clock.advance(DAY);
        let back = town.add().await;
        assert_eq!((&back["id"], &back["status"]), (&domain["id"], &json!("pending")));
        town.later(DAY / 24, &back, "it is verified without being asked", |it| it["status"] == "verified").await;
    }

    async fn the_keys_of_a_domain_that_was_taken_for_verified_are_destroyed_as_well(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, Some("mail.operator.example"), &clock).await;
        let list = town.house.client.get("/v1/domains", &town.house.account.live).await.expect(200);
        let domain = &list["data"][0];
        let verified = town.verify(domain).await;
        assert_eq!((&verified["verified"], &verified["missingRecords"]), (&json!(true), &json!([])), "{verified:#}");
        let ulid = domain["id"].as_str().unwrap().trim_start_matches("dom_").to_owned();
        // Its job has nothing to look at, and ends.
        clock.advance(DAY);
        town.house.platform.hints.wake(Kind::DomainCheck);
        town.delete(domain).await;
        clock.advance(DAY * 13);
        assert!(town.zone().await.contains(&ulid), "mail that is under way is still signed");
        clock.advance(DAY * 2);
        eventually("its keys are destroyed", async || {
            town.house.platform.hints.wake(Kind::DomainCheck);
            (!town.zone().await.contains(&ulid)).then_some(())
        }).await;
    }

    async fn a_domain_that_never_sent_leaves_nothing(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, Some("mail.operator.example"), &clock).await;
        let domain = town.add().await;
        town.delete(&domain).await;
        let ulid = domain["id"].as_str().unwrap().trim_start_matches("dom_").to_owned();
        assert!(!town.zone().await.contains(&ulid));
        assert_ne!(town.add().await["id"], domain["id"]);
    }

    async fn a_change_that_changes_nothing_is_not_written_down(engine: Engine) {
        let town = Town::start(engine, None, &Clock::manual(Clock::System.now())).await;
        let domain = town.add().await;
        for (change, ed25519) in [(json!({}), false), (json!({"ed25519": false}), false), (json!({"ed25519": true}), true), (json!({"ed25519": true}), true)] {
            assert_eq!(town.change(&domain, &change).await.expect(200)["ed25519"], ed25519, "{change}");
        }
        assert_eq!(town.change(&domain, &json!({"ed25519": null})).await.refusal(400).1, "ed25519");
        assert_eq!(town.house.audit_details("domain.updated").await, [json!({"ed25519": [false, true]})]);
    }

    async fn a_new_domain_is_looked_at_by_itself(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, None, &clock).await;
        let domain = town.add().await;
        town.shown.publish_all(&domain);
        town.later(DAY / 24, &domain, "it is verified without being asked", |it| it["status"] == "verified").await;
    }

    async fn a_domain_that_is_taken_away_sends_no_more_and_loses_its_keys(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let town = Town::start(engine, None, &clock).await;
        let domain = town.added_and_verified().await;
        let path = format!("/v1/domains/{}", domain["id"].as_str().unwrap());
        let live = &town.house.account.live;
        let gone = town.house.client.delete(&path, live).await.expect(200);
        assert_eq!(gone, json!({"id": domain["id"], "object": "domain", "deleted": true}));
        assert_eq!(town.house.client.get(&path, live).await.refusal(404).0, "not_found");
        assert_eq!(town.house.client.delete(&path, live).await.refusal(404).0, "not_found");
        assert_eq!(town.send().await.refusal(400).0, "domain_unverified");
        let back = town.add().await;
        assert_eq!((&back["id"], &back["status"]), (&domain["id"], &json!("pending")));
        assert_eq!(back["dnsRecords"][0]["value"], domain["dnsRecords"][0]["value"], "its keys are still there");
        town.house.client.delete(&path, live).await.expect(200);
        clock.advance(DAY * 15);
        let fresh = eventually("its keys are destroyed", async || {
            town.house.platform.hints.wake(sealwright::platform::jobs::Kind::DomainCheck);
            let again = town.add().await;
            let is_new = again["id"] != domain["id"];
            if !is_new {
                town.house.client.delete(&path, live).await.expect(200);
                clock.advance(DAY * 15);
            }
            is_new.then_some(again)
        }).await;
        assert_ne!(fresh["dnsRecords"][0]["value"], domain["dnsRecords"][0]["value"]);
    }

    async fn names_that_deceive_or_exist_and_callers_that_may_not_are_refused(engine: Engine) {
        let house = House::start(engine).await;
        let add = async |key: &str, name: &str| house.client.post("/v1/domains", key, &json!({"name": name})).await;
        for name in ["localhost", "pаypal.example", "192.0.2.1", "a b.example", "-a.example", "", "xn--0049.example"] {
            assert_eq!(add(&house.account.live, name).await.refusal(400), ("invalid_parameter".into(), "name".into()), "{name}");
        }
        let added = add(&house.account.live, "Münster.Example").await.expect(201);
        assert_eq!(added["name"], "xn--mnster-3ya.example");
        assert_eq!(add(&house.account.live, "münster.example").await.refusal(409).0, "already_exists");
        assert_eq!(add(&house.account.test, "test.example").await.refusal(403).0, "forbidden");
        let reader = key(&house.platform, &house.account.org, Mode::Live, &["domains:read"]).await;
        assert_eq!(add(&reader, "new.example").await.refusal(403).0, "forbidden");
        let region = json!({"name": "eu.example", "region": "eu"});
        let refused = house.client.post("/v1/domains", &house.account.live, &region).await;
        assert_eq!(refused.refusal(400), ("invalid_parameter".into(), "region".into()));
        let other = account(&house.platform, "Other", "other.example").await;
        let path = format!("/v1/domains/{}", added["id"].as_str().unwrap());
        assert_eq!(house.client.get(&path, &other.live).await.refusal(404).0, "not_found");
        add(&other.live, "münster.example").await.expect(201);
        let list = house.client.get("/v1/domains?status=pending", &house.account.live).await.expect(200);
        assert_eq!((&list["totalCount"], &list["data"][0]["id"]), (&json!(1), &added["id"]));
        let after = house.client.get("/v1/domains?starting_after=dom_01hzzzzzzzzzzzzzzzzzzzzzzz", &house.account.live).await;
        assert_eq!(after.refusal(400), ("invalid_parameter".into(), "starting_after".into()));
        let long = format!("a{}.example", vec!["a"; 115].join("."));
        assert_eq!((long.len(), add(&house.account.live, &long).await.refusal(400).1), (238, "name".into()));
    }

    async fn a_plan_has_room_for_so_many_domains(engine: Engine) {
        use sealwright::features::keys::{self, NewKey, Permissions, Restrictions, Style};
        use sealwright::features::{domains, orgs::{self, NewOrg, Plan}};
        use sealwright::id::Id as _;
        use sealwright::limits::DOMAINS_DELETED_BEYOND_MAX;
        let house = House::start(engine).await;
        let new = NewOrg { name: "Small", plan: Plan::Free, rate_per_second: None, region: "us" };
        let org = orgs::create(&house.platform, new).await.unwrap().id;
        let new = NewKey {
            name: "small".into(), mode: Mode::Live, style: Style::Le,
            permissions: Permissions::parse(&["*".to_owned()]).unwrap(), restrictions: Restrictions::default(),
        };
        let (_, key) = keys::create(&house.platform, &org, new).await.unwrap();
        // The plan has a pace, too, which a quick machine would pass.
        let patiently = async |method: Method, path: &str, body: String| loop {
            let reply = house.client.call(method.clone(), path, key.expose(), body.clone()).await;
            if reply.status.as_u16() != 429 {
                return reply;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        };
        let add = async |name: &str| patiently(Method::POST, "/v1/domains", json!({"name": name}).to_string()).await;
        let first = add("one.example").await.expect(201);
        assert_eq!(add("two.example").await.refusal(403).0, "limit_reached");
        patiently(Method::DELETE, &format!("/v1/domains/{}", first["id"].as_str().unwrap()), String::new()).await.expect(200);
        let two = add("two.example").await.expect(201);
        // Those that may have sent leave their keys for 14 days, so they are counted as well.
        let mut last = two["id"].as_str().unwrap().to_owned();
        let delete = async |id: &str| patiently(Method::DELETE, &format!("/v1/domains/{id}"), String::new()).await.expect(200);
        for place in 0..=DOMAINS_DELETED_BEYOND_MAX {
            let id = sealwright::id::DomainId::parse(&last).unwrap();
            domains::assume_verified(&house.platform, &org, &id).await.unwrap();
            delete(&last).await;
            let next = add(&format!("next{place}.example")).await;
            if place == DOMAINS_DELETED_BEYOND_MAX {
                assert_eq!(next.refusal(403).0, "limit_reached");
                assert_eq!(add("two.example").await.expect(201)["id"], two["id"], "one of them can come back");
            } else {
                last = next.expect(201)["id"].as_str().unwrap().to_owned();
            }
        }
    }
}
