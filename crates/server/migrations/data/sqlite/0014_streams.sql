-- Mail that can wait for other mail.

-- 0, or 1 for what leaves after all that is 0.
ALTER TABLE jobs ADD COLUMN priority BIGINT NOT NULL DEFAULT 0;
DROP INDEX jobs_due;
CREATE INDEX jobs_due ON jobs (kind, priority, due_at) WHERE lease_owner IS NULL AND held_at IS NULL;
