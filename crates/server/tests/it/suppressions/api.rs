//! From suppressing an address to freeing it.

use super::{check, list, suppress};
use crate::harness::{Engine, House, Receiver, on_both_engines, stays};
use serde_json::{Value, json};

fn emails(list: &Value) -> Vec<&str> {
    let data = list["data"].as_array().unwrap();
    data.iter().map(|one| one["email"].as_str().unwrap()).collect()
}

on_both_engines! {
    async fn an_address_is_suppressed_found_in_any_case_and_freed(engine: Engine) {
        let house = House::start(engine).await;
        let live = &house.account.live;
        let new = json!({"email": "Ada@Reader.Example", "type": "unsubscribes", "reason": "said so by telephone"});
        let made = house.client.post("/v1/suppressions", live, &new).await.expect(201);
        assert_eq!(made["email"], "Ada@reader.example");
        assert_eq!((&made["object"], &made["type"], &made["reason"]), (&json!("suppression"), &new["type"], &new["reason"]));
        let path = format!("/v1/suppressions/{}", made["id"].as_str().unwrap());
        assert_eq!(house.client.get(&path, live).await.expect(200), made);
        let checked = check(&house, live, "aDA@reader.example").await;
        let expected = json!({
            "object": "suppression_check", "email": "aDA@reader.example", "suppressed": true,
            "id": made["id"], "type": "unsubscribes", "reason": "said so by telephone",
        });
        assert_eq!(checked, expected);
        let other = check(&house, live, "ada%2Bnews@reader.example").await;
        assert_eq!(other, json!({"object": "suppression_check", "email": "ada+news@reader.example", "suppressed": false}));

        let gone = house.client.delete(&path, live).await.expect(200);
        assert_eq!(gone, json!({"id": made["id"], "object": "suppression", "deleted": true}));
        assert_eq!(house.client.get(&path, live).await.refusal(404).0, "not_found");
        assert_eq!(house.client.delete(&path, live).await.refusal(404).0, "not_found");
        assert_eq!(check(&house, live, "ada@reader.example").await["suppressed"], false);
        let acts: Vec<_> = house.audited().await.into_iter().filter(|act| act.contains("suppression")).collect();
        assert!(acts[0].ends_with("suppression.created") && acts[1].ends_with("suppression.deleted") && acts.len() == 2, "{acts:?}");
        let detail = json!({"mode": "live", "email": "Ada@reader.example", "type": "unsubscribes"});
        assert_eq!(house.audit_details("suppression.deleted").await, [detail]);
    }

    async fn an_address_that_is_suppressed_already_stays_as_it_is(engine: Engine) {
        let house = House::start(engine).await;
        let first = suppress(&house, &house.account.live, "ada@reader.example").await;
        assert_eq!(first["type"], "manual");
        let again = json!({"email": "ADA@reader.example", "type": "complaints", "reason": "later"});
        let again = house.client.post("/v1/suppressions", &house.account.live, &again).await.expect(201);
        assert_eq!(again, first);
        assert_eq!(list(&house, &house.account.live, "").await.expect(200)["totalCount"], 1);
        assert_eq!(house.audited().await.iter().filter(|act| act.contains("suppression")).count(), 1);
    }

    async fn an_address_frees_its_suppression_too(engine: Engine) {
        let house = House::start(engine).await;
        let live = &house.account.live;
        let made = suppress(&house, live, "ada@reader.example").await;
        let gone = house.client.delete("/v1/suppressions?email=Ada@reader.example", live).await.expect(200);
        assert_eq!(gone["id"], made["id"]);
        let again = house.client.delete("/v1/suppressions?email=ada@reader.example", live).await;
        assert_eq!(again.refusal(404).0, "not_found");
        for path in ["/v1/suppressions", "/v1/suppressions?email=ada"] {
            assert_eq!(house.client.delete(path, live).await.refusal(400), ("invalid_parameter".into(), "email".into()));
        }
        let refused = house.client.get("/v1/suppressions/check", live).await;
        assert_eq!(refused.refusal(400), ("invalid_parameter".into(), "email".into()));
    }

    async fn lists_are_newest_first_by_type_and_page_by_page(engine: Engine) {
        let house = House::start(engine).await;
        let live = &house.account.live;
        for (name, kind) in [("a", "manual"), ("b", "complaints"), ("c", "manual"), ("d", "hard_bounces")] {
            let new = json!({"email": format!("{name}@reader.example"), "type": kind});
            house.client.post("/v1/suppressions", live, &new).await.expect(201);
            // Ids sort by the millisecond that they were made in.
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        let first = list(&house, live, "?limit=3").await.expect(200);
        assert_eq!(emails(&first), ["d@reader.example", "c@reader.example", "b@reader.example"]);
        assert_eq!((&first["hasMore"], &first["totalCount"]), (&json!(true), &json!(4)));
        let rest = format!("?limit=3&starting_after={}", first["data"][2]["id"].as_str().unwrap());
        let rest = list(&house, live, &rest).await.expect(200);
        assert_eq!((emails(&rest), &rest["hasMore"]), (vec!["a@reader.example"], &json!(false)));
        let manual = list(&house, live, "?type=manual").await.expect(200);
        assert_eq!((emails(&manual), &manual["totalCount"]), (vec!["c@reader.example", "a@reader.example"], &json!(2)));
        for (query, param) in [("?type=bounce", "type"), ("?starting_after=sup_01hzzzzzzzzzzzzzzzzzzzzzzz", "starting_after")] {
            assert_eq!(list(&house, live, query).await.refusal(400), ("invalid_parameter".into(), param.into()));
        }
    }

    async fn live_and_test_suppressions_are_apart(engine: Engine) {
        let house = House::start(engine).await;
        let (live, test) = (&house.account.live, &house.account.test);
        let made = suppress(&house, live, "ada@reader.example").await;
        assert_eq!(check(&house, test, "ada@reader.example").await["suppressed"], false);
        assert_eq!(list(&house, test, "").await.expect(200)["totalCount"], 0);
        let path = format!("/v1/suppressions/{}", made["id"].as_str().unwrap());
        assert_eq!(house.client.get(&path, test).await.refusal(404).0, "not_found");
        assert_eq!(house.client.delete(&path, test).await.refusal(404).0, "not_found");
        let after = format!("?starting_after={}", made["id"].as_str().unwrap());
        assert_eq!(list(&house, test, &after).await.refusal(400).1, "starting_after");
        assert_ne!(suppress(&house, test, "ada@reader.example").await["id"], made["id"]);
        assert_eq!(list(&house, live, "").await.expect(200)["totalCount"], 1);
    }

    async fn what_is_no_suppression_is_refused_by_its_field(engine: Engine) {
        let house = House::start(engine).await;
        for (new, param) in [
            (json!({"email": "ada"}), "email"),
            (json!({"email": "Ada <ada@reader.example>"}), "email"),
            (json!({}), "email"),
            (json!({"email": "ada@reader.example", "type": "bounce"}), "type"),
            (json!({"email": "ada@reader.example", "reason": "r".repeat(513)}), "reason"),
            (json!({"email": "ada@reader.example", "reason": "two\nlines"}), "reason"),
            (json!({"email": "ada@reader.example", "listId": "l"}), "listId"),
        ] {
            let refused = house.client.post("/v1/suppressions", &house.account.live, &new).await;
            assert_eq!(refused.refusal(400), ("invalid_parameter".into(), param.into()), "{new}");
        }
        let new = json!({"email": "ada@reader.example", "reason": "r".repeat(512)});
        house.client.post("/v1/suppressions", &house.account.live, &new).await.expect(201);
    }

    async fn webhooks_hear_of_suppressions_of_their_mode(engine: Engine) {
        let house = House::start(engine).await;
        let receiver = Receiver::start(&house.authority).await;
        for (path, key) in [("/live", &house.account.live), ("/test", &house.account.test)] {
            let hook = json!({"url": receiver.url(path), "events": ["suppression.*"]});
            house.client.post("/v1/webhooks", key, &hook).await.expect(201);
        }
        let live = &house.account.live;
        let new = json!({"email": "ada@reader.example", "type": "complaints", "reason": "a letter"});
        let made = house.client.post("/v1/suppressions", live, &new).await.expect(201);
        house.client.post("/v1/suppressions", live, &new).await.expect(201);
        house.client.delete("/v1/suppressions?email=ada@reader.example", live).await.expect(200);
        let mut hooks: Vec<_> = receiver.wait_for(2).await.iter().map(|hook| (hook.path.clone(), hook.json())).collect();
        hooks.sort_by_key(|(_, told)| told["type"].to_string());
        let data = json!({"email": "ada@reader.example", "type": "complaints", "reason": "a letter", "createdAt": made["createdAt"]});
        for ((path, told), kind) in hooks.iter().zip(["suppression.created", "suppression.deleted"]) {
            assert_eq!((path.as_str(), &told["type"], &told["data"]), ("/live", &json!(kind), &data));
        }
        stays("it was told twice", 10, async || receiver.hooks().len() == 2).await;
    }
}
