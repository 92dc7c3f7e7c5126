//! A message taken apart, for providers that put one together themselves.

use super::provider::{RelayMail, Unfit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{Address, Message, MessageParser, MessagePart, MimeHeaders as _, PartType};
use sealwright_mail::address::Mailbox;
use std::borrow::Cow;

/// Fields that a provider writes itself, or is told otherwise.
const WRITTEN: [&str; 13] = [
    "bcc",
    "cc",
    "content-transfer-encoding",
    "content-type",
    "date",
    "dkim-signature",
    "from",
    "message-id",
    "mime-version",
    "reply-to",
    "sender",
    "subject",
    "to",
];

/// The parts of a message.
pub(super) struct Parts<'a> {
    /// Who is named as a recipient,
    pub(super) to: Vec<&'a Mailbox>,
    /// or as one of a copy,
    pub(super) cc: Vec<&'a Mailbox>,
    /// or not at all.
    pub(super) bcc: Vec<&'a Mailbox>,
    /// Where replies go.
    pub(super) reply_to: Vec<String>,
    pub(super) subject: String,
    pub(super) message_id: Option<String>,
    pub(super) text: Option<String>,
    pub(super) html: Option<String>,
    /// Other fields, as they stand in the message, unfolded.
    pub(super) headers: Vec<(String, String)>,
    pub(super) attachments: Vec<Attachment>,
}

/// An attachment.
pub(super) struct Attachment {
    pub(super) name: String,
    pub(super) content_type: String,
    /// The name by which the HTML shows it.
    pub(super) content_id: Option<String>,
    /// In base64.
    pub(super) content: String,
}

impl<'a> Parts<'a> {
    /// Takes a mail apart. Of several recipients each is told where the message names it: nobody sees a blind copy but who gets it.
    pub(super) fn of(mail: &RelayMail<'a>) -> Result<Self, Unfit> {
        let message = MessageParser::default().parse(mail.signed).ok_or(Unfit::Form)?;
        let (named, copied) = (addresses(message.to()), addresses(message.cc()));
        let is_in = |list: &[String], mailbox: &Mailbox| {
            list.iter()
                .any(|address| address.eq_ignore_ascii_case(mailbox.address.as_str()))
        };
        let (mut to, mut cc, mut bcc) = (Vec::new(), Vec::new(), Vec::new());
        for mailbox in mail.to {
            if is_in(&named, mailbox) {
                to.push(mailbox);
            } else if is_in(&copied, mailbox) {
                cc.push(mailbox);
            } else {
                bcc.push(mailbox);
            }
        }
        // Providers want somebody to write to: who sees the others already, or the only one.
        match (to.is_empty(), cc.is_empty(), bcc.len()) {
            (false, ..) => {}
            (true, false, _) => to = std::mem::take(&mut cc),
            (true, true, 1) => to = std::mem::take(&mut bcc),
            (true, true, _) => return Err(Unfit::BlindCopies),
        }
        Ok(Self {
            to,
            cc,
            bcc,
            reply_to: addresses(message.reply_to()),
            subject: message.subject().unwrap_or_default().to_owned(),
            message_id: message.message_id().map(str::to_owned),
            text: body(&message, &message.text_body, |part| match part {
                PartType::Text(text) => Some(text),
                _ => None,
            }),
            html: body(&message, &message.html_body, |part| match part {
                PartType::Html(html) => Some(html),
                _ => None,
            }),
            headers: headers(&message),
            attachments: message.attachments().map(attachment).collect(),
        })
    }
}

fn addresses(list: Option<&Address<'_>>) -> Vec<String> {
    let all = list.into_iter().flat_map(Address::iter);
    all.filter_map(|one| one.address().map(str::to_owned)).collect()
}

fn body(
    message: &Message<'_>,
    ids: &[u32],
    of: impl for<'p> Fn(&'p PartType<'p>) -> Option<&'p Cow<'p, str>>,
) -> Option<String> {
    let part = ids
        .first()
        .and_then(|id| message.parts.get(usize::try_from(*id).ok()?))?;
    of(&part.body).map(|text| text.clone().into_owned())
}

fn headers(message: &Message<'_>) -> Vec<(String, String)> {
    let is_written = |name: &str| WRITTEN.contains(&name.to_ascii_lowercase().as_str());
    let unfolded = |value: &str| value.replace("\r\n", "").trim().to_owned();
    let all = message.headers_raw().filter(|(name, _)| !is_written(name));
    all.map(|(name, value)| (name.to_owned(), unfolded(value)))
        .collect()
}

fn attachment(part: &MessagePart<'_>) -> Attachment {
    let content_type = part.content_type().map_or_else(
        || "application/octet-stream".to_owned(),
        |kind| match kind.subtype() {
            Some(subtype) => format!("{}/{subtype}", kind.ctype()),
            None => kind.ctype().to_owned(),
        },
    );
    Attachment {
        name: part.attachment_name().unwrap_or("attachment").to_owned(),
        content_type,
        content_id: part.content_id().map(str::to_owned),
        content: STANDARD.encode(part.contents()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MESSAGE: &str = "DKIM-Signature: v=1\r\nFrom: shop@shop.example\r\nTo: Ada <ada@a.example>\r\nCc: bo@a.example\r\n\
        Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <m1@shop.example>\r\nX-Order: one\r\n two\r\nMIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\r\nHello.\r\n";

    fn parts(to: &[&str]) -> Result<[Vec<String>; 3], Unfit> {
        let from = Mailbox::parse("shop@shop.example").unwrap();
        let to: Vec<_> = to.iter().map(|to| Mailbox::parse(to).unwrap()).collect();
        let mail = RelayMail {
            key: "k",
            tag: "t",
            from: &from,
            to: &to,
            signed: MESSAGE.as_bytes(),
        };
        let parts = Parts::of(&mail)?;
        assert_eq!(
            (parts.subject.as_str(), parts.text.as_deref()),
            ("Grüße", Some("Hello.\r\n"))
        );
        assert_eq!(parts.headers, [("X-Order".to_owned(), "one two".to_owned())]);
        assert_eq!(
            (parts.html, parts.message_id.as_deref()),
            (None, Some("m1@shop.example"))
        );
        let text = |list: Vec<&Mailbox>| {
            list.iter()
                .map(|one| one.address.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        Ok([text(parts.to), text(parts.cc), text(parts.bcc)])
    }

    #[test]
    fn nobody_sees_a_blind_copy_but_who_gets_it() {
        let of = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for (to, expected) in [
            (
                &["ada@a.example", "bo@a.example", "hidden@a.example"][..],
                Ok([
                    of(&["ada@a.example"]),
                    of(&["bo@a.example"]),
                    of(&["hidden@a.example"]),
                ]),
            ),
            (&["bo@a.example"], Ok([of(&["bo@a.example"]), of(&[]), of(&[])])),
            (
                &["hidden@a.example"],
                Ok([of(&["hidden@a.example"]), of(&[]), of(&[])]),
            ),
            (&["hidden@a.example", "other@a.example"], Err(Unfit::BlindCopies)),
        ] {
            assert_eq!(parts(to), expected, "{to:?}");
        }
    }
}
