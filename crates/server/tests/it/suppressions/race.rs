//! An address that is suppressed while its mail is on the wire.

use super::{statuses, suppress, told};
use crate::harness::{Engine, House, Setup, on_both_engines, stays};
use sealwright::platform::dev::sink::{Moment, SinkScript, Verdict};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// How long the receiving host takes for its first reply to DATA: RCPT is answered by then, and the content is not written yet.
const PAUSE: Duration = Duration::from_millis(1500);

/// A house whose sink tells when the first DATA has come, and lets it wait.
async fn house(engine: Engine) -> (House, Arc<Notify>) {
    let (reached, is_later) = (Arc::new(Notify::new()), AtomicBool::new(false));
    let told = Arc::clone(&reached);
    let script = SinkScript::new(move |moment| match moment {
        Moment::Data if !is_later.swap(true, Ordering::SeqCst) => {
            told.notify_one();
            Verdict::Wait(PAUSE, Box::new(Verdict::Accept))
        }
        _ => Verdict::Accept,
    });
    (Setup::new(engine).script(script).start().await, reached)
}

on_both_engines! {
    async fn who_is_suppressed_before_the_dot_receives_nothing(engine: Engine) {
        let (house, reached) = house(engine).await;
        let id = house.accepted(&house.email("ada@reader.example")).await;
        reached.notified().await;
        suppress(&house, &house.account.live, "ada@reader.example").await;
        let shown = house.reaches(&id, "suppressed").await;
        assert_eq!(told(&shown), ["email.sent", "email.suppressed"]);
        stays("it was received", 20, async || house.sink.received_count() == 0).await;
        assert!(house.attempts(&id).await.is_empty());
    }

    async fn the_others_of_the_same_transaction_get_theirs_once(engine: Engine) {
        let (house, reached) = house(engine).await;
        let mut email = house.email("ada@reader.example");
        email["cc"] = json!(["bo@reader.example", "cy@reader.example"]);
        let id = house.accepted(&email).await;
        reached.notified().await;
        suppress(&house, &house.account.live, "bo@reader.example").await;
        let shown = house.reaches(&id, "delivered").await;
        assert_eq!(statuses(&shown), ["delivered", "suppressed", "delivered"]);
        let received = house.sink.received();
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].rcpt_to, ["ada@reader.example", "cy@reader.example"]);
        let attempts = house.attempts(&id).await;
        assert_eq!(attempts.len(), 1);
        let tried = attempts[0]["facts"]["recipients"].as_array().unwrap();
        assert_eq!(tried.len(), 2, "who is suppressed was not tried");
    }
}
