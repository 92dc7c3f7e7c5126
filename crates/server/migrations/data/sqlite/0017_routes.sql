-- Mail may leave through relays.

-- Which way may have taken a job's mail: direct, or a relay's id. It stands here before the effect, and stays while that is in doubt.
ALTER TABLE jobs ADD COLUMN started_via TEXT;
-- direct, relay, direct_then_relay or relay_then_direct.
ALTER TABLE domains ADD COLUMN route TEXT NOT NULL DEFAULT 'direct';
