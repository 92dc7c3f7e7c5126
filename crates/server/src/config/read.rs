//! Reads settings from their sources and prints the reference.

use super::{Config, SECTIONS};
use crate::secret::Secret;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Why the settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// There is no such setting.
    #[error("unknown setting {name}{hint}; `sealwright config reference` lists all settings")]
    Unknown {
        /// The name as it was written.
        name: String,
        /// A near name, if there is one.
        hint: String,
    },
    /// The value does not fit.
    #[error("setting {name}: {reason}")]
    Value {
        /// The setting.
        name: String,
        /// What was expected; never the value, which may be a secret.
        reason: String,
    },
}

/// The documentation of a section and its settings.
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) settings: &'static [Setting],
}

fn all() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.settings)
}

/// One setting's documentation.
pub(super) struct Setting {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) default: &'static str,
    pub(super) kind: &'static str,
    pub(super) is_secret: bool,
}

impl Setting {
    fn key(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    fn variable(&self) -> String {
        format!("SEALWRIGHT_{}_{}", self.section, self.name).to_ascii_uppercase()
    }
}

/// A type that a setting can have; every source gives text.
pub(super) trait FromSetting: Sized {
    const KIND: &'static str;
    const IS_SECRET: bool = false;
    fn from_setting(text: &str) -> Option<Self>;
}

macro_rules! parsed_settings {
    ($($type:ty: $kind:literal;)*) => {$(
        impl FromSetting for $type {
            const KIND: &'static str = $kind;
            fn from_setting(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )*};
}

parsed_settings! {
    String: "text";
    PathBuf: "path";
    bool: "true or false";
    u16: "whole number";
    u64: "whole number";
    usize: "whole number";
    SocketAddr: "address:port";
    IpAddr: "IP address";
    IpNet: "network in CIDR form";
}

impl FromSetting for Secret<String> {
    const KIND: &'static str = "secret text";
    const IS_SECRET: bool = true;
    fn from_setting(text: &str) -> Option<Self> {
        Some(Self::new(text.to_owned()))
    }
}

impl<T: FromSetting> FromSetting for Option<T> {
    const KIND: &'static str = T::KIND;
    const IS_SECRET: bool = T::IS_SECRET;
    fn from_setting(text: &str) -> Option<Self> {
        if text.is_empty() {
            Some(None)
        } else {
            T::from_setting(text).map(Some)
        }
    }
}

impl<T: FromSetting> FromSetting for Vec<T> {
    const KIND: &'static str = T::KIND;
    fn from_setting(text: &str) -> Option<Self> {
        text.split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(T::from_setting)
            .collect()
    }
}

/// Where settings come from, weakest first: file, environment, flags.
#[derive(Clone, Default)]
pub struct Settings {
    values: BTreeMap<String, String>,
}

impl std::fmt::Debug for Settings {
    /// Names only: a value may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Settings {
    /// Adds the settings of a TOML file.
    pub fn file(mut self, path: &Path) -> Result<Self, ConfigError> {
        let refused = |reason: String| ConfigError::File {
            path: path.display().to_string(),
            reason,
        };
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        // The parser's own message quotes the line, which may hold a secret: only its place is told.
        let table = text.parse::<toml::Table>().map_err(|error| {
            let line = error.span().map_or(0, |span| {
                text.get(..span.start).unwrap_or("").lines().count().max(1)
            });
            refused(format!("line {line} is not valid TOML"))
        })?;
        for (section, entries) in table {
            let toml::Value::Table(entries) = entries else {
                return Err(unknown(&section));
            };
            for (name, value) in entries {
                self.set(&format!("{section}.{name}"), text_of(value))?;
            }
        }
        Ok(self)
    }

    /// Adds the `SEALWRIGHT_*` variables.
    pub fn environment(
        mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        /// Variables of the command line and of clients, which are not settings.
        const OTHERS: &[&str] = &["SEALWRIGHT_CONFIG", "SEALWRIGHT_BASE_URL", "SEALWRIGHT_API_KEY"];
        for (variable, value) in variables {
            if !variable.starts_with("SEALWRIGHT_") || OTHERS.contains(&variable.as_str()) {
                continue;
            }
            let plain = variable.strip_suffix("_FILE").unwrap_or(&variable);
            let known = |name: &str| all().find(|setting| setting.variable() == name);
            match (known(&variable), known(plain)) {
                (Some(setting), _) => self.set(&setting.key(), value)?,
                (None, Some(setting)) => self.set(&format!("{}_file", setting.key()), value)?,
                (None, None) => return Err(unknown(&variable)),
            }
        }
        Ok(self)
    }

    /// Adds one setting by its key (`section.name`), as flags do.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Result<Self, ConfigError> {
        self.set(key, value.into())?;
        Ok(self)
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), ConfigError> {
        let file_of = |setting: &Setting| setting.is_secret && format!("{}_file", setting.key()) == key;
        if let Some(setting) = all().find(|setting| file_of(setting)) {
            let text = std::fs::read_to_string(&value).map_err(|error| ConfigError::File {
                path: value.clone(),
                reason: error.to_string(),
            })?;
            self.values
                .insert(setting.key(), text.trim_end_matches(['\r', '\n']).to_owned());
            return Ok(());
        }
        if !all().any(|setting| setting.key() == key) {
            return Err(unknown(key));
        }
        self.values.insert(key.to_owned(), value);
        Ok(())
    }

    /// The same settings as variables of the environment, for a process that is started with them.
    pub fn variables(&self) -> impl Iterator<Item = (String, &str)> {
        all().filter_map(|setting| {
            let value = self.values.get(&setting.key())?;
            Some((setting.variable(), value.as_str()))
        })
    }

    /// Reads all settings; what no source names has its default.
    pub fn config(&self) -> Result<Config, ConfigError> {
        Config::read(&Reader { values: &self.values })
    }
}

fn text_of(value: toml::Value) -> String {
    match value {
        toml::Value::String(text) => text,
        toml::Value::Array(items) => items.into_iter().map(text_of).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn unknown(name: &str) -> ConfigError {
    let wanted = name.to_ascii_lowercase();
    let last = wanted.rsplit(['.', '_']).next().unwrap_or_default();
    let near = all().find(|setting| !last.is_empty() && setting.name.contains(last));
    let hint = near
        .map(|setting| format!(" (did you mean {}?)", setting.key()))
        .unwrap_or_default();
    ConfigError::Unknown {
        name: name.to_owned(),
        hint,
    }
}

/// Hands out settings by place.
pub(super) struct Reader<'a> {
    values: &'a BTreeMap<String, String>,
}

impl Reader<'_> {
    pub(super) fn setting<T: FromSetting>(
        &self,
        section: &str,
        name: &str,
        default: &str,
    ) -> Result<T, ConfigError> {
        let key = format!("{section}.{name}");
        let text = self.values.get(&key).map_or(default, String::as_str);
        let reason = || format!("expected {}", T::KIND);
        T::from_setting(text).ok_or_else(|| ConfigError::Value {
            name: key.clone(),
            reason: reason(),
        })
    }
}

/// The reference page, in Markdown: every setting with its manual.
pub fn reference() -> String {
    let mut page = String::from(
        "# Settings\n\nEach setting can stand in the TOML file or in the environment; the environment wins.\n",
    );
    for section in SECTIONS {
        // Writing to a String can't fail.
        let _ = write!(page, "\n## `[{}]`\n\n{}\n", section.name, section.doc.trim());
        section
            .settings
            .iter()
            .for_each(|setting| describe(&mut page, setting));
    }
    page
}

fn describe(page: &mut String, setting: &Setting) {
    let default = if setting.default.is_empty() {
        "empty".to_owned()
    } else {
        format!("`{}`", setting.default)
    };
    let file = if setting.is_secret {
        format!(", or a file named by `{}_FILE`", setting.variable())
    } else {
        String::new()
    };
    let doc = setting.doc.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    // As above.
    let _ = write!(
        page,
        "\n### `{}`\n\n{}\n\n{}; default: {default}; environment: `{}`{file}\n",
        setting.name,
        doc.trim(),
        capitalised(setting.kind),
        setting.variable()
    );
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn env(name: &str, value: &str) -> std::vec::IntoIter<(String, String)> {
        vec![(name.to_owned(), value.to_owned())].into_iter()
    }

    #[test]
    fn later_sources_win() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        std::fs::write(&file, "[delivery]\nport = 2525\nehlo_name = \"a.example\"\n").unwrap();
        let settings = Settings::default().file(&file).unwrap();
        let settings = settings
            .environment(env("SEALWRIGHT_DELIVERY_PORT", "2626"))
            .unwrap();
        let config = settings.config().unwrap();
        assert_eq!(config.delivery.port, 2626);
        assert_eq!(config.delivery.ehlo_name.as_deref(), Some("a.example"));
        assert_eq!(config.store.postgres_lanes, 4);
    }

    #[test]
    fn an_unknown_setting_is_refused_by_name() {
        let error = Settings::default()
            .environment(env("SEALWRIGHT_DELIVERY_PROT", "1"))
            .unwrap_err();
        assert!(error.to_string().contains("SEALWRIGHT_DELIVERY_PROT"));
        let error = Settings::default().with("delivery.prot", "1").unwrap_err();
        assert!(error.to_string().contains("delivery.prot"));
    }

    #[test]
    fn a_secret_may_come_from_a_file_and_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        std::fs::write(&file, "postgres://secret-canary\n").unwrap();
        let settings = Settings::default();
        let settings = settings
            .environment(env("SEALWRIGHT_STORE_POSTGRES_URL_FILE", file.to_str().unwrap()))
            .unwrap();
        let config = settings.config().unwrap();
        assert_eq!(
            config.store.postgres_url.as_ref().unwrap().expose(),
            "postgres://secret-canary"
        );
        assert!(!format!("{config:?}").contains("canary"));
    }

    #[test]
    fn a_value_that_does_not_fit_names_the_setting_and_what_was_expected() {
        let error = Settings::default()
            .with("delivery.port", "many")
            .unwrap()
            .config()
            .unwrap_err();
        assert_eq!(error.to_string(), "setting delivery.port: expected whole number");
    }

    #[test]
    fn the_reference_explains_every_setting() {
        let page = reference();
        for setting in all() {
            assert!(setting.doc.len() > 20, "{} has no manual", setting.key());
            assert!(page.contains(&setting.variable()));
        }
    }
}
