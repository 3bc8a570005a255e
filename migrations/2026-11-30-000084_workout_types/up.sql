-- The type of a workout, and the totals by type beside the total of a day and of an hour.
ALTER TABLE vitals_raw ADD COLUMN workout_type text;
COMMENT ON COLUMN vitals_raw.workout_type IS 'Rows of workouts: the type as the source names it, such as Running. The catalogue maps names to types';

ALTER TABLE vitals_daily ADD COLUMN by_workout_type jsonb;
COMMENT ON COLUMN vitals_daily.by_workout_type IS 'Metrics of workouts: the parts of the total by type of workout, in the canonical unit; other: a type that the catalogue does not list; unknown: no type was sent. NULL: no total';

ALTER TABLE vitals_hourly ADD COLUMN by_workout_type jsonb;
COMMENT ON COLUMN vitals_hourly.by_workout_type IS 'Metrics of workouts: the parts of the total by type of workout, as in vitals_daily';
