//! The OpenAPI document: complete, resolvable, committed, served.

use crate::harness::{Engine, House};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use sealwright::entry::api::{Code, document, routes};
use serde_json::Value;
use std::collections::BTreeSet;

fn json() -> Value {
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
        committed == json(),
        "run `sealwright openapi > docs/openapi.json`"
    );
}

#[test]
fn every_route_is_in_the_document_and_nothing_else() {
    let document = json();
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
    let document = json();
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
    let text = json().to_string();
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
    assert!(served == json());
}
