//! Plays the dialogues in `dialogues/` against the two SMTP machines. `dialogues/README.txt` tells
//! how to read and write them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client;
mod script;
mod server;

use script::{Pace, Script};

/// Plays every dialogue whose file starts with `prefix`, and names all that failed.
fn play_all(prefix: &str, play: fn(&Script, Pace)) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dialogues");
    let mut played = 0;
    let mut failed = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with(prefix) {
            continue;
        }
        played += 1;
        let script = Script::parse(&name, &std::fs::read_to_string(&path).unwrap());
        for pace in [Pace::Groups, Pace::Octets] {
            let is_apt = pace == Pace::Groups || !script.groups_only;
            if is_apt && std::panic::catch_unwind(|| play(&script, pace)).is_err() {
                failed.push(format!("{name} ({pace:?})"));
            }
        }
    }
    assert!(failed.is_empty(), "failed: {failed:#?}");
    assert!(
        played >= 15,
        "only {played} dialogues {prefix}*: is the folder complete?"
    );
}

#[test]
fn client_dialogues_go_as_written() {
    play_all("client_", client::play);
}

#[test]
fn server_dialogues_go_as_written() {
    play_all("server_", server::play);
}
