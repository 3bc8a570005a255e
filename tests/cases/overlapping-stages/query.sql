SELECT user_id, asleep_minutes, core_minutes, deep_minutes FROM sleep_daily;
