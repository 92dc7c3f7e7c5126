//! What the program does, seen from outside: one binary, one file per topic, each behaviour on both engines.
//!
//! Nothing here is a stand-in: the server listens with TLS on a free port, mail goes over SMTP to a sink, webhooks to an HTTPS
//! receiver, rows to SQLite files or to a PostgreSQL server that the harness starts for this process. A missing PostgreSQL fails the
//! tests that need it; nothing is skipped.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

mod api;
mod at_rest;
mod cli;
mod delivery;
mod dkim;
mod doctor;
mod domains;
mod edge;
mod isolation;
mod keys;
mod queue;
mod quota;
mod relays;
mod returns;
mod send;
mod sessions;
mod statements;
mod suppressions;
mod test_mode;
mod tidy;
mod upgrade;
mod usage;
mod webhooks;
