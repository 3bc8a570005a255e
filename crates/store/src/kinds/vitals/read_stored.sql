-- Two days around: an instant's local dates in two zones differ by two at most.
-- 
-- OFFSET 0 keeps the tables apart: joined, the planner may take all of the user's days and hours, and
-- ask of each whether it is one of these.
SELECT day.metric, d.local_date,
       d.context_fingerprint, d.day_start, d.day_end,
       NULL::timestamptz, NULL::integer, NULL::integer, NULL::integer,
       NULL::text, NULL::text, NULL::text,
       NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::float8,
       NULL::float8, NULL::timestamptz, NULL::float8, NULL::timestamptz,
       NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::bytea
FROM unnest(:near_metrics::text[], :near_dates::date[]) AS day (metric, local_date)
CROSS JOIN LATERAL (
    SELECT local_date, context_fingerprint, day_start, day_end
    FROM vitals_daily
    WHERE user_id = :user_id AND metric = day.metric
      AND local_date BETWEEN day.local_date - 2 AND day.local_date + 2
    OFFSET 0
) AS d
UNION ALL
SELECT day.metric, day.local_date,
       NULL, NULL, NULL,
       h.hour_start, h.sample_count, h.censored_count, h.rejected_count,
       h.sources::text, h.time_zone, h.by_workout_type::text,
       h.total, h.sum, h.squared_deviations, h.min, h.max,
       h.first_value, h.first_at, h.last_value, h.last_at,
       h.p05, h.p25, h.p50, h.p75, h.p95, h.sketch
FROM unnest(:metrics::text[], :dates::date[]) AS day (metric, local_date)
CROSS JOIN LATERAL (
    SELECT hour_start, sample_count, censored_count, rejected_count, sources, time_zone,
           by_workout_type, total, sum, squared_deviations, min, max, first_value, first_at, last_value, last_at,
           p05, p25, p50, p75, p95, sketch
    FROM vitals_hourly
    WHERE user_id = :user_id AND local_date = day.local_date AND metric = day.metric
    OFFSET 0
) AS h
