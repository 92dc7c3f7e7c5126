-- The operator's hand on the queue.

-- Since when the operator holds it; nobody leases it until it is let go.
ALTER TABLE jobs ADD COLUMN held_at BIGINT;
DROP INDEX jobs_due;
CREATE INDEX jobs_due ON jobs (kind, due_at) WHERE lease_owner IS NULL AND held_at IS NULL;

-- What goes on and was told; the row goes when it is over.
CREATE TABLE alerts (
    org_id TEXT NOT NULL,
    name TEXT NOT NULL,
    fired_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, name)
) WITHOUT ROWID;
