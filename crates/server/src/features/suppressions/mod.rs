//! Suppressions: addresses that are not written to.
//!
//! One is made by a caller ([`create`], [`import`]) or by what became of a mail ([`prepare`], [`add`]), and lasts until a caller takes it
//! away. An address is suppressed once in each mode, whatever the reason; who is suppressed already stays so for the first reason. Mail is
//! held against the suppressions twice ([`of`]): when it is accepted, and in the unit that marks an attempt as started, so that nobody who
//! was suppressed meanwhile gets it.
//!
//! The address is sealed and found by the blind index that recipients have, too. Not here: lists that callers name, suppression by
//! domain, what replies mean.

mod add;
mod manage;
mod store;

pub use add::{Entry, Imported, Prepared, Suppress, add, create, import, prepare};
pub use manage::{Page, Which, delete, find, list};
pub use store::{ALL as STATEMENTS, of};

use crate::clock::Timestamp;
use crate::id::{EmailId, SuppressionId};
use crate::limits::{SUPPRESSION_REASON_CHARS_MAX, SUPPRESSIONS_IMPORTED_MAX};
use crate::platform::store::StoreError;
use crate::platform::vault::VaultError;
use crate::secret::Personal;
use sealwright_mail::address::AddressError;

/// Why an address is not written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Mail to it was refused for good: it does not exist, or its domain takes no mail.
    HardBounces,
    /// Its owner complained.
    Complaints,
    /// Its owner wants no more mail.
    Unsubscribes,
    /// A caller said so.
    Manual,
}

impl Type {
    /// All types.
    pub const ALL: [Type; 4] = [
        Self::HardBounces,
        Self::Complaints,
        Self::Unsubscribes,
        Self::Manual,
    ];

    /// The type as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::HardBounces => "hard_bounces",
            Self::Complaints => "complaints",
            Self::Unsubscribes => "unsubscribes",
            Self::Manual => "manual",
        }
    }

    /// What is told of a recipient that is not written to for it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::HardBounces => "bounce",
            Self::Complaints => "complaint",
            Self::Unsubscribes => "unsubscribe",
            Self::Manual => "manual",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }
}

/// An address that is not written to.
#[derive(Debug, Clone)]
pub struct Suppression {
    /// Its id.
    pub id: SuppressionId,
    /// The address.
    pub address: Personal<String>,
    /// Why.
    pub kind: Type,
    /// Why, in words: a caller's, or the receiving host's.
    pub reason: Option<Personal<String>>,
    /// The e-mail whose outcome it was.
    pub email: Option<EmailId>,
    /// Since when.
    pub created_at: Timestamp,
}

/// Why an address was not suppressed, found or freed.
#[derive(Debug, thiserror::Error)]
pub enum SuppressionError {
    /// It is not an address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The reason is too long or has control characters.
    #[error("a reason has at most {SUPPRESSION_REASON_CHARS_MAX} characters and no control characters")]
    Reason,
    /// Too many at once.
    #[error(
        "at most {SUPPRESSIONS_IMPORTED_MAX} suppressions are imported at once; send the rest in further requests"
    )]
    TooMany,
    /// There is no such suppression in this mode.
    #[error("there is no such suppression")]
    Unknown,
    /// A page was to begin after a suppression that there is not.
    #[error("there is no suppression with this id for a page to begin at")]
    After,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}
