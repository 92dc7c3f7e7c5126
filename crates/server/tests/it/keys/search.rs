//! Texts that are searched for keys: how many of those found are looked up, and that a long search holds nobody up.

use crate::harness::{Engine, House, Setup, eventually, on_both_engines};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use sealwright::clock::Clock;
use sealwright::features::keys::{Key, Style};
use sealwright::mode::Mode;
use serde_json::{Value, json};
use std::sync::mpsc;

/// Well-formed keys that nobody has, each another one.
fn invented(count: u8) -> Vec<String> {
    let key = |number: u8| {
        let random = || std::array::from_fn(|place| if place % 2 == 0 { number % 62 } else { number / 62 });
        Key::generate(Style::Le, Mode::Live, random).expose().to_owned()
    };
    (1..=count).map(key).collect()
}

/// A key of the house to lose, with its id.
async fn make(house: &House) -> (String, String) {
    let made = house
        .client
        .post("/v1/api-keys", &house.account.live, &json!({}))
        .await
        .expect(201);
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

async fn is_exposed(house: &House, id: &str) -> bool {
    let path = format!("/v1/api-keys/{id}");
    let shown = house.client.get(&path, &house.account.live).await.expect(200);
    shown["exposedAt"] != Value::Null
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).unwrap()
}

on_both_engines! {
    async fn of_the_keys_in_one_text_twenty_are_looked_up(engine: Engine) {
        let house = House::start(engine).await;
        for (before, is_found) in [(19, true), (20, false)] {
            // Keys that are repeated are looked up once.
            let mut keys = [invented(before), invented(before)].concat();
            let (in_url, key) = make(&house).await;
            keys.push(key);
            let path = format!("/v1/emails?x={}", keys.join(","));
            assert_eq!(house.client.send(get(&path)).await.refusal(400).0, "api_key_in_url");
            assert_eq!(is_exposed(&house, &in_url).await, is_found, "{before} in a URL");
            let (in_mail, key) = make(&house).await;
            *keys.last_mut().unwrap() = key;
            let mut email = house.email("ada@reader.example");
            email["text"] = json!(keys.join("\n"));
            house.accepted(&email).await;
            assert_eq!(is_exposed(&house, &in_mail).await, is_found, "{before} in a mail");
        }
    }

    async fn of_a_report_each_key_is_looked_up_and_it_has_a_hundred_at_most(engine: Engine) {
        let house = House::start(engine).await;
        let (id, key) = make(&house).await;
        let report = async |keys: &[String]| {
            let secrets: Vec<_> = keys.iter().map(|key| json!({"token": key})).collect();
            let request = Request::post("/v1/secrets/exposed").header("content-type", "application/json");
            let body = Bytes::from(json!({"secrets": secrets}).to_string());
            house.client.send(request.body(Full::new(body)).unwrap()).await
        };
        let mut keys = invented(100);
        keys.push(key);
        assert_eq!(report(&keys).await.refusal(400), ("invalid_parameter".into(), "secrets".into()));
        assert!(!is_exposed(&house, &id).await);
        report(&keys[1..]).await.expect(202);
        assert!(is_exposed(&house, &id).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_pays_with_its_address_for_keys_that_are_looked_up() {
    let clock = Clock::manual(Clock::System.now());
    let house = Setup::new(Engine::Sqlite).clock(&clock).start().await;
    let path = format!("/v1/emails?x={}", invented(20).join(","));
    let stranger = house.client.at([127, 0, 0, 21]);
    for _ in 0..60 {
        assert_eq!(stranger.send(get(&path)).await.refusal(400).0, "api_key_in_url");
    }
    let (id, key) = make(&house).await;
    let real = format!("/v1/emails?x={key}");
    assert_eq!(
        stranger.send(get(&real)).await.refusal(429).0,
        "rate_limit_exceeded"
    );
    assert!(!is_exposed(&house, &id).await, "who may not ask makes no look-up");
    // Others are others.
    assert_eq!(
        house.client.send(get(&real)).await.refusal(400).0,
        "api_key_in_url"
    );
    assert!(is_exposed(&house, &id).await);
}

/// One thread answers, and the only other one that could search is held by the test: what waits for it is searched there.
#[test]
fn a_large_mail_is_searched_aside_while_others_are_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let house = House::start(Engine::Sqlite).await;
        let (id, key) = make(&house).await;
        let large = |field: &str| {
            let mut email = house.email("ada@reader.example");
            let filler = "le_test_ ".repeat(4_900_000 / 9);
            email[field] = match field {
                "text" => json!(format!("{filler}{key}")),
                _ => json!([{"filename": "a.txt", "content": "YQ".repeat(2_450_000)}]),
            };
            Bytes::from(email.to_string())
        };
        let (searched, unsearched) = (large("text"), large("attachments"));
        let (release, released) = mpsc::channel::<()>();
        let (hold, held) = tokio::sync::oneshot::channel();
        let holder = tokio::task::spawn_blocking(move || {
            hold.send(()).unwrap();
            // An error is the end of the test, which releases, too.
            let _ = released.recv();
        });
        held.await.unwrap();
        let (client, live) = (house.client.clone(), house.account.live.clone());
        let sending = tokio::spawn(async move {
            client
                .call(http::Method::POST, "/v1/emails", &live, searched)
                .await
        });
        // As large, begun later, and answered: the other one could be, too, if it were not waiting.
        for _ in 0..2 {
            let (client, live) = (&house.client, &house.account.live);
            let sent = client
                .call(http::Method::POST, "/v1/emails", live, unsearched.clone())
                .await;
            sent.expect(200);
        }
        house.client.get("/v1/me", &house.account.live).await.expect(200);
        assert!(
            !sending.is_finished(),
            "a mail of this size was searched on the thread that answers"
        );
        assert!(!is_exposed(&house, &id).await);
        release.send(()).unwrap();
        sending.await.unwrap().expect(200);
        holder.await.unwrap();
        eventually("its key is burned", async || {
            is_exposed(&house, &id).await.then_some(())
        })
        .await;
    });
}
