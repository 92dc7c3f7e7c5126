//! API keys: their form, how one becomes a [`Caller`], how one is made.
//!
//! A key is shown once. What is kept is `HMAC(pepper, SHA-256(key))`, by which it is found, and the SHA-256 sealed; neither
//! gives the key back. Not here yet: rotation, expiry reminders, restrictions by network and domain.

mod authenticate;
mod create;
mod format;
mod store;

pub use authenticate::{Authenticator, Refused};
pub use create::{KeyError, NewKey, create};
pub use format::{Key, Style};
pub use store::ALL as STATEMENTS;

use crate::id::{KeyId, OrgId};

/// Whether effects are real.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Mail leaves.
    Live,
    /// Everything but the wire: outcomes come from the recipient's name.
    Test,
}

impl Mode {
    /// The mode as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }

    /// Reads a stored mode.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Live, Self::Test]
            .into_iter()
            .find(|mode| mode.name() == text)
    }
}

/// What a key may do: `area:action`, `area:*`, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions(Vec<String>);

impl Permissions {
    /// The permissions that exist. `*` is all of them, `area:*` all of an area.
    pub const KNOWN: &'static [&'static str] = &[
        "emails:send",
        "emails:read",
        "webhooks:create",
        "webhooks:read",
        "webhooks:update",
        "webhooks:delete",
    ];

    /// Reads permissions; names the first that does not exist.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let exists = |word: &String| {
            let area = word
                .strip_suffix('*')
                .filter(|area| area.is_empty() || area.ends_with(':'));
            Self::KNOWN
                .iter()
                .any(|known| *known == word || area.is_some_and(|area| known.starts_with(area)))
        };
        match words.iter().find(|word| !exists(word)) {
            Some(unknown) => Err(unknown.clone()),
            None => Ok(Self(words.to_vec())),
        }
    }

    /// Whether `wanted` (`area:action`) is among them.
    pub fn allow(&self, wanted: &str) -> bool {
        self.0
            .iter()
            .any(|own| own == wanted || own.strip_suffix('*').is_some_and(|area| wanted.starts_with(area)))
    }

    fn stored(&self) -> String {
        self.0.join(" ")
    }

    fn from_stored(text: &str) -> Self {
        Self(text.split_whitespace().map(str::to_owned).collect())
    }
}

/// Who is calling, once the key was found good.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The organization.
    pub org: OrgId,
    /// The key.
    pub key: KeyId,
    /// Whether effects are real.
    pub mode: Mode,
    /// What the key may do.
    pub permissions: Permissions,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_wildcard_allows_its_area_and_nothing_else() {
        let permissions = Permissions::parse(&words(&["emails:*"]));
        assert!(
            permissions
                .as_ref()
                .is_ok_and(|p| p.allow("emails:send") && !p.allow("webhooks:read"))
        );
        assert!(Permissions::parse(&words(&["*"])).is_ok_and(|p| p.allow("webhooks:read")));
    }

    #[test]
    fn a_permission_that_does_not_exist_is_named() {
        assert_eq!(
            Permissions::parse(&words(&["emails:send", "emails:sned"])),
            Err("emails:sned".into())
        );
        assert_eq!(Permissions::parse(&words(&["e*"])), Err("e*".into()));
    }
}
