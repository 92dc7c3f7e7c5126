//! The public JSON of events: bytes that JavaScript's `JSON.stringify(JSON.parse(body))` gives back unchanged.
//!
//! Receivers exist that sign again what they parsed. So: no white space, numbers as JavaScript writes them, and object keys that look like
//! array indexes first and in ascending order, because that is where every JavaScript engine puts them.

use super::About;
use crate::id::EventId;
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a, D> {
    id: &'a EventId,
    #[serde(rename = "type")]
    kind: &'static str,
    created_at: String,
    /// Only on test events; live ones keep the documented shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    data: &'a D,
}

pub(super) fn json<D: Serialize>(id: &EventId, about: &About<'_>, data: &D) -> String {
    let mode = (about.mode == crate::mode::Mode::Test).then(|| about.mode.name());
    let body = Body {
        id,
        kind: about.kind.name(),
        created_at: about.at.rfc3339(),
        mode,
        data,
    };
    // Only maps with keys that are not strings and failing implementations of Serialize can fail; there are none.
    serde_json::to_string(&body).unwrap_or_default()
}

/// A value of metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// true or false.
    Bool(bool),
    /// A number that went through [`plain_number`].
    Number(serde_json::Number),
    /// Text.
    Text(String),
}

/// A caller's metadata, in the order in which JavaScript would list it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata(Vec<(String, Scalar)>);

impl Metadata {
    /// Orders the keys.
    pub fn new(mut entries: Vec<(String, Scalar)>) -> Self {
        // A stable sort: keys that are no indexes keep the caller's order.
        entries.sort_by_key(|(key, _)| array_index(key).map_or((1, 0), |index| (0, index)));
        Self(entries)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Metadata;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object whose values are text, numbers or booleans")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<String, Scalar>()? {
                    entries.push(entry);
                }
                Ok(Metadata::new(entries))
            }
        }
        from.deserialize_map(Visitor)
    }
}

impl Metadata {
    /// Keys and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = &(String, Scalar)> {
        self.0.iter()
    }
}

/// ECMA-262 §6.1.7: an array index is a canonical decimal below 2³² − 1.
fn array_index(key: &str) -> Option<u32> {
    let index = key.parse::<u32>().ok()?;
    (index < u32::MAX && index.to_string() == key).then_some(index)
}

/// The largest integer that a double holds exactly.
const INTEGER_MAX: f64 = 9_007_199_254_740_991.0;
/// Between these, both sides write a fraction in the same plain decimal form.
const FRACTIONS: std::ops::Range<f64> = 1e-4..1e15;

/// The number, written as JavaScript writes it; `None` for one that the two sides would write differently.
pub fn plain_number(number: &serde_json::Number) -> Option<serde_json::Number> {
    let double = number.as_f64()?;
    if double.fract() == 0.0 && double.abs() <= INTEGER_MAX {
        // Exact: an integer of at most 53 bits. This also turns 1.0 into 1 and -0 into 0.
        #[allow(clippy::cast_possible_truncation, reason = "checked just above")]
        return Some((double as i64).into());
    }
    FRACTIONS
        .contains(&double.abs())
        .then(|| serde_json::Number::from_f64(double))
        .flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_that_look_like_indexes_come_first_in_ascending_order() {
        let metadata: Metadata =
            serde_json::from_str(r#"{"b":1,"10":2,"2":3,"a":4,"01":5,"4294967295":6}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&metadata).unwrap(),
            r#"{"2":3,"10":2,"b":1,"a":4,"01":5,"4294967295":6}"#
        );
    }

    #[test]
    fn numbers_that_javascript_would_write_differently_are_refused() {
        let plain =
            |text: &str| plain_number(&serde_json::from_str(text).unwrap()).map(|number| number.to_string());
        for (text, written) in [
            ("1.0", "1"),
            ("-0.0", "0"),
            ("0.1", "0.1"),
            ("1e3", "1000"),
            ("9007199254740991", "9007199254740991"),
        ] {
            assert_eq!(plain(text).as_deref(), Some(written));
        }
        for text in [
            "9007199254740992",
            "1e21",
            "1e-7",
            "0.00001",
            "123456789012345678901",
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
    }
}
