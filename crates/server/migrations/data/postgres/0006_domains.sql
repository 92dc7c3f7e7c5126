-- What the DNS shows of a domain, and the keys that take turns in signing for it.

ALTER TABLE domains ADD COLUMN checked_at BIGINT;
-- What was found, record by record, as JSON: all of it is public in the DNS.
ALTER TABLE domains ADD COLUMN findings TEXT NOT NULL DEFAULT '[]';
-- Since when the key that signs is not to be seen.
ALTER TABLE domains ADD COLUMN missing_since BIGINT;
-- Taken for verified on the operator's word: the DNS is not asked.
ALTER TABLE domains ADD COLUMN is_assumed BIGINT NOT NULL DEFAULT 0;
-- Whether mail bears a second signature.
ALTER TABLE domains ADD COLUMN has_ed25519 BIGINT NOT NULL DEFAULT 0;
-- Mail that was accepted before still has to be signed, so the row stays for a while.
ALTER TABLE domains ADD COLUMN deleted_at BIGINT;
CREATE INDEX domains_by_time ON domains (org_id, created_at, id);

-- rsa or ed25519.
ALTER TABLE dkim_keys ADD COLUMN algorithm TEXT NOT NULL DEFAULT 'rsa';
-- Empty while the key is published and waits for its turn.
ALTER TABLE dkim_keys ADD COLUMN signing_since BIGINT;

-- The owner sees through its own walls for this once; they are raised again at the end of the migration.
ALTER TABLE domains NO FORCE ROW LEVEL SECURITY;
ALTER TABLE dkim_keys NO FORCE ROW LEVEL SECURITY;
ALTER TABLE jobs NO FORCE ROW LEVEL SECURITY;
UPDATE dkim_keys SET signing_since = created_at;

-- Domains that were added before are looked after, too.
INSERT INTO jobs (org_id, kind, ref, part, due_at, created_at)
    SELECT org_id, 'domain_check', id, 0, created_at, created_at FROM domains WHERE true ON CONFLICT DO NOTHING;

-- The zone of the installation names the keys of all organizations; their private halves are none of its business.
GRANT SELECT (org_id, domain_id, selector, public_record) ON dkim_keys TO sealwright_system;
