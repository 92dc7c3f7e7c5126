//! Large mailbox providers, and how much each is sent: a table, and the operator's beside it.
//!
//! A provider is known by the names of its mail hosts. All domains that it hosts are one destination: it counts what comes to all of them.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The table that is built in.
const BUILT_IN: &str = include_str!("providers.toml");
/// Providers of a table, at most, and names of mail hosts of each.
const PROVIDERS_MAX: usize = 1_000;
const HOSTS_MAX: usize = 100;

/// What one provider is sent at most. What is not limited here is limited by what it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Provider {
    pub(super) name: String,
    /// Names of its mail hosts in lower case; `*.` stands for any number of labels.
    mx: Vec<String>,
    /// Deliveries under way at once.
    pub(super) connections: Option<usize>,
    /// Messages.
    pub(super) per_second: Option<u32>,
    /// Messages over one connection.
    pub(super) per_connection: Option<usize>,
}

/// The same as it is written; what a table leaves out stays as it was.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    mx: Option<Vec<String>>,
    connections: Option<usize>,
    per_second: Option<u32>,
    per_connection: Option<usize>,
}

/// All providers that are known.
#[derive(Debug, Clone, Default)]
pub struct Providers(Vec<Arc<Provider>>);

impl Providers {
    /// The built-in table with the operator's over it: TOML, a table a provider. One with a known name changes what it names; others come
    /// first, so that they may name hosts of a known one more exactly.
    ///
    /// # Errors
    /// What is wrong with the operator's, in words.
    pub fn new(own: Option<&str>) -> Result<Self, String> {
        let mut all = Vec::new();
        for text in [Some(BUILT_IN), own].into_iter().flatten() {
            let entries: BTreeMap<String, Entry> = toml::from_str(text).map_err(|error| error.to_string())?;
            if entries.len() > PROVIDERS_MAX {
                return Err(format!("more than {PROVIDERS_MAX} providers"));
            }
            for (name, entry) in entries {
                change(&mut all, &name, entry).map_err(|wrong| format!("{name}: {wrong}"))?;
            }
        }
        Ok(Self(all.into_iter().map(Arc::new).collect()))
    }

    /// Whose mail host this is.
    pub(super) fn of(&self, host: &str) -> Option<&Arc<Provider>> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.0.iter().find(|provider| provider.has(&host))
    }
}

fn change(all: &mut Vec<Provider>, name: &str, entry: Entry) -> Result<(), String> {
    for (what, value, most) in [
        ("connections", entry.connections, 1_000),
        ("per_second", entry.per_second.map(|rate| rate as usize), 10_000),
        ("per_connection", entry.per_connection, 1_000),
    ] {
        if value.is_some_and(|value| !(1..=most).contains(&value)) {
            return Err(format!("{what} is a number from 1 to {most}"));
        }
    }
    if !all.iter().any(|provider| provider.name == name) {
        let new = Provider {
            name: name.to_owned(),
            mx: Vec::new(),
            connections: None,
            per_second: None,
            per_connection: None,
        };
        all.insert(0, new);
    }
    let Some(known) = all.iter_mut().find(|provider| provider.name == name) else {
        return Ok(());
    };
    if let Some(mx) = entry.mx {
        known.mx = mx.iter().map(|host| host.to_ascii_lowercase()).collect();
    }
    known.connections = entry.connections.or(known.connections);
    known.per_second = entry.per_second.or(known.per_second);
    known.per_connection = entry.per_connection.or(known.per_connection);
    if !(1..=HOSTS_MAX).contains(&known.mx.len()) || !known.mx.iter().all(|pattern| is_pattern(pattern)) {
        return Err(format!(
            "mx is 1 to {HOSTS_MAX} names of hosts, such as mx.example.net or *.example.net"
        ));
    }
    Ok(())
}

/// At least two labels, so that no provider is a whole top-level domain.
fn is_pattern(pattern: &str) -> bool {
    let name = pattern.strip_prefix("*.").unwrap_or(pattern);
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    };
    name.contains('.') && name.split('.').all(is_label)
}

impl Provider {
    fn has(&self, host: &str) -> bool {
        self.mx.iter().any(|pattern| match pattern.strip_prefix('*') {
            Some(end) => host.len() > end.len() && host.ends_with(end),
            None => host == pattern,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_hosts_are_known_by_name_and_none_by_likeness() {
        let providers = Providers::new(None).unwrap();
        for (host, name) in [
            ("gmail-smtp-in.l.google.com", Some("google")),
            ("ASPMX.L.GOOGLE.COM.", Some("google")),
            ("shop-example.mail.protection.outlook.com", Some("microsoft")),
            ("mta5.am0.yahoodns.net", Some("yahoo")),
            ("mx01.mail.icloud.com", Some("apple")),
            ("mx00.emig.gmx.net", Some("gmx")),
            ("google.com", None),
            ("notgoogle.com", None),
            ("google.com.evil.example", None),
            ("mail.shop.example", None),
        ] {
            assert_eq!(
                providers.of(host).map(|provider| provider.name.as_str()),
                name,
                "{host}"
            );
        }
    }

    #[test]
    fn the_operators_table_changes_what_it_names_and_adds_the_rest() {
        let own = "[google]\nper_second = 5\n[campus]\nmx = [\"mx.campus.example\", \"*.google.com\"]\nconnections = 2\n";
        let providers = Providers::new(Some(own)).unwrap();
        let built_in = Providers::new(None).unwrap();
        let (google, before) = (
            providers.of("a.googlemail.com").unwrap(),
            built_in.of("a.googlemail.com").unwrap(),
        );
        assert_eq!(
            (google.per_second, google.connections),
            (Some(5), before.connections)
        );
        let campus = providers.of("mx.campus.example").unwrap();
        assert_eq!(
            (campus.connections, campus.per_second, campus.per_connection),
            (Some(2), None, None)
        );
        assert_eq!(
            providers.of("a.google.com").unwrap().name,
            "campus",
            "one's own comes first"
        );
    }

    #[test]
    fn a_table_that_makes_no_sense_is_refused_with_its_place() {
        for (own, said) in [
            ("[campus]\nconnections = 2\n", "campus: mx is"),
            ("[campus]\nmx = []\n", "campus: mx is"),
            ("[campus]\nmx = [\"example\"]\n", "campus: mx is"),
            ("[campus]\nmx = [\"*.com\"]\n", "campus: mx is"),
            ("[campus]\nmx = [\"a b.example\"]\n", "campus: mx is"),
            (
                "[google]\nper_second = 0\n",
                "google: per_second is a number from 1 to",
            ),
            ("[google]\nconnections = 100000\n", "google: connections is"),
            ("[google]\nper_minute = 1\n", "per_minute"),
            ("google = 1", "expected"),
        ] {
            let refused = Providers::new(Some(own)).unwrap_err();
            assert!(refused.contains(said), "{own:?}: {refused}");
        }
    }

    #[test]
    fn the_page_of_the_queue_shows_the_table() {
        let page =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/queue.md")).unwrap();
        for provider in Providers::new(None).unwrap().0 {
            let shown =
                |figure: Option<usize>| figure.map_or_else(|| "–".to_owned(), |figure| figure.to_string());
            let rate = provider.per_second.map(|rate| rate as usize);
            let row = format!(
                "| {} | `{}` | {} | {} | {} |",
                provider.name,
                provider.mx.join("`, `"),
                shown(provider.connections),
                shown(rate),
                shown(provider.per_connection)
            );
            assert!(page.contains(&row), "docs/queue.md lacks {row}");
        }
    }
}
