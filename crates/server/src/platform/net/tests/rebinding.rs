//! Names whose addresses change between question and connection, or hide a bad one among good.
//!
//! `127.0.0.2` plays the public address (the guard is told to allow it alone) and `127.0.0.1` the
//! internal one; a listener on the same port of each shows where connections really go.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use rustls::version::TLS13;

use super::super::guard::Guard;
use super::super::http::{Answer, HttpClient, HttpConfig, HttpFailure, Outgoing};
use super::super::tls::TlsMin;
use super::super::url::HttpsUrl;
use super::dns_server::{A, AAAA, DnsServer, Record, Reply};
use super::receiver::{Authority, Manner, Receiver};

const PUBLIC: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const INTERNAL: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ANSWER: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

struct Trap {
    client: HttpClient,
    public: Receiver,
    internal: Receiver,
    dns: DnsServer,
}

impl Trap {
    async fn set(script: impl Fn(u16, usize) -> Reply + Send + 'static) -> Trap {
        let authority = Authority::new();
        let tls = authority.issue("hooks.test").tls(&[&TLS13]);
        let manner = Manner::AnswerAndClose(ANSWER);
        let public = Receiver::start_at("127.0.0.2:0", Some(tls.clone()), manner).await;
        let same_port = format!("127.0.0.1:{}", public.address.port());
        let internal = Receiver::start_at(&same_port, Some(tls), manner).await;
        let dns = DnsServer::start(move |_, kind, before| script(kind, before)).await;
        let guard = Guard::with_allowed(vec!["127.0.0.2/32".parse().unwrap()]);
        let config = HttpConfig {
            extra_roots: vec![authority.root()],
            ..HttpConfig::default()
        };
        let client = HttpClient::new(guard, dns.resolver(), config).unwrap();
        Trap {
            client,
            public,
            internal,
            dns,
        }
    }

    async fn post(&self) -> Result<Answer, HttpFailure> {
        let url = HttpsUrl::parse(&self.public.url("hooks.test")).unwrap();
        let request = Outgoing {
            url: &url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: Duration::from_secs(20),
            min_tls: TlsMin::V1_3,
        };
        self.client.post(request).await
    }
}

#[tokio::test]
async fn an_answer_that_turns_internal_is_never_connected_to() {
    let trap = Trap::set(|kind, before| match (kind, before) {
        (A, 0) => Reply::Records(vec![Record::A(PUBLIC)]),
        (A, _) => Reply::Records(vec![Record::A(INTERNAL)]),
        _ => Reply::NoData,
    })
    .await;
    assert_eq!(trap.post().await.unwrap().remote, PUBLIC);
    assert_eq!(
        trap.dns.asked("hooks.test", A),
        1,
        "checked and used is one answer"
    );
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(trap.post().await.unwrap_err(), HttpFailure::RefusedAddress);
    assert_eq!(trap.dns.asked("hooks.test", A), 2);
    assert_eq!((trap.public.connections(), trap.internal.connections()), (1, 0));
}

#[tokio::test]
async fn one_internal_address_among_public_ones_refuses_all() {
    for order in [[PUBLIC, INTERNAL], [INTERNAL, PUBLIC]] {
        let trap = Trap::set(move |kind, _| match kind {
            A => Reply::Records(order.map(Record::A).to_vec()),
            _ => Reply::NoData,
        })
        .await;
        assert_eq!(trap.post().await.unwrap_err(), HttpFailure::RefusedAddress);
        assert_eq!((trap.public.connections(), trap.internal.connections()), (0, 0));
    }
}

#[tokio::test]
async fn an_internal_ipv6_address_refuses_the_public_ipv4_one() {
    let hidden = [
        Ipv6Addr::LOCALHOST,
        INTERNAL.to_ipv6_mapped(),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0x7f00, 1),
        Ipv6Addr::new(0x2002, 0x7f00, 1, 0, 0, 0, 0, 1),
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    ];
    for ip in hidden {
        let trap = Trap::set(move |kind, _| match kind {
            A => Reply::Records(vec![Record::A(PUBLIC)]),
            AAAA => Reply::Records(vec![Record::Aaaa(ip)]),
            _ => Reply::NoData,
        })
        .await;
        assert_eq!(
            trap.post().await.unwrap_err(),
            HttpFailure::RefusedAddress,
            "{ip}"
        );
        assert_eq!((trap.public.connections(), trap.internal.connections()), (0, 0));
    }
}
