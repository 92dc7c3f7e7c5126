-- Providers tell of mail after they took it.

-- What shows that it is the provider who tells; without it nothing is heard.
ALTER TABLE relays ADD COLUMN feed_secret_sealed BYTEA;
