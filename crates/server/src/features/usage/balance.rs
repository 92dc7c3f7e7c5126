//! Looks for recipients that were accepted and that nothing will ever become of.

use super::store;
use crate::features::orgs::{self, OrgError};
use crate::id::{Id as _, OrgId};
use crate::platform::Platform;
use crate::platform::store::OrgTx;

/// E-mails at one look; a look takes milliseconds.
const EMAILS_PER_LOOK: i64 = 1_000;
/// Organizations at one look.
const ORGS_PER_LOOK: usize = 50;

/// Recipients that the law of [`super`] does not hold for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unaccounted {
    /// They were accepted, and their rows are gone.
    pub missing: i64,
    /// They wait for a delivery, and no job will begin it.
    pub stranded: i64,
}

/// Goes through all mail of which something is still to become, a little at each look, and begins anew at the end.
#[derive(Debug, Default)]
pub struct Balance {
    /// Those left of this round, the next one last.
    orgs: Vec<OrgId>,
    /// The last e-mail that was looked at of the next one.
    after: String,
    found: Unaccounted,
}

impl Balance {
    /// Looks at the next e-mails; at the end of a round, what it found.
    pub async fn look(&mut self, platform: &Platform) -> Result<Option<Unaccounted>, OrgError> {
        if self.orgs.is_empty() {
            let all = orgs::list(platform).await?;
            self.orgs = all.into_iter().rev().map(|org| org.id).collect();
        }
        let mut left = EMAILS_PER_LOOK;
        for _ in 0..ORGS_PER_LOOK {
            let Some(org) = self.orgs.last() else { break };
            let (after, limit) = (self.after.clone(), left);
            let unit = async move |tx: &OrgTx| Ok::<_, OrgError>(store::open(tx, &after, limit).await?);
            let rows = platform.store.org(org).read("usage_balance", unit).await?;
            for row in rows.iter().filter(|row| row.missing != 0 || row.stranded != 0) {
                let (email, missing, stranded) = (&row.email, row.missing, row.stranded);
                tracing::error!(%email, missing, stranded, "accepted recipients are unaccounted for; nothing will become of them by itself");
                self.found.missing += missing;
                self.found.stranded += stranded;
            }
            left -= rows.len() as i64;
            match rows.last() {
                Some(last) if left <= 0 => {
                    last.email.as_str().clone_into(&mut self.after);
                    return Ok(None);
                }
                _ => {
                    self.after.clear();
                    self.orgs.pop();
                }
            }
        }
        Ok(self.orgs.is_empty().then(|| std::mem::take(&mut self.found)))
    }
}
