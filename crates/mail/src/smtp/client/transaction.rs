//! One transaction on its way: what is decided for each recipient.

use super::{Envelope, Extensions};
use crate::smtp::outcome::{LocalReason, Outcome, Reason};
use crate::smtp::path::is_safe_in_brackets;
use crate::smtp::reply::{EnhancedCode, Reply, Severity};

/// A transaction that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// One outcome per recipient, in the envelope's order.
    pub recipients: Vec<Outcome>,
    /// The final dot was given out to be written.
    pub reached_dot: bool,
    /// The final dot was given out and no reply to it was understood: the server may have taken
    /// the message. The recipients it concerns are `Deferred` for a local reason.
    pub in_doubt: bool,
}

/// The state of each recipient.
pub(super) struct Progress {
    recipients: Vec<Recipient>,
    pub(super) reached_dot: bool,
    pub(super) in_doubt: bool,
}

enum Recipient {
    /// RCPT has not been answered.
    Open,
    /// RCPT was accepted; what follows decides.
    Accepted,
    Decided(Outcome),
}

impl Progress {
    /// Decides what this side can decide alone.
    pub(super) fn new(envelope: &Envelope, extensions: &Extensions) -> Self {
        let whole = refusal_of_all(envelope, extensions);
        let recipient = |to: &String| match whole {
            Some(reason) => Recipient::Decided(reason.outcome()),
            None if is_safe_in_brackets(to) => Recipient::Open,
            None => Recipient::Decided(LocalReason::RecipientInvalid.outcome()),
        };
        let recipients = envelope.to.iter().map(recipient).collect();
        Self {
            recipients,
            reached_dot: false,
            in_doubt: false,
        }
    }

    pub(super) fn is_open(&self, index: usize) -> bool {
        matches!(self.recipients.get(index), Some(Recipient::Open))
    }

    pub(super) fn is_decided(&self) -> bool {
        self.recipients
            .iter()
            .all(|recipient| matches!(recipient, Recipient::Decided(_)))
    }

    pub(super) fn has_accepted(&self) -> bool {
        self.recipients
            .iter()
            .any(|recipient| matches!(recipient, Recipient::Accepted))
    }

    /// Everybody who is not decided gets this outcome.
    pub(super) fn decide_open(&mut self, outcome: &Outcome) {
        for recipient in &mut self.recipients {
            if !matches!(recipient, Recipient::Decided(_)) {
                *recipient = Recipient::Decided(outcome.clone());
            }
        }
    }

    /// After a refused MAIL everybody is decided, and the replies to RCPT change nothing.
    pub(super) fn rcpt_answered(&mut self, index: usize, reply: &Reply) {
        let is_overflow = is_too_many_recipients(reply) && self.has_accepted();
        let Some(recipient @ Recipient::Open) = self.recipients.get_mut(index) else {
            return;
        };
        *recipient = match reply.severity() {
            Severity::Positive => Recipient::Accepted,
            _ if is_overflow => Recipient::Decided(Outcome::Deferred(Reason::Reply(reply.clone()))),
            _ => Recipient::Decided(Outcome::refused(reply)),
        };
    }

    pub(super) fn finish(self) -> Finished {
        let outcome = |recipient| match recipient {
            Recipient::Decided(outcome) => outcome,
            Recipient::Open | Recipient::Accepted => LocalReason::ConnectionLost(super::Verb::Dot).outcome(),
        };
        Finished {
            recipients: self.recipients.into_iter().map(outcome).collect(),
            reached_dot: self.reached_dot,
            in_doubt: self.in_doubt,
        }
    }
}

/// 552 to RCPT is what RFC 821 said where 452 is meant; clients treat it as temporary (RFC 5321
/// §4.5.3.1.10). Not when the enhanced code names another reason, such as a full mailbox (5.2.2).
fn is_too_many_recipients(reply: &Reply) -> bool {
    let too_many = EnhancedCode::new(5, 5, 3);
    reply.code() == 552 && reply.enhanced().is_none_or(|status| status == too_many)
}

fn refusal_of_all(envelope: &Envelope, extensions: &Extensions) -> Option<LocalReason> {
    let size = u64::try_from(envelope.size).unwrap_or(u64::MAX);
    let limit = extensions.size_limit().filter(|&limit| size > limit);
    if !envelope.from.is_empty() && !is_safe_in_brackets(&envelope.from) {
        Some(LocalReason::SenderInvalid)
    } else if envelope.needs_smtputf8() && !extensions.smtputf8 {
        Some(LocalReason::Smtputf8Missing)
    } else if envelope.eight_bit && !extensions.eight_bit_mime {
        Some(LocalReason::EightBitMimeMissing)
    } else {
        limit.map(LocalReason::TooBig)
    }
}
