-- The state of each raw row, for the people who look after the app.

CREATE VIEW raw_row_status AS
SELECT raw.kind,
       raw.user_id,
       raw.raw_id,
       coalesce(queued.status, 'completed') AS status,
       coalesce(queued.attempts, 0) AS attempts,
       queued.last_error,
       rejected.reason AS rejected_reason
FROM (
    SELECT 'vitals' AS kind, user_id, id AS raw_id FROM vitals_raw
    UNION ALL
    SELECT 'nutrition', user_id, id FROM nutrition_raw
    UNION ALL
    SELECT 'labs', user_id, id FROM lab_raw
) AS raw
LEFT JOIN (
    SELECT kind, user_id, raw_id,
           CASE
               WHEN bool_or(state = 'processing') THEN 'processing'
               WHEN bool_or(state = 'pending') THEN 'pending'
               ELSE 'dead'
           END AS status,
           max(attempts) AS attempts,
           max(last_error) AS last_error
    FROM aggregation_queue
    GROUP BY kind, user_id, raw_id
) AS queued USING (kind, user_id, raw_id)
LEFT JOIN rejected_rows AS rejected USING (kind, user_id, raw_id);
COMMENT ON VIEW raw_row_status IS 'Each raw row with pending, processing, dead or completed; rejected_reason says why a completed row takes no part in the figures';
