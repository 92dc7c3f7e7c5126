//! Relays: what the API shows and hides, and mail that leaves through providers' APIs.
//!
//! The providers are a local server that answers with the recorded answers beside their codecs (`features/relays/contracts/`), over TLS
//! and over the same HTTP client and address guard that real ones are reached by.

mod api;
mod feeds;
mod sending;
mod smtp;
mod stand_in;

use crate::harness::{Engine, House, Setup};
use sealwright::app::Roles;
use serde_json::{Value, json};
use stand_in::StandIn;

/// A house that asks the stand-in instead of the providers.
async fn house(setup: Setup) -> (House, StandIn) {
    let mut house = setup.start().await;
    let stand_in = StandIn::start(&house.authority).await;
    house.stop().await;
    let mut config = house.config.clone();
    config.relays.base_url = Some(stand_in.url());
    house.restart(config, Roles::ALL).await;
    (house, stand_in)
}

async fn usual(engine: Engine) -> (House, StandIn) {
    house(Setup::new(engine)).await
}

/// An account at this provider, as it is added.
fn account(provider: &str) -> Value {
    let key = json!({"apiKey": "key-of-nobody"});
    match provider {
        "postmark" => {
            json!({"name": "p", "provider": "postmark", "credentials": {"serverToken": "key-of-nobody"}})
        }
        "ses" => json!({
            "name": "a", "provider": "ses", "region": "eu-central-1",
            "credentials": {"accessKeyId": "AKIDEXAMPLE", "secretAccessKey": "key-of-nobody"},
        }),
        "mailgun" => {
            json!({"name": "m", "provider": "mailgun", "sendingDomain": "mg.house.example", "credentials": key})
        }
        other => json!({"name": other, "provider": other, "credentials": key}),
    }
}

/// Adds a relay; returns its id.
async fn add(house: &House, relay: &Value) -> String {
    let made = house.client.post("/v1/relays", &house.account.live, relay).await;
    made.expect(201)["id"].as_str().unwrap().to_owned()
}
