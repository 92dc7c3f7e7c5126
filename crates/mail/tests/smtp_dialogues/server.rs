//! The script plays the client; the real server machine answers, under a small policy.

use sealwright_mail::smtp::{EnhancedCode, Event, Offer, Reply, Server, ServerOptions};

use crate::script::{Pace, Script, Step, pieces};

pub(crate) fn play(script: &Script, pace: Pace) {
    let mut player = Player {
        server: Server::new(options(script)),
        said: Vec::new(),
        messages: Vec::new(),
    };
    player.said.extend(player.server.take_output());
    for (line, step) in &script.steps {
        let place = format!("{}:{line} ({pace:?})", script.name);
        match step {
            Step::Client(octets) => {
                for piece in pieces(octets, pace) {
                    player.hear(piece);
                }
            }
            Step::Server(expected) => {
                let said = std::mem::take(&mut player.said);
                assert_eq!(text(&said), text(expected), "{place}");
            }
            Step::Message(expected) => {
                assert!(!player.messages.is_empty(), "{place}: no message was handed over");
                assert_eq!(text(&player.messages.remove(0)), text(expected), "{place}");
            }
            Step::Directive(words) => player.direct(words, &place),
        }
    }
    assert_eq!(
        text(&player.said),
        "",
        "{}: the server said more than written",
        script.name
    );
    assert_eq!(
        player.messages.len(),
        0,
        "{}: messages that are not written",
        script.name
    );
}

/// `= offer …` names the extensions and limits, and must come first.
fn options(script: &Script) -> ServerOptions {
    let mut options = ServerOptions::new("mx.example");
    options.message_octets_max = 1000;
    options.recipients_max = 3;
    options.content_line_octets_max = 700;
    if let Some((_, Step::Directive(words))) = script.steps.first()
        && words.first().is_some_and(|word| word == "offer")
    {
        let has = |name: &str| words.iter().any(|word| word == name);
        options.offer = Offer {
            pipelining: has("pipelining"),
            size: has("size"),
            eight_bit_mime: has("8bitmime"),
            smtputf8: has("smtputf8"),
            starttls: has("starttls"),
        };
    }
    options
}

struct Player {
    server: Server,
    said: Vec<u8>,
    messages: Vec<Vec<u8>>,
}

impl Player {
    fn hear(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            let received = self.server.receive(input);
            input = &input[received.taken..];
            match received.event {
                Some(event) => self.decide(event),
                None if received.taken == 0 => panic!("the server took nothing: {:?}", text(input)),
                None => {}
            }
            self.said.extend(self.server.take_output());
        }
    }

    /// Senders and recipients named `refused` and `later` are treated so; all else is accepted.
    fn decide(&mut self, event: Event) {
        let name = match &event {
            Event::Mail { from: address, .. } | Event::Rcpt { to: address } => {
                address.split('@').next().unwrap_or_default().to_owned()
            }
            Event::Hello { name, .. } => name.clone(),
            Event::StartTls | Event::Data | Event::Message(_) => String::new(),
        };
        match name.as_str() {
            "refused" => self
                .server
                .refuse(&Reply::new(550, Some(EnhancedCode::new(5, 7, 1)), "refused")),
            "later" => self
                .server
                .refuse(&Reply::new(451, Some(EnhancedCode::new(4, 7, 1)), "later")),
            "goodbye" => self
                .server
                .refuse(&Reply::new(421, Some(EnhancedCode::new(4, 3, 2)), "going down")),
            _ => self.server.accept(),
        }
        if let Event::Message(content) = event {
            self.messages.push(content);
        }
    }

    fn direct(&mut self, words: &[String], place: &str) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["offer", ..] => {}
            ["closed"] => assert!(self.server.is_closing(), "{place}: still open"),
            ["open"] => assert!(!self.server.is_closing(), "{place}: closed"),
            ["tls"] => {
                assert!(self.server.is_upgrading(), "{place}: no handshake due");
                self.server.tls_started();
            }
            ["recipients", list @ ..] => assert_eq!(self.server.recipients(), list, "{place}"),
            other => panic!("{place}: unknown directive {other:?}"),
        }
    }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).replace("\r\n", "\n")
}
