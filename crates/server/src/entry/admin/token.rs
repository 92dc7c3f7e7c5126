//! What proves that a caller of the admin listener may change something: a secret in a file that only the operator can read.
//!
//! The listener is near, but so are others: programs of other users of the machine, and pages in a browser on it, which can post
//! anywhere and, with a name that leads to loopback, read the answer. None of them can read the file.

use crate::platform::vault::random;
use crate::secret::Secret;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::response::{IntoResponse as _, Response};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use zeroize::Zeroizing;

/// Characters of a token: 32 bytes in hexadecimal.
const CHARS: usize = 64;

/// The token of an installation's folder.
#[derive(Debug, Clone)]
pub struct Token(Secret<String>);

impl Token {
    /// Reads the token; `None` when there is none that only its owner can read.
    ///
    /// # Errors
    /// When the file is there and can't be read.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = Zeroizing::new(std::fs::read_to_string(path)?);
        let is_token = text.trim().len() == CHARS && text.trim().bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_private = metadata.permissions().mode() & 0o077 == 0;
        Ok((is_token && is_private).then(|| Self(Secret::new(text.trim().to_owned()))))
    }

    /// Reads the token, or makes a new one. The file appears whole or not at all.
    ///
    /// # Errors
    /// When the file can't be read or written.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(token) = Self::read(path)? {
            return Ok(token);
        }
        let bytes = Zeroizing::new(random::<32>());
        let token = Self(Secret::new(
            bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ));
        let beside = path.with_extension(format!("new-{}", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        writeln!(file, "{}", token.0.expose())?;
        std::fs::rename(&beside, path)?;
        Ok(token)
    }

    /// The field of a request that shows it.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.0.expose())
    }

    /// Whether a request shows it.
    pub(super) fn is_shown(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes);
        let shown = shown.and_then(|field| field.strip_prefix(b"Bearer "));
        shown.is_some_and(|shown| verify_slices_are_equal(shown, self.0.expose().as_bytes()).is_ok())
    }

    /// What is said to a request that does not.
    pub(super) fn missing(&self) -> Response {
        let why = "this needs the token in admin.token of store.data_dir, which `sealwright queue` and `sealwright reports` read\n";
        (StatusCode::UNAUTHORIZED, why).into_response()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_is_kept_and_one_that_others_could_read_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.token");
        assert!(Token::read(&path).unwrap().is_none());
        let first = Token::open(&path).unwrap();
        assert_eq!(Token::open(&path).unwrap().authorization(), first.authorization());
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_ne!(Token::open(&path).unwrap().authorization(), first.authorization());
        let second = Token::open(&path).unwrap();
        let headers = |text: String| HeaderMap::from_iter([(AUTHORIZATION, text.parse().unwrap())]);
        assert!(second.is_shown(&headers(second.authorization())));
        assert!(!second.is_shown(&headers(first.authorization())));
        assert!(!second.is_shown(&headers("Bearer ".into())) && !second.is_shown(&HeaderMap::new()));
    }
}
