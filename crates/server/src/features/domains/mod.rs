//! Sending domains: their records, their DKIM keys, and what the DNS shows of both.
//!
//! A domain is added with three keys (`sw1`, `sw2`, `sw3`), of which one signs and two wait, published, for their turn: so a key can be
//! replaced without a step of the domain's owner and without a gap. A domain is verified when the DNS shows the key that signs, which
//! only its owner can bring about; nothing is sent from a domain that is not. It is looked at again for as long as it is here
//! ([`Checks`]): verified domains daily, and one whose key is gone for three days fails.

mod add;
mod check;
mod keys;
mod look;
mod manage;
mod name;
mod records;
mod signer;
mod store;
mod verifier;

pub use add::{add, assume_verified};
pub use check::Checks;
pub use keys::{complete, rotate};
pub use look::{Finding, Shows};
pub use manage::{Change, Page, change, delete, get, list, zone_file};
pub use records::{BOUNCE_LABEL, Names, Record, RecordPurpose, RecordType};
pub use signer::{Signers, Signing};
pub use store::ALL as STATEMENTS;
pub use verifier::{Verifier, key_hosts, verdict};

use crate::clock::Timestamp;
use crate::id::{DkimKeyId, DomainId, Id as _};
use crate::limits::DOMAINS_MAX;
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::VaultError;

/// The places of keys: one signs, the others are published and wait, or are still shown for what they signed.
const SELECTORS: [u8; 3] = [1, 2, 3];

/// What is known of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Added; the DNS has not shown its key yet.
    Pending,
    /// May send.
    Verified,
    /// Its key was not to be seen for too long.
    Failed,
}

impl Status {
    /// All statuses.
    pub const ALL: [Status; 3] = [Self::Pending, Self::Verified, Self::Failed];

    /// The status as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verified => "verified",
            Self::Failed => "failed",
        }
    }

    /// Reads a status.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == text)
    }
}

/// How mail from a domain has to travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tls {
    /// As well protected as the receiver allows.
    Opportunistic,
    /// Only over a channel whose other end is known to be the receiver; not at all otherwise.
    Required,
}

impl Tls {
    /// Both.
    pub const ALL: [Tls; 2] = [Self::Opportunistic, Self::Required];

    /// The word as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opportunistic => "opportunistic",
            Self::Required => "required",
        }
    }

    /// Reads a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tls| tls.name() == text)
    }
}

/// Which way the mail of a domain leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// To the hosts of its recipients.
    Direct,
    /// Through relays.
    Relay,
    /// Directly, and through relays what is not taken so.
    DirectThenRelay,
    /// Through relays, and directly what none of them takes.
    RelayThenDirect,
}

impl Route {
    /// All routes.
    pub const ALL: [Route; 4] = [
        Self::Direct,
        Self::Relay,
        Self::DirectThenRelay,
        Self::RelayThenDirect,
    ];

    /// The route as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relay => "relay",
            Self::DirectThenRelay => "direct_then_relay",
            Self::RelayThenDirect => "relay_then_direct",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.name() == text)
    }
}

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with 2048 bits: what every receiver verifies.
    Rsa,
    /// Ed25519 (RFC 8463): as a second signature only, because large receivers don't know it.
    Ed25519,
}

impl Algorithm {
    const ALL: [Algorithm; 2] = [Self::Rsa, Self::Ed25519];

    /// The algorithm as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == text)
    }

    /// The selector of a place.
    fn selector(self, place: u8) -> String {
        match self {
            Self::Rsa => format!("sw{place}"),
            Self::Ed25519 => format!("sw{place}e"),
        }
    }
}

/// The public side of a key.
#[derive(Debug, Clone)]
pub struct DkimKey {
    /// Its id.
    pub id: DkimKeyId,
    /// Its selector.
    pub selector: String,
    /// How it signs.
    pub algorithm: Algorithm,
    /// The text of its record.
    pub public_record: String,
    /// Since when it signs; `None` while it waits for its turn.
    pub signing_since: Option<Timestamp>,
    /// When another took its place. It is shown for a while longer.
    pub retired_at: Option<Timestamp>,
}

impl DkimKey {
    /// Whether it signs what is accepted now.
    pub fn is_signing(&self) -> bool {
        self.signing_since.is_some() && self.retired_at.is_none()
    }
}

/// A domain as it is shown.
#[derive(Debug, Clone)]
pub struct Domain {
    /// Its id.
    pub id: DomainId,
    /// Its name, in A-labels.
    pub name: String,
    /// Whether it may send.
    pub status: Status,
    /// When the DNS first showed its key.
    pub verified_at: Option<Timestamp>,
    /// When the DNS was last asked.
    pub checked_at: Option<Timestamp>,
    /// What the DNS showed then.
    pub findings: Vec<Finding>,
    /// Since when the key that signs is not to be seen.
    missing_since: Option<Timestamp>,
    /// Whether the DNS is not asked.
    pub is_assumed: bool,
    /// Whether mail bears a second signature, by Ed25519.
    pub has_ed25519: bool,
    /// How its mail has to travel.
    pub tls: Tls,
    /// Which way its mail leaves.
    pub route: Route,
    /// Its keys.
    pub keys: Vec<DkimKey>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was taken away; what was accepted before is still signed.
    deleted_at: Option<Timestamp>,
}

impl Domain {
    /// What the DNS shows of a purpose: of several records, the worst.
    pub fn shows(&self, purpose: RecordPurpose) -> Shows {
        shows(&self.findings, purpose)
    }

    /// What was found of a record, with the key that it shows now.
    pub fn finding(&self, record: &Record) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.is_of(record))
    }

    /// What was found of a key: of this one, and not of another that had its place.
    fn finding_of(&self, key: &DkimKey) -> Option<&Finding> {
        let id = Some(key.id.as_str());
        self.findings.iter().find(|finding| finding.key.as_deref() == id)
    }

    /// What the DNS shows of the key that signs.
    pub fn dkim(&self) -> Shows {
        let finding = self.signing(Algorithm::Rsa).and_then(|key| self.finding_of(key));
        finding.map_or(Shows::Pending, |finding| finding.shows)
    }

    /// The same, as of the last look alone.
    fn dkim_now(&self) -> Shows {
        let finding = self.signing(Algorithm::Rsa).and_then(|key| self.finding_of(key));
        finding.map_or(Shows::Pending, Finding::shows_now)
    }

    /// Host and text of the record of the key that signs.
    pub fn dkim_record(&self) -> Option<(String, String)> {
        let key = self.signing(Algorithm::Rsa)?;
        Some((
            records::dkim_host(&key.selector, &self.name),
            key.public_record.clone(),
        ))
    }

    /// The DMARC policy that is published for it.
    pub fn dmarc_policy(&self) -> Option<&'static str> {
        let finding = self
            .findings
            .iter()
            .find(|finding| finding.purpose == RecordPurpose::Dmarc.name())?;
        finding
            .found
            .first()
            .and_then(|record| look::dmarc_policy(record, finding.is_inherited))
    }
}

fn shows(findings: &[Finding], purpose: RecordPurpose) -> Shows {
    let findings = findings
        .iter()
        .filter(|finding| finding.purpose == purpose.name());
    findings
        .map(|finding| finding.shows)
        .max_by_key(|shows| shows.badness())
        .unwrap_or(Shows::Pending)
}

/// Why a domain could not be added, changed, verified or used.
#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    /// The name is not a domain.
    #[error("the domain is not valid: {0}")]
    Name(String),
    /// The organization has it already.
    #[error("the organization has this domain already; see its records and verify it")]
    Exists,
    /// The plan has no room for another.
    #[error(
        "this plan has room for {0} sending domains, and no plan for more than {DOMAINS_MAX}; delete one first"
    )]
    TooMany(i64),
    /// Its keys are still kept for too many others.
    #[error(
        "this plan has room for the keys of {0} sending domains that were deleted in the last 14 days; add one of those again, or this \
         one later"
    )]
    TooManyDeleted(i64),
    /// The row to list from is not there.
    #[error("there is no such domain to start after")]
    After,
    /// The organization does not have it.
    #[error("there is no such domain")]
    Unknown,
    /// The next key can't take over, because receivers would not find it.
    #[error(
        "the next key can't sign yet: the last look did not see it at {0}; publish the record and verify the domain"
    )]
    Unpublished(String),
    /// All other keys were retired too lately to be replaced.
    #[error(
        "no key waits for its turn: the next is made after {0}, when the first of the retired ones is destroyed"
    )]
    NoneWaits(Timestamp),
    /// A key could not be made or read.
    #[error("the DKIM key can't be used: {0}")]
    Key(String),
    /// Too many are being verified.
    #[error("too many domains are being verified; try again")]
    Overloaded,
    /// Somebody else changed it at the same time.
    #[error("the domain was changed at the same time; try again")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// What accepting mail takes from the domain that it is from.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The domain.
    pub id: DomainId,
    /// How its mail has to travel.
    pub tls: Tls,
}

/// The domain that mail is from, or `None` when none may be sent from it: asked inside the unit that accepts the mail.
pub async fn may_send(tx: &OrgTx, name: &str) -> Result<Option<Sender>, StoreError> {
    let known = store::sender(tx, name).await?;
    Ok(known.and_then(|(status, sender)| (status == Status::Verified).then_some(sender)))
}
