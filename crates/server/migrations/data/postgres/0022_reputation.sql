-- What became of a domain's mail, for its reputation.

-- Empty for mail that was accepted before: whose it is stands only in what is sealed.
ALTER TABLE emails ADD COLUMN domain_id TEXT;
CREATE INDEX emails_by_domain ON emails (org_id, domain_id, created_at, id) WHERE mode = 'live' AND domain_id IS NOT NULL;
-- Complaints are few: they are found first, and their mail after them.
CREATE INDEX returns_by_time ON returns (org_id, kind, created_at);
