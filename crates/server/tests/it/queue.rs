//! The operator's hand on the queue, by the real command against a running server and against a store that nobody serves; and the
//! watchdog over due mail.

use crate::harness::{
    Engine, House, Pairs, Receiver, Setup, base_settings, events_of, eventually, on_both_engines, plain_get,
    run, stays,
};
use http_body_util::{BodyExt as _, Full};
use sealwright::app::Roles;
use sealwright::clock::Clock;
use sealwright::id::Id as _;
use sealwright::platform::dev::sink::SinkScript;
use sealwright::platform::jobs::Kind;
use serde_json::{Value, json};
use std::process::Output;
use std::time::Duration;

/// A house whose operator may ask, and whose clock is moved by hand.
async fn house(engine: Engine) -> House {
    let clock = Clock::manual(Clock::System.now());
    Setup::new(engine)
        .clock(&clock)
        .script(SinkScript::by_local_part())
        .set("server.admin_listen", "127.0.0.1:0")
        .start()
        .await
}

/// What an operator of this house has in the environment.
fn settings(house: &House) -> Pairs {
    let route = Some(house.sink.addr());
    let mut all = base_settings(
        house.folder.path(),
        &house.authority,
        house.database.as_ref(),
        route,
    );
    if let Some(address) = house.admin_address() {
        all.push(("server.admin_listen".to_owned(), address.to_string()));
    }
    all
}

async fn queue(house: &House, arguments: &[&str]) -> Output {
    let settings = settings(house);
    let all: Vec<String> = ["queue"]
        .iter()
        .chain(arguments)
        .map(|text| (*text).to_owned())
        .collect();
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = all.iter().map(String::as_str).collect();
        run(&settings, &arguments)
    });
    running.await.unwrap()
}

/// What the command prints as JSON.
async fn asked(house: &House, arguments: &[&str]) -> Value {
    let output = queue(house, &[arguments, &["--json"]].concat()).await;
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What waits for a destination.
async fn waiting(house: &House, destination: &str) -> Value {
    let shown = asked(house, &["--destination", destination]).await;
    shown["destinations"][0].clone()
}

/// Mail that was deferred once.
async fn deferred(house: &House, domain: &str) -> String {
    let id = house.accepted(&house.email(&format!("dot-451@{domain}"))).await;
    house.reaches(&id, "deferred").await;
    id
}

async fn attempts(house: &House, id: &str) -> usize {
    house.attempts(id).await.len()
}

async fn later(house: &House, hours: u64) {
    house.clock.advance(Duration::from_secs(hours * 3600));
    house.platform.hints.wake(Kind::Deliver);
}

on_both_engines! {
    async fn an_operator_sees_what_waits_and_holds_retries_and_drops_it(engine: Engine) {
        let house = house(engine).await;
        let held = [deferred(&house, "one.example").await, deferred(&house, "one.example").await];
        let free = deferred(&house, "two.example").await;
        let shown = asked(&house, &[]).await;
        assert_eq!((&shown["hasMore"], shown["destinations"].as_array().unwrap().len()), (&json!(false), 2));
        let one = &shown["destinations"][0];
        assert_eq!((&one["destination"], &one["mode"]), (&json!("one.example"), &json!("live")));
        assert_eq!((&one["due"], &one["inFlight"], &one["deferred"], &one["held"]), (&json!(0), &json!(0), &json!(2), &json!(0)));
        assert!(one["lastReply"].as_str().unwrap().starts_with("451 "), "{one}");
        assert!(one["oldestAt"].is_string() && one["nextAt"].is_string() && one["closedUntil"].is_null(), "{one}");
        let table = queue(&house, &["--org", house.account.org.as_str()]).await;
        let table = String::from_utf8(table.stdout).unwrap();
        assert!(table.starts_with("DESTINATION") && table.contains("two.example"), "{table}");

        let done = asked(&house, &["hold", "--destination", "ONE.example", "--reason", "they asked"]).await;
        assert_eq!(done, json!({"changed": 2, "left": 0}));
        let again = asked(&house, &["hold", "--destination", "one.example", "--reason", "they asked"]).await;
        assert_eq!(again, json!({"changed": 0, "left": 2}));
        later(&house, 3).await;
        eventually("what is not held goes on", async || (attempts(&house, &free).await == 2).then_some(())).await;
        stays("what is held does not", 10, async || attempts(&house, &held[0]).await == 1).await;
        let one = waiting(&house, "one.example").await;
        assert_eq!((&one["held"], &one["nextAt"]), (&json!(2), &Value::Null));
        assert!(!plain_get(house.admin_address().unwrap(), "/metrics").await.contains("example"));

        let done = asked(&house, &["retry", "--email", &held[0]]).await;
        assert_eq!(done, json!({"changed": 1, "left": 0}));
        eventually("it is tried again", async || (attempts(&house, &held[0]).await == 2).then_some(())).await;
        assert_eq!(waiting(&house, "one.example").await["held"], 1);

        // Entries sort by their time.
        house.clock.advance(Duration::from_secs(1));
        let done = asked(&house, &["drop", "--destination", "one.example", "--reason", "gone for good"]).await;
        assert_eq!(done, json!({"changed": 2, "left": 0}));
        for id in &held {
            let shown = house.reaches(id, "failed").await;
            let failed = events_of(&shown, "email.failed");
            assert_eq!((failed.len(), &failed[0]["data"]["reason"]), (1, &json!("dropped by the operator")));
            assert_eq!((&failed[0]["data"]["to"], shown["events"].as_array().unwrap().len() > 2), (&json!("dot-451@one.example"), true));
        }
        assert_eq!(waiting(&house, "one.example").await, Value::Null);
        assert_eq!(waiting(&house, "two.example").await["deferred"], 1);

        let acts: Vec<String> = house.audited().await.into_iter().filter(|act| act.contains("queue.")).collect();
        let dropped = "operator queue.dropped";
        assert_eq!(acts, ["operator queue.held", "operator queue.retried", dropped, dropped]);
        let why = &house.audit_details("queue.held").await[0];
        assert_eq!((&why["reason"], &why["destination"]), (&json!("they asked"), &json!("one.example")));
        assert_eq!(why["emails"].as_array().unwrap().len(), 2);
    }

    /// The first mail of a lane is at its dot; the second is leased and waits for its place.
    async fn what_is_at_its_dot_runs_to_its_end_and_what_only_waits_is_stopped(engine: Engine) {
        let house = house(engine).await;
        let first = house.accepted(&house.email("slow-3000@reader.example")).await;
        eventually("its dot has left", async || {
            let attempts = house.attempts(&first).await;
            (attempts.first()?["state"] == "started").then_some(())
        })
        .await;
        let second = house.accepted(&house.email("ada@reader.example")).await;
        eventually("both are leased", async || (waiting(&house, "reader.example").await["inFlight"] == 2).then_some(())).await;
        let done = asked(&house, &["hold", "--destination", "reader.example", "--reason", "a test"]).await;
        assert_eq!(done, json!({"changed": 2, "left": 0}));
        let done = asked(&house, &["drop", "--email", &first, "--reason", "too late"]).await;
        assert_eq!(done, json!({"changed": 0, "left": 1}));
        house.reaches(&first, "delivered").await;
        stays("the other does not leave", 25, async || house.sink.received_count() == 1).await;
        assert_eq!(waiting(&house, "reader.example").await["held"], 1);
        assert_eq!(asked(&house, &["retry", "--destination", "reader.example", "--reason", "enough"]).await, json!({"changed": 1, "left": 0}));
        house.reaches(&second, "delivered").await;
        assert_eq!(house.sink.received_count(), 2);
    }

    async fn a_store_that_nobody_serves_is_opened(engine: Engine) {
        let mut house = house(engine).await;
        let id = deferred(&house, "one.example").await;
        house.stop().await;
        assert!(house.admin_address().is_none());
        // The house keeps the embedded store open for its tests, and its lock with the server is gone.
        let one = waiting(&house, "one.example").await;
        assert_eq!((&one["deferred"], &one["closedUntil"]), (&json!(1), &Value::Null));
        assert_eq!(asked(&house, &["drop", "--email", &id, "--reason", "nobody is at home"]).await, json!({"changed": 1, "left": 0}));
        let (config, roles) = (house.config.clone(), Roles::ALL);
        house.restart(config, roles).await;
        house.reaches(&id, "failed").await;
    }

    async fn mail_that_is_scheduled_is_its_sender_s(engine: Engine) {
        let house = house(engine).await;
        let mut email = house.email("ada@reader.example");
        email["scheduledAt"] = json!(house.clock.now().plus(Duration::from_secs(86_400)).rfc3339());
        let id = house.accepted(&email).await;
        assert_eq!(asked(&house, &[]).await, json!({"destinations": [], "hasMore": false}));
        for change in ["retry", "hold", "drop"] {
            assert_eq!(asked(&house, &[change, "--email", &id, "--reason", "a test"]).await, json!({"changed": 0, "left": 0}));
        }
        assert_eq!(house.shown(&id).await["status"], "scheduled");
    }

    async fn due_mail_that_stands_still_is_told_once_and_so_is_its_end(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let setup = Setup::new(engine).clock(&clock).set("server.admin_listen", "127.0.0.1:0");
        let mut house = House::with_notices(setup).await;
        let receiver = Receiver::start(&house.authority).await;
        let hook = json!({"url": receiver.url("/alerts"), "events": ["alert.*"]});
        house.client.post("/v1/webhooks", &house.account.live, &hook).await.expect(201);
        house.stop().await;
        let nobody_delivers = Roles { delivery: false, ..Roles::ALL };
        house.restart(house.config.clone(), nobody_delivers).await;
        let admin = house.admin_address().unwrap();
        let id = house.accepted(&house.email("ada@reader.example")).await;
        eventually("the mail is due", async || {
            plain_get(admin, "/metrics").await.contains("jobs_due{kind=\"deliver\"} 1").then_some(())
        })
        .await;
        assert_eq!(plain_get(admin, "/readyz").await, "ready\n");
        assert!(plain_get(admin, "/metrics").await.contains("sealwright_alerts{kind=\"queue_stalled\"} 0"));
        clock.advance(Duration::from_secs(house.config.delivery.stall_seconds + 1));
        let why = eventually("it is noticed", async || {
            Some(plain_get(admin, "/readyz").await).filter(|said| said != "ready\n")
        })
        .await;
        assert!(why.starts_with("not ready: mail has been due for 61 s without an attempt"), "{why}");
        assert!(plain_get(admin, "/metrics").await.contains("sealwright_alerts{kind=\"queue_stalled\"} 1"));
        let hooks = eventually("it is told", async || Some(receiver.hooks()).filter(|hooks| !hooks.is_empty())).await;
        let told = hooks[0].json();
        assert_eq!((&told["type"], &told["data"]["kind"]), (&json!("alert.fired"), &json!("queue_stalled")));

        // Neither the next looks nor another process tell it again.
        house.stop().await;
        house.restart(house.config.clone(), nobody_delivers).await;
        let admin = house.admin_address().unwrap();
        eventually("the new process notices", async || {
            plain_get(admin, "/readyz").await.starts_with("not ready").then_some(())
        })
        .await;
        house.stop().await;
        assert_eq!(receiver.hooks().len(), 1);

        house.restart(house.config.clone(), Roles::ALL).await;
        house.reaches(&id, "delivered").await;
        let hooks = eventually("its end is told", async || Some(receiver.hooks()).filter(|hooks| hooks.len() > 1)).await;
        let told = hooks[1].json();
        assert_eq!((&told["type"], hooks.len()), (&json!("alert.cleared"), 2));
        assert!(told["data"]["clearedAt"].as_str() >= told["data"]["firedAt"].as_str(), "{told}");
        let admin = house.admin_address().unwrap();
        eventually("it is ready again", async || (plain_get(admin, "/readyz").await == "ready\n").then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_can_read_the_token_is_heard_and_orders_need_an_aim_and_a_reason() {
    let house = house(Engine::Sqlite).await;
    deferred(&house, "one.example").await;
    let address = house.admin_address().unwrap();
    let ask = async |authorization: Option<&str>, body: &str| {
        let mut request = http::Request::post("/queue").header("host", "rebound.example");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let request = request.body(Full::<bytes::Bytes>::from(body.to_owned())).unwrap();
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    let path = house.folder.path().join("admin.token");
    let token = format!("Bearer {}", std::fs::read_to_string(path).unwrap().trim());
    let show = r#"{"act": "show"}"#;
    for shown in [None, Some("Bearer "), Some(&token[..70]), Some("Basic YTpi")] {
        let (status, said) = ask(shown, show).await;
        assert!(
            status == 401 && said.contains("admin.token") && !said.contains("one.example"),
            "{said}"
        );
    }
    assert_eq!(plain_get(address, "/queue").await, "", "there is nothing to get");
    let (status, said) = ask(Some(&token), show).await;
    assert!(status == 200 && said.contains("one.example"), "{said}");
    let reason = "r".repeat(501);
    for (body, expected) in [
        (
            r#"{"act": "drop", "reason": "all of it"}"#.to_owned(),
            "say which mail",
        ),
        (
            r#"{"act": "drop", "destination": "one.example"}"#.to_owned(),
            "say why",
        ),
        (
            r#"{"act": "hold", "destination": "one.example", "reason": " "}"#.to_owned(),
            "say why",
        ),
        (
            format!(r#"{{"act": "hold", "destination": "one.example", "reason": "{reason}"}}"#),
            "say why",
        ),
        (
            r#"{"act": "hold", "org": "acme", "reason": "a test"}"#.to_owned(),
            "org_",
        ),
        (
            r#"{"act": "hold", "email": "acme", "reason": "a test"}"#.to_owned(),
            "email_",
        ),
        (
            r#"{"act": "hold", "destination": "not a name", "reason": "a test"}"#.to_owned(),
            "destination:",
        ),
        (r#"{"act": "show", "canary": 1}"#.to_owned(), "not understood"),
    ] {
        let (status, said) = ask(Some(&token), &body).await;
        assert!(
            status == 400 && said.contains(expected) && !said.contains("canary"),
            "{body}: {status} {said}"
        );
    }
    let (status, _) = ask(
        Some(&token),
        &format!("{{\"act\": \"show\"{}}}", " ".repeat(20_000)),
    )
    .await;
    assert_eq!(status, 413);
    for (arguments, expected) in [
        (&["drop", "--reason", "all of it"][..], "say which mail"),
        (&["hold", "--destination", "one.example"], "--reason"),
    ] {
        let output = queue(&house, arguments).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(2) && said.contains(expected),
            "{said}"
        );
    }
    assert_eq!(waiting(&house, "one.example").await["deferred"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_that_can_t_be_asked_is_named() {
    let house = House::start(Engine::Sqlite).await;
    let output = queue(&house, &[]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(1) && said.contains("server.admin_listen"),
        "{said}"
    );
}
