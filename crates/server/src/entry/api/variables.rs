//! Values for templates, as JSON brings them.

use crate::features::emails::DraftError;
use crate::limits::VARIABLES_BYTES_MAX;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use sealwright_mail::template::Value;
use serde::Deserialize;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Values by name, of any kind that JSON has.
#[derive(Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Variables(serde_json::Map<String, Json>);

impl Variables {
    /// The values, if there are not too many of them.
    pub(super) fn within(self, field: &str) -> Result<BTreeMap<String, Value>, DraftError> {
        let bytes: usize = self
            .0
            .iter()
            .map(|(name, value)| name.len() + weight(value))
            .sum();
        if bytes > VARIABLES_BYTES_MAX {
            let reason = format!("variables have at most {VARIABLES_BYTES_MAX} bytes of names and values");
            return Err(DraftError::new(field, reason));
        }
        Ok(self
            .0
            .into_iter()
            .map(|(name, value)| (name, plain(value)))
            .collect())
    }
}

/// Bytes of text, and eight for everything else.
fn weight(value: &Json) -> usize {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 8,
        Json::String(text) => 8 + text.len(),
        Json::Array(list) => 8 + list.iter().map(weight).sum::<usize>(),
        Json::Object(map) => {
            8 + map
                .iter()
                .map(|(name, value)| name.len() + weight(value))
                .sum::<usize>()
        }
    }
}

fn plain(value: Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(bool) => Value::Bool(bool),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Text(text),
        Json::Array(list) => Value::List(list.into_iter().map(plain).collect()),
        Json::Object(map) => Value::Map(
            map.into_iter()
                .map(|(name, value)| (name, plain(value)))
                .collect(),
        ),
    }
}

impl JsonSchema for Variables {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Variables".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": true })
    }
}
