use super::canonical::{body_hash_relaxed, push_relaxed_field};
use super::{DkimError, SigningKey};
use crate::address::Domain;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// How long a signature counts, from `t=` to `x=`: longer than any retry schedule, short enough
/// that a captured message is of little use.
pub const SIGNATURE_LIFETIME_S: i64 = 14 * 86_400;

/// Octets of a selector: one DNS label.
pub const SELECTOR_OCTETS_MAX: usize = 63;

/// Octets of a folded line of the signature field.
const LINE_OCTETS: usize = 76;

/// The last time a signature may bear: twelve digits (RFC 6376 §3.5 `t=`).
const LATEST_UNIX_S: i64 = 999_999_999_999;

/// Signed where present; the flag says whether once more than present.
const SIGNED: [(&str, Oversign); 15] = [
    ("From", Oversign::Yes),
    ("To", Oversign::Yes),
    ("Cc", Oversign::Yes),
    ("Reply-To", Oversign::Yes),
    ("Subject", Oversign::Yes),
    ("Date", Oversign::Yes),
    ("Message-ID", Oversign::Yes),
    ("MIME-Version", Oversign::Yes),
    ("Content-Type", Oversign::Yes),
    ("Content-Transfer-Encoding", Oversign::No),
    ("List-Unsubscribe", Oversign::No),
    ("List-Unsubscribe-Post", Oversign::No),
    ("Feedback-ID", Oversign::No),
    ("In-Reply-To", Oversign::No),
    ("References", Oversign::No),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Oversign {
    Yes,
    No,
}

/// Signs messages of one domain with one key.
///
/// Cheap to clone and to share between threads.
#[derive(Clone)]
pub struct Signer {
    key: Arc<SigningKey>,
    domain: Domain,
    selector: String,
}

impl Signer {
    /// Binds a key to the place where its public half is published:
    /// `selector._domainkey.domain`.
    ///
    /// # Errors
    /// [`DkimError::Selector`] when the selector isn't one DNS label of lower-case letters, digits
    /// and hyphens, at most [`SELECTOR_OCTETS_MAX`] long.
    pub fn new(key: Arc<SigningKey>, domain: &Domain, selector: &str) -> Result<Self, DkimError> {
        let is_label = (1..=SELECTOR_OCTETS_MAX).contains(&selector.len())
            && selector
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !selector.starts_with('-')
            && !selector.ends_with('-');
        if !is_label {
            return Err(DkimError::Selector);
        }
        Ok(Self {
            key,
            domain: domain.clone(),
            selector: selector.to_owned(),
        })
    }

    /// Signs a message whose body begins at `body_start`, past the empty line.
    ///
    /// Returns the whole `DKIM-Signature` field, folded, with its CRLF, to be put in front.
    ///
    /// # Errors
    /// [`DkimError::Header`] when the header section isn't lines of fields ended by an empty line,
    /// or holds a bare CR or LF; [`DkimError::From`] without exactly one `From`;
    /// [`DkimError::Time`]; [`DkimError::Crypto`].
    pub fn sign(&self, message: &[u8], body_start: usize, now_unix_s: i64) -> Result<Vec<u8>, DkimError> {
        let (header, body) = message.split_at_checked(body_start).ok_or(DkimError::Header)?;
        self.sign_prehashed(header, &body_hash_relaxed(body), now_unix_s)
    }

    /// Signs with a body hash from [`body_hash_relaxed`], for a second signature over one body or a
    /// header that changes while the body stays.
    ///
    /// `header` is the header section including the empty line that ends it.
    ///
    /// # Errors
    /// As for [`Signer::sign`].
    pub fn sign_prehashed(
        &self,
        header: &[u8],
        body_hash: &[u8; 32],
        now_unix_s: i64,
    ) -> Result<Vec<u8>, DkimError> {
        if !(0..=LATEST_UNIX_S - SIGNATURE_LIFETIME_S).contains(&now_unix_s) {
            return Err(DkimError::Time);
        }
        let fields = parse_fields(header)?;
        if fields.iter().filter(|field| field.is_named("From")).count() != 1 {
            return Err(DkimError::From);
        }
        let (names, mut canonical) = select(&fields, header.len());
        let unsigned = self.unsigned_field(&names, body_hash, now_unix_s);
        push_relaxed_signature(&mut canonical, &unsigned);
        let signature = STANDARD.encode(self.key.sign(&canonical)?);
        Ok(with_signature(unsigned, &signature).into_bytes())
    }

    /// The field up to and including `b=`, folded.
    fn unsigned_field(&self, names: &[&str], body_hash: &[u8; 32], now_unix_s: i64) -> String {
        let mut field = String::with_capacity(1024);
        let (algorithm, domain, selector) = (self.key.algorithm(), self.domain.as_str(), &self.selector);
        let expires = now_unix_s + SIGNATURE_LIFETIME_S;
        // Writing to a string can't fail.
        let _ = write!(
            field,
            "DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed;\r\n d={domain};\r\n \
             s={selector};\r\n t={now_unix_s}; x={expires};\r\n h="
        );
        let mut column = 3;
        for (index, name) in names.iter().enumerate() {
            let colon = if index + 1 < names.len() { ":" } else { ";" };
            if column + name.len() + 1 > LINE_OCTETS {
                field.push_str("\r\n  ");
                column = 2;
            }
            field.push_str(name);
            field.push_str(colon);
            column += name.len() + 1;
        }
        let _ = write!(field, "\r\n bh={};\r\n b=", STANDARD.encode(body_hash));
        field
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

struct Field<'m> {
    name: &'m [u8],
    /// Folded as it stands, without the last CRLF.
    value: &'m [u8],
}

impl Field<'_> {
    fn is_named(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// Splits a header section into its fields; anything two readers could split differently is
/// refused.
fn parse_fields(header: &[u8]) -> Result<Vec<Field<'_>>, DkimError> {
    let mut fields = Vec::with_capacity(24);
    let mut rest = header;
    loop {
        let field = split_field(rest)?;
        rest = rest.get(field.len() + 2..).unwrap_or_default();
        if field.is_empty() {
            // The empty line: nothing may follow it here.
            return if rest.is_empty() {
                Ok(fields)
            } else {
                Err(DkimError::Header)
            };
        }
        let colon = field
            .iter()
            .position(|byte| *byte == b':')
            .ok_or(DkimError::Header)?;
        let (name, value) = (field.get(..colon), field.get(colon + 1..));
        let name = name.unwrap_or_default().trim_ascii_end();
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            return Err(DkimError::Header);
        }
        fields.push(Field {
            name,
            value: value.unwrap_or_default(),
        });
    }
}

/// The first field of `rest` with its continuation lines, without the CRLF that ends it.
fn split_field(rest: &[u8]) -> Result<&[u8], DkimError> {
    let mut octets = 0;
    loop {
        let after = rest.get(octets..).unwrap_or_default();
        let line = after.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let line = line.ok_or(DkimError::Header)?;
        let next = after.get(line..).and_then(|end| end.strip_prefix(b"\r\n"));
        let next = next.ok_or(DkimError::Header)?;
        octets += line;
        if octets == 0 || !matches!(next.first(), Some(b' ' | b'\t')) {
            return rest.get(..octets).ok_or(DkimError::Header);
        }
        octets += 2;
    }
}

/// The names for `h=`, in order, and the canonical form of the fields they pick.
///
/// A name listed again picks the next instance from the bottom up, then nothing (RFC 6376 §5.4.2).
fn select(fields: &[Field<'_>], octets_expected: usize) -> (Vec<&'static str>, Vec<u8>) {
    let mut names = Vec::with_capacity(32);
    let mut canonical = Vec::with_capacity(octets_expected + 1024);
    for (name, oversign) in SIGNED {
        for field in fields.iter().rev().filter(|field| field.is_named(name)) {
            names.push(name);
            push_relaxed_field(&mut canonical, field.name, field.value);
            canonical.extend_from_slice(b"\r\n");
        }
        if oversign == Oversign::Yes {
            names.push(name);
        }
    }
    (names, canonical)
}

/// Appends the signature field as it is signed: relaxed, `b=` empty, no line end (§3.7).
fn push_relaxed_signature(canonical: &mut Vec<u8>, unsigned: &str) {
    let (name, value) = unsigned.split_once(':').unwrap_or((unsigned, ""));
    push_relaxed_field(canonical, name.as_bytes(), value.as_bytes());
}

/// Fills in `b=` over as many lines as it takes.
fn with_signature(mut field: String, signature: &str) -> String {
    let mut column = 3;
    for c in signature.chars() {
        if column == LINE_OCTETS {
            field.push_str("\r\n  ");
            column = 2;
        }
        field.push(c);
        column += 1;
    }
    field.push_str("\r\n");
    field
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::super::{DkimError, SigningKey, body_hash_relaxed};
    use super::{parse_fields, push_relaxed_field, push_relaxed_signature};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    /// RFC 8463 appendix A.3, the message below its two signatures.
    const RFC_8463_MESSAGE: &[u8] = b"From: Joe SixPack <joe@football.example.com>\r\n\
        To: Suzie Q <suzie@shopping.example.net>\r\n\
        Subject: Is dinner ready?\r\n\
        Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n\
        Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\
        \r\n\
        Hi.\r\n\
        \r\n\
        We lost the game.  Are you hungry yet?\r\n\
        \r\n\
        Joe.\r\n";

    /// Appendix A.3, the Ed25519 signature field up to `b=`.
    const RFC_8463_UNSIGNED: &str = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n \
        d=football.example.com; i=@football.example.com;\r\n \
        q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n \
        subject : date : message-id : from : subject : date;\r\n \
        bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n \
        b=";

    #[test]
    fn ed25519_example_of_rfc_8463_is_reproduced_exactly() {
        let seed = STANDARD
            .decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
            .unwrap();
        let key = SigningKey::ed25519_seed(&seed).unwrap();
        assert_eq!(
            key.dns_record(),
            "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
        );
        let body_start = RFC_8463_MESSAGE
            .windows(4)
            .position(|at| at == b"\r\n\r\n")
            .unwrap()
            + 4;
        let (header, body) = RFC_8463_MESSAGE.split_at(body_start);
        assert_eq!(
            STANDARD.encode(body_hash_relaxed(body)),
            "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="
        );

        let fields = parse_fields(header).unwrap();
        let mut canonical = Vec::new();
        // The second from, subject and date of `h=` pick nothing.
        for name in ["from", "to", "subject", "date", "message-id"] {
            let field = fields.iter().find(|field| field.is_named(name)).unwrap();
            push_relaxed_field(&mut canonical, field.name, field.value);
            canonical.extend_from_slice(b"\r\n");
        }
        push_relaxed_signature(&mut canonical, RFC_8463_UNSIGNED);
        assert_eq!(
            STANDARD.encode(key.sign(&canonical).unwrap()),
            "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
        );
    }

    #[test]
    fn header_sections_that_readers_could_split_differently_are_refused() {
        let sections: [&[u8]; 12] = [
            b"",
            b"From: a@b.example",
            b"From: a@b.example\r\n",
            b"From: a@b.example\n\r\n",
            b"From: a@b.example\rBcc: c@d.example\r\n\r\n",
            b"From: a@b.example\nBcc: c@d.example\r\n\r\n",
            b"From a@b.example\r\n\r\n",
            b" From: a@b.example\r\n\r\n",
            b": x\r\n\r\n",
            b"Fr om: a@b.example\r\n\r\n",
            b"From: a@b.example\r\n\r\nTo: x@y.example\r\n\r\n",
            b"From: a@b.example\r\n\r",
        ];
        for section in sections {
            assert_eq!(
                parse_fields(section).err(),
                Some(DkimError::Header),
                "{section:?}"
            );
        }
    }

    #[test]
    fn folded_fields_and_space_before_the_colon_are_understood() {
        let fields = parse_fields(b"A : x\r\n\ty\r\n \t\r\n z\r\nB:\r\n\r\n").unwrap();
        let parsed: Vec<_> = fields.iter().map(|field| (field.name, field.value)).collect();
        assert_eq!(parsed, [(&b"A"[..], &b" x\r\n\ty\r\n \t\r\n z"[..]), (b"B", b"")]);
    }
}
