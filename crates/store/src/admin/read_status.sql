SELECT kind,
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
       coalesce(sum(rows) FILTER (WHERE state = 'pending' AND not_before <= clock_timestamp()), 0)
FROM (SELECT *, cardinality(raw_ids) AS rows FROM aggregation_queue) AS queue
GROUP BY kind
