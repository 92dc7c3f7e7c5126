//! What becomes of recipients that are suppressed when an e-mail is accepted: recorded, told, and not written to.

use super::send::Prepared;
use super::{Status, told};
use crate::features::events::{About, Type};
use crate::features::suppressions;
use crate::platform::store::{OrgTx, StoreError};
use crate::platform::vault::{OrgVault, VaultError};
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

/// Who of the recipients is suppressed now, if it is not who was known to be: asked inside the unit that accepts the e-mail, before it
/// stores anything.
pub(super) async fn news(tx: &OrgTx, prepared: &Prepared) -> Result<Option<Suppressed>, StoreError> {
    let recipients = prepared.recipients.iter();
    let indexes: Vec<&[u8]> = recipients
        .map(|recipient| recipient.address_index.as_slice())
        .collect();
    let found = suppressions::of(tx, prepared.caller.mode, &indexes).await?;
    Ok((found != prepared.suppressed).then_some(found))
}

impl Prepared {
    /// The same e-mail with these recipients suppressed. Events and the kept answer are sealed, which no unit of work can do: so the unit
    /// is given up when it finds others than were known, and begins anew with what is made here.
    pub(super) async fn with_suppressed(
        mut self,
        vault: &OrgVault,
        suppressed: Suppressed,
    ) -> Result<Self, VaultError> {
        let (at, open_status) = (self.at.plus(TOLD_AFTER), self.open_status());
        self.suppressed_events.clear();
        self.accepted.suppressed = None;
        for recipient in &mut self.recipients {
            let Some(kind) = suppressed.get(&recipient.address_index) else {
                recipient.status = open_status;
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
        self.accepted.status = Status::Suppressed;
        if self.status() != Status::Suppressed {
            // The others go on; the answer is that of any e-mail.
            (self.accepted.status, self.accepted.suppressed) = (open_status, None);
        }
        self.suppressed = suppressed;
        Ok(self)
    }
}
