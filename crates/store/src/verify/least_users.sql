SELECT
    CASE WHEN 'vitals' = ANY (asked.kinds) THEN least(
        (SELECT user_id FROM vitals_raw
         WHERE user_id >= asked.first ORDER BY user_id LIMIT 1),
        (SELECT user_id FROM vitals_daily
         WHERE user_id >= asked.first ORDER BY user_id LIMIT 1),
        (SELECT user_id FROM sleep_daily
         WHERE user_id >= asked.first ORDER BY user_id LIMIT 1),
        (SELECT user_id FROM blood_pressure_daily
         WHERE user_id >= asked.first ORDER BY user_id LIMIT 1),
        (SELECT user_id FROM glucose_daily
         WHERE user_id >= asked.first ORDER BY user_id LIMIT 1),
        (SELECT user_id FROM rejected_rows
         WHERE user_id >= asked.first ORDER BY user_id LIMIT 1)) END,
    CASE WHEN 'nutrition' = ANY (asked.kinds) THEN least(
        (SELECT user_id FROM nutrition_raw
         WHERE user_id >= asked.first ORDER BY user_id LIMIT 1),
        (SELECT user_id FROM nutrition_daily
         WHERE user_id >= asked.first ORDER BY user_id LIMIT 1),
        (SELECT user_id FROM rejected_rows
         WHERE user_id >= asked.first ORDER BY user_id LIMIT 1)) END,
    CASE WHEN 'labs' = ANY (asked.kinds) THEN least(
        (SELECT user_id FROM lab_raw
         WHERE user_id >= asked.first ORDER BY user_id LIMIT 1),
        (SELECT user_id FROM lab_daily
         WHERE user_id >= asked.first ORDER BY user_id LIMIT 1),
        (SELECT user_id FROM rejected_rows
         WHERE user_id >= asked.first ORDER BY user_id LIMIT 1)) END
FROM (SELECT :from AS first, :kinds::text[] AS kinds) AS asked
