//! Relays that are SMTP servers: one connection a mail, encrypted and logged in before anything of the mail is said.

use super::attempt::{AttemptError, NotStarted, Work, envelope_addresses};
use super::exchange::Exchange;
use super::relaying::{Asked, Relayed, answered, fate_of};
use super::ways::{Answered, Way};
use super::wire::{self, ConnectOptions, Connection, Target, Timeouts, Transaction, WireFailure};
use super::{Delivery, facts};
use crate::features::relays::{Candidate, LogIn, Server, Trial, Verdict, smtp_verdict};
use crate::platform::net::{Dns, Guard, Host};
use rustls::pki_types::CertificateDer;
use sealwright_mail::address::Mailbox;
use std::net::SocketAddr;
use std::sync::Arc;

/// How SMTP relays are reached.
pub struct Submission {
    dns: Dns,
    guard: Guard,
    connect: ConnectOptions,
}

impl Submission {
    /// Calls itself `ehlo_name`; takes certificates of the public authorities and of `extra_roots`.
    ///
    /// # Errors
    /// When one of those is not a certificate.
    pub fn new(
        dns: Dns,
        guard: Guard,
        ehlo_name: String,
        extra_roots: &[CertificateDer<'_>],
    ) -> Result<Self, rustls::Error> {
        let connect = ConnectOptions {
            ehlo_name,
            tls: wire::TlsMode::Implicit,
            tls_config: wire::verifying_config(extra_roots)?,
            timeouts: Timeouts::default(),
            source: None,
            login: None,
        };
        Ok(Self { dns, guard, connect })
    }

    /// The first of the host's addresses; none if the guard refuses any of them.
    async fn target(&self, server: &Server) -> Result<Target, WireFailure> {
        let found = match &server.host {
            Host::Ip(ip) => Ok(vec![*ip]),
            Host::Name(name) => self.dns.lookup_ip(name).await,
        };
        let ips = found.map_err(|_| WireFailure::before("the relay's host can't be looked up now"))?;
        let refused = WireFailure::before("the relay's host has an address that may not be reached");
        self.guard.check_all(&ips).map_err(|_| refused)?;
        let ip = ips
            .first()
            .ok_or_else(|| WireFailure::before("the relay's host has no address"))?;
        let host = match &server.host {
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name) => name.clone(),
        };
        Ok(Target {
            host,
            addr: SocketAddr::new(*ip, server.port),
        })
    }

    async fn open(&self, server: &Server) -> Result<(Connection, Target), WireFailure> {
        let target = self.target(server).await?;
        let options = ConnectOptions {
            tls: server.tls,
            login: Some(server.login.clone()),
            ..self.connect.clone()
        };
        Ok((Connection::open(&target, &options).await?, target))
    }
}

impl LogIn for Submission {
    async fn log_in(&self, server: &Server) -> Trial {
        match self.open(server).await {
            Ok((connection, _)) => {
                connection.quit().await;
                Trial {
                    are_taken: Some(true),
                    message: "the server takes the credentials".to_owned(),
                }
            }
            Err(failure) => Trial {
                are_taken: is_login_refused(&failure).then_some(false),
                message: match &failure.reply {
                    Some(reply) => format!("the server refuses with {}", reply.code()),
                    None => failure.reason,
                },
            },
        }
    }
}

/// Whether it was the credentials that the server does not take, for good.
fn is_login_refused(failure: &WireFailure) -> bool {
    failure.permanent && failure.steps.last().is_some_and(|step| step.verb == "AUTH")
}

fn verdict_of_failure(failure: &WireFailure) -> Verdict {
    let why = failure.reason.clone();
    if is_login_refused(failure) {
        Verdict::Broken { why }
    } else {
        Verdict::Later { why, wait: None }
    }
}

fn verdict_of(transaction: &Transaction) -> Verdict {
    let is_refusal = |step: &wire::Step| step.verb == "RCPT" && step.code.is_some_and(|code| code >= 500);
    let are_of_recipients = transaction.steps.iter().any(is_refusal);
    smtp_verdict(&transaction.recipients, transaction.in_doubt, are_of_recipients)
}

impl Delivery {
    /// Gives the mail to an SMTP relay, once.
    pub(super) async fn submit(
        &self,
        work: &Work,
        candidate: &Candidate,
        server: &Server,
        from: &Mailbox,
        message: &Arc<[u8]>,
    ) -> Result<Asked, AttemptError> {
        let to = envelope_addresses(work.open())?;
        let signature = match self.sign(work, from, message).await? {
            Ok(signature) => signature,
            Err(finding) => {
                let (exchange, answered) = (self.held(work, &finding).await, Answered::Done);
                return Ok(Ok(Relayed { exchange, answered }));
            }
        };
        let envelope = self.envelope(work, from, &to, &signature, message).await?;
        let (mut connection, target) = match self.relaying.submission.open(server).await {
            Ok(opened) => opened,
            Err(failure) => {
                let verdict = verdict_of_failure(&failure);
                self.note(work, candidate, &verdict).await;
                let (fate, answered) = fate_of(&verdict, to.len());
                let mut exchange = Exchange::of_all(to.len(), &fate);
                exchange.steps = failure.steps;
                return Ok(Ok(Relayed { exchange, answered }));
            }
        };
        let mut steps = connection.take_steps();
        let way = Way::Relay(candidate.id.clone());
        let mark = self.mark_started(work, &way);
        let parts = [&signature[..], &message[..]];
        let transaction = match connection.send(&envelope, &parts, mark).await {
            Ok(transaction) => transaction,
            // The connection goes with what was said over it.
            Err(NotStarted::Suppressed(found)) => return Ok(Err(found)),
            Err(NotStarted::Job(error)) => {
                let (exchange, answered) = (self.not_marked(work, &error), Answered::NotTaken);
                return Ok(Ok(Relayed { exchange, answered }));
            }
        };
        let tls = connection.tls().cloned();
        // Nothing of the mail waits for the goodbye, which ends within seconds.
        drop(tokio::spawn(connection.quit()));
        let verdict = verdict_of(&transaction);
        self.note(work, candidate, &verdict).await;
        let mut exchange = match &verdict {
            Verdict::Broken { .. } | Verdict::Unfit { .. } => {
                Exchange::of_all(to.len(), &fate_of(&verdict, to.len()).0)
            }
            _ => Exchange {
                fates: facts::fates_of(&transaction),
                ..Exchange::of_all(0, &super::exchange::Fate::deferred(""))
            },
        };
        steps.extend(transaction.steps);
        (exchange.steps, exchange.tls) = (steps, tls);
        (exchange.host, exchange.address) = (Some(target.host), Some(target.addr.ip().to_string()));
        exchange.is_in_doubt = transaction.in_doubt;
        let answered = match &verdict {
            Verdict::Broken { .. } | Verdict::Unfit { .. } => Answered::NotTaken,
            _ => answered(&exchange),
        };
        Ok(Ok(Relayed { exchange, answered }))
    }
}
