SELECT user_id, result_count, last_value FROM lab_daily ORDER BY 1;
