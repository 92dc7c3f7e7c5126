//! `/v1/emails`: from the request to the wire and to the webhook, and everything that is refused on the way.

mod accept;
mod addresses;
mod doors;
mod idempotency;
mod lists;
mod refusals;
