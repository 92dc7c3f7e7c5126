//! Tokens that somebody made up: every one gets the same answer as no token at all.

use super::{JWKS, Published, assert_unknown, key_set};
use crate::harness::{
    Engine, House, ISSUER, People, Receiver, SigningKey, account, base64url, on_both_engines,
};
use aws_lc_rs::hmac;
use http::Method;
use sealwright::clock::Clock;
use sealwright::features::people::Role;
use serde_json::{Value, json};
use std::time::Duration;

/// The value with some fields replaced; `null` takes a field away.
fn with(value: &Value, fields: Value) -> Value {
    let mut value = value.clone();
    for (name, field) in fields.as_object().unwrap() {
        match field {
            Value::Null => value.as_object_mut().unwrap().remove(name),
            field => value.as_object_mut().unwrap().insert(name.clone(), field.clone()),
        };
    }
    value
}

/// A token whose signature is whatever is given.
fn signed_by(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!(
        "{}.{}",
        base64url(header.to_string()),
        base64url(claims.to_string())
    );
    format!("{message}.{}", base64url(sign(message.as_bytes())))
}

fn hmac_by(algorithm: hmac::Algorithm, secret: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(algorithm, secret);
    move |message| hmac::sign(&key, message).as_ref().to_vec()
}

/// Headers that ask for something else than the issuer's way, by name.
fn odd_headers(stranger: &SigningKey, url: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("crit of what is not known", json!({"crit": ["exp"]})),
        ("empty crit", json!({"crit": []})),
        ("crit that is no list", json!({"crit": "b64"})),
        (
            "unencoded payload (RFC 7797)",
            json!({"b64": false, "crit": ["b64"]}),
        ),
        ("embedded key", json!({"jwk": stranger.published()})),
        ("embedded key that is none", json!({"jwk": {"kty": "oct"}})),
        ("foreign key set", json!({"jku": url})),
        ("foreign certificate", json!({"x5u": url})),
        ("embedded certificate", json!({"x5c": ["AAAA"]})),
        ("compression", json!({"zip": "DEF"})),
        ("encryption", json!({"enc": "A256GCM"})),
        ("nested token", json!({"cty": "JWT"})),
        ("another kind of token", json!({"typ": "dpop+jwt"})),
        ("a logout token", json!({"typ": "logout+jwt"})),
        ("a kind that is no text", json!({"typ": 1})),
        ("no algorithm", json!({"alg": null})),
        ("an algorithm that is no text", json!({"alg": ["HS256", "none"]})),
        ("an algorithm in lower case", json!({"alg": "hs256"})),
        ("an algorithm that does not exist", json!({"alg": "HS256 "})),
    ]
}

/// Claims that are not a member's, by name.
fn odd_claims() -> Vec<(&'static str, Value)> {
    vec![
        ("another issuer", json!({"iss": "https://other.example"})),
        ("an issuer in another case", json!({"iss": ISSUER.to_uppercase()})),
        (
            "an issuer with a slash more",
            json!({"iss": format!("{ISSUER}/")}),
        ),
        ("a list of issuers", json!({"iss": [ISSUER]})),
        ("no issuer", json!({"iss": null})),
        ("another audience", json!({"aud": "anon"})),
        (
            "an audience that begins the same",
            json!({"aud": "authenticated2"}),
        ),
        ("other audiences", json!({"aud": ["anon", "service_role"]})),
        ("an empty list of audiences", json!({"aud": []})),
        (
            "an audience that is no text",
            json!({"aud": {"authenticated": true}}),
        ),
        ("no audience", json!({"aud": null})),
        ("another subject", json!({"sub": "nobody"})),
        ("a subject in another case", json!({"sub": "Owner"})),
        ("a subject with a NUL", json!({"sub": "owner\0"})),
        ("an empty subject", json!({"sub": ""})),
        ("a subject that is a number", json!({"sub": 1})),
        ("a subject that is a list", json!({"sub": ["owner"]})),
        ("no subject", json!({"sub": null})),
        ("an endless subject", json!({"sub": "o".repeat(256)})),
        ("too much", json!({"more": "x".repeat(8 * 1024)})),
    ]
}

/// Forms of a good token that are not its own.
fn odd_forms(token: &str) -> Vec<(&'static str, String)> {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let mut flipped = signature.to_owned();
    flipped.replace_range(..1, if signature.starts_with('A') { "B" } else { "A" });
    let short = &signature[..signature.len() - 4];
    let empty = base64url("{}");
    vec![
        ("no signature", message.to_owned()),
        ("an empty signature", format!("{message}.")),
        ("a flipped bit", format!("{message}.{flipped}")),
        ("a cut signature", format!("{message}.{short}")),
        ("a longer signature", format!("{token}AAAA")),
        ("padding", format!("{token}=")),
        ("a fourth part", format!("{token}.{signature}")),
        ("an empty part", format!(".{token}")),
        ("only dots", "..".to_owned()),
        ("no header", format!(".{payload}.{signature}")),
        ("no payload", format!("{header}..{signature}")),
        ("another payload", format!("{header}.{empty}.{signature}")),
        ("another header", format!("{empty}.{payload}.{signature}")),
        (
            "a header that is no JSON",
            format!("{}.{payload}.{signature}", base64url("alg")),
        ),
        ("the alphabet of mail", format!("{message}.+{}", &signature[1..])),
        (
            "bits that are left over",
            format!("{message}.{}", left_over(signature)),
        ),
    ]
}

/// The same bytes with other bits in the last letter, where a decoder may look away: none of our signatures fills it.
fn left_over(signature: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = signature.split_at(signature.len() - 1);
    let place = ALPHABET.find(last).unwrap();
    assert_eq!(place % 4, 0, "these bits are not left over");
    format!("{rest}{}", &ALPHABET[place + 1..place + 2])
}

on_both_engines! {
    async fn a_token_of_a_shared_secret_is_good_in_one_form_only(engine: Engine) {
        let house = House::start(engine).await;
        let other = account(&house.platform, "Other", "other.example").await;
        let theirs = People::of(&house, &other).await;
        let people = People::of(&house, &house.account).await;
        let receiver = Receiver::start(&house.authority).await;
        let stranger = SigningKey::es256("shared");
        receiver.show(JWKS, key_set(&[&stranger]));
        let (header, claims) = (people.key.header(), people.claims("owner"));
        let key = &people.key;
        let good = key.token(&claims);
        people.me(&good).await.expect(200);
        for (what, fields) in odd_headers(&stranger, &receiver.url(JWKS)) {
            assert_unknown(&people.me(&key.token_with(&with(&header, fields), &claims)).await, what);
        }
        for (what, fields) in odd_claims() {
            assert_unknown(&people.me(&key.token(&with(&claims, fields))).await, what);
        }
        for (what, token) in odd_forms(&good) {
            assert_unknown(&people.me(&token).await, what);
        }
        for none in ["none", "None", "NONE", "nOnE", ""] {
            let header = with(&header, json!({"alg": none}));
            for token in [signed_by(&header, &claims, |_| Vec::new()), key.token_with(&header, &claims)] {
                assert_unknown(&people.me(&token).await, none);
            }
        }
        let secret = format!("a secret of {} that is long enough", people.org);
        for (alg, hash) in [("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)] {
            let header = with(&header, json!({"alg": alg}));
            assert_unknown(&people.me(&signed_by(&header, &claims, hmac_by(hash, secret.as_bytes()))).await, alg);
        }
        for secret in [&b""[..], b"secret", secret.to_uppercase().as_bytes()] {
            assert_unknown(&people.me(&signed_by(&header, &claims, hmac_by(hmac::HMAC_SHA256, secret))).await, "another secret");
        }
        for other in [SigningKey::es256("shared"), SigningKey::rs256("shared")] {
            assert_unknown(&people.me(&other.token(&claims)).await, other.algorithm());
        }
        for twice in ["\"sub\":\"owner\",", "\"exp\":9999999999,", "\"iss\":\"https://other.example\","] {
            let doubled = claims.to_string().replacen('{', &format!("{{{twice}"), 1);
            assert_unknown(&people.me(&key.token_of(&header.to_string(), &doubled)).await, twice);
        }
        // The same issuer, trusted by a neighbour with another secret: neither's tokens are the other's.
        assert_unknown(&people.me(&theirs.token(Role::Owner)).await, "a neighbour's token");
        assert_unknown(&theirs.me(&good).await, "a token for the neighbour");
        theirs.me(&theirs.token(Role::Owner)).await.expect(200);
        assert!(receiver.hooks().is_empty(), "somebody else's keys were asked for");
    }

    async fn a_session_names_one_organization_in_one_header(engine: Engine) {
        let house = House::start(engine).await;
        let people = People::of(&house, &house.account).await;
        let token = people.token(Role::Owner);
        let bearer = format!("Bearer {token}");
        let own = ("authorization", bearer.as_str());
        fn org(name: &str) -> (&str, &str) {
            ("sealwright-organization", name)
        }
        let upper = people.org.to_uppercase();
        house.client.call_with(Method::GET, "/v1/me", &[own, org(&upper)], "").await.expect(200);
        for headers in [
            vec![own],
            vec![own, org("")],
            vec![own, org("org_01hzzzzzzzzzzzzzzzzzzzzzzz")],
            vec![own, org(&people.issuer)],
            vec![own, org("' OR '1'='1")],
            vec![own, org(&people.org), org(&people.org)],
            vec![own, own, org(&people.org)],
            vec![org(&people.org)],
        ] {
            let client = house.client.everywhere();
            let reply = client.call_with(Method::GET, "/v1/me", &headers, "").await;
            assert_unknown(&reply, &format!("{headers:?}"));
        }
    }

    async fn a_published_key_is_no_secret_and_no_other_key_counts(engine: Engine) {
        for key in [SigningKey::es256("k1"), SigningKey::rs256("k1")] {
            let scene = Published::start(engine, key).await;
            let (people, key) = (&scene.people, &scene.people.key);
            let (header, claims) = (key.header(), people.claims("owner"));
            let good = key.token(&claims);
            people.me(&good).await.expect(200);
            let foreign = Receiver::start(&scene.house.authority).await;
            let strangers = [SigningKey::es256("k1"), SigningKey::rs256("k1")];
            foreign.show(JWKS, key_set(&[&strangers[0], &strangers[1]]));
            for stranger in &strangers {
                for fields in [json!({}), json!({"jwk": stranger.published()}), json!({"jku": foreign.url(JWKS)})] {
                    let token = stranger.token_with(&with(&stranger.header(), fields.clone()), &claims);
                    assert_unknown(&people.me(&token).await, &format!("a stranger's key, {fields}"));
                }
            }
            for (what, fields) in odd_headers(&strangers[0], &foreign.url(JWKS)) {
                assert_unknown(&people.me(&key.token_with(&with(&header, fields), &claims)).await, what);
            }
            for (what, token) in odd_forms(&good) {
                assert_unknown(&people.me(&token).await, what);
            }
            // Key confusion: what everybody can read, taken for the secret of HS256.
            let published = key.published().to_string();
            let set = key_set(&[key]);
            let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64url(key.public_bytes()));
            for public in [&key.public_bytes()[..], published.as_bytes(), set.as_bytes(), pem.as_bytes(), b""] {
                let header = with(&header, json!({"alg": "HS256"}));
                let token = signed_by(&header, &claims, hmac_by(hmac::HMAC_SHA256, public));
                assert_unknown(&people.me(&token).await, "HS256 by a public key");
            }
            for alg in ["none", "ES384", "ES512", "RS384", "RS512", "PS256", "EdDSA"] {
                let header = with(&header, json!({"alg": alg}));
                assert_unknown(&people.me(&key.token_with(&header, &claims)).await, alg);
            }
            for zeros in [64, 256] {
                let token = signed_by(&header, &claims, |_| vec![0; zeros]);
                assert_unknown(&people.me(&token).await, "a signature of zeros");
            }
            for kid in [
                json!(null), json!(""), json!("K1"), json!("k1 "), json!("k1\0"), json!(["k1"]), json!({"k1": 1}), json!(1),
                json!("../../../../dev/null"), json!("/dev/null"), json!("' OR '1'='1"), json!("k1' UNION SELECT 'x"),
                json!("k1|/usr/bin/id"), json!(foreign.url(JWKS)),
            ] {
                let token = key.token_with(&with(&header, json!({"kid": kid})), &claims);
                assert_unknown(&people.me(&token).await, &format!("kid {kid}"));
            }
            assert!(foreign.hooks().is_empty(), "somebody else's keys were asked for");
            assert_eq!(scene.looks(), 1, "made-up keys make us ask again and again");
        }
    }

    async fn a_key_of_the_set_counts_for_its_own_algorithm_only(engine: Engine) {
        let scene = Published::start(engine, SigningKey::es256("k1")).await;
        let people = &scene.people;
        let (rsa, encrypting) = (SigningKey::rs256("k2"), SigningKey::es256("k3"));
        let encrypting_jwk = with(&encrypting.published(), json!({"use": "enc"}));
        let secret = json!({"kty": "oct", "kid": "k4", "k": base64url("s".repeat(32))});
        let keys = json!({"keys": [people.key.published(), rsa.published(), encrypting_jwk, secret]});
        scene.issuer.show(JWKS, keys.to_string());
        people.me(&people.token(Role::Owner)).await.expect(200);
        assert_unknown(&people.me(&scene.by(&rsa)).await, "RS256 where ES256 is pinned");
        assert_unknown(&people.me(&scene.by(&encrypting)).await, "a key for encryption");
        let claims = people.claims("owner");
        for alg in ["HS256", "ES256"] {
            let header = json!({"alg": alg, "kid": "k4"});
            let token = signed_by(&header, &claims, hmac_by(hmac::HMAC_SHA256, "s".repeat(32).as_bytes()));
            assert_unknown(&people.me(&token).await, "a secret in a published set");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_does_not_work_does_not_tell_why_by_its_time() {
    let house = House::start(Engine::Sqlite).await;
    let people = People::of(&house, &house.account).await;
    let good = people.token(Role::Owner);
    let stranger = people.key.token(&people.claims("nobody"));
    for token in ["a.b.c", &good[..good.len() - 2], &stranger] {
        let since = Clock::System.now();
        assert_unknown(&people.me(token).await, "refused");
        let took = Clock::System.now().since(since);
        assert!(took >= Duration::from_millis(25), "{took:?}");
    }
}
