SELECT of.kind, waiting.rows, extract(epoch FROM clock_timestamp() - waiting.oldest)::float8,
       (SELECT coalesce(sum(cardinality(q.raw_ids)), 0) FROM aggregation_queue AS q
        WHERE q.kind = of.kind AND q.not_before = 'infinity')
FROM unnest(ARRAY['vitals', 'nutrition', 'labs']) AS of (kind)
CROSS JOIN LATERAL (
    SELECT coalesce(sum(cardinality(q.raw_ids)), 0)::bigint AS rows,
           min(least(q.queued_at, statement_timestamp())) AS oldest
    FROM aggregation_queue AS q
    WHERE q.kind = of.kind AND q.not_before < 'infinity'
) AS waiting
