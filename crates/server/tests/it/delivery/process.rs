//! Starting, standing still and stopping.

use super::at_the_dots;
use crate::harness::{Engine, House, Setup, eventually, on_both_engines, plain_get};
use sealwright::app::Roles;
use sealwright::platform::dev::sink::Verdict;
use std::time::Duration;

/// Jobs that somebody holds a lease on.
async fn leased(house: &House) -> i64 {
    let sql = "SELECT count(*) FROM jobs WHERE lease_owner IS NOT NULL";
    match &house.database {
        Some(database) => {
            let sql = sql.replace("jobs", "sealwright.jobs");
            database
                .superuser()
                .await
                .query_one(&sql, &[])
                .await
                .unwrap()
                .get(0)
        }
        None => {
            let file = house.folder.path().join("data.db");
            let connection = rusqlite::Connection::open(file).unwrap();
            connection.query_row(sql, [], |row| row.get(0)).unwrap()
        }
    }
}

on_both_engines! {
    async fn a_stop_gives_leases_back_and_the_next_start_goes_on(engine: Engine) {
        let slow = Verdict::Wait(Duration::from_secs(120), Box::new(Verdict::Accept));
        let mut house = Setup::new(engine)
            .set("server.stop_timeout_s", "1")
            .script(at_the_dots(vec![slow]))
            .start()
            .await;
        let id = house.accepted(&house.email("ada@reader.example")).await;
        eventually("the dot has left", async || {
            let attempts = house.attempts(&id).await;
            attempts.iter().any(|attempt| attempt["state"] == "started").then_some(())
        })
        .await;
        assert_eq!(leased(&house).await, 1);
        house.stop().await;
        assert_eq!(leased(&house).await, 0);
        let config = house.config.clone();
        house.restart(config, Roles::ALL).await;
        house.reaches(&id, "delivered").await;
        let attempts = house.attempts(&id).await;
        let states: Vec<_> = attempts.iter().map(|attempt| attempt["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["in_doubt", "finished"], "the first dot had left when the stop came");
    }

    async fn a_stop_waits_for_a_delivery_under_way(engine: Engine) {
        let slow = Verdict::Wait(Duration::from_secs(1), Box::new(Verdict::Accept));
        let mut house = Setup::new(engine).script(at_the_dots(vec![slow])).start().await;
        let id = house.accepted(&house.email("ada@reader.example")).await;
        eventually("the dot has left", async || {
            let attempts = house.attempts(&id).await;
            attempts.iter().any(|attempt| attempt["state"] == "started").then_some(())
        })
        .await;
        house.stop().await;
        assert_eq!(house.sink.received_count(), 1);
        let config = house.config.clone();
        house.restart(config, Roles::ALL).await;
        assert_eq!(house.shown(&id).await["status"], "delivered");
        assert_eq!(house.attempts(&id).await.len(), 1);
    }

    async fn readiness_fails_while_due_mail_is_not_attempted(engine: Engine) {
        let api_only = Roles { api: true, delivery: false, webhooks: false };
        let setup = Setup::new(engine).roles(api_only).set("delivery.stall_seconds", "1");
        let mut house = setup.set("server.admin_listen", "127.0.0.1:0").start().await;
        let id = house.accepted(&house.email("ada@reader.example")).await;
        eventually("readiness fails", async || {
            let reply = house.client.get("/readyz", "").await;
            (reply.status == 503).then(|| assert_eq!(reply.text(), "not ready\n"))
        })
        .await;
        // The reason is for the operator.
        let told = plain_get(house.admin_address().unwrap(), "/readyz").await;
        assert!(told.contains("due for") && told.contains("without an attempt"), "{told}");
        assert_eq!(house.client.get("/healthz", "").await.status, 200);
        assert_eq!(house.shown(&id).await["status"], "queued");
        house.stop().await;
        let config = house.config.clone();
        house.restart(config, Roles::ALL).await;
        house.reaches(&id, "delivered").await;
        eventually("readiness comes back", async || {
            (house.client.get("/readyz", "").await.status == 200).then_some(())
        })
        .await;
    }
}
