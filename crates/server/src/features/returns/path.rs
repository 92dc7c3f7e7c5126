//! Return paths: made for mail that leaves, judged when something is sent to one.

use super::tls_reports;
use crate::clock::Timestamp;
use crate::features::domains::BOUNCE_LABEL;
use crate::id::{EmailId, Id as _, OrgId};
use crate::limits::RETURN_DAYS_MAX;
use crate::platform::vault::Vault;
use sealwright_mail::return_path::{OWNER_MAX, PART_MAX, RETURN_PATH_OCTETS, ReturnPath};

/// What is in front of the ULID's last ten digits in an organization's id.
const ORG_END_AT: usize = 20;

/// The local part of the return path of an e-mail to the destination whose first recipient has this place.
pub fn local_part(vault: &Vault, org: &OrgId, email: &EmailId, first: i64) -> String {
    let path = ReturnPath {
        // Never the other case: 50 bits are what is left.
        owner: u64::try_from(org.bits() & u128::from(OWNER_MAX)).unwrap_or_default(),
        message: email.bits(),
        part: u16::try_from(first).unwrap_or(PART_MAX),
    };
    path.encode(vault.return_path())
}

/// Whom something that comes in is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressee {
    /// It came back of this e-mail.
    Path(Returned),
    /// Whoever reads feedback reports that name their e-mail inside.
    Feedback,
    /// Whoever reads what is reported of TLS on the way to this host of ours, in lower case.
    TlsReports(String),
}

/// What a return path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// The last digits of the organization's id.
    pub(super) org_end: String,
    pub(super) email: EmailId,
    /// The place of the destination's first recipient.
    pub(super) first: i64,
}

/// Why nothing is taken for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its domain is none of ours.
    Relay,
    /// Nobody reads what is sent there.
    Unread,
    /// It looks like a return path and is none of ours.
    Forged,
    /// It is the return path of an e-mail that is too old.
    Old,
}

impl Refused {
    /// The name in metrics; `None` for what is everyday on an open port.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Relay | Self::Unread => None,
            Self::Forged => Some("forged"),
            Self::Old => Some("old"),
        }
    }
}

/// Whom a recipient of incoming mail stands for. Our domains are `host` and those whose first label is that of return paths: whose they
/// are says the path, which is proof by itself.
pub fn judge(vault: &Vault, host: Option<&str>, to: &str, now: Timestamp) -> Result<Addressee, Refused> {
    let Some((local, domain)) = to.rsplit_once('@') else {
        return Err(Refused::Unread);
    };
    let is_host = host.is_some_and(|host| host.eq_ignore_ascii_case(domain));
    let label = domain.split('.').next().unwrap_or_default();
    if !is_host && !label.eq_ignore_ascii_case(BOUNCE_LABEL) {
        return Err(Refused::Relay);
    }
    if is_host && local.eq_ignore_ascii_case("abuse") {
        return Ok(Addressee::Feedback);
    }
    if is_host && local.eq_ignore_ascii_case(tls_reports::LOCAL_PART) {
        return Ok(Addressee::TlsReports(domain.to_ascii_lowercase()));
    }
    if local.len() != RETURN_PATH_OCTETS {
        return Err(Refused::Unread);
    }
    named(vault, local, now).map(Addressee::Path)
}

/// What a local part names.
pub(super) fn named(vault: &Vault, local: &str, now: Timestamp) -> Result<Returned, Refused> {
    let path = ReturnPath::decode(local, vault.return_path()).ok_or(Refused::Forged)?;
    let email = EmailId::of_bits(path.message);
    if now.day().saturating_sub(email.day()) > RETURN_DAYS_MAX {
        return Err(Refused::Old);
    }
    let owner = OrgId::of_bits(u128::from(path.owner));
    let org_end = owner.as_str().get(ORG_END_AT..).unwrap_or_default();
    Ok(Returned {
        org_end: org_end.to_owned(),
        email,
        first: i64::from(path.part),
    })
}
