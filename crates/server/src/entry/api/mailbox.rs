//! Mailboxes as callers write them: `"Name <address>"`, `{"email": …, "name": …}`, one or a list.

use crate::features::emails::DraftError;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use sealwright_mail::address::Mailbox;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use std::borrow::Cow;
use std::fmt;

/// One mailbox, not parsed yet.
#[derive(Clone)]
pub(super) enum MailboxField {
    Text(String),
    Parts { email: String, name: Option<String> },
}

impl MailboxField {
    pub(super) fn parse(&self, field: &str) -> Result<Mailbox, DraftError> {
        let parsed = match self {
            Self::Text(text) => Mailbox::parse(text),
            Self::Parts { email, name } => Mailbox::from_parts(email, name.as_deref()),
        };
        parsed.map_err(|error| DraftError::new(field, error.to_string()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    email: String,
    name: Option<String>,
}

/// One mailbox or several.
#[derive(Clone, Default)]
pub(super) struct MailboxList(Vec<MailboxField>);

impl MailboxList {
    /// Parses all; a refusal names the place in the list.
    pub(super) fn parse(&self, field: &str) -> Result<Vec<Mailbox>, DraftError> {
        if let [one] = self.0.as_slice() {
            return Ok(vec![one.parse(field)?]);
        }
        let parse = |(index, one): (usize, &MailboxField)| one.parse(&format!("{field}/{index}"));
        self.0.iter().enumerate().map(parse).collect()
    }
}

/// One mailbox as a schema.
fn one_mailbox() -> Schema {
    json_schema!({
        "anyOf": [
            { "type": "string" },
            {
                "type": "object",
                "properties": { "email": { "type": "string" }, "name": { "type": ["string", "null"] } },
                "required": ["email"],
                "additionalProperties": false
            }
        ]
    })
}

impl JsonSchema for MailboxField {
    fn schema_name() -> Cow<'static, str> {
        "Mailbox".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        one_mailbox()
    }
}

impl JsonSchema for MailboxList {
    fn schema_name() -> Cow<'static, str> {
        "Mailboxes".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<MailboxField>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

struct OneVisitor;

impl<'de> Visitor<'de> for OneVisitor {
    type Value = MailboxField;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"Name <address>\" or an object with email and name")
    }

    fn visit_str<E>(self, text: &str) -> Result<MailboxField, E> {
        Ok(MailboxField::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MailboxField, A::Error> {
        let Parts { email, name } = Parts::deserialize(MapAccessDeserializer::new(map))?;
        Ok(MailboxField::Parts { email, name })
    }
}

impl<'de> Deserialize<'de> for MailboxField {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OneVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = MailboxList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mailbox or a list of mailboxes")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<MailboxList, E> {
        OneVisitor.visit_str(text).map(|one| MailboxList(vec![one]))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MailboxList, A::Error> {
        OneVisitor.visit_map(map).map(|one| MailboxList(vec![one]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<MailboxList, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = seq.next_element()? {
            all.push(one);
        }
        Ok(MailboxList(all))
    }
}

impl<'de> Deserialize<'de> for MailboxList {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ListVisitor)
    }
}
