SELECT user_id, local_date, in_bed_minutes, asleep_minutes, efficiency FROM sleep_daily ORDER BY 1, 2;
