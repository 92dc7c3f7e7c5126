//! What an attempt tells of a destination's hosts.

use super::wire::{Outcome, Reply, Transaction, WireFailure};
use sealwright_mail::smtp::EnhancedCode;

/// What a destination answered to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// It took a message.
    Taken,
    /// It answered something else: its hosts work.
    Answered,
    /// It asks for less (421, or a 4.7.x of policy).
    Throttled,
    /// No host of it could be talked to.
    Unreachable,
}

impl Heard {
    /// What a refusal for now or for good says about the hosts that gave it.
    pub(super) fn of_reply(reply: &Reply) -> Self {
        // 4.7.1 is what greylisting says: about this message, not about how many there are.
        let is_policy = |code: EnhancedCode| (code.class, code.subject) == (4, 7) && code.detail != 1;
        match (reply.code(), reply.enhanced()) {
            (421, _) => Self::Throttled,
            (400..500, Some(code)) if is_policy(code) => Self::Throttled,
            _ => Self::Answered,
        }
    }

    /// The best news of a transaction.
    pub(super) fn of_transaction(transaction: &Transaction) -> Option<Self> {
        let heard = transaction.recipients.iter().map(|outcome| match outcome {
            Outcome::Delivered(_) => Self::Taken,
            Outcome::Failed(_) => Self::Answered,
            Outcome::Deferred(_) => outcome.reply().map_or(Self::Unreachable, Self::of_reply),
        });
        heard.min_by_key(|heard| *heard as u8)
    }

    /// What a connection that did not come about says. A host that could not prove what it had to is there and works.
    pub(super) fn of_failure(failure: &WireFailure) -> Self {
        match (&failure.reply, failure.tls_problem) {
            (Some(reply), _) => Self::of_reply(reply),
            (None, Some(_)) => Self::Answered,
            (None, None) => Self::Unreachable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::TlsProblem;
    use super::*;

    #[test]
    fn what_was_heard_is_read_from_replies_and_from_their_absence() {
        for (code, enhanced, heard) in [
            (421, Some((4, 7, 0)), Heard::Throttled),
            (421, None, Heard::Throttled),
            (451, Some((4, 7, 500)), Heard::Throttled),
            (451, Some((4, 7, 1)), Heard::Answered),
            (452, Some((4, 2, 2)), Heard::Answered),
            (450, None, Heard::Answered),
            (550, Some((5, 7, 509)), Heard::Answered),
        ] {
            let enhanced = enhanced.map(|(class, subject, detail)| EnhancedCode::new(class, subject, detail));
            let reply = Reply::new(code, enhanced, "said");
            assert_eq!(Heard::of_reply(&reply), heard, "{code} {enhanced:?}");
        }
        let failure = |tls_problem, reply| WireFailure {
            steps: Vec::new(),
            permanent: false,
            retry_without_tls: false,
            tls_problem,
            fault: None,
            reason: String::new(),
            reply,
        };
        let busy = Reply::new(421, None, "busy");
        for (failure, heard) in [
            (failure(None, None), Heard::Unreachable),
            (failure(Some(TlsProblem::Handshake), None), Heard::Answered),
            (failure(Some(TlsProblem::Missing), None), Heard::Answered),
            (failure(None, Some(busy)), Heard::Throttled),
        ] {
            assert_eq!(Heard::of_failure(&failure), heard, "{failure:?}");
        }
    }
}
