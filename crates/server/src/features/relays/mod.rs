//! Relays: accounts at other providers, which carry mail for us.
//!
//! Each provider's file (`resend`, `postmark`, `ses`, `sendgrid`, `mailgun`) says how it is asked to send and what its answers mean, and
//! touches nothing; `provider` is what they have in common. What they answer is written down in `contracts/`, and tested against.

#[cfg(test)]
mod contracts;
mod credentials;
mod mailgun;
mod parts;
mod postmark;
mod provider;
mod resend;
mod sendgrid;
mod ses;

pub use credentials::{Account, AccountError, Credentials, Kind};
pub use provider::{Call, Provider, RelayMail, Said, Unfit, Verdict};

use crate::platform::store::StatementText;

/// Nothing is kept yet.
pub const STATEMENTS: &[StatementText] = &[];
