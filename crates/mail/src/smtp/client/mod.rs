//! The client's side of one SMTP connection, as a machine: replies in, commands out.
//!
//! The program asks [`Client::turn`] whose turn it is, writes [`Client::take_output`], feeds what it
//! read to [`Client::receive`], and says [`Client::lost`] when the connection failed or a wait was
//! too long. It owns sockets, TLS, waits and the content; the machine owns the order of things and
//! what every reply means for every recipient.
//!
//! With PIPELINING, MAIL, all RCPT and DATA leave at once and the replies are matched in order.
//! The final dot is a step of its own ([`Client::finish`]), so that the caller can write down
//! "attempt started" after everything else and before the one octet that can make a duplicate.
//!
//! A client that is given a [`Login`] says it once the connection is encrypted, and nothing before (`auth`).
//!
//! Not here: BDAT (CHUNKING is noticed, never used), and any second try.

mod auth;
mod envelope;
mod extensions;
mod failure;
mod replies;
mod step;
mod transaction;

use std::collections::VecDeque;

pub use auth::Login;
pub use envelope::Envelope;
pub use extensions::Extensions;
pub use failure::{Failure, ProtocolError};
pub use step::{Answered, TlsMode, Turn, Verb};
pub use transaction::Finished;

use super::limits::PIPELINE_OCTETS_MAX;
use super::outcome::{LocalReason, Outcome};
use super::reply::ReplyParser;
use transaction::Progress;

/// One connection.
pub struct Client {
    ehlo_name: String,
    tls: TlsMode,
    encrypted: bool,
    login: Option<Login>,
    /// The client's lines of the login that are not said yet.
    login_lines: VecDeque<String>,
    extensions: Extensions,
    parser: ReplyParser,
    output: Vec<u8>,
    /// Steps written or about to be, oldest first; each is owed one reply.
    awaited: VecDeque<Awaited>,
    /// Commands that have to wait for replies to earlier ones.
    plan: VecDeque<Planned>,
    state: State,
    transaction: Option<Progress>,
    /// The last transaction may still be open on the server.
    needs_reset: bool,
}

enum State {
    Opening,
    Upgrading,
    Ready,
    Envelope,
    Content,
    Dot,
    /// 354 came though nobody is left to receive: a lone dot was sent (RFC 2920 §3.1).
    LoneDot,
    Quitting,
    Closed(Failure),
}

#[derive(Clone, Copy)]
enum Awaited {
    Step(Verb),
    /// RCPT of the recipient with this index.
    Rcpt(usize),
}

impl Awaited {
    fn verb(self) -> Verb {
        match self {
            Self::Step(verb) => verb,
            Self::Rcpt(_) => Verb::Rcpt,
        }
    }
}

struct Planned {
    awaited: Awaited,
    line: String,
}

impl Client {
    /// A client that waits for the greeting. `ehlo_name` is this host's name or address literal;
    /// anything but visible ASCII is left out of it, and `localhost` stands for nothing.
    pub fn new(ehlo_name: &str, tls: TlsMode) -> Self {
        let (state, awaited) = match tls {
            TlsMode::Implicit => (State::Upgrading, VecDeque::new()),
            TlsMode::Off | TlsMode::Opportunistic | TlsMode::Required => (State::Opening, greeting()),
        };
        Self {
            ehlo_name: writable_name(ehlo_name),
            tls,
            encrypted: false,
            login: None,
            login_lines: VecDeque::new(),
            extensions: Extensions::default(),
            parser: ReplyParser::new(),
            output: Vec::new(),
            awaited,
            plan: VecDeque::new(),
            state,
            transaction: None,
            needs_reset: false,
        }
    }

    /// Takes octets from the server and returns the replies that they completed. What went wrong,
    /// if anything, shows in [`Client::turn`] and [`Client::failure`].
    pub fn receive(&mut self, input: &[u8]) -> Vec<Answered> {
        let mut answered = Vec::new();
        let mut rest = input;
        while !rest.is_empty() && !matches!(self.state, State::Closed(_)) {
            if matches!(self.state, State::Upgrading) {
                self.fail_protocol(ProtocolError::ClearTextAfterStartTls);
                break;
            }
            match self.parser.push(rest) {
                Err(error) => self.fail_protocol(error.into()),
                Ok((_, None)) => break,
                Ok((taken, Some(reply))) => {
                    rest = rest.get(taken..).unwrap_or_default();
                    answered.push(Answered {
                        verb: self.step(),
                        reply: reply.clone(),
                    });
                    self.handle(&reply);
                }
            }
        }
        answered
    }

    /// Commands to be written now; empty if there are none.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// The handshake is done: all that was learned in clear text is forgotten (RFC 3207 §4.2).
    pub fn tls_started(&mut self) {
        self.encrypted = true;
        self.parser = ReplyParser::new();
        self.state = State::Opening;
        if self.tls == TlsMode::Implicit {
            self.awaited = greeting();
        } else {
            self.say_hello(Verb::Ehlo);
        }
    }

    /// Begins a transaction. What can be decided without the server (size, SMTPUTF8, unwritable
    /// addresses) is decided; if nobody is left then, nothing is sent and the turn stays `Ready`.
    pub fn begin(&mut self, envelope: &Envelope) {
        if matches!(self.state, State::Ready) && !self.parser.is_idle() {
            self.fail(Failure::Protocol(Verb::Mail, ProtocolError::Unsolicited));
        }
        let mut progress = Progress::new(envelope, &self.extensions);
        if !matches!(self.state, State::Ready) {
            progress.decide_open(&LocalReason::ConnectionLost(Verb::Mail).outcome());
        }
        if !progress.is_decided() {
            self.state = State::Envelope;
            self.plan_commands(envelope, &progress);
        }
        self.transaction = Some(progress);
        self.send_planned();
    }

    /// Ends the content. To be called after it was written completely, and after whatever has to
    /// be on record before the message can be delivered. Does nothing if the server has spoken
    /// since: then [`Client::turn`] is `Closed`.
    pub fn finish(&mut self) {
        if !matches!(self.state, State::Content) {
            return;
        }
        if !self.parser.is_idle() {
            self.fail(Failure::Protocol(Verb::Content, ProtocolError::Unsolicited));
            return;
        }
        if let Some(progress) = &mut self.transaction {
            progress.reached_dot = true;
        }
        self.state = State::Dot;
        self.say(Awaited::Step(Verb::Dot), ".");
    }

    /// What became of the transaction, once the turn is `Ready` or `Closed` again.
    pub fn take_finished(&mut self) -> Option<Finished> {
        let is_over = matches!(self.state, State::Ready | State::Closed(_));
        self.transaction.take_if(|_| is_over).map(Progress::finish)
    }

    /// Says QUIT.
    pub fn quit(&mut self) {
        if matches!(self.state, State::Ready) {
            self.state = State::Quitting;
            self.say(Awaited::Step(Verb::Quit), "QUIT");
        }
    }

    /// The connection ended or failed.
    pub fn lost(&mut self) {
        self.fail(Failure::Lost(self.step()));
    }

    /// A wait passed its limit.
    pub fn timed_out(&mut self) {
        self.fail(Failure::TimedOut(self.step()));
    }

    /// Whose turn it is.
    pub fn turn(&self) -> Turn {
        match &self.state {
            State::Upgrading => Turn::Upgrade,
            State::Ready => Turn::Ready,
            State::Content => Turn::Content,
            State::Closed(_) => Turn::Closed,
            State::Opening | State::Envelope | State::Dot | State::LoneDot | State::Quitting => {
                Turn::Read(self.step())
            }
        }
    }

    /// Why the connection is closed, if it is.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.state {
            State::Closed(failure) => Some(failure),
            _ => None,
        }
    }

    /// What the server offers on the connection as it is now.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Whether the handshake was done.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// The step that the server has to answer next, or that is being done.
    fn step(&self) -> Verb {
        let idle = match self.state {
            State::Content => Verb::Content,
            State::Upgrading => Verb::StartTls,
            _ => Verb::Mail,
        };
        self.awaited.front().map_or(idle, |awaited| awaited.verb())
    }

    fn say_hello(&mut self, verb: Verb) {
        let line = format!("{} {}", verb.name(), self.ehlo_name);
        self.say(Awaited::Step(verb), &line);
    }

    fn say(&mut self, awaited: Awaited, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
        self.awaited.push_back(awaited);
    }

    fn plan_commands(&mut self, envelope: &Envelope, progress: &Progress) {
        if std::mem::take(&mut self.needs_reset) {
            self.plan.push_back(Planned {
                awaited: Awaited::Step(Verb::Rset),
                line: "RSET".to_owned(),
            });
        }
        let mail = envelope.mail_line(&self.extensions, self.encrypted);
        self.plan.push_back(Planned {
            awaited: Awaited::Step(Verb::Mail),
            line: mail,
        });
        for (index, to) in envelope
            .to
            .iter()
            .enumerate()
            .filter(|(index, _)| progress.is_open(*index))
        {
            let line = envelope.rcpt_line(to, &self.extensions);
            self.plan.push_back(Planned {
                awaited: Awaited::Rcpt(index),
                line,
            });
        }
        self.plan.push_back(Planned {
            awaited: Awaited::Step(Verb::Data),
            line: "DATA".to_owned(),
        });
    }

    /// Sends what may be sent: everything with PIPELINING, in groups whose replies fit the sockets'
    /// buffers; one command at a time without.
    fn send_planned(&mut self) {
        if !matches!(self.state, State::Envelope) || !self.awaited.is_empty() {
            return;
        }
        while let Some(next) = self.plan.pop_front() {
            let is_pointless = matches!(next.awaited, Awaited::Step(Verb::Data))
                && self.awaited.is_empty()
                && !self.has_accepted_recipient();
            if is_pointless {
                return self.end_transaction(true);
            }
            self.say(next.awaited, &next.line);
            if !self.extensions.pipelining || self.output.len() > PIPELINE_OCTETS_MAX {
                break;
            }
        }
    }

    fn has_accepted_recipient(&self) -> bool {
        self.transaction.as_ref().is_some_and(Progress::has_accepted)
    }

    fn fail_protocol(&mut self, error: ProtocolError) {
        self.fail(Failure::Protocol(self.step(), error));
    }

    fn decide_open(&mut self, outcome: &Outcome) {
        if let Some(progress) = &mut self.transaction {
            progress.decide_open(outcome);
        }
    }

    fn end_transaction(&mut self, needs_reset: bool) {
        self.needs_reset = needs_reset;
        self.plan.clear();
        self.state = State::Ready;
    }

    fn fail(&mut self, failure: Failure) {
        if matches!(self.state, State::Closed(_)) {
            return;
        }
        let outcome = match &failure {
            Failure::Refused(_, reply) => Outcome::refused(reply),
            Failure::Lost(verb) => LocalReason::ConnectionLost(*verb).outcome(),
            Failure::TimedOut(verb) => LocalReason::TimedOut(*verb).outcome(),
            Failure::Protocol(verb, error) => LocalReason::Protocol(*verb, *error).outcome(),
            Failure::TlsNotOffered | Failure::LoginNotOffered | Failure::Quit => {
                LocalReason::ConnectionLost(Verb::Mail).outcome()
            }
        };
        if let Some(progress) = &mut self.transaction {
            let unanswered = !matches!(failure, Failure::Refused(..));
            progress.in_doubt = unanswered && matches!(self.state, State::Dot);
            progress.decide_open(&outcome);
        }
        self.awaited.clear();
        self.plan.clear();
        self.output.clear();
        self.state = State::Closed(failure);
    }
}

fn greeting() -> VecDeque<Awaited> {
    VecDeque::from([Awaited::Step(Verb::Greeting)])
}

/// The argument of EHLO is one visible word; an empty one would be refused everywhere.
fn writable_name(name: &str) -> String {
    let name: String = name.chars().filter(char::is_ascii_graphic).collect();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name
    }
}
