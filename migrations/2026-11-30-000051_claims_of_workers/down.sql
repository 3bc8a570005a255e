ALTER TABLE worker_presence
    DROP COLUMN batch_kinds,
    DROP COLUMN batch_rows,
    DROP COLUMN batch_seconds,
    DROP COLUMN claimed_at;
