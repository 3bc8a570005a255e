SELECT of.kind,
       coalesce(sum(rows) FILTER (WHERE state = 'pending'), 0),
       coalesce(sum(rows) FILTER (WHERE state = 'pending' AND not_before > clock_timestamp()
                                  AND queued_at <= clock_timestamp()), 0),
       coalesce(sum(rows) FILTER (WHERE state = 'processing'), 0),
       coalesce(sum(rows) FILTER (WHERE state = 'processing'
                                  AND lease_expires_at < clock_timestamp()), 0),
       coalesce(sum(rows) FILTER (WHERE state = 'dead'), 0),
       extract(epoch FROM clock_timestamp() - min(least(queued_at, statement_timestamp()))
                                                  FILTER (WHERE state = 'pending'))::float8,
       coalesce(sum(rows) FILTER (WHERE state <> 'dead'
                                  AND (queued_at > clock_timestamp()
                                       OR lease_expires_at > clock_timestamp() + interval '1 hour')), 0),
       coalesce(sum(rows) FILTER (WHERE state = 'pending' AND not_before <= clock_timestamp()), 0),
       greatest(count(*) FILTER (WHERE not_before < 'infinity'),
                count(*) FILTER (WHERE not_before = 'infinity'))
FROM (SELECT :most::bigint AS most) AS asked
CROSS JOIN unnest(ARRAY['vitals', 'nutrition', 'labs']) AS of (kind)
CROSS JOIN LATERAL (
    (SELECT q.state, q.not_before, q.lease_expires_at, q.queued_at, cardinality(q.raw_ids) AS rows
     FROM aggregation_queue AS q
     WHERE q.kind = of.kind AND q.not_before < 'infinity'
     ORDER BY q.not_before
     LIMIT asked.most)
    UNION ALL
    (SELECT q.state, q.not_before, q.lease_expires_at, q.queued_at, cardinality(q.raw_ids)
     FROM aggregation_queue AS q
     WHERE q.kind = of.kind AND q.not_before = 'infinity'
     LIMIT asked.most)
) AS queue
GROUP BY of.kind
