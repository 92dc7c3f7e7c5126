//! Mail that waits for its time.

use crate::harness::{Engine, House, Reply, Setup, events_of, eventually, key, on_both_engines, stays};
use http::{Method, Request};
use http_body_util::Full;
use mail_parser::MessageParser;
use sealwright::clock::{Clock, Timestamp};
use sealwright::mode::Mode;
use sealwright::platform::dev::sink::SinkScript;
use serde_json::{Value, json};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// A clock that stands still, so far back that what is scheduled as far ahead as may be leaves now: verifiers go by the machine's clock.
fn standing_clock() -> Clock {
    let start = Clock::System.now().minus(30 * DAY);
    // To the second, which is how times are written in mail, and no finer than the API shows them.
    Clock::manual(Timestamp::from_micros(start.seconds() * 1_000_000))
}

async fn house(engine: Engine) -> House {
    Setup::new(engine).clock(&standing_clock()).start().await
}

/// A small e-mail that is to leave after a while.
fn later(house: &House, to: &str, wait: Duration) -> Value {
    let mut email = house.email(to);
    email["scheduledAt"] = house.clock.now().plus(wait).rfc3339().into();
    email
}

async fn reschedule(house: &House, id: &str, at: Timestamp) -> Reply {
    let body = json!({"scheduledAt": at.rfc3339()}).to_string();
    let path = format!("/v1/emails/{id}");
    house
        .client
        .call(Method::PATCH, &path, &house.account.live, body)
        .await
}

async fn cancel(house: &House, id: &str) -> Reply {
    let path = format!("/v1/emails/{id}/cancel");
    house
        .client
        .call(Method::POST, &path, &house.account.live, "")
        .await
}

/// The messages that came out of an e-mail.
fn received(house: &House, id: &str) -> Vec<Vec<u8>> {
    let marked = format!("Message-ID: <{id}@");
    let mails = house.sink.received().into_iter();
    mails
        .map(|mail| mail.bytes.to_vec())
        .filter(|bytes| String::from_utf8_lossy(bytes).contains(&marked))
        .collect()
}

/// Its `Date`, and the time and end of its signature.
fn dates(message: &[u8]) -> [i64; 3] {
    let date = MessageParser::default()
        .parse(message)
        .unwrap()
        .date()
        .unwrap()
        .to_timestamp();
    let text = String::from_utf8_lossy(message).replace("\r\n", "");
    let tag = |name: &str| {
        let rest = text.split(name).nth(1).unwrap();
        rest.split(';').next().unwrap().trim().parse().unwrap()
    };
    [date, tag("; t="), tag("; x=")]
}

fn recipients(shown: &Value) -> Vec<&str> {
    let all = shown["recipients"].as_array().unwrap();
    all.iter().map(|one| one["status"].as_str().unwrap()).collect()
}

/// The days at which contents lie and, where there are any, their partitions.
async fn contents(house: &House) -> Vec<(i64, String)> {
    let Some(database) = &house.database else {
        let connection = rusqlite::Connection::open(house.folder.path().join("data.db")).unwrap();
        let mut statement = connection.prepare("SELECT day FROM email_contents").unwrap();
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, String::new())))
            .unwrap();
        return rows.map(Result::unwrap).collect();
    };
    let sql = "SELECT day, tableoid::regclass::text FROM sealwright.email_contents";
    let rows = database.superuser().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

on_both_engines! {
    async fn scheduled_mail_leaves_at_its_time_as_if_it_were_accepted_then(engine: Engine) {
        let house = house(engine).await;
        let released_at = house.clock.now().plus(30 * DAY);
        let answer = house.post(&later(&house, "ada@reader.example", 30 * DAY)).await.expect(200);
        assert_eq!((&answer["status"], &answer["scheduledAt"]), (&json!("scheduled"), &json!(released_at.rfc3339())));
        let id = answer["id"].as_str().unwrap();
        let list = house.client.get("/v1/emails?status=scheduled", &house.account.live).await.expect(200);
        assert_eq!((&list["data"][0]["id"], &list["totalCount"]), (&answer["id"], &json!(1)));
        let shown = house.shown(id).await;
        assert_eq!((&shown["scheduledAt"], &shown["text"]), (&answer["scheduledAt"], &json!("A text.\n")));
        assert_eq!(recipients(&shown), ["scheduled"]);
        assert_eq!(events_of(&shown, "email.scheduled")[0]["data"]["scheduledAt"], answer["scheduledAt"]);
        assert_eq!(shown["events"].as_array().unwrap().len(), 1);
        let contents = contents(&house).await;
        let (day, partition) = &contents[0];
        assert_eq!((contents.len(), *day), (1, released_at.day()), "it lies where it is forgotten after its release");
        let own = format!("email_contents_{day}");
        assert!(partition.is_empty() || partition.ends_with(&own), "{partition}");
        house.clock.advance(30 * DAY - Duration::from_millis(1));
        stays("it left too early", 10, async || house.shown(id).await["status"] == "scheduled").await;
        house.clock.advance(Duration::from_millis(1));
        let shown = house.reaches(id, "delivered").await;
        let sent = events_of(&shown, "email.sent");
        assert_eq!((sent.len(), &sent[0]["data"]["sentAt"]), (1, &answer["scheduledAt"]));
        assert_eq!(sent[0]["data"]["to"], json!(["ada@reader.example"]));
        let messages = received(&house, id);
        let at = released_at.seconds();
        assert_eq!(dates(&messages[0]), [at, at, at + 14 * 86_400], "Date, t= and x= are those of the release");
        assert_eq!(house.dkim_verdict(&messages[0]), "pass");
    }

    async fn a_time_that_is_too_near_too_far_or_no_time_is_refused(engine: Engine) {
        let house = house(engine).await;
        let ahead = |wait: Duration| json!(house.clock.now().plus(wait).rfc3339());
        let second = Duration::from_secs(1);
        let id = house.accepted(&later(&house, "ada@reader.example", DAY)).await;
        for bad in [
            ahead(59 * second), ahead(30 * DAY + second), ahead(Duration::ZERO), json!("2020-01-01T00:00:00Z"),
            json!("2026-12-24"), json!("2026-12-24T09:00:00"), json!("soon"), json!(1), Value::Null,
        ] {
            let mut email = house.email("ada@reader.example");
            email["scheduledAt"] = bad.clone();
            let expected = ("invalid_parameter".to_owned(), "scheduledAt".to_owned());
            assert_eq!(house.post(&email).await.refusal(400), expected, "{bad}");
            let change = json!({"scheduledAt": bad}).to_string();
            let path = format!("/v1/emails/{id}");
            let moved = house.client.call(Method::PATCH, &path, &house.account.live, change).await;
            assert_eq!(moved.refusal(400), expected, "{bad}");
        }
        for good in [ahead(60 * second), ahead(30 * DAY)] {
            let mut email = house.email("ada@reader.example");
            email["scheduledAt"] = good;
            house.accepted(&email).await;
        }
        let mut email = house.email("ada@reader.example");
        let local = jiff::Timestamp::from_microsecond(house.clock.now().plus(DAY).micros()).unwrap();
        email["scheduledAt"] = local.display_with_offset(jiff::tz::offset(2)).to_string().into();
        let answer = house.post(&email).await.expect(200);
        assert_eq!(answer["scheduledAt"], house.clock.now().plus(DAY).rfc3339(), "an offset is read, UTC is shown");
    }

    async fn scheduled_mail_is_moved_and_leaves_once_at_the_new_time(engine: Engine) {
        let house = house(engine).await;
        // The message as it was accepted must not be kept in memory: it has the old date.
        for (first, second) in [(5 * MINUTE, 12 * DAY), (12 * DAY, 5 * MINUTE)] {
            let id = house.accepted(&later(&house, "ada@reader.example", first)).await;
            let moved_to = house.clock.now().plus(second);
            let moved = reschedule(&house, &id, moved_to).await.expect(200);
            assert_eq!((&moved["status"], &moved["scheduledAt"]), (&json!("scheduled"), &json!(moved_to.rfc3339())));
            assert_eq!(moved["to"], json!(["ada@reader.example"]));
            if first < second {
                house.clock.advance(first);
                stays("it left at its old time", 10, async || house.shown(&id).await["status"] == "scheduled").await;
                house.clock.advance(second - first);
            } else {
                house.clock.advance(second);
            }
            let shown = house.reaches(&id, "delivered").await;
            assert_eq!((events_of(&shown, "email.scheduled").len(), events_of(&shown, "email.sent").len()), (2, 1));
            assert_eq!(shown["text"], "A text.\n");
            let messages = received(&house, &id);
            assert_eq!((messages.len(), dates(&messages[0])[0]), (1, moved_to.seconds()));
            assert_eq!(dates(&messages[0])[1], moved_to.seconds());
            let late = reschedule(&house, &id, house.clock.now().plus(DAY)).await;
            assert_eq!(late.refusal(409).0, "not_scheduled");
        }
    }

    async fn cancelled_mail_never_leaves(engine: Engine) {
        let house = house(engine).await;
        let mut email = later(&house, "ada@reader.example", DAY);
        email["cc"] = json!(["bo@elsewhere.example", "carl@third.example"]);
        let id = house.accepted(&email).await;
        let answer = cancel(&house, &id).await.expect(200);
        assert_eq!(answer, json!({"id": id, "object": "email", "status": "cancelled"}));
        let shown = house.shown(&id).await;
        assert_eq!((&shown["status"], recipients(&shown)), (&json!("cancelled"), vec!["cancelled"; 3]));
        assert_eq!(events_of(&shown, "email.cancelled").len(), 1);
        let list = house.client.get("/v1/emails?status=cancelled", &house.account.live).await.expect(200);
        assert_eq!(list["data"][0]["id"], id);
        assert_eq!(cancel(&house, &id).await.refusal(409).0, "not_scheduled");
        assert_eq!(reschedule(&house, &id, house.clock.now().plus(DAY)).await.refusal(409).0, "not_scheduled");
        house.clock.advance(2 * DAY);
        stays("it left", 10, async || house.sink.received_count() == 0).await;
        let at_once = house.accepted(&house.email("ada@reader.example")).await;
        assert_eq!(cancel(&house, &at_once).await.refusal(409).0, "not_scheduled");
        let unknown = "email_01hzzzzzzzzzzzzzzzzzzzzzzz";
        assert_eq!(cancel(&house, unknown).await.refusal(404).0, "not_found");
        assert_eq!(house.shown(&at_once).await["scheduledAt"], Value::Null);
    }

    async fn all_destinations_are_let_go_together_and_told_of_once(engine: Engine) {
        let house = house(engine).await;
        // On PostgreSQL two processes look for what is due.
        let second = if engine == Engine::Postgres { Some(house.second_node().await) } else { None };
        let mut ids = Vec::new();
        for n in 0..10 {
            let mut email = later(&house, &format!("a{n}@one.example"), DAY);
            email["cc"] = json!([format!("b{n}@two.example"), format!("c{n}@three.example")]);
            email["bcc"] = json!(format!("d{n}@four.example"));
            ids.push(house.accepted(&email).await);
        }
        house.clock.advance(DAY);
        for id in &ids {
            let shown = eventually("all four are delivered", async || {
                let shown = house.shown(id).await;
                (recipients(&shown) == ["delivered"; 4]).then_some(shown)
            })
            .await;
            assert_eq!((events_of(&shown, "email.sent").len(), events_of(&shown, "email.delivered").len()), (1, 4));
            assert_eq!(received(&house, id).len(), 4);
        }
        if let Some(second) = second {
            second.stop().await;
        }
    }

    async fn a_repeated_request_gets_its_first_answer_also_when_its_time_is_past(engine: Engine) {
        let house = house(engine).await;
        let email = later(&house, "ada@reader.example", MINUTE).to_string();
        let send = async || {
            let request = Request::post("/v1/emails")
                .header("authorization", format!("Bearer {}", house.account.live))
                .header("content-type", "application/json")
                .header("idempotency-key", "once");
            house.client.send(request.body(Full::from(email.clone())).unwrap()).await
        };
        let first = send().await.expect(200);
        house.clock.advance(2 * MINUTE);
        let again = send().await;
        assert_eq!(again.header("idempotency-replayed"), "true", "{}", again.text());
        assert_eq!(again.json(), first);
    }

    async fn a_domain_that_may_not_send_any_more_stops_mail_at_its_release(engine: Engine) {
        let house = house(engine).await;
        let mut email = later(&house, "ada@reader.example", DAY);
        email["cc"] = json!("bo@elsewhere.example");
        let id = house.accepted(&email).await;
        let domains = house.client.get("/v1/domains", &house.account.live).await.expect(200);
        let path = format!("/v1/domains/{}", domains["data"][0]["id"].as_str().unwrap());
        house.client.delete(&path, &house.account.live).await.expect(200);
        house.clock.advance(DAY);
        let shown = house.reaches(&id, "failed").await;
        assert_eq!(recipients(&shown), ["failed", "failed"]);
        let failed = events_of(&shown, "email.failed");
        assert_eq!((failed.len(), events_of(&shown, "email.sent").len()), (2, 0));
        assert!(failed[0]["data"]["reason"].as_str().unwrap().contains("not verified"), "{failed:?}");
        assert_eq!(house.sink.received_count(), 0);
    }

    async fn a_key_that_is_deleted_meanwhile_takes_nothing_back(engine: Engine) {
        let house = house(engine).await;
        let sender = key(&house.platform, &house.account.org, Mode::Live, &["emails:send"]).await;
        let answer = house.client.post("/v1/emails", &sender, &later(&house, "ada@reader.example", DAY)).await.expect(200);
        let own = house.client.get("/v1/me", &sender).await.expect(200)["keyId"].as_str().unwrap().to_owned();
        house.client.delete(&format!("/v1/api-keys/{own}"), &house.account.live).await.expect(200);
        house.clock.advance(DAY);
        house.reaches(answer["id"].as_str().unwrap(), "delivered").await;
    }

    async fn the_time_in_which_mail_is_tried_counts_from_its_release(engine: Engine) {
        let setup = Setup::new(engine).clock(&standing_clock()).script(SinkScript::by_local_part());
        let house = setup.start().await;
        let id = house.accepted(&later(&house, "dot-451@reader.example", 10 * DAY)).await;
        house.clock.advance(10 * DAY);
        let shown = house.reaches(&id, "deferred").await;
        assert_eq!(events_of(&shown, "email.failed").len(), 0);
        house.clock.advance(73 * 60 * MINUTE);
        house.reaches(&id, "failed").await;
    }

    async fn test_mail_waits_moves_and_is_cancelled_alike(engine: Engine) {
        let house = house(engine).await;
        let test = &house.account.test;
        let shown = async |id: &str| house.client.get(&format!("/v1/emails/{id}"), test).await.expect(200);
        let send = async |to: &str| {
            let answer = house.client.post("/v1/emails", test, &later(&house, to, DAY)).await.expect(200);
            answer["id"].as_str().unwrap().to_owned()
        };
        let (slow, withdrawn) = (send("slow+90s@reader.example").await, send("ada@reader.example").await);
        let path = format!("/v1/emails/{withdrawn}/cancel");
        assert_eq!(house.client.call(Method::POST, &path, &house.account.live, "").await.refusal(404).0, "not_found");
        house.client.call(Method::POST, &path, test, "").await.expect(200);
        house.clock.advance(DAY);
        eventually("it is let go", async || (shown(&slow).await["status"] == "queued").then_some(())).await;
        stays("it waits from its release on", 10, async || shown(&slow).await["status"] == "queued").await;
        house.clock.advance(90 * Duration::from_secs(1));
        let ended = eventually("it is delivered", async || {
            let shown = shown(&slow).await;
            (shown["status"] == "delivered").then_some(shown)
        })
        .await;
        let sent = events_of(&ended, "email.sent");
        assert_eq!((sent.len(), &sent[0]["mode"]), (1, &json!("test")));
        let cancelled = shown(&withdrawn).await;
        assert_eq!((&cancelled["status"], &events_of(&cancelled, "email.cancelled")[0]["mode"]), (&json!("cancelled"), &json!("test")));
    }

    async fn whoever_cancels_or_moves_at_the_very_time_gets_it_or_is_told_that_it_left(engine: Engine) {
        let house = std::sync::Arc::new(house(engine).await);
        let (mut won, mut lost) = (0, 0);
        for round in 0..10 {
            let mut racing = Vec::new();
            for n in 0..10 {
                racing.push((n, house.accepted(&later(&house, &format!("r{n}@reader.example"), MINUTE)).await));
            }
            house.clock.advance(MINUTE);
            let race = racing.into_iter().map(|(n, id)| {
                let house = std::sync::Arc::clone(&house);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(n * 7)).await;
                    let is_cancel = (n + round) % 2 == 0;
                    let reply = if is_cancel { cancel(&house, &id).await } else { reschedule(&house, &id, house.clock.now().plus(DAY)).await };
                    (id, is_cancel, reply)
                })
            });
            let mut stay = Vec::new();
            for raced in race.collect::<Vec<_>>() {
                let (id, is_cancel, reply) = raced.await.unwrap();
                if reply.status == 200 {
                    won += 1;
                    stay.push((id, if is_cancel { "cancelled" } else { "scheduled" }));
                } else {
                    lost += 1;
                    assert_eq!(reply.refusal(409).0, "not_scheduled");
                    house.reaches(&id, "delivered").await;
                    assert_eq!(received(&house, &id).len(), 1);
                }
            }
            for (id, status) in &stay {
                let shown = house.shown(id).await;
                assert_eq!((&shown["status"], received(&house, id).len()), (&json!(status), 0), "round {round}");
                assert_eq!(events_of(&shown, "email.sent").len(), 0);
            }
        }
        house.clock.advance(2 * DAY);
        eventually("all that was moved leaves", async || {
            let list = house.client.get("/v1/emails?status=scheduled", &house.account.live).await.expect(200);
            (list["totalCount"] == 0).then_some(())
        })
        .await;
        assert!(won > 0 && lost > 0, "{won} won and {lost} lost: this was no race");
    }
}
