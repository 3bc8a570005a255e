SELECT DISTINCT d.local_date
FROM (SELECT :user_id AS user_id, :table::text AS name, s.*
      FROM unnest(:spans_from::timestamptz[], :spans_to::timestamptz[])
           AS s (span_from, span_to)) AS span
JOIN (SELECT 'blood_pressure_daily' AS name, user_id, local_date, day_start, day_end
      FROM blood_pressure_daily
      UNION ALL
      SELECT 'glucose_daily', user_id, local_date, day_start, day_end
      FROM glucose_daily) AS d
  ON d.name = span.name AND d.user_id = span.user_id
 AND d.local_date BETWEEN (span.span_from AT TIME ZONE 'UTC')::date - 2
                      AND (span.span_to AT TIME ZONE 'UTC')::date + 2
WHERE d.day_start < span.span_to AND d.day_end > span.span_from
