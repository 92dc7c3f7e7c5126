//! A PostgreSQL server of our own, in a folder: for tests and benchmarks on a machine where nobody set one up.
//!
//! Life cycle: `initdb` into the folder, start, answer on a socket in that folder (never on a port), stop when dropped. A shell
//! between us and the server holds the reading end of a pipe: when this process ends, however it ends, the pipe closes and the shell
//! stops the server. Nothing outlives a killed test run.
//!
//! Not here: roles, databases and schemas (whoever asked for the server makes them), and any setting that buys speed with durability.
//! `fsync` stays on, or a benchmark would measure nothing.

use crate::secret::Secret;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where Debian and Ubuntu keep the server's programs, one folder per major version.
const DEBIAN_FOLDER: &str = "/usr/lib/postgresql";
/// The account that the server runs as when we are root: it refuses to run as root itself.
const ACCOUNT: &str = "postgres";
/// Longest path of a socket (`sun_path` of unix(7), without its closing NUL).
const SOCKET_PATH_MAX: usize = 107;
/// The socket's name: the server always appends its port number.
const SOCKET_NAME: &str = ".s.PGSQL.5432";
/// Lines of the server's log that an error shows.
const LOG_LINES_SHOWN: usize = 5;

/// Starts the server, says so, waits until the pipe closes, and stops the server: politely, then firmly.
/// `$1` is `pg_ctl`, `$2` the folder of the data, `$3` the log.
const KEEPER: &str = r#"
"$1" start -D "$2" -l "$3" -w -t 60 -s || exit 1
echo started
read -r _
"$1" stop -D "$2" -m fast -w -t 20 -s ||
"$1" stop -D "$2" -m immediate -w -t 10 -s ||
kill -KILL "$(head -n 1 "$2/postmaster.pid")"
"#;

/// Why the server could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LocalPostgresError {
    /// The programs are not on this machine.
    #[error(
        "PostgreSQL's initdb and pg_ctl are neither on PATH nor below {DEBIAN_FOLDER}; install the server (Debian: apt-get install postgresql)"
    )]
    NotInstalled,
    /// We are root and the account that the server needs is missing.
    #[error("PostgreSQL does not run as root and there is no account named {ACCOUNT} to run it as")]
    NoAccount,
    /// The folder's path does not fit into a socket's address.
    #[error("the path of {0} is too long for a socket; choose a shorter one")]
    PathTooLong(String),
    /// A file could not be made or a program not started.
    #[error("{what}: {error}")]
    Io {
        /// The file or program.
        what: String,
        /// Why.
        error: std::io::Error,
    },
    /// A program ran and failed.
    #[error("{program} failed: {said}")]
    Failed {
        /// The program.
        program: &'static str,
        /// The end of what it said.
        said: String,
    },
}

/// A running server; stopped when dropped.
#[derive(Debug)]
pub struct LocalPostgres {
    keeper: Child,
    folder: PathBuf,
}

impl LocalPostgres {
    /// Makes a new server in `folder` (made if absent, given to the server's account if we are root) and waits until it answers.
    ///
    /// The folder's parents must be open to that account. Blocks for a few seconds.
    pub fn start(folder: &Path) -> Result<Self, LocalPostgresError> {
        let programs = programs().ok_or(LocalPostgresError::NotInstalled)?;
        std::fs::create_dir_all(folder).map_err(io(folder))?;
        let folder = folder.canonicalize().map_err(io(folder))?;
        if folder.join(SOCKET_NAME).as_os_str().len() > SOCKET_PATH_MAX {
            return Err(LocalPostgresError::PathTooLong(folder.display().to_string()));
        }
        let account = Account::needed()?;
        if let Some(account) = &account {
            std::os::unix::fs::chown(&folder, Some(account.uid), Some(account.gid)).map_err(io(&folder))?;
        }
        let data = folder.join("data");
        init(&programs, &data, account.as_ref())?;
        configure(&data, &folder)?;
        let keeper = keep(&programs, &data, &folder, account.as_ref())?;
        Ok(Self { keeper, folder })
    }

    /// How to reach the server as its superuser, in the database `postgres`.
    pub fn url(&self) -> Secret<String> {
        self.database_url("postgres")
    }

    /// How to reach another database of the server as its superuser. The name must be a plain word.
    pub fn database_url(&self, database: &str) -> Secret<String> {
        let host = self.folder.display().to_string();
        let host = host.replace('\\', "\\\\").replace('\'', "\\'");
        Secret::new(format!("host='{host}' user=postgres dbname={database}"))
    }

    /// Stops the server and waits until it is gone. Dropping does the same.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for LocalPostgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // The keeper stops the server whether we can wait for it or not.
        let _ = self.keeper.wait();
    }
}

/// The folder of the programs: that of PATH, else of the newest version that Debian installed.
fn programs() -> Option<PathBuf> {
    let has_all = |folder: &PathBuf| {
        ["initdb", "pg_ctl", "postgres"]
            .iter()
            .all(|program| folder.join(program).is_file())
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(folder) = std::env::split_paths(&path).find(has_all) {
        return Some(folder);
    }
    let versions = std::fs::read_dir(DEBIAN_FOLDER).ok()?.flatten();
    let version = |entry: std::fs::DirEntry| {
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((number, entry.path().join("bin")))
    };
    let installed = versions.filter_map(version).filter(|(_, folder)| has_all(folder));
    installed.max().map(|(_, folder)| folder)
}

/// The account that a server started by root runs as.
struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// `None` when we are not root: the server then runs as we do.
    fn needed() -> Result<Option<Self>, LocalPostgresError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let accounts = std::fs::read_to_string("/etc/passwd").map_err(io(Path::new("/etc/passwd")))?;
        let mut lines = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let found = lines.find_map(|fields| match fields.as_slice() {
            [ACCOUNT, _, uid, gid, ..] => Some((uid.parse().ok()?, gid.parse().ok()?)),
            _ => None,
        });
        let (uid, gid) = found.ok_or(LocalPostgresError::NoAccount)?;
        Ok(Some(Self { uid, gid }))
    }
}

/// A command that runs as the server's account. `setpriv` rather than `su` or `sudo`: no session, no password, no second process.
fn command(program: &Path, account: Option<&Account>) -> Command {
    let Some(account) = account else {
        return Command::new(program);
    };
    let mut command = Command::new("setpriv");
    command.args([
        format!("--reuid={}", account.uid),
        format!("--regid={}", account.gid),
    ]);
    command.args(["--init-groups", "--"]).arg(program);
    command
}

/// Makes the folder of the data.
fn init(programs: &Path, data: &Path, account: Option<&Account>) -> Result<(), LocalPostgresError> {
    let mut initdb = command(&programs.join("initdb"), account);
    initdb.arg("-D").arg(data);
    // The socket's own mode keeps others out; `--no-sync` is about the empty folder that this makes, not about the server.
    initdb.args([
        "-U",
        "postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--no-locale",
        "--no-sync",
    ]);
    initdb.current_dir("/").stdin(Stdio::null());
    let output = initdb.output().map_err(io(Path::new("initdb")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(LocalPostgresError::Failed {
        program: "initdb",
        said: last_lines(&String::from_utf8_lossy(&output.stderr)),
    })
}

fn configure(data: &Path, folder: &Path) -> Result<(), LocalPostgresError> {
    let path = data.join("postgresql.conf");
    let standard = std::fs::read_to_string(&path).map_err(io(&path))?;
    let sockets = folder.display().to_string().replace('\'', "''");
    let ours = format!(
        "\nlisten_addresses = ''\nport = 5432\nunix_socket_directories = '{sockets}'\nunix_socket_permissions = 0700\nfsync = on\n"
    );
    // The last setting of a name wins. Writing in place keeps owner and mode.
    std::fs::write(&path, standard + &ours).map_err(io(&path))
}

/// Starts the keeper, in a process group of its own so that an interrupt typed at us stops the server in order, and waits for the
/// server.
fn keep(
    programs: &Path,
    data: &Path,
    folder: &Path,
    account: Option<&Account>,
) -> Result<Child, LocalPostgresError> {
    let log = folder.join("log");
    let mut keeper = command(Path::new("/bin/sh"), account);
    keeper.args(["-c", KEEPER, "keeper"]);
    keeper.arg(programs.join("pg_ctl")).arg(data).arg(&log);
    keeper
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut keeper = keeper.spawn().map_err(io(Path::new("pg_ctl")))?;
    let mut said = String::new();
    if let Some(output) = keeper.stdout.take() {
        BufReader::new(output)
            .read_line(&mut said)
            .map_err(io(Path::new("pg_ctl")))?;
    }
    if said.trim_end() == "started" {
        return Ok(keeper);
    }
    drop(keeper.stdin.take());
    // It said that it failed; its exit code says no more.
    let _ = keeper.wait();
    let log = std::fs::read_to_string(&log).unwrap_or_default();
    Err(LocalPostgresError::Failed {
        program: "pg_ctl start",
        said: last_lines(&log),
    })
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("; ")
}

fn io(what: &Path) -> impl FnOnce(std::io::Error) -> LocalPostgresError {
    let what = what.display().to_string();
    move |error| LocalPostgresError::Io { what, error }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[tokio::test]
    async fn the_server_answers_durably_on_a_socket_and_is_gone_after_the_drop() {
        let folder = tempfile::tempdir().unwrap();
        // The folder of `tempfile` is closed to everybody else, and the server's account must get through it.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let server = LocalPostgres::start(&folder.path().join("pg")).unwrap();
        let url = server.url();
        let (client, connection) = tokio_postgres::connect(url.expose(), tokio_postgres::NoTls)
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        let row = client
            .query_one("SELECT current_setting('fsync')", &[])
            .await
            .unwrap();
        assert_eq!(row.get::<_, String>(0), "on");
        let row = client
            .query_one("SELECT current_setting('listen_addresses')", &[])
            .await
            .unwrap();
        assert_eq!(row.get::<_, String>(0), "");
        tokio::task::spawn_blocking(move || server.stop()).await.unwrap();
        // `Err` here is the server's own goodbye to a connection that was open.
        let _ = connection.await.unwrap();
        assert!(
            tokio_postgres::connect(url.expose(), tokio_postgres::NoTls)
                .await
                .is_err()
        );
        assert!(!folder.path().join("pg/data/postmaster.pid").exists());
    }

    #[test]
    fn a_folder_whose_path_fits_no_socket_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("a".repeat(SOCKET_PATH_MAX));
        let refusal = LocalPostgres::start(&long).unwrap_err();
        assert!(matches!(refusal, LocalPostgresError::PathTooLong(_)), "{refusal}");
    }
}
