//! Who may come in, and by which paths and methods.

use crate::harness::{Engine, House, Setup, key, on_both_engines};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use sealwright::clock::Clock;
use sealwright::mode::Mode;
use std::collections::BTreeSet;

fn request(headers: &[(&str, String)]) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(Method::GET).uri("/v1/emails");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    request.body(Full::default()).unwrap()
}

on_both_engines! {
    async fn every_way_of_having_no_good_key_is_refused_with_the_same_words(engine: Engine) {
        let house = House::start(engine).await;
        let good = house.account.live.clone();
        let mut mistyped = good.clone();
        mistyped.replace_range(8..9, if &good[8..9] == "x" { "y" } else { "x" });
        // Well formed, checksum and all, but of another installation.
        let stranger = sealwright::features::keys::Key::generate(
            sealwright::features::keys::Style::Le,
            Mode::Live,
            || [7; 32],
        );
        let bearer = |key: &str| ("authorization", format!("Bearer {key}"));
        let attempts = [
            vec![],
            vec![("authorization", String::new())],
            vec![("authorization", "Bearer".to_owned())],
            vec![("authorization", good.clone())],
            vec![("authorization", format!("Basic {good}"))],
            vec![("x-api-key", good.clone())],
            vec![bearer(&mistyped)],
            vec![bearer(&good[..good.len() - 1])],
            vec![bearer(&format!("{good}0"))],
            vec![bearer(stranger.expose())],
            vec![bearer(&good), bearer(&good)],
        ];
        let mut words = BTreeSet::new();
        for (headers, n) in attempts.iter().zip(1..) {
            // Each from an address of its own, because a network that fails too often is not heard any more.
            let reply = house.client.at([127, 0, 1, n]).send(request(headers)).await;
            assert_eq!(reply.refusal(401).0, "unauthorized");
            assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"sealwright\"");
            words.insert(reply.json()["error"]["message"].to_string());
        }
        assert_eq!(words.len(), 1, "{words:?}");
        house.client.send(request(&[bearer(&good)])).await.expect(200);
        house.client.send(request(&[("authorization", format!("bearer {good}"))])).await.expect(200);
    }

    async fn a_key_does_what_it_may_and_nothing_else(engine: Engine) {
        let house = House::start(engine).await;
        let email = house.email("ada@reader.example");
        let reads = key(&house.platform, &house.account.org, Mode::Live, &["emails:read"]).await;
        let sends = key(&house.platform, &house.account.org, Mode::Live, &["emails:send"]).await;
        let refused = house.client.post("/v1/emails", &reads, &email).await;
        assert_eq!(refused.refusal(403).0, "forbidden");
        assert!(refused.text().contains("emails:send"));
        house.client.post("/v1/emails", &sends, &email).await.expect(200);
        house.client.get("/v1/emails", &reads).await.expect(200);
        for path in ["/v1/emails", "/v1/emails/email_01hzzzzzzzzzzzzzzzzzzzzzzz", "/v1/webhooks"] {
            assert_eq!(house.client.get(path, &sends).await.refusal(403).0, "forbidden");
        }
    }

    async fn an_expired_key_is_refused(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let house = Setup::new(engine).clock(&clock).start().await;
        let new = sealwright::features::keys::NewKey {
            name: "short".into(),
            mode: Mode::Live,
            style: sealwright::features::keys::Style::Mp,
            permissions: sealwright::features::keys::Permissions::parse(&["*".to_owned()]).unwrap(),
            restrictions: sealwright::features::keys::Restrictions {
                expires_at: Some(clock.now().plus(std::time::Duration::from_secs(60))),
                ..Default::default()
            },
        };
        let (_, key) = sealwright::features::keys::create(&house.platform, &house.account.org, new).await.unwrap();
        assert!(key.expose().starts_with("mp_live_"));
        house.client.get("/v1/emails", key.expose()).await.expect(200);
        clock.advance(std::time::Duration::from_secs(60));
        assert_eq!(house.client.get("/v1/emails", key.expose()).await.refusal(401).0, "unauthorized");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_paths_and_methods_are_refused_in_the_apis_own_form() {
    let house = House::start(Engine::Sqlite).await;
    let key = &house.account.live;
    for path in ["/", "/v1", "/v1/email", "/v1/emails/", "/v2/emails", "/metrics"] {
        assert_eq!(
            house.client.get(path, key).await.refusal(404).0,
            "not_found",
            "{path}"
        );
    }
    let unknown_id = "/v1/emails/email_01hzzzzzzzzzzzzzzzzzzzzzzz";
    for path in [
        unknown_id,
        "/v1/emails/nonsense",
        "/v1/emails/wh_01hzzzzzzzzzzzzzzzzzzzzzzz",
    ] {
        assert_eq!(
            house.client.get(path, key).await.refusal(404).0,
            "not_found",
            "{path}"
        );
    }
    for (method, path) in [
        (Method::DELETE, "/v1/emails"),
        (Method::PUT, unknown_id),
        (Method::PATCH, "/v1/webhooks"),
    ] {
        let reply = house.client.call(method, path, key, Bytes::new()).await;
        assert_eq!(reply.refusal(405).0, "method_not_allowed");
        assert!(
            !reply.header("allow").is_empty(),
            "{path} does not say what it takes"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_told_to_anyone_and_metrics_only_on_their_own_listener() {
    let house = crate::harness::Setup::new(Engine::Sqlite)
        .set("server.admin_listen", "127.0.0.1:0")
        .start()
        .await;
    let id = house.accepted(&house.email("ada@reader.example")).await;
    house.reaches(&id, "delivered").await;
    for (path, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let reply = house.client.get(path, "").await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, text));
    }
    let text = crate::harness::plain_get(house.admin_address().unwrap(), "/metrics").await;
    for line in [
        "sealwright_emails_accepted_total 1",
        "sealwright_outcomes_total{kind=\"delivered\"} 1",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    for personal in [
        "reader.example",
        "house.example",
        house.account.org.to_string().as_str(),
    ] {
        assert!(!text.contains(personal), "a metric names {personal}");
    }
}
