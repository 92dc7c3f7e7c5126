//! Tells domains what became of TLS on the way to them, once a day, where they ask for it (RFC 8460 §5).
//!
//! Any node may report; that only one does, and once, follows from the idempotency key of the mail. What was told is forgotten.

use super::report::{self, Heading, Place};
use super::results::{Results, Sum, cell, row};
use super::store::{self, Open};
use crate::clock::Timestamp;
use crate::features::delivery::Options;
use crate::features::domains::Tls;
use crate::features::emails::{self, Accepted, Attachment, Draft, Fresh, Idempotency, Stream};
use crate::features::events::Metadata;
use crate::features::keys::Caller;
use crate::features::notices::Sender;
use crate::id::Id as _;
use crate::metrics::KindLabel;
use crate::platform::Platform;
use crate::platform::net::{Dns, DnsError, HttpClient, HttpsUrl, Net, Outgoing, TlsMin};
use crate::platform::store::StoreError;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use sealwright_mail::address::Mailbox;
use sealwright_mail::header::{ContentType, FileName, HeaderName, HeaderText};
use std::sync::Arc;
use std::time::Duration;

/// Looks for due mail between two turns, in which counts go to the store and it is looked whether a day is to be told of.
const POLLS_PER_TURN: u32 = 120;
/// The earliest time after the end of a day: by then every node has added its counts.
const EARLIEST_S: i64 = 600;
/// Domains are told at different times of this many seconds from there (RFC 8460 §4.1).
const SPREAD_S: i64 = 4 * 3600;
/// Days for which a report is tried that can't be brought.
const DAYS_TRIED: i64 = 2;
const DAY_S: i64 = 86_400;
const GZIP: &str = "application/tlsrpt+gzip";

/// Who reports.
pub(in crate::features::delivery) struct Reporting {
    platform: Platform,
    results: Arc<Results>,
    fresh: Arc<Fresh>,
    dns: Dns,
    http: HttpClient,
    /// Without one nothing is told by mail.
    sender: Option<Sender>,
    submitter: String,
    every: Duration,
}

/// Why a report was not brought.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("nobody sends mail for this installation: set notices.from and notices.org")]
    NoSender,
    #[error("the place can't be used")]
    Place,
    #[error("it was answered {0}")]
    Answer(http::StatusCode),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("whether it is wanted can't be looked up now: {0}")]
    Dns(DnsError),
    #[error(transparent)]
    Http(#[from] crate::platform::net::HttpFailure),
    #[error(transparent)]
    Send(#[from] emails::SendError),
}

impl Reporting {
    pub(in crate::features::delivery) fn new(
        platform: &Platform,
        results: Arc<Results>,
        fresh: Arc<Fresh>,
        net: &Net,
        options: &Options,
    ) -> Self {
        Self {
            platform: platform.clone(),
            results,
            fresh,
            dns: net.dns.clone(),
            http: net.http.clone(),
            sender: options.sender.clone(),
            submitter: options.ehlo_name.clone(),
            every: options.poll * POLLS_PER_TURN,
        }
    }

    /// Goes on for as long as it is polled.
    pub(in crate::features::delivery) async fn run(&self) {
        loop {
            self.turn().await;
            tokio::time::sleep(self.every).await;
        }
    }

    /// Adds what was counted to the store, and tells of days that are over.
    pub(in crate::features::delivery) async fn turn(&self) {
        self.results.flush().await;
        let now = self.platform.clock.now();
        let open = match store::open_results(&self.platform.store, now.day()).await {
            Ok(open) => open,
            Err(error) => {
                return tracing::warn!(%error, "it can't be looked which domains are to be told of TLS");
            }
        };
        for open in open.into_iter().filter(|open| is_due(open, now)) {
            let outcome = self.report(&open).await;
            let kind = match &outcome {
                Ok(true) => "sent",
                Ok(false) => "unwanted",
                Err(_) => "failed",
            };
            self.platform
                .metrics
                .tls_reports_made
                .get_or_create(&KindLabel { kind })
                .inc();
            if let Err(error) = &outcome {
                tracing::info!(day = open.day, %error, "a domain could not be told what became of TLS");
            }
            let is_over = outcome.is_ok() || now.day() - open.day > DAYS_TRIED;
            if is_over && let Err(error) = store::forget_results(&self.platform.store, open).await {
                tracing::warn!(%error, "results of TLS that were told could not be forgotten");
            }
        }
    }

    /// Whether a domain wanted to be told, and was. One place that took it is enough.
    async fn report(&self, open: &Open) -> Result<bool, ReportError> {
        let sums = self.sums(open).await?;
        let Some(domain) = sums.first().map(|(sum, _)| sum.rule.domain.clone()) else {
            return Ok(false);
        };
        let records = match self.dns.lookup_txt(&format!("_smtp._tls.{domain}")).await {
            Ok(records) => records,
            Err(error) if error.temporary => return Err(ReportError::Dns(error)),
            Err(_) => Vec::new(),
        };
        let places = report::places(&records);
        let id = format!("{}-{:016x}@{}", open.day, open.destination, self.submitter);
        let contact = self
            .sender
            .as_ref()
            .map(|sender| sender.from.address.as_str().to_owned());
        let heading = Heading {
            submitter: &self.submitter,
            contact: contact.as_deref().unwrap_or(&self.submitter),
            domain: &domain,
            day: open.day,
            id: &id,
        };
        let content = report::compressed(&report::json(&heading, &sums));
        let mut last = Ok(false);
        for place in places {
            let told = match &place {
                Place::Mail(address) => self.mail(&heading, address, &content).await,
                Place::Post(url) => self.post(url, &content).await,
            };
            match (told, &last) {
                (Ok(()), _) => last = Ok(true),
                (Err(error), Ok(false)) => last = Err(error),
                (Err(_), _) => {}
            }
        }
        last
    }

    async fn sums(&self, open: &Open) -> Result<Vec<(Sum, i64)>, StoreError> {
        let rows = store::results(&self.platform.store, *open).await?;
        let opened = |stored: store::ResultRow| {
            let row = row(open.day, open.destination, stored.result);
            let json = self.platform.vault.open_own(cell(&row), &stored.sealed).ok()?;
            Some((serde_json::from_slice(&json).ok()?, stored.sessions))
        };
        Ok(rows.into_iter().filter_map(opened).collect())
    }

    /// Sends it as mail, however often it is tried once to each address.
    async fn mail(&self, heading: &Heading<'_>, address: &str, content: &[u8]) -> Result<(), ReportError> {
        let sender = self.sender.as_ref().ok_or(ReportError::NoSender)?;
        let draft = draft(sender, heading, address, content).ok_or(ReportError::Place)?;
        let once = Idempotency {
            key: format!("tls-report-{}-{address}", heading.id),
            // A second node may have counted more by now: the first report is the one.
            request_digest: [0; 32],
        };
        let caller = Caller::system(sender.org.clone());
        let answer = |accepted: &Accepted| accepted.id.as_str().as_bytes().to_vec();
        emails::send(&self.platform, &self.fresh, &caller, draft, Some(once), answer).await?;
        Ok(())
    }

    async fn post(&self, url: &str, content: &[u8]) -> Result<(), ReportError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(GZIP));
        let outgoing = Outgoing {
            url: &HttpsUrl::parse(url).map_err(|_| ReportError::Place)?,
            headers,
            body: Bytes::copy_from_slice(content),
            timeout: crate::platform::net::EXCHANGE_TIMEOUT,
            min_tls: TlsMin::V1_2,
        };
        let answer = self.http.post(outgoing).await?;
        if answer.status.is_success() {
            Ok(())
        } else {
            Err(ReportError::Answer(answer.status))
        }
    }
}

/// Domains are told at different times, so that no receiver of reports gets all of them at midnight.
fn is_due(open: &Open, now: Timestamp) -> bool {
    let after = EARLIEST_S + (open.destination ^ open.day).rem_euclid(SPREAD_S);
    now.seconds() >= (open.day + 1) * DAY_S + after
}

/// The mail (RFC 8460 §5.3). It is to arrive even where TLS does not work: that is what it tells of (RFC 8689 §5).
fn draft(sender: &Sender, heading: &Heading<'_>, address: &str, content: &[u8]) -> Option<Draft> {
    let Heading {
        submitter,
        domain,
        id,
        ..
    } = heading;
    let field =
        |name: &str, value: &str| Some((HeaderName::parse(name).ok()?, HeaderText::parse(value).ok()?));
    let subject = format!("Report Domain: {domain} Submitter: {submitter} Report-ID: <{id}>");
    let text = format!(
        "This is a report of what became of TLS on the way to {domain}, as its record at _smtp._tls.{domain} asks for it (RFC 8460).\n"
    );
    Some(Draft {
        from: sender.from.clone(),
        to: vec![Mailbox::parse(address).ok()?],
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: Vec::new(),
        subject: HeaderText::parse(&subject).ok()?,
        html: None,
        text: Some(text),
        amp: None,
        headers: vec![
            field("TLS-Report-Domain", domain)?,
            field("TLS-Report-Submitter", submitter)?,
            field("TLS-Required", "No")?,
            field("Auto-Submitted", "auto-generated")?,
        ],
        tags: vec!["tls-report".to_owned()],
        metadata: Metadata::default(),
        attachments: vec![Attachment {
            filename: FileName::parse(&report::file_name(heading)).ok()?,
            content_type: ContentType::parse(GZIP).ok()?,
            content: content.to_vec(),
            content_id: None,
        }],
        scheduled_at: None,
        stream: Stream::Broadcast,
        tls: Tls::Opportunistic,
    })
}
