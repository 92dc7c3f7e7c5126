//! DKIM signatures (RFC 6376, RFC 8463 for Ed25519), written, never checked.
//!
//! A [`SigningKey`] is parsed once and shared (parsing an RSA key costs almost as much as using
//! it); a [`Signer`] binds it to a domain and selector; [`Signer::sign`] returns the header field to
//! put in front of the message. Checking signatures is left to verifiers that other people wrote:
//! a signer that agrees only with itself proves nothing.
//!
//! Fixed choices: `c=relaxed/relaxed`; SHA-256; no `l=`, because it lets anyone append to the
//! message; `x=` [`SIGNATURE_LIFETIME_S`] after `t=`, so that a captured message can't be replayed
//! for ever; and the fields readers act on are listed once more than they occur ("oversigned"), so
//! that nobody can add a second `From` or `Subject` on the way (RFC 6376 §8.15).

mod canonical;
mod key;
mod sign;

pub use canonical::body_hash_relaxed;
pub use key::SigningKey;
pub use sign::{SELECTOR_OCTETS_MAX, SIGNATURE_LIFETIME_S, Signer};

/// Why a key was refused or a message not signed. Never holds key or message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DkimError {
    /// The key can't be used.
    #[error(
        "the signing key is not an RSA key of 2048 to 4096 bits in PKCS#8 form or an Ed25519 key: generate a new one"
    )]
    Key,
    /// Key generation or signing failed in the cryptographic library.
    #[error("the cryptographic library failed: try again")]
    Crypto,
    /// The selector isn't a DNS name.
    #[error("the selector is not a valid DNS label: use up to 63 lower-case letters, digits and hyphens")]
    Selector,
    /// The header section has a line that isn't a field, a bare CR or LF, or no end.
    #[error("the header section is not well-formed: compose the message again")]
    Header,
    /// There isn't exactly one `From`.
    #[error("the message must have exactly one From field: compose it again")]
    From,
    /// The time of signing is before 1970 or too far ahead.
    #[error("the time of signing is out of range: check the clock")]
    Time,
}
