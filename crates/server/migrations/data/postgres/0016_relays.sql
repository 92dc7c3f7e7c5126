-- Accounts at other providers that carry mail for an organization.

CREATE TABLE relays (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- resend, postmark, ses, sendgrid or mailgun; some have regions, some an API for each domain.
    provider TEXT NOT NULL,
    region TEXT,
    sending_domain TEXT,
    -- Lower ones first; those of one priority share by weight.
    priority BIGINT NOT NULL,
    weight BIGINT NOT NULL,
    -- Whose mail it carries: names apart by spaces, empty for all.
    domains TEXT NOT NULL,
    is_enabled BIGINT NOT NULL,
    -- Since when the provider does not take the credentials.
    failing_since BIGINT,
    credentials_sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON relays TO sealwright_app;
