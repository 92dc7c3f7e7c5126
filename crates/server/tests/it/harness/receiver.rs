//! A webhook receiver: HTTPS on a free port, remembers what it was sent, answers as it is told. It can also show pages.

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, Uri};
use sealwright::entry::edge::{Authority, Listener, Options, Tls, Transport};
use sealwright::platform::jobs::Stop;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Hook {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks the three signatures as a receiver would, with code of its own, and that they are fresh.
    pub(crate) fn verify(&self, secret: &str) {
        self.check_signatures(secret);
        let signed_at: i64 = self.header("webhook-timestamp").parse().unwrap();
        let age = sealwright::clock::Clock::System.now().seconds() - signed_at;
        assert!((0..300).contains(&age), "signed {age} seconds ago");
        assert_eq!(self.header("content-type"), "application/json");
    }

    /// Checks the three signatures, whatever their time.
    pub(crate) fn check_signatures(&self, secret: &str) {
        let body = std::str::from_utf8(&self.body).unwrap();
        let (id, time) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let decoded = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let standard = STANDARD.encode(hmac_sha256(&decoded, &format!("{id}.{time}.{body}")));
        assert_eq!(self.header("webhook-signature"), format!("v1,{standard}"));
        let lettr = hex(&hmac_sha256(secret.as_bytes(), &format!("{time}.{body}")));
        assert_eq!(self.header("lettr-signature"), format!("t={time},v1={lettr}"));
        let mailpipe = hex(&hmac_sha256(secret.as_bytes(), body));
        assert_eq!(self.header("x-mailpipe-signature"), mailpipe);
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What a path answers from now on.
#[derive(Debug, Clone)]
pub(crate) struct Habit {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: String,
    pub(crate) after: Duration,
}

impl From<u16> for Habit {
    fn from(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
            after: Duration::ZERO,
        }
    }
}

#[derive(Default)]
struct Shared {
    hooks: Mutex<Vec<Hook>>,
    /// Statuses of the next answers; 204 when there is none left.
    answers: Mutex<VecDeque<u16>>,
    /// What stands at a path.
    pages: Mutex<HashMap<String, String>>,
    /// What a path answers instead of all that.
    habits: Mutex<HashMap<String, Habit>>,
}

/// A running receiver; it ends when it is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _stop: watch::Sender<bool>,
}

impl Receiver {
    /// Serves with the certificate of the house's authority.
    pub(crate) async fn start(authority: &Authority) -> Self {
        let settings = sealwright::config::Settings::default()
            .with("server.tls_cert", authority.cert.display().to_string())
            .unwrap()
            .with("server.tls_key", authority.key.display().to_string())
            .unwrap();
        let tls = Tls::from_files(&settings.config().unwrap().server).unwrap();
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(any_port, Transport::Https(tls), Options::private(100))
            .await
            .unwrap();
        let address = listener.address().unwrap();
        let shared = Arc::new(Shared::default());
        let router = Router::new().fallback(receive).with_state(Arc::clone(&shared));
        let (stop, stopped) = Stop::new();
        tokio::spawn(listener.serve(router, stopped, Duration::ZERO));
        Self {
            address,
            shared,
            _stop: stop,
        }
    }

    /// A URL of this receiver.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// The next requests get these statuses, one each.
    pub(crate) fn answer(&self, statuses: impl IntoIterator<Item = u16>) {
        self.shared.answers.lock().unwrap().extend(statuses);
    }

    /// Shows this at a path from now on; an answer that was told before it goes first.
    pub(crate) fn show(&self, path: &str, page: impl Into<String>) {
        self.shared
            .pages
            .lock()
            .unwrap()
            .insert(path.to_owned(), page.into());
    }

    /// A path answers so from now on, whatever is told of others.
    pub(crate) fn habit(&self, path: &str, habit: impl Into<Habit>) {
        let mut habits = self.shared.habits.lock().unwrap();
        habits.insert(path.to_owned(), habit.into());
    }

    /// What came in at a path so far.
    pub(crate) fn hooks_at(&self, path: &str) -> Vec<Hook> {
        let hooks = self.hooks().into_iter();
        hooks.filter(|hook| hook.path == path).collect()
    }

    /// Waits until this many requests came in at a path.
    pub(crate) async fn wait_at(&self, path: &str, count: usize) -> Vec<Hook> {
        super::eventually(&format!("{count} webhook requests at {path}"), async || {
            let hooks = self.hooks_at(path);
            (hooks.len() >= count).then_some(hooks)
        })
        .await
    }

    /// Everything that came in so far.
    pub(crate) fn hooks(&self) -> Vec<Hook> {
        self.shared.hooks.lock().unwrap().clone()
    }

    /// Waits until this many requests came in.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Hook> {
        super::eventually(&format!("{count} webhook requests"), async || {
            let hooks = self.hooks();
            (hooks.len() >= count).then_some(hooks)
        })
        .await
    }
}

async fn receive(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let hook = Hook {
        path: uri.path().to_owned(),
        headers,
        body,
    };
    shared.hooks.lock().unwrap().push(hook);
    let habit = shared.habits.lock().unwrap().get(uri.path()).cloned();
    if let Some(habit) = habit {
        tokio::time::sleep(habit.after).await;
        let mut response = (StatusCode::from_u16(habit.status).unwrap(), habit.body).into_response();
        for (name, value) in habit.headers {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        return response;
    }
    let page = shared.pages.lock().unwrap().get(uri.path()).cloned();
    let usual = if page.is_some() { 200 } else { 204 };
    let status = shared.answers.lock().unwrap().pop_front().unwrap_or(usual);
    (StatusCode::from_u16(status).unwrap(), page.unwrap_or_default()).into_response()
}

fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
