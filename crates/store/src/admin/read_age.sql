SELECT greatest(0, extract(epoch FROM clock_timestamp() - min(least(due.oldest, later.oldest))))::float8,
       bool_and(due.sets < :most), sum(dead.rows)::bigint
FROM unnest(ARRAY['vitals', 'nutrition', 'labs']) AS of (kind)
CROSS JOIN LATERAL (
    SELECT min(q.queued_at) AS oldest, count(*) AS sets
    FROM (SELECT q.queued_at FROM aggregation_queue AS q
          WHERE q.kind = of.kind AND q.not_before <= statement_timestamp()
          ORDER BY q.not_before
          LIMIT :most) AS q
) AS due
CROSS JOIN LATERAL (
    SELECT min(q.queued_at) AS oldest
    FROM aggregation_queue AS q
    WHERE q.kind = of.kind AND q.not_before > statement_timestamp() AND q.not_before < 'infinity'
) AS later
CROSS JOIN LATERAL (
    SELECT coalesce(sum(cardinality(q.raw_ids)), 0) AS rows
    FROM aggregation_queue AS q
    WHERE q.kind = of.kind AND q.not_before = 'infinity'
) AS dead
