//! `/v1/emails`: from the request to the wire and to the webhook, and everything that is refused on the way.

mod accept;
mod addresses;
mod batch;
mod doors;
mod idempotency;
mod links;
mod lists;
mod refusals;
mod schedule;
mod templates;
