//! Every route with every permission, in both modes, for two organizations: the table says who may, and the server agrees.

use crate::harness::{Client, Engine, House, People, Reply, account, key, on_both_engines};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use sealwright::entry::api::{Access, Route, routes};
use sealwright::features::people::{Permissions, Role};
use sealwright::mode::Mode;
use std::collections::BTreeSet;

/// Calls a route with an id that nobody has and a body that no route takes: what is refused for its form was let in.
async fn call(client: &Client, route: &Route, headers: &[(&str, String)]) -> Reply {
    let mut request = Request::builder().method(&route.method).uri(
        route
            .path
            .replace("{id}", NOBODYS)
            .replace("{delivery_id}", NOBODYS),
    );
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let mut body = Bytes::new();
    if route.has_body {
        request = request.header("content-type", "application/json");
        body = Bytes::from_static(b"{\"no such field\":1}");
    }
    client.send(request.body(Full::new(body)).unwrap()).await
}

const NOBODYS: &str = "none_01hzzzzzzzzzzzzzzzzzzzzzzz";

/// Calls every route and looks that it was let in exactly where these permissions are enough.
async fn assert_admitted(
    client: &Client,
    (permissions, mode): (&Permissions, Mode),
    who: &str,
    headers: &[(&str, String)],
) {
    for route in routes().iter() {
        let reply = call(client, route, headers).await;
        let what = format!("{} {} with {who}: {}", route.method, route.path, reply.text());
        match route.access {
            Access::Needs(wanted) | Access::NeedsLive(wanted) if !permissions.allow(wanted) => {
                assert_eq!(reply.refusal(403).0, "forbidden", "{what}");
                assert!(reply.text().contains(wanted), "{what}");
            }
            Access::NeedsLive(_) if mode == Mode::Test => {
                assert_eq!(reply.refusal(403).0, "forbidden", "{what}");
                assert!(reply.text().contains("live"), "{what}");
            }
            Access::Needs(_) | Access::NeedsLive(_) | Access::Authenticated | Access::Anyone => {
                assert!(
                    ![401, 403, 405, 500, 503].contains(&reply.status.as_u16()),
                    "{what}"
                );
            }
        }
    }
}

on_both_engines! {
    async fn a_route_lets_in_who_has_its_permission_and_nobody_else(engine: Engine) {
        let house = House::start(engine).await;
        for mode in [Mode::Live, Mode::Test] {
            for permission in Permissions::KNOWN {
                let key = key(&house.platform, &house.account.org, mode, &[permission]).await;
                let permissions = Permissions::parse(&[(*permission).to_owned()]).unwrap();
                let bearer = [("authorization", format!("Bearer {key}"))];
                assert_admitted(&house.client, (&permissions, mode), permission, &bearer).await;
            }
        }
        for (route, n) in routes().iter().zip(1..) {
            // Each from an address of its own, because a network that fails too often is not heard any more.
            let reply = call(&house.client.at([127, 0, 3, n]), route, &[]).await;
            if route.access == Access::Anyone {
                assert_ne!(reply.status, 401, "{}", route.path);
            } else {
                assert_eq!(reply.refusal(401).0, "unauthorized", "{}", route.path);
            }
        }
    }

    async fn a_route_lets_in_members_by_their_role_and_nobody_else(engine: Engine) {
        let house = House::start(engine).await;
        let people = People::of(&house, &house.account).await;
        for mode in [Mode::Live, Mode::Test] {
            for role in Role::ALL {
                let headers = [
                    ("authorization", format!("Bearer {}", people.token(role))),
                    ("sealwright-organization", people.org.clone()),
                    ("sealwright-mode", mode.name().to_owned()),
                ];
                assert_admitted(&house.client, (&role.permissions(), mode), role.name(), &headers).await;
            }
        }
    }

    async fn what_is_another_organizations_is_answered_like_what_does_not_exist(engine: Engine) {
        let house = House::start(engine).await;
        let other = account(&house.platform, "Other", "other.example").await;
        let theirs = house.client.get("/v1/api-keys", &other.live).await.expect(200);
        let key = theirs["data"][0]["id"].as_str().unwrap();
        let email = serde_json::json!({"from": other.address("a"), "to": "ada@reader.example", "subject": "s", "text": "t"});
        let email = house.client.post("/v1/emails", &other.live, &email).await.expect(200);
        let hook = serde_json::json!({"url": "https://hooks.example/x", "events": ["*"]});
        let hook = house.client.post("/v1/webhooks", &other.live, &hook).await.expect(201);
        let test = format!("/v1/webhooks/{}/test", hook["id"].as_str().unwrap());
        let sample = serde_json::json!({"eventType": "email.sent"});
        let delivery = house.client.post(&test, &other.live, &sample).await.expect(200);
        let people = People::of(&house, &other).await;
        let suppression = serde_json::json!({"email": "gone@reader.example"});
        let suppression = house.client.post("/v1/suppressions", &other.live, &suppression).await.expect(201);
        let template = serde_json::json!({"name": "Welcome", "text": "Hello"});
        let template = house.client.post("/v1/templates", &other.live, &template).await.expect(201);
        let relay = serde_json::json!({"name": "theirs", "provider": "resend", "credentials": {"apiKey": "re_1"}});
        let relay = house.client.post("/v1/relays", &other.live, &relay).await.expect(201);
        let domains = house.client.get("/v1/domains", &other.live).await.expect(200);
        let domain = domains["data"][0]["id"].as_str().unwrap();
        let tomorrow = house.clock.now().plus(std::time::Duration::from_secs(86_400)).rfc3339();
        let move_email = format!("{{\"scheduledAt\":\"{tomorrow}\"}}");
        for route in routes().iter().filter(|route| route.path.contains("{id}")) {
            let foreign = match route.path.split('/').nth(2).unwrap() {
                "api-keys" => key,
                "emails" => email["id"].as_str().unwrap(),
                "domains" => domain,
                "suppressions" => suppression["id"].as_str().unwrap(),
                "templates" => template["id"].as_str().unwrap(),
                "relays" => relay["id"].as_str().unwrap(),
                "webhooks" => hook["id"].as_str().unwrap(),
                "session-issuers" => people.issuer.as_str(),
                "members" => people.members[0].as_str(),
                area => panic!("this test has nothing of {area} to try"),
            };
            let with_body = |key: &str| {
                let delivery = delivery["deliveryId"].as_str().unwrap();
                let path = route.path.replace("{id}", foreign).replace("{delivery_id}", delivery);
                let body = match (route.operation, route.has_body) {
                    ("changeMember", _) => "{\"role\":\"analyst\"}",
                    ("updateDomain", _) => "{\"ed25519\":true}",
                    ("updateEmail", _) => &move_email,
                    ("testWebhook", _) => "{\"eventType\":\"email.sent\"}",
                    ("replayWebhook", _) => "{\"since\":\"2026-01-01T00:00:00Z\"}",
                    (_, true) => "{}",
                    (_, false) => "",
                }
                .to_owned();
                let (client, method, key) = (house.client.clone(), route.method.clone(), key.to_owned());
                async move { client.call(method, &path, &key, body).await }
            };
            let refused = with_body(&house.account.live).await;
            assert_eq!(refused.refusal(404).0, "not_found", "{} {}", route.method, route.path);
            if route.method == Method::GET {
                assert_eq!(with_body(&other.live).await.status.as_u16(), 200, "{}", route.path);
            }
        }
    }
}

#[test]
fn every_permission_opens_a_route_and_every_route_asks_for_one_that_exists() {
    let routes = routes();
    let asked: BTreeSet<_> = routes
        .iter()
        .filter_map(|route| route.access.permission())
        .collect();
    let known: BTreeSet<_> = Permissions::KNOWN.iter().copied().collect();
    assert_eq!(asked, known);
}

#[test]
fn the_page_of_permissions_is_the_one_that_the_program_prints() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/permissions.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        page,
        sealwright::entry::api::permissions(),
        "run `sealwright permissions > docs/permissions.md`"
    );
}
