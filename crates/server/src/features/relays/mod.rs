//! Relays: accounts at other providers, which carry mail for us.
//!
//! A relay is made with the account's credentials ([`create`]), which are sealed and never shown again; it can be tried without sending
//! ([`try_out`]), changed and deleted. Delivery asks which relays may carry a mail and in which order ([`candidates`], [`in_order`]):
//! by priority, and by weight among those of one priority, the same for each attempt of a mail.
//!
//! Each provider's file (`resend`, `postmark`, `ses`, `sendgrid`, `mailgun`) says how it is asked to send and what its answers mean, and
//! touches nothing; `smtp` does so for any server that takes mail over SMTP; `provider` is what they have in common. What they answer is
//! written down in `contracts/`, and tested against. `feeds` reads what providers tell of mail later, and checks that they tell it.
//! Not here: when a relay is asked, and what follows from its answer (`delivery`).

mod change;
mod choose;
mod credentials;
mod feeds;
mod list;
mod mailgun;
mod make;
mod parts;
mod postmark;
mod provider;
mod resend;
mod sendgrid;
mod ses;
mod smtp;
mod store;
mod trial;

pub use change::{Change, change, delete};
pub use choose::{Candidate, candidate, candidates, in_order, note_credentials};
pub use credentials::{Account, AccountError, Credentials, Kind, Opened};
pub use feeds::{FeedEvent, FeedKey, FeedRequest, Outcome, Whom, feed, told};
pub use list::{get, list};
pub use make::{NewRelay, create};
pub use provider::{Call, Provider, RelayMail, Said, Unfit, Verdict};
pub use smtp::{Server, verdict as smtp_verdict};
pub use store::ALL as STATEMENTS;
pub use trial::{LogIn, Trial, ask, try_out};

use crate::clock::Timestamp;
use crate::id::{Id as _, RelayId};
use crate::limits::{NAME_CHARS_MAX, RELAY_DOMAINS_MAX, RELAYS_MAX};
use crate::platform::store::StoreError;
use crate::platform::vault::{Cell, VaultError};
use sealwright_mail::address::Domain;

/// Priorities go up to this.
pub const PRIORITY_MAX: i64 = 100;
/// Weights go from 1 to this.
pub const WEIGHT_MAX: i64 = 100;

/// How a relay does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is given mail.
    Active,
    /// It is given mail, and its provider did not take the credentials when it was last asked.
    Failing,
    /// It is given none.
    Disabled,
}

impl Status {
    /// All statuses.
    pub const ALL: [Status; 3] = [Self::Active, Self::Failing, Self::Disabled];

    /// The status as it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Failing => "failing",
            Self::Disabled => "disabled",
        }
    }
}

/// A relay as it is shown; its credentials are not part of it.
#[derive(Debug, Clone)]
pub struct Relay {
    /// Its id.
    pub id: RelayId,
    /// What its owner calls it.
    pub name: String,
    /// The provider.
    pub kind: Kind,
    /// Where the account is, if that is to be chosen.
    pub region: Option<String>,
    /// Which of the account's domains sends, if that is to be chosen.
    pub sending_domain: Option<String>,
    /// Lower ones are asked first.
    pub priority: i64,
    /// Its share among those of the same priority.
    pub weight: i64,
    /// Whose mail it carries; empty for all.
    pub domains: Vec<String>,
    /// Whether it is given mail.
    pub is_enabled: bool,
    /// Since when its provider does not take the credentials.
    pub failing_since: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Relay {
    /// How it does.
    pub fn status(&self) -> Status {
        match (self.is_enabled, self.failing_since) {
            (false, _) => Status::Disabled,
            (true, Some(_)) => Status::Failing,
            (true, None) => Status::Active,
        }
    }

    /// Whether what its owner chose can be used; domains come back in the form that e-mails are compared with.
    fn check(&mut self) -> Result<(), RelayError> {
        let name = self.name.trim();
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
            return Err(RelayError::Name);
        }
        if !(0..=PRIORITY_MAX).contains(&self.priority) {
            return Err(RelayError::Priority);
        }
        if !(1..=WEIGHT_MAX).contains(&self.weight) {
            return Err(RelayError::Weight);
        }
        if self.domains.len() > RELAY_DOMAINS_MAX {
            return Err(RelayError::Domains);
        }
        for (place, domain) in self.domains.iter_mut().enumerate() {
            let parsed = Domain::parse(domain).map_err(|_| RelayError::Domain(place))?;
            parsed.as_str().clone_into(domain);
        }
        Ok(())
    }
}

/// Why a relay can't be made, changed or found.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The name is empty, too long or holds control characters.
    #[error("a name has 1 to {NAME_CHARS_MAX} characters and no control characters")]
    Name,
    /// There is no such priority.
    #[error("a priority is 0 to {PRIORITY_MAX}; lower ones are asked first")]
    Priority,
    /// There is no such weight.
    #[error("a weight is 1 to {WEIGHT_MAX}")]
    Weight,
    /// Too many domains.
    #[error("a relay is for at most {RELAY_DOMAINS_MAX} domains; without any it is for all")]
    Domains,
    /// One is not a domain; its place in the list.
    #[error("this is not a domain")]
    Domain(usize),
    /// The account is not as its provider wants it.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The organization has as many as it may.
    #[error("an organization has at most {RELAYS_MAX} relays; delete one first")]
    TooMany,
    /// The organization has none with this id.
    #[error("there is no such relay")]
    Unknown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

fn feed_cell(id: &RelayId) -> Cell<'_> {
    Cell {
        table: "relays",
        column: "feed_secret_sealed",
        row: id.as_str(),
    }
}

fn credentials_cell(id: &RelayId) -> Cell<'_> {
    Cell {
        table: "relays",
        column: "credentials_sealed",
        row: id.as_str(),
    }
}

#[cfg(test)]
mod tests;
