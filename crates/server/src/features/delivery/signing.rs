//! DKIM signatures, made on as many threads at once as there are cores and never on those that do I/O.

use super::Delivery;
use super::attempt::{AttemptError, Work};
use sealwright_mail::address::Mailbox;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Bounds how many signatures are made at once.
pub(super) struct Signing {
    cores: Semaphore,
}

impl Signing {
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            cores: Semaphore::new(cores),
        }
    }
}

impl Delivery {
    /// The DKIM-Signature fields of a message, the same for all its recipients. The time in it is that of the e-mail's release, so that
    /// every attempt sends the same bytes.
    pub(super) async fn sign(
        &self,
        work: &Work,
        from: &Mailbox,
        message: &Arc<[u8]>,
    ) -> Result<Vec<u8>, AttemptError> {
        let signer = self
            .signers
            .of(
                &self.platform,
                &work.job.org,
                from.address.domain(),
                work.mailed.released_at,
            )
            .await?;
        let body_start = body_start(message).ok_or(AttemptError::Other("a stored message has no body"))?;
        let (message, signed_at) = (Arc::clone(message), work.mailed.released_at.seconds());
        let _core = self
            .signing
            .cores
            .acquire()
            .await
            .map_err(|_| AttemptError::Other("signing was closed"))?;
        let signed = tokio::task::spawn_blocking(move || signer.sign(&message, body_start, signed_at)).await;
        match signed {
            Ok(Ok(field)) => Ok(field),
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
