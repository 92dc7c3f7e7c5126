-- Buckets of request quotas that several nodes share. Here one process owns the store and its memory is enough: the table stays empty,
-- and is there so that both engines have the same tables.
CREATE TABLE quotas (
    bucket BLOB NOT NULL PRIMARY KEY,
    full_at BIGINT NOT NULL,
    granted BIGINT NOT NULL,
    leased_at BIGINT NOT NULL
);
