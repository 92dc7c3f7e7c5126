//! Suppressions from and to other products.

use super::{check, list};
use crate::harness::{Engine, House, Reply, on_both_engines};
use http::Method;
use serde_json::{Value, json};

const IMPORT: &str = "/v1/suppressions/import";

async fn import_csv(house: &House, text: &str) -> Reply {
    let bearer = format!("Bearer {}", house.account.live);
    // The client's own content type is for JSON only.
    let request = http::Request::builder()
        .method(Method::POST)
        .uri(IMPORT)
        .header("authorization", bearer)
        .header("content-type", "text/csv; charset=utf-8")
        .body(http_body_util::Full::from(text.to_owned()))
        .unwrap();
    house.client.send(request).await
}

on_both_engines! {
    async fn a_list_is_imported_and_what_can_not_be_read_is_named(engine: Engine) {
        let house = House::start(engine).await;
        let live = &house.account.live;
        let body = json!({"suppressions": [
            {"email": "ada@reader.example", "type": "hard_bounces", "reason": "550 no"},
            {"email": "nobody"},
            {"email": "ADA@reader.example"},
            {"email": "bo@reader.example", "reason": "two\nlines"},
            {"email": "cy@reader.example"},
        ]});
        let told = house.client.post(IMPORT, live, &body).await.expect(200);
        assert_eq!((&told["created"], &told["existing"]), (&json!(2), &json!(1)), "{told}");
        let refused: Vec<_> = told["refused"].as_array().unwrap().iter().map(|one| (one["index"].clone(), one["param"].clone())).collect();
        assert_eq!(refused, [(json!(1), json!("email")), (json!(3), json!("reason"))]);
        assert_eq!(check(&house, live, "ada@reader.example").await["type"], "hard_bounces");
        assert_eq!(check(&house, live, "cy@reader.example").await["type"], "manual");
        let again = house.client.post(IMPORT, live, &body).await.expect(200);
        assert_eq!((&again["created"], &again["existing"]), (&json!(0), &json!(3)));
        assert_eq!(house.audit_details("suppression.imported").await, [json!({"mode": "live", "entries": 3})]);
        let wrong = json!({"suppressions": [{"email": "ada@reader.example", "list": 1}]});
        let refused = house.client.post(IMPORT, live, &wrong).await.refusal(400);
        assert_eq!(refused, ("invalid_parameter".into(), "suppressions/0/list".into()));
    }

    async fn as_many_as_allowed_are_imported_at_once_and_no_more(engine: Engine) {
        let house = House::start(engine).await;
        let live = &house.account.live;
        let many = |count: usize| {
            let all: Vec<Value> = (0..count).map(|number| json!({"email": format!("r{number}@reader.example")})).collect();
            json!({"suppressions": all})
        };
        let refused = house.client.post(IMPORT, live, &many(1001)).await.refusal(400);
        assert_eq!(refused, ("invalid_parameter".into(), "suppressions".into()));
        let lines: String = (0..1001).map(|number| format!("r{number}@reader.example\n")).collect();
        assert_eq!(import_csv(&house, &format!("email\n{lines}")).await.refusal(400).1, "suppressions");
        assert_eq!(list(&house, live, "").await.expect(200)["totalCount"], 0);
        let told = house.client.post(IMPORT, live, &many(1000)).await.expect(200);
        assert_eq!(told["created"], 1000);
        assert_eq!(list(&house, live, "").await.expect(200)["totalCount"], 1000);
        let large = json!({"suppressions": [{"email": "ada@reader.example", "reason": "r".repeat(1024 * 1024)}]});
        assert_eq!(house.client.post(IMPORT, live, &large).await.refusal(413).0, "request_too_large");
    }

    async fn an_export_is_a_file_that_can_be_imported(engine: Engine) {
        let house = House::start(engine).await;
        let live = &house.account.live;
        let text = "Email,Type,Reason\r\nada@reader.example,complaints,\"a word, and \"\"more\"\"\"\r\nbo@reader.example,,\r\nx,,\r\ncy@reader.example,nothing,\r\n";
        let told = import_csv(&house, text).await.expect(200);
        assert_eq!(told["created"], 2);
        let refused: Vec<_> = told["refused"].as_array().unwrap().iter().map(|one| (one["index"].clone(), one["param"].clone())).collect();
        assert_eq!(refused, [(json!(2), json!("email")), (json!(3), json!("type"))]);
        let export = house.client.get("/v1/suppressions/export?format=csv", live).await;
        assert_eq!((export.status.as_u16(), export.header("content-type"), export.header("link")), (200, "text/csv", ""));
        let exported = house.client.get("/v1/suppressions/export", live).await.expect(200);
        assert_eq!((&exported["totalCount"], &exported["hasMore"]), (&json!(2), &json!(false)));
        assert!(exported["data"].as_array().unwrap().iter().any(|one| one["reason"] == "a word, and \"more\""));
        let only = house.client.get("/v1/suppressions/export?format=csv&type=manual", live).await.text();
        assert!(only.contains("bo@reader.example") && !only.contains("ada@"), "{only}");
        for email in ["ada@reader.example", "bo@reader.example"] {
            house.client.delete(&format!("/v1/suppressions?email={email}"), live).await.expect(200);
        }
        assert_eq!(import_csv(&house, &export.text()).await.expect(200)["created"], 2);
        let checked = check(&house, live, "ada@reader.example").await;
        assert_eq!((&checked["type"], &checked["reason"]), (&json!("complaints"), &json!("a word, and \"more\"")));
        assert_eq!(import_csv(&house, "address\nada@reader.example").await.refusal(400).1, "suppressions");
        let refused = house.client.get("/v1/suppressions/export?format=xml", live).await;
        assert_eq!(refused.refusal(400), ("invalid_parameter".into(), "format".into()));
    }
}
