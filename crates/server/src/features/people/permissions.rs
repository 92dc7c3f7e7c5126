//! What a key or a member may do.

use std::sync::Arc;

/// What a key may do: `area:action`, `area:*`, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions(Arc<[String]>);

/// Other products' words, and what they mean here.
const ALIASES: &[(&str, &[&str])] = &[
    ("mail:send", &["emails:send"]),
    ("mail:read", &["emails:read"]),
    ("emails:list", &["emails:read"]),
    (
        "domains:write",
        &["domains:create", "domains:update", "domains:delete"],
    ),
    (
        "webhooks:write",
        &["webhooks:create", "webhooks:update", "webhooks:delete"],
    ),
    (
        "api-keys:write",
        &["api-keys:create", "api-keys:update", "api-keys:delete"],
    ),
];

impl Permissions {
    /// The permissions that exist. `*` is all of them, `area:*` all of an area.
    pub const KNOWN: &'static [&'static str] = &[
        "emails:send",
        "emails:read",
        "emails:delete",
        "domains:create",
        "domains:read",
        "domains:update",
        "domains:delete",
        "suppressions:read",
        "suppressions:write",
        "templates:read",
        "templates:write",
        "relays:read",
        "relays:write",
        "webhooks:create",
        "webhooks:read",
        "webhooks:update",
        "webhooks:delete",
        "api-keys:create",
        "api-keys:read",
        "api-keys:update",
        "api-keys:delete",
        "settings:read",
        "settings:write",
        "members:read",
        "members:write",
    ];

    /// Every word that can stand in a set: `*`, each area's wildcard, each permission.
    pub fn vocabulary() -> Vec<String> {
        let area = |word: &str| word.split_once(':').map(|(area, _)| format!("{area}:*"));
        let mut words = vec!["*".to_owned()];
        words.extend(Self::KNOWN.iter().filter_map(|word| area(word)));
        words.dedup();
        words.extend(Self::KNOWN.iter().map(|word| (*word).to_owned()));
        words
    }

    /// Other products' words, which are read as ours.
    pub fn aliases() -> impl Iterator<Item = &'static str> {
        ALIASES.iter().map(|(alias, _)| *alias)
    }

    /// Every permission.
    pub fn all() -> Self {
        Self(["*".to_owned()].into())
    }

    /// Permissions from words of our own, which all exist.
    pub(super) fn of(words: &[&str]) -> Self {
        Self(words.iter().map(|word| (*word).to_owned()).collect())
    }

    /// Reads permissions; names the first that does not exist. Aliases become the words that they stand for.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let mut known: Vec<String> = Vec::with_capacity(words.len());
        for word in words {
            let meant = ALIASES.iter().find(|(alias, _)| alias == word);
            let meant = meant.map_or_else(|| vec![word.as_str()], |(_, meant)| meant.to_vec());
            for word in meant {
                if !exists(word) {
                    return Err(word.to_owned());
                }
                if !known.iter().any(|other| other == word) {
                    known.push(word.to_owned());
                }
            }
        }
        Ok(Self(known.into()))
    }

    /// Whether `wanted` (`area:action`) is among them.
    pub fn allow(&self, wanted: &str) -> bool {
        self.0
            .iter()
            .any(|own| own == wanted || own.strip_suffix('*').is_some_and(|area| wanted.starts_with(area)))
    }

    /// Whether whoever has `other` could do nothing more, today or when an area grows.
    pub fn cover(&self, other: &Permissions) -> bool {
        other.0.iter().all(|word| self.allow(word))
    }

    /// Whether everything is allowed, what comes later included.
    pub fn is_all(&self) -> bool {
        self.0.iter().any(|word| word == "*")
    }

    /// The words.
    pub fn words(&self) -> &[String] {
        &self.0
    }

    /// The words as a row keeps them.
    pub fn stored(&self) -> String {
        self.0.join(" ")
    }

    /// Reads what a row kept.
    pub fn from_stored(text: &str) -> Self {
        Self(text.split_whitespace().map(str::to_owned).collect())
    }
}

fn exists(word: &str) -> bool {
    let area = word
        .strip_suffix('*')
        .filter(|area| area.is_empty() || area.ends_with(':'));
    Permissions::KNOWN
        .iter()
        .any(|known| *known == word || area.is_some_and(|area| known.starts_with(area)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(words: &[&str]) -> Result<Permissions, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Permissions::parse(&words)
    }

    #[test]
    fn a_wildcard_allows_its_area_and_nothing_else() {
        let area = parse(&["emails:*"]).unwrap();
        assert!(area.allow("emails:send") && !area.allow("webhooks:read"));
        assert!(parse(&["*"]).unwrap().allow("webhooks:read"));
    }

    #[test]
    fn a_permission_that_does_not_exist_is_named() {
        assert_eq!(parse(&["emails:send", "emails:sned"]), Err("emails:sned".into()));
        assert_eq!(parse(&["e*"]), Err("e*".into()));
    }

    #[test]
    fn the_vocabulary_is_what_can_be_read() {
        let words = Permissions::vocabulary();
        assert_eq!(Permissions::parse(&words).unwrap().words(), words);
        for alias in Permissions::aliases() {
            assert!(
                parse(&[alias]).is_ok() && !words.iter().any(|word| word == alias),
                "{alias}"
            );
        }
    }

    #[test]
    fn another_products_words_become_ours() {
        let words = parse(&["mail:send", "emails:send", "webhooks:write"]).unwrap();
        let expected = [
            "emails:send",
            "webhooks:create",
            "webhooks:update",
            "webhooks:delete",
        ];
        assert_eq!(words.words(), expected);
    }

    #[test]
    fn nothing_covers_more_than_itself() {
        for (own, other, covers) in [
            (&["*"][..], &["*"][..], true),
            (&["*"], &["emails:*", "webhooks:read"], true),
            (&["emails:*"], &["emails:send"], true),
            (&["emails:*"], &["emails:*"], true),
            (&["emails:send", "emails:read"], &["emails:*"], false),
            (&["emails:*"], &["*"], false),
            (&["emails:send"], &["emails:read"], false),
        ] {
            let (own, other) = (parse(own).unwrap(), parse(other).unwrap());
            assert_eq!(own.cover(&other), covers, "{own:?} {other:?}");
        }
    }
}
