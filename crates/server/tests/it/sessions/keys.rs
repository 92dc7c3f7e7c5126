//! Keys that an issuer publishes: fetched once, looked at again when they change, kept while it is away, and not for ever.

use super::{JWKS, Published, assert_unknown, key_set};
use crate::harness::{Engine, SigningKey, on_both_engines};
use sealwright::features::people::Role;
use std::time::Duration;

const COOL_DOWN: Duration = Duration::from_secs(30);
const FRESH_FOR: Duration = Duration::from_secs(300);
const STALE_FOR: Duration = Duration::from_secs(3600);

on_both_engines! {
    async fn a_new_key_counts_after_the_cool_down_and_a_withdrawn_one_no_longer(engine: Engine) {
        let scene = Published::start(engine, SigningKey::es256("old")).await;
        let clock = &scene.house.clock;
        let old = scene.people.token(Role::Developer);
        scene.people.me(&old).await.expect(200);
        let new = SigningKey::es256("new");
        scene.issuer.show(JWKS, key_set(&[&new]));
        for _ in 0..10 {
            assert_unknown(&scene.people.me(&scene.by(&new)).await, "within the cool-down");
        }
        scene.people.me(&old).await.expect(200);
        assert_eq!(scene.looks(), 1);
        clock.advance(COOL_DOWN);
        scene.people.me(&scene.by(&new)).await.expect(200);
        assert_eq!(scene.looks(), 2);
        assert_unknown(&scene.people.me(&old).await, "a withdrawn key");
    }

    async fn a_withdrawn_key_counts_for_five_minutes_at_most(engine: Engine) {
        let scene = Published::start(engine, SigningKey::rs256("old")).await;
        let clock = &scene.house.clock;
        let old = scene.people.token(Role::Developer);
        scene.people.me(&old).await.expect(200);
        scene.issuer.show(JWKS, key_set(&[]));
        clock.advance(FRESH_FOR - Duration::from_micros(1));
        scene.people.me(&old).await.expect(200);
        clock.advance(Duration::from_millis(500));
        assert_unknown(&scene.people.me(&old).await, "five minutes later");
    }

    async fn an_issuer_that_is_away_is_missed_after_an_hour(engine: Engine) {
        let scene = Published::start(engine, SigningKey::es256("k1")).await;
        let clock = &scene.house.clock;
        let mut claims = scene.people.claims("developer");
        claims["exp"] = (clock.now().seconds() + 86_400).into();
        let token = scene.people.key.token(&claims);
        scene.people.me(&token).await.expect(200);
        // Each is no key set, in another way.
        scene.issuer.answer([500, 302, 404]);
        for page in ["<html>".to_owned(), "{\"keys\":7}".to_owned(), format!("{{\"keys\":[{}7]}}", "7,".repeat(40_000))] {
            scene.issuer.show(JWKS, page);
            clock.advance(FRESH_FOR);
            scene.people.me(&token).await.expect(200);
            scene.people.me(&token).await.expect(200);
        }
        clock.advance(FRESH_FOR * 4);
        let looks = scene.looks();
        assert_eq!(looks, 4, "one look each time");
        clock.advance(STALE_FOR - FRESH_FOR * 7 - Duration::from_micros(1));
        scene.people.me(&token).await.expect(200);
        clock.advance(COOL_DOWN);
        assert_unknown(&scene.people.me(&token).await, "an hour later");
        scene.issuer.show(JWKS, key_set(&[&scene.people.key]));
        assert_unknown(&scene.people.me(&token).await, "within the cool-down");
        clock.advance(COOL_DOWN);
        scene.people.me(&token).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_sessions_at_once_fetch_the_keys_once() {
    let scene = Published::start(Engine::Sqlite, SigningKey::es256("k1")).await;
    let people = std::sync::Arc::new(scene.people);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let people = std::sync::Arc::clone(&people);
        all.spawn(async move { people.me(&people.token(Role::Analyst)).await.expect(200) });
    }
    while let Some(one) = all.join_next().await {
        one.unwrap();
    }
    assert_eq!(scene.issuer.hooks().len(), 1);
}
