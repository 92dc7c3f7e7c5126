//! Gives e-mails their values: templates that come with the send or are stored, values for all or for each recipient, styles in elements.

use super::send::{DERIVING, SendError};
use super::{Draft, DraftError, inline};
use crate::features::keys::Caller;
use crate::features::templates::{self, Parsed, PartError, Rendered, Source, TemplatesError};
use crate::id::TemplateId;
use crate::limits::{ATTACHMENT_BYTES_MAX, REQUEST_BODY_BYTES_MAX, SUBJECT_CHARS_MAX};
use crate::platform::Platform;
use sealwright_mail::header::HeaderText;
use sealwright_mail::template::Value;
use std::collections::BTreeMap;

/// Links that pages of the installation would have to stand behind.
const UNSERVED: [&str; 3] = ["unsubscribe_url", "preferences_url", "view_in_browser_url"];

/// What is to become of an e-mail before it is accepted.
#[derive(Default)]
pub struct Filling {
    /// The stored template that it is made from; without one its own parts are templates, if there are values.
    pub template: Option<TemplateId>,
    /// Whether the template's subject counts, because the send has none.
    pub takes_subject: bool,
    /// Values for every recipient.
    pub variables: Option<BTreeMap<String, Value>>,
    /// Values for one recipient in `to`, by its canonical address. Each recipient gets an e-mail of its own.
    pub of_recipients: Option<BTreeMap<String, BTreeMap<String, Value>>>,
    /// Whether styles are written into elements.
    pub inlines_styles: bool,
}

impl Filling {
    /// Whether the e-mail is to be sent as it came.
    pub fn is_nothing(&self) -> bool {
        !self.inlines_styles && !self.renders()
    }

    fn renders(&self) -> bool {
        self.template.is_some() || self.variables.is_some() || self.of_recipients.is_some()
    }
}

/// The e-mails that a send comes to: one, or one for each recipient in `to`.
pub async fn fill(
    platform: &Platform,
    caller: &Caller,
    mut draft: Draft,
    filling: Filling,
) -> Result<Vec<Draft>, SendError> {
    if filling.is_nothing() {
        return Ok(vec![draft]);
    }
    check(&draft, &filling)?;
    let source = match &filling.template {
        Some(id) => {
            let stored = templates::source(platform, caller, id).await.map_err(refused)?;
            let subject = stored.subject.filter(|_| filling.takes_subject);
            Source {
                subject: subject.or_else(|| Some(draft.subject.as_str().to_owned())),
                ..stored
            }
        }
        None => Source {
            subject: Some(draft.subject.as_str().to_owned()),
            html: draft.html.take(),
            text: draft.text.take(),
            amp: draft.amp.take(),
        },
    };
    let year = platform.clock.now().rfc3339().get(..4).map(Value::from);
    // Templates of a request are rendered aside and few at once: they may take all the steps that they are allowed.
    let _one_of_few = DERIVING.acquire().await;
    let made = tokio::task::spawn_blocking(move || make(&draft, &source, &filling, year)).await;
    // It can't panic; if it did, nothing is sent.
    made.map_err(|_| DraftError::new("variables", "this e-mail could not be made"))?
        .map_err(SendError::from)
}

/// Refuses what values for each recipient can't go with.
fn check(draft: &Draft, filling: &Filling) -> Result<(), DraftError> {
    let Some(of_recipients) = &filling.of_recipients else {
        return Ok(());
    };
    for (field, others) in [("cc", &draft.cc), ("bcc", &draft.bcc)] {
        if !others.is_empty() {
            let reason = "with recipientVariables each recipient in to gets an e-mail of its own, so nobody can be in copy";
            return Err(DraftError::new(field, reason));
        }
    }
    let to: Vec<_> = draft
        .to
        .iter()
        .map(|mailbox| mailbox.address.canonical())
        .collect();
    if of_recipients.keys().any(|address| !to.contains(address)) {
        let reason = "these are values for somebody who is not in to";
        return Err(DraftError::new("recipientVariables", reason));
    }
    check_attached(draft, draft.to.len())
}

/// Refuses attachments that so many e-mails can't hold in memory at once.
fn check_attached(draft: &Draft, emails: usize) -> Result<(), DraftError> {
    let attached: usize = draft
        .attachments
        .iter()
        .map(|attachment| attachment.content.len())
        .sum();
    if attached.saturating_mul(emails) <= ATTACHMENT_BYTES_MAX {
        return Ok(());
    }
    let reason = format!(
        "each recipient gets attachments of its own: together they have at most {ATTACHMENT_BYTES_MAX} bytes; link to them instead"
    );
    Err(DraftError::new("attachments", reason))
}

/// Gives what was fetched for the first e-mail of a send to all of them.
pub fn share_attachments(drafts: &mut [Draft]) -> Result<(), DraftError> {
    let emails = drafts.len();
    let Some((first, others)) = drafts.split_first_mut() else {
        return Ok(());
    };
    check_attached(first, emails)?;
    others
        .iter_mut()
        .for_each(|other| other.attachments.clone_from(&first.attachments));
    Ok(())
}

fn refused(error: TemplatesError) -> SendError {
    match error {
        TemplatesError::Store(error) => error.into(),
        TemplatesError::Vault(error) => error.into(),
        other => DraftError::new("templateId", other.to_string()).into(),
    }
}

fn make(
    draft: &Draft,
    source: &Source,
    filling: &Filling,
    year: Option<Value>,
) -> Result<Vec<Draft>, DraftError> {
    let nothing = Source::default();
    let templates = if filling.renders() { source } else { &nothing };
    let parsed = templates.parse().map_err(|error| part(&error))?;
    let common = {
        let mut common = filling.variables.clone().unwrap_or_default();
        if let Some(year) = year {
            common.entry("current_year".to_owned()).or_insert(year);
        }
        common
    };
    let names = parsed.names();
    let Some(of_recipients) = &filling.of_recipients else {
        let one = match draft.to.as_slice() {
            [one] => Some(one.address.as_str()),
            _ => None,
        };
        return Ok(vec![filled(
            draft,
            source,
            filling,
            &parsed,
            values(common, one),
            &names,
        )?]);
    };
    let (mut made, mut bytes) = (Vec::<Draft>::new(), 0);
    for mailbox in &draft.to {
        let address = mailbox.address.canonical();
        if made
            .iter()
            .any(|earlier| earlier.to.iter().any(|to| to.address.canonical() == address))
        {
            continue;
        }
        let mut own = common.clone();
        own.extend(of_recipients.get(&address).cloned().unwrap_or_default());
        let one = Draft {
            to: vec![mailbox.clone()],
            ..draft.clone()
        };
        let values = values(own, Some(mailbox.address.as_str()));
        let one = filled(&one, source, filling, &parsed, values, &names)?;
        bytes += [&one.html, &one.text, &one.amp]
            .into_iter()
            .flatten()
            .map(String::len)
            .sum::<usize>();
        if bytes > REQUEST_BODY_BYTES_MAX {
            let reason =
                format!("the e-mails of a request have at most {REQUEST_BODY_BYTES_MAX} bytes together");
            return Err(DraftError::new("recipientVariables", reason));
        }
        made.push(one);
    }
    Ok(made)
}

fn values(mut own: BTreeMap<String, Value>, recipient: Option<&str>) -> BTreeMap<String, Value> {
    if let Some(recipient) = recipient {
        own.entry("recipient_email".to_owned())
            .or_insert_with(|| Value::from(recipient));
    }
    own
}

/// One e-mail with its values.
fn filled(
    draft: &Draft,
    source: &Source,
    filling: &Filling,
    parsed: &Parsed,
    values: BTreeMap<String, Value>,
    names: &std::collections::BTreeSet<String>,
) -> Result<Draft, DraftError> {
    if let Some(name) = UNSERVED
        .into_iter()
        .find(|name| names.contains(*name) && !values.contains_key(*name))
    {
        let reason = format!(
            "the template uses {name}, and nothing here serves such a page yet; give it in variables"
        );
        return Err(DraftError::new("variables", reason));
    }
    let rendered = if filling.renders() {
        parsed.render(&Value::Map(values)).map_err(|error| part(&error))?
    } else {
        let source = source.clone();
        Rendered {
            subject: source.subject,
            html: source.html,
            text: source.text,
            amp: source.amp,
        }
    };
    let subject = rendered.subject.unwrap_or_default();
    if subject.chars().count() > SUBJECT_CHARS_MAX {
        let reason = format!("with its values the subject has more than {SUBJECT_CHARS_MAX} characters");
        return Err(DraftError::new("subject", reason));
    }
    let html = match rendered.html {
        Some(html) if filling.inlines_styles => Some(inline::styles(&html).ok_or_else(|| {
            let reason = "the styles of this html can't be written into its elements (it is larger than 1 MiB, nested too deep, or has too many rules for its elements)";
            DraftError::new("inlineCss", reason)
        })?),
        html => html,
    };
    Ok(Draft {
        subject: HeaderText::parse(&subject)
            .map_err(|error| DraftError::new("subject", error.to_string()))?,
        html,
        text: rendered.text,
        amp: rendered.amp,
        ..draft.clone()
    })
}

fn part(error: &PartError) -> DraftError {
    DraftError::new(error.part, error.to_string())
}
