//! DKIM signatures, made and looked at by the other side's means on as many threads at once as there are cores, and never on those that
//! do I/O.

use super::Delivery;
use super::attempt::{AttemptError, Work};
use super::lint::{Expected, Finding, Verifier, lint};
use crate::features::emails;
use sealwright_mail::address::Mailbox;
use sealwright_mail::dkim::DkimError;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Bounds how many signatures are made at once.
pub(super) struct Signing {
    cores: Semaphore,
    verifier: Arc<Verifier>,
}

impl Signing {
    /// # Errors
    /// When the verifier can't be set up; in words.
    pub(super) fn new() -> Result<Self, String> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            cores: Semaphore::new(cores),
            verifier: Arc::new(Verifier::new()?),
        })
    }
}

impl Delivery {
    /// The DKIM-Signature fields of a message, the same for all its recipients, or why it must not leave. The time in them is that of the
    /// e-mail's release, so that every attempt sends the same bytes.
    pub(super) async fn sign(
        &self,
        work: &Work,
        from: &Mailbox,
        message: &Arc<[u8]>,
    ) -> Result<Result<Vec<u8>, Finding>, AttemptError> {
        let (org, domain) = (&work.job.org, from.address.domain());
        let released_at = work.mailed.released_at;
        let keys = self.signers.of(&self.platform, org, domain, released_at).await?;
        let body_start = body_start(message).ok_or(AttemptError::Other("a stored message has no body"))?;
        let (from, subject) = (from.clone(), work.mailed.head.subject.clone());
        let message_id = emails::message_id(&work.email, domain);
        let (message, verifier) = (Arc::clone(message), Arc::clone(&self.signing.verifier));
        let _core = self
            .signing
            .cores
            .acquire()
            .await
            .map_err(|_| AttemptError::Other("signing was closed"))?;
        let sign = move || {
            let fields = keys.sign(&message, body_start, released_at.seconds())?;
            let expected = Expected {
                from: &from,
                subject: &subject,
                message_id: &message_id,
                published: &keys.published(),
            };
            Ok::<_, DkimError>(lint(&verifier, &fields, &message, &expected).map(|()| fields))
        };
        match tokio::task::spawn_blocking(sign).await {
            Ok(Ok(signed)) => Ok(signed),
            Ok(Err(_)) | Err(_) => Err(AttemptError::Other("the message could not be signed")),
        }
    }
}

/// Where the body begins: after the first empty line.
pub(super) fn body_start(message: &[u8]) -> Option<usize> {
    message
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}
