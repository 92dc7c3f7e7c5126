//! `tls: required`, of a message, of a domain and of the installation.

use super::super::standing_clock;
use super::{Identity, MINUTE, authority, identity, mail_host};
use crate::harness::{Engine, House, Setup, events_of, eventually, on_both_engines};
use http::Method;
use sealwright::platform::dev::sink::{Moment, Sink, SinkOptions, SinkScript, Verdict};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A mail host whose certificate this house trusts, or does not.
struct Ground {
    identity: Identity,
    folder: TempDir,
}

impl Ground {
    fn new() -> Self {
        Self {
            identity: identity(&authority(), &["127.0.0.1"], false),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A house whose mail all goes to this address, and that trusts the identity's issuer.
    async fn house(&self, engine: Engine, host: SocketAddr) -> House {
        self.setup(engine, host).start().await
    }

    fn setup(&self, engine: Engine, host: SocketAddr) -> Setup {
        let files = self.identity.files(self.folder.path());
        Setup::new(engine)
            .clock(&standing_clock())
            .set("delivery.static_route", host.to_string())
            .set("net.extra_ca", files.ca_cert.display().to_string())
    }
}

fn required(house: &House) -> Value {
    let mut email = house.email("ada@reader.example");
    email["tls"] = json!("required");
    email
}

/// A sink that counts its connections.
fn counting(identity: &Identity) -> (Sink, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let script = SinkScript::new(move |moment| {
        if moment == Moment::Connect {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Verdict::Accept
    });
    (mail_host(ANY, Some(identity), script), connections)
}

on_both_engines! {
    async fn mail_that_requires_tls_waits_for_it_and_fails_in_the_end(engine: Engine) {
        let sink = Sink::start(ANY, SinkOptions::default()).unwrap();
        let ground = Ground::new();
        let house = ground.setup(engine, sink.addr()).set("delivery.expire_hours", "1").start().await;
        let id = house.accepted(&required(&house)).await;
        let reason = house.waits_because(&id).await;
        assert!(reason.starts_with("4.7.10 ") && reason.ends_with("does not offer TLS, which is required"), "{reason}");
        assert_eq!(house.guaranteed(&id).await, "pkix");
        for (wait, attempts) in [(3, 2), (11, 3), (33, 4)] {
            house.clock.advance(wait * MINUTE);
            eventually("it was tried again", async || (house.attempts(&id).await.len() == attempts).then_some(())).await;
        }
        let shown = house.reaches(&id, "failed").await;
        let reason = events_of(&shown, "email.failed")[0]["data"]["reason"].as_str().unwrap().to_owned();
        assert!(reason.starts_with("5.7.10 "), "{reason}");
        assert_eq!(sink.received_count(), 0);
        // Other mail takes the same way.
        let id = house.accepted(&house.email("ada@reader.example")).await;
        house.reaches(&id, "delivered").await;
        assert_eq!(house.guaranteed(&id).await, "opportunistic");
    }

    async fn a_certificate_that_proves_nothing_is_as_good_as_none(engine: Engine) {
        let stranger = identity(&authority(), &["127.0.0.1"], false);
        let issuer = authority();
        let named_otherwise = identity(&issuer, &["elsewhere.example"], false);
        let ground = Ground {
            identity: identity(&issuer, &["127.0.0.1"], false),
            folder: tempfile::tempdir().unwrap(),
        };
        for shown in [&stranger, &named_otherwise] {
            let sink = mail_host(ANY, Some(shown), SinkScript::default());
            let house = ground.house(engine, sink.addr()).await;
            let reason = house.waits_because(&house.accepted(&required(&house)).await).await;
            assert!(reason.starts_with("4.7.5 ") && reason.contains("invalid peer certificate"), "{reason}");
            assert_eq!(sink.received_count(), 0);
        }
    }

    /// A connection that was opened for less is not lent to a mail that needs more, nor the other way round.
    async fn connections_are_kept_apart_by_what_they_guarantee(engine: Engine) {
        let ground = Ground::new();
        let (sink, connections) = counting(&ground.identity);
        let house = ground.house(engine, sink.addr()).await;
        let plain = house.email("ada@reader.example");
        for (email, guarantee, opened) in [
            (&plain, "opportunistic", 1),
            (&plain, "opportunistic", 1),
            (&required(&house), "pkix", 2),
            (&required(&house), "pkix", 2),
            (&plain, "opportunistic", 2),
        ] {
            let id = house.accepted(email).await;
            house.reaches(&id, "delivered").await;
            assert_eq!(house.guaranteed(&id).await, guarantee);
            assert_eq!(house.attempts(&id).await[0]["facts"]["tls"]["verified"], true);
            assert_eq!(connections.load(Ordering::SeqCst), opened, "{guarantee}");
        }
    }

    async fn what_a_domain_requires_its_mail_can_not_waive(engine: Engine) {
        let sink = Sink::start(ANY, SinkOptions::default()).unwrap();
        let house = Ground::new().house(engine, sink.addr()).await;
        let (client, key) = (&house.client, &house.account.live);
        let list = client.get("/v1/domains", key).await.expect(200);
        assert_eq!(list["data"][0]["tls"], "opportunistic");
        let path = format!("/v1/domains/{}", list["data"][0]["id"].as_str().unwrap());
        let change = |body: Value| client.call(Method::PATCH, &path, key, body.to_string());
        assert_eq!(change(json!({"tls": "required"})).await.expect(200)["tls"], "required");
        assert_eq!(change(json!({"tls": "always"})).await.status, 400);
        // What is left out stays.
        let changed = change(json!({"ed25519": false})).await.expect(200);
        assert_eq!((&changed["tls"], &changed["ed25519"]), (&json!("required"), &json!(false)));
        let details = house.audit_details("domain.updated").await;
        assert!(details.iter().any(|detail| detail["tls"] == json!(["opportunistic", "required"])), "{details:?}");
        for word in [None, Some("opportunistic")] {
            let mut email = house.email("ada@reader.example");
            if let Some(word) = word {
                email["tls"] = json!(word);
            }
            let reason = house.waits_because(&house.accepted(&email).await).await;
            assert!(reason.starts_with("4.7.10 "), "{reason}");
        }
        assert_eq!(sink.received_count(), 0);
        let mut email = house.email("ada@reader.example");
        email["tls"] = json!("always");
        assert_eq!(house.post(&email).await.status, 400);
        let new = client.post("/v1/domains", key, &json!({"name": "strict.example", "tls": "required"})).await.expect(201);
        assert_eq!(new["tls"], "required");
    }

    async fn an_installation_that_requires_tls_wants_to_know_whom_it_speaks_to(engine: Engine) {
        let ground = Ground::new();
        let stranger = identity(&authority(), &["127.0.0.1"], false);
        for (shown, status) in [(&ground.identity, "delivered"), (&stranger, "deferred")] {
            let sink = mail_host(ANY, Some(shown), SinkScript::default());
            let house = ground.setup(engine, sink.addr()).set("delivery.tls", "required").start().await;
            let id = house.accepted(&house.email("ada@reader.example")).await;
            house.reaches(&id, status).await;
            assert_eq!(sink.received_count(), u64::from(status == "delivered"));
        }
    }

    async fn the_next_hosts_are_told_where_that_is_offered(engine: Engine) {
        let ground = Ground::new();
        let (address, said) = demanding(&ground.identity).await;
        let house = ground.house(engine, address).await;
        for (email, ends) in [(required(&house), true), (house.email("ada@reader.example"), false)] {
            let id = house.accepted(&email).await;
            house.reaches(&id, "delivered").await;
            let line = said.lock().unwrap().pop().unwrap();
            assert_eq!(line.ends_with(" REQUIRETLS"), ends, "{line}");
        }
    }
}

/// A mail host that offers REQUIRETLS and remembers what MAIL said.
async fn demanding(identity: &Identity) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(ANY).await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(identity.config());
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&said);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, heard) = (acceptor.clone(), Arc::clone(&heard));
            // A client that leaves ends its conversation.
            tokio::spawn(async move { drop(converse(stream, &acceptor, &heard).await) });
        }
    });
    (address, said)
}

async fn converse(
    stream: tokio::net::TcpStream,
    acceptor: &TlsAcceptor,
    heard: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 mx.example ESMTP\r\n").await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    stream.write_all(b"250-mx.example\r\n250 STARTTLS\r\n").await?;
    stream.read_line(&mut line).await?;
    stream.write_all(b"220 go ahead\r\n").await?;
    let mut stream = BufReader::new(acceptor.accept(stream.into_inner()).await?);
    let mut is_content = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let reply = match line.get(..4) {
            _ if is_content && line == "." => {
                is_content = false;
                "250 taken\r\n"
            }
            _ if is_content => continue,
            Some("EHLO") => "250-mx.example\r\n250 REQUIRETLS\r\n",
            Some("MAIL") => {
                heard.lock().unwrap().push(line.to_owned());
                "250 ok\r\n"
            }
            Some("DATA") => {
                is_content = true;
                "354 go ahead\r\n"
            }
            _ => "250 ok\r\n",
        };
        stream.write_all(reply.as_bytes()).await?;
    }
}
