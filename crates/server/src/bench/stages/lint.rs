//! The last look at a message before it leaves.

use super::super::ground::Ground;
use super::super::letter::{Chance, DOMAIN, Letter};
use super::super::meter::{Measured, Meter, Stopwatch};
use super::super::{BenchError, failed};
use crate::features::delivery::{Expected, Verifier, lint};
use sealwright_mail::address::{Domain, Mailbox};
use sealwright_mail::compose::{self, compose};
use sealwright_mail::dkim::{Signer, SigningKey};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Letters that take turns.
const LETTERS: u64 = 64;
const SELECTOR: &str = "sw1";
const MESSAGE_ID: &str = "em_1@sender.example";
const SENT_AT_S: i64 = 1_795_305_600;

struct Signed {
    from: Mailbox,
    subject: String,
    message: Vec<u8>,
    fields: Vec<u8>,
}

/// Signed letters, and what reads them.
pub(super) struct Letters {
    verifier: Verifier,
    signed: Vec<Signed>,
    published: Vec<(String, String)>,
}

impl Letters {
    pub(super) async fn write(ground: &Ground) -> Result<Arc<Self>, BenchError> {
        let html_bytes = ground.options.body_bytes;
        let write = move || {
            let what = "a signed letter";
            let (_, key) = SigningKey::generate_rsa_2048().map_err(failed(what))?;
            let published = vec![(format!("{SELECTOR}._domainkey.{DOMAIN}"), key.dns_record())];
            let domain = Domain::parse(DOMAIN).map_err(failed(what))?;
            let signer = Signer::new(Arc::new(key), &domain, SELECTOR).map_err(failed(what))?;
            let mut chance = Chance::new(6);
            let letters =
                (0..LETTERS).map(|number| sign(&signer, Letter::write(number, html_bytes, &mut chance)));
            Ok(Arc::new(Self {
                verifier: Verifier::new().map_err(failed(what))?,
                signed: letters.collect::<Result<_, _>>()?,
                published,
            }))
        };
        tokio::task::spawn_blocking(write)
            .await
            .map_err(failed("a letter"))?
    }

    /// Looks at letters on all cores for a period.
    pub(super) async fn look(self: &Arc<Self>, ground: &Ground) -> Result<Measured, BenchError> {
        let period = ground.options.period;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut tasks = JoinSet::new();
        let (meter, watch) = (Meter::start()?, Stopwatch::start());
        for _ in 0..cores {
            let letters = Arc::clone(self);
            tasks.spawn_blocking(move || {
                let mut looked = 0;
                while watch.elapsed() < period {
                    for letter in &letters.signed {
                        let expected = Expected {
                            from: &letter.from,
                            subject: &letter.subject,
                            message_id: MESSAGE_ID,
                            published: &letters.published,
                        };
                        let found = lint(&letters.verifier, &letter.fields, &letter.message, &expected);
                        found.map_err(failed("a letter"))?;
                    }
                    looked += LETTERS;
                }
                Ok::<_, BenchError>(looked)
            });
        }
        let mut looked = 0;
        while let Some(task) = tasks.join_next().await {
            looked += task.map_err(failed("a look"))??;
        }
        meter.stop(looked, Vec::new())
    }
}

fn sign(signer: &Signer, letter: Letter) -> Result<Signed, BenchError> {
    let draft = letter.draft()?;
    let composed = compose(&compose::Draft {
        from: &draft.from,
        to: &draft.to,
        cc: &[],
        reply_to: &[],
        subject: &draft.subject,
        message_id: MESSAGE_ID,
        date_unix_s: SENT_AT_S,
        headers: &[],
        text: draft.text.as_deref(),
        html: draft.html.as_deref(),
        amp: None,
        attachments: &[],
        boundary_seed: "1",
    });
    let fields = signer.sign(&composed.bytes, composed.body_start, SENT_AT_S);
    Ok(Signed {
        fields: fields.map_err(failed("a signature"))?,
        message: composed.bytes,
        subject: draft.subject.as_str().to_owned(),
        from: draft.from,
    })
}
