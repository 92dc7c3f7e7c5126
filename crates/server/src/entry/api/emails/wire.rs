//! The body of `POST /v1/emails`, and how it becomes a draft.

use crate::entry::api::json::OWN_WORDS;
use crate::entry::api::mailbox::{MailboxField, MailboxList};
use crate::features::emails::{Attachment, Draft, DraftError};
use crate::features::events::{Metadata, Scalar, plain_number};
use crate::limits::{
    ATTACHMENT_BYTES_MAX, ATTACHMENTS_MAX, HEADERS_MAX, METADATA_KEYS_MAX, SUBJECT_CHARS_MAX, TAG_CHARS_MAX,
    TAGS_MAX,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use sealwright_mail::header::{ContentId, ContentType, FileName, HeaderName, HeaderText};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// An e-mail to be sent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::entry::api) struct NewEmail {
    /// The sender, of a verified domain.
    from: MailboxField,
    /// The recipients; `to`, `cc` and `bcc` have at most 50 together.
    to: MailboxList,
    /// The subject.
    #[schemars(length(max = SUBJECT_CHARS_MAX))]
    subject: String,
    /// The HTML part; this or `text` is needed.
    html: Option<String>,
    /// The text part; derived from `html` if not given.
    text: Option<String>,
    /// Recipients that everybody sees.
    #[serde(default)]
    cc: MailboxList,
    /// Recipients that nobody sees.
    #[serde(default)]
    bcc: MailboxList,
    /// Where replies go.
    #[serde(default)]
    reply_to: MailboxList,
    /// Headers of the mail itself.
    #[serde(default)]
    headers: HeaderFields,
    /// Words to find it by.
    #[serde(default)]
    #[schemars(length(max = TAGS_MAX), inner(length(max = TAG_CHARS_MAX), regex(pattern = r"^[A-Za-z0-9_-]+$")))]
    tags: Vec<String>,
    /// Facts of your own that come back in reads and events.
    #[serde(default)]
    metadata: MetadataField,
    /// Files that travel with it.
    #[serde(default)]
    #[schemars(length(max = ATTACHMENTS_MAX))]
    attachments: Vec<AttachmentField>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AttachmentField {
    /// Its bare name.
    filename: String,
    /// Its bytes in base64 with padding.
    content: String,
    /// `type/subtype`; `application/octet-stream` if not given.
    content_type: Option<String>,
    /// Content id, for `cid:` in the HTML part.
    cid: Option<String>,
}

impl NewEmail {
    /// Parses every field; refusals name it.
    pub(super) fn draft(self) -> Result<Draft, DraftError> {
        if self.subject.chars().count() > SUBJECT_CHARS_MAX {
            return Err(DraftError::new(
                "subject",
                format!("a subject has at most {SUBJECT_CHARS_MAX} characters"),
            ));
        }
        let attachment =
            |(index, field): (usize, AttachmentField)| field.attachment(&format!("attachments/{index}"));
        Ok(Draft {
            from: self.from.parse("from")?,
            to: self.to.parse("to")?,
            cc: self.cc.parse("cc")?,
            bcc: self.bcc.parse("bcc")?,
            reply_to: self.reply_to.parse("replyTo")?,
            subject: HeaderText::parse(&self.subject)
                .map_err(|error| DraftError::new("subject", error.to_string()))?,
            html: self.html,
            text: self.text,
            headers: self.headers.parse()?,
            tags: self.tags,
            metadata: self.metadata.0,
            attachments: self
                .attachments
                .into_iter()
                .enumerate()
                .map(attachment)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl AttachmentField {
    fn attachment(self, place: &str) -> Result<Attachment, DraftError> {
        let refused = |field: &str, error: &dyn fmt::Display| {
            DraftError::new(format!("{place}/{field}"), error.to_string())
        };
        let content_type = match &self.content_type {
            Some(text) => ContentType::parse(text).map_err(|error| refused("contentType", &error))?,
            None => ContentType::octet_stream(),
        };
        let content = STANDARD
            .decode(&self.content)
            .map_err(|_| refused("content", &"expected base64 with padding and without line breaks"))?;
        if content.len() > ATTACHMENT_BYTES_MAX {
            return Err(refused(
                "content",
                &format!("an attachment has at most {ATTACHMENT_BYTES_MAX} bytes"),
            ));
        }
        let content_id = self
            .cid
            .as_deref()
            .map(ContentId::parse)
            .transpose()
            .map_err(|error| refused("cid", &error))?;
        let filename = FileName::parse(&self.filename).map_err(|error| refused("filename", &error))?;
        Ok(Attachment {
            filename,
            content_type,
            content,
            content_id,
        })
    }
}

impl JsonSchema for HeaderFields {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Headers".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": { "type": "string" }, "maxProperties": HEADERS_MAX })
    }
}

/// Headers in the caller's order.
#[derive(Default)]
struct HeaderFields(Vec<(String, String)>);

impl HeaderFields {
    fn parse(self) -> Result<Vec<(HeaderName, HeaderText)>, DraftError> {
        let parse = |(name, value): (String, String)| {
            // The name is the caller's own word for the place; one that is no header name is told by its kind only.
            let parsed =
                HeaderName::parse(&name).map_err(|error| DraftError::new("headers", error.to_string()))?;
            let place = format!("headers/{name}");
            let value =
                HeaderText::parse(&value).map_err(|error| DraftError::new(&place, error.to_string()))?;
            parsed
                .check_value(&value)
                .map_err(|error| DraftError::new(&place, error.to_string()))?;
            Ok((parsed, value))
        };
        self.0.into_iter().map(parse).collect()
    }
}

impl<'de> Deserialize<'de> for HeaderFields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = HeaderFields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of header names and text values")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HeaderFields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(HeaderFields(fields))
            }
        }
        from.deserialize_map(Fields)
    }
}

impl JsonSchema for MetadataField {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Metadata".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "additionalProperties": { "type": ["string", "number", "boolean"] },
            "maxProperties": METADATA_KEYS_MAX
        })
    }
}

/// Metadata whose numbers both we and every receiver write alike.
#[derive(Default)]
struct MetadataField(Metadata);

impl<'de> Deserialize<'de> for MetadataField {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let metadata = Metadata::deserialize(from)?;
        let mut entries = Vec::new();
        for (key, value) in metadata.iter() {
            let value = match value {
                Scalar::Number(number) => Scalar::Number(plain_number(number).ok_or_else(|| {
                    D::Error::custom(format!("{OWN_WORDS}a number in metadata has at most 53 bits or is a plain decimal; send others as text"))
                })?),
                other => other.clone(),
            };
            entries.push((key.clone(), value));
        }
        Ok(Self(Metadata::new(entries)))
    }
}
