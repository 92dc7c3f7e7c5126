//! The wall as a caller meets it.

use super::Neighbours;
use crate::harness::{Engine, on_both_engines};

on_both_engines! {
    async fn a_key_sees_and_changes_nothing_of_another_organization(engine: Engine) {
        let Neighbours { house, other, ours, theirs, .. } = Neighbours::move_in(engine).await;
        for (key, foreign) in [(&house.account.live, &theirs), (&other.live, &ours)] {
            for path in [
                format!("/v1/emails/{}", foreign.email),
                format!("/v1/emails/{}", foreign.email.to_uppercase()),
                format!("/v1/emails/{}/attempts", foreign.email),
                format!("/v1/emails/{}/attempts", foreign.deferred),
                format!("/v1/webhooks/{}", foreign.webhook),
                format!("/v1/session-issuers/{}", foreign.issuer),
                format!("/v1/members/{}", foreign.member),
                format!("/v1/suppressions/{}", foreign.suppression),
                format!("/v1/templates/{}", foreign.template),
                format!("/v1/relays/{}", foreign.relay),
                format!("/v1/domains/{}/reputation", foreign.domain),
            ] {
                assert_eq!(house.client.get(&path, key).await.refusal(404).0, "not_found", "{path}");
            }
            let path = format!("/v1/webhooks/{}", foreign.webhook);
            assert_eq!(house.client.delete(&path, key).await.refusal(404).0, "not_found");
            for path in [
                format!("/v1/session-issuers/{}", foreign.issuer),
                format!("/v1/members/{}", foreign.member),
                format!("/v1/suppressions/{}", foreign.suppression),
                format!("/v1/templates/{}", foreign.template),
                format!("/v1/relays/{}", foreign.relay),
            ] {
                assert_eq!(house.client.delete(&path, key).await.refusal(404).0, "not_found");
            }
            let stolen = serde_json::json!({
                "from": "a@example.com", "to": "ada@reader.example", "templateId": foreign.template, "variables": {},
            });
            let refused = house.client.post("/v1/emails", key, &stolen).await;
            assert_eq!(refused.refusal(400), ("invalid_parameter".into(), "templateId".into()));
            let member = serde_json::json!({"issuerId": foreign.issuer, "subject": "eve", "role": "analyst"});
            let refused = house.client.post("/v1/members", key, &member).await;
            assert_eq!(refused.refusal(400), ("invalid_parameter".into(), "issuerId".into()));
        }
        for (key, own) in [(&house.account.live, &ours), (&other.live, &theirs)] {
            house.client.get(&format!("/v1/webhooks/{}", own.webhook), key).await.expect(200);
        }
    }

    async fn lists_and_filters_hold_only_the_callers_own(engine: Engine) {
        let Neighbours { house, other, ours, theirs, .. } = Neighbours::move_in(engine).await;
        for (key, own, foreign) in [(&house.account.live, &ours, &theirs), (&other.live, &theirs, &ours)] {
            for edge in ["starting_after", "ending_before"] {
                let path = format!("/v1/emails?{edge}={}", foreign.email);
                let refused = house.client.get(&path, key).await.refusal(400);
                assert_eq!(refused, ("invalid_parameter".into(), edge.into()), "as if there were no such e-mail");
            }
            for query in ["", "?tags=shared"] {
                let list = house.client.get(&format!("/v1/emails{query}"), key).await.expect(200);
                let mut ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|email| email["id"].as_str().unwrap()).collect();
                ids.sort_unstable();
                let mut expected = [own.email.as_str(), own.deferred.as_str()];
                expected.sort_unstable();
                assert_eq!(ids, expected, "{query}");
                assert_eq!(list["totalCount"], 2, "{query}");
            }
            let list = house.client.get("/v1/emails?to=ada@reader.example", key).await.expect(200);
            assert_eq!(list["data"][0]["id"], own.email);
            assert_eq!(list["totalCount"], 1);
            for (path, own) in [
                ("/v1/webhooks", &own.webhook), ("/v1/suppressions", &own.suppression), ("/v1/templates", &own.template),
                ("/v1/relays", &own.relay),
            ] {
                let list = house.client.get(path, key).await.expect(200);
                assert_eq!((&list["totalCount"], &list["data"][0]["id"]), (&1.into(), &own.as_str().into()));
            }
            let refused = house.client.get(&format!("/v1/suppressions?starting_after={}", foreign.suppression), key).await;
            assert_eq!(refused.refusal(400), ("invalid_parameter".into(), "starting_after".into()));
        }
    }

    async fn events_reach_only_the_endpoints_of_their_own_organization(engine: Engine) {
        let Neighbours { house, other, receiver, ours, theirs } = Neighbours::move_in(engine).await;
        // Two sent, one delivered, one deferred, for each.
        for hook in receiver.wait_for(8).await {
            let told = hook.json();
            let email = told["data"]["emailId"].as_str().unwrap().to_owned();
            let owner = if [&ours.email, &ours.deferred].contains(&&email) { &house.account } else { &other };
            assert!(owner.org == other.org || ![&theirs.email, &theirs.deferred].contains(&&email));
            assert_eq!(hook.path, format!("/{}", owner.org));
        }
    }

    async fn a_test_key_sees_no_live_webhooks(engine: Engine) {
        let Neighbours { house, ours, .. } = Neighbours::move_in(engine).await;
        let path = format!("/v1/webhooks/{}", ours.webhook);
        assert_eq!(house.client.get(&path, &house.account.test).await.refusal(404).0, "not_found");
        assert_eq!(house.client.delete(&path, &house.account.test).await.refusal(404).0, "not_found");
        let list = house.client.get("/v1/webhooks", &house.account.test).await.expect(200);
        assert_eq!(list["totalCount"], 0);
    }
}
