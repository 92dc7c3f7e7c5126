//! Addresses that are not written to: how they come about, how they are held, and that they are.

mod api;
mod outcomes;
mod race;
mod send;
mod transfer;

use crate::harness::{House, Reply};
use serde_json::{Value, json};

/// Suppresses an address with a key.
async fn suppress(house: &House, key: &str, email: &str) -> Value {
    let new = json!({"email": email});
    house.client.post("/v1/suppressions", key, &new).await.expect(201)
}

/// What is known of an address.
async fn check(house: &House, key: &str, email: &str) -> Value {
    let path = format!("/v1/suppressions/check?email={email}");
    house.client.get(&path, key).await.expect(200)
}

async fn list(house: &House, key: &str, query: &str) -> Reply {
    house.client.get(&format!("/v1/suppressions{query}"), key).await
}

/// The status of each recipient, in the order of the e-mail.
fn statuses(shown: &Value) -> Vec<&str> {
    let recipients = shown["recipients"].as_array().unwrap();
    let statuses = recipients
        .iter()
        .map(|recipient| recipient["status"].as_str().unwrap());
    statuses.collect()
}

/// The types of the timeline.
fn told(shown: &Value) -> Vec<&str> {
    let events = shown["events"].as_array().unwrap();
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect()
}
