//! `/queue`: what waits for delivery, and the operator's hand on it. `sealwright queue` asks here, or itself where nobody serves.
//!
//! One route, one kind of question in the body: recipients' domains have no place in URLs.

use super::token::Token;
use crate::features::delivery::{Change, Chosen, Destination, Queue, QueueError};
use crate::id::{EmailId, Id as _, OrgId};
use axum::Json;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use sealwright_mail::address::Domain;
use serde::{Deserialize, Serialize};

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// Nothing: it is looked at.
    Show,
    /// What is meant is due now, and no longer held.
    Retry,
    /// It stays.
    Hold,
    /// It fails.
    Drop,
}

/// A question about the queue, or an order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// What is to be done.
    pub act: Act,
    /// To mail to this domain.
    pub destination: Option<String>,
    /// To mail of this organization.
    pub org: Option<String>,
    /// To this e-mail.
    pub email: Option<String>,
    /// Why, for the audit log.
    pub reason: Option<String>,
}

/// What waits for one destination.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The domain; absent once everything that names it was forgotten.
    pub destination: Option<String>,
    /// `live` or `test`.
    pub mode: String,
    /// Deliveries that are due.
    pub due: i64,
    /// Deliveries under way, or about to be.
    pub in_flight: i64,
    /// Deliveries whose next date has not come.
    pub deferred: i64,
    /// Deliveries that are held.
    pub held: i64,
    /// Since when the oldest waits.
    pub oldest_at: String,
    /// When the next is due.
    pub next_at: Option<String>,
    /// Until when the process that answers leaves the destination alone.
    pub closed_until: Option<String>,
    /// What was last answered to the mail that was tried most often.
    pub last_reply: Option<String>,
}

impl From<Destination> for Shown {
    fn from(from: Destination) -> Self {
        Self {
            destination: from.domain.map(|domain| domain.expose().clone()),
            mode: from.mode.name().to_owned(),
            due: from.due,
            in_flight: from.in_flight,
            deferred: from.deferred,
            held: from.held,
            oldest_at: from.oldest_at.rfc3339(),
            next_at: from.next_at.map(|at| at.rfc3339()),
            closed_until: from.closed_until.map(|at| at.rfc3339()),
            last_reply: from.last_reply.map(|reply| reply.expose().clone()),
        }
    }
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Answer {
    /// What waits, the destinations with most mail first.
    Queue {
        /// The destinations.
        destinations: Vec<Shown>,
        /// Whether there are more than are shown.
        has_more: bool,
    },
    /// What was done.
    Changed {
        /// Deliveries that were changed.
        changed: u64,
        /// Deliveries that were not, because they are under way, or were so already.
        left: u64,
    },
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The question is at fault.
    #[error("{0}")]
    Question(String),
    /// We are.
    #[error("the queue can't be read or changed now: {0}")]
    Fault(QueueError),
}

impl From<QueueError> for Refused {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Everything | QueueError::Reason => Self::Question(error.to_string()),
            error => Self::Fault(error),
        }
    }
}

/// Answers a question that may be asked.
pub async fn answer(queue: &Queue, question: Question) -> Result<Answer, Refused> {
    let chosen = chosen(&question)?;
    let change = match question.act {
        Act::Show => {
            let (destinations, has_more) = queue.view(&chosen).await?;
            let destinations: Vec<Shown> = destinations.into_iter().map(Shown::from).collect();
            return Ok(Answer::Queue {
                destinations,
                has_more,
            });
        }
        Act::Retry => Change::Retry,
        Act::Hold => Change::Hold,
        Act::Drop => Change::Drop,
    };
    let done = queue.change(change, &chosen, question.reason.as_deref()).await?;
    Ok(Answer::Changed {
        changed: done.changed,
        left: done.left,
    })
}

fn chosen(question: &Question) -> Result<Chosen, Refused> {
    let unfit = |text: &str| Refused::Question(text.to_owned());
    let destination = question.destination.as_deref().map(Domain::parse).transpose();
    let org = question.org.as_deref().map(OrgId::parse);
    let email = question.email.as_deref().map(EmailId::parse);
    Ok(Chosen {
        destination: destination.map_err(|error| Refused::Question(format!("destination: {error}")))?,
        org: org
            .map(|org| org.ok_or_else(|| unfit("org: expected an id that begins with org_")))
            .transpose()?,
        email: email
            .map(|email| email.ok_or_else(|| unfit("email: expected an id that begins with email_")))
            .transpose()?,
    })
}

/// Answers a request that shows the token.
pub(super) async fn serve(queue: &Queue, token: &Token, headers: &HeaderMap, body: &Bytes) -> Response {
    if !token.is_shown(headers) {
        return token.missing();
    }
    let question = match serde_json::from_slice::<Question>(body) {
        Ok(question) => question,
        // Its place, and not what stands there.
        Err(error) => {
            let place = format!("the question is not understood at column {}\n", error.column());
            return (StatusCode::BAD_REQUEST, place).into_response();
        }
    };
    match answer(queue, question).await {
        Ok(answer) => Json(answer).into_response(),
        Err(error @ Refused::Question(_)) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
        Err(error @ Refused::Fault(_)) => {
            tracing::error!(%error, "the queue was asked for");
            (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
        }
    }
}
