//! A name server that answers from a script, over UDP, on the loopback interface unless told otherwise.

use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Question types.
pub(crate) const A: u16 = 1;
pub(crate) const NS: u16 = 2;
pub(crate) const CNAME: u16 = 5;
pub(crate) const MX: u16 = 15;
pub(crate) const TXT: u16 = 16;

/// What is said to one question.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    /// These IPv4 addresses.
    Addresses(Vec<Ipv4Addr>),
    /// These mail hosts with their preference.
    Hosts(Vec<(u16, String)>),
    /// One text, in strings of at most 255 octets.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// Another name: the target of a CNAME, or a name server.
    Name(String),
    /// Several name servers.
    Names(Vec<String>),
    /// The name exists and has nothing of this type.
    Nothing,
    /// The name does not exist.
    NoName,
    /// The server failed.
    Failure,
}

/// A running name server; it ends when it is dropped.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl NameServer {
    /// The script sees a name in lower case, without its last dot, and the type that is asked for.
    pub(crate) async fn start(script: impl Fn(&str, u16) -> Said + Send + 'static) -> Self {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script).await
    }

    /// Answers at this address.
    pub(crate) async fn start_on(
        address: SocketAddr,
        script: impl Fn(&str, u16) -> Said + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind(address).await.unwrap();
        let address = socket.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((octets, peer)) = socket.recv_from(&mut packet).await {
                let answer = answer(&packet[..octets], &script);
                // A client that is gone asks no more.
                let _ = socket.send_to(&answer, peer).await;
            }
        });
        Self { address, task }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// RFC 1035 §4.1: header, the question as it was asked, then the records, whose names point back to the question's.
fn answer(query: &[u8], script: &impl Fn(&str, u16) -> Said) -> Vec<u8> {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let (code, records) = records(script(&labels.join("."), kind));
    let count = u8::try_from(records.len()).unwrap();
    let mut out = query[..at + 5].to_vec();
    // A response to a question that wished for recursion; recursion available; one question, the records, nothing else.
    out[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    for record in records {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 0]);
        out.extend(u16::try_from(record.len()).unwrap().to_be_bytes());
        out.extend(record);
    }
    out
}

fn records(said: Said) -> (u8, Vec<Vec<u8>>) {
    match said {
        Said::Addresses(ips) => (0, ips.iter().map(|ip| ip.octets().to_vec()).collect()),
        Said::Hosts(hosts) => (
            0,
            hosts
                .iter()
                .map(|(preference, name)| mx(*preference, name))
                .collect(),
        ),
        Said::Text(text) => (0, vec![strings(&text)]),
        Said::Texts(texts) => (0, texts.iter().map(|text| strings(text)).collect()),
        Said::Name(name) => (0, vec![labels(&name)]),
        Said::Names(names) => (0, names.iter().map(|name| labels(name)).collect()),
        Said::Nothing => (0, Vec::new()),
        Said::NoName => (3, Vec::new()),
        Said::Failure => (2, Vec::new()),
    }
}

fn mx(preference: u16, name: &str) -> Vec<u8> {
    [preference.to_be_bytes().to_vec(), labels(name)].concat()
}

fn labels(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut data: Vec<u8> = labels.flat_map(|label| counted(label.as_bytes())).collect();
    data.push(0);
    data
}

fn strings(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(255).flat_map(counted).collect()
}

fn counted(octets: &[u8]) -> Vec<u8> {
    [&[u8::try_from(octets.len()).unwrap()], octets].concat()
}
