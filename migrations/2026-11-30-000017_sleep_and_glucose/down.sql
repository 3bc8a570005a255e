DROP VIEW glucose_14_days;
-- Before, a coverage that is not known was not sufficient.
UPDATE glucose_daily SET is_sufficient = false WHERE is_sufficient IS NULL;
ALTER TABLE glucose_daily ALTER COLUMN is_sufficient SET NOT NULL;

COMMENT ON COLUMN glucose_daily.coverage_percent IS 'Readings in percent of those that the day''s median interval lets expect, 100 at most; NULL where no source has readings of two instants';
COMMENT ON COLUMN glucose_daily.is_sufficient IS 'coverage_percent is at least 70';
COMMENT ON COLUMN glucose_daily.below_54_percent IS 'Percent of readings, those with a comparator among them; NULL without a reading';
COMMENT ON COLUMN glucose_daily.low_episodes IS 'Below 70 mg/dL for at least 15 minutes; it counts on the date on which it begins. NULL where none begins and no source has readings of two instants';
COMMENT ON COLUMN glucose_daily.high_episodes IS 'Above 180 mg/dL, likewise';
COMMENT ON COLUMN sleep_daily.asleep_minutes IS 'Time in core, deep, REM or unspecified sleep, nothing twice; NULL if the sources only know of the bed';
COMMENT ON COLUMN sleep_daily.awake_minutes IS 'Awake within sessions; NULL if no source tells stages or when its owner was awake';
COMMENT ON COLUMN sleep_daily.in_bed_minutes IS 'In bed or asleep; of a session without rows of the bed, from its first segment to its last';
COMMENT ON COLUMN sleep_daily.main_start IS 'Begin of the main session: the one with the longest sleep, then the longest time in bed, then the earliest';
COMMENT ON COLUMN sleep_daily.segment_count IS 'Raw rows that count: those of the best source of each time';
COMMENT ON COLUMN sleep_daily.primary_source IS 'The source of the main session';
