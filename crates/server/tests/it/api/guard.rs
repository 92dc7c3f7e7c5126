//! What is refused before any handler sees it.

use crate::harness::{Engine, House, on_both_engines};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use sealwright::clock::Clock;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_in_any_other_form_is_refused() {
    let house = House::start(Engine::Sqlite).await;
    for path in [
        "/v1//emails",
        "/v1/./emails",
        "/v1/../v1/emails",
        "/v1/%65mails",
        "/v1/%2e%2e/v1/emails",
        "/v1/emails%00",
        "/v1/emails%252f..",
        "/v1/emails;x=1",
        "//v1/emails",
    ] {
        let refused = house.client.get(path, &house.account.live).await;
        assert_eq!(refused.refusal(400).0, "invalid_path", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_and_doubled_parameters_and_stray_bodies_are_refused() {
    let house = House::start(Engine::Sqlite).await;
    let key = &house.account.live;
    for (path, param) in [
        ("/v1/emails?page=1", "page"),
        ("/v1/emails?limit=1&limit=1", "limit"),
        ("/v1/emails?limit=0", "limit"),
        ("/v1/emails?limit=101", "limit"),
        ("/v1/emails?limit=ten", "limit"),
        ("/v1/emails?%6cimit=0", "limit"),
        ("/v1/me?limit=1", "limit"),
        ("/v1/api-keys/key_01hzzzzzzzzzzzzzzzzzzzzzzz?x", "x"),
        (
            "/v1/emails?starting_after=key_01hzzzzzzzzzzzzzzzzzzzzzzz",
            "starting_after",
        ),
    ] {
        let refused = house.client.get(path, key).await.refusal(400);
        assert_eq!(refused, ("invalid_parameter".into(), param.into()), "{path}");
    }
    let refused = house.client.call(Method::GET, "/v1/emails", key, "{}").await;
    assert_eq!(refused.refusal(400), ("invalid_parameter".into(), "body".into()));
}

on_both_engines! {
    async fn a_page_that_begins_at_nothing_is_refused(engine: Engine) {
        let house = House::start(engine).await;
        let (live, test) = (&house.account.live, &house.account.test);
        for (path, prefix) in [("/v1/emails", "email"), ("/v1/api-keys", "key"), ("/v1/members", "mem"), ("/v1/webhooks", "wh")] {
            let edges: &[&str] = if ["/v1/emails", "/v1/api-keys"].contains(&path) {
                &["starting_after", "ending_before"]
            } else {
                &["starting_after"]
            };
            for edge in edges {
                let query = format!("{path}?{edge}={prefix}_01hzzzzzzzzzzzzzzzzzzzzzzz");
                let refused = house.client.get(&query, live).await.refusal(400);
                assert_eq!(refused, ("invalid_parameter".into(), (*edge).into()), "{query}");
            }
        }
        // Nor at what the caller can't see.
        let all = house.client.get("/v1/api-keys", live).await.expect(200);
        let of_live = all["data"].as_array().unwrap().iter().find(|key| key["mode"] == "live").unwrap();
        let query = format!("/v1/api-keys?starting_after={}", of_live["id"].as_str().unwrap());
        house.client.get(&query, live).await.expect(200);
        assert_eq!(house.client.get(&query, test).await.refusal(400).1, "starting_after");
        let id = house.accepted(&house.email("ada@reader.example")).await;
        let query = format!("/v1/emails?starting_after={id}");
        house.client.get(&query, live).await.expect(200);
        assert_eq!(house.client.get(&query, test).await.refusal(400).1, "starting_after");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announced_body_that_is_empty_is_refused_in_so_many_words() {
    let house = House::start(Engine::Sqlite).await;
    for path in ["/v1/emails", "/v1/api-keys", "/v1/webhooks"] {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {}", house.account.live))
            .header("content-type", "application/json")
            .body(Full::<Bytes>::default())
            .unwrap();
        let refused = house.client.send(request).await;
        assert_eq!(refused.refusal(400).0, "invalid_json", "{path}");
        assert!(
            refused.text().contains("the request body is empty"),
            "{}",
            refused.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_caller_is_told_its_quota_with_what_the_route_does_not_know() {
    let house = House::start(Engine::Sqlite).await;
    for (path, body) in [("/v1/emails?page=1", ""), ("/v1/emails", "{}")] {
        let refused = house
            .client
            .call(Method::GET, path, &house.account.live, body)
            .await;
        assert_eq!(refused.refusal(400).0, "invalid_parameter");
        assert_eq!(refused.header("x-ratelimit-limit"), "1000", "{path}");
        // Who is not known learns nothing of the route, either.
        let refused = house.client.call(Method::GET, path, "le_wrong", body).await;
        assert_eq!(refused.refusal(401).0, "unauthorized");
        assert_eq!(refused.header("x-ratelimit-limit"), "", "{path}");
    }
    let stranger = Request::get("/v1/openapi.json?page=1")
        .body(Full::<Bytes>::default())
        .unwrap();
    let refused = house.client.send(stranger).await;
    assert_eq!(refused.refusal(400).1, "page");
    assert_eq!(refused.header("x-ratelimit-limit"), "60");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_a_good_key_does_not_tell_why_by_its_time() {
    let house = House::start(Engine::Sqlite).await;
    let unknown = sealwright::features::keys::Key::generate(
        sealwright::features::keys::Style::Le,
        sealwright::mode::Mode::Live,
        || [9; 32],
    );
    let mut malformed = unknown.expose().to_owned();
    malformed.pop();
    let mut times = [Vec::new(), Vec::new()];
    for n in 1..=20 {
        // From ever other addresses, because a network that fails too often is not heard any more.
        let client = house.client.at([127, 0, 2, n]);
        for (kind, key) in [unknown.expose(), malformed.as_str()].into_iter().enumerate() {
            let request = Request::get("/v1/emails")
                .header("authorization", format!("Bearer {key}"))
                .body(Full::<Bytes>::default())
                .unwrap();
            let since = Clock::System.now();
            client.send(request).await.refusal(401);
            times[kind].push(Clock::System.now().since(since));
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let [unknown, malformed] = &mut times;
    let (unknown, malformed) = (median(unknown), median(malformed));
    // Generous: both wait for the same instant, and a look-up alone takes less than this.
    assert!(
        unknown.abs_diff(malformed) < Duration::from_millis(10),
        "{unknown:?} {malformed:?}"
    );
    assert!(malformed >= Duration::from_millis(25), "{malformed:?}");
}
