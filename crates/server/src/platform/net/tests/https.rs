//! The client against servers that are wrong, slow, huge or rude, and against good ones.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use rustls::version::{TLS12, TLS13};

use super::super::guard::Guard;
use super::super::http::{Answer, BODY_BYTES_MAX, HttpClient, HttpConfig, HttpFailure, Outgoing};
use super::super::pool::IDLE_PER_ORIGIN_MAX;
use super::super::tls::{TlsMin, TlsVersion};
use super::super::url::{HttpsUrl, UrlRules};
use super::dns_server::{A, DnsServer, Record, Reply};
use super::receiver::{Authority, Identity, Manner, Receiver};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A client that may go to the loopback networks, names included, and trusts one authority.
struct World {
    authority: Authority,
    client: HttpClient,
    dns: DnsServer,
}

impl World {
    async fn new() -> World {
        World::with(HttpConfig::default()).await
    }

    async fn with(mut config: HttpConfig) -> World {
        let dns = DnsServer::start(|name, kind, _| match (name, kind) {
            ("hooks.test" | "other.test", A) => Reply::Records(vec![Record::A(Ipv4Addr::LOCALHOST)]),
            ("failing.test", _) => Reply::Failure,
            ("hooks.test" | "other.test", _) => Reply::NoData,
            _ => Reply::NoName,
        })
        .await;
        let authority = Authority::new();
        config.extra_roots.push(authority.root());
        let client = HttpClient::new(loopback(), dns.resolver(), config).unwrap();
        World {
            authority,
            client,
            dns,
        }
    }

    async fn receiver(&self, manner: Manner) -> Receiver {
        let identity = self.authority.issue("hooks.test");
        Receiver::start(identity.tls(&[&TLS13, &TLS12]), manner).await
    }

    async fn post(&self, receiver: &Receiver) -> Result<Answer, HttpFailure> {
        post(&self.client, &receiver.url("hooks.test"), TlsMin::V1_3).await
    }
}

fn loopback() -> Guard {
    Guard::with_allowed(vec!["127.0.0.0/8".parse().unwrap()])
}

async fn post(client: &HttpClient, url: &str, min_tls: TlsMin) -> Result<Answer, HttpFailure> {
    let url = HttpsUrl::parse(url).unwrap();
    client.post(outgoing(&url, min_tls)).await
}

fn outgoing(url: &HttpsUrl, min_tls: TlsMin) -> Outgoing<'_> {
    Outgoing {
        url,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{\"a\":1}"),
        timeout: Duration::from_secs(20),
        min_tls,
    }
}

#[tokio::test]
async fn a_post_arrives_as_it_was_meant() {
    let world = World::new().await;
    let receiver = world.receiver(Manner::Answer(OK)).await;
    let url = HttpsUrl::parse(&receiver.url("hooks.test")).unwrap();
    let mut request = outgoing(&url, TlsMin::V1_3);
    let forged = [
        ("host", "evil.test"),
        ("content-length", "0"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("accept-encoding", "gzip"),
        ("expect", "100-continue"),
        ("x-own", "kept"),
    ];
    for (name, value) in forged {
        request.headers.insert(name, HeaderValue::from_static(value));
    }
    let answer = world.client.post(request).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, "ok");
    assert!(!answer.truncated);
    assert_eq!(answer.tls_version, Some(TlsVersion::V1_3));
    assert_eq!(answer.remote, Ipv4Addr::LOCALHOST);
    assert!(answer.opening.is_some() && answer.elapsed > Duration::ZERO);

    let port = receiver.address.port();
    let sent = receiver.requests().pop().unwrap();
    let (head, body) = sent.split_once("\r\n\r\n").unwrap();
    let mut fields: Vec<&str> = head.split("\r\n").collect();
    assert_eq!(fields.remove(0), "POST /hook?a=1 HTTP/1.1");
    fields.sort_unstable();
    let host = format!("host: hooks.test:{port}");
    let expected = [
        "content-length: 7",
        &host,
        "user-agent: Sealwright",
        "x-own: kept",
    ];
    assert_eq!(fields, expected);
    assert_eq!(body, "{\"a\":1}");
}

#[tokio::test]
async fn a_get_has_no_content() {
    let world = World::new().await;
    let receiver = world.receiver(Manner::Answer(OK)).await;
    let url = HttpsUrl::parse(&receiver.url("hooks.test")).unwrap();
    let answer = world.client.get(outgoing(&url, TlsMin::V1_3)).await.unwrap();
    assert_eq!(answer.status, 200);
    let sent = receiver.requests().pop().unwrap();
    assert!(sent.starts_with("GET /hook?a=1 HTTP/1.1\r\n"), "{sent}");
    assert!(
        sent.ends_with("\r\n\r\n") && !sent.contains("content-length"),
        "{sent}"
    );
}

#[tokio::test]
async fn tls_1_2_is_refused_unless_asked_for() {
    let world = World::new().await;
    let identity = world.authority.issue("hooks.test");
    let receiver = Receiver::start(identity.tls(&[&TLS12]), Manner::Answer(OK)).await;
    let url = receiver.url("hooks.test");
    let failure = post(&world.client, &url, TlsMin::V1_3).await.unwrap_err();
    assert_eq!(failure.code(), "tls_error");
    assert!(failure.to_string().contains("TLS version"), "{failure}");
    let answer = post(&world.client, &url, TlsMin::V1_2).await.unwrap();
    assert_eq!(answer.tls_version, Some(TlsVersion::V1_2));
    // The connection that is now kept must not serve a request that asks for more.
    let failure = post(&world.client, &url, TlsMin::V1_3).await.unwrap_err();
    assert_eq!(failure.code(), "tls_error");
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn wrong_self_signed_and_expired_certificates_are_refused_and_named() {
    let world = World::new().await;
    let cases = [
        (world.authority.issue("other.test"), "another name"),
        (Identity::self_signed("hooks.test"), "known authority"),
        (Authority::new().issue("hooks.test"), "known authority"),
        (world.authority.issue_expired("hooks.test"), "expired"),
    ];
    for (identity, reason) in cases {
        let receiver = Receiver::start(identity.tls(&[&TLS13]), Manner::Answer(OK)).await;
        let failure = world.post(&receiver).await.unwrap_err();
        assert_eq!(failure.code(), "tls_error");
        assert!(failure.to_string().contains(reason), "{failure}");
        assert!(receiver.requests().is_empty());
    }
}

#[tokio::test]
async fn a_server_without_tls_gets_no_request() {
    let world = World::new().await;
    let receiver = Receiver::start_at("127.0.0.1:0", None, Manner::Hang).await;
    let url = HttpsUrl::parse(&receiver.url("hooks.test")).unwrap();
    let mut request = outgoing(&url, TlsMin::V1_3);
    request.timeout = Duration::from_millis(300);
    let failure = world.client.post(request).await.unwrap_err();
    assert_eq!(failure, HttpFailure::Timeout);
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn redirects_are_answers_and_are_not_followed() {
    let world = World::new().await;
    let receiver = world
        .receiver(Manner::Answer(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: https://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
        ))
        .await;
    let answer = world.post(&receiver).await.unwrap();
    assert_eq!(answer.status, 307);
    assert_eq!(answer.headers[header::LOCATION], "https://127.0.0.1/");
    assert_eq!((receiver.connections(), receiver.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_huge_body_is_cut_at_the_cap_and_its_connection_dropped() {
    let world = World::new().await;
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        let receiver = world.receiver(Manner::Endless(head)).await;
        let answer = world.post(&receiver).await.unwrap();
        assert_eq!(answer.body.len(), BODY_BYTES_MAX);
        assert!(answer.truncated);
        assert_eq!(world.client.idle_count(), 0);
    }
}

#[tokio::test]
async fn compressed_content_stays_as_it_is() {
    let world = World::new().await;
    let receiver = world
        .receiver(Manner::Answer(
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x0b\x08\x00",
        ))
        .await;
    let answer = world.post(&receiver).await.unwrap();
    assert_eq!(answer.body.as_ref(), b"\x1f\x0b\x08\x00");
}

#[tokio::test]
async fn slow_and_silent_servers_run_into_the_timeout() {
    let world = World::new().await;
    for manner in [
        Manner::Hang,
        Manner::Drip("HTTP/1.1 200 OK\r\nX-Slow: "),
        Manner::Drip("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
    ] {
        let receiver = world.receiver(manner).await;
        let url = HttpsUrl::parse(&receiver.url("hooks.test")).unwrap();
        let mut request = outgoing(&url, TlsMin::V1_3);
        request.timeout = Duration::from_millis(400);
        let failure = world.client.post(request).await.unwrap_err();
        assert_eq!(failure.code(), "timeout");
        assert_eq!(receiver.requests().len(), 1);
        assert_eq!(world.client.idle_count(), 0);
    }
}

#[tokio::test]
async fn answers_that_are_not_http_are_protocol_errors() {
    let world = World::new().await;
    for manner in [
        Manner::EndlessHeader,
        Manner::AnswerAndClose(""),
        Manner::AnswerAndClose("220 mail.test ESMTP\r\n"),
        Manner::AnswerAndClose("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"),
        Manner::AnswerAndClose("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok"),
    ] {
        let receiver = world.receiver(manner).await;
        let failure = world.post(&receiver).await.unwrap_err();
        assert_eq!(failure.code(), "protocol_error", "{failure}");
        assert_eq!(receiver.requests().len(), 1, "a POST is sent once");
    }
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let world = World::new().await;
    let receiver = world.receiver(Manner::Answer(OK)).await;
    assert!(world.post(&receiver).await.unwrap().opening.is_some());
    for _ in 0..20 {
        assert!(world.post(&receiver).await.unwrap().opening.is_none());
    }
    assert_eq!(receiver.connections(), 1);
    assert_eq!(receiver.requests().len(), 21);
    assert_eq!(world.dns.asked("hooks.test", A), 1);
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced_without_a_failure() {
    let world = World::new().await;
    let receiver = world.receiver(Manner::Answer(OK)).await;
    receiver.close_after_each();
    for _ in 0..5 {
        assert_eq!(world.post(&receiver).await.unwrap().status, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(receiver.connections(), 5);
    assert_eq!(receiver.requests().len(), 5);
}

#[tokio::test]
async fn a_connection_is_given_up_before_the_server_says_it_will_close() {
    let world = World::new().await;
    let brief = "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2, max=9\r\nContent-Length: 0\r\n\r\n";
    let receiver = world.receiver(Manner::Answer(brief)).await;
    world.post(&receiver).await.unwrap();
    assert!(world.post(&receiver).await.unwrap().opening.is_none());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(world.post(&receiver).await.unwrap().opening.is_some());
}

#[tokio::test]
async fn a_stricter_guard_does_not_get_a_connection_of_a_wider_one() {
    let world = World::new().await;
    let receiver = world.receiver(Manner::Answer(OK)).await;
    world.post(&receiver).await.unwrap();
    assert_eq!(world.client.idle_count(), 1);
    let strict = world.client.with_guard(Guard::public_only());
    let failure = post(&strict, &receiver.url("hooks.test"), TlsMin::V1_3).await;
    assert_eq!(failure.unwrap_err().code(), "refused_address");
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn addresses_in_urls_are_checked_like_resolved_ones() {
    let world = World::new().await;
    let strict = world.client.with_guard(Guard::public_only());
    for host in [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "[::1]",
        "[fd00:ec2::254]",
    ] {
        let url = format!("https://{host}:8443/");
        let failure = post(&strict, &url, TlsMin::V1_3).await.unwrap_err();
        assert_eq!(failure, HttpFailure::RefusedAddress, "{host}");
    }
    for host in ["localhost", "any.localhost"] {
        let failure = post(&strict, &format!("https://{host}/"), TlsMin::V1_3).await;
        assert_eq!(failure.unwrap_err(), HttpFailure::RefusedAddress, "{host}");
    }
}

#[tokio::test]
async fn failures_before_the_connection_have_their_own_codes() {
    let world = World::new().await;
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = unused.local_addr().unwrap().port();
    drop(unused);
    let closed = format!("https://hooks.test:{port}/");
    let failure = post(&world.client, &closed, TlsMin::V1_3).await.unwrap_err();
    assert_eq!(failure.code(), "connect_error");
    let failure = post(&world.client, "https://absent.test/", TlsMin::V1_3).await;
    assert_eq!(failure.unwrap_err(), HttpFailure::Dns { temporary: false });
    let failure = post(&world.client, "https://failing.test/", TlsMin::V1_3).await;
    assert_eq!(failure.unwrap_err(), HttpFailure::Dns { temporary: true });
}

#[tokio::test]
async fn requests_leave_from_the_configured_addresses_in_turn() {
    let local = ["127.0.0.5", "127.0.0.6", "::1"].map(|ip| ip.parse().unwrap());
    let config = HttpConfig {
        local: local.to_vec(),
        ..HttpConfig::default()
    };
    let world = World::with(config).await;
    let receiver = world.receiver(Manner::AnswerAndClose(OK)).await;
    for _ in 0..4 {
        world.post(&receiver).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut peers = receiver.peers();
    peers.sort_unstable();
    assert_eq!(peers, [local[0], local[0], local[1], local[1]]);
}

#[tokio::test]
async fn plain_http_reaches_a_loopback_receiver_in_development() {
    let world = World::new().await;
    let receiver = Receiver::start_at("127.0.0.1:0", None, Manner::Answer(OK)).await;
    let rules = UrlRules {
        allow_plain_loopback: true,
    };
    let text = format!("http://127.0.0.1:{}/", receiver.address.port());
    let url = HttpsUrl::parse_with(&text, rules).unwrap();
    let answer = world.client.post(outgoing(&url, TlsMin::V1_3)).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.tls_version), (200, None));
}

#[tokio::test]
async fn no_more_idle_connections_are_kept_than_the_limit() {
    let world = World::new().await;
    let receiver = world.receiver(Manner::Answer(OK)).await;
    let mut posts = tokio::task::JoinSet::new();
    for _ in 0..IDLE_PER_ORIGIN_MAX + 20 {
        let client = world.client.clone();
        let url = receiver.url("hooks.test");
        posts.spawn(async move { post(&client, &url, TlsMin::V1_3).await });
    }
    while let Some(answer) = posts.join_next().await {
        assert_eq!(answer.unwrap().unwrap().status, 200);
    }
    assert!(world.client.idle_count() <= IDLE_PER_ORIGIN_MAX);
    assert_eq!(receiver.requests().len(), IDLE_PER_ORIGIN_MAX + 20);
}
