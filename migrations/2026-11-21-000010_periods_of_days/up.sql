-- Weeks and months of sleep, blood pressure and glucose. Each view is the same for both periods, so
-- it is here once: {p} is week or month.

DO $views$
DECLARE
    p text;
    span text;
BEGIN
    FOREACH p IN ARRAY ARRAY['week', 'month'] LOOP
        span := CASE p WHEN 'week' THEN 'ISO week (Monday to Sunday)' ELSE 'month' END;

        EXECUTE replace($sql$
            CREATE VIEW sleep_{p}ly AS
            SELECT user_id, date_trunc('{p}', local_date)::date AS {p}_start,
                   count(*) FILTER (WHERE segment_count > 0) AS days_with_data,
                   sum(asleep_minutes) AS asleep_minutes,
                   sum(core_minutes) AS core_minutes,
                   sum(deep_minutes) AS deep_minutes,
                   sum(rem_minutes) AS rem_minutes,
                   sum(unspecified_minutes) AS unspecified_minutes,
                   sum(awake_minutes) AS awake_minutes,
                   sum(in_bed_minutes) AS in_bed_minutes,
                   avg(asleep_minutes) AS mean_asleep_minutes,
                   min(asleep_minutes) AS min_asleep_minutes,
                   max(asleep_minutes) AS max_asleep_minutes,
                   sum(asleep_minutes) FILTER (WHERE efficiency IS NOT NULL)
                       / nullif(sum(in_bed_minutes) FILTER (WHERE efficiency IS NOT NULL), 0) AS efficiency,
                   sum(nap_count) AS nap_count,
                   sum(nap_minutes) AS nap_minutes,
                   sum(segment_count) AS segment_count,
                   sum(rejected_count) AS rejected_count,
                   bool_or(is_partial) AS is_partial
            FROM sleep_daily
            GROUP BY 1, 2
        $sql$, '{p}', p);
        EXECUTE format('COMMENT ON VIEW sleep_%sly IS %L', p,
            'Daily sleep added up by ' || span || '; NULL where no day knows it');
        EXECUTE format('COMMENT ON COLUMN sleep_%sly.mean_asleep_minutes IS %L', p,
            'Over the days that know it, naps included');
        EXECUTE format('COMMENT ON COLUMN sleep_%sly.efficiency IS %L', p,
            'Time asleep / time in bed, from 0 to 1, over all days that have both: no mean of the days'' efficiencies');

        EXECUTE replace($sql$
            CREATE VIEW blood_pressure_{p}ly AS
            WITH daily AS (
                SELECT *, date_trunc('{p}', local_date)::date AS {p}_start,
                       pair_count - censored_count AS exact_count,
                       array_position(ARRAY['normal', 'elevated', 'stage_1', 'stage_2', 'severe'],
                                      worst_category) AS severity
                FROM blood_pressure_daily
            )
            SELECT user_id, {p}_start,
                   count(*) FILTER (WHERE pair_count > 0) AS days_with_data,
                   sum(pair_count) AS pair_count,
                   sum(unpaired_count) AS unpaired_count,
                   sum(censored_count) AS censored_count,
                   sum(exact_count * systolic_mean) / nullif(sum(exact_count), 0) AS systolic_mean,
                   min(systolic_min) AS systolic_min,
                   max(systolic_max) AS systolic_max,
                   sum(exact_count * diastolic_mean) / nullif(sum(exact_count), 0) AS diastolic_mean,
                   min(diastolic_min) AS diastolic_min,
                   max(diastolic_max) AS diastolic_max,
                   sum(exact_count * mean_arterial_pressure) / nullif(sum(exact_count), 0)
                       AS mean_arterial_pressure,
                   (ARRAY['normal', 'elevated', 'stage_1', 'stage_2', 'severe'])[max(severity)]
                       AS worst_category,
                   sum(rejected_count) AS rejected_count,
                   bool_or(is_partial) AS is_partial
            FROM daily
            GROUP BY user_id, {p}_start
        $sql$, '{p}', p);
        EXECUTE format('COMMENT ON VIEW blood_pressure_%sly IS %L', p,
            'Daily blood pressure merged by ' || span || ': means over all pairs without a comparator, not over days');

        EXECUTE replace($sql$
            CREATE VIEW glucose_{p}ly AS
            WITH daily AS (
                SELECT *, date_trunc('{p}', local_date)::date AS {p}_start,
                       sample_count + censored_count AS reading_count
                FROM glucose_daily
            ), merged AS (
                SELECT user_id, {p}_start,
                       count(*) FILTER (WHERE reading_count > 0) AS days_with_data,
                       sum(sample_count) AS sample_count,
                       sum(censored_count) AS censored_count,
                       sum(sample_count * mean) / nullif(sum(sample_count), 0) AS mean,
                       sum(reading_count * below_54_percent) / nullif(sum(reading_count), 0) AS below_54_percent,
                       sum(reading_count * below_70_percent) / nullif(sum(reading_count), 0) AS below_70_percent,
                       sum(reading_count * from_70_to_180_percent) / nullif(sum(reading_count), 0)
                           AS from_70_to_180_percent,
                       sum(reading_count * from_70_to_140_percent) / nullif(sum(reading_count), 0)
                           AS from_70_to_140_percent,
                       sum(reading_count * above_180_percent) / nullif(sum(reading_count), 0) AS above_180_percent,
                       sum(reading_count * above_250_percent) / nullif(sum(reading_count), 0) AS above_250_percent,
                       sum(low_episodes) AS low_episodes,
                       sum(high_episodes) AS high_episodes,
                       sum(coverage_percent) / extract(day FROM {p}_start + interval '1 {p}' - {p}_start)::float8
                           AS coverage_percent,
                       sum(rejected_count) AS rejected_count,
                       bool_or(is_partial) AS is_partial
                FROM daily
                GROUP BY user_id, {p}_start
            ), spread AS (
                SELECT m.*,
                       (SELECT sqrt((sum((d.sample_count - 1) * coalesce(d.stddev, 0) ^ 2)
                                     + sum(d.sample_count * (d.mean - m.mean) ^ 2))
                                    / nullif(m.sample_count - 1, 0))
                        FROM daily AS d
                        WHERE d.user_id = m.user_id AND d.{p}_start = m.{p}_start AND d.mean IS NOT NULL) AS stddev
                FROM merged AS m
            )
            SELECT user_id, {p}_start, days_with_data, sample_count, censored_count, mean, stddev,
                   100 * stddev / mean AS cv_percent,
                   3.31 + 0.02392 * mean AS gmi_percent,
                   (46.7 + mean) / 28.7 AS ea1c_percent,
                   0.001 * (mean + stddev) ^ 2 AS j_index,
                   below_54_percent, below_70_percent, from_70_to_180_percent, from_70_to_140_percent,
                   above_180_percent, above_250_percent,
                   least(100, 3.0 * below_54_percent + 2.4 * (below_70_percent - below_54_percent)
                              + 1.6 * above_250_percent + 0.8 * (above_180_percent - above_250_percent))
                       AS glycemia_risk_index,
                   low_episodes, high_episodes, coverage_percent,
                   coalesce(coverage_percent >= 70, false) AS is_sufficient,
                   rejected_count, is_partial
            FROM spread
        $sql$, '{p}', p);
        EXECUTE format('COMMENT ON VIEW glucose_%sly IS %L', p,
            'Daily glucose merged by ' || span || ': mean, SD and percentages over all readings, and what follows from them by the formulas of glucose_daily');
        EXECUTE format('COMMENT ON COLUMN glucose_%sly.coverage_percent IS %L', p,
            'Mean of the days'' coverage over all days of the ' || p || ', of which those without readings count 0');
        EXECUTE format('COMMENT ON COLUMN glucose_%sly.low_episodes IS %L', p,
            'Sum of the days, on which each counts once, where it begins');
        EXECUTE format('COMMENT ON COLUMN glucose_%sly.high_episodes IS %L', p,
            'Sum of the days, on which each counts once, where it begins');
    END LOOP;
END
$views$;
