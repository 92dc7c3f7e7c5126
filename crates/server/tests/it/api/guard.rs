//! What is refused before any handler sees it.

use crate::harness::{Engine, House};
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
