SELECT user_id, asleep_minutes, awake_minutes FROM sleep_daily;
