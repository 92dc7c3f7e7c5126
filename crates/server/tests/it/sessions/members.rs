//! Issuers and members by the API: who is added, by whom, and when it counts.

use super::{assert_unknown, whole_second};
use crate::harness::{AUDIENCE, Engine, House, ISSUER, People, Setup, account, on_both_engines};
use http::Method;
use sealwright::features::people::Role;
use serde_json::{Value, json};
use std::time::Duration;

/// Half a second and what is left of a second: the time in which a change has to count.
const SOON: Duration = Duration::from_millis(500);

async fn patch(house: &House, member: &str, role: &str) {
    let path = format!("/v1/members/{member}");
    let body = json!({"role": role}).to_string();
    let changed = house
        .client
        .call(Method::PATCH, &path, &house.account.live, body)
        .await;
    assert_eq!(changed.expect(200)["role"], role);
}

on_both_engines! {
    async fn a_role_that_is_changed_or_taken_counts_within_a_second(engine: Engine) {
        let clock = whole_second();
        let house = Setup::new(engine).clock(&clock).start().await;
        let people = People::of(&house, &house.account).await;
        let token = people.token(Role::Developer);
        let member = people.member(Role::Developer);
        let email = house.email("ada@reader.example").to_string();
        let send = async || people.call(Method::POST, "/v1/emails", &token, &[], &email).await;
        send().await.expect(200);
        patch(&house, member, "analyst").await;
        clock.advance(SOON);
        let refused = send().await;
        assert_eq!(refused.refusal(403).0, "forbidden");
        assert!(refused.text().contains("your role lacks the permission emails:send"), "{}", refused.text());
        patch(&house, member, "admin").await;
        clock.advance(SOON);
        send().await.expect(200);
        house.client.delete(&format!("/v1/members/{member}"), &house.account.live).await.expect(200);
        clock.advance(SOON);
        assert_unknown(&send().await, "a removed member");
        let gone = house.client.get(&format!("/v1/members/{member}"), &house.account.live).await;
        assert_eq!(gone.refusal(404).0, "not_found");
        let audited = house.audited().await;
        for action in ["session_issuer.added", "member.added", "member.role_changed", "member.removed"] {
            assert!(audited.iter().any(|entry| entry.ends_with(action)), "{action}: {audited:?}");
        }
    }

    async fn a_member_whose_role_was_taken_does_nothing_with_keys_however_fast_it_is(engine: Engine) {
        // Time stands still, so the door goes by what it found before.
        let clock = whole_second();
        let house = Setup::new(engine).clock(&clock).start().await;
        let people = People::of(&house, &house.account).await;
        let made = house.client.post("/v1/api-keys", &house.account.live, &json!({"name": "old"})).await.expect(201);
        let path = format!("/v1/api-keys/{}", made["id"].as_str().unwrap());
        let attempts = [
            (Method::POST, "/v1/api-keys".to_owned(), "{}"),
            (Method::PATCH, path.clone(), "{\"name\":\"new\"}"),
            (Method::POST, format!("{path}/rotate"), "{}"),
            (Method::DELETE, path.clone(), ""),
        ];
        for (role, body) in [(Role::Developer, Some("analyst")), (Role::Admin, None)] {
            let (token, member) = (people.token(role), people.member(role));
            people.me(&token).await.expect(200);
            match body {
                Some(role) => patch(&house, member, role).await,
                None => drop(house.client.delete(&format!("/v1/members/{member}"), &house.account.live).await.expect(200)),
            }
            people.me(&token).await.expect(200);
            for (method, path, body) in &attempts {
                let refused = people.call(method.clone(), path, &token, &[], body).await;
                assert_eq!(refused.status, 401, "{method} {path}: {}", refused.text());
            }
        }
        let mut shown = house.client.get(&path, &house.account.live).await.expect(200);
        assert_eq!((shown["name"].take(), shown["replacedBy"].take()), (json!("old"), Value::Null));
    }

    async fn whoever_names_an_issuer_again_inherits_nobody(engine: Engine) {
        let clock = whole_second();
        let house = Setup::new(engine).clock(&clock).start().await;
        let people = People::of(&house, &house.account).await;
        let token = people.token(Role::Owner);
        people.me(&token).await.expect(200);
        let again = json!({
            "issuer": ISSUER, "audience": AUDIENCE, "algorithm": "HS256",
            "secret": format!("a secret of {} that is long enough", people.org),
        });
        let taken = house.client.post("/v1/session-issuers", &house.account.live, &again).await;
        assert_eq!(taken.refusal(409).0, "already_exists");
        let path = format!("/v1/session-issuers/{}", people.issuer);
        house.client.delete(&path, &house.account.live).await.expect(200);
        clock.advance(SOON);
        assert_unknown(&people.me(&token).await, "an issuer that is trusted no longer");
        let none = house.client.get("/v1/members", &house.account.live).await.expect(200);
        assert_eq!(none["totalCount"], 0);
        house.client.post("/v1/session-issuers", &house.account.live, &again).await.expect(201);
        assert_unknown(&people.me(&token).await, "a member of the issuer that was");
    }

    async fn nobody_gives_or_takes_a_role_beyond_their_own(engine: Engine) {
        let house = House::start(engine).await;
        let people = People::of(&house, &house.account).await;
        let mut subjects = 0;
        let mut add = async |token: &str, role: Role| {
            subjects += 1;
            let new = json!({"issuerId": people.issuer, "subject": format!("new {subjects}"), "role": role.name()});
            people.call(Method::POST, "/v1/members", token, &[], &new.to_string()).await
        };
        for role in Role::ALL {
            add(&people.token(Role::Owner), role).await.expect(201);
            let by_admin = add(&people.token(Role::Admin), role).await;
            if role == Role::Owner {
                assert_eq!(by_admin.refusal(403).0, "forbidden_escalation");
            } else {
                by_admin.expect(201);
            }
            assert_eq!(add(&people.token(Role::Developer), role).await.refusal(403).0, "forbidden");
        }
        let admin = people.token(Role::Admin);
        let (owner, developer) = (people.member(Role::Owner), people.member(Role::Developer));
        for (method, path, body, status) in [
            (Method::PATCH, format!("/v1/members/{owner}"), "{\"role\":\"billing\"}", 403),
            (Method::DELETE, format!("/v1/members/{owner}"), "", 403),
            (Method::PATCH, format!("/v1/members/{}", people.member(Role::Admin)), "{\"role\":\"owner\"}", 403),
            (Method::PATCH, format!("/v1/members/{developer}"), "{\"role\":\"owner\"}", 403),
            (Method::DELETE, format!("/v1/session-issuers/{}", people.issuer), "", 403),
            (Method::DELETE, format!("/v1/members/{}", people.member(Role::Admin)), "", 409),
            (Method::PATCH, format!("/v1/members/{developer}"), "{\"role\":\"admin\"}", 200),
            (Method::DELETE, format!("/v1/members/{developer}"), "", 200),
        ] {
            let reply = people.call(method.clone(), &path, &admin, &[], body).await;
            assert_eq!(reply.status, status, "{method} {path} {body}: {}", reply.text());
            if status == 403 {
                assert_eq!(reply.refusal(403).0, "forbidden_escalation");
            }
        }
    }

    async fn a_key_with_restrictions_or_in_test_mode_gives_no_role(engine: Engine) {
        let house = House::start(engine).await;
        let people = People::of(&house, &house.account).await;
        let member = json!({"issuerId": people.issuer, "subject": "new", "role": "analyst"});
        for restriction in [
            json!({"ipRestrictions": ["127.0.0.0/8"]}),
            json!({"domainRestrictions": ["house.example"]}),
            json!({"expiresAt": "2100-01-01"}),
            json!({"rateLimit": {"requests": 10, "period": "second"}}),
            json!({"permissions": ["members:*"]}),
        ] {
            let mut new = json!({"permissions": ["*"], "allPermissions": true});
            new.as_object_mut().unwrap().extend(restriction.as_object().unwrap().clone());
            let made = house.client.post("/v1/api-keys", &house.account.live, &new).await.expect(201);
            let refused = house.client.post("/v1/members", made["key"].as_str().unwrap(), &member).await;
            assert_eq!(refused.refusal(403).0, "forbidden_escalation", "{restriction}");
        }
        let refused = house.client.post("/v1/members", &house.account.test, &member).await;
        assert_eq!(refused.refusal(403).0, "forbidden");
        house.client.post("/v1/members", &house.account.live, &member).await.expect(201);
    }

    async fn a_member_makes_keys_up_to_its_role(engine: Engine) {
        let house = House::start(engine).await;
        let people = People::of(&house, &house.account).await;
        let developer = people.token(Role::Developer);
        let make = async |new: Value, more: &[(&str, &str)]| {
            people.call(Method::POST, "/v1/api-keys", &developer, more, &new.to_string()).await
        };
        let made = make(json!({"permissions": ["emails:send"]}), &[]).await.expect(201);
        assert_eq!(made["mode"], "live");
        for permissions in [json!(["settings:write"]), json!(["members:read"]), json!(["emails:send", "settings:*"])] {
            let refused = make(json!({"permissions": permissions}), &[]).await;
            assert_eq!(refused.refusal(403).0, "forbidden_escalation", "{permissions}");
        }
        let all = make(json!({"permissions": ["*"], "allPermissions": true}), &[]).await;
        assert_eq!(all.refusal(403).0, "forbidden_escalation");
        let test = [("sealwright-mode", "test")];
        assert_eq!(make(json!({}), &test).await.expect(201)["mode"], "test");
        assert_eq!(make(json!({"mode": "live"}), &test).await.refusal(403).0, "forbidden_escalation");
        let audited = house.audited().await;
        let entry = format!("{} api_key.created", people.member(Role::Developer));
        assert_eq!(audited.iter().filter(|line| **line == entry).count(), 2);
    }

    async fn issuers_and_members_are_read_strictly_and_listed(engine: Engine) {
        let house = House::start(engine).await;
        let people = People::of(&house, &house.account).await;
        let key = &house.account.live;
        let long = "x".repeat(256);
        let secret = "s".repeat(32);
        for (fields, param) in [
            (json!({"issuer": ""}), "issuer"),
            (json!({"issuer": "with space"}), "issuer"),
            (json!({"issuer": long}), "issuer"),
            (json!({"audience": ""}), "audience"),
            (json!({"audience": long}), "audience"),
            (json!({"algorithm": "none"}), "algorithm"),
            (json!({"algorithm": "HS512"}), "algorithm"),
            (json!({"secret": "s".repeat(31)}), "secret"),
            (json!({"secret": "s".repeat(1025)}), "secret"),
            (json!({"jwksUrl": "https://sign-in.example/jwks"}), "secret"),
            (json!({"algorithm": "RS256"}), "jwksUrl"),
            (json!({"algorithm": "RS256", "jwksUrl": "https://sign-in.example/jwks"}), "jwksUrl"),
            (json!({"algorithm": "ES256", "secret": null, "jwksUrl": "http://sign-in.example/jwks"}), "jwksUrl"),
            (json!({"algorithm": "ES256", "secret": null, "jwksUrl": "https://u:p@sign-in.example/jwks"}), "jwksUrl"),
            (json!({"algorithm": "ES256", "secret": null}), "jwksUrl"),
            (json!({"org": "x"}), "org"),
        ] {
            let mut new = json!({"issuer": "another", "audience": "a", "algorithm": "HS256", "secret": secret});
            new.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let refused = house.client.post("/v1/session-issuers", key, &new).await.refusal(400);
            assert_eq!(refused, ("invalid_parameter".into(), param.into()), "{fields}");
        }
        let list = house.client.get("/v1/session-issuers", key).await;
        assert!(!list.text().contains("a secret of"), "{}", list.text());
        let list = list.expect(200);
        assert_eq!((&list["totalCount"], &list["data"][0]["issuer"]), (&json!(1), &json!(ISSUER)));
        for (fields, status, param) in [
            (json!({"subject": ""}), 400, "subject"),
            (json!({"subject": long}), 400, "subject"),
            (json!({"subject": "a\u{0}b"}), 400, "subject"),
            (json!({"role": "root"}), 400, "role"),
            (json!({"issuerId": "iss_01hzzzzzzzzzzzzzzzzzzzzzzz"}), 400, "issuerId"),
            (json!({"subject": "owner"}), 409, ""),
        ] {
            let mut new = json!({"issuerId": people.issuer, "subject": "ada", "role": "analyst"});
            new.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let refused = house.client.post("/v1/members", key, &new).await.refusal(status);
            assert_eq!(refused.1, param, "{fields}");
        }
        let mut seen: Vec<Value> = Vec::new();
        let mut query = "?limit=2".to_owned();
        loop {
            let page = house.client.get(&format!("/v1/members{query}"), key).await.expect(200);
            assert_eq!(page["totalCount"], 5);
            seen.extend(page["data"].as_array().unwrap().iter().map(|member| member["id"].clone()));
            if page["hasMore"] == false {
                break;
            }
            query = format!("?limit=2&starting_after={}", seen.last().unwrap().as_str().unwrap());
        }
        assert_eq!(json!(seen), json!(people.members));
    }

    async fn an_organization_trusts_ten_issuers_at_most_and_a_neighbour_sees_none(engine: Engine) {
        let house = House::start(engine).await;
        let other = account(&house.platform, "Other", "other.example").await;
        let add = async |n: u8| {
            let new = json!({"issuer": format!("i{n}"), "audience": "a", "algorithm": "HS256", "secret": "s".repeat(32)});
            house.client.post("/v1/session-issuers", &house.account.live, &new).await
        };
        for n in 0..10 {
            add(n).await.expect(201);
        }
        assert_eq!(add(10).await.refusal(403).0, "limit_reached");
        let theirs = house.client.get("/v1/session-issuers", &other.live).await.expect(200);
        assert_eq!(theirs["totalCount"], 0);
    }
}
