//! Keys that are restricted to networks and domains.

use crate::harness::{Engine, House, eventually, on_both_engines};
use serde_json::json;

on_both_engines! {
    async fn a_key_works_from_its_networks_only_and_the_refusal_is_audited(engine: Engine) {
        let house = House::start(engine).await;
        let inside = json!({"permissions": ["emails:read"], "ipRestrictions": ["127.0.0.0/8"]});
        let outside = json!({"permissions": ["emails:read"], "ipRestrictions": ["203.0.113.0/24", "2001:db8::/32"]});
        let inside = house.client.post("/v1/api-keys", &house.account.live, &inside).await.expect(201);
        let outside = house.client.post("/v1/api-keys", &house.account.live, &outside).await.expect(201);
        house.client.get("/v1/emails", inside["key"].as_str().unwrap()).await.expect(200);
        let refused = house.client.get("/v1/emails", outside["key"].as_str().unwrap()).await;
        assert_eq!(refused.refusal(403).0, "ip_not_allowed");
        assert_eq!(refused.json()["error"]["message"], "Access denied. Your IP address is not allowed.");
        let entry = format!("{} api_key.refused", outside["id"].as_str().unwrap());
        eventually("the refusal is in the audit log", async || {
            house.audited().await.contains(&entry).then_some(())
        }).await;
    }

    async fn a_key_sends_from_its_domains_only(engine: Engine) {
        let house = House::start(engine).await;
        let own = json!({"domainRestrictions": ["HOUSE.example"]});
        let own = house.client.post("/v1/api-keys", &house.account.live, &own).await.expect(201);
        let foreign = json!({"domainRestrictions": ["another.example", "sub.house.example"]});
        let foreign = house.client.post("/v1/api-keys", &house.account.live, &foreign).await.expect(201);
        let email = house.email("ada@reader.example");
        house.client.post("/v1/emails", own["key"].as_str().unwrap(), &email).await.expect(200);
        let refused = house.client.post("/v1/emails", foreign["key"].as_str().unwrap(), &email).await;
        assert_eq!(refused.refusal(403), ("domain_not_allowed".into(), "from".into()));
    }
}
