//! The memory of another process, read through `/proc`.
//!
//! One thing is excused: the bare name of a recipient's domain, which the resolver keeps in its cache and its queues because it asked for
//! it. Whole addresses are not: their local parts are canaries of their own, and so is each domain behind an `@`.

use super::canaries::Canaries;
use crate::harness::Spawned;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

/// How long an idle process may take to let go: two sweeps of what was accepted, and the end of idle
/// connections, whose buffers hold what was sent last.
const PATIENCE: Duration = Duration::from_secs(100);
/// Between two searches.
const SEARCH_EVERY: Duration = Duration::from_secs(2);
/// Canaries that the resolver was asked for.
const RESOLVED: [&str; 3] = ["to domain", "cc domain", "bcc domain"];
/// Memory is searched in pieces of this size, which overlap by [`OVERLAP`].
const PIECE: usize = 8 * 1024 * 1024;
const OVERLAP: usize = 4096;

/// Searches until nothing is found; panics with what is still there when patience ends.
pub(super) async fn assert_forgotten(server: &Spawned, canaries: &Canaries) {
    let id = server.id();
    if !rustix::process::geteuid().is_root() {
        // A process that can't be dumped is closed to its own user; only root can look inside.
        assert!(
            File::open(format!("/proc/{id}/mem")).is_err(),
            "the server's memory is open to other processes of its user"
        );
        return;
    }
    let mut found = Vec::new();
    let search = async {
        loop {
            found = search(id, canaries);
            if found.is_empty() {
                return;
            }
            tokio::time::sleep(SEARCH_EVERY).await;
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, search).await;
    assert!(
        outcome.is_ok(),
        "still in memory after {PATIENCE:?}:\n{}",
        found.join("\n")
    );
}

fn search(id: u32, canaries: &Canaries) -> Vec<String> {
    let maps = std::fs::read_to_string(format!("/proc/{id}/maps")).unwrap();
    let memory = File::open(format!("/proc/{id}/mem")).unwrap();
    let (mut found, mut searched) = (Vec::new(), 0);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let name = words.nth(3).unwrap_or("(anonymous)").to_owned();
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut at = start;
        while at < end {
            let wanted = PIECE.min(usize::try_from(end - at).unwrap());
            let mut piece = vec![0; wanted];
            // A mapping may go away, or have pages that nobody ever touched, between the list and the look.
            let read = memory.read_at(&mut piece, at).unwrap_or(0);
            if read == 0 {
                break;
            }
            searched += read;
            let names = canaries.found_in(&piece[..read]).into_iter();
            for canary in names.filter(|name| !RESOLVED.contains(name)) {
                found.push(format!("{canary} in {name} {range}"));
            }
            if read <= OVERLAP {
                break;
            }
            at += u64::try_from(read - if at + read as u64 >= end { 0 } else { OVERLAP }).unwrap();
        }
    }
    assert!(
        searched > 1024 * 1024,
        "only {searched} bytes of memory could be read"
    );
    found
}
