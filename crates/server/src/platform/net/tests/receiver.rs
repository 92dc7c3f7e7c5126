//! Other people's HTTPS servers, well- and ill-behaved, with certificates of every kind.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A certificate authority that only the test trusts.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A server's certificate and its key.
pub(super) struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Authority {
    pub(super) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(super) fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(super) fn issue(&self, name: &str) -> Identity {
        self.sign(CertificateParams::new([name.to_owned()]).unwrap())
    }

    pub(super) fn issue_expired(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().der().clone();
        Identity { certificate, key }
    }
}

impl Identity {
    pub(super) fn self_signed(name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Identity { certificate, key }
    }

    pub(super) fn tls(self, versions: &[&'static SupportedProtocolVersion]) -> TlsAcceptor {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// What a server does with each request.
#[derive(Clone, Copy)]
pub(super) enum Manner {
    /// Answers and keeps the connection open.
    Answer(&'static str),
    /// Answers and closes the connection.
    AnswerAndClose(&'static str),
    /// Answers, then never stops sending content.
    Endless(&'static str),
    /// Sends this and then one more byte every so often.
    Drip(&'static str),
    /// Sends header fields without end.
    EndlessHeader,
    /// Takes the request and says nothing.
    Hang,
}

pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    log: Arc<Log>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Log {
    connections: AtomicUsize,
    requests: Mutex<Vec<String>>,
    peers: Mutex<Vec<IpAddr>>,
    is_closing: AtomicUsize,
}

impl Receiver {
    pub(super) async fn start(tls: TlsAcceptor, manner: Manner) -> Receiver {
        Receiver::start_at("127.0.0.1:0", Some(tls), manner).await
    }

    /// Starts on the given address; without TLS it speaks plain HTTP.
    pub(super) async fn start_at(address: &str, tls: Option<TlsAcceptor>, manner: Manner) -> Receiver {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let task = tokio::spawn(accept(listener, tls, manner, Arc::clone(&log)));
        Receiver { address, log, task }
    }

    /// A URL on this server under a name of the test's choice.
    pub(super) fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/hook?a=1", self.address.port())
    }

    pub(super) fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.log.requests.lock().unwrap().clone()
    }

    pub(super) fn peers(&self) -> Vec<IpAddr> {
        self.log.peers.lock().unwrap().clone()
    }

    /// Closes connections after the requests that are still to come.
    pub(super) fn close_after_each(&self) {
        self.log.is_closing.store(1, Ordering::SeqCst);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, manner: Manner, log: Arc<Log>) {
    loop {
        let (tcp, peer) = listener.accept().await.unwrap();
        log.connections.fetch_add(1, Ordering::SeqCst);
        log.peers.lock().unwrap().push(peer.ip());
        tokio::spawn(serve(tcp, tls.clone(), manner, Arc::clone(&log)));
    }
}

async fn serve(tcp: TcpStream, tls: Option<TlsAcceptor>, manner: Manner, log: Arc<Log>) {
    // A client that goes away in the middle is what several tests are about.
    let _ = match tls {
        Some(tls) => match tls.accept(tcp).await {
            Ok(stream) => converse(stream, manner, &log).await,
            Err(error) => Err(error),
        },
        None => converse(tcp, manner, &log).await,
    };
}

async fn converse<S>(mut stream: S, manner: Manner, log: &Log) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(request) = read_request(&mut stream).await? {
        log.requests.lock().unwrap().push(request);
        match manner {
            Manner::Answer(text) => stream.write_all(text.as_bytes()).await?,
            Manner::AnswerAndClose(text) => {
                stream.write_all(text.as_bytes()).await?;
                return stream.shutdown().await;
            }
            Manner::Endless(head) => {
                stream.write_all(head.as_bytes()).await?;
                loop {
                    stream.write_all(&[b'x'; 16 * 1024]).await?;
                }
            }
            Manner::Drip(head) => {
                stream.write_all(head.as_bytes()).await?;
                loop {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    stream.write_all(b"x").await?;
                    stream.flush().await?;
                }
            }
            Manner::EndlessHeader => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
                loop {
                    stream
                        .write_all(b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy")
                        .await?;
                }
            }
            Manner::Hang => std::future::pending().await,
        }
        stream.flush().await?;
        if log.is_closing.load(Ordering::SeqCst) == 1 {
            return stream.shutdown().await;
        }
    }
    Ok(())
}

async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<Option<String>> {
    let mut read = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        if let Some(length) = request_length(&read)
            && read.len() >= length
        {
            return Ok(Some(String::from_utf8_lossy(&read).into_owned()));
        }
        match stream.read(&mut chunk).await? {
            0 => return Ok(None),
            n => read.extend_from_slice(&chunk[..n]),
        }
    }
}

fn request_length(read: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(read);
    let head = text.find("\r\n\r\n")?;
    let fields = text[..head].to_ascii_lowercase();
    let content = fields
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |value| value.parse().unwrap());
    Some(head + 4 + content)
}
