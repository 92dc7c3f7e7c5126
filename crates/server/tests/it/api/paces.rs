//! How much a caller may ask: quotas of plan and key, tries of strangers, bans.

use crate::harness::{Engine, House, Reply, Setup, key, on_both_engines};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use sealwright::clock::Clock;
use sealwright::features::orgs::{self, NewOrg, Plan};
use sealwright::mode::Mode;
use serde_json::json;
use std::time::Duration;

/// A house whose time stands still, so that no quota comes back meanwhile.
async fn still(engine: Engine) -> (House, Clock) {
    let clock = Clock::manual(Clock::System.now());
    (Setup::new(engine).clock(&clock).start().await, clock)
}

async fn key_on(house: &House, plan: Plan, rate: Option<u32>) -> String {
    let new = NewOrg {
        name: "Paced",
        plan,
        rate_per_second: rate,
        region: "us",
    };
    let org = orgs::create(&house.platform, new).await.unwrap().id;
    key(&house.platform, &org, Mode::Live, &["*"]).await
}

/// Asks until refused, at most `most` times; how often it went well, and the refusal.
async fn ask(house: &House, key: &str, most: u32) -> (u32, Option<Reply>) {
    for asked in 0..most {
        let reply = house.client.get("/v1/me", key).await;
        if reply.status == 429 {
            return (asked, Some(reply));
        }
        assert_eq!(reply.status, 200);
    }
    (most, None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_plan_has_its_pace_and_says_so_in_both_families_of_headers() {
    let (house, clock) = still(Engine::Sqlite).await;
    for (plan, rate, expected) in [
        (Plan::Free, None, 10),
        (Plan::Pro, None, 100),
        (Plan::Enterprise, Some(25), 25),
    ] {
        let key = key_on(&house, plan, rate).await;
        let first = house.client.get("/v1/me", &key).await;
        let now = clock.now().seconds();
        assert_eq!(first.header("x-ratelimit-limit"), expected.to_string());
        assert_eq!(first.header("x-ratelimit-remaining"), (expected - 1).to_string());
        assert_eq!(first.header("x-ratelimit-reset"), (now + 1).to_string());
        assert_eq!(
            first.header("ratelimit-policy"),
            format!("\"{}\";q={expected};w=1", plan.name())
        );
        assert_eq!(
            first.header("ratelimit"),
            format!("\"{}\";r={};t=1", plan.name(), expected - 1)
        );
        let (asked, refused) = ask(&house, &key, expected + 1).await;
        assert_eq!(asked + 1, expected, "{}", plan.name());
        let refused = refused.unwrap();
        assert_eq!(refused.refusal(429).0, "rate_limit_exceeded");
        assert_eq!(refused.header("retry-after"), "1");
        assert_eq!(refused.json()["error"]["retryAfter"], 1);
        assert_eq!(refused.header("x-ratelimit-remaining"), "0");
        clock.advance(Duration::from_secs(1));
        assert_eq!(ask(&house, &key, expected).await.0, expected);
    }
}

on_both_engines! {
    async fn a_keys_own_limit_holds_beside_the_organizations(engine: Engine) {
        let (house, clock) = still(engine).await;
        let new = json!({"permissions": ["emails:read"], "rateLimit": {"requests": 3, "period": "minute"}});
        let made = house.client.post("/v1/api-keys", &house.account.live, &new).await.expect(201);
        let key = made["key"].as_str().unwrap();
        let first = house.client.get("/v1/me", key).await;
        assert_eq!(first.header("x-ratelimit-limit"), "3");
        assert_eq!(first.header("ratelimit-policy"), "\"enterprise\";q=1000;w=1, \"key\";q=3;w=60");
        // What is refused for its permission counts, too, and is told as well.
        let forbidden = house.client.get("/v1/webhooks", key).await;
        assert_eq!((forbidden.refusal(403).0.as_str(), forbidden.header("x-ratelimit-remaining")), ("forbidden", "1"));
        let (asked, refused) = ask(&house, key, 5).await;
        assert_eq!(asked, 1);
        assert_eq!(refused.unwrap().header("retry-after"), "20");
        house.client.get("/v1/me", &house.account.live).await.expect(200);
        // On PostgreSQL, where nodes share a quota, the database's clock counts, and nobody moves that.
        if engine == Engine::Sqlite {
            clock.advance(Duration::from_secs(20));
            assert_eq!(ask(&house, key, 5).await.0, 1);
        }
    }
}

fn report() -> Request<Full<Bytes>> {
    Request::post("/v1/secrets/exposed")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(
            b"{\"secrets\":[{\"token\":\"x\"}]}",
        )))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_may_report_keys_but_not_without_end() {
    let (house, _clock) = still(Engine::Sqlite).await;
    let mut taken = 0;
    let refused = loop {
        let reply = house.client.send(report()).await;
        if reply.status != 202 {
            break reply;
        }
        taken += 1;
        assert!(taken <= 100, "nothing ends this");
    };
    assert_eq!(
        (refused.refusal(429).0.as_str(), taken),
        ("rate_limit_exceeded", 60)
    );
    assert_eq!(house.client.at([127, 0, 0, 9]).send(report()).await.status, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_tries_wrong_keys_is_blocked_and_nobody_else_is() {
    let (house, clock) = still(Engine::Sqlite).await;
    let guesser = house.client.at([127, 0, 0, 7]);
    let good = &house.account.live;
    guesser.get("/v1/me", good).await.expect(200);
    for _ in 0..5 {
        assert_eq!(
            guesser.get("/v1/me", "le_wrong").await.refusal(401).0,
            "unauthorized"
        );
    }
    let blocked = guesser.get("/v1/me", "le_wrong").await;
    assert_eq!(blocked.refusal(429).0, "too_many_failures");
    assert_eq!(blocked.header("retry-after"), "900");
    // Who was good from here before is heard; a key that was not, is not, and elsewhere everything is as ever.
    guesser.get("/v1/me", good).await.expect(200);
    assert_eq!(
        guesser.get("/v1/me", &house.account.test).await.refusal(429).0,
        "too_many_failures"
    );
    house.client.get("/v1/me", &house.account.test).await.expect(200);
    clock.advance(Duration::from_secs(900));
    guesser.get("/v1/me", &house.account.test).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_whose_requests_look_like_attacks_is_shut_out_for_a_while() {
    let (house, clock) = still(Engine::Sqlite).await;
    let attacker = house.client.at([127, 0, 0, 8]);
    let mut refused = 0;
    let blocked = loop {
        let request = Request::get("/v1/%2e%2e/etc/passwd")
            .body(Full::default())
            .unwrap();
        let reply = attacker.send(request).await;
        if reply.status == 403 {
            break reply;
        }
        assert_eq!(reply.refusal(400).0, "invalid_path");
        refused += 1;
        assert!(refused < 50, "nothing ends this");
    };
    assert_eq!(blocked.refusal(403).0, "request_blocked");
    assert_eq!(blocked.header("retry-after"), "600");
    house.client.get("/v1/me", &house.account.live).await.expect(200);
    assert_eq!(
        attacker.get("/v1/me", &house.account.live).await.refusal(403).0,
        "request_blocked"
    );
    clock.advance(Duration::from_secs(600));
    attacker.get("/v1/me", &house.account.live).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_operator_wants_no_bans_nobody_is_shut_out() {
    let house = Setup::new(Engine::Sqlite)
        .set("guard.ban_minutes", "0")
        .start()
        .await;
    for _ in 0..50 {
        let attack = Request::get("/v1/%2e%2e/etc/passwd")
            .body(Full::default())
            .unwrap();
        assert_eq!(house.client.send(attack).await.refusal(400).0, "invalid_path");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_stranger_nor_a_page_can_have_a_good_caller_shut_out() {
    let (house, _clock) = still(Engine::Sqlite).await;
    let shared = house.client.at([127, 0, 0, 9]);
    shared.get("/v1/me", &house.account.live).await.expect(200);
    let attack = |from_a_page: bool| {
        let mut request = Request::get("/v1/%2e%2e/etc/passwd");
        if from_a_page {
            request = request.header("sec-fetch-site", "cross-site");
        }
        request.body(Full::default()).unwrap()
    };
    // A page that makes its visitors ask for nonsense.
    for _ in 0..30 {
        assert_eq!(shared.send(attack(true)).await.refusal(400).0, "invalid_path");
    }
    // A stranger behind the same address.
    while shared.send(attack(false)).await.status != 403 {}
    shared.get("/v1/me", &house.account.live).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_callers_mistakes_bring_no_ban() {
    let (house, _clock) = still(Engine::Sqlite).await;
    for _ in 0..150 {
        let refused = house
            .client
            .call(Method::POST, "/v1/emails", &house.account.live, "{}")
            .await;
        assert_eq!(refused.refusal(400).0, "invalid_from");
    }
    house.client.get("/v1/me", &house.account.live).await.expect(200);
}
