//! Schemas: numbered migrations, the same number and name on both engines, forward only.
//!
//! On PostgreSQL every migration ends with [`raise_walls`]: each table with an `org_id` column gets forced row-level security,
//! the runtime role loses every right on partitions (a policy on the parent does not protect a partition that is named directly).

use super::StoreError;
use rusqlite::OptionalExtension as _;

/// The role that runs an organization's statements.
pub(super) const APP_ROLE: &str = "sealwright_app";
/// The role that runs statements across organizations; it has only the rights that a migration grants it.
pub(super) const SYSTEM_ROLE: &str = "sealwright_system";

/// One step of a schema.
#[derive(Debug)]
pub struct Migration {
    /// What it brings, as in its file name.
    pub name: &'static str,
    /// Text for SQLite.
    pub sqlite: &'static str,
    /// Text for PostgreSQL.
    pub postgres: &'static str,
}

/// All steps of one database, in order; step *n* leads to version *n*.
#[derive(Debug)]
pub struct Schema {
    /// Name of the PostgreSQL schema.
    pub name: &'static str,
    /// The steps.
    pub migrations: &'static [Migration],
}

macro_rules! migration {
    ($folder:literal, $name:literal) => {
        Migration {
            name: $name,
            sqlite: include_str!(concat!(
                "../../../migrations/",
                $folder,
                "/sqlite/",
                $name,
                ".sql"
            )),
            postgres: include_str!(concat!(
                "../../../migrations/",
                $folder,
                "/postgres/",
                $name,
                ".sql"
            )),
        }
    };
}

impl Schema {
    /// Organizations' rows.
    pub const DATA: Schema = Schema {
        name: "sealwright",
        migrations: &[
            migration!("data", "0001_send"),
            migration!("data", "0002_webhooks"),
            migration!("data", "0003_keys"),
            migration!("data", "0004_quota"),
            migration!("data", "0005_people"),
            migration!("data", "0006_domains"),
            migration!("data", "0007_lanes"),
            migration!("data", "0008_suppressions"),
            migration!("data", "0009_returns"),
            migration!("data", "0010_schedule"),
            migration!("data", "0011_usage"),
            migration!("data", "0012_transport"),
            migration!("data", "0013_queue"),
            migration!("data", "0014_streams"),
            migration!("data", "0015_templates"),
            migration!("data", "0016_relays"),
            migration!("data", "0017_routes"),
            migration!("data", "0018_feeds"),
            migration!("data", "0019_tls_results"),
            migration!("data", "0020_sources"),
            migration!("data", "0021_tls_reports"),
            migration!("data", "0022_reputation"),
            migration!("data", "0023_dispatch"),
        ],
    };
    /// Wrapped keys, apart from the rows they open.
    pub const KEYRING: Schema = Schema {
        name: "sealwright_keyring",
        migrations: &[migration!("keyring", "0001_keys")],
    };

    /// The version this program uses.
    pub const fn version(&self) -> usize {
        self.migrations.len()
    }

    fn refuse_newer(&self, version: usize) -> Result<(), StoreError> {
        if version <= self.version() {
            return Ok(());
        }
        let newest = self.version();
        Err(StoreError::Schema(format!(
            "schema {} is at version {version}, this program knows up to {newest}; start a newer sealwright",
            self.name
        )))
    }

    fn refuse_older(&self, version: usize) -> Result<(), StoreError> {
        if version == self.version() {
            return Ok(());
        }
        let wanted = self.version();
        Err(StoreError::Schema(format!(
            "schema {} is at version {version}, this program needs {wanted}; run `sealwright migrate`",
            self.name
        )))
    }
}

/// What a migration did.
#[derive(Debug, Clone)]
pub struct MigrationReport {
    /// The schema.
    pub schema: &'static str,
    /// Version found.
    pub from: usize,
    /// Version now.
    pub to: usize,
}

pub(super) fn migrate_sqlite(
    connection: &mut rusqlite::Connection,
    schema: &'static Schema,
) -> Result<MigrationReport, StoreError> {
    let failed =
        |error: rusqlite::Error| StoreError::Schema(format!("migration of {} failed: {error}", schema.name));
    let tx = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(failed)?;
    let from = sqlite_version(&tx).map_err(failed)?;
    schema.refuse_newer(from)?;
    for (index, migration) in schema.migrations.iter().enumerate().skip(from) {
        tx.execute_batch(migration.sqlite).map_err(failed)?;
        tx.pragma_update(None, "user_version", index as i64 + 1)
            .map_err(failed)?;
    }
    tx.commit().map_err(failed)?;
    Ok(MigrationReport {
        schema: schema.name,
        from,
        to: schema.version(),
    })
}

fn sqlite_version(connection: &rusqlite::Connection) -> rusqlite::Result<usize> {
    let version = connection
        .query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(usize::try_from(version.unwrap_or(0)).unwrap_or(usize::MAX))
}

pub(super) fn check_sqlite(
    connection: &rusqlite::Connection,
    schema: &'static Schema,
) -> Result<(), StoreError> {
    let version = sqlite_version(connection).map_err(|error| StoreError::Schema(error.to_string()))?;
    schema.refuse_newer(version)?;
    schema.refuse_older(version)
}

/// Key of the advisory lock that lets one node migrate at a time.
const MIGRATION_LOCK: i64 = 0x5ea1_0001;

pub(super) async fn migrate_postgres(
    client: &mut tokio_postgres::Client,
    schema: &'static Schema,
) -> Result<MigrationReport, StoreError> {
    let failed = |error: tokio_postgres::Error| {
        let reason = error
            .as_db_error()
            .map_or_else(|| error.to_string(), ToString::to_string);
        StoreError::Schema(format!("migration of {} failed: {reason}", schema.name))
    };
    // A schema that is current is left alone: raising its walls again would lock every table.
    if postgres_version(client).await? == schema.version() {
        return Ok(MigrationReport {
            schema: schema.name,
            from: schema.version(),
            to: schema.version(),
        });
    }
    let tx = client.transaction().await.map_err(failed)?;
    tx.batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'")
        .await
        .map_err(failed)?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK])
        .await
        .map_err(failed)?;
    tx.batch_execute(&prologue(schema.name)).await.map_err(failed)?;
    let found = tx
        .query_one("SELECT coalesce(max(version), 0) FROM schema_versions", &[])
        .await
        .map_err(failed)?;
    let from = usize::try_from(found.get::<_, i64>(0)).unwrap_or(usize::MAX);
    schema.refuse_newer(from)?;
    for (index, migration) in schema.migrations.iter().enumerate().skip(from) {
        tx.batch_execute(migration.postgres).await.map_err(failed)?;
        let insert = "INSERT INTO schema_versions (version, name) VALUES ($1, $2)";
        tx.execute(insert, &[&(index as i64 + 1), &migration.name])
            .await
            .map_err(failed)?;
    }
    tx.batch_execute(&raise_walls(schema.name))
        .await
        .map_err(failed)?;
    tx.commit().await.map_err(failed)?;
    Ok(MigrationReport {
        schema: schema.name,
        from,
        to: schema.version(),
    })
}

pub(super) async fn check_postgres(
    client: &tokio_postgres::Client,
    schema: &'static Schema,
) -> Result<(), StoreError> {
    let version = postgres_version(client).await?;
    schema.refuse_newer(version)?;
    schema.refuse_older(version)
}

/// 0 when there is no such schema yet.
async fn postgres_version(client: &tokio_postgres::Client) -> Result<usize, StoreError> {
    match client
        .query_one("SELECT coalesce(max(version), 0) FROM schema_versions", &[])
        .await
    {
        Ok(row) => Ok(usize::try_from(row.get::<_, i64>(0)).unwrap_or(usize::MAX)),
        Err(error) if error.as_db_error().is_some() => Ok(0),
        Err(error) => Err(StoreError::Unavailable(error.to_string())),
    }
}

/// Roles, schema and version table. Roles have no login: the runtime login is made a member of both.
fn prologue(schema: &str) -> String {
    let role = |name: &str| {
        format!(
            "IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') THEN
                 CREATE ROLE {name} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
             END IF;
             -- Also for who made the role: from PostgreSQL 16 on, making a role does not include the right to act as it. An owner who may
             -- not grant it has been made a member by somebody else, or the check at the start says what is missing.
             BEGIN
                 EXECUTE format('GRANT {name} TO %I', current_user);
             EXCEPTION WHEN insufficient_privilege THEN NULL;
             END;"
        )
    };
    format!(
        "DO $$ BEGIN {} {} END $$;
         CREATE SCHEMA IF NOT EXISTS {schema};
         SET LOCAL search_path = {schema};
         CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT PRIMARY KEY, name TEXT NOT NULL);
         GRANT USAGE ON SCHEMA {schema} TO {APP_ROLE}, {SYSTEM_ROLE};
         GRANT SELECT ON schema_versions TO {APP_ROLE}, {SYSTEM_ROLE};",
        role(APP_ROLE),
        role(SYSTEM_ROLE)
    )
}

/// Forces row-level security on every table with an `org_id` and takes every runtime right off partitions.
/// The system role's policy is open, its rights are those that a migration granted.
fn raise_walls(schema: &str) -> String {
    format!(
        "DO $$
         DECLARE t record;
         BEGIN
             FOR t IN
                 SELECT c.oid::regclass AS name, c.relispartition AS is_partition
                 FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id' AND NOT a.attisdropped
                 WHERE c.relnamespace = '{schema}'::regnamespace AND c.relkind IN ('r', 'p')
             LOOP
                 EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t.name);
                 EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t.name);
                 IF t.is_partition THEN
                     EXECUTE format('REVOKE ALL ON %s FROM PUBLIC, {APP_ROLE}, {SYSTEM_ROLE}', t.name);
                 ELSE
                     EXECUTE format('DROP POLICY IF EXISTS inside_organization ON %s', t.name);
                     EXECUTE format('CREATE POLICY inside_organization ON %s TO {APP_ROLE}
                         USING (org_id = NULLIF(current_setting(''app.org'', true), ''''))
                         WITH CHECK (org_id = NULLIF(current_setting(''app.org'', true), ''''))', t.name);
                     EXECUTE format('DROP POLICY IF EXISTS across_organizations ON %s', t.name);
                     EXECUTE format('CREATE POLICY across_organizations ON %s TO {SYSTEM_ROLE} USING (true) WITH CHECK (true)', t.name);
                 END IF;
             END LOOP;
         END $$;"
    )
}
