//! The root key: 32 bytes in a file that only its owner can read.

use super::VaultError;
use super::cipher::Key;
use super::random::random;
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use zeroize::Zeroizing;

const HEADER: &str = "sealwright-root-key-1:";

/// The key that wraps all organization keys.
#[derive(Debug, Clone)]
pub struct RootKey(Secret<[u8; 32]>);

impl RootKey {
    /// Reads the key file; refuses one that others can read.
    pub fn read(path: &Path) -> Result<Self, VaultError> {
        let refused = |reason: String| VaultError::Root(format!("{}: {reason}", path.display()));
        let metadata = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(refused("others can read this file; run chmod 600 on it".into()));
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?);
        let encoded = text
            .trim()
            .strip_prefix(HEADER)
            .ok_or_else(|| refused("this is not a root key file".into()))?;
        let bytes = Zeroizing::new(
            STANDARD
                .decode(encoded)
                .map_err(|_| refused("the key is not base64".into()))?,
        );
        let bytes =
            <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| refused("the key is not 32 bytes".into()))?;
        Ok(Self(Secret::new(bytes)))
    }

    /// Makes a new key file; `None` if there already is one. The file appears whole or not at all, and is on disk with its folder entry when
    /// this returns: a key that is lost after the first e-mail was sealed loses everything.
    pub fn create(path: &Path) -> Result<Option<Self>, VaultError> {
        let refused = |error: std::io::Error| VaultError::Root(format!("{}: {error}", path.display()));
        if path.exists() {
            return Ok(None);
        }
        let key = Self(Secret::new(random()));
        let text = Zeroizing::new(format!("{HEADER}{}\n", STANDARD.encode(key.0.expose())));
        let beside = path.with_extension(format!("new-{}", std::process::id()));
        let written = (|| {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            // Unlike a rename, a link never replaces a key that another process made meanwhile.
            std::fs::hard_link(&beside, path)
        })();
        // The name was only for the time of writing; left behind it would do no harm but confuse.
        let _ = std::fs::remove_file(&beside);
        match written {
            Ok(()) => sync_folder(path).map(|()| Some(key)).map_err(refused),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(refused(error)),
        }
    }

    pub(super) fn key(&self) -> Key {
        Key::new(self.0.expose())
    }
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}
