//! Two network namespaces with a cable between them: in one runs the program under test, in the other everything it could reach.

use crate::harness::{NameServer, Said};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use sealwright::platform::dev::sink::{Moment, Sink, SinkOptions, SinkScript, Verdict};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// The far side's mail host, of a block that is set aside for documentation (RFC 5737).
pub(super) const MAIL_HOST: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(MAIL_IP), 25);
const MAIL_IP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 25);
/// The far side's name server.
pub(super) const NAME_SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(203, 0, 113, 53)), 53);

/// A network namespace without a name. It lives as long as a process in it, and that one ends with its standard input: when this is
/// dropped or when the test run is gone, however it went. Nothing is left to clean up.
struct Namespace {
    keeper: Child,
}

impl Namespace {
    fn make() -> Self {
        let keeper = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare is needed: it belongs to util-linux");
        let mut made = Self { keeper };
        let keeper = &mut made.keeper;
        // What comes back says that cat runs, and so that the namespace is there. An error shows as silence.
        let _ = keeper.stdin.as_mut().unwrap().write_all(b"\n");
        let mut back = [0];
        if keeper.stdout.as_mut().unwrap().read_exact(&mut back).is_err() {
            let mut said = String::new();
            keeper.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
            panic!("this test makes network namespaces, so it has to run as root (CAP_SYS_ADMIN): {said}");
        }
        made
    }

    /// Moves the calling thread in, with all threads and processes that it starts from now on.
    fn enter(&self) {
        let link = File::open(format!("/proc/{}/ns/net", self.keeper.id())).unwrap();
        move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// Does something on a thread inside, and waits for it.
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let result = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                work()
            });
            thread.join()
        });
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .expect("ip is needed: it belongs to iproute2");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {said}");
}

/// Without an address of its own the kernel says nothing over IPv6, so that what is counted is the program's.
fn raise_quietly(address: &str) {
    if Path::new("/proc/net/if_inet6").exists() {
        ip("link set cable addrgenmode none");
    }
    ip(&format!("address add {address} dev cable"));
    ip("link set cable up");
    ip("link set lo up");
}

/// The near side with its only way out, and the far side.
pub(super) struct Cable {
    near: Namespace,
    far: Namespace,
}

impl Cable {
    /// The near side can send to every IPv4 address; all of it goes through the cable.
    pub(super) fn lay() -> Self {
        let (near, far) = (Namespace::make(), Namespace::make());
        near.inside(|| {
            let far = far.keeper.id();
            ip(&format!("link add cable type veth peer name cable netns {far}"));
            raise_quietly("198.51.100.1/24");
        });
        far.inside(|| {
            raise_quietly("198.51.100.2/24");
            for address in [MAIL_HOST, NAME_SERVER] {
                ip(&format!("address add {}/32 dev lo", address.ip()));
            }
        });
        near.inside(|| ip("route add default via 198.51.100.2"));
        Self { near, far }
    }

    /// Runs a future on the near side, on a thread of its own.
    pub(super) fn run<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> T {
        self.near.inside(|| runtime().block_on(work()))
    }

    /// Packets that the near side gave to the cable, taken or not.
    pub(super) fn packets(&self) -> u64 {
        let table = self
            .near
            .inside(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap());
        let row = table.lines().find_map(|line| line.trim().strip_prefix("cable:"));
        let numbers: Vec<u64> = row
            .unwrap()
            .split_whitespace()
            .map(|number| number.parse().unwrap())
            .collect();
        // Eight columns of what came in, then bytes, packets, errors and drops of what went out.
        numbers[9] + numbers[10] + numbers[11]
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// What the far side saw.
#[derive(Default)]
pub(super) struct Seen {
    /// Connections to the mail host.
    pub(super) connections: AtomicUsize,
    /// Questions to the name server.
    pub(super) questions: AtomicUsize,
}

/// The far side's mail host, which takes everything, and its name server, by which every domain's mail goes there.
pub(super) struct World {
    pub(super) seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
}

impl World {
    pub(super) fn start(cable: &Cable) -> Self {
        let seen = Arc::new(Seen::default());
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let counted = Arc::clone(&seen);
        let link = File::open(format!("/proc/{}/ns/net", cable.far.keeper.id())).unwrap();
        let thread = std::thread::spawn(move || {
            move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            runtime().block_on(async {
                let _servers = serve(&counted).await;
                ready.send(()).unwrap();
                // Its end is the sign, with a word or without.
                let _ = stopped.await;
            });
        });
        is_ready.recv().expect("the far side serves");
        Self {
            seen,
            thread: Some(thread),
            stop: Some(stop),
        }
    }
}

async fn serve(seen: &Arc<Seen>) -> (Sink, NameServer) {
    let counted = Arc::clone(seen);
    let script = SinkScript::new(move |moment| {
        if moment == Moment::Connect {
            counted.connections.fetch_add(1, Ordering::SeqCst);
        }
        Verdict::Accept
    });
    let options = SinkOptions {
        script,
        ..SinkOptions::default()
    };
    let sink = Sink::start(MAIL_HOST, options).unwrap();
    let counted = Arc::clone(seen);
    let names = NameServer::start_on(NAME_SERVER, move |_, kind| {
        counted.questions.fetch_add(1, Ordering::SeqCst);
        match kind {
            crate::harness::DNS_MX => Said::Hosts(vec![(10, "mx.world.example".to_owned())]),
            crate::harness::DNS_A => Said::Addresses(vec![MAIL_IP]),
            _ => Said::Nothing,
        }
    })
    .await;
    (sink, names)
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed already.
            let _ = thread.join();
        }
    }
}
