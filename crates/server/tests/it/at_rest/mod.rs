//! What remains of an e-mail when nobody is looking at it: nothing that can be read.
//!
//! A mail with a canary in every field goes all the way through a spawned `sealwright serve` (the real binary, whose allocator wipes what
//! it frees): accepted, delivered, shown, told to a webhook. Then every file of the store, everything that was logged, and the
//! memory of the idle process are searched for the canaries.
//!
//! Not among them: names that an operator or a developer gives to things (organization, key, a webhook's description, the name of a
//! header), which are stored in clear, and domains of the sender, which are in the DNS for everyone to read.

mod canaries;
mod memory;

use crate::harness::{
    Client, DNS_A, DNS_MX, Database, Engine, NameServer, Pairs, Receiver, Reply, Said, SigningKey, Spawned,
    Talk, base_settings, eventually, lines, on_both_engines, postgres_folder,
};
use bytes::Bytes;
use canaries::Canaries;
use http::{Method, Request};
use http_body_util::Full;
use sealwright::clock::Clock;
use sealwright::entry::edge::Authority;
use sealwright::platform::dev::sink::{Sink, SinkOptions};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// An installation with everything around it.
struct Scene {
    settings: Pairs,
    authority: Authority,
    database: Option<Database>,
    sink: Sink,
    receiver: Receiver,
    /// Where providers of relays are asked.
    provider: Receiver,
    smtp: SocketAddr,
    _names: NameServer,
    /// Rows, keys and certificates.
    data: PathBuf,
    folder: TempDir,
}

impl Scene {
    async fn set(engine: Engine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let authority = Authority::in_folder(&data, Clock::System.now()).unwrap();
        let database = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Database::create().await),
        };
        let (receiver, provider) = (
            Receiver::start(&authority).await,
            Receiver::start(&authority).await,
        );
        let here = Ipv4Addr::LOCALHOST;
        let sink = Sink::start(SocketAddr::from((here, 0)), SinkOptions::default()).unwrap();
        // The DNS is really asked, because a resolver logs too.
        let names = NameServer::start(move |name, kind| match (name, kind) {
            ("mx.example", DNS_A) | ("localhost", DNS_A) => Said::Addresses(vec![here]),
            ("mx.example" | "localhost", _) => Said::Nothing,
            (_, DNS_MX) => Said::Hosts(vec![(10, "mx.example".to_owned())]),
            _ => Said::NoName,
        })
        .await;
        // Free a moment ago; the process says only where it serves HTTPS.
        let smtp = std::net::TcpListener::bind((here, 0))
            .unwrap()
            .local_addr()
            .unwrap();
        let mut settings = base_settings(&data, &authority, database.as_ref(), None);
        for (key, value) in [
            ("returns.host", "return.quiet.example".to_owned()),
            ("delivery.port", sink.addr().port().to_string()),
            ("net.name_servers", names.address.to_string()),
            ("log.filter", "trace".to_owned()),
            ("smtp.listen", smtp.to_string()),
            ("relays.base_url", provider.url("")),
        ] {
            settings.push((key.to_owned(), value));
        }
        Self {
            settings,
            authority,
            database,
            sink,
            receiver,
            provider,
            smtp,
            _names: names,
            data,
            folder,
        }
    }

    /// Makes an account with the command line; returns its key.
    fn account(&self) -> String {
        let org = lines(
            &self.settings,
            &["org", "create", "Quiet", "--plan", "enterprise"],
        )
        .remove(0);
        lines(
            &self.settings,
            &[
                "domain",
                "add",
                "quiet.example",
                "--org",
                &org,
                "--assume-verified",
            ],
        );
        lines(
            &self.settings,
            &["key", "create", "ci", "--org", &org, "--permission", "*"],
        )
        .remove(1)
    }

    async fn serve(&self) -> (Spawned, Client) {
        let server = Spawned::serve(&self.settings, &[], self.folder.path()).await;
        let client = Client::new(server.address.unwrap(), &self.authority.ca_cert);
        (server, client)
    }

    /// Sends the mail of canaries and follows it to its end; the last canaries are made on the way.
    async fn play(&self, client: &Client, canaries: &mut Canaries) {
        let key = canaries.secret("API key").to_owned();
        for name in ["suppressed address", "suppression reason"] {
            canaries.add_secret(name, &name.replace(' ', "-not-to-be-read-"));
        }
        let suppression = json!({
            "email": format!("{}@reader.example", canaries.secret("suppressed address")),
            "reason": canaries.secret("suppression reason"),
        });
        let suppression = client
            .post("/v1/suppressions", &key, &suppression)
            .await
            .expect(201);
        assert_eq!(suppression["reason"], canaries.secret("suppression reason"));
        let hook =
            json!({"url": self.receiver.url(&format!("/{}", canaries.of("webhook path"))), "events": ["*"]});
        let created = client.post("/v1/webhooks", &key, &hook).await.expect(201);
        canaries.add_secret("webhook secret", created["secret"].as_str().unwrap());
        canaries.add_secret(
            "relay credential",
            &["re", "not", "to", "be", "read", "anywhere"].join("-"),
        );
        canaries.add_secret(
            "feed secret",
            &["whsec", "YS1zZWNyZXQtb2YtYS1mZWVkLXRoYXQtc3RheXM="].join("_"),
        );
        let relay = json!({
            "name": "r", "provider": "resend", "credentials": {"apiKey": canaries.secret("relay credential")},
            "feedSecret": canaries.secret("feed secret"),
        });
        let relay = client.post("/v1/relays", &key, &relay).await.expect(201);
        let trial = format!("/v1/relays/{}/test", relay["id"].as_str().unwrap());
        let trial = client.call(Method::POST, &trial, &key, "").await.expect(200);
        assert_eq!(trial["ok"], true);
        let asked = self.provider.hooks();
        assert!(
            asked[0]
                .header("authorization")
                .ends_with(canaries.secret("relay credential"))
        );
        let reply = post(client, &key, canaries).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let path = format!("/v1/emails/{}", reply.json()["id"].as_str().unwrap());
        let shown = eventually("it is delivered to all", async || {
            let shown = client.get(&path, &key).await;
            (shown.json()["status"] == "delivered").then_some(shown)
        })
        .await;
        client.get(&format!("{path}/attempts"), &key).await.expect(200);
        client
            .get(&format!("/v1/emails?to={}", canaries.of("to local")), &key)
            .await;
        let again = post(client, &key, canaries).await;
        assert_eq!(again.header("idempotency-replayed"), "true");
        refuse_some(client, &key, canaries).await;
        self.sign_in(client, &key, canaries).await;
        self.come_back(canaries).await;
        // One accepted, four delivered, one bounced.
        let hooks = self.receiver.wait_for(6).await;
        canaries.assert_used(&shown.text(), &self.sink.received(), &hooks);
    }

    /// The mail to one recipient comes back with words that nobody else uses.
    async fn come_back(&self, canaries: &Canaries) {
        let to = canaries.of("to domain");
        let mails = self.sink.received().into_iter();
        let path = mails
            .rev()
            .find(|mail| mail.rcpt_to[0].contains(to))
            .unwrap()
            .mail_from;
        let report = format!(
            "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x.example\n\nFinal-Recipient: rfc822; {}@{to}.example\n\
             Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 {} is unknown\n",
            canaries.of("to local"),
            canaries.of("report"),
        );
        Talk::bring(self.smtp, &path, &report).await;
    }

    /// Lets somebody call with a session, and somebody else with one that does not work.
    async fn sign_in(&self, client: &Client, key: &str, canaries: &mut Canaries) {
        let [secret, subject] = ["issuer secret", "member subject"].map(|name| {
            let canary = format!("{name} {}", "that nobody reads ".repeat(2));
            canaries.add_secret(name, &canary);
            canary
        });
        let issuer = json!({"issuer": "quiet", "audience": "quiet", "algorithm": "HS256", "secret": secret});
        let issuer = client.post("/v1/session-issuers", key, &issuer).await.expect(201);
        let member = json!({"issuerId": issuer["id"], "subject": subject, "role": "owner"});
        client.post("/v1/members", key, &member).await.expect(201);
        let org = client.get("/v1/me", key).await.expect(200)["organizationId"].take();
        let now = sealwright::clock::Clock::System.now().seconds();
        let claims = json!({"iss": "quiet", "aud": "quiet", "sub": subject, "iat": now, "exp": now + 600});
        let token = SigningKey::hs256(&secret).token(&claims);
        canaries.add_secret("session token", &token);
        for (token, status) in [(&token, 200), (&format!("{token}x"), 401)] {
            let bearer = format!("Bearer {token}");
            let headers = [
                ("authorization", bearer.as_str()),
                ("sealwright-organization", org.as_str().unwrap()),
            ];
            let me = client.call_with(Method::GET, "/v1/me", &headers, "").await;
            assert_eq!(me.status, status, "{}", me.text());
        }
    }

    /// Every file that holds rows or keys, but not the root key itself.
    async fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        collect(&self.data, &mut files);
        files.retain(|file| !file.ends_with("root.key"));
        if let Some(database) = &self.database {
            database
                .superuser()
                .await
                .batch_execute("CHECKPOINT")
                .await
                .unwrap();
            collect(postgres_folder().await, &mut files);
        }
        files
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        // The server removes files of its own while we look.
        let Ok(entry) = entry else { continue };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&entry.path(), files),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}

async fn post(client: &Client, key: &str, canaries: &Canaries) -> Reply {
    let request = Request::post("/v1/emails")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .header("idempotency-key", canaries.of("idempotency key"))
        .body(Full::new(Bytes::from(canaries.email().to_string())))
        .unwrap();
    client.send(request).await
}

/// Refusals are logged and told too.
async fn refuse_some(client: &Client, key: &str, canaries: &Canaries) {
    for field in ["from", "to", "subject", "attachments"] {
        let mut email = canaries.email();
        email[field] = json!([[canaries.of("html")]]);
        assert_eq!(client.post("/v1/emails", key, &email).await.status, 400);
    }
    let last = if key.ends_with('x') { 'y' } else { 'x' };
    let mistyped = format!("{}{last}", &key[..key.len() - 1]);
    assert_eq!(
        client
            .post("/v1/emails", &mistyped, &canaries.email())
            .await
            .status,
        401
    );
    let foreign = format!("/v1/emails/{}", canaries.of("html"));
    assert_eq!(client.get(&foreign, key).await.status, 404);
}

on_both_engines! {
    async fn no_field_of_an_email_can_be_read_where_it_rests(engine: Engine) {
        let scene = Scene::set(engine).await;
        let mut canaries = Canaries::new(scene.account());
        let (server, client) = scene.serve().await;
        scene.play(&client, &mut canaries).await;
        let mut found = Vec::new();
        let files = scene.files().await;
        let rows: u64 = files.iter().filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum();
        assert!(rows > 100_000, "{rows} bytes are not a store");
        for file in files {
            let Ok(bytes) = std::fs::read(&file) else { continue };
            found.extend(canaries.found_in(&bytes).into_iter().map(|name| format!("{name} in {}", file.display())));
        }
        let log = std::fs::read_to_string(&server.log).unwrap();
        assert!(log.contains("\"level\":\"DEBUG\""), "nothing was logged at debug");
        for line in log.lines() {
            found.extend(canaries.found_in(line.as_bytes()).into_iter().map(|name| format!("{name} in the log: {line:.300}")));
        }
        assert!(found.is_empty(), "{} canaries can be read:\n{}", found.len(), found.join("\n"));
        assert!(server.stop().await.success());
    }

    async fn no_field_of_an_email_stays_in_the_memory_of_an_idle_process(engine: Engine) {
        let scene = Scene::set(engine).await;
        let mut canaries = Canaries::new(scene.account());
        let (server, client) = scene.serve().await;
        scene.play(&client, &mut canaries).await;
        drop(client);
        memory::assert_forgotten(&server, &canaries).await;
    }
}
