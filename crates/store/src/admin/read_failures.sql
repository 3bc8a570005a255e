SELECT failed.kind, split_part(last_error, ' ', 1),
       nullif(substr(last_error, strpos(last_error || ' ', ' ') + 1), ''),
       sum(rows),
       coalesce(sum(rows) FILTER (WHERE state = 'dead'), 0),
       ceil(min(greatest(extract(epoch FROM not_before - clock_timestamp()), 0))
           FILTER (WHERE state <> 'dead' AND isfinite(not_before)))::bigint,
       greatest(0, extract(epoch FROM clock_timestamp() - min(queued_at)))::float8,
       greatest(0, extract(epoch FROM clock_timestamp() - max(queued_at)))::float8,
       (array_agg(user_id))[1], (array_agg(starts_at))[1]
FROM (SELECT :most::bigint AS most) AS asked
CROSS JOIN unnest(ARRAY['vitals', 'nutrition', 'labs']) AS of (kind)
CROSS JOIN LATERAL (
    SELECT q.kind, q.last_error, q.state, q.not_before, q.queued_at, q.user_id, q.starts_at,
           cardinality(q.raw_ids) AS rows
    FROM aggregation_queue AS q
    WHERE q.kind = of.kind AND q.last_error IS NOT NULL
    ORDER BY q.not_before
    LIMIT asked.most
) AS failed
GROUP BY failed.kind, last_error
ORDER BY sum(rows) DESC, failed.kind, last_error
LIMIT :limit
