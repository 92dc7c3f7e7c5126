//! Addresses that are not written to: how they come about, how they are held, and that they are.

mod api;
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
