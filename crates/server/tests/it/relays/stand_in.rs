//! A server that answers like the providers: with their recorded answers, or by breaking off.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode, Uri};
use hyper::body::{Body as Content, Frame, SizeHint};
use sealwright::entry::edge::{Authority, Listener, Options, Tls, Transport};
use sealwright::platform::jobs::Stop;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;

/// A request as it came in.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) provider: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What is answered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Say {
    /// The first recorded answer whose title contains this.
    Recorded(&'static str),
    /// A status alone.
    Status(u16),
    /// Takes the request and breaks off within the answer.
    BreakOff,
}

#[derive(Default)]
struct Shared {
    asked: Mutex<Vec<Asked>>,
    /// The next answers of each provider; then whatever takes the mail.
    answers: Mutex<HashMap<String, VecDeque<Say>>>,
}

/// All providers at once; they end when this is dropped.
pub(super) struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: watch::Sender<bool>,
}

impl StandIn {
    /// Serves with the certificate of the house's authority.
    pub(super) async fn start(authority: &Authority) -> Self {
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
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let (stop, stopped) = Stop::new();
        tokio::spawn(listener.serve(router, stopped, Duration::ZERO));
        Self {
            address,
            shared,
            _stop: stop,
        }
    }

    /// Where all providers are.
    pub(super) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The next requests to this provider are answered so, one each.
    pub(super) fn answer(&self, provider: &str, says: impl IntoIterator<Item = Say>) {
        let mut answers = self.shared.answers.lock().unwrap();
        answers.entry(provider.to_owned()).or_default().extend(says);
    }

    /// Everything that was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (provider, path) = uri.path()[1..].split_once('/').unwrap();
    let asked = Asked {
        provider: provider.to_owned(),
        method,
        path: format!("/{path}"),
        headers,
        body,
    };
    shared.asked.lock().unwrap().push(asked);
    let say = {
        let mut answers = shared.answers.lock().unwrap();
        answers.get_mut(provider).and_then(VecDeque::pop_front)
    };
    match say.unwrap_or(Say::Recorded("accepted")) {
        Say::Recorded(title) => recorded(provider, title),
        Say::Status(status) => {
            let answer = Response::builder().status(StatusCode::from_u16(status).unwrap());
            answer.body(Body::empty()).unwrap()
        }
        Say::BreakOff => Response::new(Body::new(Broken)),
    }
}

/// The recorded answer of a provider, as it was sent.
fn recorded(provider: &str, wanted: &str) -> Response {
    let file = match provider {
        "resend" => include_str!("../../../src/features/relays/contracts/resend.http"),
        "postmark" => include_str!("../../../src/features/relays/contracts/postmark.http"),
        "ses" => include_str!("../../../src/features/relays/contracts/ses.http"),
        "sendgrid" => include_str!("../../../src/features/relays/contracts/sendgrid.http"),
        "mailgun" => include_str!("../../../src/features/relays/contracts/mailgun.http"),
        other => panic!("there is no provider {other}"),
    };
    let sections = file.split("### ").skip(1);
    let mut found = sections.filter_map(|section| section.split_once('\n'));
    let (_, answer) = found
        .find(|(title, _)| title.contains(wanted))
        .unwrap_or_else(|| panic!("{provider} has no answer for {wanted}"));
    let (head, body) = answer.split_once("\n\n").unwrap_or((answer.trim_end(), ""));
    let mut lines = head.lines();
    let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap();
    let mut response = Response::builder().status(StatusCode::from_bytes(status.as_bytes()).unwrap());
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        response = response.header(name, value);
    }
    response.body(Body::from(body.trim_end())).unwrap()
}

/// A body that fails before its first byte.
struct Broken;

impl Content for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(Err(std::io::Error::other("broken off"))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(100)
    }
}
