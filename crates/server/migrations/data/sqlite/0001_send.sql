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
    lookup BLOB NOT NULL UNIQUE,
    digest_sealed BLOB NOT NULL,
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
    private_sealed BLOB NOT NULL,
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
    head_sealed BLOB NOT NULL,
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
    content_sealed BLOB NOT NULL,
    PRIMARY KEY (org_id, day, email_id)
);

CREATE TABLE email_tags (
    org_id TEXT NOT NULL,
    tag_index BLOB NOT NULL,
    email_id TEXT NOT NULL,
    PRIMARY KEY (org_id, tag_index, email_id)
) WITHOUT ROWID;

CREATE TABLE recipients (
    org_id TEXT NOT NULL,
    email_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    kind TEXT NOT NULL,
    -- Keyed hash of the domain: recipients of one destination share a job and a connection.
    destination BIGINT NOT NULL,
    address_index BLOB NOT NULL,
    mailbox_sealed BLOB NOT NULL,
    status TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, email_id, position)
) WITHOUT ROWID;
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
    facts_sealed BLOB,
    PRIMARY KEY (org_id, day, id)
);
CREATE INDEX attempts_by_email ON attempts (org_id, email_id, started_at);

CREATE TABLE events (
    org_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    id TEXT NOT NULL,
    email_id TEXT,
    mode TEXT NOT NULL,
    type TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    body_sealed BLOB NOT NULL,
    PRIMARY KEY (org_id, day, id)
);
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
);
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
    key_index BLOB NOT NULL,
    request_digest BLOB NOT NULL,
    status BIGINT NOT NULL,
    body_sealed BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, key_index)
) WITHOUT ROWID;
