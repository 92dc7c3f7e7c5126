//! Keys by the API: make, list, show, change, replace, delete.

use crate::harness::{Engine, House, Setup, eventually, key, on_both_engines};
use sealwright::clock::Clock;
use sealwright::mode::Mode;
use serde_json::{Value, json};
use std::time::Duration;

async fn make(house: &House, by: &str, new: Value) -> Value {
    house.client.post("/v1/api-keys", by, &new).await.expect(201)
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field}: {value}"))
}

on_both_engines! {
    async fn a_key_is_shown_once_and_listed_by_prefix_and_last_four(engine: Engine) {
        let house = House::start(engine).await;
        let made = make(&house, &house.account.live, json!({
            "name": "Production", "permissions": ["emails:send", "mail:read"], "ipRestrictions": ["127.0.0.0/8", "2001:DB8::1"],
            "domainRestrictions": ["House.example"], "rateLimit": {"requests": 600, "period": "minute"}, "prefix": "mp",
        })).await;
        let secret = text(&made, "key");
        assert!(secret.starts_with("mp_live_") && secret.len() == "mp_live_".len() + 36);
        assert_eq!(text(&made, "keyPrefix"), "mp_live_");
        assert_eq!(text(&made, "lastFour"), &secret[secret.len() - 4..]);
        assert_eq!(made["permissions"], json!(["emails:send", "emails:read"]));
        assert_eq!(made["ipRestrictions"], json!(["127.0.0.0/8", "2001:db8::1"]));
        assert_eq!(made["domainRestrictions"], json!(["house.example"]));
        assert_eq!(made["rateLimit"], json!({"requests": 600, "period": "minute"}));
        let path = format!("/v1/api-keys/{}", text(&made, "id"));
        let shown = house.client.get(&path, &house.account.live).await;
        assert!(!shown.text().contains(secret));
        assert_eq!(shown.header("cache-control"), "no-store");
        let mut shown = shown.expect(200);
        assert_eq!(shown["mode"], "live");
        let mut without = made.clone();
        without.as_object_mut().unwrap().remove("key");
        assert_eq!(shown, without);
        let mut list = house.client.get("/v1/api-keys?limit=1", &house.account.live).await.expect(200);
        assert_eq!(list["data"][0].take(), shown.take());
        assert_eq!((&list["hasMore"], &list["totalCount"]), (&json!(true), &json!(3)));
    }

    async fn a_list_is_paged_in_both_directions(engine: Engine) {
        let house = House::start(engine).await;
        let by = &house.account.live;
        let mut ids = Vec::new();
        for n in 0..5 {
            ids.insert(0, text(&make(&house, by, json!({"name": format!("n{n}")})).await, "id").to_owned());
        }
        let page = async |query: String| {
            let list = house.client.get(&format!("/v1/api-keys?{query}"), by).await.expect(200);
            let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|key| text(key, "id").to_owned()).collect();
            (ids, list["hasMore"].as_bool().unwrap())
        };
        assert_eq!(page("limit=2".into()).await, (ids[..2].to_vec(), true));
        assert_eq!(page(format!("limit=2&starting_after={}", ids[1])).await, (ids[2..4].to_vec(), true));
        assert_eq!(page(format!("limit=2&ending_before={}", ids[4])).await, (ids[2..4].to_vec(), true));
        assert_eq!(page(format!("limit=4&ending_before={}", ids[2])).await, (ids[..2].to_vec(), false));
        let both = format!("/v1/api-keys?starting_after={}&ending_before={}", ids[0], ids[1]);
        assert_eq!(house.client.get(&both, by).await.refusal(400), ("invalid_parameter".into(), "ending_before".into()));
    }

    async fn a_key_without_wishes_may_send_and_nothing_else(engine: Engine) {
        let house = House::start(engine).await;
        let made = make(&house, &house.account.live, json!({})).await;
        assert_eq!(made["permissions"], json!(["emails:send"]));
        let email = house.email("ada@reader.example");
        house.client.post("/v1/emails", text(&made, "key"), &email).await.expect(200);
        assert_eq!(house.client.get("/v1/emails", text(&made, "key")).await.refusal(403).0, "forbidden");
        // No body at all is the same wish.
        house.client.call(http::Method::POST, "/v1/api-keys", &house.account.live, "").await.expect(201);
    }

    async fn everything_has_to_be_confirmed(engine: Engine) {
        let house = House::start(engine).await;
        let new = json!({"permissions": ["*"]});
        let refused = house.client.post("/v1/api-keys", &house.account.live, &new).await;
        assert_eq!(refused.refusal(400), ("confirmation_required".into(), "permissions".into()));
        make(&house, &house.account.live, json!({"permissions": ["*"], "allPermissions": true})).await;
    }

    async fn what_is_wrong_with_a_wish_is_named(engine: Engine) {
        let house = House::start(engine).await;
        for (new, param) in [
            (json!({"name": ""}), "name"),
            (json!({"name": "a\nb"}), "name"),
            (json!({"permissions": ["emails:sned"]}), "permissions"),
            (json!({"ipRestrictions": ["127.0.0.1", "10.0.0.1/8"]}), "ipRestrictions/1"),
            (json!({"ipRestrictions": ["0.0.0.0/0"]}), "ipRestrictions/0"),
            (json!({"ipRestrictions": vec!["10.0.0.1"; 101]}), "ipRestrictions"),
            (json!({"domainRestrictions": ["not a domain"]}), "domainRestrictions/0"),
            (json!({"expiresAt": "2001-01-01"}), "expiresAt"),
            (json!({"expiresAt": "soon"}), "expiresAt"),
            (json!({"rateLimit": {"requests": 0, "period": "second"}}), "rateLimit/requests"),
            (json!({"rateLimit": {"requests": 1, "period": "day"}}), "rateLimit/period"),
            (json!({"mode": "production"}), "mode"),
            (json!({"createdAt": "2026-01-01"}), "createdAt"),
        ] {
            let refused = house.client.post("/v1/api-keys", &house.account.live, &new).await.refusal(400);
            assert_eq!(refused, ("invalid_parameter".into(), param.into()), "{new}");
        }
    }

    async fn a_key_never_makes_or_becomes_a_stronger_one(engine: Engine) {
        let house = House::start(engine).await;
        let weak = make(&house, &house.account.live, json!({
            "permissions": ["emails:send", "api-keys:*"], "ipRestrictions": ["127.0.0.0/8"], "domainRestrictions": ["house.example"],
            "rateLimit": {"requests": 100, "period": "second"}, "expiresAt": "2090-01-01",
        })).await;
        let (weak_id, weak) = (text(&weak, "id").to_owned(), text(&weak, "key").to_owned());
        let fits = json!({
            "ipRestrictions": ["127.0.0.1"], "domainRestrictions": ["house.example"],
            "rateLimit": {"requests": 100, "period": "minute"}, "expiresAt": "2089-01-01",
        });
        make(&house, &weak, fits.clone()).await;
        for (field, value) in [
            ("permissions", json!(["emails:read"])),
            ("permissions", json!(["emails:*"])),
            ("ipRestrictions", json!([])),
            ("ipRestrictions", json!(["10.0.0.1"])),
            ("domainRestrictions", json!([])),
            ("domainRestrictions", json!(["house.example", "other.example"])),
            ("rateLimit", Value::Null),
            ("rateLimit", json!({"requests": 101, "period": "second"})),
            ("expiresAt", Value::Null),
            ("expiresAt", json!("2091-01-01")),
        ] {
            let mut new = fits.clone();
            new[field] = value.clone();
            let refused = house.client.post("/v1/api-keys", &weak, &new).await;
            assert_eq!(refused.refusal(403).0, "forbidden_escalation", "{field} {value}");
            let change = json!({field: value});
            let path = format!("/v1/api-keys/{weak_id}");
            let changed = house.client.call(http::Method::PATCH, &path, &weak, change.to_string()).await;
            assert_eq!(changed.refusal(403).0, "forbidden_escalation", "{field} {value}");
        }
        // Nor by replacing a stronger key, whose secret it would be told.
        let all = house.client.get("/v1/api-keys", &house.account.live).await.expect(200);
        for strong in all["data"].as_array().unwrap().iter().filter(|key| key["permissions"] == json!(["*"])) {
            let path = format!("/v1/api-keys/{}/rotate", text(strong, "id"));
            let refused = house.client.post(&path, &weak, &json!({})).await;
            assert_eq!(refused.refusal(403).0, "forbidden_escalation");
        }
    }

    async fn a_key_with_a_rate_of_its_own_makes_changes_and_rotates_none_that_is_faster(engine: Engine) {
        let house = House::start(engine).await;
        let rate = json!({"requests": 100, "period": "second"});
        let new = json!({"permissions": ["emails:send", "api-keys:*"], "rateLimit": rate});
        let slow = make(&house, &house.account.live, new).await;
        let (own, key) = (format!("/v1/api-keys/{}", text(&slow, "id")), text(&slow, "key").to_owned());
        let child = make(&house, &key, json!({"rateLimit": rate})).await;
        let free = make(&house, &house.account.live, json!({})).await;
        let (child, free) = (format!("/v1/api-keys/{}", text(&child, "id")), format!("/v1/api-keys/{}", text(&free, "id")));
        for faster in [Value::Null, json!({"requests": 101, "period": "second"})] {
            for path in [&own, &child] {
                let change = json!({"rateLimit": faster}).to_string();
                let refused = house.client.call(http::Method::PATCH, path, &key, change).await;
                assert_eq!(refused.refusal(403).0, "forbidden_escalation", "{faster}");
            }
        }
        assert_eq!(house.client.post(&format!("{free}/rotate"), &key, &json!({})).await.refusal(403).0, "forbidden_escalation");
        for path in [&child, &own] {
            let rotated = house.client.post(&format!("{path}/rotate"), &key, &json!({})).await.expect(201);
            assert_eq!(rotated["rateLimit"], rate);
        }
    }

    async fn a_narrowed_key_can_not_undo_it_however_fast_it_is(engine: Engine) {
        let house = House::start(engine).await;
        let wide = json!({"permissions": ["api-keys:*", "emails:*"]});
        for attack in ["change", "create", "rotate"] {
            let made = make(&house, &house.account.live, wide.clone()).await;
            let (path, key) = (format!("/v1/api-keys/{}", text(&made, "id")), text(&made, "key").to_owned());
            // Remembered as it is now.
            house.client.get("/v1/me", &key).await.expect(200);
            let narrow = json!({"permissions": ["emails:send"], "ipRestrictions": ["203.0.113.7"]}).to_string();
            house.client.call(http::Method::PATCH, &path, &house.account.live, narrow).await.expect(200);
            let widen = wide.to_string();
            let refused = match attack {
                "change" => house.client.call(http::Method::PATCH, &path, &key, widen).await,
                "create" => house.client.call(http::Method::POST, "/v1/api-keys", &key, widen).await,
                _ => house.client.post(&format!("{path}/rotate"), &key, &json!({})).await,
            };
            assert!([401, 403].contains(&refused.status.as_u16()), "{attack}: {}", refused.text());
            let shown = house.client.get(&path, &house.account.live).await.expect(200);
            assert_eq!((&shown["permissions"], &shown["replacedBy"]), (&json!(["emails:send"]), &Value::Null), "{attack}");
        }
    }

    async fn a_rename_beside_a_rotation_gives_no_key_its_life_back(engine: Engine) {
        let house = House::start(engine).await;
        for _ in 0..10 {
            let made = make(&house, &house.account.live, json!({})).await;
            let path = format!("/v1/api-keys/{}", text(&made, "id"));
            let (rotate, end) = (format!("{path}/rotate"), json!({"overlap": 0}));
            let (rotated, renamed) = tokio::join!(
                house.client.post(&rotate, &house.account.live, &end),
                house.client.call(http::Method::PATCH, &path, &house.account.live, json!({"name": "new"}).to_string()),
            );
            rotated.expect(201);
            renamed.expect(200);
            let shown = house.client.get(&path, &house.account.live).await.expect(200);
            assert_ne!(shown["expiresAt"], Value::Null);
            let revived = house.client.call(http::Method::PATCH, &path, &house.account.live, json!({"expiresAt": null}).to_string()).await;
            assert_eq!(revived.refusal(409).0, "key_already_rotated");
        }
    }

    async fn a_test_key_changes_no_settings(engine: Engine) {
        let house = House::start(engine).await;
        let change = json!({"keyExposurePolicy": "notify"}).to_string();
        let refused = house.client.call(http::Method::PATCH, "/v1/settings", &house.account.test, change).await;
        assert_eq!(refused.refusal(403).0, "forbidden");
    }

    async fn test_keys_make_and_see_test_keys_only(engine: Engine) {
        let house = House::start(engine).await;
        let live = make(&house, &house.account.live, json!({})).await;
        let test = make(&house, &house.account.test, json!({})).await;
        assert!(text(&test, "key").starts_with("le_test_"));
        let refused = house.client.post("/v1/api-keys", &house.account.test, &json!({"mode": "live"})).await;
        assert_eq!(refused.refusal(403).0, "forbidden_escalation");
        let live_path = format!("/v1/api-keys/{}", text(&live, "id"));
        assert_eq!(house.client.get(&live_path, &house.account.test).await.refusal(404).0, "not_found");
        assert_eq!(house.client.delete(&live_path, &house.account.test).await.refusal(404).0, "not_found");
        let list = house.client.get("/v1/api-keys", &house.account.test).await.expect(200);
        assert!(list["data"].as_array().unwrap().iter().all(|key| key["mode"] == "test"));
        assert_eq!(list["totalCount"], 2);
    }

    async fn a_rotated_key_works_for_the_overlap_and_both_know_of_each_other(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let house = Setup::new(engine).clock(&clock).start().await;
        let old = make(&house, &house.account.live, json!({"name": "App", "ipRestrictions": ["127.0.0.1"]})).await;
        let (old_id, old_key) = (text(&old, "id").to_owned(), text(&old, "key").to_owned());
        let path = format!("/v1/api-keys/{old_id}/rotate");
        let new = house.client.post(&path, &house.account.live, &json!({"overlap": 3600})).await.expect(201);
        assert_eq!(new["replaces"], old_id.as_str());
        assert_eq!(new["previous"]["id"], old_id.as_str());
        assert_eq!(text(&new["previous"], "expiresAt"), clock.now().plus(Duration::from_secs(3600)).rfc3339());
        for field in ["name", "permissions", "ipRestrictions", "mode", "keyPrefix"] {
            assert_eq!(new[field], old[field], "{field}");
        }
        let shown = house.client.get(&format!("/v1/api-keys/{old_id}"), &house.account.live).await.expect(200);
        assert_eq!(shown["replacedBy"], new["id"]);
        let again = house.client.post(&path, &house.account.live, &json!({})).await;
        assert_eq!(again.refusal(409).0, "key_already_rotated");
        let email = house.email("ada@reader.example");
        for key in [&old_key, text(&new, "key")] {
            house.client.post("/v1/emails", key, &email).await.expect(200);
        }
        clock.advance(Duration::from_secs(3600));
        assert_eq!(house.client.post("/v1/emails", &old_key, &email).await.refusal(401).0, "unauthorized");
        house.client.post("/v1/emails", text(&new, "key"), &email).await.expect(200);
    }

    async fn a_key_can_not_delete_itself_and_a_deleted_one_is_gone(engine: Engine) {
        let house = House::start(engine).await;
        let made = make(&house, &house.account.live, json!({"permissions": ["api-keys:*"]})).await;
        let path = format!("/v1/api-keys/{}", text(&made, "id"));
        assert_eq!(house.client.delete(&path, text(&made, "key")).await.refusal(409).0, "cannot_delete_self");
        house.client.get("/v1/api-keys", text(&made, "key")).await.expect(200);
        let deleted = house.client.delete(&path, &house.account.live).await.expect(200);
        assert_eq!(deleted, json!({"id": made["id"], "object": "api_key", "deleted": true}));
        assert_eq!(house.client.get(&path, &house.account.live).await.refusal(404).0, "not_found");
        eventually("the deleted key is refused", async || {
            let reply = house.client.get("/v1/api-keys", text(&made, "key")).await;
            (reply.status == 401).then_some(())
        }).await;
    }

    async fn the_last_use_is_told_with_its_address_and_agent(engine: Engine) {
        let house = House::start(engine).await;
        let made = make(&house, &house.account.live, json!({"permissions": ["emails:read"]})).await;
        assert_eq!(made["lastUsedAt"], Value::Null);
        let request = http::Request::get("/v1/emails")
            .header("authorization", format!("Bearer {}", text(&made, "key")))
            .header("user-agent", "app/1.0")
            .body(http_body_util::Full::default())
            .unwrap();
        house.client.send(request).await.expect(200);
        let path = format!("/v1/api-keys/{}", text(&made, "id"));
        let shown = eventually("the use is written down", async || {
            let shown = house.client.get(&path, &house.account.live).await.expect(200);
            (shown["lastUsedAt"] != Value::Null).then_some(shown)
        }).await;
        assert_eq!((text(&shown, "lastUsedIp"), text(&shown, "lastUsedUserAgent")), ("127.0.0.1", "app/1.0"));
    }

    async fn every_change_of_a_key_is_in_the_audit_log(engine: Engine) {
        let house = House::start(engine).await;
        let made = make(&house, &house.account.live, json!({})).await;
        let path = format!("/v1/api-keys/{}", text(&made, "id"));
        let change = json!({"name": "B"}).to_string();
        house.client.call(http::Method::PATCH, &path, &house.account.live, change).await.expect(200);
        house.client.post(&format!("{path}/rotate"), &house.account.live, &json!({})).await.expect(201);
        house.client.delete(&path, &house.account.live).await.expect(200);
        house.client.call(http::Method::PATCH, "/v1/settings", &house.account.live, json!({"apiKeyMaxAgeDays": 90}).to_string()).await.expect(200);
        let mut actions = house.audited().await;
        // The accounts of the harness were made by the operator.
        actions.retain(|action| !["operator api_key.created", "system domain.added"].contains(&action.as_str()));
        let by = format!("{} ", house.client.get("/v1/me", &house.account.live).await.expect(200)["keyId"].as_str().unwrap());
        let expected = ["api_key.created", "api_key.updated", "api_key.created", "api_key.rotated", "api_key.deleted", "settings.updated"];
        let expected: Vec<_> = expected.iter().map(|action| format!("{by}{action}")).collect();
        let (mut actions, mut expected) = (actions, expected);
        actions.sort();
        expected.sort();
        assert_eq!(actions, expected);
    }

    async fn a_key_older_than_the_organization_allows_is_refused(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let house = Setup::new(engine).clock(&clock).start().await;
        let change = json!({"apiKeyMaxAgeDays": 30}).to_string();
        house.client.call(http::Method::PATCH, "/v1/settings", &house.account.live, change).await.expect(200);
        clock.advance(Duration::from_secs(30 * 86_400 - 60));
        house.client.get("/v1/emails", &house.account.live).await.expect(200);
        clock.advance(Duration::from_secs(60));
        assert_eq!(house.client.get("/v1/emails", &house.account.live).await.refusal(401).0, "unauthorized");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_and_restriction_hold_on_every_node_within_a_second() {
    let house = House::start(Engine::Postgres).await;
    let other = house.second_node().await;
    for (name, act) in [
        ("deleted", None),
        ("restricted", Some(json!({"ipRestrictions": ["192.0.2.1"]}))),
        ("weakened", Some(json!({"permissions": ["webhooks:read"]}))),
    ] {
        let made = make(
            &house,
            &house.account.live,
            json!({"permissions": ["emails:read"]}),
        )
        .await;
        let (path, key) = (
            format!("/v1/api-keys/{}", text(&made, "id")),
            text(&made, "key").to_owned(),
        );
        for client in [&house.client, &other.client] {
            client.get("/v1/emails", &key).await.expect(200);
        }
        match act {
            None => drop(house.client.delete(&path, &house.account.live).await.expect(200)),
            Some(change) => {
                let changed = house
                    .client
                    .call(
                        http::Method::PATCH,
                        &path,
                        &house.account.live,
                        change.to_string(),
                    )
                    .await;
                drop(changed.expect(200));
            }
        }
        let since = Clock::System.now();
        for client in [&house.client, &other.client] {
            eventually(&format!("the {name} key is refused"), async || {
                let reply = client.get("/v1/emails", &key).await;
                (reply.status == 401 || reply.status == 403).then_some(())
            })
            .await;
        }
        let waited = Clock::System.now().since(since);
        assert!(waited < Duration::from_millis(1000), "{name} after {waited:?}");
    }
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_of_the_store_holds_neither_a_key_nor_its_digest() {
    let mut house = House::start(Engine::Sqlite).await;
    let secret = key(&house.platform, &house.account.org, Mode::Live, &["*"]).await;
    house.client.get("/v1/emails", &secret).await.expect(200);
    house.stop().await;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    for file in std::fs::read_dir(house.folder.path()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            for needle in [secret.as_bytes(), digest.as_ref(), hex.as_bytes()] {
                assert!(
                    !bytes.windows(needle.len()).any(|window| window == needle),
                    "{}",
                    path.display()
                );
            }
        }
    }
}
