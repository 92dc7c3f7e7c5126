//! What becomes of recipients that are suppressed when an e-mail is accepted: recorded, told, and not written to.

use super::send::{Accepted, Prepared, idempotency_cell};
use super::{Status, told};
use crate::features::events::{About, Type};
use crate::features::suppressions;
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{Class, OrgVault, VaultError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// How much later than `email.sent` a suppression is dated: events sort by their time.
const TOLD_AFTER: Duration = Duration::from_millis(1);

/// Suppressed addresses by their blind indexes, and why.
pub(super) type Suppressed = BTreeMap<Vec<u8>, suppressions::Type>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    suppression_reason: &'static str,
}

/// Who of the recipients is suppressed now: asked inside the unit that accepts the e-mail.
pub(super) async fn of(tx: &OrgTx, prepared: &Prepared) -> Result<Suppressed, StoreError> {
    let recipients = prepared.recipients.iter();
    let indexes: Vec<&[u8]> = recipients
        .map(|recipient| recipient.address_index.as_slice())
        .collect();
    suppressions::of(tx, prepared.caller.mode, &indexes).await
}

impl Prepared {
    /// The same e-mail with these recipients suppressed. Events and the kept answer are sealed, which no unit of work can do: so the unit
    /// is given up when it finds others than were known, and begins anew with what is made here.
    pub(super) async fn with_suppressed(
        mut self,
        vault: &OrgVault,
        suppressed: Suppressed,
        answer: &(impl Fn(&Accepted) -> Vec<u8> + Send),
    ) -> Result<Self, VaultError> {
        let at = self.at.plus(TOLD_AFTER);
        self.suppressed_events.clear();
        self.accepted.suppressed = None;
        for recipient in &mut self.recipients {
            let Some(kind) = suppressed.get(&recipient.address_index) else {
                recipient.status = Status::Queued;
                continue;
            };
            recipient.status = Status::Suppressed;
            self.accepted.suppressed.get_or_insert(*kind);
            let about = About {
                kind: Type::EmailSuppressed,
                mode: self.caller.mode,
                email: Some(&self.id),
                at,
            };
            let told = Told {
                suppression_reason: kind.reason(),
            };
            let event = told::recipient_event(vault, about, &self.head, &recipient.address, &told);
            self.suppressed_events.push(event.await?);
        }
        if self.status() != Status::Suppressed {
            // The others go on; the answer is that of any e-mail.
            self.accepted.suppressed = None;
        }
        self.answer = answer(&self.accepted);
        if let Some(idempotency) = &mut self.idempotency {
            let cell = idempotency_cell(&self.idempotency_row);
            let sealed = vault.seal(Class::Metadata, self.at, cell, &self.answer).await?;
            idempotency.body_sealed = sealed.into();
        }
        self.suppressed = suppressed;
        Ok(self)
    }

    /// The status that the e-mail begins with.
    pub(super) fn status(&self) -> Status {
        let statuses: Vec<_> = self.recipients.iter().map(|recipient| recipient.status).collect();
        Status::of_all(&statuses)
    }
}
