//! Sealwright: a self-hosted platform for the e-mail that programs send and receive.
//!
//! Three floors: `entry` (how things come in) → `features` (the rules) → `platform` (rows, keys, jobs, the way out). ARCHITECTURE.md is the
//! map; `app` puts the parts together; `cli` is the program's front door.

pub mod app;
pub mod bench;
pub mod cli;
pub mod clock;
pub mod config;
pub mod entry;
pub mod features;
pub mod id;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod mode;
pub mod platform;
pub mod secret;
