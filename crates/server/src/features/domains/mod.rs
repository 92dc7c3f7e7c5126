//! Sending domains and their DKIM keys.
//!
//! A domain is added (with a fresh RSA-2048 key), its records are published by its owner, and it is verified when the DNS shows
//! the key. Nothing is sent from a domain that is not verified. Not here yet: the API, SPF/DMARC/return-path records, rotation.

mod add;
mod signer;
mod store;
mod verify;

pub use add::{DomainError, add};
pub use signer::Signers;
pub use store::ALL as STATEMENTS;
pub use verify::{Verification, assume_verified, verify};

use crate::id::DomainId;
use crate::platform::store::{OrgTx, StoreError};

/// What is known of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Added; the DNS has not shown its key yet.
    Pending,
    /// May send.
    Verified,
}

impl Status {
    /// The status as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verified => "verified",
        }
    }
}

/// A domain as it was just added.
#[derive(Debug, Clone)]
pub struct Added {
    /// Its id.
    pub id: DomainId,
    /// Its name.
    pub name: String,
    /// Host name of the DKIM record.
    pub dkim_host: String,
    /// Text of the DKIM record.
    pub dkim_record: String,
}

/// Whether mail may be sent from this domain: asked inside the unit that accepts the mail.
pub async fn may_send(tx: &OrgTx, name: &str) -> Result<bool, StoreError> {
    Ok(store::status(tx, name)
        .await?
        .is_some_and(|status| status == Status::Verified.name()))
}
