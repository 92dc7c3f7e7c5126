//! The second wall: what PostgreSQL itself refuses, found through its catalog so that a new table can't be forgotten.

use super::Neighbours;
use crate::harness::Engine;
use std::collections::BTreeSet;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// Tables without an organization, all of them.
const SHARED: [&str; 10] = [
    "sealwright.nodes",
    "sealwright.quotas",
    "sealwright.schema_versions",
    "sealwright.source_days",
    "sealwright.sts_policies",
    "sealwright.tls_report_sessions",
    "sealwright.tls_reports",
    "sealwright.tls_results",
    "sealwright_keyring.schema_versions",
    "sealwright_keyring.system_keys",
];

/// Every right of the roles that cross organizations, as the migrations grant them. A new one is a decision to review.
const SYSTEM_RIGHTS: [&str; 38] = [
    "sealwright.api_keys(created_at) SELECT",
    "sealwright.api_keys(digest_sealed) SELECT",
    "sealwright.api_keys(domain_restrictions) SELECT",
    "sealwright.api_keys(expires_at) SELECT",
    "sealwright.api_keys(id) SELECT",
    "sealwright.api_keys(ip_restrictions) SELECT",
    "sealwright.api_keys(lookup) SELECT",
    "sealwright.api_keys(mode) SELECT",
    "sealwright.api_keys(org_id) SELECT",
    "sealwright.api_keys(permissions) SELECT",
    "sealwright.api_keys(rate_period_s) SELECT",
    "sealwright.api_keys(rate_requests) SELECT",
    "sealwright.api_keys(revoked_at) SELECT",
    "sealwright.dkim_keys(domain_id) SELECT",
    "sealwright.dkim_keys(org_id) SELECT",
    "sealwright.dkim_keys(public_record) SELECT",
    "sealwright.dkim_keys(selector) SELECT",
    "sealwright.jobs SELECT",
    "sealwright.jobs(attempt) UPDATE",
    "sealwright.jobs(due_at) UPDATE",
    "sealwright.jobs(epoch) UPDATE",
    "sealwright.jobs(lease_owner) UPDATE",
    "sealwright.nodes DELETE,INSERT,SELECT,UPDATE",
    "sealwright.orgs INSERT,SELECT",
    "sealwright.quotas DELETE,INSERT,SELECT,UPDATE",
    "sealwright.schema_versions SELECT",
    "sealwright.source_days DELETE,INSERT,SELECT,UPDATE",
    "sealwright.sts_policies DELETE,INSERT,SELECT,UPDATE",
    "sealwright.tls_report_sessions DELETE,INSERT,SELECT,UPDATE",
    "sealwright.tls_reports DELETE,INSERT,SELECT",
    "sealwright.tls_results DELETE,INSERT,SELECT,UPDATE",
    "sealwright_keyring.bucket_keys DELETE,INSERT,SELECT,UPDATE",
    "sealwright_keyring.org_keys DELETE,INSERT,SELECT,UPDATE",
    "sealwright_keyring.schema_versions SELECT",
    "sealwright_keyring.system_keys DELETE,INSERT,SELECT,UPDATE",
    "function sealwright.ensure_partitions EXECUTE",
    "schema sealwright USAGE",
    "schema sealwright_keyring USAGE",
];

async fn names(client: &Client, sql: &str) -> Vec<String> {
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Tables with an `org_id`, partitions left out.
async fn org_tables(client: &Client) -> Vec<String> {
    names(
        client,
        "SELECT c.relnamespace::regnamespace || '.' || c.relname FROM pg_class c
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id' AND NOT a.attisdropped
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
         AND c.relnamespace::regnamespace::text LIKE 'sealwright%' ORDER BY 1",
    )
    .await
}

async fn partitions(client: &Client) -> Vec<String> {
    names(
        client,
        "SELECT c.relnamespace::regnamespace || '.' || c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE c.relkind IN ('r', 'p') AND c.relnamespace::regnamespace::text LIKE 'sealwright%' ORDER BY 1",
    )
    .await
}

/// Runs a statement that must be refused for want of a right, in a transaction of its own.
async fn is_refused(client: &Client, sql: &str) {
    client.batch_execute("SAVEPOINT here").await.unwrap();
    let outcome = client.query(sql, &[]).await;
    client.batch_execute("ROLLBACK TO here").await.unwrap();
    match outcome {
        Err(error) => assert_eq!(
            error.code(),
            Some(&SqlState::INSUFFICIENT_PRIVILEGE),
            "{sql}: {error:?}"
        ),
        Ok(rows) => panic!("{sql} was allowed and gave {} rows", rows.len()),
    }
}

async fn count(client: &Client, sql: &str) -> i64 {
    client
        .query_one(sql, &[])
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"))
        .get(0)
}

/// A connection of the runtime login inside a transaction as `role`, with `app.org` set unless it is empty.
async fn enter(neighbours: &Neighbours, role: &str, org: &str) -> Client {
    let client = neighbours.house.database.as_ref().unwrap().runtime().await;
    let sql = format!("BEGIN; SET LOCAL ROLE {role};");
    client.batch_execute(&sql).await.unwrap();
    if !org.is_empty() {
        let sql = format!("SELECT set_config('app.org', '{org}', true)");
        client.batch_execute(&sql).await.unwrap();
    }
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inside_an_organization_every_table_shows_and_takes_only_its_rows() {
    let neighbours = Neighbours::move_in(Engine::Postgres).await;
    let superuser = neighbours.house.database.as_ref().unwrap().superuser().await;
    let (ours, theirs) = (
        neighbours.house.account.org.to_string(),
        neighbours.other.org.to_string(),
    );
    let tables = org_tables(&superuser).await;
    assert!(tables.len() >= 15, "{tables:?}");
    let app = enter(&neighbours, "sealwright_app", &ours).await;
    for table in tables {
        for org in [&ours, &theirs] {
            let rows = count(
                &superuser,
                &format!("SELECT count(*) FROM {table} WHERE org_id = '{org}'"),
            )
            .await;
            assert!(
                rows > 0,
                "{table} has no row of {org}: the neighbours have not done everything"
            );
        }
        if table.starts_with("sealwright_keyring.") {
            is_refused(&app, &format!("SELECT 1 FROM {table}")).await;
            continue;
        }
        let own = count(
            &superuser,
            &format!("SELECT count(*) FROM {table} WHERE org_id = '{ours}'"),
        )
        .await;
        assert_eq!(
            count(&app, &format!("SELECT count(*) FROM {table}")).await,
            own,
            "{table} shows other rows too"
        );
        is_refused(
            &app,
            &format!("UPDATE {table} SET org_id = '{theirs}' RETURNING 1"),
        )
        .await;
        // A copy of a row of ours that says it is theirs.
        let copy = format!(
            "INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, to_jsonb(own) || '{{\"org_id\": \"{theirs}\"}}')).*
             FROM {table} own LIMIT 1 RETURNING 1"
        );
        is_refused(&app, &copy).await;
        // Organizations are deleted by nobody, the entries of the audit log neither.
        if ["sealwright.orgs", "sealwright.audit_entries"].contains(&table.as_str()) {
            is_refused(
                &app,
                &format!("DELETE FROM {table} WHERE org_id = '{theirs}' RETURNING 1"),
            )
            .await;
        } else {
            let deleted = app
                .query(
                    &format!("DELETE FROM {table} WHERE org_id = '{theirs}' RETURNING 1"),
                    &[],
                )
                .await
                .unwrap();
            assert_eq!(deleted.len(), 0, "{table}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outside_of_any_organization_no_table_shows_a_row() {
    let neighbours = Neighbours::move_in(Engine::Postgres).await;
    let superuser = neighbours.house.database.as_ref().unwrap().superuser().await;
    // Never set, and set to nothing, as it is after a transaction that had it set.
    for setting in ["", "SELECT set_config('app.org', '', true)"] {
        let app = enter(&neighbours, "sealwright_app", "").await;
        app.batch_execute(setting).await.unwrap();
        for table in org_tables(&superuser)
            .await
            .iter()
            .filter(|table| table.starts_with("sealwright."))
        {
            assert_eq!(
                count(&app, &format!("SELECT count(*) FROM {table}")).await,
                0,
                "{table}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_named_directly_is_refused() {
    let neighbours = Neighbours::move_in(Engine::Postgres).await;
    let superuser = neighbours.house.database.as_ref().unwrap().superuser().await;
    let partitions = partitions(&superuser).await;
    assert!(partitions.len() >= 27, "{partitions:?}");
    let ours = neighbours.house.account.org.to_string();
    for role in ["sealwright_app", "sealwright_system"] {
        let client = enter(&neighbours, role, &ours).await;
        for partition in &partitions {
            is_refused(&client, &format!("SELECT 1 FROM {partition}")).await;
            is_refused(&client, &format!("DELETE FROM {partition} RETURNING 1")).await;
            is_refused(
                &client,
                &format!("UPDATE {partition} SET org_id = org_id RETURNING 1"),
            )
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_with_an_organization_is_forced_behind_row_level_security() {
    let neighbours = Neighbours::move_in(Engine::Postgres).await;
    let client = neighbours.house.database.as_ref().unwrap().superuser().await;
    let open = names(
        &client,
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id'
         WHERE c.relkind IN ('r', 'p') AND c.relnamespace::regnamespace::text LIKE 'sealwright%'
         AND NOT (c.relrowsecurity AND c.relforcerowsecurity)",
    )
    .await;
    assert!(open.is_empty(), "not behind forced row-level security: {open:?}");
    let unruled = names(
        &client,
        "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
         AND c.relnamespace::regnamespace::text LIKE 'sealwright%' AND c.relrowsecurity
         AND (SELECT array_agg(polname::text ORDER BY polname) FROM pg_policy p WHERE p.polrelid = c.oid)
             IS DISTINCT FROM ARRAY['across_organizations', 'inside_organization']",
    )
    .await;
    assert!(
        unruled.is_empty(),
        "without exactly the two policies: {unruled:?}"
    );
    let mut shared = names(
        &client,
        "SELECT c.relnamespace::regnamespace || '.' || c.relname FROM pg_class c
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relnamespace::regnamespace::text LIKE 'sealwright%'
         AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'org_id')",
    )
    .await;
    shared.sort();
    assert_eq!(shared, SHARED, "a table without org_id belongs to everybody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runtime_roles_own_nothing_and_pass_no_wall() {
    let neighbours = Neighbours::move_in(Engine::Postgres).await;
    let client = neighbours.house.database.as_ref().unwrap().superuser().await;
    let runtime = "('sealwright_app', 'sealwright_system', 'sealwright_runtime')";
    let roles = names(
        &client,
        &format!("SELECT rolname::text FROM pg_roles WHERE rolname IN {runtime}"),
    )
    .await;
    assert_eq!(roles.len(), 3);
    let strong = names(
        &client,
        &format!(
            "SELECT rolname::text FROM pg_roles WHERE rolname IN {runtime}
             AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)"
        ),
    )
    .await;
    assert!(strong.is_empty(), "{strong:?} may do too much");
    for (catalog, owner) in [
        ("pg_class", "relowner"),
        ("pg_proc", "proowner"),
        ("pg_namespace", "nspowner"),
        ("pg_type", "typowner"),
    ] {
        let sql = format!(
            "SELECT count(*) FROM {catalog} c JOIN pg_roles r ON r.oid = c.{owner} WHERE r.rolname IN {runtime}"
        );
        assert_eq!(
            count(&client, &sql).await,
            0,
            "a runtime role owns something in {catalog}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn across_organizations_nothing_is_allowed_beyond_what_the_migrations_grant() {
    let neighbours = Neighbours::move_in(Engine::Postgres).await;
    let client = neighbours.house.database.as_ref().unwrap().superuser().await;
    let granted: BTreeSet<String> = names(
        &client,
        "SELECT name || ' ' || string_agg(privilege, ',' ORDER BY privilege) FROM (
             SELECT c.relnamespace::regnamespace || '.' || c.relname AS name, a.privilege_type AS privilege, a.grantee
             FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace::regnamespace::text LIKE 'sealwright%'
             UNION ALL
             SELECT c.relnamespace::regnamespace || '.' || c.relname || '(' || t.attname || ')', a.privilege_type, a.grantee
             FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
             WHERE c.relnamespace::regnamespace::text LIKE 'sealwright%'
             UNION ALL
             SELECT 'function ' || p.pronamespace::regnamespace || '.' || p.proname, a.privilege_type, a.grantee
             FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
             WHERE p.pronamespace::regnamespace::text LIKE 'sealwright%'
             UNION ALL
             SELECT 'schema ' || n.nspname, a.privilege_type, a.grantee
             FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname LIKE 'sealwright%'
         ) AS rights WHERE grantee = 0 OR grantee = 'sealwright_system'::regrole GROUP BY name",
    )
    .await
    .into_iter()
    .collect();
    let expected: BTreeSet<String> = SYSTEM_RIGHTS.iter().map(|right| (*right).to_owned()).collect();
    assert_eq!(granted, expected);
    let system = enter(&neighbours, "sealwright_system", "").await;
    for table in [
        "emails",
        "email_contents",
        "recipients",
        "attempts",
        "events",
        "idempotency",
        "webhooks",
        "webhook_deliveries",
        "webhook_attempts",
        "domains",
        "email_tags",
        "members",
        "session_issuers",
    ] {
        is_refused(&system, &format!("SELECT 1 FROM sealwright.{table}")).await;
    }
    is_refused(&system, "SELECT name FROM sealwright.api_keys").await;
    is_refused(&system, "SELECT private_sealed FROM sealwright.dkim_keys").await;
    is_refused(&system, "UPDATE sealwright.jobs SET org_id = org_id RETURNING 1").await;
    is_refused(&system, "DELETE FROM sealwright.jobs RETURNING 1").await;
}
