//! The `/v1` API: a file per resource, beside what all of them need.
//!
//! `route` is the table of routes, `guard` stands in front of every handler, `extract` reads what handlers take, `problem` is the only
//! place with status codes.

mod api_keys;
mod code;
mod cors;
mod deliveries;
mod domains;
mod emails;
mod exposed;
mod extract;
mod feeds;
mod guard;
mod json;
mod mailbox;
mod members;
mod meta;
mod openapi;
mod pace;
mod page;
mod plain;
mod problem;
mod relays;
mod reputation;
mod request;
mod route;
mod session_issuers;
mod settings;
mod suppressions;
mod templates;
mod usage;
mod variables;
mod webhooks;
mod word;

pub use code::Code;
pub use meta::Published;
pub use plain::plain;
pub use problem::Problem;
pub(super) use request::mark;
pub use route::{Access, Route, Routes};

use crate::features::delivery::Submission;
use crate::features::domains::{Checks, Names};
use crate::features::emails::Fresh;
use crate::features::keys::Authenticator;
use crate::features::sessions::Sessions;
use crate::platform::Platform;
use crate::platform::jobs::Stop;
use crate::platform::net::Net;
use Access::{Anyone, Authenticated, Needs, NeedsLive};
use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::{OpenApi, Operation, StatusCode as Status};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::StatusCode;
use openapi::Document;
use pace::Paces;
use route::Table;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// What the API's handlers are given.
struct Api {
    platform: Platform,
    fresh: Arc<Fresh>,
    authenticator: Authenticator,
    paces: Paces,
    sessions: Sessions,
    net: Net,
    checks: Arc<Checks>,
    names: Names,
    relay_base: Option<String>,
    submission: Submission,
    region: String,
    published: Published,
    routes: Routes,
    document: Document,
}

/// One line a route: it is read by column.
#[rustfmt::skip]
fn table() -> Table {
    let table = suppression_routes(template_routes(domain_routes(email_routes(Table::new()))));
    let table = people_routes(key_routes(webhook_routes(relay_routes(table))));
    table
        .get("/v1/settings", "getSettings", Needs("settings:read"), "Show the organization's settings", settings::get)
        .patch("/v1/settings", "updateSettings", NeedsLive("settings:write"), "Change the organization's settings", settings::change)
        .get("/v1/usage", "getUsage", Needs("emails:read"), "Count what became of each day's recipients", usage::get)
        .get("/v1/me", "getMe", Authenticated, "Show who is calling", settings::me)
        .get("/v1/openapi.json", "getOpenApi", Anyone, "This document", openapi::get)
        .get("/v1/meta/ips", "getSourceAddresses", Anyone, "Where webhooks come from", meta::ips)
}

#[rustfmt::skip]
fn email_routes(table: Table) -> Table {
    let attempts = "List the attempts to deliver an e-mail, each with its SMTP steps";
    table
        .post("/v1/emails", "sendEmail", Needs("emails:send"), "Send an e-mail", emails::send)
        .post("/v1/emails/batch", "sendBatch", Needs("emails:send"), "Send up to 100 e-mails, each accepted or refused by itself", emails::send_batch)
        .get("/v1/emails", "listEmails", Needs("emails:read"), "List e-mails, newest first", emails::list)
        .get("/v1/emails/{id}", "getEmail", Needs("emails:read"), "Show an e-mail with its timeline", emails::get)
        .patch("/v1/emails/{id}", "updateEmail", Needs("emails:send"), "Give a scheduled e-mail another time", emails::change)
        .post("/v1/emails/{id}/cancel", "cancelEmail", Needs("emails:delete"), "Take a scheduled e-mail back", emails::cancel)
        .get("/v1/emails/{id}/events", "listEmailEvents", Needs("emails:read"), "List what happened to an e-mail, oldest first", emails::events)
        .get("/v1/emails/{id}/content", "getEmailContent", Needs("emails:read"), "Show an e-mail's parts and headers", emails::content)
        .get("/v1/emails/{id}/attempts", "listAttempts", Needs("emails:read"), attempts, emails::attempts)
}

#[rustfmt::skip]
fn domain_routes(table: Table) -> Table {
    let (create, read) = (NeedsLive("domains:create"), Needs("domains:read"));
    let (update, delete) = (NeedsLive("domains:update"), NeedsLive("domains:delete"));
    let verify = "Ask the DNS about a domain now";
    let rotate = "Let the domain's next DKIM key sign";
    table
        .post("/v1/domains", "createDomain", create, "Add a sending domain", domains::create)
        .get("/v1/domains", "listDomains", read, "List sending domains, newest first", domains::list)
        .get("/v1/domains/{id}", "getDomain", read, "Show a domain with its records", domains::get)
        .patch("/v1/domains/{id}", "updateDomain", update, "Change how a domain signs and which way its mail leaves", domains::change)
        .delete("/v1/domains/{id}", "deleteDomain", delete, "Take a domain away", domains::delete)
        .post("/v1/domains/{id}/verify", "verifyDomain", update, verify, domains::verify)
        .post("/v1/domains/{id}/rotate-dkim", "rotateDkim", update, rotate, domains::rotate)
        .get("/v1/domains/{id}/dns", "getDomainDns", read, "Show a domain's records as a zone file", domains::dns)
        .get("/v1/domains/{id}/reputation", "getReputation", read, "Show how mail from a domain is received", reputation::get)
}

#[rustfmt::skip]
fn template_routes(table: Table) -> Table {
    let (read, write) = (Needs("templates:read"), NeedsLive("templates:write"));
    let render = "Try a template: write it with values, and send nothing";
    table
        .post("/v1/templates", "createTemplate", write, "Make a template", templates::create)
        .get("/v1/templates", "listTemplates", read, "List templates, newest first", templates::list)
        .get("/v1/templates/{id}", "getTemplate", read, "Show a template with its versions", templates::get)
        .patch("/v1/templates/{id}", "updateTemplate", write, "Change a template, or its active version", templates::change)
        .delete("/v1/templates/{id}", "deleteTemplate", write, "Delete a template", templates::delete)
        .post("/v1/templates/{id}/render", "renderTemplate", read, render, templates::render)
}

#[rustfmt::skip]
fn suppression_routes(table: Table) -> Table {
    let (read, write) = (Needs("suppressions:read"), Needs("suppressions:write"));
    let check = "Ask whether an address is written to";
    let import = "Suppress many addresses, as JSON or CSV";
    let export = "Export suppressions, as JSON or CSV";
    let free = "Write to an address again";
    table
        .post("/v1/suppressions", "createSuppression", write, "Suppress an address", suppressions::create)
        .get("/v1/suppressions", "listSuppressions", read, "List suppressions, newest first", suppressions::list)
        .delete("/v1/suppressions", "deleteSuppressionByAddress", write, free, suppressions::delete_by_address)
        .get("/v1/suppressions/check", "checkSuppression", read, check, suppressions::check)
        .post("/v1/suppressions/import", "importSuppressions", write, import, suppressions::import)
        .get("/v1/suppressions/export", "exportSuppressions", read, export, suppressions::export)
        .get("/v1/suppressions/{id}", "getSuppression", read, "Show a suppression", suppressions::get)
        .delete("/v1/suppressions/{id}", "deleteSuppression", write, "Take a suppression away", suppressions::delete)
}

#[rustfmt::skip]
fn relay_routes(table: Table) -> Table {
    let (read, write) = (Needs("relays:read"), NeedsLive("relays:write"));
    let test = "Ask a relay's provider whether it takes the credentials";
    table
        .post("/v1/relays", "createRelay", write, "Add an account at another provider to send through", relays::create)
        .get("/v1/relays", "listRelays", read, "List relays by priority", relays::list)
        .get("/v1/relays/{id}", "getRelay", read, "Show a relay, without its credentials", relays::get)
        .patch("/v1/relays/{id}", "updateRelay", write, "Change a relay", relays::change)
        .delete("/v1/relays/{id}", "deleteRelay", write, "Delete a relay with its credentials", relays::delete)
        .post("/v1/relays/{id}/test", "testRelay", write, test, relays::test)
        .post("/v1/relays/{id}/feed", "hearRelay", Anyone, "What a relay's provider tells of mail, proved by its signature", feeds::hear)
}

#[rustfmt::skip]
fn webhook_routes(table: Table) -> Table {
    let (create, read) = (Needs("webhooks:create"), Needs("webhooks:read"));
    let (update, delete) = (Needs("webhooks:update"), Needs("webhooks:delete"));
    table
        .post("/v1/webhooks", "createWebhook", create, "Make a webhook endpoint", webhooks::create)
        .get("/v1/webhooks", "listWebhooks", read, "List webhook endpoints", webhooks::list)
        .get("/v1/webhooks/{id}", "getWebhook", read, "Show a webhook endpoint", webhooks::get)
        .patch("/v1/webhooks/{id}", "updateWebhook", update, "Change a webhook endpoint", webhooks::change)
        .delete("/v1/webhooks/{id}", "deleteWebhook", delete, "Delete a webhook endpoint", webhooks::delete)
        .post("/v1/webhooks/{id}/rotate-secret", "rotateWebhookSecret", update, "Give an endpoint a new secret", webhooks::rotate)
        .post("/v1/webhooks/{id}/test", "testWebhook", update, "Send an endpoint a sample of an event", deliveries::test)
        .get("/v1/webhooks/{id}/deliveries", "listWebhookDeliveries", read, "List an endpoint's deliveries", deliveries::list)
        .get("/v1/webhooks/{id}/deliveries/{delivery_id}", "getWebhookDelivery", read, "Show a delivery and its attempts", deliveries::get)
        .post("/v1/webhooks/{id}/deliveries/{delivery_id}/retry", "retryWebhookDelivery", update, "Try a delivery at once", deliveries::retry)
        .post("/v1/webhooks/{id}/replay", "replayWebhook", update, "Send an endpoint again what happened", deliveries::replay)
}

#[rustfmt::skip]
fn key_routes(table: Table) -> Table {
    let (create, read) = (Needs("api-keys:create"), Needs("api-keys:read"));
    let (update, delete) = (Needs("api-keys:update"), Needs("api-keys:delete"));
    let rotate = "Replace an API key by a new one, with an overlap";
    let report = "Report keys that have come to light";
    table
        .post("/v1/api-keys", "createApiKey", create, "Make an API key", api_keys::create)
        .get("/v1/api-keys", "listApiKeys", read, "List API keys, newest first", api_keys::list)
        .get("/v1/api-keys/{id}", "getApiKey", read, "Show an API key", api_keys::get)
        .patch("/v1/api-keys/{id}", "updateApiKey", update, "Change an API key", api_keys::change)
        .delete("/v1/api-keys/{id}", "deleteApiKey", delete, "Delete an API key", api_keys::delete)
        .post("/v1/api-keys/{id}/rotate", "rotateApiKey", create, rotate, api_keys::rotate)
        .post("/v1/secrets/exposed", "reportExposedSecrets", Anyone, report, exposed::report)
}

#[rustfmt::skip]
fn people_routes(table: Table) -> Table {
    let (settings, write_settings) = (Needs("settings:read"), NeedsLive("settings:write"));
    let (read, write) = (Needs("members:read"), NeedsLive("members:write"));
    let remove = "Trust an issuer no longer, and remove its members";
    table
        .post("/v1/session-issuers", "addSessionIssuer", write_settings, "Trust an issuer of session tokens", session_issuers::create)
        .get("/v1/session-issuers", "listSessionIssuers", settings, "List the trusted issuers of session tokens", session_issuers::list)
        .get("/v1/session-issuers/{id}", "getSessionIssuer", settings, "Show an issuer of session tokens", session_issuers::get)
        .delete("/v1/session-issuers/{id}", "removeSessionIssuer", write_settings, remove, session_issuers::delete)
        .post("/v1/members", "addMember", write, "Give a subject of an issuer a role", members::create)
        .get("/v1/members", "listMembers", read, "List members, oldest first", members::list)
        .get("/v1/members/{id}", "getMember", read, "Show a member", members::get)
        .patch("/v1/members/{id}", "changeMember", write, "Give a member another role", members::change)
        .delete("/v1/members/{id}", "removeMember", write, "Remove a member", members::delete)
}

/// The table of routes: who may call what.
pub fn routes() -> Routes {
    table().finish().1
}

/// The table as a page of the documentation (Markdown).
pub fn permissions() -> String {
    route::page(&routes())
}

/// The OpenAPI document.
pub fn document() -> OpenApi {
    table().finish().2
}

/// What the API is made from.
pub struct Parts {
    /// What the features stand on.
    pub platform: Platform,
    /// Where accepted messages wait for their delivery.
    pub fresh: Arc<Fresh>,
    /// The way out.
    pub net: Net,
    /// Where the records of sending domains lead to.
    pub names: Names,
    /// What is asked instead of relays' providers.
    pub relay_base: Option<String>,
    /// The way to SMTP relays.
    pub submission: Submission,
    /// The installation's region.
    pub region: String,
    /// How long a network is first shut out for requests that look like attacks.
    pub ban_first: Duration,
    /// Where webhooks come from.
    pub published: Published,
}

/// The routes of the API, each guarded, each answering problems in the API's own form; and what has to be done beside them.
/// `more` are routes that are not the API's: they are observed, and a key in their URLs is burned, too.
pub fn open(parts: Parts, more: Router) -> (Router, Upkeep) {
    let Parts {
        platform,
        fresh,
        net,
        names,
        relay_base,
        submission,
        region,
        ban_first,
        published,
    } = parts;
    let (router, routes, document) = table().finish();
    // Only names and schemas: this can't fail.
    let document = serde_json::to_vec(&document).unwrap_or_default();
    let observing = platform.clone();
    let api = Arc::new(Api {
        paces: Paces::new(&platform, ban_first),
        authenticator: Authenticator::default(),
        fresh,
        sessions: Sessions::new(net.http.clone()),
        checks: Checks::new(platform.clone(), &net, names.clone()),
        net,
        platform,
        names,
        relay_base,
        submission,
        region,
        published,
        routes,
        document: Document(document.into()),
    });
    let router = router
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .fallback(async || Problem::no_route())
        .with_state(Arc::clone(&api))
        .merge(more)
        .layer(from_fn_with_state(Arc::clone(&api), guard::guard))
        .layer(from_fn_with_state(observing, request::observe));
    (router, Upkeep(api))
}

/// What the API has to do beside answering: write down uses of keys, forget limits that are over.
pub struct Upkeep(Arc<Api>);

impl Upkeep {
    /// Does it until stopped.
    pub async fn run(self, stop: Stop) {
        let api = &self.0;
        tokio::join!(
            api.authenticator.usage.run(&api.platform, stop.clone()),
            api.paces.run(&api.platform, stop),
        );
    }
}

/// An answer whose status is part of its type, so that the document tells it.
struct Answered<const STATUS: u16, T>(T);

/// The answer to a creation.
type Created<T> = Answered<201, T>;
/// The answer to what is taken and needs no other.
type Accepted<T> = Answered<202, T>;

impl<const STATUS: u16, T: Serialize> IntoResponse for Answered<STATUS, T> {
    fn into_response(self) -> Response {
        // Only statuses that exist are named above.
        let status = StatusCode::from_u16(STATUS).unwrap_or(StatusCode::OK);
        (status, Json(self.0)).into_response()
    }
}

impl<const STATUS: u16, T: JsonSchema> OperationOutput for Answered<STATUS, T> {
    type Inner = T;

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<Status>, aide::openapi::Response)> {
        let answer = Json::<T>::operation_response(ctx, operation);
        answer
            .into_iter()
            .map(|response| (Some(Status::Code(STATUS)), response))
            .collect()
    }
}
