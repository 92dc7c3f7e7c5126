//! The program itself, as a process of its own: the real binary with its real allocator.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// Settings by their keys (`section.name`).
pub(crate) type Pairs = Vec<(String, String)>;

/// A command of the program with nothing in its environment but these settings.
pub(crate) fn program(settings: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealwright"));
    command.env_clear().stdin(Stdio::null());
    for (key, value) in settings {
        let variable = format!("SEALWRIGHT_{}", key.replace('.', "_").to_ascii_uppercase());
        command.env(variable, value);
    }
    command
}

/// Runs a command of the program to its end.
pub(crate) fn run(settings: &[(String, String)], arguments: &[&str]) -> Output {
    program(settings).args(arguments).output().unwrap()
}

/// Runs a command that must succeed; returns the lines it printed.
#[track_caller]
pub(crate) fn lines(settings: &[(String, String)], arguments: &[&str]) -> Vec<String> {
    let output = run(settings, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "sealwright {arguments:?}: {said}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Runs a command that must fail with this exit code; returns what it said.
#[track_caller]
pub(crate) fn refusal(settings: &[(String, String)], arguments: &[&str], code: i32) -> String {
    let output = run(settings, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        output.status.code(),
        Some(code),
        "sealwright {arguments:?}: {said}"
    );
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// A running `sealwright serve`; killed when it is dropped.
pub(crate) struct Spawned {
    child: Child,
    /// Where its standard error goes.
    pub(crate) log: PathBuf,
    /// Where it serves; `None` without the API.
    pub(crate) address: Option<SocketAddr>,
}

impl Spawned {
    /// Starts it and waits until it serves. Its log goes to `serve.log` in `folder`.
    pub(crate) async fn serve(settings: &[(String, String)], arguments: &[&str], folder: &Path) -> Self {
        let log = folder.join("serve.log");
        let child = program(settings)
            .arg("serve")
            .args(arguments)
            .env("SEALWRIGHT_LOG_FORMAT", "json")
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut spawned = Self {
            child,
            log,
            address: None,
        };
        let serving = super::eventually("sealwright serves", async || {
            let said = std::fs::read_to_string(&spawned.log).unwrap();
            if let Some(status) = spawned.child.try_wait().unwrap() {
                panic!("sealwright serve ended with {status}: {said}");
            }
            let line = said
                .lines()
                .find(|line| line.contains("\"message\":\"serving\""))?;
            serde_json::from_str::<serde_json::Value>(line).ok()
        })
        .await;
        spawned.address = serving["address"]
            .as_str()
            .map(|address| address.parse().unwrap());
        spawned
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop and waits for its end.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        super::eventually("sealwright stops", async || self.child.try_wait().unwrap()).await
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
