SELECT asleep_minutes, in_bed_minutes, efficiency FROM sleep_daily;
