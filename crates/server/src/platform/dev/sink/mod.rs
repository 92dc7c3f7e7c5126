//! A small SMTP server that takes everything and delivers nothing: the outbox of `sealwright dev`, the other side of
//! tests and benchmarks.
//!
//! It speaks through the same machine that receives real mail (`sealwright_mail::smtp::server`) and keeps the last
//! messages with their envelopes, octet for octet. A [`SinkScript`] makes it behave badly on purpose: refuse, stall,
//! hang up at any step, before or after it took the message.
//!
//! Nothing is stored on disk and nothing is authenticated: bind it to the loopback interface.

mod script;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use sealwright_mail::smtp::limits::{MESSAGE_OCTETS_MAX, SERVER_IDLE_SECONDS};
use sealwright_mail::smtp::{EnhancedCode, Event, Offer, Reply, Server, ServerOptions};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, broadcast};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::clock::Clock;
pub use script::{Moment, SinkScript, Verdict};

/// Connections served at once; more are told 421.
const CONNECTIONS_MAX: usize = 1024;

/// Connections the kernel may hold before they are accepted.
const BACKLOG: u32 = 1024;

/// Messages a slow subscriber may lag behind before it misses some.
const SUBSCRIBER_LAG_MAX: usize = 1024;

/// Octets read at once.
const READ_OCTETS: usize = 64 * 1024;

/// A client that is silent for longer is disconnected (RFC 5321 §4.5.3.2.7).
const IDLE: Duration = Duration::from_secs(SERVER_IDLE_SECONDS);

/// How a sink behaves.
#[derive(Clone)]
pub struct SinkOptions {
    /// What it calls itself.
    pub hostname: String,
    /// Its certificate; with it STARTTLS is offered.
    pub tls: Option<Arc<ServerConfig>>,
    /// The other extensions. `starttls` without `tls` offers a handshake that always fails.
    pub offer: Offer,
    /// Messages kept; the oldest go first.
    pub max_kept: usize,
    /// Octets per message.
    pub message_octets_max: usize,
    /// Recipients per transaction.
    pub recipients_max: usize,
    /// What it does at each step.
    pub script: SinkScript,
    /// What stamps the messages.
    pub clock: Clock,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self {
            hostname: String::from("sink.localhost"),
            tls: None,
            offer: Offer::default(),
            max_kept: 1000,
            message_octets_max: MESSAGE_OCTETS_MAX,
            recipients_max: 1000,
            script: SinkScript::default(),
            clock: Clock::default(),
        }
    }
}

/// A message as it came in.
#[derive(Clone)]
pub struct Captured {
    /// Counts from 1 over the sink's life.
    pub seq: u64,
    /// The sender of the envelope, empty for the null sender.
    pub mail_from: String,
    /// The accepted recipients of the envelope.
    pub rcpt_to: Vec<String>,
    /// The content, with doubled dots undone and nothing added.
    pub bytes: Arc<[u8]>,
    /// When its last octet had come.
    pub received_at_unix_ms: i64,
    /// Whether it came encrypted.
    pub tls: bool,
    /// The address that it came from.
    pub peer: IpAddr,
    /// The name that was said in EHLO.
    pub client_name: String,
}

/// Addresses and content are personal data.
impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Captured({}, {} octets, {} recipients)",
            self.seq,
            self.bytes.len(),
            self.rcpt_to.len()
        )
    }
}

/// A running sink. Dropping it ends it at once.
pub struct Sink {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

impl Sink {
    /// Listens on `bind` (port 0 picks one) and serves until it is shut down. Must be called within a tokio runtime.
    pub fn start(bind: SocketAddr, options: SinkOptions) -> io::Result<Self> {
        let socket = if bind.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(bind)?;
        let listener = socket.listen(BACKLOG)?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            options,
            kept: Mutex::default(),
            news: broadcast::Sender::new(SUBSCRIBER_LAG_MAX),
            places: Semaphore::new(CONNECTIONS_MAX),
        });
        let acceptor = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            addr,
            shared,
            acceptor,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The messages that are kept, oldest first.
    pub fn received(&self) -> Vec<Captured> {
        self.shared.lock().messages.iter().cloned().collect()
    }

    /// How many messages were taken so far, kept or not.
    pub fn received_count(&self) -> u64 {
        self.shared.lock().count
    }

    /// Every message from now on. A receiver that lags far behind misses some, and is told.
    pub fn subscribe(&self) -> broadcast::Receiver<Captured> {
        self.shared.news.subscribe()
    }

    /// Stops listening and cuts the open connections.
    pub async fn shutdown(mut self) {
        self.acceptor.abort();
        // The error says that it was aborted, which was the point.
        let _ = (&mut self.acceptor).await;
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

struct Shared {
    options: SinkOptions,
    kept: Mutex<Kept>,
    news: broadcast::Sender<Captured>,
    places: Semaphore,
}

#[derive(Default)]
struct Kept {
    count: u64,
    messages: VecDeque<Captured>,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, server: &Server, peer: IpAddr, content: &[u8]) {
        let received_at_unix_ms = self.options.clock.now().millis();
        let bytes: Arc<[u8]> = content.into();
        let mut kept = self.lock();
        kept.count += 1;
        let captured = Captured {
            seq: kept.count,
            mail_from: server.sender().unwrap_or_default().to_owned(),
            rcpt_to: server.recipients().to_vec(),
            bytes,
            received_at_unix_ms,
            tls: server.is_encrypted(),
            peer,
            client_name: server.client_name().unwrap_or_default().to_owned(),
        };
        while kept.messages.len() >= self.options.max_kept.max(1) {
            kept.messages.pop_front();
        }
        if self.options.max_kept > 0 {
            kept.messages.push_back(captured.clone());
        }
        // Sent under the lock, so that subscribers see the order of `seq`. Without subscribers nobody misses it.
        let _ = self.news.send(captured);
    }

    fn server_options(&self) -> ServerOptions {
        let options = &self.options;
        let starttls = options.offer.starttls || options.tls.is_some();
        ServerOptions {
            offer: Offer {
                starttls,
                ..options.offer
            },
            message_octets_max: options.message_octets_max,
            recipients_max: options.recipients_max,
            ..ServerOptions::new(options.hostname.clone())
        }
    }
}

/// Connections live in this task's set, so ending the task ends them.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                // A connection that breaks is the client's business.
                connections.spawn(async move { drop(serve(stream, &shared).await) });
            }
            // Out of descriptors, most likely: they come back when connections end.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr()?.ip();
    let Ok(_place) = shared.places.try_acquire() else {
        let reply = Reply::new(421, Some(EnhancedCode::new(4, 3, 2)), "too many connections");
        let mut server = Server::turned_away(shared.server_options(), &reply);
        return stream.write_all(&server.take_output()).await;
    };
    let mut session = Session {
        shared,
        server: Server::new(shared.server_options()),
        peer,
        is_content_known: false,
    };
    if session.greet(&mut stream).await?.is_break() {
        return Ok(());
    }
    if session.converse(&mut stream).await? == Next::Close {
        return stream.shutdown().await;
    }
    let Some(config) = &shared.options.tls else {
        return Ok(());
    };
    let handshake = TlsAcceptor::from(Arc::clone(config)).accept(stream);
    let mut stream = timeout(IDLE, handshake).await??;
    session.server.tls_started();
    session.converse(&mut stream).await?;
    stream.shutdown().await
}

#[derive(PartialEq, Eq)]
enum Next {
    Upgrade,
    Close,
}

/// Whether the connection goes on (`Continue`) or is dropped as it is.
type Flow = std::ops::ControlFlow<()>;

struct Session<'a> {
    shared: &'a Shared,
    server: Server,
    peer: IpAddr,
    /// The script was told that content comes in.
    is_content_known: bool,
}

impl Session<'_> {
    async fn greet(&mut self, stream: &mut TcpStream) -> io::Result<Flow> {
        match self.decide(Moment::Connect, stream).await? {
            Verdict::Reply(reply) => self.server = Server::turned_away(self.shared.server_options(), &reply),
            Verdict::HangUp | Verdict::KeepAndHangUp | Verdict::Raw(_) => return Ok(Flow::Break(())),
            Verdict::Accept | Verdict::Wait(..) => {}
        }
        Ok(Flow::Continue(()))
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> io::Result<Next> {
        let mut buffer = vec![0; READ_OCTETS];
        loop {
            self.write(stream).await?;
            if self.server.is_closing() {
                return Ok(Next::Close);
            }
            if self.server.is_upgrading() {
                return Ok(Next::Upgrade);
            }
            let octets = timeout(IDLE, stream.read(&mut buffer)).await??;
            let input = buffer.get(..octets).unwrap_or_default();
            if input.is_empty() || self.hear(input, stream).await?.is_break() {
                return Ok(Next::Close);
            }
        }
    }

    async fn write<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> io::Result<()> {
        let output = self.server.take_output();
        if output.is_empty() {
            return Ok(());
        }
        timeout(IDLE, stream.write_all(&output)).await??;
        stream.flush().await
    }

    async fn hear<S: AsyncWrite + Unpin>(&mut self, mut input: &[u8], stream: &mut S) -> io::Result<Flow> {
        if self.server.is_in_content() && !self.is_content_known {
            self.is_content_known = true;
            match self.decide(Moment::Content, stream).await? {
                Verdict::Accept | Verdict::Wait(..) => {}
                Verdict::Reply(reply) => self.server.close(&reply),
                Verdict::HangUp | Verdict::KeepAndHangUp | Verdict::Raw(_) => return Ok(Flow::Break(())),
            }
        }
        while !input.is_empty() {
            let received = self.server.receive(input);
            input = input.get(received.taken..).unwrap_or_default();
            if let Some(event) = received.event {
                if self.answer(event, stream).await?.is_break() {
                    return Ok(Flow::Break(()));
                }
            } else if received.taken == 0 {
                break;
            }
        }
        Ok(Flow::Continue(()))
    }

    async fn answer<S: AsyncWrite + Unpin>(&mut self, event: Event, stream: &mut S) -> io::Result<Flow> {
        let sender;
        let recipients;
        let moment = match &event {
            Event::Hello { .. } => Moment::Hello,
            Event::StartTls => Moment::StartTls,
            Event::Mail { from, .. } => Moment::Mail { from },
            Event::Rcpt { to } => Moment::Rcpt { to },
            Event::Data => {
                self.is_content_known = false;
                Moment::Data
            }
            Event::Message(_) => {
                sender = self.server.sender().unwrap_or_default().to_owned();
                recipients = self.server.recipients().to_vec();
                Moment::Message {
                    from: &sender,
                    to: &recipients,
                }
            }
        };
        let verdict = self.decide(moment, stream).await?;
        let is_kept = match &verdict {
            Verdict::Accept | Verdict::KeepAndHangUp | Verdict::Wait(..) => true,
            Verdict::Reply(reply) => reply.code() / 100 == 2,
            Verdict::HangUp | Verdict::Raw(_) => false,
        };
        // Kept before the reply is written, as a real server stores before it takes responsibility.
        if let Event::Message(content) = &event
            && is_kept
        {
            self.shared.keep(&self.server, self.peer, content);
        }
        match verdict {
            Verdict::Accept | Verdict::Wait(..) => self.server.accept(),
            Verdict::Reply(reply) => self.server.answer(&reply),
            Verdict::HangUp | Verdict::KeepAndHangUp | Verdict::Raw(_) => return Ok(Flow::Break(())),
        }
        Ok(Flow::Continue(()))
    }

    /// Asks the script and waits as it says; replies to earlier commands leave before the wait.
    async fn decide<S: AsyncWrite + Unpin>(
        &mut self,
        moment: Moment<'_>,
        stream: &mut S,
    ) -> io::Result<Verdict> {
        let mut verdict = self.shared.options.script.decide(moment);
        loop {
            match verdict {
                Verdict::Wait(pause, then) => {
                    if moment != Moment::Connect {
                        self.write(stream).await?;
                    }
                    sleep(pause).await;
                    verdict = *then;
                }
                Verdict::Raw(octets) => {
                    if moment != Moment::Connect {
                        self.write(stream).await?;
                    }
                    stream.write_all(&octets).await?;
                    stream.flush().await?;
                    return Ok(Verdict::HangUp);
                }
                Verdict::HangUp | Verdict::KeepAndHangUp => {
                    if moment != Moment::Connect {
                        self.write(stream).await?;
                    }
                    return Ok(verdict);
                }
                Verdict::Accept | Verdict::Reply(_) => return Ok(verdict),
            }
        }
    }
}
