-- How mail has to travel, and what receiving domains demand of the way to them.

-- opportunistic or required.
ALTER TABLE domains ADD COLUMN tls TEXT NOT NULL DEFAULT 'opportunistic';
ALTER TABLE emails ADD COLUMN tls TEXT NOT NULL DEFAULT 'opportunistic';

-- Policies (MTA-STS) that were fetched and hold until they expire. They are every sender's, so they are no organization's.
-- destination is a keyed hash of the domain.
CREATE TABLE sts_policies (
    destination BIGINT NOT NULL PRIMARY KEY,
    policy_sealed BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sts_policies_by_expiry ON sts_policies (expires_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON sts_policies TO sealwright_system;
