SELECT user_id, local_date, asleep_minutes FROM sleep_daily ORDER BY 1, 2;
