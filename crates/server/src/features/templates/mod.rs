//! Templates: what mail says before it has its values, in versions of which one is active.
//!
//! Each change of what a template says makes a new version, which becomes the active one; an older one can be made active again. The
//! language is the mail crate's (`template`): a source that it refuses is never stored. Templates are one set for live and test mail, so a
//! test key reads and tries them, and only a live key changes them.
//!
//! Not here: how a send uses them (that is `emails`).

mod manage;
mod source;
mod store;

pub use manage::{Change, Page, Template, Version, create, delete, get, list, source, update};
pub use source::{Parsed, PartError, Rendered, Source, aside};
pub use store::ALL as STATEMENTS;

use crate::limits::{NAME_CHARS_MAX, TEMPLATES_MAX};
use crate::platform::store::StoreError;
use crate::platform::vault::VaultError;

/// Why a template can't be made, found or changed.
#[derive(Debug, thiserror::Error)]
pub enum TemplatesError {
    /// The name is empty, too long, or holds control characters.
    #[error("a template's name has 1 to {NAME_CHARS_MAX} characters and no control characters")]
    Name,
    /// A part is refused.
    #[error(transparent)]
    Part(#[from] PartError),
    /// There is nothing to send in it.
    #[error("a template needs html, text, or both")]
    Empty,
    /// An AMP part without HTML.
    #[error("an AMP part needs html beside it, for readers that don't run AMP")]
    AmpAlone,
    /// There is no such version (any more).
    #[error("this template has no such version (any more)")]
    NoVersion,
    /// A version and a new source.
    #[error("either choose a version, or say what a new one is to be")]
    VersionAndSource,
    /// The organization has as many as it may.
    #[error("an organization has at most {TEMPLATES_MAX} templates; delete one first")]
    TooMany,
    /// There is none with this id.
    #[error("there is no such template")]
    Unknown,
    /// There is none with this id to begin a page after.
    #[error("there is no template with this id for a page to begin at")]
    After,
    /// Somebody else changed it meanwhile.
    #[error("the template was changed by another request at the same time; read it and try again")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}
