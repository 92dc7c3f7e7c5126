//! The form of API keys: prefix, 30 random base-62 characters, 6 that are a CRC-32 over everything before them.
//!
//! 178 bits of chance need no slow hash. The checksum lets a mistyped or invented key be refused without asking the
//! store, and lets a secret scanner tell a real key offline.

use crate::mode::Mode;
use crate::secret::Secret;
use aws_lc_rs::digest;
use subtle::ConstantTimeEq as _;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_CHARS: usize = 30;
const CHECKSUM_CHARS: usize = 6;

/// Which product's words a key's prefix uses; all are accepted everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `le_`, `le_test_`.
    Le,
    /// `mp_live_`, `mp_test_`.
    Mp,
}

impl Style {
    /// The style of a prefix that was stored.
    pub(super) fn of_prefix(prefix: &str) -> Self {
        PREFIXES
            .iter()
            .find(|(known, ..)| *known == prefix)
            .map_or(Self::Le, |(_, style, _)| *style)
    }
}

/// Longest prefix first, so that `le_test_` is not read as `le_`.
const PREFIXES: [(&str, Style, Mode); 4] = [
    ("le_test_", Style::Le, Mode::Test),
    ("le_", Style::Le, Mode::Live),
    ("mp_live_", Style::Mp, Mode::Live),
    ("mp_test_", Style::Mp, Mode::Test),
];

/// A key in clear: shown once, or just received.
#[derive(Debug, Clone)]
pub struct Key {
    text: Secret<String>,
    prefix: &'static str,
    mode: Mode,
}

impl Key {
    /// A new key. Draws from `random` until it has enough unbiased characters.
    pub fn generate(style: Style, mode: Mode, mut random: impl FnMut() -> [u8; 32]) -> Self {
        let prefix = PREFIXES
            .iter()
            .find(|(_, s, m)| (*s, *m) == (style, mode))
            .map_or("le_", |(prefix, ..)| prefix);
        let mut text = String::with_capacity(prefix.len() + RANDOM_CHARS + CHECKSUM_CHARS);
        text.push_str(prefix);
        while text.len() < prefix.len() + RANDOM_CHARS {
            let fair = random()
                .into_iter()
                .filter(|byte| *byte < 248)
                .map(|byte| char::from(ALPHABET[usize::from(byte % 62)]));
            text.extend(fair.take(prefix.len() + RANDOM_CHARS - text.len()));
        }
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Self {
            text: Secret::new(text),
            prefix,
            mode,
        }
    }

    /// Reads a key; `None` when the prefix, the length, the alphabet or the checksum is wrong.
    pub fn parse(text: &str) -> Option<Self> {
        let (prefix, _, mode) = PREFIXES.iter().find(|(prefix, ..)| text.starts_with(prefix))?;
        let body = text.get(prefix.len()..)?;
        let fits = body.len() == RANDOM_CHARS + CHECKSUM_CHARS
            && body.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !fits {
            return None;
        }
        let (head, given) = text.split_at_checked(text.len().checked_sub(CHECKSUM_CHARS)?)?;
        let is_right = checksum(head).as_bytes().ct_eq(given.as_bytes());
        bool::from(is_right).then(|| Self {
            text: Secret::new(text.to_owned()),
            prefix,
            mode: *mode,
        })
    }

    /// The keys in a text: whatever has a prefix of ours and the checksum that belongs to it, wherever it stands.
    pub fn find_all(text: &str) -> impl Iterator<Item = Self> {
        // Underscores are rare and found fast; what stands before one tells whether to look closer.
        let ends = text.match_indices('_').map(|(end, _)| end);
        ends.filter_map(|end| {
            let rest = text.get(end.checked_sub(2)?..)?;
            let (prefix, ..) = PREFIXES.iter().find(|(prefix, ..)| rest.starts_with(prefix))?;
            Self::parse(rest.get(..prefix.len() + RANDOM_CHARS + CHECKSUM_CHARS)?)
        })
    }

    /// The key itself.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// SHA-256 of the key.
    pub fn digest(&self) -> [u8; 32] {
        let digest = digest::digest(&digest::SHA256, self.expose().as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        bytes
    }

    /// The prefix, and the last four characters: how a list tells keys apart.
    pub fn hints(&self) -> (&'static str, String) {
        let text = self.expose();
        (
            self.prefix,
            text.get(text.len() - 4..).unwrap_or_default().to_owned(),
        )
    }

    /// Whether it is a live or a test key.
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    digits.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_has_36_characters_after_its_prefix_and_reads_back() {
        for (prefix, style, mode) in PREFIXES {
            let mut seed = 0_u8;
            let key = Key::generate(style, mode, || {
                seed = seed.wrapping_add(1);
                std::array::from_fn(|i| seed.wrapping_mul(31).wrapping_add(i as u8 * 7))
            });
            assert!(key.expose().starts_with(prefix));
            assert_eq!(key.expose().len(), prefix.len() + 36);
            assert_eq!(Key::parse(key.expose()).unwrap().mode(), mode);
        }
    }

    #[test]
    fn a_mistyped_key_is_refused_by_its_checksum() {
        let key = Key::generate(Style::Le, Mode::Live, || [77; 32]);
        let mut mistyped = key.expose().to_owned();
        mistyped.replace_range(10..11, if mistyped.as_bytes()[10] == b'x' { "y" } else { "x" });
        assert!(Key::parse(&mistyped).is_none());
        assert!(Key::parse(&format!("{} ", key.expose())).is_none());
        assert!(Key::parse("le_").is_none());
        assert!(Key::parse("").is_none());
    }

    #[test]
    fn keys_are_found_wherever_they_stand_in_a_text() {
        let live = Key::generate(Style::Le, Mode::Live, || [77; 32]);
        let test = Key::generate(Style::Mp, Mode::Test, || [78; 32]);
        let text = format!("le_ ü?key={}&x,mp_live_{}le_test_", live.expose(), test.expose());
        let found: Vec<_> = Key::find_all(&text).map(|key| key.expose().to_owned()).collect();
        assert_eq!(found, [live.expose(), test.expose()]);
        assert_eq!(Key::find_all("le_test_0123456789").count(), 0);
    }
}
