-- What a key is restricted to, when it was used and exposed; what an organization wants done about it; who did what.

ALTER TABLE api_keys ADD COLUMN domain_restrictions TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN ip_restrictions TEXT NOT NULL DEFAULT '';
-- A limit of the key's own: requests in a period.
ALTER TABLE api_keys ADD COLUMN rate_requests BIGINT;
ALTER TABLE api_keys ADD COLUMN rate_period_s BIGINT;
ALTER TABLE api_keys ADD COLUMN replaces TEXT;
ALTER TABLE api_keys ADD COLUMN replaced_by TEXT;
ALTER TABLE api_keys ADD COLUMN exposed_at BIGINT;
ALTER TABLE api_keys ADD COLUMN last_used_at BIGINT;
-- Address and agent of the last use.
ALTER TABLE api_keys ADD COLUMN last_used_sealed BYTEA;
CREATE INDEX api_keys_by_time ON api_keys (org_id, created_at, id);

-- Who is told about keys.
ALTER TABLE orgs ADD COLUMN security_contact_sealed BYTEA;
-- revoke, expire_24h or notify.
ALTER TABLE orgs ADD COLUMN key_exposure_policy TEXT NOT NULL DEFAULT 'expire_24h';
ALTER TABLE orgs ADD COLUMN key_max_age_days BIGINT;
-- Origins whose pages may call with a session; keys never may.
ALTER TABLE orgs ADD COLUMN browser_origins TEXT NOT NULL DEFAULT '';
-- Requests a second of an organization whose plan has no fixed number.
ALTER TABLE orgs ADD COLUMN rate_per_second BIGINT;

CREATE TABLE audit_entries (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail_sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id)
);

-- Keys that were made before are looked after, too: the first reminder comes at 75 days. The owner sees through its own walls for
-- this once; they are raised again at the end of the migration.
ALTER TABLE api_keys NO FORCE ROW LEVEL SECURITY;
ALTER TABLE jobs NO FORCE ROW LEVEL SECURITY;
INSERT INTO jobs (org_id, kind, ref, part, due_at, created_at)
    SELECT org_id, 'key_age', id, 0, created_at + 6480000000000, created_at FROM api_keys WHERE true ON CONFLICT DO NOTHING;

-- Entries are added and read, never changed.
GRANT SELECT, INSERT ON audit_entries TO sealwright_app;
GRANT SELECT (created_at, domain_restrictions, ip_restrictions, rate_requests, rate_period_s) ON api_keys TO sealwright_system;
