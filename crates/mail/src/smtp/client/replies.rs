//! What each reply means: one method per step.

use super::{Awaited, Client, Extensions, Failure, ProtocolError, State, TlsMode, Verb};
use crate::smtp::outcome::Outcome;
use crate::smtp::reply::{Reply, Severity};

impl Client {
    pub(super) fn handle(&mut self, reply: &Reply) {
        let step = self.step();
        let awaited = self.awaited.pop_front();
        if reply.code() == 421 && !matches!(self.state, State::Quitting) {
            return self.fail(Failure::Refused(step, reply.clone()));
        }
        match awaited {
            Some(Awaited::Step(Verb::Greeting)) => self.after_greeting(reply),
            Some(Awaited::Step(Verb::Ehlo | Verb::Helo)) => self.after_hello(step, reply),
            Some(Awaited::Step(Verb::StartTls)) => self.after_start_tls(reply),
            Some(Awaited::Step(Verb::Auth)) => self.after_auth(reply),
            Some(Awaited::Step(Verb::Rset)) => self.after_reset(reply),
            Some(Awaited::Step(Verb::Mail)) => self.after_mail(reply),
            Some(Awaited::Rcpt(index)) => self.after_rcpt(index, reply),
            Some(Awaited::Step(Verb::Data)) => self.after_data(reply),
            Some(Awaited::Step(Verb::Dot)) => self.after_dot(reply),
            Some(Awaited::Step(Verb::Quit)) => self.fail(Failure::Quit),
            Some(Awaited::Step(Verb::Rcpt | Verb::Content)) | None => self.unsolicited(reply),
        }
        self.send_planned();
    }

    fn after_greeting(&mut self, reply: &Reply) {
        match reply.severity() {
            Severity::Positive => self.say_hello(Verb::Ehlo),
            Severity::Intermediate => self.unexpected(Verb::Greeting, reply),
            Severity::Transient | Severity::Permanent => {
                self.fail(Failure::Refused(Verb::Greeting, reply.clone()));
            }
        }
    }

    fn after_hello(&mut self, step: Verb, reply: &Reply) {
        match reply.severity() {
            Severity::Positive => {
                self.extensions = match step {
                    Verb::Ehlo => Extensions::of_reply(reply),
                    _ => Extensions::default(),
                };
                self.choose_tls();
            }
            // An old server that knows no EHLO; it can't know STARTTLS either.
            Severity::Permanent if step == Verb::Ehlo => self.say_hello(Verb::Helo),
            Severity::Intermediate => self.unexpected(step, reply),
            Severity::Transient | Severity::Permanent => self.fail(Failure::Refused(step, reply.clone())),
        }
    }

    fn choose_tls(&mut self) {
        let offered = self.extensions.starttls;
        match self.tls {
            _ if self.encrypted => self.choose_login(),
            TlsMode::Opportunistic | TlsMode::Required if offered => {
                self.say(Awaited::Step(Verb::StartTls), "STARTTLS");
            }
            TlsMode::Required | TlsMode::Implicit => self.fail(Failure::TlsNotOffered),
            TlsMode::Off | TlsMode::Opportunistic => self.choose_login(),
        }
    }

    fn after_start_tls(&mut self, reply: &Reply) {
        match reply.severity() {
            Severity::Positive => {
                self.extensions = Extensions::default();
                self.state = State::Upgrading;
            }
            Severity::Intermediate => self.unexpected(Verb::StartTls, reply),
            Severity::Transient | Severity::Permanent if self.tls == TlsMode::Required => {
                self.fail(Failure::Refused(Verb::StartTls, reply.clone()));
            }
            // Offered but out of order: clear text was good enough for this mode anyway.
            Severity::Transient | Severity::Permanent => self.choose_login(),
        }
    }

    /// RSET can't fail (RFC 5321 §4.3.2); a server where it does is of no use, but that says nothing
    /// about the message.
    fn after_reset(&mut self, reply: &Reply) {
        if reply.severity() != Severity::Positive {
            self.unexpected(Verb::Rset, reply);
        }
    }

    fn after_mail(&mut self, reply: &Reply) {
        match reply.severity() {
            Severity::Positive => {}
            Severity::Intermediate => self.unexpected(Verb::Mail, reply),
            Severity::Transient | Severity::Permanent => {
                self.decide_open(&Outcome::refused(reply));
                // Commands on their way can't be called back; the others need not be sent.
                self.plan.clear();
                if self.awaited.is_empty() {
                    self.end_transaction(true);
                }
            }
        }
    }

    fn after_rcpt(&mut self, index: usize, reply: &Reply) {
        match (reply.severity(), &mut self.transaction) {
            (Severity::Intermediate, _) => self.unexpected(Verb::Rcpt, reply),
            (_, Some(progress)) => progress.rcpt_answered(index, reply),
            (_, None) => {}
        }
        if matches!(self.state, State::Envelope) && self.awaited.is_empty() && self.plan.is_empty() {
            self.end_transaction(true);
        }
    }

    fn after_data(&mut self, reply: &Reply) {
        match reply.severity() {
            Severity::Intermediate if self.has_accepted_recipient() => self.state = State::Content,
            Severity::Intermediate => {
                self.state = State::LoneDot;
                self.say(Awaited::Step(Verb::Dot), ".");
            }
            Severity::Positive => self.unexpected(Verb::Data, reply),
            Severity::Transient | Severity::Permanent => {
                self.decide_open(&Outcome::refused(reply));
                self.end_transaction(true);
            }
        }
    }

    fn after_dot(&mut self, reply: &Reply) {
        match reply.severity() {
            Severity::Intermediate => self.unexpected(Verb::Dot, reply),
            Severity::Positive => {
                // After a lone dot everybody is decided already, so this credits nobody.
                self.decide_open(&Outcome::Delivered(reply.clone()));
                self.end_transaction(false);
            }
            Severity::Transient | Severity::Permanent => {
                self.decide_open(&Outcome::refused(reply));
                self.end_transaction(true);
            }
        }
    }

    /// A reply while it is the caller's turn. A refusal during the content means that the server
    /// has given up on it: nothing was delivered, and the two sides are out of step.
    fn unsolicited(&mut self, reply: &Reply) {
        let is_refusal = matches!(reply.severity(), Severity::Transient | Severity::Permanent);
        if is_refusal && matches!(self.state, State::Content) {
            self.fail(Failure::Refused(Verb::Content, reply.clone()));
        } else {
            self.fail_protocol(ProtocolError::Unsolicited);
        }
    }

    fn unexpected(&mut self, verb: Verb, reply: &Reply) {
        self.fail(Failure::Protocol(verb, ProtocolError::Unexpected(reply.code())));
    }
}
