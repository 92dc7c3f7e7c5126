//! The OpenAPI document: complete, resolvable, committed, served.

use crate::harness::{Engine, House, People, on_both_engines};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use sealwright::entry::api::{Access, Code, document, routes};
use sealwright::features::delivery::Category;
use sealwright::features::domains::{self, RecordPurpose, RecordType, Shows};
use sealwright::features::emails::{AttemptState, Kind, Status, Stream};
use sealwright::features::events::Type;
use sealwright::features::keys::Period;
use sealwright::features::orgs::{ExposurePolicy, Plan};
use sealwright::features::people::{Algorithm, Permissions, Role};
use sealwright::features::relays;
use sealwright::features::reputation;
use sealwright::features::suppressions;
use sealwright::features::webhooks::{self, DeliveryStatus, Health};
use sealwright::mode::Mode;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn told() -> Value {
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
        committed == told(),
        "run `sealwright openapi > docs/openapi.json`"
    );
}

#[test]
fn every_route_is_in_the_document_and_nothing_else() {
    let document = told();
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
    let document = told();
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
fn every_operation_has_a_tag_its_callers_and_the_refusals_of_all() {
    let document = told();
    let mut names = BTreeSet::new();
    for route in routes().iter() {
        let method = route.method.as_str().to_lowercase();
        let operation = &document["paths"][route.path][&method];
        let what = format!("{method} {}", route.path);
        assert!(
            names.insert(operation["operationId"].to_string()),
            "{what} bears the name of another"
        );
        let resource = route.path.split('/').nth(2).unwrap();
        assert_eq!(operation["tags"], json!([resource]), "{what}");
        let (callers, refusals, takes_mode) = if route.access == Access::Anyone {
            (json!([{}]), &["400", "429", "default"][..], false)
        } else {
            let session = json!({ "session": [], "organization": [] });
            (
                json!([{ "bearer": [] }, session]),
                &["400", "401", "403", "429", "default"][..],
                true,
            )
        };
        assert_eq!(operation["security"], callers, "{what}");
        for refusal in refusals {
            let target = operation["responses"][refusal]["$ref"].as_str();
            let answer = document
                .pointer(target.unwrap().strip_prefix('#').unwrap())
                .unwrap();
            let body = &answer["content"]["application/json"]["schema"]["$ref"];
            assert_eq!(body, "#/components/schemas/Refusal", "{what} {refusal}");
        }
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let mode = json!({ "$ref": "#/components/parameters/Sealwright-Mode" });
        assert_eq!(parameters.contains(&mode), takes_mode, "{what}");
    }
}

#[test]
fn every_enum_is_the_list_of_its_type() {
    let names = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let aliases = Permissions::aliases().map(str::to_owned);
    let permissions = Permissions::vocabulary();
    let expected = [
        (
            "AskedPermission",
            permissions.iter().cloned().chain(aliases).collect(),
        ),
        ("AttemptState", names(&AttemptState::ALL.map(AttemptState::name))),
        ("BounceCategory", names(&Category::ALL.map(Category::name))),
        (
            "DnsRecordPurpose",
            names(&RecordPurpose::ALL.map(RecordPurpose::name)),
        ),
        ("DnsRecordStatus", names(&Shows::ALL.map(Shows::name))),
        ("DnsRecordType", names(&RecordType::ALL.map(RecordType::name))),
        ("DomainKind", names(&["sending"])),
        (
            "DomainRoute",
            names(&domains::Route::ALL.map(domains::Route::name)),
        ),
        (
            "DomainStatus",
            names(&domains::Status::ALL.map(domains::Status::name)),
        ),
        ("EmailStatus", names(&Status::ALL.map(Status::name))),
        ("EmailStream", names(&Stream::ALL.map(Stream::name))),
        ("EventPattern", webhooks::event_patterns()),
        ("EventType", names(&Type::ALL.map(Type::name))),
        ("ExportFormat", names(&["json", "csv"])),
        (
            "KeyExposurePolicy",
            names(&ExposurePolicy::ALL.map(ExposurePolicy::name)),
        ),
        ("Mode", names(&Mode::ALL.map(Mode::name))),
        ("Permission", permissions),
        ("Plan", names(&Plan::ALL.map(Plan::name))),
        ("Prefix", names(&["le", "mp"])),
        ("RatePeriod", names(&Period::ALL.map(Period::name))),
        ("RecipientKind", names(&Kind::ALL.map(Kind::name))),
        ("RelayProvider", names(&relays::Kind::ALL.map(relays::Kind::name))),
        (
            "RelayStatus",
            names(&relays::Status::ALL.map(relays::Status::name)),
        ),
        (
            "ReputationStatus",
            names(&reputation::Status::ALL.map(reputation::Status::name)),
        ),
        ("Role", names(&Role::ALL.map(Role::name))),
        ("SessionAlgorithm", names(&Algorithm::ALL.map(Algorithm::name))),
        (
            "SuppressionType",
            names(&suppressions::Type::ALL.map(suppressions::Type::name)),
        ),
        ("TlsDemand", names(&domains::Tls::ALL.map(domains::Tls::name))),
        ("WebhookAuthType", names(&["none", "basic", "oauth2"])),
        (
            "WebhookDeliveryStatus",
            names(&DeliveryStatus::ALL.map(DeliveryStatus::name)),
        ),
        (
            "WebhookDisabledReason",
            names(&webhooks::Disabled::ALL.map(webhooks::Disabled::name)),
        ),
        ("WebhookMinTls", names(&["1.2", "1.3"])),
        (
            "WebhookReplayScope",
            names(&webhooks::Scope::ALL.map(webhooks::Scope::name)),
        ),
        ("WebhookStatus", names(&Health::ALL.map(Health::name))),
        ("WebhookSwitch", names(&["active", "disabled"])),
    ];
    let document = told();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let enums = schemas.iter().filter(|(_, schema)| schema.get("enum").is_some());
    let found: Vec<_> = enums
        .map(|(name, schema)| (name.as_str(), schema["enum"].clone()))
        .collect();
    assert_eq!(
        found,
        expected.map(|(name, words): (_, Vec<String>)| (name, json!(words)))
    );
}

#[test]
fn no_field_that_is_a_word_is_told_to_be_any_text() {
    let document = told();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        let Some(fields) = schema["properties"].as_object() else {
            continue;
        };
        for word in [
            "status",
            "mode",
            "state",
            "kind",
            "role",
            "plan",
            "permissions",
            "events",
            "lastDeliveryStatus",
            "algorithm",
        ] {
            let told = fields
                .get(word)
                .is_none_or(|field| field.to_string().contains("$ref"));
            assert!(told, "{name}.{word} may be any text");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_bear_the_headers_that_the_document_names() {
    let house = House::start(Engine::Sqlite).await;
    let key = &house.account.live;
    let email = json!({ "from": house.account.address("shop"), "to": "ada@example.net", "subject": "Hello", "text": "Hello." });
    let ask = |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path);
        request.header("authorization", format!("Bearer {key}"))
    };
    let send = || {
        let request = ask("POST", "/v1/emails").header("content-type", "application/json");
        let request = request.header("idempotency-key", "once");
        request.body(Full::from(email.to_string())).unwrap()
    };
    house.client.send(send()).await.expect(200);
    let document = told();
    let me = ask("GET", "/v1/me").body(Full::default()).unwrap();
    let anybody = Request::get("/v1/openapi.json").body(Full::default()).unwrap();
    for (operation, request) in [
        (&document["paths"]["/v1/emails"]["post"], send()),
        (&document["paths"]["/v1/me"]["get"], me),
        (&document["paths"]["/v1/openapi.json"]["get"], anybody),
    ] {
        let reply = house.client.send(request).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let named = operation["responses"]["200"]["headers"].as_object().unwrap();
        assert!(named.len() >= 6, "{operation}");
        for name in named.keys() {
            assert!(
                reply.headers.contains_key(name),
                "{} lacks {name}",
                operation["operationId"]
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
    let text = told().to_string();
    for code in codes {
        assert!(
            page.contains(&format!("[{code}](#{code})")),
            "{code} is not in the table of docs/errors.md"
        );
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
    assert!(served == told());
}

on_both_engines! {
    async fn a_change_takes_null_where_the_document_says_so_and_nowhere_else(engine: Engine) {
        let house = House::start(engine).await;
        let people = People::of(&house, &house.account).await;
        let made = house.client.post("/v1/api-keys", &house.account.live, &json!({"name": "kept"})).await.expect(201);
        let domains = house.client.get("/v1/domains", &house.account.live).await.expect(200);
        let email = house.accepted(&house.email("ada@reader.example")).await;
        let parts = json!({"name": "Welcome", "html": "<p>Hello</p>", "text": "Hello"});
        let template = house.client.post("/v1/templates", &house.account.live, &parts).await.expect(201);
        let relay = json!({"name": "kept", "provider": "resend", "credentials": {"apiKey": "re_1"}});
        let relay = house.client.post("/v1/relays", &house.account.live, &relay).await.expect(201);
        let hook = json!({"url": "https://hooks.example/in", "events": ["*"]});
        let hook = house.client.post("/v1/webhooks", &house.account.live, &hook).await.expect(201);
        let document = told();
        let mut tried = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            let Some(operation) = item.get("patch") else { continue };
            let schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
            let schema = document.pointer(schema.strip_prefix('#').unwrap()).unwrap();
            let id = match path.as_str() {
                "/v1/api-keys/{id}" => made["id"].as_str().unwrap(),
                "/v1/members/{id}" => people.members[1].as_str(),
                "/v1/domains/{id}" => domains["data"][0]["id"].as_str().unwrap(),
                "/v1/emails/{id}" => email.as_str(),
                "/v1/templates/{id}" => template["id"].as_str().unwrap(),
                "/v1/relays/{id}" => relay["id"].as_str().unwrap(),
                "/v1/webhooks/{id}" => hook["id"].as_str().unwrap(),
                "/v1/settings" => "",
                other => panic!("this test has nothing at {other} to change"),
            };
            for (field, described) in schema["properties"].as_object().unwrap() {
                let described = described.to_string();
                let is_taken = described.contains("\"null\"");
                let change = json!({field: null}).to_string();
                if path == "/v1/templates/{id}" {
                    // One of its parts has to stay.
                    let path = path.replace("{id}", id);
                    house.client.call(Method::PATCH, &path, &house.account.live, parts.to_string()).await.expect(200);
                }
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
        assert_eq!(tried, 7 + 4 + 6 + 1 + 1 + 3 + 7 + 8);
        let kept = house.client.get(&format!("/v1/api-keys/{}", made["id"].as_str().unwrap()), &house.account.live).await.expect(200);
        assert_eq!(kept["name"], "kept");
    }
}
