//! One connection: the client machine, its stream, and the waits.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};

use rustls::pki_types::ServerName;
use sealwright_mail::smtp::client::{Client, Failure, Turn};
use sealwright_mail::smtp::content::Stuffer;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::steps::{Steps, now};
use super::stream::{Heard, Pipe, Stream};
use super::{
    ConnectOptions, Envelope, Extensions, LocalReason, Severity, Target, Timeouts, TlsFacts, TlsFault,
    TlsMode, TlsProblem, Transaction, Verb, WireFailure, tls,
};

/// An open connection to a mail exchanger, between transactions. Dropping it closes it without QUIT.
pub struct Connection {
    pipe: Pipe,
    client: Client,
    steps: Steps,
    timeouts: Timeouts,
    tls: Option<TlsFacts>,
}

impl Connection {
    /// Connects, waits for the greeting, says EHLO, and encrypts as the options ask.
    pub async fn open(target: &Target, options: &ConnectOptions) -> Result<Self, WireFailure> {
        let mut steps = Steps::new();
        let until = now() + options.timeouts.total;
        let stream = match timeout(options.timeouts.connect, connect(target.addr, options.source)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(not_connected(steps, &error.kind().to_string())),
            Err(_) => return Err(not_connected(steps, "the host does not answer")),
        };
        steps.silent("connect");
        steps.start();
        let mut connection = Self {
            pipe: Pipe::new(Stream::Plain(stream)),
            client: client(options),
            steps,
            timeouts: options.timeouts,
            tls: None,
        };
        loop {
            match connection.play(until).await {
                Turn::Ready => return Ok(connection),
                Turn::Upgrade => connection.upgrade(target, options).await?,
                Turn::Closed | Turn::Content | Turn::Read(_) => return Err(connection.failed(options.tls)),
            }
        }
    }

    /// What the server offers.
    pub fn extensions(&self) -> &Extensions {
        self.client.extensions()
    }

    /// How the connection is encrypted, if it is.
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.tls.as_ref()
    }

    /// The steps of [`Connection::open`], before the first [`Connection::send`] takes them into its record.
    pub fn take_steps(&mut self) -> Vec<super::Step> {
        self.steps.take()
    }

    /// Whether another transaction may begin.
    pub fn is_reusable(&self) -> bool {
        self.client.turn() == Turn::Ready
    }

    /// Looks, without waiting, whether the server has hung up or said 421 since. Returns [`Self::is_reusable`].
    pub fn idle_probe(&mut self) -> bool {
        if self.is_reusable() {
            self.hear_now();
        }
        self.is_reusable()
    }

    /// Carries one message. `parts` are the message's octets, in order, with CRLF line ends; content with a bare CR or
    /// LF fails for all recipients before anything is written.
    ///
    /// `before_dot` runs once the content is written and flushed and some recipient was accepted; it is not polled
    /// otherwise. Only after it succeeded is the final dot written. If it fails, the connection is dropped without
    /// the dot, nothing is delivered, and its error is returned.
    ///
    /// If this future is dropped halfway, so must be the connection: it is not reusable then.
    pub async fn send<E>(
        &mut self,
        envelope: &Envelope,
        parts: &[&[u8]],
        before_dot: impl Future<Output = Result<(), E>>,
    ) -> Result<Transaction, E> {
        let mut content = match Stuffer::new(parts) {
            Ok(content) => content,
            Err(error) => return Ok(self.refuse_all(envelope, LocalReason::Content(error))),
        };
        let until = now() + self.timeouts.total;
        self.client.begin(&with_true_size(envelope, parts));
        if self.play(until).await == Turn::Content && self.write(&mut content, until).await {
            if let Err(error) = before_dot.await {
                self.abandon();
                return Err(error);
            }
            // A server that has given up meanwhile must not get the dot.
            self.hear_now();
            self.client.finish();
            self.play(now() + self.timeouts.dot).await;
        }
        Ok(self.finished(envelope))
    }

    /// Says QUIT and closes the connection.
    pub async fn quit(mut self) {
        let until = now() + self.timeouts.quit;
        self.client.quit();
        self.play(until).await;
        // A close_notify that is not taken in time is not worth waiting for.
        let _ = timeout_at(until, self.pipe.shutdown()).await;
    }

    /// Exchanges commands and replies until it is this side's turn. `until` bounds it all; each reply has its own
    /// limit within, counted from its turn and not from its latest octet.
    async fn play(&mut self, until: Instant) -> Turn {
        let mut reply_until = None;
        loop {
            let output = self.client.take_output();
            if !output.is_empty() {
                self.steps.start();
                self.pipe.output.extend_from_slice(&output);
            }
            let Turn::Read(verb) = self.client.turn() else {
                return self.settle(verb_of_failure(self.client.failure()));
            };
            let limit = *reply_until.get_or_insert_with(|| (now() + self.timeouts.of(verb)).min(until));
            match timeout_at(limit, self.pipe.hear()).await {
                Ok(heard) => {
                    if self.take(&heard) {
                        reply_until = None;
                    }
                }
                Err(_) => self.client.timed_out(),
            }
        }
    }

    /// Writes the content. Returns whether it was taken to its end and the server still waits for the dot.
    async fn write(&mut self, content: &mut Stuffer<'_>, until: Instant) -> bool {
        self.steps.start();
        while self.client.turn() == Turn::Content && content.next_block(&mut self.pipe.output) {
            let limit = (now() + self.timeouts.block).min(until);
            loop {
                match timeout_at(limit, self.pipe.write_or_hear()).await {
                    Ok(Heard::Written) => break,
                    Ok(heard) => {
                        self.take(&heard);
                    }
                    Err(_) => self.client.timed_out(),
                }
                if self.client.turn() != Turn::Content {
                    break;
                }
            }
        }
        let is_written = self.settle(verb_of_failure(self.client.failure())) == Turn::Content;
        if is_written {
            self.steps.silent(Verb::Content.name());
        }
        is_written
    }

    async fn upgrade(&mut self, target: &Target, options: &ConnectOptions) -> Result<(), WireFailure> {
        self.steps.start();
        let handshake = self.handshake(&target.host, options);
        let (reason, fault) = match timeout(options.timeouts.handshake, handshake).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failed)) => failed,
            Err(_) => (String::from("the TLS handshake took too long"), TlsFault::Other),
        };
        self.steps.silent("TLS");
        Err(WireFailure {
            steps: self.steps.take(),
            permanent: false,
            retry_without_tls: options.tls == TlsMode::Opportunistic,
            tls_problem: Some(TlsProblem::Handshake).filter(|_| options.tls == TlsMode::Required),
            fault: Some(fault),
            reason,
            reply: None,
        })
    }

    async fn handshake(&mut self, host: &str, options: &ConnectOptions) -> Result<(), (String, TlsFault)> {
        let other = |reason: &str| (reason.to_owned(), TlsFault::Other);
        let name = ServerName::try_from(host.trim_end_matches('.').to_owned())
            .map_err(|_| other("the host's name can not be named in TLS"))?;
        let Stream::Plain(tcp) = std::mem::replace(&mut self.pipe.stream, Stream::Gone) else {
            return Err(other("the connection is encrypted already"));
        };
        let connector = TlsConnector::from(options.tls_config.config());
        let stream = connector
            .connect(name.clone(), tcp)
            .await
            .map_err(|error| tls_failure(&error))?;
        let facts = options.tls_config.facts(&name, stream.get_ref().1);
        self.steps
            .push("TLS", None, format!("{} {}", facts.version, facts.cipher));
        self.tls = Some(facts);
        self.pipe.stream = Stream::Tls(Box::new(stream));
        self.client.tls_started();
        Ok(())
    }

    /// Gives what was heard to the machine. Returns whether it completed a reply.
    fn take(&mut self, heard: &Heard) -> bool {
        match heard {
            Heard::Written => false,
            Heard::End => {
                self.client.lost();
                false
            }
            Heard::Octets => {
                let answered = self.client.receive(self.pipe.input());
                answered.iter().for_each(|reply| self.steps.answered(reply));
                !answered.is_empty()
            }
        }
    }

    fn hear_now(&mut self) {
        while !matches!(self.client.turn(), Turn::Closed) {
            let Some(heard) = self.pipe.hear_now() else { return };
            self.take(&heard);
        }
        self.settle(None);
    }

    /// Once the machine has closed, so does the stream; a step that got no reply is recorded as such.
    fn settle(&mut self, silent: Option<Verb>) -> Turn {
        let turn = self.client.turn();
        if turn == Turn::Closed {
            if let Some(verb) = silent.filter(|_| !matches!(self.pipe.stream, Stream::Gone)) {
                self.steps.silent(verb.name());
            }
            self.pipe.close();
        }
        turn
    }

    fn abandon(&mut self) {
        self.client.lost();
        self.pipe.close();
        self.steps.take();
    }

    fn finished(&mut self, envelope: &Envelope) -> Transaction {
        match self.client.take_finished() {
            Some(finished) => Transaction {
                recipients: finished.recipients,
                steps: self.steps.take(),
                reached_dot: finished.reached_dot,
                in_doubt: finished.in_doubt,
            },
            None => self.refuse_all(envelope, LocalReason::ConnectionLost(Verb::Mail)),
        }
    }

    fn refuse_all(&mut self, envelope: &Envelope, reason: LocalReason) -> Transaction {
        let recipients = envelope.to.iter().map(|_| reason.outcome()).collect();
        Transaction {
            recipients,
            steps: self.steps.take(),
            reached_dot: false,
            in_doubt: false,
        }
    }

    fn failed(&mut self, mode: TlsMode) -> WireFailure {
        let failure = self.client.failure();
        let reply = failure.and_then(Failure::reply).cloned();
        let was_refused = reply.is_some();
        let has_no_tls = mode == TlsMode::Required
            && matches!(
                failure,
                Some(Failure::TlsNotOffered | Failure::Refused(Verb::StartTls, _))
            );
        // Some servers finish the handshake and fail in the first encrypted octets.
        let retry_without_tls = mode == TlsMode::Opportunistic && self.client.is_encrypted() && !was_refused;
        WireFailure {
            steps: self.steps.take(),
            // Who takes STARTTLS back refuses no mail.
            permanent: !has_no_tls
                && reply
                    .as_ref()
                    .is_some_and(|reply| reply.severity() == Severity::Permanent),
            retry_without_tls,
            tls_problem: has_no_tls.then_some(TlsProblem::Missing),
            fault: match has_no_tls {
                true => Some(TlsFault::NotOffered),
                false => retry_without_tls.then_some(TlsFault::Other),
            },
            reason: failure.map_or_else(String::new, ToString::to_string),
            reply,
        }
    }
}

fn client(options: &ConnectOptions) -> Client {
    let client = Client::new(&options.ehlo_name, options.tls);
    match options.login.clone() {
        Some(login) => client.logging_in(login),
        None => client,
    }
}

async fn connect(addr: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let stream = match source {
        None => TcpStream::connect(addr).await?,
        Some(source) => {
            let socket = if addr.is_ipv4() {
                TcpSocket::new_v4()?
            } else {
                TcpSocket::new_v6()?
            };
            socket.bind(SocketAddr::new(source, 0))?;
            socket.connect(addr).await?
        }
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn not_connected(mut steps: Steps, what: &str) -> WireFailure {
    steps.silent("connect");
    WireFailure {
        steps: steps.take(),
        permanent: false,
        retry_without_tls: false,
        tls_problem: None,
        fault: None,
        reason: format!("could not connect: {what}"),
        reply: None,
    }
}

fn tls_failure(error: &io::Error) -> (String, TlsFault) {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let what = inner.map_or_else(|| error.kind().to_string(), tls::describe);
    let fault = inner.map_or(TlsFault::Other, TlsFault::of);
    (format!("the TLS handshake failed: {what}"), fault)
}

/// The step that got no reply. A refused one got it, and is on record.
fn verb_of_failure(failure: Option<&Failure>) -> Option<Verb> {
    match failure? {
        Failure::Lost(verb) | Failure::TimedOut(verb) => Some(*verb),
        Failure::Protocol(..)
        | Failure::Refused(..)
        | Failure::TlsNotOffered
        | Failure::LoginNotOffered
        | Failure::Quit => None,
    }
}

/// SIZE is a promise to the server; a caller that knows only a part of the message must not break it.
fn with_true_size(envelope: &Envelope, parts: &[&[u8]]) -> Envelope {
    let octets = parts.iter().map(|part| part.len()).sum::<usize>();
    Envelope {
        size: envelope.size.max(octets),
        ..envelope.clone()
    }
}
