-- A meter has no coverage. GMI and sufficiency are standardised for 14 days.
--
-- The meaning of sleep and coverage has changed. Days of an algorithm_version before 4 still have
-- the former meaning.

ALTER TABLE glucose_daily ALTER COLUMN is_sufficient DROP NOT NULL;

COMMENT ON COLUMN glucose_daily.coverage_percent IS 'Percent of the day within one interval of a reading, each source by its own median interval, at most 15 minutes; NULL where no source is a sensor. Readings that are farther apart are those of a meter';
COMMENT ON COLUMN glucose_daily.is_sufficient IS 'coverage_percent is at least 70; NULL where it is NULL';
COMMENT ON COLUMN glucose_daily.below_54_percent IS 'Percent of readings, those with a comparator among them; NULL without a reading. Readings in mmol/L are placed by the limits in mmol/L: 3.0, 3.9, 7.8, 10.0 and 13.9';
COMMENT ON COLUMN glucose_daily.low_episodes IS 'Below 70 mg/dL (3.9 mmol/L) for at least 15 minutes; it counts on the date on which it begins. NULL where none begins and no source has two readings';
COMMENT ON COLUMN glucose_daily.high_episodes IS 'Above 180 mg/dL (10.0 mmol/L), likewise';

COMMENT ON COLUMN sleep_daily.asleep_minutes IS 'Time in core, deep, REM or unspecified sleep, of which it is the sum. Time that the same source calls awake does not count. NULL if no source tells of sleep';
COMMENT ON COLUMN sleep_daily.awake_minutes IS 'Awake within sessions, also where another state is given for the same time; NULL if no source tells stages or when its owner was awake';
COMMENT ON COLUMN sleep_daily.in_bed_minutes IS 'In bed or asleep; of a session of sleep without rows of the bed, from its first segment to its last. NULL without either';
COMMENT ON COLUMN sleep_daily.main_start IS 'Begin of the main session: of those with sleep the one with the longest sleep, then the longest time in bed, then the earliest. NULL without sleep';
COMMENT ON COLUMN sleep_daily.segment_count IS 'Raw rows that count: those of the best source of each time. A source that covers less than half of the longest recording is not the best';
COMMENT ON COLUMN sleep_daily.primary_source IS 'The source of the main session; without one, of the longest time in bed';

-- For each date that a query asks for, the key finds its 14 days at most, however large the table is.
CREATE VIEW glucose_14_days AS
SELECT d.user_id, d.local_date, m.days_with_data, m.sample_count, m.censored_count, m.mean, s.stddev,
       aggregation_quotient(100 * s.stddev, m.mean) AS cv_percent,
       3.31 + 0.02392 * m.mean AS gmi_percent,
       (46.7 + m.mean) / 28.7 AS ea1c_percent,
       m.below_54_percent, m.below_70_percent, m.from_70_to_180_percent, m.from_70_to_140_percent,
       m.above_180_percent, m.above_250_percent,
       least(100, 3.0 * m.below_54_percent + 2.4 * (m.below_70_percent - m.below_54_percent)
                  + 1.6 * m.above_250_percent + 0.8 * (m.above_180_percent - m.above_250_percent))
           AS glycemia_risk_index,
       m.low_episodes, m.high_episodes, m.coverage_percent,
       m.coverage_percent >= 70 AS is_sufficient,
       m.rejected_count, m.is_partial
FROM glucose_daily AS d
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE n.readings > 0) AS days_with_data,
           sum(p.sample_count) AS sample_count,
           sum(p.censored_count) AS censored_count,
           aggregation_quotient(sum(p.sample_count * p.mean ORDER BY p.local_date),
               nullif(sum(p.sample_count), 0)) AS mean,
           aggregation_quotient(sum(n.readings * p.below_54_percent ORDER BY p.local_date),
               nullif(sum(n.readings), 0)) AS below_54_percent,
           aggregation_quotient(sum(n.readings * p.below_70_percent ORDER BY p.local_date),
               nullif(sum(n.readings), 0)) AS below_70_percent,
           aggregation_quotient(sum(n.readings * p.from_70_to_180_percent ORDER BY p.local_date),
               nullif(sum(n.readings), 0)) AS from_70_to_180_percent,
           aggregation_quotient(sum(n.readings * p.from_70_to_140_percent ORDER BY p.local_date),
               nullif(sum(n.readings), 0)) AS from_70_to_140_percent,
           aggregation_quotient(sum(n.readings * p.above_180_percent ORDER BY p.local_date),
               nullif(sum(n.readings), 0)) AS above_180_percent,
           aggregation_quotient(sum(n.readings * p.above_250_percent ORDER BY p.local_date),
               nullif(sum(n.readings), 0)) AS above_250_percent,
           sum(p.low_episodes) AS low_episodes,
           sum(p.high_episodes) AS high_episodes,
           sum(p.coverage_percent ORDER BY p.local_date) / 14 AS coverage_percent,
           sum(p.rejected_count) AS rejected_count,
           bool_or(p.is_partial) AS is_partial
    FROM glucose_daily AS p
    CROSS JOIN LATERAL (SELECT p.sample_count + p.censored_count AS readings) AS n
    WHERE p.user_id = d.user_id AND p.local_date BETWEEN d.local_date - 13 AND d.local_date
) AS m
CROSS JOIN LATERAL (
    SELECT sqrt(aggregation_quotient(
               sum((p.sample_count - 1) * aggregation_square(coalesce(p.stddev, 0)) ORDER BY p.local_date)
               + sum(p.sample_count * aggregation_square(p.mean - m.mean) ORDER BY p.local_date),
               nullif(m.sample_count - 1, 0))) AS stddev
    FROM glucose_daily AS p
    WHERE p.user_id = d.user_id AND p.local_date BETWEEN d.local_date - 13 AND d.local_date
      AND p.mean IS NOT NULL
) AS s;
COMMENT ON VIEW glucose_14_days IS 'Glucose of the 14 days that end with each date of glucose_daily, all readings pooled: the period for which GMI and sufficiency are standardised (Battelino et al., Diabetes Care 2019;42:1593)';
COMMENT ON COLUMN glucose_14_days.days_with_data IS 'Days of the 14 with a reading';
COMMENT ON COLUMN glucose_14_days.mean IS 'mg/dL, over all readings without a comparator, not over days; so is stddev (n - 1)';
COMMENT ON COLUMN glucose_14_days.below_54_percent IS 'Percent of all readings, those with a comparator among them, as are the other percentages';
COMMENT ON COLUMN glucose_14_days.coverage_percent IS 'Mean of the coverage of the 14 days; a day without a sensor covers nothing. NULL where none of them has one';
COMMENT ON COLUMN glucose_14_days.is_sufficient IS 'coverage_percent is at least 70; NULL where it is NULL';
COMMENT ON COLUMN glucose_14_days.is_partial IS 'A day of them had not ended when it was computed';
