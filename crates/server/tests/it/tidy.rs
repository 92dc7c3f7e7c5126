//! The walls of the house (ARCHITECTURE.md), held against the source text: each failure says the sentence that was broken and where.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Lines of one file, at most.
const FILE_LINES_MAX: usize = 600;
/// Lines of the longest function today. Lower it when the longest gets shorter; never raise it.
const FUNCTION_LINES_MAX: usize = 67;

/// A source file.
struct Source {
    /// From the root of the repository, with `/` on every system.
    path: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// Lines of code with their numbers: no comments, and nothing below `#[cfg(test)]`, which ends every file that has it.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().zip(1..).map(|(line, number)| (number, line));
        lines
            .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn sources(folder: &str) -> Vec<Source> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<Source>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.push(Source {
                    path: name,
                    text: std::fs::read_to_string(&path).unwrap(),
                });
            }
        }
    }
    let (root, mut found) = (root(), Vec::new());
    walk(&root.join(folder), &root, &mut found);
    assert!(!found.is_empty(), "{folder} has no source files");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

const MAIL: &str = "crates/mail/src";
const SERVER: &str = "crates/server/src";

/// Asserts that none of the words is in the code of the files, except where `may` says so.
fn never(sentence: &str, files: &[Source], words: &[&str], may: impl Fn(&Source) -> bool) {
    let mut broken = Vec::new();
    for file in files.iter().filter(|file| !file.is_test() && !may(file)) {
        for (number, line) in file.code() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                broken.push(format!("{}:{number}: {word}: {}", file.path, line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "{sentence}\n{}", broken.join("\n"));
}

#[test]
fn the_mail_crate_does_no_io_and_reads_no_clock() {
    let words = [
        "tokio",
        "async fn",
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "ToSocketAddrs",
        "std::process",
        "std::thread",
        "std::env",
        "SystemTime",
        "Instant",
        "aws_lc_rs::rand",
        "SystemRandom",
        "println!",
    ];
    never(
        "crates/mail does no I/O, reads no clock and draws no randomness of its own: bytes in, bytes out",
        &sources(MAIL),
        &words,
        |_| false,
    );
    let manifest = std::fs::read_to_string(root().join("crates/mail/Cargo.toml")).unwrap();
    for runtime in ["tokio", "rusqlite", "hyper", "rand", "jiff"] {
        assert!(
            !manifest.lines().any(|line| line.starts_with(runtime)),
            "crates/mail depends on {runtime}"
        );
    }
}

#[test]
fn sql_appears_only_in_store_files() {
    let words = [
        "\"SELECT ",
        "\"INSERT INTO ",
        "\"DELETE FROM ",
        "\"UPDATE ",
        "\"CREATE TABLE ",
        "\"WITH ",
        "\"BEGIN",
        "\"COMMIT",
        "\"PRAGMA ",
        " FROM jobs",
        " FROM emails",
        "execute_batch",
        "batch_execute",
    ];
    let may = |file: &Source| {
        file.path.ends_with("/store.rs")
            || file.is_in("crates/server/src/platform/store/")
            // It measures what the bare engines can do, beside what we make of them.
            || file.is_in("crates/server/src/bench/")
    };
    never(
        "SQL appears only in store.rs files and platform/store/",
        &sources(SERVER),
        &words,
        may,
    );
}

#[test]
fn no_door_crosses_organizations() {
    let entry = sources("crates/server/src/entry");
    never(
        "nothing in entry/ can obtain a SystemTx",
        &entry,
        &[".system(", "SystemTx", " Purpose::"],
        |_| false,
    );
    let may =
        |file: &Source| file.path.ends_with("/store.rs") || file.is_in("crates/server/src/platform/store/");
    never(
        "only store.rs files cross organizations",
        &sources(SERVER),
        &[".system("],
        may,
    );
}

#[test]
fn floors_call_only_downward() {
    let up = ["crate::entry", "crate::features", "crate::cli", "crate::app"];
    let platform = sources("crates/server/src/platform");
    never("platform knows no feature and no door", &platform, &up, |_| false);
    let features = sources("crates/server/src/features");
    never(
        "a feature knows no door",
        &features,
        &["crate::entry", "crate::cli", "crate::app"],
        |_| false,
    );
}

/// The features in the order of `features::statements`, which is the order in which they may call each other.
fn features() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("crates/server/src/features/mod.rs")).unwrap();
    let listed = text
        .lines()
        .filter_map(|line| line.trim().strip_suffix("::STATEMENTS,"));
    let listed: Vec<_> = listed
        .filter(|name| !name.contains("::"))
        .map(str::to_owned)
        .collect();
    let declared: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    assert_eq!(
        listed.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        declared,
        "features/mod.rs lists every feature once"
    );
    listed
}

#[test]
fn a_feature_calls_only_features_listed_above_it() {
    let order = features();
    for (place, name) in order.iter().enumerate() {
        let files = sources(&format!("crates/server/src/features/{name}"));
        for below in &order[place + 1..] {
            let words = [
                format!("features::{below}::"),
                format!("features::{below};"),
                format!("features::{{{below}"),
            ];
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let sentence = format!(
                "{name} may not call {below}: a feature calls only features listed above it in features/mod.rs"
            );
            never(&sentence, &files, &words, |_| false);
        }
    }
}

#[test]
fn time_and_randomness_come_in_as_arguments() {
    let server = sources(SERVER);
    let is_clock = |file: &Source| file.path == "crates/server/src/clock.rs";
    never(
        "only clock.rs reads the time",
        &server,
        &["SystemTime::now", "Timestamp::now(", "Zoned::now"],
        is_clock,
    );
    // Durations of network steps and of measurements, never a stored time.
    let may = |file: &Source| {
        is_clock(file)
            || [
                "platform/net/",
                "features/delivery/wire/",
                "entry/edge/",
                "bench/",
            ]
            .iter()
            .any(|folder| file.is_in(&format!("{SERVER}/{folder}")))
    };
    never(
        "durations are measured on the wire and in benchmarks only",
        &server,
        &["Instant::now"],
        may,
    );
    let is_vault = |file: &Source| file.is_in("crates/server/src/platform/vault/");
    never(
        "only platform/vault draws randomness",
        &server,
        &["aws_lc_rs::rand", "SystemRandom", "getrandom"],
        is_vault,
    );
}

#[test]
fn connections_leave_only_through_the_way_out() {
    let words = [
        "hyper::client",
        "hyper_util::client",
        "TcpStream::connect",
        "TcpSocket::new",
        "UdpSocket",
        "lookup_host",
        "reqwest",
    ];
    let may = |file: &Source| {
        [
            "platform/net/",
            "features/delivery/wire/",
            "platform/dev/",
            "bench/",
        ]
        .iter()
        .any(|folder| file.is_in(&format!("{SERVER}/{folder}")))
    };
    never(
        "outbound connections leave only through platform/net and delivery/wire",
        &sources(SERVER),
        &words,
        may,
    );
}

#[test]
fn secrets_and_personal_data_have_no_way_to_be_printed() {
    let words = [
        "Display for Secret",
        "Display for Personal",
        "Serialize for Secret",
        "Serialize for Personal",
        "Deref for Secret",
        "Deref for Personal",
    ];
    never(
        "Secret and Personal have no Display, no Serialize and no Deref",
        &sources(SERVER),
        &words,
        |_| false,
    );
}

#[test]
fn nothing_panics_on_input() {
    let mut broken = Vec::new();
    for file in sources(SERVER)
        .iter()
        .chain(&sources(MAIL))
        .filter(|file| !file.is_test())
    {
        let lines: Vec<_> = file.code().collect();
        for (index, (number, line)) in lines.iter().enumerate() {
            let panics = [".unwrap()", ".expect(\"", "panic!(", "todo!(", "unimplemented!("]
                .iter()
                .any(|word| line.contains(word));
            let before = &lines[index.saturating_sub(12)..=index];
            let is_excused = before.iter().any(|(_, line)| line.contains("reason = \""));
            if panics && !is_excused {
                broken.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "no unwrap, expect or panic outside of tests without #[allow(…, reason = …)]\n{}",
        broken.join("\n")
    );
}

#[test]
fn every_limit_is_used() {
    let limits = std::fs::read_to_string(root().join("crates/server/src/limits.rs")).unwrap();
    let server = sources(SERVER);
    let names = limits
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    let is_used = |name: &&str| {
        server.iter().any(|file| {
            !file.path.ends_with("src/limits.rs") && file.code().any(|(_, line)| line.contains(*name))
        })
    };
    let unused: Vec<_> = names.filter(|name| !is_used(name)).collect();
    assert!(
        unused.is_empty(),
        "a limit that nothing holds is a promise that nobody keeps: {unused:?}"
    );
}

#[test]
fn files_and_functions_stay_short() {
    let (mut long, mut longest) = (Vec::new(), Vec::new());
    for file in sources(SERVER).iter().chain(&sources(MAIL)) {
        let lines: Vec<_> = file.text.lines().collect();
        if lines.len() > FILE_LINES_MAX {
            long.push(format!("{}: {} lines", file.path, lines.len()));
        }
        for (start, line) in lines.iter().enumerate().filter(|(_, line)| is_function(line)) {
            let indent = &line[..line.len() - line.trim_start().len()];
            let end = lines[start..]
                .iter()
                .position(|line| *line == format!("{indent}}}"))
                .unwrap_or(0);
            if end + 1 > FUNCTION_LINES_MAX {
                longest.push(format!("{}:{}: {} lines", file.path, start + 1, end + 1));
            }
        }
    }
    assert!(
        long.is_empty(),
        "past {FILE_LINES_MAX} lines a file has a second topic\n{}",
        long.join("\n")
    );
    assert!(
        longest.is_empty(),
        "past {FUNCTION_LINES_MAX} lines nobody sees a function whole\n{}",
        longest.join("\n")
    );
}

fn is_function(line: &str) -> bool {
    let words: Vec<_> = line.split_whitespace().take(5).collect();
    let named = words.iter().position(|word| *word == "fn");
    let is_head = |word: &&str| {
        word.starts_with("pub") || ["const", "async", "in", "fn"].contains(word) || word.ends_with(')')
    };
    named.is_some_and(|place| words[..place].iter().all(is_head)) && !line.trim_end().ends_with(';')
}

#[test]
fn names_say_what_a_file_holds() {
    for file in sources("crates") {
        let stem = Path::new(&file.path)
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        for vague in [
            "util", "utils", "helper", "helpers", "common", "misc", "manager", "service", "types",
        ] {
            assert!(
                stem != vague && !file.path.contains(&format!("/{vague}/")),
                "{}: name the thing, not the drawer",
                file.path
            );
        }
        let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat()];
        for (line, number) in file.text.lines().zip(1..) {
            let is_mark = marks.iter().any(|mark| line.contains(mark.as_str())) && !line.contains("(#");
            assert!(
                !is_mark,
                "{}:{number}: something is left to do without an issue to find it by",
                file.path
            );
        }
    }
}

#[test]
fn both_engines_have_the_same_migrations() {
    for schema in ["data", "keyring"] {
        let names = |engine: &str| -> BTreeSet<String> {
            let folder = root().join(format!("crates/server/migrations/{schema}/{engine}"));
            std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect()
        };
        let (sqlite, postgres) = (names("sqlite"), names("postgres"));
        assert_eq!(sqlite, postgres, "same number and name for both engines");
        let numbers = sqlite.iter().map(|name| name[..4].parse::<usize>().unwrap());
        assert!(
            numbers.eq(1..=sqlite.len()),
            "{schema}: numbered from 0001 without a gap"
        );
        let code =
            std::fs::read_to_string(root().join("crates/server/src/platform/store/migrate.rs")).unwrap();
        for name in &sqlite {
            let listed = format!("migration!(\"{schema}\", \"{}\")", name.trim_end_matches(".sql"));
            assert!(
                code.contains(&listed),
                "{name} is not in Schema::{}",
                schema.to_uppercase()
            );
        }
    }
}
