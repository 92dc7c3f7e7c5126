//! Attachments that are fetched from where the caller says; and what an e-mail says once it was accepted.

use crate::harness::{Engine, House, Receiver, Reply, Setup, eventually, on_both_engines};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{Method, Request, Uri};
use http_body_util::Full;
use mail_parser::{MessageParser, MimeHeaders as _};
use sealwright::entry::edge::{Listener, Options, Tls, Transport};
use sealwright::platform::jobs::Stop;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

const MIB: usize = 1024 * 1024;

/// A server of files, each behaving as its path says.
struct Files {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _stop: watch::Sender<bool>,
}

impl Files {
    async fn start(house: &House) -> Self {
        let settings = sealwright::config::Settings::default()
            .with("server.tls_cert", house.authority.cert.display().to_string())
            .unwrap()
            .with("server.tls_key", house.authority.key.display().to_string())
            .unwrap();
        let tls = Tls::from_files(&settings.config().unwrap().server).unwrap();
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(any_port, Transport::Https(tls), Options::private(100))
            .await
            .unwrap();
        let address = listener.address().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let router = Router::new().fallback(file).with_state(Arc::clone(&asked));
        let (stop, stopped) = Stop::new();
        tokio::spawn(listener.serve(router, stopped, Duration::ZERO));
        Self {
            address,
            asked,
            _stop: stop,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn file(State(asked): State<Arc<AtomicUsize>>, uri: Uri) -> Response {
    asked.fetch_add(1, Ordering::SeqCst);
    let with = |name: &'static str, value: &'static str, body: Body| ([(name, value)], body).into_response();
    match uri.path() {
        "/bill.pdf" => with("content-type", "application/pdf", Body::from("%PDF bill")),
        "/odd" => with("content-type", "multipart/mixed; boundary=x", Body::from("odd")),
        "/moved" => (http::StatusCode::FOUND, [("location", "/bill.pdf")]).into_response(),
        "/gone" => http::StatusCode::GONE.into_response(),
        "/gzip" => with("content-encoding", "gzip", Body::from(vec![0x1f, 0x8b, 8])),
        "/never" => std::future::pending().await,
        path => {
            let mib: usize = path.trim_matches('/').parse().unwrap();
            vec![b'x'; mib * MIB].into_response()
        }
    }
}

/// An e-mail with attachments at these addresses.
fn linking(house: &House, urls: &[String]) -> Value {
    let mut email = house.email("ada@reader.example");
    let attachment =
        |(place, url): (usize, &String)| json!({"filename": format!("file-{place}"), "url": url});
    email["attachments"] = urls.iter().enumerate().map(attachment).collect();
    email
}

#[track_caller]
fn assert_unreachable(reply: &Reply, place: usize, because: &str) {
    let expected = (
        "attachment_unreachable".to_owned(),
        format!("attachments/{place}/url"),
    );
    assert_eq!(reply.refusal(400), expected, "{}", reply.text());
    assert!(reply.text().contains(because), "{}", reply.text());
}

on_both_engines! {
    async fn an_attachment_is_fetched_and_travels_with_the_mail(engine: Engine) {
        let house = House::start(engine).await;
        let files = Files::start(&house).await;
        let mut email = linking(&house, &[files.url("/bill.pdf"), files.url("/bill.pdf"), files.url("/odd")]);
        email["attachments"][1]["contentType"] = "text/plain".into();
        let id = house.accepted(&email).await;
        assert_eq!(files.asked(), 3, "before the answer");
        house.reaches(&id, "delivered").await;
        let received = house.sink.received();
        let message = MessageParser::default().parse(&*received[0].bytes).unwrap();
        let parts: Vec<_> = message.attachments().collect();
        let kind = |place: usize| {
            let kind = parts[place].content_type().unwrap();
            format!("{}/{}", kind.ctype(), kind.subtype().unwrap())
        };
        assert_eq!(parts[0].contents(), b"%PDF bill");
        assert_eq!([kind(0), kind(1), kind(2)], ["application/pdf", "text/plain", "application/octet-stream"]);
        assert_eq!(parts[2].attachment_name(), Some("file-2"));
    }

    async fn what_can_not_be_fetched_as_it_is_refuses_the_mail(engine: Engine) {
        let house = House::start(engine).await;
        let files = Files::start(&house).await;
        for (path, because) in [("/moved", "302"), ("/gone", "410"), ("/gzip", "compressed"), ("/26", "bytes together")] {
            let urls = [files.url("/bill.pdf"), files.url(path)];
            assert_unreachable(&house.post(&linking(&house, &urls)).await, 1, because);
        }
        // Each would do, together they don't.
        let refused = house.post(&linking(&house, &[files.url("/20"), files.url("/6")])).await;
        assert_unreachable(&refused, 1, "bytes together");
        let nobody = format!("https://localhost:{}/", house.sink.addr().port());
        assert_unreachable(&house.post(&linking(&house, &[nobody])).await, 0, "can't be fetched");
        let list = house.client.get("/v1/emails", &house.account.live).await.expect(200);
        assert_eq!(list["totalCount"], 0);
    }

    async fn addresses_that_are_not_public_are_never_connected_to(engine: Engine) {
        let house = Setup::new(engine).set("net.allow_private", "").start().await;
        let files = Files::start(&house).await;
        for host in ["localhost", "127.0.0.1", "[::1]", "10.0.0.1", "169.254.169.254", "[fd00::1]"] {
            let url = format!("https://{host}:{}/bill.pdf", files.address.port());
            assert_unreachable(&house.post(&linking(&house, &[url])).await, 0, "not on the public internet");
        }
        assert_eq!(files.asked(), 0);
    }

    async fn an_url_is_refused_for_its_form_or_its_senders_before_anything_is_asked(engine: Engine) {
        let house = House::start(engine).await;
        let files = Files::start(&house).await;
        let expected = |field: &str| ("invalid_parameter".to_owned(), format!("attachments/0/{field}"));
        for url in ["http://files.example/a", "https://user:pw@files.example/a", "https://files.example:25/", "files.example", ""] {
            assert_eq!(house.post(&linking(&house, &[url.to_owned()])).await.refusal(400), expected("url"), "{url}");
        }
        let mut both = linking(&house, &[files.url("/bill.pdf")]);
        both["attachments"][0]["content"] = "".into();
        assert_eq!(house.post(&both).await.refusal(400), expected("url"));
        let mut neither = linking(&house, &[files.url("/bill.pdf")]);
        neither["attachments"][0] = json!({"filename": "a"});
        assert_eq!(house.post(&neither).await.refusal(400), expected("content"));
        let mut stranger = linking(&house, &[files.url("/bill.pdf")]);
        stranger["from"] = "a@stranger.example".into();
        assert_eq!(house.post(&stranger).await.refusal(400).0, "domain_unverified");
        let mut unaddressed = linking(&house, &[files.url("/bill.pdf")]);
        unaddressed["to"] = json!([]);
        assert_eq!(house.post(&unaddressed).await.refusal(400).0, "invalid_to");
        let test = house.client.post("/v1/emails", &house.account.test, &linking(&house, &[files.url("/bill.pdf")])).await;
        assert_unreachable(&test, 0, "test key");
        assert_eq!(files.asked(), 0);
    }

    async fn a_batch_shares_one_allowance_and_refuses_by_the_item(engine: Engine) {
        let house = House::start(engine).await;
        let files = Files::start(&house).await;
        let batch = json!([
            linking(&house, &[files.url("/bill.pdf")]),
            linking(&house, &[files.url("/gone")]),
            linking(&house, &[files.url("/20")]),
            linking(&house, &[files.url("/20")]),
            house.email("bo@reader.example"),
        ]);
        let answer = house.client.post("/v1/emails/batch", &house.account.live, &batch).await.expect(200);
        let status = |place: usize| answer["data"][place]["status"].as_str().unwrap_or_default().to_owned();
        assert_eq!([0, 1, 2, 3, 4].map(status), ["queued", "", "queued", "", "queued"], "{answer}");
        for refused in [1, 3] {
            let error = &answer["data"][refused]["error"];
            assert_eq!((&error["code"], &error["param"]), (&json!("attachment_unreachable"), &json!("attachments/0/url")));
        }
    }

    async fn a_repeated_request_is_answered_without_fetching_again(engine: Engine) {
        let house = House::start(engine).await;
        let receiver = Receiver::start(&house.authority).await;
        receiver.show("/bill", "a bill");
        let email = linking(&house, &[receiver.url("/bill")]).to_string();
        let send = async || {
            let request = Request::builder()
                .method(Method::POST)
                .uri("/v1/emails")
                .header("authorization", format!("Bearer {}", house.account.live))
                .header("content-type", "application/json")
                .header("idempotency-key", "once")
                .body(Full::new(Bytes::from(email.clone())));
            house.client.send(request.unwrap()).await
        };
        let first = send().await.expect(200);
        receiver.answer([404, 404]);
        let again = send().await;
        assert_eq!((again.header("idempotency-replayed"), again.json()["id"].clone()), ("true", first["id"].clone()));
        assert_eq!(receiver.hooks().len(), 1);
    }

    async fn events_and_content_are_shown_by_themselves(engine: Engine) {
        let house = House::start(engine).await;
        let mut email = house.email("ada@reader.example");
        email["html"] = "<p>A text.</p>".into();
        email["headers"] = json!({"X-Order": "42"});
        let id = house.accepted(&email).await;
        let shown = house.reaches(&id, "delivered").await;
        let get = async |path: &str| house.client.get(&format!("/v1/emails/{id}/{path}"), &house.account.live).await;
        let events = get("events").await.expect(200);
        assert_eq!((&events["data"], &events["totalCount"]), (&shown["events"], &json!(2)));
        let content = get("content").await.expect(200);
        assert_eq!((&content["html"], &content["text"]), (&shown["html"], &shown["text"]));
        let headers = content["headers"].as_array().unwrap();
        let value = |name: &str| headers.iter().find(|header| header["name"] == name).map(|header| header["value"].clone());
        assert_eq!((value("X-Order"), value("Subject")), (Some(json!("42")), Some(json!("A subject"))));
        assert_eq!(value("Message-ID"), Some(json!(format!("<{id}@house.example>"))));
        for path in ["events", "content"] {
            let test = house.client.get(&format!("/v1/emails/{id}/{path}"), &house.account.test).await;
            assert_eq!(test.refusal(404).0, "not_found");
        }
        forget(&house).await;
        assert_eq!(get("content").await.refusal(410).0, "content_expired");
        assert_eq!(house.shown(&id).await["contentAvailable"], false);
    }
}

/// Destroys what retention will destroy.
async fn forget(house: &House) {
    match &house.database {
        Some(database) => {
            let client = database.superuser().await;
            client
                .execute("DELETE FROM sealwright.email_contents", &[])
                .await
                .unwrap();
        }
        None => {
            let connection = rusqlite::Connection::open(house.folder.path().join("data.db")).unwrap();
            connection.execute("DELETE FROM email_contents", []).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_answers_holds_a_request_for_15_seconds_in_all() {
    let house = House::start(Engine::Sqlite).await;
    let files = Files::start(&house).await;
    let urls: Vec<_> = (0..3).map(|_| files.url("/never")).collect();
    let email = linking(&house, &urls);
    let answer = tokio::time::timeout(Duration::from_secs(20), house.post(&email));
    assert_unreachable(&answer.await.unwrap(), 0, "within 15 seconds");
    assert_eq!(files.asked(), 1);
    // The next one finds room.
    let id = house.accepted(&linking(&house, &[files.url("/bill.pdf")])).await;
    eventually("it goes out", async || {
        (house.shown(&id).await["status"] == "delivered").then_some(())
    })
    .await;
}
