//! Deliveries have numbers and keep their order; an endpoint that takes nothing for long is left alone.

use super::{create, send, shown};
use crate::harness::{Engine, Habit, House, Receiver, Setup, eventually, on_both_engines, stays};
use sealwright::clock::Clock;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;

async fn create_unordered(house: &House, url: &str) -> Value {
    let new = json!({"url": url, "events": ["email.*"], "ordered": false});
    let created = house.client.post("/v1/webhooks", &house.account.live, &new).await;
    created.expect(201)
}

async fn failed_once(house: &House, endpoint: &Value) {
    eventually("the failure is on record", async || {
        (shown(house, &endpoint["id"]).await["failureCount"] == 1).then_some(())
    })
    .await;
}

on_both_engines! {
    async fn an_event_waits_for_the_one_before_it_about_the_same_mail(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let house = Setup::new(engine).clock(&clock).start().await;
        let receiver = Receiver::start(&house.authority).await;
        receiver.habit("/in", 503);
        let endpoint = create(&house, &receiver.url("/in"), &["email.*"]).await;
        create_unordered(&house, &receiver.url("/any")).await;
        send(&house).await;
        receiver.wait_at("/any", 2).await;
        failed_once(&house, &endpoint).await;
        stays("the second event overtook the first", 20, async || receiver.hooks_at("/in").len() == 1).await;
        let waiting = shown(&house, &endpoint["id"]).await;
        assert!(waiting["oldestPendingAt"].is_string(), "{waiting}");
        receiver.habit("/in", 204);
        clock.advance(Duration::from_secs(67));
        receiver.wait_at("/in", 2).await;
        // What waited comes at once, and not at a date of its own.
        let hooks = receiver.wait_at("/in", 3).await;
        let kinds: Vec<_> = hooks.iter().map(|hook| hook.json()["type"].clone()).collect();
        assert_eq!(kinds, ["email.sent", "email.sent", "email.delivered"]);
        let numbers: Vec<_> = hooks.iter().map(|hook| hook.header("sealwright-sequence")).collect();
        assert_eq!(numbers, ["1", "1", "2"]);
        eventually("nothing waits any more", async || {
            shown(&house, &endpoint["id"]).await.get("oldestPendingAt").is_none().then_some(())
        })
        .await;
    }

    async fn numbers_have_no_gap_and_each_mail_keeps_its_order(engine: Engine) {
        let house = House::start(engine).await;
        let receiver = Receiver::start(&house.authority).await;
        let endpoint = create(&house, &receiver.url("/in"), &["email.*"]).await;
        let emails: Vec<Value> = (0..25).map(|_| house.email("ada@reader.example")).collect();
        let sent = emails.iter().map(|email| house.accepted(email));
        let sent = futures_join(sent).await;
        let hooks = receiver.wait_at("/in", 50).await;
        let mut numbers: Vec<i64> = hooks.iter().map(|hook| hook.header("sealwright-sequence").parse().unwrap()).collect();
        let mut of_mail: HashMap<String, Vec<(i64, String)>> = HashMap::new();
        for (hook, number) in hooks.iter().zip(&numbers) {
            let event = hook.json();
            let email = event["data"]["emailId"].as_str().unwrap().to_owned();
            of_mail.entry(email).or_default().push((*number, event["type"].as_str().unwrap().to_owned()));
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
        assert_eq!(of_mail.len(), sent.len());
        for events in of_mail.values() {
            let kinds: Vec<_> = events.iter().map(|(_, kind)| kind.as_str()).collect();
            assert_eq!(kinds, ["email.sent", "email.delivered"]);
            assert!(events.is_sorted_by_key(|(number, _)| *number), "{events:?}");
        }
        assert_eq!(shown(&house, &endpoint["id"]).await["sequence"], 50);
    }

    async fn a_wait_that_is_asked_for_is_kept(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let house = Setup::new(engine).clock(&clock).start().await;
        let receiver = Receiver::start(&house.authority).await;
        let busy = Habit { headers: vec![("retry-after", "600")], ..Habit::from(429) };
        receiver.habit("/in", busy);
        let endpoint = create(&house, &receiver.url("/in"), &["email.delivered"]).await;
        send(&house).await;
        failed_once(&house, &endpoint).await;
        receiver.habit("/in", 204);
        clock.advance(Duration::from_secs(590));
        stays("it came back too early", 20, async || receiver.hooks_at("/in").len() == 1).await;
        clock.advance(Duration::from_secs(11));
        receiver.wait_at("/in", 2).await;
    }

    async fn endpoints_that_hang_do_not_slow_the_others(engine: Engine) {
        let house = Setup::new(engine).set("webhooks.concurrency_max", "16").start().await;
        let receiver = Receiver::start(&house.authority).await;
        for place in 0..20 {
            let path = format!("/hangs/{place}");
            receiver.habit(&path, Habit { after: Duration::from_secs(28), ..Habit::from(204) });
            create_unordered(&house, &receiver.url(&path)).await;
        }
        let emails: Vec<Value> = (0..10).map(|_| house.email("ada@reader.example")).collect();
        for email in &emails {
            house.accepted(email).await;
        }
        // By now there are more requests that hang than there are slots, and hundreds of deliveries wait for their turn.
        create_unordered(&house, &receiver.url("/well")).await;
        for email in &emails {
            house.accepted(email).await;
        }
        receiver.wait_at("/well", 20).await;
        let list = house.client.get("/v1/webhooks?limit=50", &house.account.live).await.expect(200);
        let endpoints = list["data"].as_array().unwrap();
        let taken = endpoints.iter().filter(|endpoint| endpoint["lastDeliveryStatus"] == "succeeded").count();
        assert!(taken <= 1, "it waited until {taken} of the others had answered");
    }

    async fn an_endpoint_that_takes_nothing_for_days_is_disabled_and_told_of(engine: Engine) {
        let clock = Clock::manual(Clock::System.now());
        let house = Setup::new(engine).clock(&clock).start().await;
        let receiver = Receiver::start(&house.authority).await;
        receiver.habit("/in", 500);
        let endpoint = create(&house, &receiver.url("/in"), &["email.delivered"]).await;
        create(&house, &receiver.url("/other"), &["webhook.*"]).await;
        send(&house).await;
        failed_once(&house, &endpoint).await;
        clock.advance(Duration::from_secs(120 * 3600));
        eventually("it is disabled", async || {
            (shown(&house, &endpoint["id"]).await["status"] == "disabled").then_some(())
        })
        .await;
        assert_eq!(shown(&house, &endpoint["id"]).await["disabledReason"], "failing");
        let told = receiver.wait_at("/other", 1).await.remove(0).json();
        assert_eq!((&told["type"], &told["data"]["reason"]), (&json!("webhook.disabled"), &json!("failing")));
        assert_eq!(told["data"]["webhookId"], endpoint["id"]);
    }
}

async fn futures_join<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all = Vec::new();
    for future in futures {
        all.push(future.await);
    }
    all
}
