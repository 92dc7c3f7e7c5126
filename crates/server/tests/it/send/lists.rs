//! `GET /v1/emails`: pages, filters, and parameters that are refused.

use crate::harness::{Engine, House, on_both_engines};
use serde_json::{Value, json};

async fn list(house: &House, query: &str) -> Value {
    let path = format!("/v1/emails{query}");
    house.client.get(&path, &house.account.live).await.expect(200)
}

fn ids(list: &Value) -> Vec<&str> {
    list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|email| email["id"].as_str().unwrap())
        .collect()
}

on_both_engines! {
    async fn a_list_is_walked_in_both_directions(engine: Engine) {
        let house = House::start(engine).await;
        let mut sent = Vec::new();
        for _ in 0..23 {
            sent.push(house.accepted(&house.email("ada@reader.example")).await);
        }
        sent.reverse();
        let first = list(&house, "").await;
        assert_eq!(first["object"], "list");
        assert_eq!((ids(&first).len(), &first["hasMore"], &first["totalCount"]), (10, &json!(true), &json!(23)));
        let mut walked: Vec<String> = Vec::new();
        loop {
            let after = walked.last().map(|id| format!("&starting_after={id}")).unwrap_or_default();
            let page = list(&house, &format!("?limit=7{after}")).await;
            walked.extend(ids(&page).into_iter().map(str::to_owned));
            if page["hasMore"] == false {
                break;
            }
        }
        // Requests of one millisecond may be listed in either order, but each once and always alike.
        let (mut ours, mut theirs) = (sent.clone(), walked.clone());
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs);
        let middle = &walked[12];
        let newer = list(&house, &format!("?limit=5&ending_before={middle}")).await;
        assert_eq!(ids(&newer), walked[7..12].iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(newer["hasMore"], true);
        let newest = list(&house, &format!("?limit=100&ending_before={middle}")).await;
        assert_eq!(ids(&newest), walked[..12].iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(newest["hasMore"], false);
    }

    async fn a_list_is_filtered_by_status_recipient_tag_and_time(engine: Engine) {
        let house = House::start(engine).await;
        let mut tagged = house.email("Ada <ada@reader.example>");
        tagged["tags"] = json!(["bill", "march"]);
        let tagged = house.accepted(&tagged).await;
        let mut blind = house.email("bo@reader.example");
        blind["bcc"] = json!("ada@reader.example");
        let blind = house.accepted(&blind).await;
        let plain = house.accepted(&house.email("bo@reader.example")).await;
        for id in [&tagged, &blind, &plain] {
            house.reaches(id, "delivered").await;
        }
        let mut to_ada = vec![tagged.as_str(), blind.as_str()];
        to_ada.sort_unstable();
        for (query, expected) in [
            ("?status=delivered", 3),
            ("?status=bounced", 0),
            ("?tags=bill", 1),
            ("?tags=march", 1),
            ("?tags=april", 0),
            ("?to=ada@reader.example", 2),
            ("?to=ada%40READER.example", 2),
            ("?to=nobody@reader.example", 0),
            ("?from_date=2020-01-01", 3),
            ("?to_date=2020-01-01", 0),
            ("?from_date=2020-01-01T00:00:00%2B02:00&to_date=2999-12-31", 3),
            ("?tags=bill&to=ada@reader.example&status=delivered", 1),
            ("?tags=bill&to=bo@reader.example", 0),
        ] {
            let page = list(&house, query).await;
            assert_eq!(page["totalCount"], expected, "{query}");
            assert_eq!(ids(&page).len(), expected, "{query}");
        }
        let page = list(&house, "?to=ada@reader.example").await;
        let mut found = ids(&page);
        found.sort_unstable();
        assert_eq!(found, to_ada);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_parameter_that_is_wrong_unknown_or_doubled_is_refused_by_name() {
    let house = House::start(Engine::Sqlite).await;
    for (query, param) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=5&limit=5", "limit"),
        ("starting_after=canary", "starting_after"),
        ("ending_before=wh_01hzzzzzzzzzzzzzzzzzzzzzzz", "ending_before"),
        ("status=canary", "status"),
        ("from_date=canary", "from_date"),
        ("to_date=2026-13-01", "to_date"),
        ("to=canary", "to"),
        ("page=2", "page"),
    ] {
        let reply = house
            .client
            .get(&format!("/v1/emails?{query}"), &house.account.live)
            .await;
        assert_eq!(reply.refusal(400).1, param, "{query}");
        assert!(!reply.text().contains("canary"), "{query} is echoed");
    }
}
