//! Identifiers: a prefix that names the kind, then a lower-case ULID (48 bits of time, 80 of chance).
//!
//! Any case is accepted, one is emitted. Mixing two kinds does not compile. The time inside an id is how a row that
//! is partitioned by day is found again by its id alone.

use crate::clock::Timestamp;
use std::fmt;

/// Crockford's base 32, lower case: no i, l, o, u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ULID_CHARS: usize = 26;

/// Bytes of chance inside an id.
pub const ENTROPY_BYTES: usize = 10;

/// What all identifier types have in common.
pub trait Id: Sized + Clone + Send + Sync + 'static {
    /// The letters before the underscore.
    const PREFIX: &'static str;

    /// A new id from the instant and 80 random bits.
    fn generate(at: Timestamp, entropy: [u8; ENTROPY_BYTES]) -> Self;

    /// Reads an id of this kind in any case; `None` for anything else.
    fn parse(text: &str) -> Option<Self>;

    /// The id as it is stored and shown.
    fn as_str(&self) -> &str;

    /// The 128 bits behind the prefix.
    fn bits(&self) -> u128 {
        number(self.as_str().get(Self::PREFIX.len() + 1..).unwrap_or_default())
    }

    /// The id with these bits.
    fn of_bits(bits: u128) -> Self;

    /// The day (since the Unix epoch) on which the id was made.
    fn day(&self) -> i64 {
        let millis = self.bits() >> (8 * ENTROPY_BYTES);
        i64::try_from(millis).unwrap_or(i64::MAX).div_euclid(86_400_000)
    }
}

fn ulid(at: Timestamp, entropy: [u8; ENTROPY_BYTES]) -> [u8; ULID_CHARS] {
    let mut bits = u128::from(at.millis().max(0).unsigned_abs()) << 80;
    for (i, byte) in entropy.iter().enumerate() {
        bits |= u128::from(*byte) << (8 * (ENTROPY_BYTES - 1 - i));
    }
    digits(bits)
}

fn digits(bits: u128) -> [u8; ULID_CHARS] {
    let mut out = [0; ULID_CHARS];
    for (i, place) in out.iter_mut().enumerate() {
        let shift = 5 * (ULID_CHARS - 1 - i);
        *place = ALPHABET[((bits >> shift) & 31) as usize];
    }
    out
}

fn number(ulid: &str) -> u128 {
    ulid.bytes().fold(0, |sum, byte| {
        let digit = ALPHABET
            .iter()
            .position(|a| *a == byte.to_ascii_lowercase())
            .unwrap_or(0);
        (sum << 5) | digit as u128
    })
}

fn with_prefix(prefix: &str, ulid: [u8; ULID_CHARS]) -> Box<str> {
    let mut text = String::with_capacity(prefix.len() + 1 + ULID_CHARS);
    text.push_str(prefix);
    text.push('_');
    text.extend(ulid.iter().map(|b| char::from(*b)));
    text.into_boxed_str()
}

fn parse_with_prefix(prefix: &str, text: &str) -> Option<String> {
    let (head, tail) = text.split_once('_')?;
    let tail_fits =
        tail.len() == ULID_CHARS && tail.bytes().all(|b| ALPHABET.contains(&b.to_ascii_lowercase()));
    // The first digit of a 128-bit value in base 32 is at most 7.
    let in_range = tail.as_bytes().first().is_some_and(|b| (b'0'..=b'7').contains(b));
    (head.eq_ignore_ascii_case(prefix) && tail_fits && in_range).then(|| text.to_ascii_lowercase())
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl Id for $name {
            const PREFIX: &'static str = $prefix;

            fn generate(at: Timestamp, entropy: [u8; ENTROPY_BYTES]) -> Self {
                Self(with_prefix($prefix, ulid(at, entropy)))
            }

            fn of_bits(bits: u128) -> Self {
                Self(with_prefix($prefix, digits(bits)))
            }

            fn parse(text: &str) -> Option<Self> {
                parse_with_prefix($prefix, text).map(|text| Self(text.into_boxed_str()))
            }

            fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl From<&$name> for crate::platform::store::Value {
            fn from(id: &$name) -> Self {
                Self::Text(id.0.to_string())
            }
        }

        impl crate::platform::store::FromValue for $name {
            fn from_value(value: crate::platform::store::Value) -> Option<Self> {
                match value {
                    crate::platform::store::Value::Text(text) => Some(Self(text.into_boxed_str())),
                    _ => None,
                }
            }
        }
    )*};
}

ids! {
    /// An organization: the tenant.
    OrgId = "org";
    /// An API key (the row, not the secret).
    KeyId = "key";
    /// A member of an organization.
    MemberId = "mem";
    /// An issuer of session tokens that an organization trusts.
    IssuerId = "iss";
    /// An entry of the audit log.
    AuditId = "aud";
    /// A sending domain.
    DomainId = "dom";
    /// A DKIM key.
    DkimKeyId = "dkim";
    /// An address that is not written to.
    SuppressionId = "sup";
    /// A template of e-mails.
    TemplateId = "tpl";
    /// An accepted e-mail.
    EmailId = "email";
    /// One attempt to deliver an e-mail to one destination.
    AttemptId = "att";
    /// Something that happened, as told to webhooks.
    EventId = "evt";
    /// A webhook endpoint.
    WebhookId = "wh";
    /// One event on its way to one endpoint.
    DeliveryId = "dlv";
    /// An account at another provider.
    RelayId = "rel";
    /// What came back of an e-mail.
    ReturnId = "ret";
    /// A running process.
    NodeId = "node";
    /// One HTTP request.
    RequestId = "req";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_knows_its_day_and_reads_back_in_any_case() {
        let at = Timestamp::from_micros(1_795_305_600_000_000);
        let id = EmailId::generate(at, [0xff; 10]);
        assert_eq!(id.day(), at.day());
        assert_eq!(EmailId::of_bits(id.bits()), id);
        assert_eq!(
            EmailId::parse(&id.as_str().to_ascii_uppercase()),
            Some(id.clone())
        );
        assert_eq!(OrgId::parse(id.as_str()), None);
        assert_eq!(EmailId::parse("email_short"), None);
        assert_eq!(EmailId::parse("email_8zzzzzzzzzzzzzzzzzzzzzzzzz"), None);
    }

    #[test]
    fn ids_sort_by_time() {
        let early = EmailId::generate(Timestamp::from_micros(1_000_000), [0xff; 10]);
        let late = EmailId::generate(Timestamp::from_micros(2_000_000), [0; 10]);
        assert!(early < late);
    }
}
