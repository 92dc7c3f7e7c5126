//! What the schema itself promises, read from SQLite's catalog (both schemas are the same; the PostgreSQL side is in `postgres`).

use super::Neighbours;
use crate::harness::Engine;
use rusqlite::Connection;
use std::path::Path;

/// Tables that belong to no organization.
const SHARED: [&str; 8] = [
    "nodes",
    "quotas",
    "source_days",
    "sts_policies",
    "system_keys",
    "tls_report_sessions",
    "tls_reports",
    "tls_results",
];
/// Unique keys that begin with something else, and why that tells nothing of another organization.
const UNIQUE_ACROSS: [(&str, &str); 1] = [
    // A keyed hash of 178 random bits that no caller chooses.
    ("api_keys", "lookup"),
];

fn names(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn tables(connection: &Connection) -> Vec<String> {
    names(
        connection,
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    )
}

fn open(folder: &Path, file: &str) -> Connection {
    Connection::open(folder.join(file)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_belongs_to_an_organization_and_both_neighbours_have_rows_in_it() {
    let Neighbours { house, other, .. } = Neighbours::move_in(Engine::Sqlite).await;
    for file in ["data.db", "keyring.db"] {
        let connection = open(house.folder.path(), file);
        for table in tables(&connection) {
            if SHARED.contains(&table.as_str()) {
                continue;
            }
            let count = |org: &str| {
                let sql = format!("SELECT count(*) FROM {table} WHERE org_id = ?1");
                connection
                    .query_row(&sql, [org], |row| row.get::<_, i64>(0))
                    .unwrap()
            };
            for org in [house.account.org.to_string(), other.org.to_string()] {
                assert!(
                    count(&org) > 0,
                    "{table} has no row of {org}: the neighbours have not done everything"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_unique_key_begins_with_the_organization() {
    let Neighbours { house, .. } = Neighbours::move_in(Engine::Sqlite).await;
    let mut seen = 0;
    for file in ["data.db", "keyring.db"] {
        let connection = open(house.folder.path(), file);
        for table in tables(&connection)
            .into_iter()
            .filter(|table| !SHARED.contains(&table.as_str()))
        {
            for index in names(
                &connection,
                &format!("SELECT name FROM pragma_index_list('{table}') WHERE \"unique\" = 1"),
            ) {
                let columns = names(
                    &connection,
                    &format!("SELECT name FROM pragma_index_info('{index}') ORDER BY seqno"),
                );
                let is_excused = UNIQUE_ACROSS.contains(&(table.as_str(), columns[0].as_str()));
                assert!(
                    is_excused || columns[0] == "org_id",
                    "{table}: the unique key {columns:?} tells that another tenant's row exists"
                );
                seen += 1;
            }
        }
    }
    assert!(seen >= 15, "only {seen} unique keys found");
}
