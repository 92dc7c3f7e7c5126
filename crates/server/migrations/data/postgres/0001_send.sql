-- Everything that one accepted e-mail needs: tenant, key, domain, message, queue, timeline.
-- Times are unix microseconds, days are days since the epoch, *_sealed columns are opened only by the vault,
-- *_index columns are blind indexes (keyed hashes). Each key begins with org_id, so that no key tells of another tenant's rows.

CREATE TABLE orgs (
    org_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    plan TEXT NOT NULL,
    region TEXT NOT NULL,
    -- How many webhook endpoints listen; an event of an organization without listeners makes no job.
    listeners BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL
);

CREATE TABLE api_keys (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    mode TEXT NOT NULL,
    prefix TEXT NOT NULL,
    last_four TEXT NOT NULL,
    -- HMAC-SHA-256(pepper, SHA-256(key)); not chosen by a caller, so it may be unique across tenants.
    lookup BYTEA NOT NULL UNIQUE,
    digest_sealed BYTEA NOT NULL,
    permissions TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    PRIMARY KEY (org_id, id)
);

CREATE TABLE domains (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    verified_at BIGINT,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, name)
);

CREATE TABLE dkim_keys (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    domain_id TEXT NOT NULL,
    selector TEXT NOT NULL,
    public_record TEXT NOT NULL,
    private_sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, domain_id, selector)
);

CREATE TABLE emails (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    mode TEXT NOT NULL,
    status TEXT NOT NULL,
    key_id TEXT NOT NULL,
    head_sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE INDEX emails_by_time ON emails (org_id, mode, created_at, id);

-- Apart from emails because it is forgotten earlier.
CREATE TABLE email_contents (
    org_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    email_id TEXT NOT NULL,
    content_sealed BYTEA NOT NULL,
    PRIMARY KEY (org_id, day, email_id)
) PARTITION BY RANGE (day);

CREATE TABLE email_tags (
    org_id TEXT NOT NULL,
    tag_index BYTEA NOT NULL,
    email_id TEXT NOT NULL,
    PRIMARY KEY (org_id, tag_index, email_id)
);

CREATE TABLE recipients (
    org_id TEXT NOT NULL,
    email_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    kind TEXT NOT NULL,
    -- Keyed hash of the domain: recipients of one destination share a job and a connection.
    destination BIGINT NOT NULL,
    address_index BYTEA NOT NULL,
    mailbox_sealed BYTEA NOT NULL,
    status TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, email_id, position)
);
CREATE INDEX recipients_by_address ON recipients (org_id, address_index, email_id);

CREATE TABLE attempts (
    org_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    id TEXT NOT NULL,
    email_id TEXT NOT NULL,
    destination BIGINT NOT NULL,
    number BIGINT NOT NULL,
    -- started: everything but the final dot may have left; then finished, or in_doubt when no reply was recorded.
    state TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    facts_sealed BYTEA,
    PRIMARY KEY (org_id, day, id)
) PARTITION BY RANGE (day);
CREATE INDEX attempts_by_email ON attempts (org_id, email_id, started_at);

CREATE TABLE events (
    org_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    id TEXT NOT NULL,
    email_id TEXT,
    mode TEXT NOT NULL,
    type TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    body_sealed BYTEA NOT NULL,
    PRIMARY KEY (org_id, day, id)
) PARTITION BY RANGE (day);
CREATE INDEX events_by_email ON events (org_id, email_id, id);

-- Work to do later. A job is due when nobody holds its lease and its time has come; epoch fences a holder that was replaced.
CREATE TABLE jobs (
    org_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    ref TEXT NOT NULL,
    part BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    attempt BIGINT NOT NULL DEFAULT 0,
    epoch BIGINT NOT NULL DEFAULT 0,
    lease_owner TEXT,
    -- The attempt whose effect may have left but whose outcome is not recorded yet.
    started_attempt TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, kind, ref, part)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);
CREATE INDEX jobs_due ON jobs (kind, due_at) WHERE lease_owner IS NULL;
CREATE INDEX jobs_leased ON jobs (lease_owner) WHERE lease_owner IS NOT NULL;

-- Running processes; a lease is good as long as its owner's row is.
CREATE TABLE nodes (
    id TEXT NOT NULL PRIMARY KEY,
    alive_until BIGINT NOT NULL
);

CREATE TABLE idempotency (
    org_id TEXT NOT NULL,
    -- Keyed hash of the caller's key, which may say something about a person.
    key_index BYTEA NOT NULL,
    request_digest BYTEA NOT NULL,
    status BIGINT NOT NULL,
    body_sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, key_index)
);

-- Creates the partitions of the given days and takes every runtime right off them. Runs with the owner's rights, because the
-- runtime roles own nothing; what it may do is fixed here.
CREATE FUNCTION ensure_partitions(first_day BIGINT, last_day BIGINT) RETURNS BIGINT
LANGUAGE plpgsql SECURITY DEFINER SET search_path = sealwright, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    parent TEXT;
    partition TEXT;
    made BIGINT := 0;
BEGIN
    IF last_day - first_day > 366 THEN
        RAISE EXCEPTION 'at most 366 days at once';
    END IF;
    FOREACH parent IN ARRAY ARRAY['email_contents', 'attempts', 'events'] LOOP
        FOR day IN first_day..last_day LOOP
            partition := parent || '_' || day;
            CONTINUE WHEN to_regclass(partition) IS NOT NULL;
            -- Attaching locks the parent less than creating in place does. A day that can't be made (its rows are in the default
            -- partition already, or a lock is not to be had) does not stop the others.
            BEGIN
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING STORAGE)', partition, parent);
                EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', partition);
                EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', partition);
                EXECUTE format('REVOKE ALL ON %I FROM PUBLIC, sealwright_app, sealwright_system', partition);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', parent, partition, day, day + 1);
                made := made + 1;
            EXCEPTION WHEN check_violation OR lock_not_available THEN
                RAISE WARNING 'partition % could not be made: %', partition, SQLERRM;
            END;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;
REVOKE ALL ON FUNCTION ensure_partitions(BIGINT, BIGINT) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_partitions(BIGINT, BIGINT) TO sealwright_system;

-- A row whose day has no partition yet is kept rather than refused: mail that was accepted is never lost to a late job.
CREATE TABLE email_contents_other PARTITION OF email_contents DEFAULT;
CREATE TABLE attempts_other PARTITION OF attempts DEFAULT;
CREATE TABLE events_other PARTITION OF events DEFAULT;

-- Sealed bodies don't compress; moving them out of line without trying saves time on each insert.
ALTER TABLE email_contents ALTER COLUMN content_sealed SET STORAGE EXTERNAL;

GRANT SELECT, INSERT, UPDATE, DELETE ON api_keys, domains, dkim_keys, emails, email_contents, email_tags, recipients, attempts, events,
    jobs, idempotency TO sealwright_app;
GRANT SELECT, UPDATE ON orgs TO sealwright_app;
-- The system purposes, and no column more: find a key, lease jobs, manage organizations.
GRANT SELECT (org_id, id, mode, lookup, digest_sealed, permissions, expires_at, revoked_at) ON api_keys TO sealwright_system;
GRANT SELECT, UPDATE (lease_owner, epoch, attempt) ON jobs TO sealwright_system;
GRANT SELECT, INSERT, UPDATE, DELETE ON nodes TO sealwright_system;
GRANT SELECT, INSERT ON orgs TO sealwright_system;
