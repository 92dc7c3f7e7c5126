//! Real sockets on the loopback interface: the client against our own sink, and against servers written out by hand
//! where the sink is too well-behaved.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod faults;
mod hostile;
mod sending;
mod starttls;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;
use crate::platform::dev::sink::{Moment, Sink, SinkOptions, SinkScript, Verdict};

const HOST: &str = "mx.example";

/// Waits short enough for tests and long enough for a busy machine.
fn short() -> Timeouts {
    let soon = Duration::from_millis(400);
    Timeouts {
        connect: soon,
        greeting: soon,
        command: soon,
        handshake: Duration::from_secs(5),
        mail: soon,
        rcpt: soon,
        data: soon,
        block: soon,
        dot: soon,
        quit: soon,
        total: Duration::from_secs(20),
    }
}

fn options(tls: TlsMode) -> ConnectOptions {
    ConnectOptions {
        ehlo_name: String::from("client.example"),
        tls,
        tls_config: opportunistic_config(&[]).unwrap(),
        timeouts: Timeouts::default(),
        source: None,
        login: None,
    }
}

fn impatient() -> ConnectOptions {
    ConnectOptions {
        timeouts: short(),
        ..options(TlsMode::Off)
    }
}

fn sink(options: SinkOptions) -> Sink {
    Sink::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), options).unwrap()
}

fn scripted(decide: impl Fn(Moment<'_>) -> Verdict + Send + Sync + 'static) -> Sink {
    sink(SinkOptions {
        script: SinkScript::new(decide),
        ..SinkOptions::default()
    })
}

fn target(addr: SocketAddr) -> Target {
    Target {
        host: String::from(HOST),
        addr,
    }
}

async fn open(sink: &Sink, options: &ConnectOptions) -> Result<Connection, WireFailure> {
    Connection::open(&target(sink.addr()), options).await
}

fn envelope(to: &[&str]) -> Envelope {
    Envelope {
        from: String::from("news@example.com"),
        to: to.iter().map(|&to| to.to_owned()).collect(),
        size: 0,
        smtputf8: false,
        eight_bit: false,
        wants_reports: false,
        require_tls: false,
    }
}

async fn ready() -> Result<(), Infallible> {
    Ok(())
}

async fn send(connection: &mut Connection, to: &[&str], message: &[u8]) -> Transaction {
    let Ok(transaction) = connection.send(&envelope(to), &[message], ready()).await;
    transaction
}

/// A message of many lines.
fn long_message(octets: usize) -> Vec<u8> {
    let line = [vec![b'x'; 74], b"\r\n".to_vec()].concat();
    line.repeat(octets / line.len() + 1)
}

/// `delivered 250`, `failed 550`, `deferred the connection was lost at dot` …
fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Delivered(reply) => format!("delivered {}", reply.code()),
        Outcome::Deferred(Reason::Reply(reply)) => format!("deferred {}", reply.code()),
        Outcome::Failed(Reason::Reply(reply)) => format!("failed {}", reply.code()),
        Outcome::Deferred(Reason::Local(local)) => format!("deferred {local}"),
        Outcome::Failed(Reason::Local(local)) => format!("failed {local}"),
    }
}

fn words(transaction: &Transaction) -> Vec<String> {
    transaction.recipients.iter().map(word).collect()
}

fn verbs(steps: &[Step]) -> Vec<(&'static str, Option<u16>)> {
    steps.iter().map(|step| (step.verb, step.code)).collect()
}

/// A CA of our own and a server's certificate for `name` from it.
fn certificate(name: &str) -> (CertificateDer<'static>, Arc<ServerConfig>) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.distinguished_name
        .push(DnType::CommonName, format!("CA of {name}"));
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, &ca)
        .unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (ca.der().clone(), Arc::new(config))
}
