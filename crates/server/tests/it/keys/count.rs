//! How many keys an organization has.

use crate::harness::{Engine, House, on_both_engines};
use sealwright::features::keys::{self, NewKey, Permissions, Restrictions, Style};
use sealwright::limits::KEYS_MAX;
use sealwright::mode::Mode;
use serde_json::json;

on_both_engines! {
    async fn a_key_past_the_last_is_refused_until_one_is_revoked_or_deleted(engine: Engine) {
        let house = House::start(engine).await;
        let org = &house.account.org;
        let new = || NewKey {
            name: "one of many".to_owned(),
            mode: Mode::Live,
            style: Style::Le,
            permissions: Permissions::parse(&["emails:send".to_owned()]).unwrap(),
            restrictions: Restrictions::default(),
        };
        // Two are the account's.
        for _ in 2..KEYS_MAX {
            keys::create(&house.platform, org, new()).await.unwrap();
        }
        let make = async || house.client.post("/v1/api-keys", &house.account.live, &json!({})).await;
        assert_eq!(make().await.refusal(403).0, "limit_reached");
        let newest = async || {
            let list = house.client.get("/v1/api-keys?limit=1", &house.account.live).await.expect(200);
            list["data"][0]["id"].as_str().unwrap().to_owned()
        };
        let id = sealwright::id::Id::parse(&newest().await).unwrap();
        keys::revoke(&house.platform, org, &id).await.unwrap();
        make().await.expect(201);
        assert_eq!(make().await.refusal(403).0, "limit_reached");
        house.client.delete(&format!("/v1/api-keys/{}", newest().await), &house.account.live).await.expect(200);
        make().await.expect(201);
        assert_eq!(house.audited().await.iter().filter(|entry| *entry == "operator api_key.revoked").count(), 1);
    }
}
