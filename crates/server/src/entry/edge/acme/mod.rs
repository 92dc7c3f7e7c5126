//! Certificates by ACME (RFC 8555): obtained at the first start, renewed when two thirds of their life are over.
//!
//! Account, key and certificate lie in the data folder, for its owner only. A renewal that fails leaves the old certificate in place and
//! is tried again, each time later. The way to the authority is `platform/net`, like every way out.
//!
//! For one node, or several that share the folder: nodes do not know of each other's challenges. Not here: names proven by DNS
//! (wildcards), external account binding, the authority's own advice when to renew (RFC 9773).

mod folder;
mod way_out;

pub use folder::Folder;

use super::Certificates;
use super::certificates::Pair;
use super::tls::provider;
use crate::clock::{Clock, Timestamp};
use crate::metrics::{KindLabel, Metrics};
use crate::platform::jobs::Stop;
use crate::platform::net::HttpClient;
use crate::platform::vault::random;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeHandle, ChallengeType, Identifier, NewAccount, NewOrder,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use way_out::WayOut;

/// How often it is looked whether a renewal is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Rest after the first failure; doubled by each further one. Authorities count failures by the hour.
const FIRST_REST: Duration = Duration::from_secs(120);
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(6 * 3600);
/// How long the authority may take to look at a challenge, and to issue.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(120));

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The authority, or the way to it, says no.
    #[error("the authority: {0}")]
    Authority(#[from] instant_acme::Error),
    /// The authority could not see the answer to a challenge, or does not offer the kind that is set.
    #[error("{0}")]
    Challenge(&'static str),
    /// A certificate could not be made or used.
    #[error("the certificate: {0}")]
    Certificate(String),
    /// The folder can't be used.
    #[error("{0}")]
    Folder(#[from] std::io::Error),
}

/// How names are proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A certificate on the HTTPS listener (RFC 8737).
    TlsAlpn,
    /// A text on the plain listener (RFC 8555 §8.3).
    Http,
}

impl Proof {
    /// Reads the setting.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "tls-alpn-01" => Some(Self::TlsAlpn),
            "http-01" => Some(Self::Http),
            _ => None,
        }
    }
}

/// The texts that prove names on the plain listener, by their tokens.
#[derive(Debug, Default)]
pub struct Challenges(RwLock<HashMap<String, String>>);

impl Challenges {
    /// What to answer for a token.
    pub fn answer(&self, token: &str) -> Option<String> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.get(token).cloned()
    }

    fn add(&self, token: &str, text: &str) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(token.to_owned(), text.to_owned());
    }

    fn clear(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Keeps a certificate for its names.
pub struct Acme {
    /// URL of the authority's directory.
    pub directory: String,
    /// Host names of the certificate.
    pub names: Vec<String>,
    /// Who is told by the authority, as `mailto:…`.
    pub contact: Option<String>,
    /// How names are proven.
    pub proof: Proof,
    /// Where account and certificate lie.
    pub folder: Folder,
    /// The way to the authority.
    pub http: HttpClient,
    /// Where the certificate is shown.
    pub certificates: Arc<Certificates>,
    /// Where the plain listener finds its answers.
    pub challenges: Arc<Challenges>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// Where time comes from.
    pub clock: Clock,
}

impl Acme {
    /// Shows the certificate of an earlier run, if it is for these names; tells when its renewal is due.
    pub fn resume(&self) -> Option<Timestamp> {
        let pair = self.folder.certificate()?;
        if !self.names.iter().all(|name| pair.covers(name)) {
            tracing::info!("the kept certificate is for other names; a new one is asked for");
            return None;
        }
        let due_at = due_at(&pair);
        self.certificates.install(pair);
        Some(due_at)
    }

    /// Obtains and renews until stopped. `due_at` is what [`Acme::resume`] said.
    pub async fn run(self, mut due_at: Option<Timestamp>, mut stop: Stop) {
        let mut rest = FIRST_REST;
        loop {
            let wait = match due_at {
                Some(at) if self.clock.now() < at => at.since(self.clock.now()).min(LOOK_EVERY),
                _ => match self.renew(&mut stop).await {
                    None => return,
                    Some(Ok(next)) => {
                        (due_at, rest) = (Some(next), FIRST_REST);
                        Duration::ZERO
                    }
                    Some(Err(error)) => {
                        tracing::warn!(%error, again_in_s = rest.as_secs(), "no new certificate");
                        let wait = rest;
                        rest = (rest * 2).min(REST_MAX);
                        wait
                    }
                },
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.wait() => return,
            }
        }
    }

    /// One order to its end; `None` when stopped.
    async fn renew(&self, stop: &mut Stop) -> Option<Result<Timestamp, AcmeError>> {
        let ordered = tokio::select! {
            ordered = self.order() => ordered,
            () = stop.wait() => return None,
        };
        self.certificates.clear_challenges();
        self.challenges.clear();
        let kind = if ordered.is_ok() { "succeeded" } else { "failed" };
        self.metrics.acme_orders.get_or_create(&KindLabel { kind }).inc();
        Some(ordered)
    }

    async fn order(&self) -> Result<Timestamp, AcmeError> {
        let account = self.account().await?;
        let names: Vec<_> = self.names.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                _ => return Err(AcmeError::Challenge("the authority gave a name up")),
            }
            let kind = match self.proof {
                Proof::TlsAlpn => ChallengeType::TlsAlpn01,
                Proof::Http => ChallengeType::Http01,
            };
            let challenge = authorization.challenge(kind);
            let mut challenge = challenge.ok_or(AcmeError::Challenge(
                "the authority does not offer the kind of challenge that acme.challenge names",
            ))?;
            self.answer(&challenge)?;
            challenge.set_ready().await?;
        }
        if order.poll_ready(&PATIENCE).await? != OrderStatus::Ready {
            return Err(AcmeError::Challenge(
                "the authority could not see the answer to a challenge; is this machine reachable under the names?",
            ));
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        let text = format!("{key}\n{chain}");
        let pair = Pair::from_pem(text.as_bytes(), text.as_bytes()).map_err(AcmeError::Certificate)?;
        self.folder.keep_certificate(&text)?;
        let due_at = due_at(&pair);
        tracing::info!(expires_at = %pair.expires_at, renewal_at = %due_at, "a new certificate");
        self.certificates.install(pair);
        Ok(due_at)
    }

    /// The account of an earlier run with this authority, or a new one.
    async fn account(&self) -> Result<Account, AcmeError> {
        let builder = || Account::builder_with_http(Box::new(WayOut(self.http.clone())));
        if let Some(credentials) = self.folder.account(&self.directory) {
            return Ok(builder().from_credentials(credentials).await?);
        }
        let contact: Vec<&str> = self.contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            // The process does not start otherwise.
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let made = builder().create(&new, self.directory.clone(), None).await?;
        self.folder.keep_account(&self.directory, &made.1)?;
        Ok(made.0)
    }

    /// Puts the answer where the authority will look.
    fn answer(&self, challenge: &ChallengeHandle<'_>) -> Result<(), AcmeError> {
        let authorization = challenge.key_authorization();
        match self.proof {
            Proof::Http => self.challenges.add(&challenge.token, authorization.as_str()),
            Proof::TlsAlpn => {
                let name = challenge.identifier().to_string();
                let key = challenge_certificate(&name, authorization.digest().as_ref())
                    .map_err(AcmeError::Certificate)?;
                let added = self.certificates.add_challenge(&name, key);
                added.map_err(|error| AcmeError::Certificate(error.to_string()))?;
            }
        }
        Ok(())
    }
}

/// At two thirds of its life, and up to a fiftieth of it later, so that nodes that began together do not ask together.
fn due_at(pair: &Pair) -> Timestamp {
    let life = pair.expires_at.since(pair.valid_from);
    let [chance] = random::<1>();
    pair.valid_from
        .plus(life * 2 / 3)
        .plus(life / 50 * chance.into() / 256)
}

/// The certificate that says nothing but the digest of the challenge's answer (RFC 8737 §3).
fn challenge_certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, String> {
    let made = || -> Result<_, rcgen::Error> {
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        Ok((params.self_signed(&key)?, key))
    };
    let (certificate, key) = made().map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    // Unchecked, because the check refuses the critical extension that makes it a challenge's.
    let key = provider().key_provider.load_private_key(key);
    let key = key.map_err(|error| error.to_string())?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}
