//! Reads request bodies: JSON and nothing near it.
//!
//! Two passes over the same bytes. The first only looks: no key twice in one object, no nesting past its limit. The second makes the
//! typed value; fields that the type does not have are refused with their place.

use super::Problem;
use crate::entry::edge::TooSlow;
use crate::limits::{JSON_DEPTH_MAX, REQUEST_BODY_TIMEOUT};
use axum::body::{Body, Bytes};
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Memory that all bodies being worked on may take together, in KiB. A body is held several times over while it becomes an e-mail.
const BODIES_KIB: u32 = 192 * 1024;
/// Waiting for room here is the queue in which large requests stand.
static ROOM: Semaphore = Semaphore::const_new(BODIES_KIB as usize);

/// How long a body that is too large is read on.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);

/// A body that was read, and the room that it takes until its request is answered.
pub(super) struct Received {
    bytes: Bytes,
    _room: Option<SemaphorePermit<'static>>,
}

impl Received {
    /// What an absent body stands for where every field is optional.
    pub(super) fn empty_object() -> Self {
        Self {
            bytes: Bytes::from_static(b"{}"),
            _room: None,
        }
    }
}

impl std::ops::Deref for Received {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The media type of JSON.
const MEDIA: &str = "application/json";

/// The bytes of a JSON body within its limits.
pub(super) async fn read(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Received, Problem> {
    read_media(headers, body, bytes_max, MEDIA).await
}

/// The bytes of a body of this type within its limits.
pub(super) async fn read_media(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
    media: &str,
) -> Result<Received, Problem> {
    if !is_media(headers, media) {
        discard(body, bytes_max).await;
        return Err(Problem::content_type());
    }
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let bytes = announced.unwrap_or(bytes_max);
    if bytes > bytes_max {
        discard(body, bytes_max).await;
        return Err(Problem::too_large(bytes_max));
    }
    let kib = u32::try_from(bytes / 1024 + 1)
        .unwrap_or(BODIES_KIB)
        .min(BODIES_KIB);
    // The semaphore is never closed; were it, a request without its room would still be right.
    let room = ROOM.acquire_many(kib).await.ok();
    let collected = tokio::time::timeout(REQUEST_BODY_TIMEOUT, Limited::new(body, bytes_max).collect());
    match collected.await {
        Ok(Ok(collected)) => Ok(Received {
            bytes: collected.to_bytes(),
            _room: room,
        }),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
            Err(Problem::too_large(bytes_max))
        }
        Ok(Err(error)) if is_too_slow(&*error) => Err(Problem::too_slow()),
        Ok(Err(_)) => Err(Problem::not_json("the request body could not be read to its end")),
        Err(_) => Err(Problem::too_slow()),
    }
}

fn is_too_slow(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| (*error).source()).any(<dyn Error>::is::<TooSlow>)
}

/// Reads on for a while without keeping anything: a client that is still writing when the connection closes never sees the refusal.
pub(super) async fn discard(mut body: Body, bytes_max: usize) {
    let discard = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > bytes_max.saturating_mul(2) {
                break;
            }
        }
    };
    // Either way the refusal follows.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, discard).await;
}

/// Whether a body is said to be of this type, in UTF-8 and as it is.
pub(super) fn is_media(headers: &HeaderMap, media: &str) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let Some(value) = text(header::CONTENT_TYPE) else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    let is_media = parts
        .next()
        .is_some_and(|given| given.eq_ignore_ascii_case(media));
    let is_utf8 = parts.all(|parameter| parameter.eq_ignore_ascii_case("charset=utf-8"));
    let is_plain =
        text(header::CONTENT_ENCODING).is_none_or(|encoding| encoding.eq_ignore_ascii_case("identity"));
    is_media && is_utf8 && is_plain
}

/// A body that has fields is an object: by itself, serde takes an array of their values in order for it, too.
struct Objects<'a, R>(&'a mut serde_json::Deserializer<R>);

impl<'de, R: serde_json::de::Read<'de>> Deserializer<'de> for Objects<'_, R> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.deserialize_map(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The value of a JSON body.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.is_empty() {
        return Err(Problem::not_json("the request body is empty; send a JSON object"));
    }
    let mut look = serde_json::Deserializer::from_slice(bytes);
    Strict { depth: 0 }
        .deserialize(&mut look)
        .and_then(|()| look.end())
        .map_err(|error| not_json(&error))?;
    let mut typed = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(Objects(&mut typed))
        .map_err(|error| misfit(error.path(), &error.inner().to_string()))
}

/// serde's own words quote values of the wrong type; only our own refusals and the place are told.
fn not_json(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    match error
        .to_string()
        .strip_prefix(OWN_WORDS)
        .and_then(|text| text.split(" at line ").next())
    {
        Some(own) => Problem::not_json(own.to_owned()),
        None => Problem::not_json(format!(
            "the request body is not valid JSON (line {line}, column {column})"
        )),
    }
}

/// What a value that does not fit its type is told, by place and by serde's words.
pub(super) fn misfit(path: &serde_path_to_error::Path, text: &str) -> Problem {
    let place = pointer(path);
    let words = text.split(" at line ").next().unwrap_or_default();
    if let Some(own) = words.strip_prefix(OWN_WORDS) {
        return Problem::invalid(place, own);
    }
    if let Some(field) = words
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split('`').next())
    {
        return Problem::invalid(
            within(&place, field),
            "there is no such field; check its spelling or leave it out",
        );
    }
    if let Some(field) = words
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next())
    {
        return Problem::invalid(within(&place, field), "this field is required");
    }
    let expected = words
        .rsplit("expected ")
        .next()
        .filter(|expected| words.len() > expected.len());
    // serde names types of this program where numbers do not fit.
    let expected = expected.map(|expected| match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i64" => "a whole number in its range",
        other => other,
    });
    let expected = expected
        .map(|expected| format!("; expected {expected}"))
        .unwrap_or_default();
    Problem::invalid(place, format!("this value has the wrong type{expected}"))
}

/// Marks messages of our own, which hold no value of the caller's.
pub(super) const OWN_WORDS: &str = "\u{1}";

fn within(place: &str, field: &str) -> String {
    // serde_path_to_error may or may not have descended into the offending key already.
    if place.is_empty() || place == field {
        field.to_owned()
    } else if place.rsplit('/').next() == Some(field) {
        place.to_owned()
    } else {
        format!("{place}/{field}")
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let segment = |segment: &Segment| match segment {
        Segment::Seq { index } => index.to_string(),
        Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
        Segment::Enum { variant } => variant.clone(),
        Segment::Unknown => "?".to_owned(),
    };
    path.iter().map(segment).collect::<Vec<_>>().join("/")
}

/// Looks at a value without keeping it.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        if self.depth > JSON_DEPTH_MAX {
            return Err(D::Error::custom(format!(
                "{OWN_WORDS}arrays and objects may be nested at most {JSON_DEPTH_MAX} deep"
            )));
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq
            .next_element_seed(Strict {
                depth: self.depth + 1,
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value_seed(Strict {
                depth: self.depth + 1,
            })?;
            if !seen.insert(key) {
                return Err(A::Error::custom(format!(
                    "{OWN_WORDS}an object has the same key twice"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[allow(dead_code, reason = "only its reading is tested")]
        content: String,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[allow(dead_code, reason = "only its reading is tested")]
        list: Vec<Inner>,
    }

    #[test]
    fn values_without_their_names_are_no_object() {
        for text in ["[]", "[[]]", r#"[[{"content": "a"}]]"#, "null", "7"] {
            assert_ne!(refusal(text), "accepted", "{text}");
        }
        assert_eq!(refusal(r#"{"list": []}"#), "accepted");
    }

    fn refusal(text: &str) -> String {
        parse::<Outer>(text.as_bytes()).map_or_else(|problem| format!("{problem:?}"), |_| "accepted".into())
    }

    /// A body that crawled, as the edge tells it.
    struct Crawling;

    impl axum::body::HttpBody for Crawling {
        type Data = Bytes;
        type Error = TooSlow;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, TooSlow>>> {
            std::task::Poll::Ready(Some(Err(TooSlow)))
        }
    }

    #[tokio::test]
    async fn a_body_that_crawled_is_refused_for_that_and_not_for_its_json() {
        let headers = HeaderMap::from_iter([(
            header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/json"),
        )]);
        let refused = read(&headers, Body::new(Crawling), 100).await.err().unwrap();
        assert!(
            format!("{refused:?}").starts_with("RequestTimeout"),
            "{refused:?}"
        );
    }

    #[test]
    fn refusals_name_the_place_and_not_the_value() {
        for (text, expected) in [
            (r#"{"list":[{"content":"x"}]}"#, "accepted"),
            (r#"{"list":[{"content":"x","more":1}]}"#, "list/0/more"),
            (r#"{"list":[{}]}"#, "list/0/content"),
            (r#"{"list":[],"other":1}"#, "\"other\""),
            (r#"{"list":[{"content":{"a":1,"a":2}}]}"#, "same key twice"),
            (r#"{"list":[]} x"#, "not valid JSON"),
            (r#"{"list":"#, "not valid JSON"),
        ] {
            assert!(refusal(text).contains(expected), "{text}: {}", refusal(text));
        }
        let told = format!("{:?}", parse::<u16>(b"70000").unwrap_err());
        assert!(told.contains("expected a whole number"), "{told}");
        let told = refusal(r#"{"list":"canary"}"#);
        assert!(told.contains("list") && !told.contains("canary"), "{told}");
        assert!(refusal(&"[".repeat(100_000)).contains("nested at most"));
    }
}
