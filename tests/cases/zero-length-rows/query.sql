SELECT user_id, total FROM vitals_daily ORDER BY 1;
