//! The way to the authority: the ACME client's requests over ours.

use crate::platform::net::{EXCHANGE_TIMEOUT, HttpClient, HttpsUrl, Outgoing, TlsMin};
use axum::body::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error};
use std::pin::Pin;

/// Our HTTPS client, as the ACME client wants one.
pub(super) struct WayOut(pub(super) HttpClient);

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Other(Box::new(error))
}

impl instant_acme::HttpClient for WayOut {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let http = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let url = HttpsUrl::parse(&head.uri.to_string()).map_err(other)?;
            let Ok(body) = body.collect().await;
            let outgoing = Outgoing {
                url: &url,
                headers: head.headers,
                body: body.to_bytes(),
                timeout: EXCHANGE_TIMEOUT,
                min_tls: TlsMin::V1_3,
            };
            let answer = match head.method {
                Method::GET => http.get(outgoing).await,
                Method::HEAD => http.head(outgoing).await,
                Method::POST => http.post(outgoing).await,
                _ => return Err(Error::Unsupported("another method")),
            };
            let answer = answer.map_err(other)?;
            if answer.truncated {
                return Err(Error::Str("the end of an answer that is too large"));
            }
            let mut response = Response::new(Full::new(answer.body));
            (*response.status_mut(), *response.headers_mut()) = (answer.status, answer.headers);
            Ok(response.into())
        })
    }
}
