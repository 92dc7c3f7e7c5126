-- Whose session tokens an organization trusts, and who may act for it.

CREATE TABLE session_issuers (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    -- As in `iss` and `aud` of its tokens.
    name TEXT NOT NULL,
    audience TEXT NOT NULL,
    -- HS256, RS256 or ES256: the only one that its tokens may be signed with.
    algorithm TEXT NOT NULL,
    -- The secret of HS256, or where the others' keys are published. The latter is public by its nature.
    secret_sealed BYTEA,
    jwks_url TEXT,
    requires_nbf BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, name)
);

CREATE TABLE members (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    -- The row and not the name of an issuer: who comes later by the same name inherits nobody.
    issuer_id TEXT NOT NULL,
    subject_index BYTEA NOT NULL,
    subject_sealed BYTEA NOT NULL,
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, issuer_id, subject_index)
);
CREATE INDEX members_by_time ON members (org_id, created_at, id);

-- An issuer is never changed: its members would be another's.
GRANT SELECT, INSERT, DELETE ON session_issuers TO sealwright_app;
GRANT SELECT, INSERT, DELETE, UPDATE (role) ON members TO sealwright_app;
