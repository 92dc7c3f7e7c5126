//! `/v1/domains`.

use super::extract::{Body, IdText, Limit, PathId, Query, Who, present};
use super::page::{Deleted, List};
use super::word::Word;
use super::{Answered, Api, Created, Problem};
use crate::clock::Timestamp;
use crate::features::domains::{self, Domain, RecordPurpose, RecordType, Route, Shows, Status, Tls};
use crate::id::{DomainId, Id as _};
use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, Response as Answer, StatusCode};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Media type of zone files (RFC 4027 §2).
const ZONE_FILE: &str = "text/dns";

/// The domain to send from.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NewDomain {
    /// Its name, such as `example.com` or `mail.example.com`.
    #[schemars(length(min = 1, max = 237))]
    name: String,
    /// The installation's own region; another is refused.
    #[schemars(length(min = 1, max = 64))]
    region: Option<String>,
    /// Domains are for sending.
    #[serde(rename = "type")]
    kind: Option<DomainKind>,
    /// `required`: its mail travels only over channels whose other end is known to be the receiver. `opportunistic` if not given.
    tls: Option<Word<Tls>>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum DomainKind {
    Sending,
}

/// A record to publish, and what the DNS shows of it.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DnsRecord {
    #[serde(rename = "type")]
    kind: Word<RecordType>,
    host: String,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u16>,
    purpose: Word<RecordPurpose>,
    /// Whether the domain can't send, or not for long, without it.
    required: bool,
    status: Word<Shows>,
    verified: bool,
    /// What is there, at the last look.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    found: Vec<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl DnsRecord {
    fn of(record: domains::Record, domain: &Domain) -> Self {
        let finding = domain.finding(&record);
        let shows = finding.map_or(Shows::Pending, |finding| finding.shows);
        Self {
            kind: Word(record.kind),
            host: record.host,
            value: record.value,
            priority: record.priority,
            purpose: Word(record.purpose),
            required: record.is_required,
            status: Word(shows),
            verified: shows == Shows::Verified,
            found: finding.map(|finding| finding.found.clone()).unwrap_or_default(),
            advice: finding.and_then(|finding| finding.advice.clone()),
        }
    }
}

/// A sending domain.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Domain")]
pub(super) struct Shown {
    id: String,
    object: &'static str,
    /// In A-labels.
    name: String,
    status: Word<Status>,
    region: String,
    dns_records: Vec<DnsRecord>,
    dkim_status: Word<Shows>,
    spf_status: Word<Shows>,
    dmarc_status: Word<Shows>,
    return_path_status: Word<Shows>,
    /// `none`, `quarantine` or `reject`, as published for the domain or above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    dmarc_policy: Option<&'static str>,
    /// Whether mail bears a second signature, by Ed25519.
    ed25519: bool,
    /// How its mail has to travel.
    tls: Word<Tls>,
    /// Which way its mail leaves.
    route: Word<Route>,
    /// The selector that signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    dkim_selector: Option<String>,
    /// Since when it signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    dkim_rotated_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checked_at: Option<String>,
    created_at: String,
}

impl Shown {
    fn of(api: &Api, domain: &Domain) -> Self {
        let time = |at: Option<Timestamp>| at.map(Timestamp::rfc3339);
        let signing = domain.keys.iter().find(|key| key.is_signing());
        let records = domain.records(&api.names).into_iter();
        Self {
            id: domain.id.to_string(),
            object: "domain",
            name: domain.name.clone(),
            status: Word(domain.status),
            region: api.region.clone(),
            dns_records: records.map(|record| DnsRecord::of(record, domain)).collect(),
            dkim_status: Word(domain.dkim()),
            spf_status: Word(domain.shows(RecordPurpose::Spf)),
            dmarc_status: Word(domain.shows(RecordPurpose::Dmarc)),
            return_path_status: Word(domain.shows(RecordPurpose::ReturnPath)),
            dmarc_policy: domain.dmarc_policy(),
            ed25519: domain.has_ed25519,
            tls: Word(domain.tls),
            route: Word(domain.route),
            dkim_selector: signing.map(|key| key.selector.clone()),
            dkim_rotated_at: time(signing.and_then(|key| key.signing_since)),
            verified_at: time(domain.verified_at),
            checked_at: time(domain.checked_at),
            created_at: domain.created_at.rfc3339(),
        }
    }
}

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    new: Body<NewDomain>,
) -> Result<Created<Shown>, Problem> {
    if new.region.as_ref().is_some_and(|region| *region != api.region) {
        let message = format!(
            "this installation is in the region {}; leave the field out",
            api.region
        );
        return Err(Problem::invalid("region", message));
    }
    let (None | Some(DomainKind::Sending)) = new.kind;
    let mut added = domains::add(&api.platform, &caller, &new.name).await?;
    // Nothing can be sent from it before it is verified.
    if let Some(tls) = new.tls.filter(|tls| tls.0 != added.tls) {
        let change = domains::Change {
            tls: Some(tls.0),
            ..domains::Change::default()
        };
        added = domains::change(&api.platform, &caller, &added.id, change).await?;
    }
    let complete = domains::complete(&api.platform, &caller.org, added).await?;
    Ok(Answered(Shown::of(&api, &complete)))
}

/// Which domains to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DomainsQuery {
    /// How many to show.
    #[serde(default, deserialize_with = "present")]
    limit: Option<Limit>,
    /// Show those after this one.
    #[serde(default, deserialize_with = "present")]
    starting_after: Option<IdText<DomainId>>,
    /// Those of this status.
    #[serde(default, deserialize_with = "present")]
    status: Option<Word<Status>>,
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Query(query): Query<DomainsQuery>,
) -> Result<Json<List<Shown>>, Problem> {
    let (limit, after) = (Limit::get(query.limit), query.starting_after.map(|id| id.0));
    let page = domains::list(
        &api.platform,
        &caller.org,
        query.status.map(|status| status.0),
        limit,
        after,
    )
    .await?;
    let data = page
        .domains
        .iter()
        .map(|domain| Shown::of(&api, domain))
        .collect();
    Ok(Json(List::new(data, page.has_more, page.total, false)))
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<DomainId>,
) -> Result<Json<Shown>, Problem> {
    let domain = domains::get(&api.platform, &caller.org, &id).await?;
    Ok(Json(Shown::of(&api, &domain)))
}

/// What is to change; what is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DomainChange {
    /// Whether mail bears a second signature, by Ed25519. It needs three further records.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "bool")]
    ed25519: Option<bool>,
    /// `required`: mail that is accepted from now on travels only over channels whose other end is known to be the receiver.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Word<Tls>")]
    tls: Option<Word<Tls>>,
    /// Which way its mail leaves: to its recipients' hosts, or through your relays. It holds within a minute.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Word<Route>")]
    route: Option<Word<Route>>,
}

pub(super) async fn change(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<DomainId>,
    change: Body<DomainChange>,
) -> Result<Json<Shown>, Problem> {
    let wanted = domains::Change {
        ed25519: change.ed25519,
        tls: change.tls.map(|tls| tls.0),
        route: change.route.map(|route| route.0),
    };
    let domain = domains::change(&api.platform, &caller, &id, wanted).await?;
    let complete = domains::complete(&api.platform, &caller.org, domain).await?;
    Ok(Json(Shown::of(&api, &complete)))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<DomainId>,
) -> Result<Json<Deleted>, Problem> {
    domains::delete(&api.platform, &caller, &id).await?;
    Ok(Json(Deleted::new(id.as_str(), "domain")))
}

/// A domain right after the DNS was asked.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verification {
    #[serde(flatten)]
    domain: Shown,
    /// Whether the domain may send.
    verified: bool,
    /// Records that the DNS does not show as they should be, required or not; none of a domain about which it is not asked.
    missing_records: Vec<DnsRecord>,
}

pub(super) async fn verify(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<DomainId>,
) -> Result<Json<Verification>, Problem> {
    let domain = api.checks.verify(&caller.org, &id).await?;
    let is_assumed = domain.is_assumed;
    let domain = Shown::of(&api, &domain);
    Ok(Json(Verification {
        verified: domain.status.0 == Status::Verified,
        missing_records: domain
            .dns_records
            .iter()
            .filter(|record| !record.verified && !is_assumed)
            .cloned()
            .collect(),
        domain,
    }))
}

pub(super) async fn rotate(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<DomainId>,
) -> Result<Json<Shown>, Problem> {
    let domain = domains::rotate(&api.platform, &caller, &id).await?;
    Ok(Json(Shown::of(&api, &domain)))
}

/// Records in the form that name servers and DNS hosts import.
pub(super) struct ZoneFile(String);

impl IntoResponse for ZoneFile {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, ZONE_FILE)], self.0).into_response()
    }
}

impl OperationOutput for ZoneFile {
    type Inner = ();

    fn inferred_responses(_: &mut GenContext, _: &mut Operation) -> Vec<(Option<StatusCode>, Answer)> {
        let answer = Answer {
            description: "The records as a zone file (RFC 1035 §5.1).".to_owned(),
            content: [(ZONE_FILE.to_owned(), MediaType::default())]
                .into_iter()
                .collect(),
            ..Answer::default()
        };
        vec![(Some(StatusCode::Code(200)), answer)]
    }
}

pub(super) async fn dns(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    PathId(id): PathId<DomainId>,
) -> Result<ZoneFile, Problem> {
    let domain = domains::get(&api.platform, &caller.org, &id).await?;
    Ok(ZoneFile(domain.zone_file(&api.names)))
}
