//! Keys that are seen where they must not be burn: an event, an audit entry, a mail to the security contact.

use crate::harness::{Engine, House, Receiver, Reply, Setup, eventually, on_both_engines};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use sealwright::clock::Clock;
use serde_json::{Value, json};
use std::time::Duration;

/// A house whose organization is told of its keys, and a key to lose.
struct Scene {
    house: House,
    receiver: Receiver,
    id: String,
    key: String,
}

impl Scene {
    async fn set(engine: Engine, policy: &str) -> Self {
        let house = House::with_notices(Setup::new(engine)).await;
        let receiver = Receiver::start(&house.authority).await;
        let hook = json!({"url": receiver.url("/keys"), "events": ["api_key.*"]});
        house
            .client
            .post("/v1/webhooks", &house.account.live, &hook)
            .await
            .expect(201);
        let settings = json!({"securityContact": "guard@reader.example", "keyExposurePolicy": policy});
        patch(&house, "/v1/settings", settings).await.expect(200);
        let new = json!({"name": "Leaky", "permissions": ["emails:send", "emails:read"]});
        let made = house
            .client
            .post("/v1/api-keys", &house.account.live, &new)
            .await
            .expect(201);
        Self {
            id: made["id"].as_str().unwrap().to_owned(),
            key: made["key"].as_str().unwrap().to_owned(),
            house,
            receiver,
        }
    }

    async fn shown(&self) -> Value {
        let path = format!("/v1/api-keys/{}", self.id);
        self.house
            .client
            .get(&path, &self.house.account.live)
            .await
            .expect(200)
    }

    /// Waits for the event, the audit entry and the mail of one burn.
    async fn is_burned(&self, channel: &str, action: &str) {
        let hooks = self.receiver.wait_for(1).await;
        let told = hooks[0].json();
        assert_eq!(told["type"], "api_key.exposed");
        assert_eq!(told["data"]["keyId"], self.id.as_str());
        assert_eq!(
            (&told["data"]["channel"], &told["data"]["action"]),
            (&json!(channel), &json!(action))
        );
        assert!(!told.to_string().contains(&self.key));
        let exposed = self.house.audited().await;
        assert_eq!(
            exposed
                .iter()
                .filter(|entry| *entry == "system api_key.exposed")
                .count(),
            1
        );
        let text = eventually("the security contact is told", async || {
            let all = self.house.sink.received();
            let to_contact = all
                .iter()
                .filter(|mail| mail.rcpt_to.iter().any(|to| to.contains("guard@reader.example")));
            let mut texts = to_contact.map(|mail| String::from_utf8_lossy(&mail.bytes).into_owned());
            texts.find(|text| text.contains("Subject: An API key was exposed"))
        })
        .await;
        assert!(!text.contains("Leaky"), "{text}");
        assert!(!text.contains(&self.key));
        assert_ne!(self.shown().await["exposedAt"], Value::Null);
    }
}

async fn patch(house: &House, path: &str, body: Value) -> Reply {
    house
        .client
        .call(Method::PATCH, path, &house.account.live, body.to_string())
        .await
}

fn get(path: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let request = headers.iter().fold(Request::get(path), |request, (name, value)| {
        request.header(*name, *value)
    });
    request.body(Full::default()).unwrap()
}

on_both_engines! {
    async fn a_key_in_a_url_is_refused_and_expires_by_the_policy(engine: Engine) {
        let scene = Scene::set(engine, "expire_24h").await;
        let house = &scene.house;
        // Well formed and nobody's: refused the same, and nothing burns.
        let nobody = format!("/v1/emails?api_key={}", &scene.key.replace("le_", "le_test_"));
        assert_eq!(house.client.send(get(&nobody, &[])).await.refusal(400).0, "api_key_in_url");
        let bearer = format!("Bearer {}", house.account.live);
        for path in [
            format!("/v1/emails?api_key={}", scene.key),
            format!("/v1/emails?limit=1&to={}", scene.key),
            format!("/v1/emails/{}", scene.key),
            format!("/{}/x", scene.key),
            format!("/v1/emails?x=%6c%65_{}", &scene.key[3..]),
            format!("/v1/emails?x=%256c%2565_{}", &scene.key[3..]),
            format!("/healthz?k={}", scene.key),
        ] {
            let refused = house.client.send(get(&path, &[("authorization", &bearer)])).await;
            assert_eq!(refused.refusal(400).0, "api_key_in_url", "{path}");
        }
        scene.is_burned("url", "expires").await;
        house.client.get("/v1/emails", &scene.key).await.expect(200);
        let ends = scene.shown().await["expiresAt"].as_str().unwrap().to_owned();
        let ends = sealwright::clock::Timestamp::parse(&ends).unwrap();
        let left = ends.since(house.clock.now());
        assert!(left > Duration::from_secs(86_000) && left <= Duration::from_secs(86_400), "{left:?}");
        // A burned key can't be talked into a longer life.
        let path = format!("/v1/api-keys/{}", scene.id);
        let refused = patch(house, &path, json!({"expiresAt": null})).await;
        assert_eq!(refused.refusal(400), ("invalid_parameter".into(), "expiresAt".into()));
    }

    async fn a_key_from_a_browser_is_refused_and_burned(engine: Engine) {
        let scene = Scene::set(engine, "revoke").await;
        let bearer = format!("Bearer {}", scene.key);
        let page = [("authorization", bearer.as_str()), ("origin", "https://app.example.com")];
        let refused = scene.house.client.send(get("/v1/emails", &page)).await;
        assert_eq!(refused.refusal(403).0, "browser_use_forbidden");
        assert_eq!(refused.header("access-control-allow-origin"), "");
        scene.is_burned("browser", "revoked").await;
        eventually("the key is refused", async || {
            (scene.house.client.get("/v1/emails", &scene.key).await.status == 401).then_some(())
        }).await;
        let preflight = Request::options("/v1/emails")
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", "POST")
            .body(Full::default())
            .unwrap();
        let refused = scene.house.client.send(preflight).await;
        assert_eq!(refused.refusal(403).0, "browser_use_forbidden");
        assert_eq!(refused.header("access-control-allow-origin"), "");
    }

    async fn a_key_in_a_mail_is_burned_and_the_mail_goes_its_way(engine: Engine) {
        let scene = Scene::set(engine, "notify").await;
        let mut email = scene.house.email("ada@reader.example");
        email["metadata"] = json!({"note": format!("use {}", scene.key)});
        scene.house.accepted(&email).await;
        email["html"] = json!(format!("<p>{}</p>", scene.key));
        scene.house.accepted(&email).await;
        scene.is_burned("mail", "notified").await;
        scene.house.client.get("/v1/emails", &scene.key).await.expect(200);
    }

    async fn anybody_may_report_a_key_and_learns_nothing(engine: Engine) {
        let scene = Scene::set(engine, "revoke").await;
        let report = |tokens: &[&str]| {
            let secrets: Vec<_> = tokens.iter().map(|token| json!({"token": token, "url": "https://paste.example/1"})).collect();
            Request::post("/v1/secrets/exposed")
                .header("content-type", "application/json")
                .body(Full::new(Bytes::from(json!({"secrets": secrets}).to_string())))
                .unwrap()
        };
        let unknown = scene.house.client.send(report(&["le_nothing", "AKIA1234"])).await.expect(202);
        let known = scene.house.client.send(report(&["le_nothing", &scene.key])).await.expect(202);
        assert_eq!(unknown, known);
        scene.is_burned("report", "revoked").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stricter_policy_counts_for_a_key_that_was_exposed_before() {
    let scene = Scene::set(Engine::Sqlite, "notify").await;
    let path = format!("/v1/emails?key={}", scene.key);
    scene.house.client.send(get(&path, &[])).await.refusal(400);
    assert_eq!(scene.shown().await["expiresAt"], Value::Null);
    patch(
        &scene.house,
        "/v1/settings",
        json!({"keyExposurePolicy": "expire_24h"}),
    )
    .await
    .expect(200);
    scene.house.client.send(get(&path, &[])).await.refusal(400);
    assert_ne!(scene.shown().await["expiresAt"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exposed_key_can_not_leave_a_successor_that_outlives_it() {
    let house = Setup::new(Engine::Sqlite).start().await;
    let new = json!({"permissions": ["api-keys:*"]});
    let made = house
        .client
        .post("/v1/api-keys", &house.account.live, &new)
        .await
        .expect(201);
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    house.client.get("/v1/me", key).await.expect(200);
    let path = format!("/v1/emails?key={key}");
    house.client.send(get(&path, &[])).await.refusal(400);
    let rotated = house
        .client
        .post(&format!("/v1/api-keys/{id}/rotate"), key, &json!({}))
        .await;
    // By what the server remembered it asks for more than it may; once that is forgotten, it gets what ends with it.
    match rotated.status.as_u16() {
        201 => assert_ne!(rotated.json()["expiresAt"], Value::Null),
        _ => assert_eq!(rotated.refusal(403).0, "forbidden_escalation"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_burned_once_however_often_it_is_seen() {
    let scene = Scene::set(Engine::Sqlite, "expire_24h").await;
    let path = format!("/v1/emails?key={}", scene.key);
    let all: Vec<_> = (0..20)
        .map(|_| scene.house.client.send(get(&path, &[])))
        .collect();
    for refused in futures_of(all).await {
        assert_eq!(refused.refusal(400).0, "api_key_in_url");
    }
    scene.is_burned("url", "expires").await;
    assert_eq!(scene.receiver.wait_for(1).await.len(), 1);
}

async fn futures_of<F: Future<Output = Reply>>(all: Vec<F>) -> Vec<Reply> {
    let mut replies = Vec::new();
    for one in all {
        replies.push(one.await);
    }
    replies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exposed_key_ends_after_24_hours() {
    let clock = Clock::manual(Clock::System.now());
    let house = Setup::new(Engine::Sqlite).clock(&clock).start().await;
    let path = format!("/v1/emails?key={}", house.account.test);
    house.client.send(get(&path, &[])).await.refusal(400);
    clock.advance(Duration::from_secs(86_399));
    house
        .client
        .get("/v1/emails", &house.account.test)
        .await
        .expect(200);
    clock.advance(Duration::from_secs(1));
    assert_eq!(
        house
            .client
            .get("/v1/emails", &house.account.test)
            .await
            .refusal(401)
            .0,
        "unauthorized"
    );
}
