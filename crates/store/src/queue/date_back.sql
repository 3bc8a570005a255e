WITH asked AS MATERIALIZED (
    SELECT now() AS now, make_interval(secs => :longest_wait) AS longest
), picked AS MATERIALIZED (
    SELECT late.place
    FROM unnest(ARRAY['vitals', 'nutrition', 'labs']) AS of (kind)
    CROSS JOIN LATERAL (
        SELECT q.ctid AS place
        FROM aggregation_queue AS q
        WHERE q.kind = of.kind AND q.not_before > (SELECT now FROM asked)
          AND q.not_before < 'infinity'
          AND (q.queued_at > (SELECT now FROM asked)
               OR q.not_before > (SELECT now + longest FROM asked))
        LIMIT :step
        FOR UPDATE SKIP LOCKED
    ) AS late
)
UPDATE aggregation_queue AS q
SET not_before = asked.now, queued_at = least(q.queued_at, asked.now)
FROM picked, asked
WHERE q.ctid = picked.place
RETURNING cardinality(q.raw_ids)
