//! Sessions: tokens of trusted issuers, from servers and from pages.

mod attacks;
mod cors;
mod keys;
mod members;
mod times;

use crate::harness::{Engine, House, People, Receiver, Reply, Setup, SigningKey};
use sealwright::clock::{Clock, Timestamp};
use sealwright::features::people::Role;
use serde_json::{Value, json};

/// Where published keys stand.
const JWKS: &str = "/jwks.json";

/// A clock that stands at a whole second until it is moved.
fn whole_second() -> Clock {
    let now = Clock::System.now().seconds();
    Clock::manual(Timestamp::from_micros(now * 1_000_000))
}

/// A house with people whose issuer publishes its keys.
struct Published {
    house: House,
    people: People,
    /// The issuer's web server.
    issuer: Receiver,
}

impl Published {
    async fn start(engine: Engine, key: SigningKey) -> Self {
        let clock = whole_second();
        let house = Setup::new(engine).clock(&clock).start().await;
        let issuer = Receiver::start(&house.authority).await;
        issuer.show(JWKS, key_set(&[&key]));
        let people = People::published(&house, key, &issuer.url(JWKS)).await;
        Self {
            house,
            people,
            issuer,
        }
    }

    /// A developer's token by another key of the issuer.
    fn by(&self, key: &SigningKey) -> String {
        key.token(&self.people.claims(Role::Developer.name()))
    }

    /// How often the keys were fetched.
    fn looks(&self) -> usize {
        self.issuer.hooks().len()
    }
}

fn key_set(keys: &[&SigningKey]) -> String {
    let keys: Vec<Value> = keys.iter().map(|key| key.published()).collect();
    json!({"keys": keys}).to_string()
}

/// Asserts that this is the one answer to everything that does not work.
#[track_caller]
fn assert_unknown(reply: &Reply, what: &str) {
    assert_eq!(reply.status, 401, "{what}: {}", reply.text());
    let mut body = reply.json();
    body["error"]["requestId"].take();
    let expected = json!({"error": {
        "code": "unauthorized", "docs": "docs/errors.md#unauthorized", "requestId": null,
        "message": "Invalid API key: send a valid one as Authorization: Bearer <key>",
    }});
    assert_eq!(body, expected, "{what}");
    assert_eq!(reply.header("access-control-allow-origin"), "", "{what}");
}
