-- Addresses that are not written to, for live and test mail apart.

CREATE TABLE suppressions (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    mode TEXT NOT NULL,
    -- hard_bounces, complaints, unsubscribes or manual.
    type TEXT NOT NULL,
    -- As in recipients, so that each is found by the other.
    address_index BYTEA NOT NULL,
    address_sealed BYTEA NOT NULL,
    reason_sealed BYTEA,
    -- The e-mail whose outcome it was.
    email_id TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, mode, address_index)
);
CREATE INDEX suppressions_by_type ON suppressions (org_id, mode, type, id);

-- A suppression is never changed: what is known of it is what was known when it was made.
GRANT SELECT, INSERT, DELETE ON suppressions TO sealwright_app;
