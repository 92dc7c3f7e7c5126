//! The server's side of one SMTP connection, as a machine: octets in, events and replies out.
//!
//! The program feeds it what it read ([`Server::receive`]), answers each [`Event`] with
//! [`Server::accept`] or [`Server::refuse`], and writes what [`Server::take_output`] returns. The
//! machine knows the protocol: order of commands, limits, pipelining, where content ends. The
//! program knows the policy: who may send what to whom.
//!
//! It does not log in clients (AUTH), does not take BDAT, and never looks inside a message.
//!
//! A session that loses step is ended rather than guessed at: octets sent ahead where the client
//! had to wait (RFC 2920 §3.1), a command line ended by a bare LF, too many faults.

mod command;
mod dispatch;
mod event;
mod options;

pub use event::{Event, Received};
pub use options::{Offer, ServerOptions};

use super::content::{ContentError, Unstuffer};
use super::limits::{COMMAND_LINE_OCTETS_MAX, FAULTS_MAX, IDLE_COMMANDS_MAX};
use super::reply::{EnhancedCode, Reply, Severity};
use command::{Command, MailArguments};

/// One connection.
pub struct Server {
    options: ServerOptions,
    output: Vec<u8>,
    line: Vec<u8>,
    line_is_too_long: bool,
    hello: Option<String>,
    esmtp: bool,
    encrypted: bool,
    mail: Option<Transaction>,
    state: State,
    faults: u32,
    idle_commands: u32,
}

#[derive(Default)]
struct Transaction {
    arguments: MailArguments,
    recipients: Vec<String>,
}

enum State {
    Commands,
    /// An event waits for its answer.
    Asked(Question),
    Content(Unstuffer),
    /// STARTTLS was accepted; the program does the handshake.
    Upgrading,
    Closing,
}

enum Question {
    Hello { name: String, esmtp: bool },
    StartTls,
    Mail(MailArguments),
    Rcpt(String),
    Data,
    Message,
}

impl Server {
    /// A server whose greeting is ready to be written.
    pub fn new(options: ServerOptions) -> Self {
        let mut server = Self::silent(options);
        let greeting = format!("{} ESMTP", server.options.hostname);
        server.reply(&Reply::new(220, None, &greeting));
        server
    }

    /// A server that turns the client away at once. 4yz means later, 5yz never (RFC 5321 §3.1).
    pub fn turned_away(options: ServerOptions, reply: &Reply) -> Self {
        let mut server = Self::silent(options);
        server.close(reply);
        server
    }

    fn silent(options: ServerOptions) -> Self {
        Self {
            options,
            output: Vec::new(),
            line: Vec::new(),
            line_is_too_long: false,
            hello: None,
            esmtp: false,
            encrypted: false,
            mail: None,
            state: State::Commands,
            faults: 0,
            idle_commands: 0,
        }
    }

    /// Takes input up to the next event. `input` should be all that has arrived: what is left
    /// behind a command tells whether the client waited for its reply.
    pub fn receive(&mut self, input: &[u8]) -> Received {
        let mut taken = 0;
        while let Some(rest) = input.get(taken..).filter(|rest| !rest.is_empty()) {
            let (used, event) = match &mut self.state {
                State::Commands => self.receive_command(rest),
                State::Content(_) => self.receive_content(rest),
                State::Asked(_) | State::Upgrading => break,
                State::Closing => (rest.len(), None),
            };
            taken += used;
            if event.is_some() {
                return Received { taken, event };
            }
        }
        Received { taken, event: None }
    }

    /// Answers the open event with yes.
    pub fn accept(&mut self) {
        let status = |subject, detail| Some(EnhancedCode::new(2, subject, detail));
        match &self.state {
            State::Asked(Question::Hello { esmtp: true, .. }) => {
                let reply = self.extension_list();
                self.answer(&reply);
            }
            State::Asked(Question::Hello { .. }) => {
                let reply = Reply::new(250, None, &self.options.hostname);
                self.answer(&reply);
            }
            State::Asked(Question::StartTls) => self.answer(&Reply::new(220, status(0, 0), "go ahead")),
            State::Asked(Question::Mail(_)) => self.answer(&Reply::new(250, status(1, 0), "sender ok")),
            State::Asked(Question::Rcpt(_)) => self.answer(&Reply::new(250, status(1, 5), "recipient ok")),
            State::Asked(Question::Data) => self.answer(&Reply::new(354, None, "end with <CRLF>.<CRLF>")),
            State::Asked(Question::Message) => self.answer(&Reply::new(250, status(0, 0), "accepted")),
            State::Commands | State::Content(_) | State::Upgrading | State::Closing => {}
        }
    }

    /// Answers the open event with no: a 4yz or 5yz reply. 421 also ends the session.
    pub fn refuse(&mut self, reply: &Reply) {
        debug_assert!(matches!(
            reply.severity(),
            Severity::Transient | Severity::Permanent
        ));
        self.answer(reply);
    }

    /// Answers the open event in the program's own words, for example with a queue id. A positive
    /// reply accepts (354 for [`Event::Data`]), any other refuses.
    pub fn answer(&mut self, reply: &Reply) {
        let State::Asked(question) = std::mem::replace(&mut self.state, State::Commands) else {
            return;
        };
        self.reply(reply);
        let accepted = matches!(reply.severity(), Severity::Positive | Severity::Intermediate);
        match question {
            Question::Message => {
                self.mail = None;
                self.idle_commands = 0;
            }
            _ if !accepted => {}
            Question::Hello { name, esmtp } => {
                self.hello = Some(name);
                self.esmtp = esmtp;
            }
            Question::StartTls => self.state = State::Upgrading,
            Question::Mail(arguments) => {
                self.mail = Some(Transaction {
                    arguments,
                    recipients: Vec::new(),
                })
            }
            Question::Rcpt(to) => {
                // A recipient is a step towards a message.
                self.idle_commands = self.idle_commands.saturating_sub(1);
                if let Some(mail) = &mut self.mail {
                    mail.recipients.push(to);
                }
            }
            Question::Data => self.state = State::Content(self.new_content()),
        }
        if reply.code() == 421 {
            self.state = State::Closing;
        }
    }

    /// After the handshake: everything the client said before is forgotten (RFC 3207 §4.2).
    pub fn tls_started(&mut self) {
        self.encrypted = true;
        self.hello = None;
        self.esmtp = false;
        self.mail = None;
        self.line.clear();
        self.state = State::Commands;
    }

    /// Replies to be written now; empty if there are none.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether the connection is to be closed once the output is written.
    pub fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing)
    }

    /// Whether the handshake is due once the output is written.
    pub fn is_upgrading(&self) -> bool {
        matches!(self.state, State::Upgrading)
    }

    /// Whether the client is sending content.
    pub fn is_in_content(&self) -> bool {
        matches!(self.state, State::Content(_))
    }

    /// Whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// What the client called itself.
    pub fn client_name(&self) -> Option<&str> {
        self.hello.as_deref()
    }

    /// The sender of the open transaction, empty for the null sender.
    pub fn sender(&self) -> Option<&str> {
        self.mail.as_ref().map(|mail| mail.arguments.from.as_str())
    }

    /// The recipients accepted in the open transaction.
    pub fn recipients(&self) -> &[String] {
        self.mail.as_ref().map_or(&[], |mail| &mail.recipients)
    }

    /// Ends the session with a 421 (RFC 5321 §3.8), for a timeout or a shutdown.
    pub fn close(&mut self, reply: &Reply) {
        self.reply(reply);
        self.mail = None;
        self.state = State::Closing;
    }

    fn new_content(&self) -> Unstuffer {
        let declared = self
            .mail
            .as_ref()
            .and_then(|mail| mail.arguments.size)
            .unwrap_or(0);
        Unstuffer::new(
            self.options.message_octets_max,
            self.options.content_line_octets_max,
            usize::try_from(declared).unwrap_or(usize::MAX),
        )
    }

    fn receive_content(&mut self, rest: &[u8]) -> (usize, Option<Event>) {
        let State::Content(content) = &mut self.state else {
            return (0, None);
        };
        let (taken, ended) = content.push(rest);
        // Reading on to the end keeps the session in step; twice the limit is patience enough.
        if !ended && content.octets() / 2 > self.options.message_octets_max {
            self.close(&Reply::new(
                552,
                Some(EnhancedCode::new(5, 3, 4)),
                "message too big",
            ));
        }
        if !ended {
            return (taken, None);
        }
        let state = std::mem::replace(&mut self.state, State::Asked(Question::Message));
        let State::Content(content) = state else {
            return (taken, None);
        };
        if !self.may_send_ahead() && taken < rest.len() {
            self.lost_step();
            return (taken, None);
        }
        match content.finish() {
            Ok(message) => (taken, Some(Event::Message(message))),
            Err(fault) => {
                self.answer(&content_refusal(fault));
                (taken, None)
            }
        }
    }

    fn receive_command(&mut self, rest: &[u8]) -> (usize, Option<Event>) {
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            self.keep_line(rest);
            return (rest.len(), None);
        };
        let (piece, after) = rest.split_at_checked(end + 1).unwrap_or((rest, &[]));
        self.keep_line(piece);
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.line_is_too_long) {
            self.fault(500, EnhancedCode::new(5, 5, 6), "line too long");
            return (piece.len(), None);
        }
        let Some(line) = line.strip_suffix(b"\r\n").filter(|line| !line.contains(&b'\r')) else {
            let status = EnhancedCode::new(5, 5, 2);
            self.close(&Reply::new(500, Some(status), "lines must end with CRLF"));
            return (piece.len(), None);
        };
        match command::parse(line) {
            Ok(command) => self.run(command, piece.len(), after),
            Err(error) => {
                self.refuse_line(error);
                (piece.len(), None)
            }
        }
    }

    /// Collects a line; of one that is too long only the fact is kept.
    fn keep_line(&mut self, piece: &[u8]) {
        if self.line.len() + piece.len() > COMMAND_LINE_OCTETS_MAX {
            self.line_is_too_long = true;
        }
        if self.line_is_too_long {
            self.line.clear();
        } else {
            self.line.extend_from_slice(piece);
        }
    }

    fn run(&mut self, command: Command, taken: usize, after: &[u8]) -> (usize, Option<Event>) {
        self.idle_commands += 1;
        if self.idle_commands > IDLE_COMMANDS_MAX {
            let status = EnhancedCode::new(4, 7, 0);
            self.close(&Reply::new(
                421,
                Some(status),
                "too many commands without a message",
            ));
            return (taken, None);
        }
        if command == Command::StartTls && !after.is_empty() {
            // What was sent ahead of the handshake in clear must never be run after it
            // (the injection behind CVE-2011-0411).
            self.fault(501, EnhancedCode::new(5, 5, 4), "nothing may follow STARTTLS");
            return (taken + after.len(), None);
        }
        if !after.is_empty()
            && (command.must_end_its_group() || !self.may_send_ahead())
            && !matches!(command, Command::Quit | Command::Foreign)
        {
            self.lost_step();
            return (taken, None);
        }
        (taken, self.dispatch(command))
    }

    fn may_send_ahead(&self) -> bool {
        self.esmtp && self.options.offer.pipelining
    }

    fn lost_step(&mut self) {
        let status = EnhancedCode::new(5, 5, 0);
        self.close(&Reply::new(
            554,
            Some(status),
            "commands sent before the reply that allows them",
        ));
    }

    fn extension_list(&self) -> Reply {
        let offer = self.options.offer;
        let size = format!("SIZE {}", self.options.message_octets_max);
        let list = [
            (true, self.options.hostname.as_str()),
            (offer.pipelining, "PIPELINING"),
            (offer.size, size.as_str()),
            (offer.eight_bit_mime, "8BITMIME"),
            (offer.smtputf8, "SMTPUTF8"),
            (offer.starttls && !self.encrypted, "STARTTLS"),
            (true, "ENHANCEDSTATUSCODES"),
        ];
        Reply::of_lines(
            250,
            list.into_iter()
                .filter(|(offered, _)| *offered)
                .map(|(_, line)| line),
        )
    }

    /// Always `None`, so that a refusal can be returned where an event is expected.
    fn fault(&mut self, code: u16, status: EnhancedCode, text: &str) -> Option<Event> {
        self.faults += 1;
        if self.faults > FAULTS_MAX {
            self.close(&Reply::new(
                421,
                Some(EnhancedCode::new(4, 7, 0)),
                "too many errors",
            ));
        } else {
            self.reply(&Reply::new(code, Some(status), text));
        }
        None
    }

    fn reply(&mut self, reply: &Reply) {
        reply.write_to(&mut self.output);
    }
}

impl Command {
    /// Commands whose reply changes what may come next (RFC 2920 §3.1).
    fn must_end_its_group(&self) -> bool {
        matches!(
            self,
            Self::Ehlo(_) | Self::Helo(_) | Self::Data | Self::StartTls | Self::Foreign
        )
    }
}

fn content_refusal(fault: ContentError) -> Reply {
    let (code, status, text) = match fault {
        ContentError::BareLineByte => (550, EnhancedCode::new(5, 6, 0), "bare CR or LF in the content"),
        ContentError::Nul => (550, EnhancedCode::new(5, 6, 0), "NUL in the content"),
        ContentError::LineTooLong => (550, EnhancedCode::new(5, 6, 0), "line too long in the content"),
        ContentError::TooBig => (552, EnhancedCode::new(5, 3, 4), "message too big"),
    };
    Reply::new(code, Some(status), text)
}
