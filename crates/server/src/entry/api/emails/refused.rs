//! What is told of e-mails that are not accepted, found or moved.

use crate::entry::api::{Code, Problem};
use crate::features::emails::{DraftError, ReadError, ScheduleError, SendError};

impl From<DraftError> for Problem {
    fn from(error: DraftError) -> Self {
        Self::invalid(error.field, error.reason)
    }
}

impl From<SendError> for Problem {
    fn from(error: SendError) -> Self {
        let text = error.to_string();
        match error {
            SendError::Draft(error) => error.into(),
            SendError::DomainUnverified(_) => Self::new(Code::DomainUnverified, text).about("from"),
            SendError::DomainNotAllowed(_) => Self::new(Code::DomainNotAllowed, text).about("from"),
            SendError::Unreachable { place, .. } => {
                Self::new(Code::AttachmentUnreachable, text).about(format!("attachments/{place}/url"))
            }
            SendError::IdempotencyConflict => Self::new(Code::IdempotencyKeyConflict, text),
            SendError::Store(error) => error.into(),
            SendError::Vault(error) => error.into(),
        }
    }
}

impl From<ScheduleError> for Problem {
    fn from(error: ScheduleError) -> Self {
        let text = error.to_string();
        match error {
            ScheduleError::Unknown => Self::not_found("e-mail"),
            ScheduleError::NotScheduled => Self::new(Code::NotScheduled, text),
            ScheduleError::Time(error) => error.into(),
            ScheduleError::Store(error) => error.into(),
            ScheduleError::Vault(error) => error.into(),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let text = error.to_string();
        match error {
            ReadError::Unknown => Self::not_found("e-mail"),
            ReadError::After => Self::invalid("starting_after", text),
            ReadError::Before => Self::invalid("ending_before", text),
            ReadError::Store(error) => error.into(),
            ReadError::Vault(error) => error.into(),
        }
    }
}
