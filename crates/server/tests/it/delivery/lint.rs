//! The last look at a message before its first byte leaves.

use super::standing_clock;
use crate::harness::{Engine, Setup, events_of, on_both_engines, plain_get};
use sealwright::platform::dev::sink::{SinkScript, Verdict};
use sealwright_mail::dkim::SigningKey;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

on_both_engines! {
    async fn a_message_whose_signature_nobody_could_verify_is_held_and_no_byte_of_it_leaves(engine: Engine) {
        let clock = standing_clock();
        let moments = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&moments);
        let script = SinkScript::new(move |_| {
            seen.fetch_add(1, Ordering::SeqCst);
            Verdict::Accept
        });
        let house = Setup::new(engine).set("server.admin_listen", "127.0.0.1:0").clock(&clock).script(script).start().await;
        // What is published belongs to another key: nobody who looks it up could verify what this one signs.
        let (_, other) = SigningKey::generate_rsa_2048().unwrap();
        house.execute(&format!("UPDATE dkim_keys SET public_record = '{}'", other.dns_record())).await;
        let id = house.accepted(&house.email("ada@reader.example")).await;
        let shown = house.reaches(&id, "deferred").await;
        let reason = &events_of(&shown, "email.deferred")[0]["data"]["reason"];
        assert!(reason.as_str().unwrap().starts_with("held by the check before sending: the second verifier"), "{reason}");
        assert_eq!(moments.load(Ordering::SeqCst), 0, "the receiving host was spoken to");
        let metrics = plain_get(house.admin_address().unwrap(), "/metrics").await;
        assert!(metrics.contains("sealwright_lint_findings_total{kind=\"signature\"} 1"), "{metrics}");
    }
}
