//! The log: to standard error, as JSON or for people. No level writes addresses, subjects, bodies or secrets: their types have no way to be printed.

use crate::config::Log;
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

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
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE);
    // An error means that a log was started before, which is the log to keep.
    let _ = if is_json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_target(false).try_init()
    };
    Ok(())
}
