//! Refusals that are made before the body was read: the client hears them, and its connection goes on.

use crate::harness::{Engine, House, key};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sealwright::mode::Mode;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// More than HTTP/2 lets a client send before anybody reads, and than HTTP/1 skips to keep a connection.
const BYTES: usize = 400 * 1024;
const CHUNK: &[u8] = &[b' '; 16 * 1024];

/// A body of [`BYTES`] that counts what was taken of it.
struct Counted {
    left: usize,
    taken: Arc<AtomicUsize>,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= CHUNK.len();
        self.taken.fetch_add(CHUNK.len(), Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(CHUNK)))))
    }
}

fn request(version: http::Version, key: &str, taken: &Arc<AtomicUsize>) -> Request<Counted> {
    let (uri, host) = match version {
        http::Version::HTTP_2 => ("https://localhost/v1/webhooks", None),
        _ => ("/v1/webhooks", Some("localhost")),
    };
    let mut request = Request::post(uri)
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .header("content-length", BYTES);
    if let Some(host) = host {
        request = request.header("host", host);
    }
    let body = Counted {
        left: BYTES,
        taken: Arc::clone(taken),
    };
    request.body(body).unwrap()
}

/// Sends three such requests on one connection, which has to last; their keys are wrong, weak and wrong again.
macro_rules! assert_heard {
    ($sender:ident, $version:expr, $weak:expr) => {
        for (key, status) in [("le_wrong", 401), ($weak, 403), ("le_wrong", 401)] {
            let taken = Arc::new(AtomicUsize::new(0));
            $sender.ready().await.unwrap();
            let answer = $sender
                .send_request(request($version, key, &taken))
                .await
                .unwrap();
            assert_eq!(answer.status(), StatusCode::from_u16(status).unwrap());
            let text = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(text.starts_with(b"{\"error\":"), "{text:?}");
            assert_eq!(taken.load(Ordering::Relaxed), BYTES, "{status}");
        }
    };
}

async fn weak(house: &House) -> String {
    let org = &house.account.org;
    key(&house.platform, org, Mode::Live, &["webhooks:read"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_a_large_body_hears_that_its_key_is_refused_and_is_not_cut_off() {
    let house = House::start(Engine::Sqlite).await;
    let weak = weak(&house).await;
    let stream = TokioIo::new(house.client.connect("http/1.1").await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    assert_heard!(sender, http::Version::HTTP_11, &weak);
    drop(sender);
    connection.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_on_http_2_where_a_stream_would_be_reset() {
    let house = House::start(Engine::Sqlite).await;
    let weak = weak(&house).await;
    let stream = TokioIo::new(house.client.connect("h2").await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    assert_heard!(sender, http::Version::HTTP_2, &weak);
    drop(sender);
    connection.await.unwrap().unwrap();
}
