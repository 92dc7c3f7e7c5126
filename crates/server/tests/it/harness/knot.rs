//! A name server of another make, which serves zone files as they are.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A running knotd on a free port of loopback; killed when it is dropped.
pub(crate) struct Knot {
    pub(crate) address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl Knot {
    /// Serves zones: each its name (without its last dot; the root is empty) and its records but SOA and NS, whose server is
    /// `ns.hosting.example`. It may take a moment until it answers.
    pub(crate) fn serve<'a>(zones: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        drop(socket);
        let (at, port) = (folder.path().display(), address.port());
        let mut config = format!(
            "server:\n  listen: 127.0.0.1@{port}\n  rundir: {at}\ndatabase:\n  storage: {at}\nzone:\n"
        );
        for (number, (zone, records)) in zones.into_iter().enumerate() {
            let text = format!(
                "$ORIGIN {zone}.\n@ 60 IN SOA ns.hosting.example. a.hosting.example. 1 60 60 600 60\n@ 60 IN NS ns.hosting.example.\n{records}"
            );
            std::fs::write(folder.path().join(format!("{number}.zone")), text).unwrap();
            config += &format!("  - domain: {zone}.\n    storage: {at}\n    file: {number}.zone\n");
        }
        let path = folder.path().join("knot.conf");
        std::fs::write(&path, config).unwrap();
        let process = Command::new("knotd")
            .arg("-c")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("knotd is missing: run tools/install-test-deps.sh");
        Self {
            address,
            process,
            _folder: folder,
        }
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
