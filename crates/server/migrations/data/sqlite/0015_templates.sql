-- Templates of e-mails, and each version of what they say.

CREATE TABLE templates (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The version that mail is made from, and the last one that was made.
    active_version BIGINT NOT NULL,
    latest_version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id)
);

CREATE TABLE template_versions (
    org_id TEXT NOT NULL,
    template_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    source_sealed BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, template_id, version)
);
