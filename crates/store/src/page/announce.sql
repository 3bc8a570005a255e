WITH old AS (
    DELETE FROM worker_presence
    WHERE seen_at < now() - interval '1 day' AND worker <> :worker
), seen AS (
    INSERT INTO worker_presence (worker, version, seen_at, started_at, seen_every, concurrency,
        max_rows_per_second, rows_claimed, rows_completed, rows_failed, groups_committed,
        batch_kinds, batch_rows, batch_seconds, claimed_at)
    VALUES (:worker, :version, now(), now() - make_interval(secs => :up_seconds),
        :seen_every, :concurrency, :max_rows_per_second, :rows_claimed, :rows_completed,
        :rows_failed, :groups_committed, :batch_kinds, :batch_rows, :batch_seconds,
        now() - make_interval(secs => :claimed_seconds_ago))
    ON CONFLICT (worker) DO UPDATE SET
        version = excluded.version, seen_at = excluded.seen_at, seen_every = excluded.seen_every,
        concurrency = excluded.concurrency, max_rows_per_second = excluded.max_rows_per_second,
        rows_claimed = excluded.rows_claimed, rows_completed = excluded.rows_completed,
        rows_failed = excluded.rows_failed, groups_committed = excluded.groups_committed,
        batch_kinds = excluded.batch_kinds, batch_rows = excluded.batch_rows,
        batch_seconds = excluded.batch_seconds, claimed_at = excluded.claimed_at
)
SELECT (SELECT max_rows_per_second FROM worker_throttle)
