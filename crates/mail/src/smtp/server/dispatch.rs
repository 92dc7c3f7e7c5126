//! What each command does, and how each faulty one is refused.

use super::command::{Command, CommandError, MailArguments};
use super::{Event, Question, Server, State};
use crate::smtp::path::PathError;
use crate::smtp::reply::{EnhancedCode, Reply};

impl Server {
    pub(super) fn dispatch(&mut self, command: Command) -> Option<Event> {
        let ok = |text| Reply::new(250, Some(EnhancedCode::new(2, 0, 0)), text);
        match command {
            Command::Ehlo(name) => self.hello(name, true),
            Command::Helo(name) => self.hello(name, false),
            Command::StartTls => self.start_tls(),
            Command::Mail(arguments) => self.mail(arguments),
            Command::Rcpt(to) => self.rcpt(to),
            Command::Data => self.data(),
            Command::Rset => {
                self.mail = None;
                self.reply(&ok("forgotten"));
                None
            }
            Command::Noop => {
                self.reply(&ok("nothing done"));
                None
            }
            Command::Vrfy => {
                let status = EnhancedCode::new(2, 5, 2);
                self.reply(&Reply::new(252, Some(status), "send some mail, and see"));
                None
            }
            Command::Quit => {
                self.close(&Reply::new(221, Some(EnhancedCode::new(2, 0, 0)), "bye"));
                None
            }
            Command::Foreign => {
                self.close(&Reply::new(
                    421,
                    Some(EnhancedCode::new(4, 7, 0)),
                    "this is an SMTP server",
                ));
                None
            }
        }
    }

    fn hello(&mut self, name: String, esmtp: bool) -> Option<Event> {
        // EHLO resets like RSET, whatever its answer (RFC 5321 §4.1.4).
        self.mail = None;
        self.ask(
            Question::Hello {
                name: name.clone(),
                esmtp,
            },
            Event::Hello { name, esmtp },
        )
    }

    fn start_tls(&mut self) -> Option<Event> {
        if !self.options.offer.starttls {
            return self.fault(502, EnhancedCode::new(5, 5, 1), "command not implemented");
        }
        if self.encrypted || self.mail.is_some() {
            return self.fault(503, EnhancedCode::new(5, 5, 1), "not now");
        }
        self.ask(Question::StartTls, Event::StartTls)
    }

    fn mail(&mut self, arguments: MailArguments) -> Option<Event> {
        let offer = self.options.offer;
        if self.hello.is_none() {
            return self.fault(503, EnhancedCode::new(5, 5, 1), "say EHLO first");
        }
        if self.mail.is_some() {
            return self.fault(503, EnhancedCode::new(5, 5, 1), "sender already given");
        }
        let has_parameter = arguments.size.is_some() || arguments.eight_bit || arguments.smtputf8;
        let unknown = (has_parameter && !self.esmtp)
            || (arguments.size.is_some() && !offer.size)
            || (arguments.eight_bit && !offer.eight_bit_mime)
            || (arguments.smtputf8 && !offer.smtputf8);
        if unknown {
            return self.fault(555, EnhancedCode::new(5, 5, 4), "parameter not offered");
        }
        if !arguments.smtputf8 && !arguments.from.is_ascii() {
            return self.fault(553, EnhancedCode::new(5, 6, 7), "address needs SMTPUTF8");
        }
        let octets_max = u64::try_from(self.options.message_octets_max).unwrap_or(u64::MAX);
        if arguments.size.is_some_and(|size| size > octets_max) {
            let status = EnhancedCode::new(5, 3, 4);
            self.reply(&Reply::new(552, Some(status), "message too big"));
            return None;
        }
        let event = Event::Mail {
            from: arguments.from.clone(),
            size: arguments.size,
            eight_bit: arguments.eight_bit,
            smtputf8: arguments.smtputf8,
        };
        self.ask(Question::Mail(arguments), event)
    }

    fn rcpt(&mut self, to: String) -> Option<Event> {
        let Some(mail) = &self.mail else {
            return self.fault(503, EnhancedCode::new(5, 5, 1), "no sender given");
        };
        if !mail.arguments.smtputf8 && !to.is_ascii() {
            return self.fault(553, EnhancedCode::new(5, 6, 7), "address needs SMTPUTF8");
        }
        if mail.recipients.len() >= self.options.recipients_max {
            let status = EnhancedCode::new(4, 5, 3);
            self.reply(&Reply::new(452, Some(status), "too many recipients"));
            return None;
        }
        self.ask(Question::Rcpt(to.clone()), Event::Rcpt { to })
    }

    fn data(&mut self) -> Option<Event> {
        if self.mail.is_none() {
            return self.fault(503, EnhancedCode::new(5, 5, 1), "no sender given");
        }
        if self.recipients().is_empty() {
            // After RCPTs that were refused this is an honest pipelining client: no fault.
            let status = EnhancedCode::new(5, 5, 1);
            self.reply(&Reply::new(554, Some(status), "no valid recipients"));
            return None;
        }
        self.ask(Question::Data, Event::Data)
    }

    fn ask(&mut self, question: Question, event: Event) -> Option<Event> {
        self.state = State::Asked(question);
        Some(event)
    }

    pub(super) fn refuse_line(&mut self, error: CommandError) {
        let status = EnhancedCode::new;
        match error {
            CommandError::BadOctets => self.fault(500, status(5, 5, 2), "unreadable command"),
            CommandError::Unknown => self.fault(500, status(5, 5, 1), "unknown command"),
            CommandError::NotImplemented => self.fault(502, status(5, 5, 1), "command not implemented"),
            CommandError::Arguments => self.fault(501, status(5, 5, 4), "bad argument"),
            CommandError::Parameter => self.fault(555, status(5, 5, 4), "parameter not offered"),
            CommandError::Path(PathError::NotBracketed) => {
                self.fault(501, status(5, 5, 4), "an address must stand in angle brackets")
            }
            CommandError::Path(PathError::Malformed) => {
                self.fault(553, status(5, 1, 3), "not a valid mailbox")
            }
            CommandError::Path(PathError::TooLong) => self.fault(553, status(5, 1, 3), "address too long"),
        };
    }
}
