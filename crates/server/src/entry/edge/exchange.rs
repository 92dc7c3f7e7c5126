//! One request and its answer, as the edge sees them: whose it is, whether it may, how fast it comes, and what every answer bears.

use super::backlog::Room;
use super::forwarded::{self, Malformed};
use super::framing::REFUSED_METHOD;
use super::life::{Life, Underway};
use super::patience::Paced;
use super::turns::Turn;
use super::{Peer, Scheme, Shared, Transport};
use crate::clock::Clock;
use crate::entry::api::{Problem, mark};
use crate::id::{Id as _, RequestId};
use crate::metrics::KindLabel;
use crate::platform::vault::random;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, Request, header};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

/// Two years, as browsers' preload lists ask for (RFC 6797).
const HSTS: HeaderValue = HeaderValue::from_static("max-age=63072000; includeSubDomains; preload");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Bytes of an answer that are handed over at once: a TLS record's, and an HTTP/2 frame's.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// What all requests of a connection share.
pub(super) struct Door {
    shared: Arc<Shared>,
    life: Arc<Life>,
    address: IpAddr,
    router: TowerToHyperService<Router>,
}

impl Door {
    pub(super) fn new(shared: Arc<Shared>, life: Arc<Life>, address: IpAddr, router: Router) -> Arc<Self> {
        Arc::new(Self {
            shared,
            life,
            address,
            router: TowerToHyperService::new(router),
        })
    }

    fn scheme(&self) -> Scheme {
        match self.shared.transport {
            Transport::Https(_) => Scheme::Https,
            Transport::Http | Transport::HttpOnce => Scheme::Http,
        }
    }

    fn count_refused(&self, kind: &'static str) {
        let label = KindLabel { kind };
        let refused = &self.shared.options.metrics.requests_refused;
        refused.get_or_create(&label).inc();
    }

    /// Whose the request is, and its turn.
    fn admit(&self, request: &Request<Incoming>) -> Result<(Peer, Turn), Problem> {
        if request.method().as_str() == REFUSED_METHOD
            && let Some(flaw) = self.life.flaw()
        {
            self.count_refused("malformed");
            return Err(Problem::invalid(flaw.param(), flaw.advice()));
        }
        let client = forwarded::client(self.address, request.headers(), &self.shared.options.trusted);
        let address = client.map_err(|Malformed(header)| {
            self.count_refused("forwarded");
            Problem::invalid(
                header,
                "a hop is not an address, or Forwarded and X-Forwarded-For name different clients; the proxy in front must append one of \
                 them and remove the other",
            )
        })?;
        let scheme = self.scheme();
        let peer = Peer { address, scheme };
        let turn = self.shared.turns.take(peer.network()).ok_or_else(|| {
            self.count_refused("overloaded");
            Problem::overloaded()
        })?;
        Ok((peer, turn))
    }

    /// Room for an answer that may have to wait for its reader.
    fn room(&self, response: &Response, peer: &Peer) -> Option<Room> {
        let bytes = usize::try_from(response.body().size_hint().lower()).unwrap_or(usize::MAX);
        let backlog = &self.shared.backlog;
        (bytes > PIECE_BYTES_MAX).then(|| backlog.make_room(peer.network(), bytes, &self.life))
    }

    /// Calls the router; a body that crawls is refused in its name.
    async fn call(&self, request: Request<Incoming>, peer: Peer) -> Response {
        let (head, body) = request.into_parts();
        let (body, is_late) = Paced::new(body, self.shared.options.pace);
        let mut request = Request::from_parts(head, Body::new(body));
        request.extensions_mut().insert(peer);
        let Ok(response) = self.router.call(request).await;
        if !is_late.load(Ordering::Relaxed) {
            return response;
        }
        self.count_refused("slow_body");
        let id = response.headers().get(REQUEST_ID);
        let id = id.and_then(|id| RequestId::parse(id.to_str().ok()?));
        answer(&Problem::too_slow(), id, &self.shared.options.clock)
    }
}

/// One request to its answer.
pub(super) async fn exchange(
    door: Arc<Door>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let mut underway = door.life.request();
    let is_head = request.method() == Method::HEAD;
    let (mut response, held) = match door.admit(&request) {
        Ok((peer, turn)) => {
            let response = door.call(request, peer).await;
            let room = door.room(&response, &peer);
            (response, Some((turn, room)))
        }
        Err(problem) => (answer(&problem, None, &door.shared.options.clock), None),
    };
    let headers = response.headers_mut();
    match door.shared.transport {
        Transport::Https(_) => {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
        }
        Transport::HttpOnce => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Transport::Http => {}
    }
    underway.progress();
    if is_head || response.body().is_end_stream() {
        underway.done(); // nothing of it will be asked for
    }
    Ok(response.map(|body| Answer {
        body,
        rest: Bytes::new(),
        underway,
        _held: held,
    }))
}

/// A problem as an answer of its own, where the API does not make it.
pub(super) fn answer(problem: &Problem, id: Option<RequestId>, clock: &Clock) -> Response {
    let id = id.unwrap_or_else(|| RequestId::generate(clock.now(), random()));
    let mut response = problem.answer(&id);
    mark(response.headers_mut(), &id);
    response
}

/// An answer's body, which keeps the request under way until it is taken.
///
/// It comes in small pieces: what is handed over waits in HTTP/2's buffers for a client that may never open its window, and nobody here
/// could tell.
pub(super) struct Answer {
    body: Body,
    /// What is left of the last frame.
    rest: Bytes,
    underway: Underway,
    /// The request's turn, and the answer's room.
    _held: Option<(Turn, Option<Room>)>,
}

impl Answer {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end @ (Some(Err(_)) | None) => return Poll::Ready(end),
            }
        }
        let length = self.rest.len().min(PIECE_BYTES_MAX);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let step = ready!(self.poll_piece(context));
        match &step {
            Some(Ok(_)) if !self.is_end_stream() => self.underway.progress(),
            Some(Ok(_)) | None => self.underway.done(),
            Some(Err(_)) => {}
        }
        Poll::Ready(step)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, hint) = (self.rest.len() as u64, self.body.size_hint());
        let mut all = SizeHint::new();
        all.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            all.set_upper(upper + rest);
        }
        all
    }
}
