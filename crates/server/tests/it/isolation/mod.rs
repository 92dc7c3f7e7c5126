//! Walls between organizations, and between live and test data: what the API shows, what each engine's catalog promises, and what
//! PostgreSQL refuses.

mod api;
mod catalog;
mod modes;
mod postgres;

use crate::harness::{Account, Engine, House, Receiver, Setup, Talk, account, eventually};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use sealwright::features::alerts::{self, Alert};
use sealwright::platform::dev::sink::SinkScript;
use serde_json::{Value, json};

/// Two organizations that have done everything, and what the second one owns.
struct Neighbours {
    house: House,
    other: Account,
    receiver: Receiver,
    ours: Owned,
    theirs: Owned,
}

/// Ids of one organization.
struct Owned {
    email: String,
    deferred: String,
    webhook: String,
    issuer: String,
    member: String,
    suppression: String,
    template: String,
    relay: String,
    domain: String,
}

impl Neighbours {
    async fn move_in(engine: Engine) -> Self {
        let house = Setup::new(engine)
            .script(SinkScript::by_local_part())
            .set("returns.host", "return.house.example")
            .set("smtp.listen", "127.0.0.1:0")
            .start()
            .await;
        let other = account(&house.platform, "Other", "other.example").await;
        let receiver = Receiver::start(&house.authority).await;
        let ours = fill(&house, &house.account, &receiver).await;
        let theirs = fill(&house, &other, &receiver).await;
        Self {
            house,
            other,
            receiver,
            ours,
            theirs,
        }
    }
}

/// Does everything once, so that each table has rows of this organization: some mail waits for its next attempt.
async fn fill(house: &House, account: &Account, receiver: &Receiver) -> Owned {
    alerts::fire(&house.platform, &account.org, Alert::QueueStalled)
        .await
        .unwrap();
    let suppression = json!({"email": "gone@reader.example", "reason": "shared"});
    let suppression = house
        .client
        .post("/v1/suppressions", &account.live, &suppression)
        .await
        .expect(201);
    let relay = json!({"name": "shared", "provider": "resend", "credentials": {"apiKey": "re_shared"}});
    let relay = house
        .client
        .post("/v1/relays", &account.live, &relay)
        .await
        .expect(201);
    let hook =
        json!({"url": receiver.url(&format!("/{}", account.org)), "events": ["*"], "description": "all"});
    let webhook = house
        .client
        .post("/v1/webhooks", &account.live, &hook)
        .await
        .expect(201);
    let issuer = json!({
        "issuer": "https://sign-in.example/auth", "audience": "shared", "algorithm": "HS256", "secret": "s".repeat(32),
    });
    let issuer = house
        .client
        .post("/v1/session-issuers", &account.live, &issuer)
        .await
        .expect(201);
    let member = json!({"issuerId": issuer["id"], "subject": "ada", "role": "owner"});
    let member = house
        .client
        .post("/v1/members", &account.live, &member)
        .await
        .expect(201);
    let template = json!({"name": "Welcome", "subject": "Hello {{name}}", "text": "Hello {{name}}"});
    let template = house
        .client
        .post("/v1/templates", &account.live, &template)
        .await
        .expect(201);
    let email = send(house, account, "ada@reader.example", "delivered").await;
    complain(house, account, &email).await;
    let deferred = send(house, account, "dot-451@reader.example", "deferred").await;
    let domains = house.client.get("/v1/domains", &account.live).await.expect(200);
    Owned {
        domain: domains["data"][0]["id"].as_str().unwrap().to_owned(),
        email,
        deferred,
        webhook: webhook["id"].as_str().unwrap().to_owned(),
        issuer: issuer["id"].as_str().unwrap().to_owned(),
        member: member["id"].as_str().unwrap().to_owned(),
        suppression: suppression["id"].as_str().unwrap().to_owned(),
        template: template["id"].as_str().unwrap().to_owned(),
        relay: relay["id"].as_str().unwrap().to_owned(),
    }
}

/// The recipient of a mail complains, and is written to all the same.
async fn complain(house: &House, account: &Account, email: &str) {
    let ulid = email.trim_start_matches("email_");
    let mails = house.sink.received().into_iter();
    let path = mails
        .map(|mail| mail.mail_from)
        .find(|path| path.contains(ulid))
        .unwrap();
    let feedback = "Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\n";
    Talk::bring(house.smtp_address(), &path, feedback).await;
    let list = house
        .client
        .get("/v1/suppressions", &account.live)
        .await
        .expect(200);
    let rows = list["data"].as_array().unwrap().iter();
    let id = rows
        .filter(|row| row["type"] == "complaints")
        .map(|row| row["id"].as_str().unwrap());
    for id in id.collect::<Vec<_>>() {
        house
            .client
            .delete(&format!("/v1/suppressions/{id}"), &account.live)
            .await
            .expect(200);
    }
}

async fn send(house: &House, account: &Account, to: &str, status: &str) -> String {
    let email = json!({
        "from": account.address("hello"), "to": to, "subject": "Between us", "text": "A text.", "tags": ["shared"],
    });
    let request = Request::post("/v1/emails")
        .header("authorization", format!("Bearer {}", account.live))
        .header("content-type", "application/json")
        .header("idempotency-key", to.replace('@', "-"))
        .body(Full::new(Bytes::from(email.to_string())))
        .unwrap();
    let id = house.client.send(request).await.expect(200)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    eventually(&format!("mail to {to} is {status}"), async || {
        let shown: Value = house
            .client
            .get(&format!("/v1/emails/{id}"), &account.live)
            .await
            .expect(200);
        (shown["status"] == status).then_some(())
    })
    .await;
    id
}
