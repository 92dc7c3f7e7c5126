//! The log: to standard error, as JSON or for people. No level writes addresses, subjects, bodies or secrets: their types have no way to be printed.
//!
//! What other crates would write is left out at every level, because nobody here can vouch for it: a resolver, for one, names each
//! recipient's domain that it asks for.

use crate::config::Log;
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts the log of this process; a second start (in tests) changes nothing.
///
/// # Errors
/// When the filter or the format can't be read.
pub fn start(settings: &Log) -> Result<(), String> {
    let filter =
        EnvFilter::try_new(&settings.filter).map_err(|error| format!("setting log.filter: {error}"))?;
    let is_json = match settings.format.as_deref() {
        Some("json") => true,
        Some("human") => false,
        Some(_) => return Err("setting log.format: expected json or human".into()),
        None => !std::io::stderr().is_terminal(),
    };
    let json = is_json.then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .json()
            .flatten_event(true)
    });
    let human = (!is_json).then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false)
    });
    // Libraries write what they were given: the resolver, for one, the domains of recipients. What matters of theirs we say ourselves.
    let ours = filter_fn(|metadata| metadata.target().starts_with("sealwright"));
    // An error means that a log was started before, which is the log to keep.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(ours)
        .with(json)
        .with(human)
        .try_init();
    Ok(())
}
