ALTER TABLE vitals_hourly DROP COLUMN by_workout_type;
ALTER TABLE vitals_daily DROP COLUMN by_workout_type;
ALTER TABLE vitals_raw DROP COLUMN workout_type;
