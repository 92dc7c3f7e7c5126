//! A name server that answers from a script, over UDP and from the loopback interface.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::super::dns::{Dns, DnsConfig};

pub(super) const A: u16 = 1;
pub(super) const MX: u16 = 15;
pub(super) const AAAA: u16 = 28;

const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
const NAME_ERROR: u8 = 3;

/// One record of an answer.
#[derive(Clone)]
pub(super) enum Record {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Mx(u16, &'static str),
    Txt(&'static [&'static str]),
}

/// What the server says to one question.
#[derive(Clone)]
pub(super) enum Reply {
    Records(Vec<Record>),
    NoData,
    NoName,
    Failure,
    Silence,
}

pub(super) struct DnsServer {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
    task: JoinHandle<()>,
}

impl DnsServer {
    /// Starts a server; the script sees name, type, and how often the pair was asked before.
    pub(super) async fn start(script: impl Fn(&str, u16, usize) -> Reply + Send + 'static) -> DnsServer {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut packet).await {
                let (name, kind, question) = read_question(&packet[..length]);
                let question_key = (name.clone(), kind);
                let before = {
                    let mut log = log.lock().unwrap();
                    let before = log.iter().filter(|asked| **asked == question_key).count();
                    log.push(question_key);
                    before
                };
                if let Some(answer) = write_answer(question, kind, &script(&name, kind, before)) {
                    socket.send_to(&answer, peer).await.unwrap();
                }
            }
        });
        DnsServer { address, asked, task }
    }

    /// A resolver that asks this server alone.
    pub(super) fn resolver(&self) -> Dns {
        let servers = vec![self.address];
        Dns::new(DnsConfig {
            servers,
            ..DnsConfig::default()
        })
        .unwrap()
    }

    /// How often a question came in.
    pub(super) fn asked(&self, name: &str, kind: u16) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(n, k)| n == name && *k == kind).count()
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Name, type, and the packet up to the end of the question.
fn read_question(packet: &[u8]) -> (String, u16, &[u8]) {
    let mut at = 12;
    let mut labels = Vec::new();
    while packet[at] != 0 {
        let end = at + 1 + usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    let kind = u16::from_be_bytes([packet[at + 1], packet[at + 2]]);
    (labels.join("."), kind, &packet[..at + 5])
}

fn write_answer(question: &[u8], kind: u16, reply: &Reply) -> Option<Vec<u8>> {
    let (code, records) = match reply {
        Reply::Records(records) => (NO_ERROR, records.as_slice()),
        Reply::NoData => (NO_ERROR, &[][..]),
        Reply::NoName => (NAME_ERROR, &[][..]),
        Reply::Failure => (SERVER_FAILURE, &[][..]),
        Reply::Silence => return None,
    };
    let mut answer = question.to_vec();
    answer[2] = 0x81; // a response, recursion was desired
    answer[3] = 0x80 | code;
    let count = u16::try_from(records.len()).unwrap().to_be_bytes();
    answer[4..12].copy_from_slice(&[0, 1, count[0], count[1], 0, 0, 0, 0]);
    for record in records {
        let data = record_data(record);
        answer.extend([0xc0, 12]); // the name of the question
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 0]); // class IN, time to live 0
        answer.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        answer.extend(data);
    }
    Some(answer)
}

fn record_data(record: &Record) -> Vec<u8> {
    let counted = |text: &str| {
        let mut bytes = vec![u8::try_from(text.len()).unwrap()];
        bytes.extend(text.bytes());
        bytes
    };
    match record {
        Record::A(ip) => ip.octets().to_vec(),
        Record::Aaaa(ip) => ip.octets().to_vec(),
        Record::Mx(preference, name) => {
            let labels = name.split('.').filter(|label| !label.is_empty());
            let mut data = preference.to_be_bytes().to_vec();
            data.extend(labels.flat_map(counted));
            data.push(0);
            data
        }
        Record::Txt(strings) => strings.iter().flat_map(|text| counted(text)).collect(),
    }
}
