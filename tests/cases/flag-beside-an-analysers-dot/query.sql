SELECT user_id, last_value, last_flag FROM lab_daily ORDER BY 1;
