//! Events about one recipient of an e-mail.

use super::Head;
use crate::features::events::{self, About, Event, Metadata};
use crate::id::EmailId;
use crate::platform::vault::{OrgVault, VaultError};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a, T> {
    email_id: Option<&'a EmailId>,
    to: &'a str,
    subject: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: &'a Metadata,
    #[serde(flatten)]
    what: &'a T,
}

/// Fixes and seals an event about the recipient with this address; `what` is told beside what all of them tell.
pub async fn recipient_event(
    vault: &OrgVault,
    about: About<'_>,
    head: &Head,
    to: &str,
    what: &impl Serialize,
) -> Result<Event, VaultError> {
    let data = Data {
        email_id: about.email,
        to,
        subject: &head.subject,
        tags: &head.tags,
        metadata: &head.metadata,
        what,
    };
    events::prepare(vault, about, &data).await
}
