//! A name server for the destinations of a benchmark: over UDP on loopback, with answers that may be kept, as the world's are.

use super::{BenchError, failed};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Types of questions (RFC 1035 §3.2.2).
const A: u16 = 1;
const MX: u16 = 15;
/// Octets of a message's header, and of the type and class that end a question.
const HEADER_OCTETS: usize = 12;
const QUESTION_END_OCTETS: usize = 4;
/// Largest question over UDP (RFC 1035 §2.3.4).
const DATAGRAM_OCTETS_MAX: usize = 512;
/// Seconds for which an answer may be kept.
const KEPT_S: u32 = 3600;
/// Prefix of the name of a domain's only mail host.
const HOST: &str = "mx";

/// A running name server; it ends when it is dropped.
pub(super) struct Names {
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Names {
    /// Every domain that `place` knows has one mail host, at that address.
    pub(super) async fn start(
        place: impl Fn(&str) -> Option<Ipv4Addr> + Send + 'static,
    ) -> Result<Self, BenchError> {
        let what = "the name server";
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(failed(what))?;
        let address = socket.local_addr().map_err(failed(what))?;
        let task = tokio::spawn(async move {
            let mut datagram = [0; DATAGRAM_OCTETS_MAX];
            while let Ok((octets, peer)) = socket.recv_from(&mut datagram).await {
                let question = datagram.get(..octets).unwrap_or_default();
                if let Some(answer) = answer(question, &place) {
                    // A client that is gone asks no more.
                    let _ = socket.send_to(&answer, peer).await;
                }
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The question as it was asked, then at most one record, whose name points back to it (RFC 1035 §4.1). What is no question has no answer.
fn answer(question: &[u8], place: &impl Fn(&str) -> Option<Ipv4Addr>) -> Option<Vec<u8>> {
    let (name, end) = name_of(question)?;
    let kind = u16::from_be_bytes(question.get(end..end + 2)?.try_into().ok()?);
    let record = match (
        kind,
        name.strip_prefix(HOST).and_then(|rest| rest.strip_prefix('.')),
    ) {
        (A, Some(domain)) => place(domain).map(|address| address.octets().to_vec()),
        // Preference 10 of `mx` and the name that was asked for.
        (MX, None) => place(&name).map(|_| [&[0, 10, 2], HOST.as_bytes(), &[0xc0, 12]].concat()),
        _ => None,
    };
    let mut answer = question.get(..end + QUESTION_END_OCTETS)?.to_vec();
    // A response, recursion available; one question, the records, nothing else.
    let counts = [0x81, 0x80, 0, 1, 0, u8::from(record.is_some()), 0, 0, 0, 0];
    answer.get_mut(2..HEADER_OCTETS)?.copy_from_slice(&counts);
    if let Some(record) = record {
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1]);
        answer.extend(KEPT_S.to_be_bytes());
        answer.extend(u16::try_from(record.len()).ok()?.to_be_bytes());
        answer.extend(record);
    }
    Some(answer)
}

/// The name that is asked for, in lower case and without its last dot, and where it ends.
fn name_of(question: &[u8]) -> Option<(String, usize)> {
    let (mut at, mut labels) = (HEADER_OCTETS, Vec::new());
    loop {
        let octets = usize::from(*question.get(at)?);
        at += 1;
        if octets == 0 {
            return Some((labels.join("."), at));
        }
        let label = question.get(at..at + octets)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += octets;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::platform::net::{Dns, DnsConfig, MxAnswer};

    #[tokio::test]
    async fn a_resolver_finds_the_mail_host_and_its_address() {
        let place = |domain: &str| (domain == "a.example").then_some(Ipv4Addr::new(127, 1, 2, 3));
        let names = Names::start(place).await.unwrap();
        let dns = Dns::new(DnsConfig {
            servers: vec![names.address],
            ..DnsConfig::default()
        });
        let dns = dns.unwrap();
        let MxAnswer::Hosts(hosts) = dns.lookup_mx("a.example", 1).await.unwrap() else {
            panic!("no hosts");
        };
        assert_eq!(
            hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>(),
            ["mx.a.example"]
        );
        let addresses = dns.lookup_ip("mx.a.example").await.unwrap();
        assert_eq!(addresses, [Ipv4Addr::new(127, 1, 2, 3)]);
        assert!(!matches!(
            dns.lookup_mx("b.example", 1).await,
            Ok(MxAnswer::Hosts(_))
        ));
    }

    #[test]
    fn what_is_no_question_has_no_answer() {
        for octets in [&[][..], &[0; 12], &[9; 40]] {
            assert!(answer(octets, &|_| None).is_none());
        }
    }
}
