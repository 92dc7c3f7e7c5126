//! Where webhooks come from, as receivers are told before they come.

use crate::harness::{Engine, Setup, on_both_engines};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;

on_both_engines! {
    async fn source_addresses_are_published_with_a_tag_that_changes_with_them(engine: Engine) {
        let ask = |tag: &str| {
            let request = Request::get("/v1/meta/ips").header("if-none-match", tag);
            request.body(Full::<Bytes>::default()).unwrap()
        };
        let house = Setup::new(engine).start().await;
        let none = house.client.send(ask("\"x\"")).await;
        let old = none.header("etag").to_owned();
        assert_eq!(none.expect(200), json!({"object": "source_addresses", "webhooks": []}));
        let house = Setup::new(engine)
            .set("webhooks.source_addresses", "127.0.0.1,127.0.0.7")
            .set("webhooks.announced_addresses", "127.0.0.8 from 2026-12-31")
            .start()
            .await;
        let reply = house.client.send(ask(&old)).await;
        let tag = reply.header("etag").to_owned();
        assert_ne!(tag, old);
        let published = json!({"object": "source_addresses", "webhooks": [
            {"address": "127.0.0.1"}, {"address": "127.0.0.7"}, {"address": "127.0.0.8", "from": "2026-12-31"},
        ]});
        assert_eq!(reply.expect(200), published);
        for known in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
            let reply = house.client.send(ask(&known)).await;
            assert_eq!((reply.status.as_u16(), reply.header("etag")), (304, tag.as_str()));
            assert!(reply.text().is_empty());
        }
    }
}
