//! Return paths that say which e-mail comes back (VERP): the local part of MAIL FROM, read again
//! when a report arrives at it.
//!
//! ```text
//! oooooooooo mmmmmmmmmmmmmmmmmmmmmmmmmm pp aaaaaaaaaaaaaaaa       54 digits of base 32
//! owner      message                    part authenticator
//! ```
//!
//! Local parts lose their case on the way (RFC 5321 §2.4 forbids it, gateways do it), so the
//! digits have none. The authenticator is what a stranger can't make; the owner is masked with a
//! stream of the message's own, so that receivers of two messages can't tell whether one
//! organization sent both. Here is no time and no limit of age: whoever reads a path knows the
//! message and its date.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use std::fmt;

/// Octets of a local part made here; RFC 5321 §4.5.3.1.1 allows 64.
pub const RETURN_PATH_OCTETS: usize = OWNER_DIGITS + MESSAGE_DIGITS + PART_DIGITS + TAG_DIGITS;

/// The greatest owner: 50 bits.
pub const OWNER_MAX: u64 = (1 << (5 * OWNER_DIGITS)) - 1;

/// The greatest part: 10 bits.
pub const PART_MAX: u16 = (1 << (5 * PART_DIGITS)) - 1;

const OWNER_DIGITS: usize = 10;
const MESSAGE_DIGITS: usize = 26;
const PART_DIGITS: usize = 2;
/// 80 bits: guessing one means sending 2⁸⁰ messages.
const TAG_DIGITS: usize = 16;

/// Crockford's base 32, lower case: no i, l, o, u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Separates the two uses of the key.
const MASK_LABEL: &[u8] = b"owner";
const TAG_LABEL: &[u8] = b"return";

/// What a return path names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReturnPath {
    /// Whose message it is, at most [`OWNER_MAX`].
    pub owner: u64,
    /// The message.
    pub message: u128,
    /// Which of its destinations, at most [`PART_MAX`].
    pub part: u16,
}

impl ReturnPath {
    /// The local part. Bits beyond the greatest owner or part are lost.
    #[must_use]
    pub fn encode(&self, key: &hmac::Key) -> String {
        let masked = (self.owner ^ mask(key, self.message)) & OWNER_MAX;
        let mut local = String::with_capacity(RETURN_PATH_OCTETS);
        push_digits(&mut local, u128::from(masked), OWNER_DIGITS);
        push_digits(&mut local, self.message, MESSAGE_DIGITS);
        push_digits(&mut local, u128::from(self.part & PART_MAX), PART_DIGITS);
        let tag = tag(key, &local);
        push_digits(&mut local, tag, TAG_DIGITS);
        local
    }

    /// Reads a local part in any case; `None` for one that this key did not make.
    #[must_use]
    pub fn decode(local: &str, key: &hmac::Key) -> Option<Self> {
        if local.len() != RETURN_PATH_OCTETS || !local.is_ascii() {
            return None;
        }
        let local = local.to_ascii_lowercase();
        let (named, tagged) = local.split_at_checked(RETURN_PATH_OCTETS - TAG_DIGITS)?;
        let expected = tag(key, named).to_be_bytes();
        verify_slices_are_equal(&number(tagged)?.to_be_bytes(), &expected).ok()?;
        let (masked, rest) = named.split_at_checked(OWNER_DIGITS)?;
        let (message, part) = rest.split_at_checked(MESSAGE_DIGITS)?;
        let (masked, message) = (number(masked)?, number(message)?);
        Some(Self {
            owner: (u64::try_from(masked).ok()? ^ mask(key, message)) & OWNER_MAX,
            message,
            part: u16::try_from(number(part)?).ok()?,
        })
    }
}

/// Which message bounced is nobody's business either.
impl fmt::Debug for ReturnPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReturnPath")
    }
}

fn mask(key: &hmac::Key, message: u128) -> u64 {
    let mut context = hmac::Context::with_key(key);
    context.update(MASK_LABEL);
    context.update(&message.to_be_bytes());
    let stream = context.sign();
    let bits = stream.as_ref().iter().take(8);
    bits.fold(0, |sum, byte| (sum << 8) | u64::from(*byte)) & OWNER_MAX
}

/// Over the digits themselves: what is read is what was made, bit for bit.
fn tag(key: &hmac::Key, named: &str) -> u128 {
    let mut context = hmac::Context::with_key(key);
    context.update(TAG_LABEL);
    context.update(named.as_bytes());
    let tag = context.sign();
    let bits = tag.as_ref().iter().take(TAG_DIGITS * 5 / 8);
    bits.fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
}

fn push_digits(out: &mut String, value: u128, count: usize) {
    for place in (0..count).rev() {
        let digit = (value >> (5 * place)) & 31;
        let digit = ALPHABET.iter().zip(0_u128..).find(|(_, value)| *value == digit);
        out.extend(digit.map(|(digit, _)| char::from(*digit)));
    }
}

/// `None` for a character that is no digit, and for more than 128 bits.
fn number(digits: &str) -> Option<u128> {
    digits.bytes().try_fold(0_u128, |sum, digit| {
        let value = ALPHABET.iter().position(|known| *known == digit)?;
        let value = u128::try_from(value).ok()?;
        sum.checked_mul(32)?.checked_add(value)
    })
}
