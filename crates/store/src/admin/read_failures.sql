SELECT kind, split_part(last_error, ' ', 1),
       nullif(substr(last_error, strpos(last_error || ' ', ' ') + 1), ''),
       sum(cardinality(raw_ids)),
       coalesce(sum(cardinality(raw_ids)) FILTER (WHERE state = 'dead'), 0),
       ceil(min(greatest(extract(epoch FROM not_before - clock_timestamp()), 0))
           FILTER (WHERE state <> 'dead' AND isfinite(not_before)))::bigint
FROM aggregation_queue
WHERE last_error IS NOT NULL
GROUP BY kind, last_error
ORDER BY sum(cardinality(raw_ids)) DESC, kind, last_error
LIMIT :limit
