//! Asks a provider whether it takes a relay's credentials, without sending anything.

use super::{Call, Opened, RelayError, Server, Unfit, candidate, note_credentials};
use crate::features::keys::Caller;
use crate::id::RelayId;
use crate::platform::Platform;
use crate::platform::net::{Answer, HttpClient, HttpFailure, HttpsUrl, Outgoing, TlsMin};
use http::Method;
use std::time::Duration;

/// How long a provider may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// What is said when an answer neither takes nor refuses the credentials.
const OPEN: &str = "the provider answered, and neither took nor refused the credentials";

/// How a trial ended.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Whether the credentials are good; `None` when that could not be found out.
    pub are_taken: Option<bool>,
    /// What happened, in words of ours.
    pub message: String,
}

/// Logs in at SMTP servers.
pub trait LogIn: Sync {
    /// Connects, encrypts, logs in and leaves.
    fn log_in(&self, server: &Server) -> impl Future<Output = Trial> + Send;
}

/// Sends a request to a provider, once.
///
/// # Errors
/// [`HttpFailure`] when there is no complete answer.
pub async fn ask(http: &HttpClient, call: Call) -> Result<Answer, HttpFailure> {
    let url = HttpsUrl::parse(&call.url).map_err(|_| HttpFailure::Url)?;
    let outgoing = Outgoing {
        url: &url,
        headers: call.headers,
        body: call.body,
        timeout: ANSWER_TIMEOUT,
        min_tls: TlsMin::V1_2,
    };
    if call.method == Method::GET {
        http.get(outgoing).await
    } else {
        http.post(outgoing).await
    }
}

/// Tries a relay's credentials; what it finds is noted as the relay's status.
pub async fn try_out(
    platform: &Platform,
    http: &HttpClient,
    smtp: &impl LogIn,
    base: Option<&str>,
    caller: &Caller,
    id: &RelayId,
) -> Result<Trial, RelayError> {
    let candidate = candidate(platform, &caller.org, id)
        .await?
        .ok_or(RelayError::Unknown)?;
    let trial = match candidate.account.open(base)? {
        Opened::Smtp(server) => smtp.log_in(&server).await,
        Opened::Api(provider) => match provider.check(platform.clock.now()) {
            Ok(call) => trial(ask(http, call).await),
            Err(unfit) => refused(unfit),
        },
    };
    if let Some(are_taken) = trial.are_taken {
        let now = platform.clock.now();
        note_credentials(platform, &caller.org, &candidate, are_taken, now).await?;
    }
    Ok(trial)
}

fn refused(unfit: Unfit) -> Trial {
    Trial {
        are_taken: Some(false),
        message: unfit.to_string(),
    }
}

fn trial(answer: Result<Answer, HttpFailure>) -> Trial {
    let (are_taken, message) = match answer {
        Ok(answer) => match answer.status.as_u16() {
            200..=299 => (Some(true), "the provider takes the credentials".to_owned()),
            // Resend answers so to a key that may send and do nothing else, which is the best one to give.
            401 if is_for_sending_only(&answer) => (
                Some(true),
                "the provider takes the key, which may only send".to_owned(),
            ),
            status @ (401 | 403 | 404) => (
                Some(false),
                format!("the provider refuses the credentials with {status}"),
            ),
            status => (None, format!("{OPEN} ({status})")),
        },
        Err(failure) => (None, failure.to_string()),
    };
    Trial { are_taken, message }
}

fn is_for_sending_only(answer: &Answer) -> bool {
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    json["name"] == "restricted_api_key"
}
