//! Pages: which of them a browser lets call, and which of them it lets read.

use super::{assert_unknown, whole_second};
use crate::harness::{Account, Engine, House, People, Reply, Setup, account, on_both_engines};
use http::Method;
use sealwright::clock::Clock;
use sealwright::entry::api::{Access, routes};
use sealwright::features::people::Role;
use serde_json::json;
use std::time::Duration;

const OURS: &str = "https://app.example.com";
const THEIRS: &str = "https://app.other.example";
/// Listed by nobody, one for each way to be near.
const FOREIGN: [&str; 9] = [
    "https://evil.example",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.evil.example",
    "https://evil-app.example.com",
    "https://APP.example.com",
    "https://app.example.com/",
    "null",
    "*",
];

/// Two organizations that list a page each, and people of the first.
struct Scene {
    house: House,
    people: People,
    other: Account,
    clock: Clock,
}

impl Scene {
    async fn set(engine: Engine) -> Self {
        let clock = whole_second();
        let house = Setup::new(engine).clock(&clock).start().await;
        let other = account(&house.platform, "Other", "other.example").await;
        let people = People::of(&house, &house.account).await;
        list(&house, &house.account, &[OURS]).await;
        list(&house, &other, &[THEIRS]).await;
        Self {
            house,
            people,
            other,
            clock,
        }
    }

    async fn preflight(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.house
            .client
            .call_with(Method::OPTIONS, path, headers, "")
            .await
    }

    async fn page_calls(&self, role: Role, method: Method, path: &str, page: &str, body: &str) -> Reply {
        let token = self.people.token(role);
        let page = [("origin", page), ("sec-fetch-site", "cross-site")];
        self.people.call(method, path, &token, &page, body).await
    }

    async fn page_with_key(&self, key: &str, page: &str) -> Reply {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("origin", page)];
        self.house
            .client
            .call_with(Method::GET, "/v1/me", &headers, "")
            .await
    }
}

async fn list(house: &House, account: &Account, origins: &[&str]) {
    let body = json!({"browserOrigins": origins}).to_string();
    let changed = house
        .client
        .call(Method::PATCH, "/v1/settings", &account.live, body)
        .await;
    changed.expect(200);
}

/// Headers that a browser acts on.
fn told(reply: &Reply) -> Vec<(String, String)> {
    let mut told: Vec<_> = reply
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
        .filter(|(name, _)| name.starts_with("access-control-") || name == "vary")
        .collect();
    told.sort();
    told
}

fn readable_by(page: &str) -> Vec<(String, String)> {
    [("access-control-allow-origin", page), ("vary", "origin")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

on_both_engines! {
    async fn a_preflight_of_a_listed_page_is_told_what_the_table_of_routes_has(engine: Engine) {
        let scene = Scene::set(engine).await;
        for route in routes().iter() {
            let path = route.path.replace("{id}", "x").replace("{delivery_id}", "x");
            let asked = ("access-control-request-method", route.method.as_str());
            for page in [OURS, THEIRS] {
                let reply = scene.preflight(&path, &[("origin", page), asked]).await;
                let what = format!("{} {path}", route.method);
                if route.access == Access::Anyone {
                    assert_eq!(reply.refusal(403).0, "browser_use_forbidden", "{what}");
                    assert!(told(&reply).is_empty(), "{what}: {:?}", told(&reply));
                    continue;
                }
                assert_eq!(reply.status, 204, "{what}");
                let all = routes();
                let methods: Vec<_> = all.iter().filter(|other| other.path == route.path).map(|other| other.method.as_str()).collect();
                let headers = "authorization, content-type, idempotency-key, sealwright-organization, sealwright-mode";
                let expected = [
                    ("access-control-allow-headers", headers),
                    ("access-control-allow-methods", &methods.join(", ")),
                    ("access-control-allow-origin", page),
                    ("access-control-max-age", "600"),
                    ("vary", "origin"),
                ];
                assert_eq!(told(&reply), expected.map(|(name, value)| (name.to_owned(), value.to_owned())), "{what}");
                assert!(reply.body.is_empty());
            }
        }
    }

    async fn any_other_preflight_is_told_nothing(engine: Engine) {
        let scene = Scene::set(engine).await;
        let asked = ("access-control-request-method", "POST");
        for page in FOREIGN {
            let reply = scene.preflight("/v1/emails", &[("origin", page), asked]).await;
            assert_eq!(reply.refusal(403).0, "browser_use_forbidden", "{page}");
            assert!(told(&reply).is_empty(), "{page}: {:?}", told(&reply));
        }
        for (path, headers) in [
            ("/v1/emails", vec![("origin", OURS)]),
            ("/v1/emails", vec![("sec-fetch-site", "cross-site"), asked]),
            ("/v1/nothing", vec![("origin", OURS), asked]),
            ("/metrics", vec![("origin", OURS), asked]),
            ("/", vec![("origin", OURS), asked]),
        ] {
            let reply = scene.preflight(path, &headers).await;
            assert_eq!(reply.refusal(403).0, "browser_use_forbidden", "{path} {headers:?}");
            assert!(told(&reply).is_empty(), "{path}: {:?}", told(&reply));
        }
    }

    async fn a_listed_page_reads_every_answer_to_its_session(engine: Engine) {
        let scene = Scene::set(engine).await;
        let email = scene.house.email("ada@reader.example").to_string();
        for (role, method, path, body, status) in [
            (Role::Developer, Method::GET, "/v1/me", "", 200),
            (Role::Developer, Method::POST, "/v1/emails", email.as_str(), 200),
            (Role::Developer, Method::POST, "/v1/api-keys", "{}", 201),
            (Role::Developer, Method::POST, "/v1/emails", "{}", 400),
            (Role::Developer, Method::GET, "/v1/emails/x", "", 404),
            (Role::Analyst, Method::POST, "/v1/emails", email.as_str(), 403),
            (Role::Billing, Method::GET, "/v1/settings", "", 403),
        ] {
            let reply = scene.page_calls(role, method.clone(), path, OURS, body).await;
            assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
            assert_eq!(told(&reply), readable_by(OURS), "{method} {path}");
        }
        // A server may use its user's session as well: it says no origin, and no page is let in.
        let reply = scene.people.me(&scene.people.token(Role::Analyst)).await;
        assert_eq!((reply.status.as_u16(), told(&reply)), (200, Vec::new()));
    }

    async fn a_page_that_is_not_listed_is_refused_and_reads_nothing(engine: Engine) {
        let scene = Scene::set(engine).await;
        for page in FOREIGN.into_iter().chain([THEIRS]) {
            let reply = scene.page_calls(Role::Owner, Method::GET, "/v1/me", page, "").await;
            assert_eq!(reply.refusal(403).0, "origin_not_allowed", "{page}");
            assert!(told(&reply).is_empty(), "{page}: {:?}", told(&reply));
        }
        let page = [("origin", OURS)];
        let bad = scene.people.call(Method::GET, "/v1/me", "a.b.c", &page, "").await;
        assert_unknown(&bad, "a session that does not work");
        assert!(told(&bad).is_empty());
        for (method, path) in [(Method::GET, "/v1/nothing"), (Method::PUT, "/v1/emails"), (Method::GET, "/v1/openapi.json")] {
            let reply = scene.page_calls(Role::Owner, method, path, OURS, "").await;
            assert!(told(&reply).is_empty(), "{path}: {:?}", told(&reply));
        }
        // What is taken off the list is refused within a second, also to the preflight.
        scene.page_calls(Role::Owner, Method::GET, "/v1/me", OURS, "").await.expect(200);
        list(&scene.house, &scene.house.account, &[]).await;
        scene.clock.advance(Duration::from_secs(1));
        let refused = scene.page_calls(Role::Owner, Method::GET, "/v1/me", OURS, "").await;
        assert_eq!(refused.refusal(403).0, "origin_not_allowed");
        let asked = [("origin", OURS), ("access-control-request-method", "GET")];
        assert_eq!(scene.preflight("/v1/me", &asked).await.status, 403);
    }

    async fn a_key_on_a_listed_page_is_refused_and_burned_all_the_same(engine: Engine) {
        let scene = Scene::set(engine).await;
        let key = &scene.other.test;
        let reply = scene.page_with_key(key, THEIRS).await;
        assert_eq!(reply.refusal(403).0, "browser_use_forbidden");
        assert!(told(&reply).is_empty());
        let keys = scene.house.client.get("/v1/api-keys", &scene.other.live).await.expect(200);
        let burned = keys["data"].as_array().unwrap().iter().find(|key| key["mode"] == "test").unwrap();
        assert_ne!(burned["exposedAt"], json!(null));
    }
}
