//! The way out against hostile addresses, names and servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod addresses;
mod dns;
mod dns_server;
mod https;
mod rebinding;
mod receiver;
mod urls;
