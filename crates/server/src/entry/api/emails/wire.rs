//! The body of `POST /v1/emails`, and how it becomes a draft.

use crate::entry::api::Problem;
use crate::entry::api::extract::{IdText, Instant, present};
use crate::entry::api::json::{self, OWN_WORDS};
use crate::entry::api::mailbox::{MailboxField, MailboxList};
use crate::entry::api::variables::Variables;
use crate::entry::api::word::Word;
use crate::features::domains::Tls;
use crate::features::emails::{Attachment, Draft, DraftError, Filling, Link, Stream};
use crate::features::events::{Metadata, Scalar, plain_number};
use crate::id::TemplateId;
use crate::limits::{
    ATTACHMENT_BYTES_MAX, ATTACHMENTS_MAX, BATCH_EMAILS_MAX, HEADERS_MAX, METADATA_KEYS_MAX,
    SUBJECT_CHARS_MAX, TAG_CHARS_MAX, TAGS_MAX,
};
use crate::platform::net::{HttpsUrl, URL_BYTES_MAX};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use sealwright_mail::address::Address;
use sealwright_mail::header::{ContentId, ContentType, FileName, HeaderName, HeaderText};
use sealwright_mail::template::Value;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

/// An e-mail to be sent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::entry::api) struct NewEmail {
    /// The sender, of a verified domain.
    from: MailboxField,
    /// The recipients; `to`, `cc` and `bcc` have at most 50 together.
    to: MailboxList,
    /// The subject; needed unless `templateId` brings one.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String", length(max = SUBJECT_CHARS_MAX))]
    subject: Option<String>,
    /// The HTML part; this, `text` or `templateId` is needed.
    html: Option<String>,
    /// The text part; derived from `html` if not given.
    text: Option<String>,
    /// The AMP part, beside `html`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    amp: Option<String>,
    /// The template that it is made from, instead of `html`, `text` and `amp`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "IdText<TemplateId>")]
    template_id: Option<IdText<TemplateId>>,
    /// Values for the template. With them, and without `templateId`, `subject`, `html`, `text` and `amp` are templates themselves.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Variables")]
    variables: Option<Variables>,
    /// Values for one recipient in `to`, by address, beside `variables`. Each recipient gets an e-mail of its own.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "BTreeMap<String, Variables>")]
    recipient_variables: Option<BTreeMap<String, Variables>>,
    /// Writes style sheets into the elements that they style.
    #[serde(default)]
    inline_css: bool,
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
    /// `broadcast`: the same goes to many, and waits for mail that one person waits for. `transactional` if not given.
    #[serde(default)]
    stream: Option<Word<Stream>>,
    /// `required`: it travels only over channels whose other end is known to be the receiver, or not at all. The domain's word if not
    /// given; what the domain requires is required.
    #[serde(default)]
    tls: Option<Word<Tls>>,
    /// When it is to leave: a minute to 30 days from now. At once if not given.
    #[serde(default, deserialize_with = "present")]
    scheduled_at: Option<Instant>,
}

/// E-mails to be sent, each by itself.
#[derive(Deserialize)]
#[serde(transparent)]
pub(in crate::entry::api) struct Batch(Vec<Box<RawValue>>);

impl Batch {
    /// The e-mails, each read by itself: one that can't be read does not stop the others. The places in refusals are within the e-mail.
    pub(super) fn read(self) -> Result<(NonZeroU32, Vec<Result<NewEmail, Problem>>), Problem> {
        let count = u32::try_from(self.0.len()).ok().and_then(NonZeroU32::new);
        let Some(count) = count.filter(|count| *count <= BATCH_EMAILS_MAX) else {
            let found = self.0.len();
            let message = format!("a batch has 1 to {BATCH_EMAILS_MAX} e-mails, this has {found}");
            return Err(Problem::invalid("body", message));
        };
        let emails = self.0.iter().map(|email| json::parse(email.get().as_bytes()));
        Ok((count, emails.collect()))
    }
}

impl JsonSchema for Batch {
    fn schema_name() -> Cow<'static, str> {
        "Batch".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "items": generator.subschema_for::<NewEmail>(),
            "minItems": 1,
            "maxItems": BATCH_EMAILS_MAX,
        })
    }
}

/// What is to change of a scheduled e-mail.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::entry::api) struct EmailChange {
    /// When it is to leave: a minute to 30 days from now.
    pub(super) scheduled_at: Instant,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AttachmentField {
    /// Its bare name.
    filename: String,
    /// Its bytes in base64 with padding; this or `url` is needed.
    #[serde(default, deserialize_with = "present")]
    content: Option<String>,
    /// Where it is to be fetched from, before the e-mail is accepted.
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(max = URL_BYTES_MAX), url)]
    url: Option<String>,
    /// `type/subtype`; if not given, what is told at the URL, or `application/octet-stream`.
    content_type: Option<String>,
    /// Content id, for `cid:` in the HTML part.
    cid: Option<String>,
}

impl NewEmail {
    /// Parses every field; refusals name it.
    pub(super) fn draft(self) -> Result<(Draft, Vec<Link>, Filling), DraftError> {
        let subject = match (self.subject, &self.template_id) {
            (Some(subject), _) => Some(subject),
            (None, Some(_)) => None,
            (None, None) => {
                return Err(DraftError::new(
                    "subject",
                    "this field, or templateId, is required",
                ));
            }
        };
        for (field, part) in [("html", &self.html), ("text", &self.text), ("amp", &self.amp)] {
            if part.is_some() && self.template_id.is_some() {
                let reason = "with templateId the template says what the e-mail says; leave this out";
                return Err(DraftError::new(field, reason));
            }
        }
        let filling = Filling {
            template: self.template_id.map(|id| id.0),
            takes_subject: subject.is_none(),
            variables: self
                .variables
                .map(|values| values.within("variables"))
                .transpose()?,
            of_recipients: self.recipient_variables.map(of_recipients).transpose()?,
            inlines_styles: self.inline_css,
        };
        let subject = subject.unwrap_or_default();
        if subject.chars().count() > SUBJECT_CHARS_MAX {
            return Err(DraftError::new(
                "subject",
                format!("a subject has at most {SUBJECT_CHARS_MAX} characters"),
            ));
        }
        let (mut attachments, mut links) = (Vec::new(), Vec::new());
        for (place, field) in self.attachments.into_iter().enumerate() {
            let (attachment, link) = field.attachment(place)?;
            attachments.push(attachment);
            links.extend(link);
        }
        let draft = Draft {
            from: self.from.parse("from")?,
            to: self.to.parse("to")?,
            cc: self.cc.parse("cc")?,
            bcc: self.bcc.parse("bcc")?,
            reply_to: self.reply_to.parse("replyTo")?,
            subject: HeaderText::parse(&subject)
                .map_err(|error| DraftError::new("subject", error.to_string()))?,
            html: self.html,
            text: self.text,
            amp: self.amp,
            headers: self.headers.parse()?,
            tags: self.tags,
            metadata: self.metadata.0,
            attachments,
            scheduled_at: self.scheduled_at.map(|at| at.0),
            stream: self.stream.map_or(Stream::default(), |word| word.0),
            tls: self.tls.map_or(Tls::Opportunistic, |word| word.0),
        };
        Ok((draft, links, filling))
    }
}

fn of_recipients(
    fields: BTreeMap<String, Variables>,
) -> Result<BTreeMap<String, BTreeMap<String, Value>>, DraftError> {
    let mut of_recipients = BTreeMap::new();
    for (text, values) in fields {
        let refused = |reason: String| DraftError::new("recipientVariables", reason);
        let address = Address::parse(&text).map_err(|error| refused(error.to_string()))?;
        let values = values.within("recipientVariables")?;
        if of_recipients.insert(address.canonical(), values).is_some() {
            return Err(refused("two of these names are the same address".to_owned()));
        }
    }
    Ok(of_recipients)
}

impl AttachmentField {
    /// The attachment, and where its bytes are if they don't come with it.
    fn attachment(self, place: usize) -> Result<(Attachment, Option<Link>), DraftError> {
        let refused = |field: &str, error: &dyn fmt::Display| {
            DraftError::new(format!("attachments/{place}/{field}"), error.to_string())
        };
        let content_type = match &self.content_type {
            Some(text) => ContentType::parse(text).map_err(|error| refused("contentType", &error))?,
            None => ContentType::octet_stream(),
        };
        let url = match (&self.content, &self.url) {
            (Some(_), Some(_)) => return Err(refused("url", &"an attachment has content or url, not both")),
            (None, None) => return Err(refused("content", &"this field, or url, is required")),
            (_, url) => url.as_deref().map(HttpsUrl::parse).transpose(),
        };
        let url = url.map_err(|error| refused("url", &error))?;
        let content = STANDARD
            .decode(self.content.unwrap_or_default())
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
        let link = url.map(|url| Link {
            place,
            url,
            takes_type: self.content_type.is_none(),
        });
        let attachment = Attachment {
            filename,
            content_type,
            content,
            content_id,
        };
        Ok((attachment, link))
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
