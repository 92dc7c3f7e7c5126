-- Addresses that are not written to, for live and test mail apart.

CREATE TABLE suppressions (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    mode TEXT NOT NULL,
    -- hard_bounces, complaints, unsubscribes or manual.
    type TEXT NOT NULL,
    -- As in recipients, so that each is found by the other.
    address_index BLOB NOT NULL,
    address_sealed BLOB NOT NULL,
    reason_sealed BLOB,
    -- The e-mail whose outcome it was.
    email_id TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, mode, address_index)
);
CREATE INDEX suppressions_by_type ON suppressions (org_id, mode, type, id);
