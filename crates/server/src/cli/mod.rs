//! The command line. `--help`, the manual page and the reference of settings are all made from what is declared here and in `config`.

mod bench;
mod dev;
mod doctor;
mod domain;
mod key;
mod operate;
mod queue;
mod reports;
mod running;
mod serve;

use crate::config::{Config, ConfigError, Settings};
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use zeroize::Zeroize as _;

/// Bytes of a thread's stack that are overwritten when it rests.
const STACK_BYTES_WIPED: usize = 128 * 1024;

/// Exit code when the settings or the arguments are wrong.
const EXIT_USAGE: u8 = 2;
/// Exit code when the work failed.
const EXIT_FAILED: u8 = 1;

/// A self-hosted platform for the e-mail that programs send and receive.
#[derive(Debug, Parser)]
#[command(name = "sealwright", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    settings: SettingArgs,
    #[command(subcommand)]
    command: Command,
}

/// Where settings come from.
#[derive(Debug, Clone, Args)]
struct SettingArgs {
    /// Settings file (TOML).
    #[arg(long, global = true, env = "SEALWRIGHT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, as section.name=value; wins over the environment and the file. May be repeated.
    #[arg(long = "set", global = true, value_name = "SETTING")]
    set: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve: answer the API, deliver mail, send webhooks.
    Serve(serve::Serve),
    /// Serve for development: embedded store, local certificate authority, captured outbox, keys printed once.
    Dev(dev::Dev),
    /// Bring the store's schema to the version of this program.
    Migrate,
    /// Organizations.
    #[command(subcommand)]
    Org(operate::OrgCommand),
    /// Sending domains.
    #[command(subcommand)]
    Domain(domain::DomainCommand),
    /// API keys.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// What waits for delivery, by destination; try it at once, hold it, or drop it.
    Queue(queue::Queue),
    /// What other mail systems report of TLS on the way to `returns.host`.
    Reports(reports::Reports),
    /// Measure this machine and this program on it, against each other.
    Bench(bench::Bench),
    /// Say in plain words what is wrong with this machine or its settings.
    Doctor,
    /// Settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the OpenAPI document of the API (JSON).
    Openapi,
    /// Print who may call which route (Markdown).
    Permissions,
    /// Print the version, the schema versions and the store engines.
    Version,
    /// Print the manual page.
    Man,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every setting with its manual (Markdown).
    Reference,
    /// Read the settings and say whether they fit.
    Check,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Start(#[from] crate::app::StartError),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    fn of(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage(_) => EXIT_USAGE,
            Self::Start(_) | Self::Failed(_) => EXIT_FAILED,
        }
    }
}

/// Runs the program.
#[allow(clippy::print_stderr, reason = "errors of the command line go to its user")]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("sealwright: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Overwrites what earlier calls left on this thread's stack: the state of a hash holds its last block in clear, and so do a parser's frames.
#[inline(never)]
fn wipe_stack() {
    let mut below = [0_u8; STACK_BYTES_WIPED];
    below.zeroize();
    std::hint::black_box(&below);
}

fn run(cli: Cli) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // What was in clear on a stack for a moment does not stay while its thread has nothing to do, or has ended.
        .on_thread_park(wipe_stack)
        .on_thread_stop(wipe_stack)
        .build()
        .map_err(Failure::of)?;
    let settings = settings(&cli.settings)?;
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Serve(serve) => serve.run(start(settings)?).await,
            Command::Dev(dev) => dev.run(settings).await,
            Command::Migrate => operate::migrate(&start(settings)?).await,
            Command::Org(command) => command.run(&start(settings)?).await,
            Command::Domain(command) => command.run(&start(settings)?).await,
            Command::Key(command) => command.run(&start(settings)?).await,
            Command::Queue(queue) => queue.run(&start(settings)?).await,
            Command::Reports(reports) => reports.run(&start(settings)?).await,
            Command::Bench(bench) => bench.run(&settings).await,
            Command::Doctor => doctor::run(&settings).await,
            Command::Config(ConfigCommand::Reference) => print(&crate::config::reference()),
            Command::Config(ConfigCommand::Check) => settings
                .config()
                .map_err(Failure::from)
                .and_then(|_| print("the settings fit\n")),
            Command::Openapi => print(&openapi()),
            Command::Permissions => print(&crate::entry::api::permissions()),
            Command::Version => print(&version()),
            Command::Man => manual(),
        }
    });
    // Threads that wait for a slow peer must not hold up the end of a command that is done.
    runtime.shutdown_background();
    outcome
}

/// The settings from file, environment and flags.
fn settings(args: &SettingArgs) -> Result<Settings, Failure> {
    let mut settings = Settings::default();
    if let Some(path) = &args.config {
        settings = settings.file(path)?;
    }
    settings = settings.environment(std::env::vars())?;
    for pair in &args.set {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("--set {pair}: expected section.name=value")))?;
        settings = settings.with(key, value)?;
    }
    Ok(settings)
}

fn start(settings: Settings) -> Result<Config, Failure> {
    let config = settings.config()?;
    crate::log::start(&config.log).map_err(Failure::Usage)?;
    Ok(config)
}

/// Prints to standard output; a reader that went away is not an error of ours.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::of(error)),
        _ => Ok(()),
    }
}

/// Rows of a table, its columns as wide as they have to be.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn openapi() -> String {
    // Only names and schemas: this can't fail.
    let json = serde_json::to_string_pretty(&crate::entry::api::document());
    json.unwrap_or_default() + "\n"
}

fn version() -> String {
    use crate::platform::store::Schema;
    let (data, keyring) = (Schema::DATA.version(), Schema::KEYRING.version());
    let version = env!("CARGO_PKG_VERSION");
    format!("sealwright {version}\nschema: data {data}, keyring {keyring}\nengines: sqlite, postgres\n")
}

fn manual() -> Result<(), Failure> {
    let mut command = Cli::command();
    // Without it commands do not know what they are called in full.
    command.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(Failure::of)?;
    let mut text = String::from_utf8_lossy(&page).into_owned();
    command
        .get_subcommands()
        .for_each(|command| describe(command, &mut text));
    print(&text)
}

/// Adds a section with a command's help, and one with that of each below it.
fn describe(command: &clap::Command, text: &mut String) {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    if name.split(' ').any(|word| word == "help") {
        return;
    }
    let help = command.clone().render_help().to_string();
    // A line that begins with a point or an apostrophe would be an order to the typesetter, and a backslash an escape.
    let help = help
        .replace('\\', "\\e")
        .replace("\n.", "\n\\&.")
        .replace("\n'", "\n\\&'");
    text.push_str(&format!(".SH \"{}\"\n.nf\n{help}.fi\n", name.to_uppercase()));
    command
        .get_subcommands()
        .for_each(|command| describe(command, text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
