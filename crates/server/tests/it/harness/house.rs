//! A running server with everything around it.

use super::{Account, Client, Database, Engine, Pairs, Reply, account, eventually};
use axum::Router;
use sealwright::app::{self, Roles, Running};
use sealwright::clock::Clock;
use sealwright::config::{Config, Settings};
use sealwright::entry::edge::Authority;
use sealwright::id::Id as _;
use sealwright::platform::Platform;
use sealwright::platform::dev::sink::{Sink, SinkOptions, SinkScript};
use sealwright::platform::vault::Cell;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// How a house is to be built; what is not said is as in the field.
pub(crate) struct Setup {
    engine: Engine,
    settings: Pairs,
    sink: SinkOptions,
    is_routed: bool,
    clock: Clock,
    roles: Roles,
}

impl Setup {
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            engine,
            settings: Vec::new(),
            sink: SinkOptions::default(),
            is_routed: true,
            clock: Clock::System,
            roles: Roles::ALL,
        }
    }

    /// One setting by its key.
    pub(crate) fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        self.settings.push((key.to_owned(), value.into()));
        self
    }

    /// The sink behaves by this script.
    pub(crate) fn script(mut self, script: SinkScript) -> Self {
        self.sink.script = script;
        self
    }

    pub(crate) fn sink(mut self, sink: SinkOptions) -> Self {
        self.sink = sink;
        self
    }

    /// Mail finds its own way instead of going to the sink.
    pub(crate) fn unrouted(mut self) -> Self {
        self.is_routed = false;
        self
    }

    pub(crate) fn clock(mut self, clock: &Clock) -> Self {
        self.clock = clock.clone();
        self
    }

    pub(crate) fn roles(mut self, roles: Roles) -> Self {
        self.roles = roles;
        self
    }

    /// Starts the server with one organization.
    pub(crate) async fn start(self) -> House {
        let folder = tempfile::tempdir().unwrap();
        let database = match self.engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Database::create().await),
        };
        let authority = Authority::in_folder(folder.path(), Clock::System.now()).unwrap();
        let sink = Sink::start(SocketAddr::from(([127, 0, 0, 1], 0)), self.sink.clone()).unwrap();
        let route = self.is_routed.then(|| sink.addr());
        let pairs = base_settings(folder.path(), &authority, database.as_ref(), route);
        let all = pairs.iter().chain(&self.settings);
        let settings = all.fold(Settings::default(), |settings, (key, value)| {
            settings.with(key, value.clone()).unwrap()
        });
        let config = settings.config().unwrap();
        let running = run(&config, self.roles, self.clock.clone()).await;
        let platform = running.platform.clone();
        let client = Client::new(running.address.unwrap_or(sink.addr()), &authority.ca_cert);
        House {
            account: account(&platform, "House", "house.example").await,
            clock: self.clock,
            config,
            platform,
            sink,
            client,
            authority,
            database,
            running: Some(running),
            folder,
        }
    }
}

/// Settings of an installation in `folder`; certificates, keys and, without a database, the rows lie there.
pub(crate) fn base_settings(
    folder: &Path,
    authority: &Authority,
    database: Option<&Database>,
    route: Option<SocketAddr>,
) -> Pairs {
    let text = |path: &Path| path.display().to_string();
    let mut all = vec![
        ("server.listen", "127.0.0.1:0".to_owned()),
        ("server.tls_cert", text(&authority.cert)),
        ("server.tls_key", text(&authority.key)),
        ("server.stop_timeout_s", "5".to_owned()),
        ("store.data_dir", text(folder)),
        ("delivery.poll_ms", "50".to_owned()),
        ("delivery.ehlo_name", "out.house.example".to_owned()),
        ("net.allow_private", "127.0.0.0/8,::1/128".to_owned()),
        ("net.extra_ca", text(&authority.ca_cert)),
    ];
    if let Some(database) = database {
        all.push(("store.postgres_url", database.url()));
        all.push(("store.postgres_owner_url", database.owner_url().to_owned()));
    }
    if let Some(route) = route {
        all.push(("delivery.static_route", route.to_string()));
    }
    all.into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

async fn run(config: &Config, roles: Roles, clock: Clock) -> Running {
    let (platform, lock) = app::open(config, clock).await.unwrap();
    app::start_on(config, roles, Router::new(), platform, lock)
        .await
        .unwrap()
}

/// A running server, its sink, and an organization that may send.
pub(crate) struct House {
    pub(crate) account: Account,
    pub(crate) clock: Clock,
    pub(crate) config: Config,
    pub(crate) platform: Platform,
    pub(crate) sink: Sink,
    pub(crate) client: Client,
    pub(crate) authority: Authority,
    pub(crate) database: Option<Database>,
    running: Option<Running>,
    pub(crate) folder: TempDir,
}

impl House {
    pub(crate) async fn start(engine: Engine) -> Self {
        Setup::new(engine).start().await
    }

    /// A house whose installation tells security contacts: the organization's own domain is the sender's.
    pub(crate) async fn with_notices(setup: Setup) -> Self {
        let mut house = setup.start().await;
        house.stop().await;
        let mut config = house.config.clone();
        config.notices.from = Some(house.account.address("security"));
        config.notices.org = Some(house.account.org.to_string());
        house.restart(config, Roles::ALL).await;
        house
    }

    /// Another process on the same store, which must be one that takes several.
    pub(crate) async fn second_node(&self) -> Node {
        let (platform, lock) = app::open(&self.config, self.clock.clone()).await.unwrap();
        let running = app::start_on(&self.config, Roles::ALL, Router::new(), platform, lock)
            .await
            .unwrap();
        Node {
            client: Client::new(running.address.unwrap(), &self.authority.ca_cert),
            running,
        }
    }

    /// Who did what, as `actor action`, of this organization.
    pub(crate) async fn audited(&self) -> Vec<String> {
        let entries = self.audit_entries().await.into_iter();
        entries.map(|(_, what, _)| what).collect()
    }

    /// What the entries of this action say, oldest first.
    pub(crate) async fn audit_details(&self, action: &str) -> Vec<Value> {
        let vault = self.platform.vault.org(&self.account.org).await.unwrap();
        let mut details = Vec::new();
        for (id, what, sealed) in self.audit_entries().await {
            if what.ends_with(&format!(" {action}")) {
                let cell = Cell {
                    table: "audit_entries",
                    column: "detail_sealed",
                    row: &id,
                };
                let json = vault.open(cell, &sealed).await.unwrap();
                details.push(serde_json::from_slice::<Value>(&json).unwrap()["detail"].take());
            }
        }
        details
    }

    /// Id, `actor action` and sealed detail of each entry, oldest first.
    async fn audit_entries(&self) -> Vec<(String, String, Vec<u8>)> {
        let sql = "SELECT id, actor || ' ' || action, detail_sealed FROM audit_entries WHERE org_id = $1 ORDER BY id";
        match &self.database {
            None => {
                let connection = rusqlite::Connection::open(self.folder.path().join("data.db")).unwrap();
                let mut statement = connection.prepare(sql).unwrap();
                let entry = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
                let rows = statement.query_map([self.account.org.as_str()], entry);
                rows.unwrap().map(Result::unwrap).collect()
            }
            Some(database) => {
                let client = database.superuser().await;
                client
                    .batch_execute("SET search_path = sealwright")
                    .await
                    .unwrap();
                let rows = client.query(sql, &[&self.account.org.as_str()]).await.unwrap();
                let entry = |row: &tokio_postgres::Row| (row.get(0), row.get(1), row.get(2));
                rows.iter().map(entry).collect()
            }
        }
    }

    /// The address of the metrics listener, where there is one.
    pub(crate) fn admin_address(&self) -> Option<SocketAddr> {
        self.running.as_ref().and_then(|running| running.admin_address)
    }

    /// The address of the plain listener, where there is one.
    pub(crate) fn http_address(&self) -> Option<SocketAddr> {
        self.running.as_ref().and_then(|running| running.http_address)
    }

    /// The address of the SMTP listener, which must be set.
    pub(crate) fn smtp_address(&self) -> SocketAddr {
        self.running
            .as_ref()
            .and_then(|running| running.smtp_address)
            .unwrap()
    }

    /// The address of the HTTPS listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.running.as_ref().and_then(|running| running.address).unwrap()
    }

    /// Stops the server in order; store, sink and account stay.
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Starts the stopped server again on the same store, with changed settings and roles.
    pub(crate) async fn restart(&mut self, config: Config, roles: Roles) {
        assert!(self.running.is_none(), "stop it first");
        let (platform, lock) = app::open(&config, self.clock.clone()).await.unwrap();
        let running = app::start_on(&config, roles, Router::new(), platform.clone(), lock)
            .await
            .unwrap();
        if let Some(address) = running.address {
            self.client = Client::new(address, &self.authority.ca_cert);
        }
        (self.config, self.platform, self.running) = (config, platform, Some(running));
    }

    /// A small e-mail of this organization.
    pub(crate) fn email(&self, to: &str) -> Value {
        json!({
            "from": format!("House <{}>", self.account.address("hello")),
            "to": to,
            "subject": "A subject",
            "text": "A text.",
        })
    }

    /// Posts an e-mail with the live key.
    pub(crate) async fn post(&self, email: &Value) -> Reply {
        self.client.post("/v1/emails", &self.account.live, email).await
    }

    /// Posts an e-mail that must be accepted; returns its id.
    pub(crate) async fn accepted(&self, email: &Value) -> String {
        let answer = self.post(email).await.expect(200);
        answer["id"].as_str().unwrap().to_owned()
    }

    /// The e-mail as the API shows it.
    pub(crate) async fn shown(&self, id: &str) -> Value {
        let path = format!("/v1/emails/{id}");
        self.client.get(&path, &self.account.live).await.expect(200)
    }

    /// Executes a statement behind the server's back, without its walls.
    pub(crate) async fn execute(&self, statement: &str) {
        match &self.database {
            None => {
                let connection = rusqlite::Connection::open(self.folder.path().join("data.db")).unwrap();
                connection.busy_timeout(Duration::from_secs(10)).unwrap();
                connection.execute_batch(statement).unwrap();
            }
            Some(database) => {
                let client = database.superuser().await;
                client
                    .batch_execute("SET search_path TO sealwright")
                    .await
                    .unwrap();
                client.batch_execute(statement).await.unwrap();
            }
        }
    }

    /// The verdict on a message with this organization's DKIM record as the whole DNS.
    pub(crate) fn dkim_verdict(&self, message: &[u8]) -> String {
        sealwright::features::delivery::dkim_verdict(message, std::slice::from_ref(&self.account.dkim))
    }

    /// The attempts as the API shows them.
    pub(crate) async fn attempts(&self, id: &str) -> Vec<Value> {
        let path = format!("/v1/emails/{id}/attempts");
        let list = self.client.get(&path, &self.account.live).await.expect(200);
        list["data"].as_array().unwrap().clone()
    }

    /// Waits until the e-mail has this status.
    pub(crate) async fn reaches(&self, id: &str, status: &str) -> Value {
        let mut last = Value::Null;
        eventually(&format!("{id} becomes {status}"), async || {
            last = self.shown(id).await;
            (last["status"] == status).then(|| last.clone())
        })
        .await
    }
}

/// A further process of a house.
pub(crate) struct Node {
    pub(crate) client: Client,
    running: Running,
}

impl Node {
    pub(crate) async fn stop(self) {
        self.running.stop().await;
    }
}

/// The events of a shown e-mail of one type.
pub(crate) fn events_of<'a>(shown: &'a Value, kind: &str) -> Vec<&'a Value> {
    let events = shown["events"].as_array().unwrap();
    events.iter().filter(|event| event["type"] == kind).collect()
}
