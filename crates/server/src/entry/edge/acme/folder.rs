//! Where account and certificate are kept: two files, for their owner only, each replaced as a whole.

use crate::entry::edge::Pair;
use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

/// The account with one authority.
#[derive(Serialize, Deserialize)]
struct Kept<C> {
    directory: String,
    credentials: C,
}

/// The folder `acme` in the data folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes the folder if it is not there.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)?;
        Ok(Self(path))
    }

    /// The account with this authority, if there is one.
    pub(super) fn account(&self, directory: &str) -> Option<AccountCredentials> {
        // Absent or of another authority: then a new account is made, which is free.
        let text = std::fs::read(self.0.join("account.json")).ok()?;
        let kept: Kept<AccountCredentials> = serde_json::from_slice(&text).ok()?;
        (kept.directory == directory).then_some(kept.credentials)
    }

    pub(super) fn keep_account(&self, directory: &str, credentials: &AccountCredentials) -> io::Result<()> {
        let kept = Kept {
            directory: directory.to_owned(),
            credentials,
        };
        self.replace("account.json", &serde_json::to_vec(&kept)?)
    }

    /// The certificate of an earlier run.
    pub(super) fn certificate(&self) -> Option<Pair> {
        let text = std::fs::read(self.0.join("certificate.pem")).ok()?;
        let pair = Pair::from_pem(&text, &text);
        pair.inspect_err(|error| tracing::warn!(error, "the kept certificate can't be used"))
            .ok()
    }

    /// Keeps key and chain in one file, so that they are never of different certificates.
    pub(super) fn keep_certificate(&self, text: &str) -> io::Result<()> {
        self.replace("certificate.pem", text.as_bytes())
    }

    /// Writes beside, syncs, renames, and syncs the folder: a power cut leaves the old file or the new one.
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let (path, beside) = (self.0.join(name), self.0.join(format!("{name}.new")));
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&beside, &path)?;
        std::fs::File::open(&self.0)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_kept_certificate_is_its_owners_only_and_comes_back() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path().join("acme")).unwrap();
        assert!(folder.certificate().is_none());
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let text = format!("{}\n{}", made.signing_key.serialize_pem(), made.cert.pem());
        folder.keep_certificate(&text).unwrap();
        assert!(folder.certificate().unwrap().covers("a.example"));
        for (path, mode) in [("acme", 0o700), ("acme/certificate.pem", 0o600)] {
            let facts = std::fs::metadata(place.path().join(path)).unwrap();
            assert_eq!(facts.permissions().mode() & 0o777, mode, "{path}");
        }
        assert!(!place.path().join("acme/certificate.pem.new").exists());
    }
}
