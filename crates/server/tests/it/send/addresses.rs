//! Addresses beyond ASCII, towards hosts that take them and hosts that don't.

use crate::harness::{Engine, House, Setup, on_both_engines};
use sealwright::platform::dev::sink::SinkOptions;
use sealwright_mail::smtp::Offer;
use serde_json::json;

fn old_host() -> SinkOptions {
    SinkOptions {
        offer: Offer {
            smtputf8: false,
            ..Offer::default()
        },
        ..SinkOptions::default()
    }
}

on_both_engines! {
    async fn an_internationalized_recipient_is_served_by_a_host_that_offers_smtputf8(engine: Engine) {
        let house = House::start(engine).await;
        let id = house.accepted(&house.email("Jürgen <jürgen@bücher.example>")).await;
        house.reaches(&id, "delivered").await;
        let received = house.sink.received();
        assert_eq!(received[0].rcpt_to, ["jürgen@xn--bcher-kva.example"]);
        assert!(String::from_utf8_lossy(&received[0].bytes).contains("jürgen@xn--bcher-kva.example"));
    }

    async fn an_internationalized_recipient_bounces_at_a_host_without_smtputf8(engine: Engine) {
        let house = Setup::new(engine).sink(old_host()).start().await;
        let id = house.accepted(&house.email("jürgen@reader.example")).await;
        let shown = house.reaches(&id, "bounced").await;
        assert_eq!(house.sink.received_count(), 0);
        assert_eq!(shown["recipients"][0]["status"], "bounced");
    }

    async fn an_internationalized_domain_needs_no_smtputf8(engine: Engine) {
        let house = Setup::new(engine).sink(old_host()).start().await;
        let id = house.accepted(&house.email("Jürgen <juergen@BÜCHER.example>")).await;
        house.reaches(&id, "delivered").await;
        let received = house.sink.received();
        assert_eq!(received[0].rcpt_to, ["juergen@xn--bcher-kva.example"]);
        let header = received[0].bytes.split(|byte| *byte == 0).next().unwrap();
        assert!(header.is_ascii());
    }

    /// The header names every recipient, so one internationalized address makes the message itself internationalized, for all.
    async fn a_header_beyond_ascii_never_goes_to_a_host_without_smtputf8(engine: Engine) {
        let house = Setup::new(engine).sink(old_host()).start().await;
        let mut email = house.email("ada@reader.example");
        email["cc"] = json!("jürgen@elsewhere.example");
        let id = house.accepted(&email).await;
        house.reaches(&id, "bounced").await;
        assert_eq!(house.sink.received_count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ascii_recipient_is_served_everywhere() {
    let house: House = Setup::new(Engine::Sqlite).sink(old_host()).start().await;
    let id = house.accepted(&house.email("\"odd local\"@reader.example")).await;
    house.reaches(&id, "delivered").await;
    assert_eq!(house.sink.received()[0].rcpt_to, ["\"odd local\"@reader.example"]);
}
