-- Claims a batch of one kind: whole change sets with at most `size` raw rows together.
-- In psql, first: \set kind '''vitals''' \set size 200 \set token 1 \set lease_seconds 60 \set oldest NULL \set ago 0
-- \set unit_seconds 3600 \set most 20000 \set without NULL
--
-- Due sets are read by not_before. For a new set it is the time of the statement that queued it. For a
-- set in back-off it is in the future, and for a dead one infinity, so neither delays others. A set that a worker
-- holds has the end of its lease, and keeps its place. A lease lasts at most an hour, the limit of
-- batch.lease_seconds. One that ends later was granted while the clock of the server was ahead, and is void.
--
-- A set counts as many times as it has rows. So three times, generate_series repeats each set for its rows until
-- a LIMIT ends the scan, and nth = 1 keeps one of them.
WITH asked AS MATERIALIZED (
    SELECT :kind::text AS kind, :size::bigint AS size, :token::bigint AS token,
           now() + make_interval(secs => :lease_seconds) AS lease_ends,
           make_interval(secs => :unit_seconds) AS unit, :most::bigint AS most,
           :without AS without,
           CASE WHEN :oldest::timestamptz IS NULL THEN '-infinity'
                ELSE least(:oldest, now() - make_interval(secs => :ago))
           END AS since
), heads AS MATERIALIZED (
    -- Concurrent claims lock different heads, so their batches are disjoint. Each lock writes to its
    -- page and to the WAL, so the scan ends when there are enough heads for a batch.
    SELECT place, user_id, starts_at, ends_at, lease_expires_at, row_count, row_number() OVER () AS turn,
           date_bin('4 days', starts_at, timestamptz '2000-01-01 00:00:00+00') AS window_start
    FROM (
        SELECT locked.*, generate_series(1, row_count) AS nth
        FROM (
            SELECT ctid AS place, user_id, starts_at, ends_at, lease_expires_at,
                   cardinality(raw_ids) AS row_count
            FROM aggregation_queue
            WHERE kind = (SELECT kind FROM asked)
              AND user_id IS DISTINCT FROM (SELECT without FROM asked)
              AND NOT EXISTS (SELECT FROM paused_kinds WHERE paused_kinds.kind = (SELECT kind FROM asked))
              AND not_before >= (SELECT since FROM asked) AND not_before <= now()
              AND (lease_expires_at BETWEEN now() AND now() + interval '1 hour') IS NOT TRUE
            ORDER BY not_before ASC
            FOR UPDATE SKIP LOCKED
        ) AS locked
        LIMIT (SELECT size FROM asked)
    ) AS raw_rows
    WHERE nth = 1
), windows AS MATERIALIZED (
    -- Sets of the same users and times as the heads fill the batch, because a group costs nearly the
    -- same for one row as for a hundred. A window of four days contains the neighbours of a local day in
    -- nearly all zones. If the end of a batch cuts a day, the next batch has the rest.
    SELECT user_id, window_start, min(turn) AS turn
    FROM heads
    GROUP BY user_id, window_start
    ORDER BY turn
), filled AS MATERIALIZED (
    -- The first head is always in the batch. Otherwise a user whose window is larger than a batch would
    -- block the queue. The join only advances until the batch is full.
    SELECT place, user_id, starts_at, ends_at, lease_expires_at, row_count, row_number() OVER () AS turn
    FROM (
        SELECT sets.*, generate_series(1, row_count) AS nth
        FROM (
            SELECT place, user_id, starts_at, ends_at, lease_expires_at, row_count
            FROM heads
            WHERE turn = 1
            UNION ALL
            SELECT filling.*
            FROM windows
            CROSS JOIN LATERAL (
                SELECT ctid AS place, user_id, starts_at, ends_at, lease_expires_at,
                       cardinality(raw_ids) AS row_count
                FROM aggregation_queue
                WHERE user_id = windows.user_id AND kind = (SELECT kind FROM asked)
                  AND starts_at >= windows.window_start AND starts_at < windows.window_start + interval '4 days'
                  AND ctid <> (SELECT place FROM heads WHERE turn = 1)
                  AND not_before <= now()
                  AND (lease_expires_at BETWEEN now() AND now() + interval '1 hour') IS NOT TRUE
                ORDER BY user_id, kind, starts_at, id
                LIMIT (SELECT size FROM asked)
                FOR UPDATE SKIP LOCKED
            ) AS filling
        ) AS sets
        LIMIT (SELECT size FROM asked)
    ) AS raw_rows
    WHERE nth = 1
), picked AS MATERIALIZED (
    SELECT *
    FROM (SELECT *, sum(row_count) OVER (ORDER BY turn) AS total FROM filled) AS summed
    WHERE total <= (SELECT size FROM asked)
), dense AS MATERIALIZED (
    -- The batch is full within one hour of one user (for nutrition and labs: one day). Each batch reads
    -- all raw rows of that span, so the other sets of the span are claimed as well.
    SELECT (array_agg(user_id))[1] AS user_id,
           date_bin((SELECT unit FROM asked), min(starts_at), timestamptz '2000-01-01 00:00:00+00') AS begins,
           date_bin((SELECT unit FROM asked), max(ends_at), timestamptz '2000-01-01 00:00:00+00')
               + (SELECT unit FROM asked) AS ends
    FROM picked
    HAVING count(DISTINCT user_id) = 1
       AND max(ends_at) < min(starts_at) + (SELECT unit FROM asked) / 2
       AND sum(row_count) > (SELECT size FROM asked) - 50
), coalesced AS MATERIALIZED (
    SELECT place, lease_expires_at, row_count, row_number() OVER () AS turn
    FROM (
        SELECT more.*, generate_series(1, row_count) AS nth
        FROM dense
        CROSS JOIN LATERAL (
            SELECT ctid AS place, lease_expires_at, cardinality(raw_ids) AS row_count
            FROM aggregation_queue
            WHERE user_id = dense.user_id AND kind = (SELECT kind FROM asked)
              AND starts_at >= dense.begins AND starts_at < dense.ends
              AND not_before <= now()
              AND (lease_expires_at BETWEEN now() AND now() + interval '1 hour') IS NOT TRUE
            ORDER BY user_id, kind, starts_at, id
            LIMIT (SELECT most FROM asked)
            FOR UPDATE SKIP LOCKED
        ) AS more
        LIMIT (SELECT most FROM asked)
    ) AS raw_rows
    WHERE nth = 1 AND place <> ALL (ARRAY(SELECT place FROM picked))
), taken AS MATERIALIZED (
    SELECT place, lease_expires_at, row_count, false AS is_coalesced FROM picked
    UNION ALL
    SELECT place, lease_expires_at, row_count, true
    FROM (
        SELECT *, sum(row_count) OVER (ORDER BY turn) AS total FROM coalesced
    ) AS summed
    WHERE total + (SELECT sum(row_count) FROM picked) <= (SELECT most FROM asked)
)
-- Joined by ctid, which the locks keep stable. Joined by key, a planner whose statistics show a small
-- table would read all of it. A set that still has a lease belonged to a worker that ended or stalled.
-- lost_leases counts these leases, to detect a set that ends each worker.
UPDATE aggregation_queue AS q
SET state = 'processing', lease_token = (SELECT token FROM asked), lease_expires_at = (SELECT lease_ends FROM asked),
    lost_leases = q.lost_leases + (q.lease_expires_at IS NOT NULL)::integer, dates_done = 0
WHERE q.ctid = ANY (ARRAY(SELECT place FROM taken))
RETURNING q.id, q.user_id, q.starts_at, q.ends_at, q.metric, q.time_zone, q.whole_day, q.lost_leases,
          q.raw_ids, q.row_starts, q.row_ends, q.not_before,
          (SELECT coalesce(sum(row_count), 0) FROM taken WHERE is_coalesced),
          (SELECT coalesce(sum(row_count), 0) FROM taken WHERE lease_expires_at IS NOT NULL),
          (SELECT extract(epoch FROM max(now() - lease_expires_at))::float8 FROM taken),
          -- As the sets were when the statement began.
          (SELECT array_agg(DISTINCT was.lease_token) FROM aggregation_queue AS was
           WHERE was.ctid = ANY (ARRAY(SELECT place FROM taken WHERE lease_expires_at IS NOT NULL)))
