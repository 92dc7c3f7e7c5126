//! The command line: what an operator types, what comes back, what is refused.

use crate::harness::{
    Client, DNS_A, DNS_NS, DNS_TXT, Database, Engine, NameServer, Pairs, Said, Spawned, base_settings,
    eventually, lines, on_both_engines, refusal, run,
};
use sealwright::clock::Clock;
use sealwright::entry::edge::Authority;
use sealwright::platform::dev::sink::{Sink, SinkOptions};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tempfile::TempDir;

/// An installation that nobody has started yet.
struct Installation {
    settings: Pairs,
    authority: Authority,
    sink: Sink,
    folder: TempDir,
}

impl Installation {
    async fn new(engine: Engine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::in_folder(folder.path(), Clock::System.now()).unwrap();
        let database = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Database::create().await),
        };
        let sink = Sink::start(SocketAddr::from(([127, 0, 0, 1], 0)), SinkOptions::default()).unwrap();
        let settings = base_settings(folder.path(), &authority, database.as_ref(), Some(sink.addr()));
        Self {
            settings,
            authority,
            sink,
            folder,
        }
    }

    fn lines(&self, arguments: &[&str]) -> Vec<String> {
        lines(&self.settings, arguments)
    }

    fn refusal(&self, arguments: &[&str], code: i32) -> String {
        refusal(&self.settings, arguments, code)
    }

    fn set(&mut self, key: &str, value: impl Into<String>) {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.into()));
    }

    /// Makes an organization with a domain; returns its id and a key that may send and read.
    fn account(&self) -> (String, String) {
        let org = self.lines(&["org", "create", "Type & Sons"]).remove(0);
        let added = self.lines(&[
            "domain",
            "add",
            "type.example",
            "--org",
            &org,
            "--assume-verified",
        ]);
        assert!(added[0].starts_with("dom_"));
        assert!(
            added
                .iter()
                .any(|line| line.starts_with("sw1._domainkey.type.example.\tIN\tTXT\t\"v=DKIM1; ")),
            "{added:?}"
        );
        let arguments = [
            "key",
            "create",
            "ci",
            "--org",
            &org,
            "--permission",
            "emails:send",
            "--permission",
            "emails:read",
        ];
        let key = self.lines(&arguments);
        assert!(key[0].starts_with("key_") && key[1].starts_with("le_"), "{key:?}");
        (org, key[1].clone())
    }

    async fn serve(&self, arguments: &[&str]) -> Spawned {
        Spawned::serve(&self.settings, arguments, self.folder.path()).await
    }

    fn client(&self, spawned: &Spawned) -> Client {
        Client::new(spawned.address.unwrap(), &self.authority.ca_cert)
    }
}

fn email() -> Value {
    json!({"from": "hello@type.example", "to": "ada@reader.example", "subject": "Typed", "text": "A text."})
}

on_both_engines! {
    async fn an_operator_makes_an_account_serves_and_mail_is_delivered(engine: Engine) {
        let installation = Installation::new(engine).await;
        let migrated = installation.lines(&["migrate"]);
        assert!(migrated[0].starts_with("sealwright: version 0 -> "), "{migrated:?}");
        assert!(migrated[1].starts_with("sealwright_keyring: version 0 -> "), "{migrated:?}");
        let again = installation.lines(&["migrate"]);
        assert!(again.iter().all(|line| line.split("version ").nth(1).unwrap().split(" -> ").all(|n| n != "0")), "{again:?}");
        let (org, key) = installation.account();
        assert!(installation.lines(&["org", "list"])[0].starts_with(&format!("{org}\tfree\tus\t")));
        let server = installation.serve(&[]).await;
        let client = installation.client(&server);
        let id = client.post("/v1/emails", &key, &email()).await.expect(200)["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/emails/{id}");
        eventually("it is delivered", async || {
            (client.get(&path, &key).await.expect(200)["status"] == "delivered").then_some(())
        })
        .await;
        assert_eq!(installation.sink.received_count(), 1);
        assert_eq!(client.get("/v1/webhooks", &key).await.refusal(403).0, "forbidden");
        assert!(server.stop().await.success());
    }

    async fn an_operator_limits_lists_and_revokes_keys_and_changes_a_plan(engine: Engine) {
        let installation = Installation::new(engine).await;
        let (org, free) = installation.account();
        let create = ["key", "create", "slow", "--org", &org, "--rate", "2/minute"];
        let made = installation.lines(&create);
        let (id, slow) = (&made[0], &made[1]);
        let listed = installation.lines(&["key", "list", "--org", &org]);
        let shown = format!("{id}\tle_…{}\tlive\tworks\tslow", &slow[slow.len() - 4..]);
        assert_eq!((listed.len(), listed[0].as_str()), (2, shown.as_str()));
        let server = installation.serve(&[]).await;
        let asked = installation.client(&server).get("/v1/me", slow).await;
        assert_eq!(asked.header("ratelimit-policy"), "\"free\";q=10;w=1, \"key\";q=2;w=60");
        assert!(server.stop().await.success());
        let revoke = ["key", "revoke", id, "--org", &org];
        assert!(installation.lines(&revoke).is_empty());
        assert!(installation.refusal(&revoke, 1).contains("revoked"));
        assert!(installation.lines(&["key", "list", "--org", &org])[0].contains("\trevoked\t"));
        installation.lines(&["org", "plan", &org, "pro"]);
        assert!(installation.lines(&["org", "list"])[0].starts_with(&format!("{org}\tpro\tus\t")));
        let server = installation.serve(&[]).await;
        let client = installation.client(&server);
        assert_eq!(client.get("/v1/me", slow).await.refusal(401).0, "unauthorized");
        assert_eq!(client.get("/v1/me", &free).await.header("ratelimit-policy"), "\"pro\";q=100;w=1");
        assert!(server.stop().await.success());
        installation.lines(&["org", "plan", &org, "enterprise", "--rate", "25"]);
        let nobody = "org_01hzzzzzzzzzzzzzzzzzzzzzzz";
        assert!(installation.refusal(&["org", "plan", nobody, "pro"], 1).contains("no such organization"));
        assert!(installation.refusal(&["org", "plan", &org, "pro", "--rate", "25"], 1).contains("enterprise"));
        let unknown = ["key", "revoke", "key_01hzzzzzzzzzzzzzzzzzzzzzzz", "--org", &org];
        assert!(installation.refusal(&unknown, 1).contains("no such API key"));
    }

    async fn roles_decide_what_a_process_does(engine: Engine) {
        let installation = Installation::new(engine).await;
        let (_, key) = installation.account();
        let api = installation.serve(&["--roles", "api"]).await;
        let client = installation.client(&api);
        let id = client.post("/v1/emails", &key, &email()).await.expect(200)["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/emails/{id}");
        assert!(api.stop().await.success());
        assert_eq!(installation.sink.received_count(), 0);
        let delivery = installation.serve(&["--roles", "delivery,webhooks"]).await;
        assert_eq!(delivery.address, None, "nothing listens without the API");
        eventually("the other process delivers", async || (installation.sink.received_count() == 1).then_some(())).await;
        assert!(delivery.stop().await.success());
        let all = installation.serve(&["--roles", "all"]).await;
        assert_eq!(installation.client(&all).get(&path, &key).await.expect(200)["status"], "delivered");
        assert!(installation.refusal(&["serve", "--roles", "api,mail"], 2).contains("--roles"));
    }

    async fn a_domain_is_verified_once_the_dns_shows_its_key(engine: Engine) {
        let mut installation = Installation::new(engine).await;
        let org = installation.lines(&["org", "create", "Type"]).remove(0);
        let added = installation.lines(&["domain", "add", "type.example", "--org", &org]);
        let line = added.iter().find(|line| line.starts_with("sw1.")).unwrap();
        let record: String = line.split('"').skip(1).step_by(2).collect();
        let other = record.replace("p=MII", "p=MIJ");
        for (shown, is_verified) in [(Said::NoName, false), (Said::Text(other), false), (Said::Text(record.clone()), true)] {
            let names = NameServer::start(move |name, kind| match (name, kind) {
                ("sw1._domainkey.type.example", DNS_TXT) => shown.clone(),
                ("type.example", DNS_NS) => Said::Name("ns.type.example".to_owned()),
                ("ns.type.example", DNS_A) => Said::Addresses(vec![[127, 0, 0, 1].into()]),
                _ => Said::NoName,
            })
            .await;
            installation.set("net.name_servers", names.address.to_string());
            installation.set("net.authority_port", names.address.port().to_string());
            let (settings, org) = (installation.settings.clone(), org.clone());
            // On a thread of its own: this one has the name server's task.
            let verify = move || run(&settings, &["domain", "verify", "Type.Example", "--org", &org]);
            let output = tokio::task::spawn_blocking(verify).await.unwrap();
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(output.status.success(), is_verified, "{told}");
            assert!(told.contains("sw1._domainkey.type.example\tTXT\t") && told.contains("publish this MX record"), "{told}");
        }
        assert!(installation.lines(&["domain", "list", "--org", &org])[0].ends_with("\tverified\ttype.example"));
    }

    async fn an_operator_takes_a_domain_for_verified_and_away(engine: Engine) {
        let installation = Installation::new(engine).await;
        let org = installation.lines(&["org", "create", "Type"]).remove(0);
        installation.lines(&["domain", "add", "münchen.example", "--org", &org]);
        let list = || installation.lines(&["domain", "list", "--org", &org]);
        assert!(list()[0].ends_with("\tpending\txn--mnchen-3ya.example"));
        let of = |verb| ["domain", verb, "München.example", "--org", &org];
        assert!(installation.lines(&of("assume-verified")).is_empty());
        assert!(list()[0].ends_with("\tverified\txn--mnchen-3ya.example"));
        assert!(installation.lines(&of("delete")).is_empty());
        assert!(list().is_empty());
        for verb in ["assume-verified", "delete"] {
            assert!(installation.refusal(&of(verb), 2).contains("there is no domain"));
        }
    }

    async fn a_store_does_not_open_with_another_root_key(engine: Engine) {
        let installation = Installation::new(engine).await;
        installation.account();
        std::fs::remove_file(installation.folder.path().join("root.key")).unwrap();
        let said = installation.refusal(&["org", "list"], 1);
        assert!(said.contains("root key") && said.contains("another root key"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_an_embedded_store_is_refused() {
    let installation = Installation::new(Engine::Sqlite).await;
    let server = installation.serve(&[]).await;
    for arguments in [&["serve"][..], &["org", "list"]] {
        let said = installation.refusal(arguments, 1);
        assert!(said.contains("in use by another sealwright"), "{said}");
    }
    assert!(server.stop().await.success());
    installation.lines(&["org", "list"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_key_that_others_can_read_is_refused() {
    let installation = Installation::new(Engine::Sqlite).await;
    installation.lines(&["org", "list"]);
    let key = installation.folder.path().join("root.key");
    let mode = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(
        std::fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    for wrong in [0o644, 0o640, 0o604] {
        mode(wrong);
        let said = installation.refusal(&["org", "list"], 1);
        assert!(said.contains("root.key") && said.contains("chmod 600"), "{said}");
        assert!(!said.contains(std::fs::read_to_string(&key).unwrap().trim()));
    }
    mode(0o600);
    installation.lines(&["org", "list"]);
    std::fs::write(&key, "something else").unwrap();
    assert!(
        installation
            .refusal(&["org", "list"], 1)
            .contains("not a root key file")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_setting_is_refused_by_name_wherever_it_stands() {
    let mut installation = Installation::new(Engine::Sqlite).await;
    let said = installation.refusal(&["--set", "delivery.prot=25", "doctor"], 2);
    assert!(
        said.contains("delivery.prot") && said.contains("config reference"),
        "{said}"
    );
    let file = installation.folder.path().join("sealwright.toml");
    std::fs::write(&file, "[delivery]\nprot = 25\n").unwrap();
    let said = installation.refusal(&["--config", file.to_str().unwrap(), "config", "check"], 2);
    assert!(said.contains("delivery.prot"), "{said}");
    std::fs::write(&file, "[delivery]\nport = \"canary").unwrap();
    let said = installation.refusal(&["--config", file.to_str().unwrap(), "config", "check"], 2);
    assert!(said.contains("line 2") && !said.contains("canary"), "{said}");
    installation.set("delivery.prot", "25");
    let said = installation.refusal(&["org", "list"], 2);
    assert!(said.contains("SEALWRIGHT_DELIVERY_PROT"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_values_and_arguments_are_refused_with_what_was_expected() {
    let installation = Installation::new(Engine::Sqlite).await;
    let said = installation.refusal(&["--set", "delivery.port=canary", "config", "check"], 2);
    assert!(
        said.contains("delivery.port") && said.contains("whole number") && !said.contains("canary"),
        "{said}"
    );
    for (arguments, expected) in [
        (&["domain", "add", "type.example", "--org", "canary"][..], "org_"),
        (
            &[
                "key",
                "create",
                "ci",
                "--org",
                "org_01hzzzzzzzzzzzzzzzzzzzzzzz",
                "--permission",
                "emails:sned",
            ],
            "emails:sned",
        ),
        (
            &[
                "key",
                "create",
                "ci",
                "--org",
                "org_01hzzzzzzzzzzzzzzzzzzzzzzz",
                "--expires-at",
                "soon",
            ],
            "--expires-at",
        ),
        (
            &[
                "key",
                "create",
                "ci",
                "--org",
                "org_01hzzzzzzzzzzzzzzzzzzzzzzz",
                "--rate",
                "60",
            ],
            "--rate 60",
        ),
        (
            &[
                "key",
                "create",
                "ci",
                "--org",
                "org_01hzzzzzzzzzzzzzzzzzzzzzzz",
                "--rate",
                "0/minute",
            ],
            "--rate 0/minute",
        ),
        (
            &[
                "key",
                "create",
                "ci",
                "--org",
                "org_01hzzzzzzzzzzzzzzzzzzzzzzz",
                "--rate",
                "60/day",
            ],
            "--rate 60/day",
        ),
        (
            &[
                "key",
                "create",
                "ci",
                "--org",
                "org_01hzzzzzzzzzzzzzzzzzzzzzzz",
                "--rate",
                "1000001/second",
            ],
            "--rate 1000001/second",
        ),
        (
            &[
                "key",
                "revoke",
                "canary",
                "--org",
                "org_01hzzzzzzzzzzzzzzzzzzzzzzz",
            ],
            "key_",
        ),
        (&["org", "plan", "canary", "pro"], "org_"),
        (
            &["--set", "delivery.port", "config", "check"],
            "section.name=value",
        ),
    ] {
        let said = installation.refusal(arguments, 2);
        assert!(said.contains(expected), "{said}");
    }
    assert!(
        installation
            .refusal(&["org", "create", "x", "--plan", "gold"], 2)
            .contains("free, pro, enterprise")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_never_goes_without_tls() {
    let mut installation = Installation::new(Engine::Sqlite).await;
    installation.set("server.tls_cert", "");
    assert!(installation.refusal(&["serve"], 1).contains("server.tls_cert"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_setting_may_come_from_a_file() {
    let mut installation = Installation::new(Engine::Postgres).await;
    for name in ["store.postgres_url", "store.postgres_owner_url"] {
        let file = installation.folder.path().join(name);
        let (_, url) = installation
            .settings
            .iter()
            .find(|(key, _)| key == name)
            .unwrap()
            .clone();
        std::fs::write(&file, format!("{url}\n")).unwrap();
        installation.settings.retain(|(key, _)| key != name);
        installation.set(&format!("{name}_file"), file.display().to_string());
    }
    installation.account();
    assert!(!installation.folder.path().join("data.db").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_says_what_is_well_and_what_is_wrong() {
    let mut installation = Installation::new(Engine::Sqlite).await;
    installation.lines(&["org", "list"]);
    // The limits of the machine that the tests run on are not theirs to judge.
    let findings = |installation: &Installation| {
        let output = run(&installation.settings, &["doctor"]);
        String::from_utf8(output.stdout).unwrap()
    };
    let text = findings(&installation);
    for good in [
        "ok   the settings fit",
        "ok   the certificate and its key fit",
        "ok   the root key can be read",
        "ok   the store answers",
    ] {
        assert!(text.contains(good), "{good} is missing in\n{text}");
    }
    installation.set("server.tls_key", "/nowhere/key.pem");
    let text = findings(&installation);
    assert!(text.contains("BAD  /nowhere/key.pem"), "{text}");
    assert!(
        text.contains("ok   records of sending domains lead to out.house.example"),
        "{text}"
    );
    installation.set("delivery.ehlo_name", "vm");
    let text = findings(&installation);
    assert!(text.contains("BAD  this host calls itself vm"), "{text}");
    let said = installation.refusal(&["doctor"], 1);
    assert!(said.contains("checks found something wrong"), "{said}");
}

#[test]
fn version_names_the_schema_versions_and_the_engines() {
    let lines = lines(&[], &["version"]);
    assert_eq!(lines[0], format!("sealwright {}", env!("CARGO_PKG_VERSION")));
    assert!(lines[1].starts_with("schema: data "));
    assert_eq!(lines[2], "engines: sqlite, postgres");
}

#[test]
fn the_settings_page_is_what_the_program_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let printed = String::from_utf8(run(&[], &["config", "reference"]).stdout).unwrap();
    assert!(
        kept == printed,
        "docs/settings.md is not what `sealwright config reference` prints: write it anew with that command"
    );
}

#[test]
fn the_manual_names_every_command() {
    let manual = String::from_utf8(run(&[], &["man"]).stdout).unwrap();
    for command in [
        "serve", "dev", "migrate", "org", "domain", "key", "bench", "doctor", "config", "version", "queue",
    ] {
        assert!(manual.contains(command), "{command}");
    }
    let hold = manual.split(".SH \"SEALWRIGHT QUEUE HOLD\"").nth(1).unwrap();
    assert!(
        hold.split(".SH").next().unwrap().contains("--reason <TEXT>"),
        "{hold}"
    );
}
