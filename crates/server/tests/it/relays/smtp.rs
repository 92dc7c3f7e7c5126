//! Relays that are SMTP servers: logged in over TLS only, and mail they may have taken goes nowhere else.

use super::add;
use super::sending::{NEXT, deferred, set_route, standing};
use super::{house, usual};
use crate::harness::{Engine, House, on_both_engines};
use http::Method;
use sealwright::app::Roles;
use sealwright::clock::{Clock, Timestamp};
use sealwright::entry::edge::{self, Authority};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// `\0shop\0right`
const GOOD: &str = "AUTH PLAIN AHNob3AAcmlnaHQ=";

#[derive(Default)]
struct Shared {
    /// What was said once the connection was encrypted.
    lines: Mutex<Vec<String>>,
    taken: Mutex<Vec<String>>,
    /// Connections that are cut after this many dots more.
    cuts: Mutex<usize>,
}

/// A server that speaks TLS from the first octet and takes one password.
struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    async fn start(authority: &Authority) -> Self {
        let settings = sealwright::config::Settings::default()
            .with("server.tls_cert", authority.cert.display().to_string())
            .unwrap()
            .with("server.tls_key", authority.key.display().to_string())
            .unwrap();
        let tls = edge::server_config(&settings.config().unwrap().server).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::<Shared>::default());
        let of_all = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (tls, shared) = (TlsAcceptor::from(Arc::clone(&tls)), Arc::clone(&of_all));
                tokio::spawn(async move {
                    if let Ok(stream) = tls.accept(tcp).await {
                        // Clients that leave are no failure.
                        let _ = talk(BufReader::new(stream), &shared).await;
                    }
                });
            }
        });
        Self { address, shared }
    }

    fn account(&self, password: &str) -> Value {
        json!({"name": "own", "provider": "smtp", "priority": 0, "credentials": {
            "host": "localhost", "port": self.address.port(), "tls": "implicit", "username": "shop", "password": password,
        }})
    }

    fn lines(&self) -> Vec<String> {
        self.shared.lines.lock().unwrap().clone()
    }

    fn taken(&self) -> Vec<String> {
        self.shared.taken.lock().unwrap().clone()
    }
}

async fn talk<S>(mut stream: BufReader<S>, shared: &Shared) -> std::io::Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    stream.write_all(b"220 relay.example\r\n").await?;
    loop {
        stream.flush().await?;
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        shared.lines.lock().unwrap().push(line.trim_end().to_owned());
        let reply = match line.trim_end() {
            GOOD => "235 welcome",
            auth if auth.starts_with("AUTH") => "535 5.7.8 no such user",
            ehlo if ehlo.starts_with("EHLO") => "250-relay.example\r\n250 AUTH LOGIN PLAIN",
            rcpt if rcpt.starts_with("RCPT TO:<nobody@") => "550 5.1.1 no such mailbox",
            "QUIT" => "221 bye",
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                stream.flush().await?;
                let mut message = String::new();
                while !message.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut message).await? == 0 {
                        return Ok(());
                    }
                }
                shared
                    .taken
                    .lock()
                    .unwrap()
                    .push(message.strip_suffix(".\r\n").unwrap().to_owned());
                let mut cuts = shared.cuts.lock().unwrap();
                if *cuts > 0 {
                    *cuts -= 1;
                    return Ok(());
                }
                "250 2.0.0 queued"
            }
            _ => "250 ok",
        };
        stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
}

async fn tried(house: &House, id: &str) -> Value {
    let path = format!("/v1/relays/{id}/test");
    let reply = house
        .client
        .call(Method::POST, &path, &house.account.live, "")
        .await;
    reply.expect(200)["ok"].clone()
}

on_both_engines! {
    async fn an_smtp_relay_takes_the_message_with_our_signature(engine: Engine) {
        let (house, _stand_in) = usual(engine).await;
        let server = Server::start(&house.authority).await;
        let id = add(&house, &server.account("right")).await;
        let shown = house.client.get(&format!("/v1/relays/{id}"), &house.account.live).await.text();
        assert!(!shown.contains("right") && !shown.contains("localhost"), "{shown}");
        assert_eq!(tried(&house, &id).await, json!(true));
        assert_eq!(server.lines().last().unwrap(), "QUIT");
        set_route(&house, "relay").await;
        let mail = house.accepted(&house.email("ada@reader.example")).await;
        house.reaches(&mail, "delivered").await;
        assert_eq!(house.dkim_verdict(server.taken()[0].as_bytes()), "pass");
        let refused = house.accepted(&house.email("nobody@reader.example")).await;
        house.reaches(&refused, "bounced").await;
        assert_eq!((server.taken().len(), house.sink.received().len()), (1, 0));
    }

    async fn a_wrong_password_or_certificate_leaves_the_mail_to_the_next_way(engine: Engine) {
        let (house, _stand_in) = usual(engine).await;
        set_route(&house, "relay_then_direct").await;
        let server = Server::start(&house.authority).await;
        let id = add(&house, &server.account("wrong")).await;
        assert_eq!(tried(&house, &id).await, json!(false));
        let mail = house.accepted(&house.email("ada@reader.example")).await;
        house.reaches(&mail, "delivered").await;
        assert_eq!((server.taken().len(), house.sink.received().len()), (0, 1));
        assert!(server.lines().iter().all(|line| !line.starts_with("MAIL")));
        let shown = house.client.get(&format!("/v1/relays/{id}"), &house.account.live).await.expect(200);
        assert_eq!(shown["status"], "failing");
        house.client.delete(&format!("/v1/relays/{id}"), &house.account.live).await.expect(200);

        let folder = tempfile::tempdir().unwrap();
        let now: Timestamp = Clock::System.now();
        let foreign = Server::start(&Authority::in_folder(folder.path(), now).unwrap()).await;
        let id = add(&house, &foreign.account("right")).await;
        assert_eq!(tried(&house, &id).await, Value::Null);
        let mail = house.accepted(&house.email("ada@reader.example")).await;
        house.reaches(&mail, "delivered").await;
        assert_eq!((foreign.lines(), house.sink.received().len()), (Vec::new(), 2));
    }

    async fn a_mail_cut_off_after_the_dot_is_asked_of_the_same_smtp_relay_only(engine: Engine) {
        let (mut house, _stand_in) = house(standing(engine)).await;
        let server = Server::start(&house.authority).await;
        let reserve = Server::start(&house.authority).await;
        add(&house, &server.account("right")).await;
        let mut second = reserve.account("right");
        second["priority"] = json!(1);
        add(&house, &second).await;
        set_route(&house, "relay_then_direct").await;
        *server.shared.cuts.lock().unwrap() = 2;
        let mail = house.accepted(&house.email("ada@reader.example")).await;
        for times in 1..=2 {
            deferred(&house, &mail, times).await;
            if times == 1 {
                house.stop().await;
                let config = house.config.clone();
                house.restart(config, Roles::ALL).await;
            }
            house.clock.advance(NEXT * 5 * u32::try_from(times).unwrap());
        }
        house.reaches(&mail, "delivered").await;
        assert_eq!((server.taken().len(), reserve.lines().len(), house.sink.received().len()), (3, 0, 0));
    }
}
