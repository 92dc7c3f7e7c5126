//! The script plays the server; the real client machine speaks.

use sealwright_mail::smtp::client::{Finished, Login};
use sealwright_mail::smtp::{Client, Envelope, Outcome, Reason, TlsMode, Turn};

use crate::script::{Pace, Script, Step, pieces};

pub(crate) fn play(script: &Script, pace: Pace) {
    let mut player = Player {
        client: client(script),
        finished: None,
    };
    for (line, step) in &script.steps {
        let place = format!("{}:{line} ({pace:?})", script.name);
        match step {
            Step::Client(expected) => {
                let said = player.client.take_output();
                assert_eq!(text(&said), text(expected), "{place}");
            }
            Step::Server(octets) => {
                assert_eq!(
                    text(&player.client.take_output()),
                    "",
                    "{place}: the client said more than written"
                );
                for piece in pieces(octets, pace) {
                    player.client.receive(piece);
                }
            }
            Step::Message(_) => panic!("{place}: m == is for server dialogues"),
            Step::Directive(words) => player.direct(words, &place),
        }
    }
    let said = player.client.take_output();
    assert_eq!(
        text(&said),
        "",
        "{}: the client said more than written",
        script.name
    );
}

/// `= login name password`
fn client(script: &Script) -> Client {
    let client = Client::new("client.example", tls_mode(script));
    let login = script.steps.iter().find_map(|(_, step)| match step {
        Step::Directive(words) => match &words[..] {
            [word, username, password] if word == "login" => Some(Login {
                username: username.clone(),
                password: password.clone(),
            }),
            _ => None,
        },
        _ => None,
    });
    match login {
        Some(login) => client.logging_in(login),
        None => client,
    }
}

fn tls_mode(script: &Script) -> TlsMode {
    let has = |mode: &str| {
        script
            .steps
            .iter()
            .any(|(_, step)| matches!(step, Step::Directive(words) if words[..] == ["tls", mode]))
    };
    if has("implicit") {
        TlsMode::Implicit
    } else if has("required") {
        TlsMode::Required
    } else if has("opportunistic") {
        TlsMode::Opportunistic
    } else {
        TlsMode::Off
    }
}

struct Player {
    client: Client,
    finished: Option<Finished>,
}

impl Player {
    fn direct(&mut self, words: &[String], place: &str) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["tls", "implicit" | "required" | "opportunistic" | "off"] | ["login", ..] => {}
            ["tls", "started"] => {
                assert_eq!(self.client.turn(), Turn::Upgrade, "{place}");
                self.client.tls_started();
            }
            ["send", rest @ ..] => self.client.begin(&envelope(rest)),
            ["dot"] => {
                assert_eq!(self.client.turn(), Turn::Content, "{place}");
                self.client.finish();
            }
            ["dot", "withheld"] => {
                self.client.finish();
                assert_eq!(text(&self.client.take_output()), "", "{place}: the dot was sent");
            }
            ["quit"] => self.client.quit(),
            ["cut"] => self.client.lost(),
            ["timeout"] => self.client.timed_out(),
            ["ready"] => assert_eq!(self.client.turn(), Turn::Ready, "{place}"),
            ["content"] => assert_eq!(self.client.turn(), Turn::Content, "{place}"),
            ["closed"] => assert_eq!(self.client.turn(), Turn::Closed, "{place}"),
            ["closed:", reason @ ..] => {
                let failure = format!("{:?}", self.client.failure());
                assert!(failure.contains(&reason.join(" ")), "{place}: {failure}");
            }
            ["in", "doubt"] => assert!(self.finished(place).in_doubt, "{place}: not in doubt"),
            ["certain"] => assert!(!self.finished(place).in_doubt, "{place}: in doubt"),
            [index, kind, reason @ ..] => {
                self.check_outcome(index.parse().unwrap(), kind, &reason.join(" "), place)
            }
            other => panic!("{place}: unknown directive {other:?}"),
        }
    }

    fn finished(&mut self, place: &str) -> Finished {
        if let Some(finished) = self.client.take_finished() {
            self.finished = Some(finished);
        }
        self.finished
            .clone()
            .unwrap_or_else(|| panic!("{place}: the transaction is not over"))
    }

    fn check_outcome(&mut self, number: usize, kind: &str, reason: &str, place: &str) {
        let finished = self.finished(place);
        let outcome = &finished.recipients[number - 1];
        let (found_kind, found_reason) = match outcome {
            Outcome::Delivered(reply) => ("delivered", reply.code().to_string()),
            Outcome::Deferred(Reason::Reply(reply)) => ("deferred", reply.code().to_string()),
            Outcome::Failed(Reason::Reply(reply)) => ("failed", reply.code().to_string()),
            Outcome::Deferred(Reason::Local(local)) => ("deferred", local.to_string()),
            Outcome::Failed(Reason::Local(local)) => ("failed", local.to_string()),
        };
        assert_eq!(found_kind, kind, "{place}: {found_reason}");
        assert!(found_reason.contains(reason), "{place}: {found_reason}");
    }
}

/// `from=a@b to=c@d,e@f size=1 smtputf8 8bit reports requiretls`
fn envelope(words: &[&str]) -> Envelope {
    let value = |key: &str| words.iter().find_map(|word| word.strip_prefix(key));
    Envelope {
        from: value("from=").unwrap_or_default().to_owned(),
        to: value("to=")
            .unwrap()
            .split(',')
            .map(|to| to.replace("\\r\\n", "\r\n"))
            .collect(),
        size: value("size=").map_or(100, |size| size.parse().unwrap()),
        smtputf8: words.contains(&"smtputf8"),
        eight_bit: words.contains(&"8bit"),
        wants_reports: words.contains(&"reports"),
        require_tls: words.contains(&"requiretls"),
    }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).replace("\r\n", "\n")
}
