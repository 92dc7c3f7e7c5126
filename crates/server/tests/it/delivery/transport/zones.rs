//! A small DNS of our own with a signed root, served by Knot DNS and resolved by Unbound.

use crate::harness::eventually;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Servers are killed when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // One that is gone already needs no end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The running servers.
pub(super) struct Zones {
    /// Where the root's keys are.
    pub(super) anchor: PathBuf,
    /// The port of the resolver on 127.0.0.1.
    pub(super) resolver: u16,
    _folder: TempDir,
    _processes: [Process; 2],
}

/// A port that nobody has, for UDP and TCP.
fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

fn start(program: &str, arguments: &[&str]) -> Process {
    let child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; run tools/install-test-deps.sh"));
    Process(child)
}

fn dig(port: u16, arguments: &[&str]) -> String {
    let output = Command::new("kdig")
        .args(["@127.0.0.1", "-p", &port.to_string(), "+timeout=2", "+retry=0"])
        .args(arguments)
        .output()
        .expect("kdig is missing: run tools/install-test-deps.sh");
    String::from_utf8(output.stdout).unwrap()
}

/// What the zones hold; `broken` ones can't be loaded, so that the server fails at every question about them.
struct Contents<'a> {
    zones: [(&'static str, String); 3],
    broken: &'a [String],
}

impl<'a> Contents<'a> {
    fn new(root: &str, plain: &str, bogus: &str, broken: &'a [String]) -> Self {
        let head = |zone: &str| {
            format!(
                "$ORIGIN {zone}\n$TTL 60\n@ IN SOA ns.root-servers. a. 1 60 60 600 60\n@ IN NS ns.root-servers.\n"
            )
        };
        let delegations = "ns.root-servers IN A 127.0.0.1\nplain IN NS ns.root-servers.\nbogus IN NS ns.root-servers.\n\
            bogus IN DS 12345 13 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";
        let zones = [
            (".", format!("{}{delegations}{root}", head("."))),
            ("plain.", format!("{}{plain}", head("plain."))),
            ("bogus.", format!("{}{bogus}", head("bogus."))),
        ];
        Self { zones, broken }
    }

    /// Writes the zone files; returns the configuration of Knot DNS, which signs the root.
    fn authority(&self, folder: &Path, port: u16) -> String {
        let at = folder.display();
        let mut config = format!(
            "server:\n  listen: 127.0.0.1@{port}\n  rundir: {at}\ndatabase:\n  storage: {at}\n\
             policy:\n  - id: signed\n    algorithm: ecdsap256sha256\n    single-type-signing: on\nzone:\n"
        );
        for (zone, text) in &self.zones {
            let file = format!("{}.zone", zone.trim_end_matches('.'));
            std::fs::write(folder.join(&file), text).unwrap();
            config += &format!(
                "  - domain: {zone}\n    storage: {at}\n    file: {file}\n    zonefile-load: whole\n    journal-content: none\n"
            );
            if *zone == "." {
                config += "    dnssec-signing: on\n    dnssec-policy: signed\n    zonefile-sync: -1\n";
            }
        }
        for zone in self.broken {
            config += &format!("  - domain: {zone}\n    storage: {at}\n    file: nowhere\n");
        }
        config
    }

    /// The configuration of Unbound. Name servers in zones have port 53; ours has another, which it is told zone by zone.
    fn resolver(&self, folder: &Path, port: u16, authority: u16) -> String {
        let at = folder.display();
        let names = self.zones.iter().map(|(zone, _)| *zone);
        let stubs: String = names
            .chain(self.broken.iter().map(String::as_str))
            .map(|zone| {
                format!(
                    "stub-zone:\n  name: \"{zone}\"\n  stub-addr: 127.0.0.1@{authority}\n  stub-prime: no\n"
                )
            })
            .collect();
        format!(
            "server:\n  interface: 127.0.0.1\n  port: {port}\n  username: \"\"\n  chroot: \"\"\n  directory: \"{at}\"\n\
             \x20 pidfile: \"\"\n  use-syslog: no\n  do-not-query-localhost: no\n  do-ip6: no\n  qname-minimisation: no\n\
             \x20 trust-anchor-file: \"{at}/root.key\"\n  module-config: \"validator iterator\"\n\
             remote-control:\n  control-enable: no\n{stubs}"
        )
    }
}

impl Zones {
    /// `root` holds records of the signed root; below it `plain.` is a zone without signatures, `bogus.` one that should have some.
    pub(super) async fn start(root: &str, plain: &str, bogus: &str, broken: &[String]) -> Self {
        let contents = Contents::new(root, plain, bogus, broken);
        let folder = tempfile::tempdir().unwrap();
        let (authority, resolver) = (free_port(), free_port());
        let configured = |file: &str, text: String| {
            let path = folder.path().join(file);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let config = configured("knot.conf", contents.authority(folder.path(), authority));
        let knot = start("knotd", &["-c", &config]);
        let keys = eventually("the root has a key", async || {
            let said = dig(authority, &["+short", "DNSKEY", "."]);
            // An answer may be a line about a timeout.
            let keys = said.lines().filter(|line| line.starts_with("257 3 13 "));
            let keys: String = keys.map(|key| format!(". 60 IN DNSKEY {key}\n")).collect();
            (!keys.is_empty()).then_some(keys)
        });
        let anchor = folder.path().join("root.key");
        std::fs::write(&anchor, keys.await).unwrap();
        let config = configured(
            "unbound.conf",
            contents.resolver(folder.path(), resolver, authority),
        );
        let unbound = start("unbound", &["-d", "-c", &config]);
        let proves = eventually("the resolver proves it", async || {
            dig(resolver, &["+adflag", "SOA", "."])
                .contains(" ad")
                .then_some(())
        });
        proves.await;
        Self {
            anchor,
            resolver,
            _folder: folder,
            _processes: [unbound, knot],
        }
    }
}
