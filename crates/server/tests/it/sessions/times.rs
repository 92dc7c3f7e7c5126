//! When a token is good: to the second, and by our clock.

use super::{assert_unknown, whole_second};
use crate::harness::Setup;
use crate::harness::{AUDIENCE, Engine, House, ISSUER, People, SigningKey, on_both_engines};
use http::Method;
use sealwright::features::people::Role;
use serde_json::{Value, json};
use std::time::Duration;

on_both_engines! {
    async fn a_member_is_known_by_its_token_and_works_in_the_mode_that_it_names(engine: Engine) {
        let house = House::start(engine).await;
        let people = People::of(&house, &house.account).await;
        let token = people.token(Role::Developer);
        let me = people.me(&token).await.expect(200);
        assert_eq!(me["memberId"], people.member(Role::Developer));
        assert_eq!((&me["organizationId"], &me["mode"]), (&json!(people.org), &json!("live")));
        assert_eq!(me["permissions"], json!(["emails:*", "domains:*", "suppressions:*", "templates:*", "relays:read", "webhooks:*", "api-keys:*", "settings:read"]));
        let mode = |name| [("sealwright-mode", name)];
        let test = people.call(Method::GET, "/v1/me", &token, &mode("test"), "").await.expect(200);
        assert_eq!(test["mode"], "test");
        let unknown = people.call(Method::GET, "/v1/me", &token, &mode("dry"), "").await;
        assert_eq!(unknown.refusal(400), ("invalid_parameter".into(), "Sealwright-Mode".into()));
        // A key has its own mode, whatever the header says.
        let bearer = format!("Bearer {}", house.account.live);
        let key = [("authorization", bearer.as_str()), ("sealwright-mode", "test")];
        let key = house.client.call_with(Method::GET, "/v1/me", &key, "").await.expect(200);
        assert_eq!(key["mode"], "live");
        // Mail of the mode that was named, and an answer to the one who sent it.
        let email = house.email("ada@reader.example").to_string();
        let sent = people.call(Method::POST, "/v1/emails", &token, &mode("test"), &email).await.expect(200);
        let path = format!("/v1/emails/{}", sent["id"].as_str().unwrap());
        assert_eq!(house.client.get(&path, &house.account.live).await.status, 404);
        house.client.get(&path, &house.account.test).await.expect(200);
    }

    async fn a_token_is_good_between_its_dates_with_half_a_minute_for_clocks(engine: Engine) {
        let clock = whole_second();
        let house = Setup::new(engine).clock(&clock).start().await;
        let people = People::of(&house, &house.account).await;
        let now = clock.now().seconds();
        let hour = now + 3600;
        for (dates, is_good) in [
            (json!({"exp": hour, "iat": now}), true),
            (json!({"exp": hour, "nbf": now}), true),
            (json!({"exp": hour, "nbf": now, "iat": now - 7200}), true),
            (json!({"exp": hour as f64 + 0.5, "iat": now as f64 - 0.5}), true),
            (json!({"exp": now, "iat": now - 60}), true),
            (json!({"exp": now - 29, "iat": now - 60}), true),
            (json!({"exp": now - 30, "iat": now - 60}), false),
            (json!({"exp": now - 31, "iat": now - 60}), false),
            (json!({"exp": hour, "nbf": now + 30}), true),
            (json!({"exp": hour, "nbf": now + 31}), false),
            (json!({"exp": hour, "iat": now + 30}), true),
            (json!({"exp": hour, "iat": now + 31}), false),
            (json!({"exp": hour, "nbf": now, "iat": now + 31}), false),
            (json!({"exp": hour, "nbf": now + 31, "iat": now}), false),
            (json!({"exp": hour}), false),
            (json!({"exp": hour, "nbf": null, "iat": null}), false),
            (json!({"iat": now}), false),
            (json!({"exp": null, "iat": now}), false),
            (json!({"exp": hour.to_string(), "iat": now}), false),
            (json!({"exp": hour, "nbf": now.to_string()}), false),
            (json!({"exp": hour, "nbf": [now]}), false),
            (json!({"exp": -hour, "iat": now}), false),
            (json!({"exp": hour, "iat": 1e300}), false),
        ] {
            let mut claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "owner"});
            claims.as_object_mut().unwrap().extend(dates.as_object().unwrap().clone());
            let reply = people.me(&people.key.token(&claims)).await;
            if is_good {
                assert_eq!(reply.status, 200, "{dates}");
            } else {
                assert_unknown(&reply, &dates.to_string());
            }
        }
    }

    async fn a_token_that_was_good_a_moment_ago_ends_at_its_end(engine: Engine) {
        let clock = whole_second();
        let house = Setup::new(engine).clock(&clock).start().await;
        let people = People::of(&house, &house.account).await;
        let mut claims = people.claims("owner");
        claims["exp"] = json!(clock.now().seconds() - 29);
        let token = people.key.token(&claims);
        clock.advance(Duration::from_millis(700));
        people.me(&token).await.expect(200);
        // Remembered for half a second, and over before that.
        clock.advance(Duration::from_millis(299));
        people.me(&token).await.expect(200);
        clock.advance(Duration::from_millis(1));
        assert_unknown(&people.me(&token).await, "ended");
    }

    async fn an_issuer_may_be_held_to_nbf(engine: Engine) {
        let house = House::start(engine).await;
        let secret = "a secret that is long enough for it";
        let issuer = json!({"issuer": "strict", "audience": AUDIENCE, "algorithm": "HS256", "secret": secret, "requireNbf": true});
        let added = house.client.post("/v1/session-issuers", &house.account.live, &issuer).await.expect(201);
        assert_eq!(added["requireNbf"], true);
        let member = json!({"issuerId": added["id"], "subject": "ada", "role": "analyst"});
        house.client.post("/v1/members", &house.account.live, &member).await.expect(201);
        let people = People::of(&house, &house.account).await;
        let key = SigningKey::hs256(secret);
        let mut claims: Value = people.claims("ada");
        claims["iss"] = json!("strict");
        assert_unknown(&people.me(&key.token(&claims)).await, "iat alone");
        claims["nbf"] = claims["iat"].clone();
        people.me(&key.token(&claims)).await.expect(200);
    }
}
