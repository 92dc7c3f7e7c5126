-- Buckets of request quotas that several nodes share. A row is one instant by the database's clock: when the bucket is full again.
-- bucket is a hash of an organization's or a key's id, which no caller chooses. Losing the table only fills every bucket, so it is not
-- logged: a lease then writes no WAL and waits for no disk. There is room on each page to update in place.
CREATE UNLOGGED TABLE quotas (
    bucket BYTEA NOT NULL PRIMARY KEY,
    full_at BIGINT NOT NULL,
    -- What the last lease took, and when.
    granted BIGINT NOT NULL,
    leased_at BIGINT NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01);

GRANT SELECT, INSERT, UPDATE, DELETE ON quotas TO sealwright_system;
