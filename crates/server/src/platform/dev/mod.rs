//! Catches mail during development, in tests and in benchmarks: a real SMTP server on loopback that keeps what it receives.

pub mod postgres;
pub mod sink;
