-- Webhook endpoints and their deliveries.

CREATE TABLE webhooks (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    mode TEXT NOT NULL,
    url_sealed BYTEA NOT NULL,
    description TEXT,
    events TEXT NOT NULL,
    secret_sealed BYTEA NOT NULL,
    status TEXT NOT NULL,
    failure_count BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id)
);

CREATE TABLE webhook_deliveries (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    webhook_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    response_code BIGINT,
    error TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id),
    -- Fanning an event out twice must not deliver it twice.
    UNIQUE (org_id, webhook_id, event_id)
);
CREATE INDEX webhook_deliveries_latest ON webhook_deliveries (org_id, webhook_id, updated_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON webhooks, webhook_deliveries TO sealwright_app;
