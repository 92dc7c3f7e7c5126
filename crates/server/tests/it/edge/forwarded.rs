//! Who a request comes from, when somebody stands in between.

use super::{Stage, ask, said_until_closed};
use sealwright::entry::edge::{Options, Trusted};
use tokio::io::AsyncWriteExt as _;

const PROXY: &str = "127.0.0.9";

fn behind_a_proxy(options: &mut Options) {
    options.trusted = Trusted::new(&["127.0.0.9/32".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]);
}

fn behind_a_pass_through(options: &mut Options) {
    behind_a_proxy(options);
    options.proxy_protocol = true;
}

#[tokio::test]
async fn headers_are_believed_from_a_trusted_proxy_and_from_nobody_else() {
    let stage = Stage::start(behind_a_proxy).await;
    for (from, headers, client) in [
        (PROXY, "x-forwarded-for: 192.0.2.7\r\n", "192.0.2.7"),
        (
            PROXY,
            "x-forwarded-for: 6.6.6.6, 192.0.2.7, 10.1.1.1\r\n",
            "192.0.2.7",
        ),
        (
            PROXY,
            "forwarded: for=\"[2001:db8::7]:4711\";proto=http\r\n",
            "2001:db8::7",
        ),
        (PROXY, "forwarded: for=192.0.2.7, for=unknown\r\n", PROXY),
        (PROXY, "", PROXY),
        ("127.0.0.2", "x-forwarded-for: 192.0.2.7\r\n", "127.0.0.2"),
        ("127.0.0.2", "forwarded: for=192.0.2.7\r\n", "127.0.0.2"),
        (
            "127.0.0.2",
            "x-forwarded-for: 127.0.0.9, nonsense\r\nforwarded: \"\r\n",
            "127.0.0.2",
        ),
        (
            "127.0.0.2",
            "x-real-ip: 192.0.2.7\r\nx-client-ip: 192.0.2.7\r\n",
            "127.0.0.2",
        ),
    ] {
        let mut stream = stage.tls(from).await;
        let told = ask(&mut stream, "/peer", headers).await.unwrap();
        assert_eq!(told.body, client, "{from}: {headers}");
    }
}

#[tokio::test]
async fn a_hop_that_is_no_address_is_refused_with_the_name_of_its_header() {
    let stage = Stage::start(behind_a_proxy).await;
    for (headers, param) in [
        ("x-forwarded-for: 192.0.2.07\r\n", "X-Forwarded-For"),
        ("x-forwarded-for: 192.0.2.7, fe80::1%eth0\r\n", "X-Forwarded-For"),
        ("forwarded: for=2001:db8::1\r\n", "Forwarded"),
        (
            "forwarded: for=192.0.2.7\r\nx-forwarded-for: 192.0.2.8\r\n",
            "Forwarded",
        ),
    ] {
        let mut stream = stage.tls(PROXY).await;
        let told = ask(&mut stream, "/peer", headers).await.unwrap();
        assert_eq!(
            (told.status(), told.code().as_str()),
            ("400", "invalid_parameter"),
            "{headers}"
        );
        assert!(
            told.body.contains(&format!("\"param\":\"{param}\"")),
            "{}",
            told.body
        );
        assert!(told.header("strict-transport-security").is_some());
    }
    assert_eq!(stage.refused("forwarded"), 4);
}

#[tokio::test]
async fn requests_are_counted_for_the_client_and_not_for_its_proxy() {
    let stage = Stage::start(|options| {
        behind_a_proxy(options);
        options.requests_max = 2;
    })
    .await;
    let mut busy = stage.tls(PROXY).await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: 192.0.2.1\r\n\r\n")
        .await
        .unwrap();
    let mut stream = stage.tls(PROXY).await;
    crate::harness::eventually("the busy client is refused", async || {
        let told = ask(&mut stream, "/peer", "x-forwarded-for: 192.0.2.1\r\n").await?;
        (told.status() == "503").then_some(())
    })
    .await;
    let told = ask(&mut stream, "/peer", "x-forwarded-for: 192.0.2.2\r\n")
        .await
        .unwrap();
    assert_eq!(told.status(), "200");
    stage.release(1);
}

fn version_2(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &length[..], payload].concat()
}

#[tokio::test]
async fn a_proxied_connection_bears_its_clients_address() {
    let stage = Stage::start(behind_a_pass_through).await;
    let addresses = [192, 0, 2, 7, 127, 0, 0, 1, 0x12, 0x67, 1, 0xbb];
    for (header, client) in [
        (
            b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n".to_vec(),
            "192.0.2.7",
        ),
        (b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n".to_vec(), "2001:db8::7"),
        (
            b"PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 443\r\n".to_vec(),
            "192.0.2.7",
        ),
        (version_2(&addresses), "192.0.2.7"),
        (
            version_2(&[&addresses[..], &[4, 0, 3, 1, 2, 3]].concat()),
            "192.0.2.7",
        ),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(), PROXY),
        (b"PROXY UNKNOWN\r\n".to_vec(), PROXY),
    ] {
        let mut stream = stage.tcp(PROXY).await;
        // In two pieces, as a network may bring it.
        let (first, second) = header.split_at(7);
        stream.write_all(first).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        stream.write_all(second).await.unwrap();
        let mut stream = stage.secure(stream, "http/1.1").await.unwrap();
        // The client is no proxy, so what it says about others is not believed.
        let spoofed = if client == PROXY {
            ""
        } else {
            "x-forwarded-for: 6.6.6.6\r\n"
        };
        assert_eq!(ask(&mut stream, "/peer", spoofed).await.unwrap().body, client);
    }
}

#[tokio::test]
async fn a_connection_without_a_good_proxy_header_is_closed() {
    let stage = Stage::start(behind_a_pass_through).await;
    for header in [
        &b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a hello without its header",
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY TCP4 192.0.2.07 127.0.0.1 4711 443\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0",
    ] {
        let mut stream = stage.tcp(PROXY).await;
        stream.write_all(header).await.unwrap();
        assert!(said_until_closed(&mut stream).await.is_empty());
    }
    assert_eq!(stage.closed("proxy_header"), 6);
}

#[tokio::test]
async fn a_proxy_header_from_elsewhere_is_not_even_read() {
    let stage = Stage::start(behind_a_pass_through).await;
    let mut stream = stage.tcp("127.0.0.2").await;
    // An error means that it is closed already.
    let _ = stream
        .write_all(b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n")
        .await;
    assert!(said_until_closed(&mut stream).await.is_empty());
    assert_eq!(stage.closed("untrusted_proxy"), 1);
}

#[tokio::test]
async fn a_proxys_connections_are_counted_for_the_clients_behind_it() {
    let stage = Stage::start(|options| {
        behind_a_pass_through(options);
        options.connections_per_network_max = 1;
    })
    .await;
    let open = async |client: &str| {
        let mut stream = stage.tcp(PROXY).await;
        let header = format!("PROXY TCP4 {client} 127.0.0.1 4711 443\r\n");
        stream.write_all(header.as_bytes()).await.unwrap();
        stage.secure(stream, "http/1.1").await
    };
    let _held = [open("192.0.2.1").await.unwrap(), open("192.0.2.2").await.unwrap()];
    assert!(open("192.0.2.1").await.is_err());
    assert_eq!(stage.closed("network_full"), 1);
}
