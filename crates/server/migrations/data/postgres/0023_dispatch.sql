-- How an endpoint is called, in which order, what became of each request, and when it is called no more.

ALTER TABLE webhooks ADD COLUMN min_tls TEXT NOT NULL DEFAULT '1.3';
-- Deliveries about one message wait for those before them.
ALTER TABLE webhooks ADD COLUMN is_ordered BIGINT NOT NULL DEFAULT 1;
-- Header fields and credentials of its own.
ALTER TABLE webhooks ADD COLUMN request_sealed BYTEA;
-- The secret before this one, which signs too until then.
ALTER TABLE webhooks ADD COLUMN previous_secret_sealed BYTEA;
ALTER TABLE webhooks ADD COLUMN previous_until BIGINT;
-- The number of the last delivery.
ALTER TABLE webhooks ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0;
-- Since when nothing was taken.
ALTER TABLE webhooks ADD COLUMN failing_since BIGINT;
ALTER TABLE webhooks ADD COLUMN disabled_reason TEXT;
-- A replay that is under way: events from here on, until then, and which.
ALTER TABLE webhooks ADD COLUMN replay_at TEXT;
ALTER TABLE webhooks ADD COLUMN replay_until TEXT;
ALTER TABLE webhooks ADD COLUMN replay_of TEXT;

ALTER TABLE webhook_deliveries ADD COLUMN email_id TEXT;
ALTER TABLE webhook_deliveries ADD COLUMN type TEXT NOT NULL DEFAULT '';
ALTER TABLE webhook_deliveries ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0;
CREATE INDEX webhook_deliveries_by_sequence ON webhook_deliveries (org_id, webhook_id, sequence);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (org_id, webhook_id, created_at) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_in_order ON webhook_deliveries (org_id, webhook_id, email_id, sequence)
    WHERE status = 'pending' AND email_id IS NOT NULL;

CREATE TABLE webhook_attempts (
    org_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    delivery_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    webhook_id TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    finished_at BIGINT NOT NULL,
    response_code BIGINT,
    error TEXT,
    -- The request as it was signed, and what was answered.
    log_sealed BYTEA NOT NULL,
    PRIMARY KEY (org_id, day, delivery_id, number)
);
CREATE INDEX webhook_attempts_of_delivery ON webhook_attempts (org_id, delivery_id, number);

GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_attempts TO sealwright_app;
