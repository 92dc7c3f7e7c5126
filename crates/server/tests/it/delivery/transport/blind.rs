//! Name servers that leave proofs out.

use super::zones::Zones;
use super::{authority, identity, mail_host};
use crate::harness::{
    DNS_A, DNS_MX, Engine, NameServer, Said, Setup, eventually, on_both_engines, plain_get, run,
};
use sealwright::platform::dev::sink::SinkScript;
use sealwright::platform::net::{Path, SecureConfig, SecureDns};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

on_both_engines! {
    async fn mail_goes_on_without_dane_and_the_operator_is_told(engine: Engine) {
        let names = NameServer::start(|name, kind| match (name, kind) {
            ("reader.example", DNS_MX) => Said::Hosts(vec![(10, "mx.reader.example".to_owned())]),
            ("mx.reader.example", DNS_A) => Said::Addresses(vec![HERE]),
            _ => Said::Nothing,
        })
        .await;
        let stranger = identity(&authority(), &["mx.reader.example"], false);
        let sink = mail_host(SocketAddr::from((HERE, 0)), Some(&stranger), SinkScript::default());
        let house = Setup::new(engine)
            .unrouted()
            .set("delivery.port", sink.addr().port().to_string())
            .set("net.name_servers", names.address.to_string())
            .set("server.admin_listen", "127.0.0.1:0")
            .start()
            .await;
        let id = house.accepted(&house.email("ada@reader.example")).await;
        house.reaches(&id, "delivered").await;
        assert_eq!(house.guaranteed(&id).await, "opportunistic");
        let wanted = ["sealwright_dnssec_path{kind=\"blind\"} 1", "sealwright_dnssec_path{kind=\"proven\"} 0"];
        eventually("the metric says so", async || {
            let metrics = plain_get(house.admin_address().unwrap(), "/metrics").await;
            wanted.iter().all(|line| metrics.contains(line)).then_some(())
        })
        .await;
        assert_eq!(house.client.get("/readyz", "").await.status, 200);
    }
}

/// Something between us and the resolver that takes the wish for proofs out of questions.
struct Stripping {
    address: SocketAddr,
    over_udp: Arc<AtomicBool>,
    over_tcp: Arc<AtomicBool>,
}

/// The bit DO in the record behind the question (RFC 6891 §6.1.3).
fn without_wish(question: &mut [u8]) {
    let mut at = 12;
    while question[at] != 0 {
        at += 1 + usize::from(question[at]);
    }
    let record = at + 5;
    assert_eq!(question[record..record + 3], [0, 0, 41]);
    question[record + 7] &= 0x7f;
}

impl Stripping {
    async fn before(resolver: u16) -> Self {
        let tcp = TcpListener::bind((HERE, 0)).await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        let (over_udp, over_tcp) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let strips = Arc::clone(&over_udp);
        tokio::spawn(async move {
            let mut packet = [0; 4096];
            while let Ok((octets, peer)) = udp.recv_from(&mut packet).await {
                if strips.load(Ordering::SeqCst) {
                    without_wish(&mut packet[..octets]);
                }
                let asking = UdpSocket::bind((HERE, 0)).await.unwrap();
                asking.send_to(&packet[..octets], (HERE, resolver)).await.unwrap();
                let octets = asking.recv(&mut packet).await.unwrap();
                udp.send_to(&packet[..octets], peer).await.unwrap();
            }
        });
        let strips = Arc::clone(&over_tcp);
        tokio::spawn(async move {
            while let Ok((stream, _)) = tcp.accept().await {
                // Whoever hangs up ends it.
                tokio::spawn(pass_on(stream, resolver, Arc::clone(&strips)));
            }
        });
        Self {
            address,
            over_udp,
            over_tcp,
        }
    }

    fn secure_dns(&self, zones: &Zones) -> SecureDns {
        let config = SecureConfig {
            is_wanted: true,
            servers: vec![self.address],
            trust_anchor: Some(zones.anchor.clone()),
        };
        SecureDns::new(config).unwrap()
    }
}

async fn pass_on(mut client: TcpStream, resolver: u16, strips: Arc<AtomicBool>) -> std::io::Result<()> {
    let mut server = TcpStream::connect((HERE, resolver)).await?;
    loop {
        let mut question = vec![0; usize::from(client.read_u16().await?)];
        client.read_exact(&mut question).await?;
        if strips.load(Ordering::SeqCst) {
            without_wish(&mut question);
        }
        server.write_u16(u16::try_from(question.len()).unwrap()).await?;
        server.write_all(&question).await?;
        let mut answer = vec![0; usize::from(server.read_u16().await?)];
        server.read_exact(&mut answer).await?;
        client.write_u16(u16::try_from(answer.len()).unwrap()).await?;
        client.write_all(&answer).await?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_does_not_hold_is_asked_for_again_over_tcp() {
    let zones = Zones::start("reader.town. IN MX 10 mx.reader.town.\n", "", "", &[]).await;
    let between = Stripping::before(zones.resolver).await;
    between.over_udp.store(true, Ordering::SeqCst);
    let dns = between.secure_dns(&zones);
    assert_eq!(dns.prove().await, Path::Proven);
    assert!(dns.mx("reader.town", 0).await.unwrap().is_some());
    between.over_tcp.store(true, Ordering::SeqCst);
    assert!(between.secure_dns(&zones).mx("reader.town", 0).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_was_lost_is_believed_again_after_three_good_tries() {
    let zones = Zones::start("", "", "", &[]).await;
    let between = Stripping::before(zones.resolver).await;
    let dns = between.secure_dns(&zones);
    assert_eq!(dns.path(), Path::Untried);
    assert_eq!(dns.prove().await, Path::Proven);
    for (is_stripping, expected) in [
        (true, Path::Blind),
        (false, Path::Blind),
        (true, Path::Blind),
        (false, Path::Blind),
        (false, Path::Blind),
        (false, Path::Proven),
    ] {
        between.over_udp.store(is_stripping, Ordering::SeqCst);
        between.over_tcp.store(is_stripping, Ordering::SeqCst);
        assert_eq!(dns.prove().await, expected, "stripping: {is_stripping}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_says_whether_proofs_come_through() {
    let zones = Zones::start("", "", "", &[]).await;
    let between = Stripping::before(zones.resolver).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = [
        ("store.data_dir", folder.path().display().to_string()),
        ("net.name_servers", between.address.to_string()),
        ("net.trust_anchor", zones.anchor.display().to_string()),
    ];
    let mut settings = settings.map(|(key, value)| (key.to_owned(), value)).to_vec();
    let mut says = async |expected: &str, further: Option<(&str, &str)>| {
        settings.extend(further.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let settings = settings.clone();
        let output = tokio::task::spawn_blocking(move || run(&settings, &["doctor"]))
            .await
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    };
    says("ok   the name servers pass DNSSEC on", None).await;
    between.over_udp.store(true, Ordering::SeqCst);
    between.over_tcp.store(true, Ordering::SeqCst);
    says("BAD  the name servers leave DNSSEC out", None).await;
    says("ok   net.dnssec is off", Some(("net.dnssec", "off"))).await;
}
