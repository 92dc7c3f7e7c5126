//! The proof that test mail stays: the real program in a network namespace whose only way out is a cable that counts.

use super::cable::{Cable, MAIL_HOST, NAME_SERVER, World};
use super::rows;
use crate::harness::{
    Client, Database, Engine, Pairs, Receiver, Spawned, base_settings, eventually, lines, on_both_engines,
};
use http::Method;
use sealwright::clock::Clock;
use sealwright::entry::edge::Authority;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;

/// An installation with an organization, made by the program's own commands.
struct Installation {
    settings: Pairs,
    authority: Authority,
    live: String,
    test: String,
    folder: TempDir,
}

impl Installation {
    fn new(database: Option<&Database>, is_routed: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::in_folder(folder.path(), Clock::System.now()).unwrap();
        let route = is_routed.then_some(MAIL_HOST);
        let mut settings = base_settings(folder.path(), &authority, database, route);
        for (key, value) in [
            // Or live mail would be kept from the far side, too.
            ("net.allow_private", "127.0.0.0/8,203.0.113.0/24".to_owned()),
            ("net.name_servers", NAME_SERVER.to_string()),
            // At its start delivery asks whether DNSSEC comes through, whoever mails.
            ("net.dnssec", "off".to_owned()),
        ] {
            settings.push((key.to_owned(), value));
        }
        lines(&settings, &["migrate"]);
        let org = lines(&settings, &["org", "create", "House", "--plan", "enterprise"]).remove(0);
        lines(
            &settings,
            &[
                "domain",
                "add",
                "house.example",
                "--org",
                &org,
                "--assume-verified",
            ],
        );
        let key = |more: &[&str]| {
            let arguments = ["key", "create", "a key", "--org", &org, "--permission", "*"];
            lines(&settings, &[&arguments, more].concat()).remove(1)
        };
        Self {
            live: key(&[]),
            test: key(&["--test", "--style", "mp"]),
            settings,
            authority,
            folder,
        }
    }
}

/// A mail with everything in it that might look like a way out.
fn tempting(to: &str) -> Value {
    let host = MAIL_HOST.ip();
    json!({
        "from": "House <hello@house.example>", "to": to, "replyTo": "reply@other.example", "subject": "Out",
        "html": format!("<img src=\"http://{host}/pixel.png\"><a href=\"https://out.example/\">out</a>"),
        "headers": {
            "X-Route": MAIL_HOST.to_string(), "X-Mode": "live", "X-Relay": format!("smtp://{host}"),
            "Disposition-Notification-To": "receipt@other.example", "List-Unsubscribe": format!("<https://{host}/out>"),
        },
        "tags": ["live"], "metadata": {"mode": "live", "route": host.to_string()},
        "attachments": [{"filename": "way-out.eml", "content": "UmNwdCBUbw==", "contentType": "message/rfc822"}],
    })
}

/// Every name of the table with what becomes of it in test mode, and one mail to several domains.
fn mails() -> Vec<(Value, &'static str)> {
    let mut mails: Vec<_> = rows()
        .into_iter()
        .map(|row| {
            (
                tempting(&format!("{}@reader.example", soon(row.local))),
                row.status,
            )
        })
        .collect();
    let mut several = tempting("ada@one.example");
    several["cc"] = json!(["bounced@two.example", "Bo <bo@three.example>"]);
    several["bcc"] = json!(["complained@four.example", "ada@xn--bcher-kva.example"]);
    mails.push((several, "delivered"));
    mails
}

/// The same name with the shortest wait: the program runs by the machine's clock.
fn soon(local: &str) -> String {
    match local.split_once('+').unwrap_or((local, "")) {
        (_, "99h") => local.to_owned(),
        (name @ ("slow" | "deferred"), _) => format!("{name}+1s"),
        _ => local.to_owned(),
    }
}

/// Sends all mails and waits for the end of each; `expected` says which it is.
async fn send_all(client: &Client, key: &str, expected: impl Fn(&'static str) -> &'static str) {
    for literal in ["ada@[203.0.113.25]", "ada@203.0.113.25"] {
        let refused = client.post("/v1/emails", key, &tempting(literal)).await;
        assert_eq!(refused.refusal(400).1, "to", "an address is no domain");
    }
    let mut sent = Vec::new();
    let mut later = tempting("ada@reader.example");
    later["scheduledAt"] = Clock::System
        .now()
        .plus(Duration::from_secs(3600))
        .rfc3339()
        .into();
    let later = client.post("/v1/emails", key, &later).await.expect(200);
    let cancel = format!("/v1/emails/{}/cancel", later["id"].as_str().unwrap());
    client.call(Method::POST, &cancel, key, "").await.expect(200);
    for (email, status) in mails() {
        let answer = client.post("/v1/emails", key, &email).await.expect(200);
        sent.push((answer["id"].as_str().unwrap().to_owned(), email, expected(status)));
    }
    for (id, email, status) in sent {
        eventually(&format!("{} becomes {status}", email["to"]), async || {
            let shown = client.get(&format!("/v1/emails/{id}"), key).await.expect(200);
            (shown["status"] == status).then_some(())
        })
        .await;
    }
}

/// The same mails with a test key, then with a live one.
fn compare(database: Option<&Database>, is_routed: bool) {
    let cable = Cable::lay();
    let world = World::start(&cable);
    let counts = || {
        let of = |count: &std::sync::atomic::AtomicUsize| count.load(Ordering::SeqCst);
        (
            cable.packets(),
            of(&world.seen.connections),
            of(&world.seen.questions),
        )
    };
    let installation = Installation::new(database, is_routed);
    cable.run(async || {
        let server = Spawned::serve(&installation.settings, &[], installation.folder.path()).await;
        let client = Client::new(server.address.unwrap(), &installation.authority.ca_cert);
        let receiver = Receiver::start(&installation.authority).await;
        let url = format!("https://127.0.0.1:{}/in", receiver.address.port());
        let hook = json!({"url": url, "events": ["*"]});
        client
            .post("/v1/webhooks", &installation.test, &hook)
            .await
            .expect(201);

        let mut linking = tempting("ada@reader.example");
        let link = format!("https://{}:8443/a", MAIL_HOST.ip());
        linking["attachments"] = json!([{"filename": "a", "url": link}]);
        let refused = client.post("/v1/emails", &installation.test, &linking).await;
        assert_eq!(refused.refusal(400).0, "attachment_unreachable");
        send_all(&client, &installation.test, |status| status).await;
        // One that it was sent and at least one of its end, for each; and two of the one that was taken back.
        let hooks = receiver.wait_for(2 * mails().len() + 2).await;
        assert!(hooks.iter().all(|hook| hook.json()["mode"] == "test"));
        assert_eq!(
            counts(),
            (0, 0, 0),
            "packets, connections and questions of a test key"
        );

        send_all(&client, &installation.live, |_| "delivered").await;
        let (packets, connections, questions) = counts();
        assert!(
            packets > 2 * mails().len() as u64,
            "the cable counts: {packets} packets"
        );
        assert!(connections > 0, "live mail went through it");
        assert_eq!(questions > 0, !is_routed, "{questions} questions");
        assert!(server.stop().await.success());
    });
}

async fn compare_on(engine: Engine, is_routed: bool) {
    let database = match engine {
        Engine::Sqlite => None,
        // Reached by a socket in the file system, which is the same in every network namespace.
        Engine::Postgres => Some(Database::create().await),
    };
    let compared = tokio::task::spawn_blocking(move || compare(database.as_ref(), is_routed));
    compared.await.unwrap();
}

on_both_engines! {
    async fn not_a_packet_leaves_for_a_test_key_where_live_mail_goes_to_mail_hosts(engine: Engine) {
        compare_on(engine, false).await;
    }

    async fn not_a_packet_leaves_for_a_test_key_where_live_mail_goes_to_a_smart_host(engine: Engine) {
        compare_on(engine, true).await;
    }
}
