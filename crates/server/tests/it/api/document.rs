//! The OpenAPI document: complete, resolvable, committed, served.

use crate::harness::{Engine, House, People, on_both_engines};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use sealwright::entry::api::{Code, document, routes};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn described() -> Value {
    serde_json::to_value(document()).unwrap()
}

fn docs(file: &str) -> String {
    let path = format!("{}/../../docs/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn the_committed_document_is_the_one_that_the_program_prints() {
    let committed: Value = serde_json::from_str(&docs("openapi.json")).unwrap_or_default();
    assert!(
        committed == described(),
        "run `sealwright openapi > docs/openapi.json`"
    );
}

#[test]
fn every_route_is_in_the_document_and_nothing_else() {
    let document = described();
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            documented.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let routes: BTreeSet<_> = routes()
        .iter()
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert_eq!(documented, routes);
}

#[test]
fn every_reference_resolves_and_every_operation_is_described() {
    fn references<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if let (true, Some(target)) = (name == "$ref", value.as_str()) {
                        found.push(target);
                    }
                    references(value, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = described();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "only {} references", found.len());
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            for field in ["operationId", "summary"] {
                assert!(
                    operation[field].as_str().is_some_and(|text| !text.is_empty()),
                    "{what}: {field}"
                );
            }
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{what} has no success"
            );
            assert!(responses.contains_key("default"), "{what} has no refusal");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            assert_eq!(
                path.contains("{id}"),
                parameters.iter().any(|parameter| parameter["in"] == "path"),
                "{what}"
            );
        }
    }
}

#[test]
fn every_code_is_explained_and_in_the_document() {
    let page = docs("errors.md");
    let explained: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(str::trim)
        .collect();
    let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
    let missing: Vec<_> = codes.difference(&explained).collect();
    assert!(missing.is_empty(), "docs/errors.md does not explain {missing:?}");
    let text = described().to_string();
    for code in codes {
        assert!(
            text.contains(&format!("\"{code}\"")),
            "{code} is not in the document"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_serves_its_document_to_anyone() {
    let house = House::start(Engine::Sqlite).await;
    let request = Request::get("/v1/openapi.json")
        .body(Full::<Bytes>::default())
        .unwrap();
    let served = house.client.send(request).await.expect(200);
    assert!(served == described());
}

on_both_engines! {
    async fn a_change_takes_null_where_the_document_says_so_and_nowhere_else(engine: Engine) {
        let house = House::start(engine).await;
        let people = People::of(&house, &house.account).await;
        let made = house.client.post("/v1/api-keys", &house.account.live, &json!({"name": "kept"})).await.expect(201);
        let document = described();
        let mut tried = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            let Some(operation) = item.get("patch") else { continue };
            let schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
            let schema = document.pointer(schema.strip_prefix('#').unwrap()).unwrap();
            let id = match path.as_str() {
                "/v1/api-keys/{id}" => made["id"].as_str().unwrap(),
                "/v1/members/{id}" => people.members[1].as_str(),
                "/v1/settings" => "",
                other => panic!("this test has nothing at {other} to change"),
            };
            for (field, described) in schema["properties"].as_object().unwrap() {
                let described = described.to_string();
                let is_taken = described.contains("\"null\"");
                let change = json!({field: null}).to_string();
                let reply = house.client.call(Method::PATCH, &path.replace("{id}", id), &house.account.live, change).await;
                if is_taken {
                    let changed = reply.expect(200);
                    assert_eq!(changed[field], Value::Null, "{path} {field}");
                } else {
                    assert_eq!(reply.refusal(400), ("invalid_parameter".into(), field.clone()), "{path}");
                }
                tried += 1;
            }
        }
        assert_eq!(tried, 7 + 4 + 1);
        let kept = house.client.get(&format!("/v1/api-keys/{}", made["id"].as_str().unwrap()), &house.account.live).await.expect(200);
        assert_eq!(kept["name"], "kept");
    }
}
