-- Mail that is to leave later.

-- When it is to leave; empty when that was at once. Its content lies at that day, so that it is not forgotten before it was sent.
ALTER TABLE emails ADD COLUMN scheduled_at BIGINT;
