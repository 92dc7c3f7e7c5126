//! Where a mail's bounces and complaints go: the sender of its envelope.

use super::Delivery;
use super::attempt::{AttemptError, Work};
use crate::features::returns;
use sealwright_mail::address::{ADDRESS_OCTETS_MAX, Mailbox};

/// How what comes back is taken, as set by the operator.
#[derive(Debug, Clone, Default)]
pub struct Returning {
    /// Whether anything listens for it.
    pub is_taken: bool,
    /// The host for mail of domains that have no return path of their own.
    pub host: Option<String>,
}

/// The sender of an envelope.
pub(super) struct Sender {
    pub(super) address: String,
    /// Whether reports sent to it come to us.
    pub(super) is_return_path: bool,
}

impl Delivery {
    /// A return path of ours, at the sender's domain once the DNS brings what is sent there to us (so that SPF aligns, RFC 7489 §3.1.2), at
    /// the installation's own host otherwise; without either, bounces go to the author.
    pub(super) async fn sender(&self, work: &Work, from: &Mailbox) -> Result<Sender, AttemptError> {
        let author = Sender {
            address: from.address.as_str().to_owned(),
            is_return_path: false,
        };
        let returning = &self.options.returning;
        if !returning.is_taken {
            return Ok(author);
        }
        let (org, domain) = (&work.job.org, from.address.domain());
        let own = self.signers.bounce_host(&self.platform, org, domain).await?;
        let local = returns::local_part(&self.platform.vault, org, &work.email, work.mailed.first);
        let address = [own.as_ref(), returning.host.as_ref()]
            .into_iter()
            .flatten()
            .map(|host| format!("{local}@{host}"))
            .find(|address| address.len() <= ADDRESS_OCTETS_MAX);
        Ok(address.map_or(author, |address| Sender {
            address,
            is_return_path: true,
        }))
    }
}
