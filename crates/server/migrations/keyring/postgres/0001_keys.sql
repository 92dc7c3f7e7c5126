-- Wrapped keys. Destroying a row here makes everything sealed under it unreadable, backups of the data included;
-- that is why these rows live apart from the data and have their own, shorter backup horizon.

CREATE TABLE system_keys (
    name TEXT NOT NULL PRIMARY KEY,
    wrapped BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE org_keys (
    org_id TEXT NOT NULL PRIMARY KEY,
    region TEXT NOT NULL,
    wrapped BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE bucket_keys (
    org_id TEXT NOT NULL,
    -- Days since the epoch; 0 for the class that is kept until deleted.
    day BIGINT NOT NULL,
    class TEXT NOT NULL,
    wrapped BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, class, day)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON system_keys, org_keys, bucket_keys TO sealwright_system;
