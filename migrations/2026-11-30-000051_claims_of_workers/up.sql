-- The batches that each service works on, for the operator's page.
ALTER TABLE worker_presence
    ADD COLUMN batch_kinds text[] NOT NULL DEFAULT '{}',
    ADD COLUMN batch_rows bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN batch_seconds double precision[] NOT NULL DEFAULT '{}',
    ADD COLUMN claimed_at timestamptz;
COMMENT ON COLUMN worker_presence.batch_kinds IS 'The kind of each batch that ran at seen_at';
COMMENT ON COLUMN worker_presence.batch_rows IS 'The raw rows of each of these batches';
COMMENT ON COLUMN worker_presence.batch_seconds IS 'For how long each of these batches had run';
COMMENT ON COLUMN worker_presence.claimed_at IS 'When the service claimed its last batch; NULL if it has claimed none';
