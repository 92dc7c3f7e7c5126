-- What came back of an e-mail after it had left: each recipient's bounce and complaint, once.

CREATE TABLE returns (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    email_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    -- bounced or complained.
    kind TEXT NOT NULL,
    -- The reporter's own words, without the message that they bring back.
    report_sealed BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, email_id, position, kind)
);

-- A return path has room for the last ten digits of an organization's id only.
CREATE INDEX orgs_by_end ON orgs (substr(org_id, 21));
