//! A real mail system further on: Postfix takes the mail, finds nobody there, and says so in a report of its own making.

use super::*;
use crate::harness::{events_of, on_both_engines};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

fn said(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).output().expect(command);
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A Postfix of this test's own, with a queue in a folder of its own: it takes mail for `reader.example`, where nobody lives, and brings
/// everything else to `next`. The machine's configuration is neither read nor changed.
struct Postfix {
    address: SocketAddr,
    master: Child,
    _folder: TempDir,
}

impl Postfix {
    async fn start(next: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path();
        std::fs::set_permissions(work, std::fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["etc", "queue", "data"] {
            std::fs::create_dir(work.join(name)).unwrap();
        }
        said("chown", &["postfix", work.join("data").to_str().unwrap()]);
        let address = free_port();
        std::fs::write(work.join("etc/main.cf"), main_cf(work, next)).unwrap();
        std::fs::write(work.join("etc/master.cf"), master_cf(address)).unwrap();
        let etc = work.join("etc").display().to_string();
        // Makes the queue's folders.
        said("postfix", &["-c", &etc, "check"]);
        let daemons = said("postconf", &["-dh", "daemon_directory"]);
        let master = Command::new(format!("{daemons}/master"))
            .args(["-c", &etc, "-d"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // It ends its whole group with itself.
            .process_group(0)
            .spawn()
            .unwrap();
        let postfix = Self {
            address,
            master,
            _folder: folder,
        };
        eventually("Postfix listens", async || {
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
        postfix
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.master);
        // An error means that it has ended already.
        let _ = rustix::process::kill_process(group, rustix::process::Signal::TERM);
        let _ = self.master.wait();
    }
}

fn main_cf(work: &Path, next: SocketAddr) -> String {
    let default = |name: &str| format!("{name} = {}\n", said("postconf", &["-dh", name]));
    let folders = [
        "daemon_directory",
        "command_directory",
        "meta_directory",
        "shlib_directory",
    ]
    .map(default);
    format!(
        "compatibility_level = 3.6\nqueue_directory = {work}/queue\ndata_directory = {work}/data\n{}\
         mail_owner = postfix\nsetgid_group = postdrop\nmaillog_file =\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = relay.reader.example\n\
         mydestination = reader.example\nmynetworks = 127.0.0.0/8\nalias_maps =\nalias_database =\n\
         local_recipient_maps =\nrelayhost = [127.0.0.1]:{}\nsmtp_dns_support_level = disabled\nsmtp_host_lookup = native\n\
         smtp_tls_security_level = encrypt\nsmtpd_peername_lookup = no\n",
        folders.concat(),
        next.port(),
        work = work.display(),
    )
}

/// Only what this way needs; chroot is off so that no files have to be copied below the queue.
fn master_cf(address: SocketAddr) -> String {
    let services = [
        "cleanup unix n - n - 0 cleanup",
        "qmgr unix n - n 300 1 qmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "bounce unix - - n - 0 bounce",
        "defer unix - - n - 0 bounce",
        "trace unix - - n - 0 bounce",
        "flush unix n - n 1000? 0 flush",
        "proxymap unix - - n - - proxymap",
        "smtp unix - - n - - smtp",
        "local unix - n n - - local",
        "error unix - - n - - error",
        "retry unix - - n - - error",
        "anvil unix - - n - 1 anvil",
        "scache unix - - n - 1 scache",
        "tlsmgr unix - - n 1000? 1 tlsmgr",
    ];
    format!("{address} inet n - n - - smtpd\n{}\n", services.join("\n"))
}

on_both_engines! {
    async fn postfix_reports_an_unknown_user_and_the_mail_is_bounced(engine: Engine) {
        let listen = free_port();
        let postfix = Postfix::start(listen).await;
        let house = Setup::new(engine)
            .set("smtp.listen", listen.to_string())
            .set("returns.host", HOST)
            .set("delivery.static_route", postfix.address.to_string())
            .start()
            .await;
        let id = house.accepted(&house.email("nobody-lives-here@reader.example")).await;
        let shown = house.reaches(&id, "bounced").await;
        assert_eq!(events_of(&shown, "email.delivered").len(), 1, "Postfix had taken it");
        let data = &events_of(&shown, "email.bounced")[0]["data"];
        assert_eq!(data["to"], "nobody-lives-here@reader.example");
        assert_eq!((data["bounceType"].as_str(), data["bounceCategory"].as_str()), (Some("hard"), Some("invalid_address")));
        assert!(data["message"].as_str().unwrap().contains("unknown user"), "{data:#}");
        assert_eq!((counted(&house, "bounced"), counted(&house, "repeated")), (1, 0));
        // Not a word more was said: what is bounced is not bounced back.
        assert_eq!((counted(&house, "other"), counted(&house, "unmatched")), (0, 0));
    }
}
