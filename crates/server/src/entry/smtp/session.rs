//! One SMTP connection: the state machine, fed and answered.

use super::Options;
use crate::features::returns::{self, Addressee, Received, Refused};
use crate::limits::{SMTP_IDLE_TIMEOUT, SMTP_MESSAGES_MAX, SMTP_SESSION_TIMEOUT, TLS_HANDSHAKE_TIMEOUT};
use crate::metrics::KindLabel;
use crate::platform::jobs::Stop;
use sealwright_mail::smtp::{EnhancedCode, Event, Reply, Server};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// A session; an error names why we ended it.
pub(super) struct Session {
    options: Arc<Options>,
    server: Server,
    /// Whom the open transaction is for, in the order of its recipients.
    to: Vec<Addressee>,
    messages: u32,
}

/// How a stretch of a session ended.
enum Stretch {
    /// The handshake is due.
    Upgrade,
    /// It is over.
    Over,
}

impl Session {
    pub(super) fn new(options: Arc<Options>) -> Self {
        Self {
            server: Server::new(options.server()),
            options,
            to: Vec::new(),
            messages: 0,
        }
    }

    pub(super) fn options(&self) -> Arc<Options> {
        Arc::clone(&self.options)
    }

    /// Speaks until either side ends it, or its time is over.
    pub(super) async fn run(mut self, stream: TcpStream, stop: Stop) -> Result<(), &'static str> {
        match timeout(SMTP_SESSION_TIMEOUT, self.speak(stream, stop)).await {
            Ok(ended) => ended,
            Err(_) => Err("session"),
        }
    }

    async fn speak(&mut self, mut stream: TcpStream, mut stop: Stop) -> Result<(), &'static str> {
        // Only a hint to the system.
        let _ = stream.set_nodelay(true);
        if let Stretch::Over = self.converse(&mut stream, &mut stop).await? {
            return Ok(());
        }
        let tls = Arc::clone(&self.options.tls);
        let handshake = timeout(TLS_HANDSHAKE_TIMEOUT, tls.accept(stream));
        let (mut stream, _) = match handshake.await {
            Ok(Ok(encrypted)) => encrypted,
            Ok(Err(error)) => return Err(error.name()),
            Err(_) => return Err("handshake"),
        };
        self.server.tls_started();
        self.converse(&mut stream, &mut stop).await.map(drop)
    }

    async fn converse<S>(&mut self, stream: &mut S, stop: &mut Stop) -> Result<Stretch, &'static str>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            self.write(stream).await?;
            if self.server.is_closing() {
                // Everything was said; whether the client hears the end is its business.
                let _ = stream.shutdown().await;
                return Ok(Stretch::Over);
            }
            if self.server.is_upgrading() {
                return Ok(Stretch::Upgrade);
            }
            let read = tokio::select! {
                read = timeout(SMTP_IDLE_TIMEOUT, stream.read(&mut buffer)) => read,
                () = stop.wait() => {
                    self.server.close(&reply(421, (4, 3, 2), "this host is going down; try again"));
                    continue;
                }
            };
            match read {
                Ok(Ok(count)) if count > 0 => self.hear(buffer.get(..count).unwrap_or_default()).await,
                Ok(_) => return Ok(Stretch::Over),
                Err(_) => {
                    self.server
                        .close(&reply(421, (4, 4, 2), "nothing came for too long"));
                }
            }
        }
    }

    async fn write<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> Result<(), &'static str> {
        let output = self.server.take_output();
        let written = timeout(SMTP_IDLE_TIMEOUT, async {
            stream.write_all(&output).await?;
            stream.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            // It is gone.
            Ok(Err(error)) if error.kind() != io::ErrorKind::TimedOut => Err("lost"),
            Ok(Err(_)) | Err(_) => Err("slow_reader"),
        }
    }

    async fn hear(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            let received = self.server.receive(input);
            input = input.get(received.taken..).unwrap_or_default();
            match received.event {
                Some(event) => self.answer(event).await,
                None if received.taken == 0 => break,
                None => {}
            }
        }
    }

    async fn answer(&mut self, event: Event) {
        match event {
            Event::Hello { .. } | Event::StartTls | Event::Data => self.server.accept(),
            Event::Mail { .. } if self.messages >= SMTP_MESSAGES_MAX => {
                let enough = reply(421, (4, 7, 0), "enough for one connection; come again");
                self.server.refuse(&enough);
            }
            // Reports come from the null sender, feedback from anybody.
            Event::Mail { .. } => {
                self.to.clear();
                self.server.accept();
            }
            Event::Rcpt { to } => self.recipient(&to),
            Event::Message(message) => self.message(message).await,
        }
    }

    fn recipient(&mut self, to: &str) {
        let platform = &self.options.platform;
        let host = self.options.return_host.as_deref();
        match returns::judge(&platform.vault, host, to, platform.clock.now()) {
            Ok(addressee) => {
                self.to.push(addressee);
                self.server.accept();
            }
            Err(refused) => {
                self.count(refused.name());
                self.server.refuse(&refusal(refused));
            }
        }
    }

    /// 250 only after the commit (RFC 5321 §4.2.5): then it is ours.
    async fn message(&mut self, message: Vec<u8>) {
        self.messages += 1;
        let to = std::mem::take(&mut self.to);
        match returns::receive(&self.options.platform, &self.options.dns, &to, message).await {
            Ok(Received::Taken) => self.server.accept(),
            Ok(Received::NoFeedback) => {
                let text = "only feedback reports (RFC 5965) that name a return path of ours are read here";
                self.server.refuse(&reply(550, (5, 6, 0), text));
            }
            // RFC 7372 §3.1.
            Ok(Received::Unsigned) => {
                let text =
                    "a TLS report has to be signed (DKIM) by the domain that submits it (RFC 8460 section 3)";
                self.server.refuse(&reply(550, (5, 7, 20), text));
            }
            Ok(Received::NoTlsReport(error)) => {
                self.server.refuse(&reply(550, (5, 6, 0), &error.to_string()));
            }
            Ok(Received::TooMany) => {
                self.server.refuse(&reply(
                    452,
                    (4, 3, 1),
                    "enough TLS reports for today; try again later",
                ));
            }
            Err(error) => {
                tracing::warn!(%error, "a report could not be taken; its sender is asked to try again");
                self.server.refuse(&reply(451, (4, 3, 0), "not now; try again"));
            }
        }
    }

    fn count(&self, kind: Option<&'static str>) {
        if let Some(kind) = kind {
            let returns = &self.options.platform.metrics.returns;
            returns.get_or_create(&KindLabel { kind }).inc();
        }
    }
}

fn refusal(refused: Refused) -> Reply {
    match refused {
        Refused::Relay => reply(550, (5, 7, 1), "no mail is taken for this domain"),
        Refused::Unread => reply(
            550,
            (5, 1, 1),
            "only delivery reports and feedback are taken here; write to the author of the mail, or to abuse@",
        ),
        Refused::Forged => reply(550, (5, 1, 1), "no such return path"),
        Refused::Old => reply(550, (5, 1, 1), "this return path is no longer in use"),
    }
}

fn reply(code: u16, (class, subject, detail): (u8, u16, u16), text: &str) -> Reply {
    Reply::new(code, Some(EnhancedCode::new(class, subject, detail)), text)
}
