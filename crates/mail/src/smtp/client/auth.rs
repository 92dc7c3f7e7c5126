//! Logging in (RFC 4954): PLAIN (RFC 4616) where it is offered, LOGIN otherwise; over TLS, and never in clear text.

use super::{Awaited, Client, Failure, ProtocolError, State, Verb};
use crate::smtp::reply::{Reply, Severity};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::VecDeque;
use std::fmt;

/// Who a client is to a server that asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub username: String,
    /// What proves it.
    pub password: String,
}

/// Neither is for anybody to read.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

/// The client's lines of a mechanism: the command, and an answer to each 334.
fn lines(login: &Login, plain: bool) -> VecDeque<String> {
    let Login { username, password } = login;
    if plain {
        let message = format!("\0{username}\0{password}");
        return VecDeque::from([format!("AUTH PLAIN {}", STANDARD.encode(message))]);
    }
    VecDeque::from([
        "AUTH LOGIN".to_owned(),
        STANDARD.encode(username),
        STANDARD.encode(password),
    ])
}

impl Client {
    /// A client that logs in before anything else. It does so over TLS only: a connection without is given up.
    #[must_use]
    pub fn logging_in(mut self, login: Login) -> Self {
        self.login = Some(login);
        self
    }

    /// The connection is as encrypted as it will be: logs in, or is ready.
    pub(super) fn choose_login(&mut self) {
        let Some(login) = &self.login else {
            self.state = State::Ready;
            return;
        };
        if !self.encrypted {
            return self.fail(Failure::TlsNotOffered);
        }
        let offered = (self.extensions.auth_plain, self.extensions.auth_login);
        if offered == (false, false) {
            return self.fail(Failure::LoginNotOffered);
        }
        self.login_lines = lines(login, offered.0);
        self.say_login_line();
    }

    /// Says the next line; a server that asks for more than the mechanism has is out of step.
    fn say_login_line(&mut self) -> bool {
        let line = self.login_lines.pop_front();
        if let Some(line) = &line {
            self.say(Awaited::Step(Verb::Auth), line);
        }
        line.is_some()
    }

    pub(super) fn after_auth(&mut self, reply: &Reply) {
        match reply.severity() {
            Severity::Positive if self.login_lines.is_empty() => self.state = State::Ready,
            Severity::Intermediate if self.say_login_line() => {}
            Severity::Positive | Severity::Intermediate => {
                self.fail(Failure::Protocol(
                    Verb::Auth,
                    ProtocolError::Unexpected(reply.code()),
                ));
            }
            Severity::Transient | Severity::Permanent => {
                self.fail(Failure::Refused(Verb::Auth, reply.clone()));
            }
        }
    }
}
