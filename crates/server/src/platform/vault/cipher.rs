//! The format of sealed values, version 1.
//!
//! ```text
//! 01 | class (1) | day (4, big endian) | nonce (24) | chunk 0 | chunk 1 | …
//! ```
//!
//! Each chunk is AES-256-GCM over at most 64 KiB with the subkey that XAES-256-GCM (C2SP) derives from the bucket key and the nonce's
//! first half. Chunk *i* uses the nonce's second half with *i* folded into its last four bytes; *i* and whether it is the last are part
//! of its associated data, so that chunks can't be dropped, repeated or reordered. With one chunk this is XAES-256-GCM itself. Random
//! 192-bit nonces are safe for as many values as a key ever sees.

use super::Class;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cmac;
use aws_lc_rs::error::Unspecified;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const HEADER_BYTES: usize = 1 + 1 + 4 + NONCE_BYTES;
const CHUNK_BYTES: usize = 64 * 1024;
const TAG_BYTES: usize = 16;

/// Where a sealed value lives.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a> {
    /// Table.
    pub table: &'static str,
    /// Column.
    pub column: &'static str,
    /// What names the row inside its organization.
    pub row: &'a str,
}

/// Which bucket key sealed a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyName {
    pub(super) class: Class,
    pub(super) day: i64,
}

impl KeyName {
    /// Read from the head of a sealed value.
    pub(super) fn of(sealed: &[u8]) -> Option<Self> {
        let (head, _) = sealed.split_at_checked(HEADER_BYTES)?;
        let [VERSION, class, d0, d1, d2, d3, ..] = *head else {
            return None;
        };
        Some(Self {
            class: Class::from_byte(class)?,
            day: i32::from_be_bytes([d0, d1, d2, d3]).into(),
        })
    }

    fn bytes(self) -> [u8; 6] {
        let [d0, d1, d2, d3] = i32::try_from(self.day).unwrap_or(i32::MAX).to_be_bytes();
        [VERSION, self.class.byte(), d0, d1, d2, d3]
    }
}

/// Everything a sealed value is bound to, each part with its length before it.
pub(super) fn associated_data(region: &str, org: &str, name: KeyName, cell: Cell<'_>) -> Vec<u8> {
    let mut data = Vec::with_capacity(160);
    for part in ["sealwright", region, org, cell.table, cell.column, cell.row] {
        data.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        data.extend_from_slice(part.as_bytes());
    }
    data.extend_from_slice(&name.bytes());
    data
}

/// A key that seals values: an organization's key (it seals bucket keys) or a bucket key.
pub(super) struct Key {
    derive: cmac::Key,
}

impl Key {
    #[allow(clippy::expect_used, reason = "AES-256 takes any 32 bytes")]
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        Self {
            derive: cmac::Key::new(cmac::AES_256, secret).expect("32 bytes are an AES-256 key"),
        }
    }

    pub(super) fn seal(
        &self,
        name: KeyName,
        bound: &[u8],
        nonce: [u8; NONCE_BYTES],
        value: &[u8],
    ) -> Result<Vec<u8>, Unspecified> {
        let (chunks, subkey) = self.chunks(&nonce, bound)?;
        let count = value.len().div_ceil(CHUNK_BYTES).max(1);
        let mut sealed = Vec::with_capacity(HEADER_BYTES + value.len() + count * TAG_BYTES);
        sealed.extend_from_slice(&name.bytes());
        sealed.extend_from_slice(&nonce);
        for index in 0..count {
            let rest = value.get(index * CHUNK_BYTES..).unwrap_or_default();
            let chunk = rest.get(..CHUNK_BYTES).unwrap_or(rest);
            let start = sealed.len();
            sealed.extend_from_slice(chunk);
            let (nonce, aad) = chunks.of(index, index + 1 == count)?;
            let tag =
                subkey.seal_in_place_separate_tag(nonce, aad, sealed.get_mut(start..).ok_or(Unspecified)?)?;
            sealed.extend_from_slice(tag.as_ref());
        }
        Ok(sealed)
    }

    pub(super) fn open(&self, bound: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let (head, body) = sealed.split_at_checked(HEADER_BYTES).ok_or(Unspecified)?;
        let nonce: [u8; NONCE_BYTES] = head.get(6..).and_then(|n| n.try_into().ok()).ok_or(Unspecified)?;
        let (chunks, subkey) = self.chunks(&nonce, bound)?;
        let count = body.len().div_ceil(CHUNK_BYTES + TAG_BYTES).max(1);
        let mut value = Vec::with_capacity(body.len());
        for (index, chunk) in body.chunks(CHUNK_BYTES + TAG_BYTES).enumerate() {
            let (nonce, aad) = chunks.of(index, index + 1 == count)?;
            let start = value.len();
            value.extend_from_slice(chunk);
            let opened = subkey
                .open_in_place(nonce, aad, value.get_mut(start..).ok_or(Unspecified)?)?
                .len();
            value.truncate(start + opened);
        }
        if body.is_empty() {
            Err(Unspecified)
        } else {
            Ok(value)
        }
    }

    /// XAES-256-GCM's key derivation: two CMACs over a counter, the label `X` and the nonce's first half.
    fn chunks(&self, nonce: &[u8; NONCE_BYTES], bound: &[u8]) -> Result<(Chunks, LessSafeKey), Unspecified> {
        let (first, second) = nonce.split_at(12);
        let mut key = [0; 32];
        for (counter, half) in (1_u8..).zip(key.chunks_exact_mut(16)) {
            let mut block = [0, counter, b'X', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            block[4..].copy_from_slice(first);
            half.copy_from_slice(cmac::sign(&self.derive, &block)?.as_ref());
        }
        let subkey = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key)?);
        zeroize::Zeroize::zeroize(&mut key);
        Ok((
            Chunks {
                nonce: second.try_into().map_err(|_| Unspecified)?,
                bound: bound.to_vec(),
            },
            subkey,
        ))
    }
}

struct Chunks {
    nonce: [u8; 12],
    bound: Vec<u8>,
}

impl Chunks {
    fn of(&self, index: usize, is_last: bool) -> Result<(Nonce, Aad<Vec<u8>>), Unspecified> {
        let index = u32::try_from(index).map_err(|_| Unspecified)?;
        let mut nonce = self.nonce;
        for (place, byte) in nonce[8..].iter_mut().zip(index.to_be_bytes()) {
            *place ^= byte;
        }
        let mut aad = self.bound.clone();
        aad.extend_from_slice(&index.to_be_bytes());
        aad.push(is_last.into());
        Ok((Nonce::assume_unique_for_key(nonce), Aad::from(aad)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NAME: KeyName = KeyName {
        class: Class::Content,
        day: 20_000,
    };

    fn bound(row: &str) -> Vec<u8> {
        associated_data(
            "eu",
            "org_1",
            NAME,
            Cell {
                table: "t",
                column: "c",
                row,
            },
        )
    }

    /// The derivation against the published XAES-256-GCM test vectors (C2SP), whose nonce and plaintext are letters.
    #[test]
    fn the_subkey_is_that_of_xaes_256_gcm() {
        for (key, aad, hex) in [
            (
                [1; 32],
                "",
                "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
            ),
            (
                [3; 32],
                "c2sp.org/XAES-256-GCM",
                "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
            ),
        ] {
            let nonce = *b"ABCDEFGHIJKLMNOPQRSTUVWX";
            let (chunks, subkey) = Key::new(&key).chunks(&nonce, b"").unwrap();
            let mut text = b"XAES-256-GCM".to_vec();
            let nonce = Nonce::assume_unique_for_key(chunks.nonce);
            subkey
                .seal_in_place_append_tag(nonce, Aad::from(aad.as_bytes()), &mut text)
                .unwrap();
            assert_eq!(text.iter().map(|b| format!("{b:02x}")).collect::<String>(), hex);
        }
    }

    #[test]
    fn values_of_every_length_open_again() {
        let key = Key::new(&[7; 32]);
        for length in [
            0,
            1,
            CHUNK_BYTES - 1,
            CHUNK_BYTES,
            CHUNK_BYTES + 1,
            3 * CHUNK_BYTES,
        ] {
            let value: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let sealed = key.seal(NAME, &bound("a"), [9; 24], &value).unwrap();
            assert_eq!(KeyName::of(&sealed), Some(NAME));
            assert_eq!(key.open(&bound("a"), &sealed).unwrap(), value);
        }
    }

    #[test]
    fn a_value_that_was_moved_changed_or_cut_does_not_open() {
        let key = Key::new(&[7; 32]);
        let value = vec![5; 2 * CHUNK_BYTES + 10];
        let sealed = key.seal(NAME, &bound("a"), [9; 24], &value).unwrap();
        assert!(key.open(&bound("b"), &sealed).is_err(), "another row");
        assert!(
            Key::new(&[8; 32]).open(&bound("a"), &sealed).is_err(),
            "another key"
        );
        for at in [
            6,
            HEADER_BYTES,
            HEADER_BYTES + CHUNK_BYTES + TAG_BYTES,
            sealed.len() - 1,
        ] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open(&bound("a"), &changed).is_err(), "byte {at} changed");
        }
        let chunk = CHUNK_BYTES + TAG_BYTES;
        for cut in [
            HEADER_BYTES,
            HEADER_BYTES + chunk,
            HEADER_BYTES + 2 * chunk,
            sealed.len() - 1,
        ] {
            assert!(key.open(&bound("a"), &sealed[..cut]).is_err(), "cut at {cut}");
        }
        let mut swapped = sealed.clone();
        let (one, two) = swapped[HEADER_BYTES..HEADER_BYTES + 2 * chunk].split_at_mut(chunk);
        one.swap_with_slice(two);
        swapped[HEADER_BYTES] ^= 1;
        assert!(key.open(&bound("a"), &swapped).is_err(), "chunks swapped");
    }
}
