//! Databases that earlier versions wrote, and those that later ones did.

use crate::harness::{Engine, House, Receiver, Setup, on_both_engines};
use sealwright::app::{Roles, locations};
use sealwright::clock::Clock;
use sealwright::platform::dev::sink::SinkScript;
use sealwright::platform::store::{Location, Schema, Store};
use serde_json::json;
use std::time::Duration;

/// The data schema as it was at an earlier version.
fn at_version(version: usize) -> &'static Schema {
    Box::leak(Box::new(Schema {
        name: Schema::DATA.name,
        migrations: &Schema::DATA.migrations[..version],
    }))
}

/// Puts everything that is in the stopped house into a database of an earlier version: its tables, its columns, nothing later.
async fn write_as_version(house: &House, version: usize) {
    let (data, _) = locations(&house.config);
    match &data {
        Location::Sqlite { path } => {
            let written = path.with_extension("written");
            let connection = rusqlite::Connection::open(path).unwrap();
            connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
                .unwrap();
            drop(connection);
            for end in ["-wal", "-shm"] {
                // Gone already when the last connection closed in order.
                let _ = std::fs::remove_file(format!("{}{end}", path.display()));
            }
            std::fs::rename(path, &written).unwrap();
            Store::migrate(&data, at_version(version)).await.unwrap();
            copy_sqlite(path, &written);
        }
        Location::Postgres { .. } => {
            let client = house.database.as_ref().unwrap().superuser().await;
            client
                .batch_execute("ALTER SCHEMA sealwright RENAME TO written")
                .await
                .unwrap();
            Store::migrate(&data, at_version(version)).await.unwrap();
            copy_postgres(&client).await;
        }
    }
}

fn copy_sqlite(path: &std::path::Path, written: &std::path::Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute("ATTACH ?1 AS written", [written.to_str().unwrap()])
        .unwrap();
    let names = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        statement
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    for table in
        names("SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    {
        let columns = names(&format!("SELECT name FROM pragma_table_info('{table}', 'main')")).join(", ");
        let sql = format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM written.{table}");
        connection.execute(&sql, []).unwrap();
    }
}

async fn copy_postgres(client: &tokio_postgres::Client) {
    let sql = "SELECT table_name::text, string_agg(column_name::text, ', ') FROM information_schema.columns
        JOIN pg_class c ON c.relname = table_name AND c.relnamespace = 'sealwright'::regnamespace AND NOT c.relispartition
        WHERE table_schema = 'sealwright' AND table_name <> 'schema_versions' GROUP BY table_name";
    for row in client.query(sql, &[]).await.unwrap() {
        let (table, columns): (String, String) = (row.get(0), row.get(1));
        let sql = format!("INSERT INTO sealwright.{table} ({columns}) SELECT {columns} FROM written.{table}");
        client.batch_execute(&sql).await.unwrap();
    }
    client.batch_execute("DROP SCHEMA written CASCADE").await.unwrap();
}

async fn version(house: &House) -> i64 {
    match &house.database {
        Some(database) => {
            let client = database.superuser().await;
            client
                .query_one("SELECT max(version) FROM sealwright.schema_versions", &[])
                .await
                .unwrap()
                .get(0)
        }
        None => {
            let connection = rusqlite::Connection::open(house.folder.path().join("data.db")).unwrap();
            connection
                .query_row("PRAGMA user_version", [], |row| row.get(0))
                .unwrap()
        }
    }
}

async fn set_newer(house: &House) {
    let newer = Schema::DATA.version() + 1;
    match &house.database {
        Some(database) => {
            let sql = format!("INSERT INTO sealwright.schema_versions VALUES ({newer}, 'later')");
            database.superuser().await.batch_execute(&sql).await.unwrap();
        }
        None => {
            let connection = rusqlite::Connection::open(house.folder.path().join("data.db")).unwrap();
            connection
                .pragma_update(None, "user_version", newer as i64)
                .unwrap();
        }
    }
}

/// What must still be there: a delivered mail as it was shown, and one that waits.
async fn live_in(house: &House) -> (serde_json::Value, String) {
    let mut email = house.email("ada@reader.example");
    email["tags"] = json!(["old"]);
    email["metadata"] = json!({"order": 42});
    let id = house.accepted(&email).await;
    let shown = house.reaches(&id, "delivered").await;
    let waiting = house.accepted(&house.email("dot-451@reader.example")).await;
    house.reaches(&waiting, "deferred").await;
    (shown, waiting)
}

on_both_engines! {
    async fn a_database_of_each_earlier_version_opens_and_everything_in_it_is_still_read(engine: Engine) {
        for earlier in 1..Schema::DATA.version() {
            let clock = Clock::manual(Clock::System.now().minus(Duration::from_secs(600)));
            let mut house = Setup::new(engine).clock(&clock).script(SinkScript::by_local_part()).start().await;
            let (shown, waiting) = live_in(&house).await;
            house.stop().await;
            write_as_version(&house, earlier).await;
            assert_eq!(version(&house).await, earlier as i64);
            let config = house.config.clone();
            house.restart(config, Roles::ALL).await;
            assert_eq!(version(&house).await, Schema::DATA.version() as i64);
            assert_eq!(house.shown(shown["id"].as_str().unwrap()).await, shown, "from version {earlier}");
            let list = house.client.get("/v1/emails?tags=old", &house.account.live).await.expect(200);
            assert_eq!(list["totalCount"], 1);
            let usage = house.client.get("/v1/usage", &house.account.live).await.expect(200);
            assert_eq!((&usage["data"][0]["accepted"], &usage["data"][0]["balanced"]), (&json!(2), &json!(true)), "from version {earlier}");
            clock.advance(Duration::from_secs(180));
            crate::harness::eventually("the waiting mail is tried again", async || {
                (house.attempts(&waiting).await.len() == 2).then_some(())
            })
            .await;
            let receiver = Receiver::start(&house.authority).await;
            let hook = json!({"url": receiver.url("/in"), "events": ["*"]});
            house.client.post("/v1/webhooks", &house.account.live, &hook).await.expect(201);
            house.accepted(&house.email("bo@reader.example")).await;
            receiver.wait_for(2).await;
            // Its connections, before those of the next.
            house.stop().await;
        }
    }

    async fn a_database_of_a_later_version_is_refused_and_left_alone(engine: Engine) {
        let mut house = House::start(engine).await;
        house.stop().await;
        set_newer(&house).await;
        let (data, _) = locations(&house.config);
        let newer = Schema::DATA.version() + 1;
        for migrate in [true, false] {
            let refused = Store::open(&data, &Schema::DATA, migrate).await.err().expect("it must not open");
            let said = refused.to_string();
            assert!(said.contains(&format!("version {newer}")) && said.contains("newer sealwright"), "{said}");
        }
        assert!(Store::migrate(&data, &Schema::DATA).await.is_err());
        assert_eq!(version(&house).await, newer as i64);
    }

    async fn an_older_database_is_refused_by_a_process_that_may_not_migrate(engine: Engine) {
        let folder = tempfile::tempdir().unwrap();
        let location = engine.location(folder.path(), &Schema::DATA).await;
        Store::migrate(&location, at_version(1)).await.unwrap();
        let refused = Store::open(&location, &Schema::DATA, false).await.err().expect("it must not open");
        assert!(refused.to_string().contains("run `sealwright migrate`"), "{refused}");
        let report = Store::migrate(&location, &Schema::DATA).await.unwrap();
        assert_eq!((report.from, report.to), (1, Schema::DATA.version()));
        Store::open(&location, &Schema::DATA, false).await.unwrap();
    }

    async fn migrating_twice_changes_nothing(engine: Engine) {
        let mut house = House::start(engine).await;
        let id = house.accepted(&house.email("ada@reader.example")).await;
        let shown = house.reaches(&id, "delivered").await;
        house.stop().await;
        let (data, keyring) = locations(&house.config);
        for (location, schema) in [(&data, &Schema::DATA), (&keyring, &Schema::KEYRING)] {
            let report = Store::migrate(location, schema).await.unwrap();
            assert_eq!((report.from, report.to), (schema.version(), schema.version()));
        }
        let config = house.config.clone();
        house.restart(config, Roles::ALL).await;
        assert_eq!(house.shown(&id).await, shown);
    }
}
