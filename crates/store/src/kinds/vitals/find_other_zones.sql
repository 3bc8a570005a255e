SELECT span.ordinal
FROM unnest(:ordinals::integer[], :metrics::text[], :starts_from::timestamptz[],
            :spans_to::timestamptz[]) AS span (ordinal, metric, starts_from, span_to)
CROSS JOIN LATERAL (
    SELECT FROM vitals_raw
    WHERE user_id = :user_id AND metric = span.metric
      AND started_at >= span.starts_from AND started_at < span.span_to
      AND time_zone <> :zone
    LIMIT 1
) AS other
