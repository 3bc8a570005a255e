DROP VIEW vitals_weekly, nutrition_weekly, lab_weekly, vitals_monthly, nutrition_monthly, lab_monthly;
DROP VIEW sleep_weekly, sleep_monthly, blood_pressure_weekly, blood_pressure_monthly, glucose_weekly,
    glucose_monthly;
DROP FUNCTION aggregation_square(double precision), aggregation_quotient(double precision, double precision);
ALTER TABLE lab_daily DROP COLUMN exact_count;

CREATE VIEW vitals_weekly AS
WITH daily AS (
    SELECT *, date_trunc('week', local_date)::date AS week_start
    FROM vitals_daily
), merged AS (
    SELECT user_id, week_start, metric, unit,
           count(*) FILTER (WHERE sample_count > 0 OR censored_count > 0) AS days_with_data,
           sum(sample_count) AS sample_count,
           sum(censored_count) AS censored_count,
           sum(rejected_count) AS rejected_count,
           sum(total) AS total,
           sum(sample_count * mean) / nullif(sum(sample_count) FILTER (WHERE mean IS NOT NULL), 0) AS mean,
           min(min) AS min,
           max(max) AS max,
           min(first_at) AS first_at,
           max(last_at) AS last_at,
           bool_or(is_partial) AS is_partial
    FROM daily
    GROUP BY user_id, week_start, metric, unit
)
SELECT m.*,
       (SELECT sqrt((sum((d.sample_count - 1) * coalesce(d.stddev, 0) ^ 2)
                     + sum(d.sample_count * (d.mean - m.mean) ^ 2)) / nullif(m.sample_count - 1, 0))
        FROM daily AS d
        WHERE d.user_id = m.user_id AND d.week_start = m.week_start AND d.metric = m.metric AND d.unit = m.unit
          AND d.mean IS NOT NULL) AS stddev
FROM merged AS m;
COMMENT ON VIEW vitals_weekly IS 'Daily vitals merged by ISO week (Monday to Sunday)';
COMMENT ON COLUMN vitals_weekly.days_with_data IS 'Days behind the figures; a total of fewer days is no total of a whole week';
COMMENT ON COLUMN vitals_weekly.mean IS 'Over all samples, not over days';
COMMENT ON COLUMN vitals_weekly.stddev IS 'Sample standard deviation (n - 1) over all samples';
COMMENT ON COLUMN vitals_weekly.is_partial IS 'One of its days had not ended when it was computed';

CREATE VIEW nutrition_weekly AS
SELECT user_id, date_trunc('week', local_date)::date AS week_start,
       count(*) FILTER (WHERE item_count > 0) AS days_with_data,
       sum(item_count) AS item_count,
       sum(rejected_count) AS rejected_count,
       sum(energy_kcal) AS energy_kcal,
       sum(protein_g) AS protein_g,
       sum(fat_g) AS fat_g,
       sum(carbohydrate_g) AS carbohydrate_g,
       sum(fiber_g) AS fiber_g,
       sum(sugar_g) AS sugar_g,
       sum(sodium_mg) AS sodium_mg,
       sum(saturated_fat_g) AS saturated_fat_g,
       sum(cholesterol_mg) AS cholesterol_mg,
       sum(alcohol_g) AS alcohol_g,
       sum(water_g) AS water_g,
       sum(caffeine_mg) AS caffeine_mg,
       sum(vitamin_a_ug) AS vitamin_a_ug,
       sum(vitamin_c_mg) AS vitamin_c_mg,
       sum(vitamin_d_ug) AS vitamin_d_ug,
       sum(vitamin_e_mg) AS vitamin_e_mg,
       sum(vitamin_k_ug) AS vitamin_k_ug,
       sum(thiamin_mg) AS thiamin_mg,
       sum(riboflavin_mg) AS riboflavin_mg,
       sum(niacin_mg) AS niacin_mg,
       sum(vitamin_b6_mg) AS vitamin_b6_mg,
       sum(vitamin_b12_ug) AS vitamin_b12_ug,
       sum(folate_ug) AS folate_ug,
       sum(calcium_mg) AS calcium_mg,
       sum(iron_mg) AS iron_mg,
       sum(magnesium_mg) AS magnesium_mg,
       sum(phosphorus_mg) AS phosphorus_mg,
       sum(potassium_mg) AS potassium_mg,
       sum(zinc_mg) AS zinc_mg,
       sum(copper_mg) AS copper_mg,
       sum(manganese_mg) AS manganese_mg,
       sum(selenium_ug) AS selenium_ug,
       sum(breakfast_count) AS breakfast_count, sum(breakfast_energy_kcal) AS breakfast_energy_kcal,
       sum(lunch_count) AS lunch_count, sum(lunch_energy_kcal) AS lunch_energy_kcal,
       sum(dinner_count) AS dinner_count, sum(dinner_energy_kcal) AS dinner_energy_kcal,
       sum(snack_count) AS snack_count, sum(snack_energy_kcal) AS snack_energy_kcal,
       sum(other_count) AS other_count, sum(other_energy_kcal) AS other_energy_kcal,
       bool_or(is_partial) AS is_partial
FROM nutrition_daily
GROUP BY 1, 2;
COMMENT ON VIEW nutrition_weekly IS 'Daily nutrition summed by ISO week (Monday to Sunday); NULL where no day knows it';
COMMENT ON COLUMN nutrition_weekly.days_with_data IS 'Days with food; divide by it for a mean of a day with data';

CREATE VIEW lab_weekly AS
SELECT user_id, date_trunc('week', local_date)::date AS week_start, analyte, unit,
       count(*) AS days_with_data,
       sum(result_count) AS result_count,
       min(min) AS min,
       max(max) AS max,
       (array_agg(last_value ORDER BY last_at DESC, local_date DESC))[1] AS last_value,
       (array_agg(last_comparator ORDER BY last_at DESC, local_date DESC))[1] AS last_comparator,
       (array_agg(last_text ORDER BY last_at DESC, local_date DESC))[1] AS last_text,
       max(last_at) AS last_at,
       bool_or(is_partial) AS is_partial
FROM lab_daily
GROUP BY 1, 2, 3, 4;
COMMENT ON VIEW lab_weekly IS 'Daily laboratory results by ISO week (Monday to Sunday), analyte and unit. Without a mean: a day does not tell how many of its results are exact numbers.';

CREATE VIEW vitals_monthly AS
WITH daily AS (
    SELECT *, date_trunc('month', local_date)::date AS month_start
    FROM vitals_daily
), merged AS (
    SELECT user_id, month_start, metric, unit,
           count(*) FILTER (WHERE sample_count > 0 OR censored_count > 0) AS days_with_data,
           sum(sample_count) AS sample_count,
           sum(censored_count) AS censored_count,
           sum(rejected_count) AS rejected_count,
           sum(total) AS total,
           sum(sample_count * mean) / nullif(sum(sample_count) FILTER (WHERE mean IS NOT NULL), 0) AS mean,
           min(min) AS min,
           max(max) AS max,
           min(first_at) AS first_at,
           max(last_at) AS last_at,
           bool_or(is_partial) AS is_partial
    FROM daily
    GROUP BY user_id, month_start, metric, unit
)
SELECT m.*,
       (SELECT sqrt((sum((d.sample_count - 1) * coalesce(d.stddev, 0) ^ 2)
                     + sum(d.sample_count * (d.mean - m.mean) ^ 2)) / nullif(m.sample_count - 1, 0))
        FROM daily AS d
        WHERE d.user_id = m.user_id AND d.month_start = m.month_start AND d.metric = m.metric AND d.unit = m.unit
          AND d.mean IS NOT NULL) AS stddev
FROM merged AS m;
COMMENT ON VIEW vitals_monthly IS 'Daily vitals merged by month';
COMMENT ON COLUMN vitals_monthly.days_with_data IS 'Days behind the figures; a total of fewer days is no total of a whole month';
COMMENT ON COLUMN vitals_monthly.mean IS 'Over all samples, not over days';
COMMENT ON COLUMN vitals_monthly.stddev IS 'Sample standard deviation (n - 1) over all samples';
COMMENT ON COLUMN vitals_monthly.is_partial IS 'One of its days had not ended when it was computed';

CREATE VIEW nutrition_monthly AS
SELECT user_id, date_trunc('month', local_date)::date AS month_start,
       count(*) FILTER (WHERE item_count > 0) AS days_with_data,
       sum(item_count) AS item_count,
       sum(rejected_count) AS rejected_count,
       sum(energy_kcal) AS energy_kcal,
       sum(protein_g) AS protein_g,
       sum(fat_g) AS fat_g,
       sum(carbohydrate_g) AS carbohydrate_g,
       sum(fiber_g) AS fiber_g,
       sum(sugar_g) AS sugar_g,
       sum(sodium_mg) AS sodium_mg,
       sum(saturated_fat_g) AS saturated_fat_g,
       sum(cholesterol_mg) AS cholesterol_mg,
       sum(alcohol_g) AS alcohol_g,
       sum(water_g) AS water_g,
       sum(caffeine_mg) AS caffeine_mg,
       sum(vitamin_a_ug) AS vitamin_a_ug,
       sum(vitamin_c_mg) AS vitamin_c_mg,
       sum(vitamin_d_ug) AS vitamin_d_ug,
       sum(vitamin_e_mg) AS vitamin_e_mg,
       sum(vitamin_k_ug) AS vitamin_k_ug,
       sum(thiamin_mg) AS thiamin_mg,
       sum(riboflavin_mg) AS riboflavin_mg,
       sum(niacin_mg) AS niacin_mg,
       sum(vitamin_b6_mg) AS vitamin_b6_mg,
       sum(vitamin_b12_ug) AS vitamin_b12_ug,
       sum(folate_ug) AS folate_ug,
       sum(calcium_mg) AS calcium_mg,
       sum(iron_mg) AS iron_mg,
       sum(magnesium_mg) AS magnesium_mg,
       sum(phosphorus_mg) AS phosphorus_mg,
       sum(potassium_mg) AS potassium_mg,
       sum(zinc_mg) AS zinc_mg,
       sum(copper_mg) AS copper_mg,
       sum(manganese_mg) AS manganese_mg,
       sum(selenium_ug) AS selenium_ug,
       sum(breakfast_count) AS breakfast_count, sum(breakfast_energy_kcal) AS breakfast_energy_kcal,
       sum(lunch_count) AS lunch_count, sum(lunch_energy_kcal) AS lunch_energy_kcal,
       sum(dinner_count) AS dinner_count, sum(dinner_energy_kcal) AS dinner_energy_kcal,
       sum(snack_count) AS snack_count, sum(snack_energy_kcal) AS snack_energy_kcal,
       sum(other_count) AS other_count, sum(other_energy_kcal) AS other_energy_kcal,
       bool_or(is_partial) AS is_partial
FROM nutrition_daily
GROUP BY 1, 2;
COMMENT ON VIEW nutrition_monthly IS 'Daily nutrition summed by month; NULL where no day knows it';
COMMENT ON COLUMN nutrition_monthly.days_with_data IS 'Days with food; divide by it for a mean of a day with data';

CREATE VIEW lab_monthly AS
SELECT user_id, date_trunc('month', local_date)::date AS month_start, analyte, unit,
       count(*) AS days_with_data,
       sum(result_count) AS result_count,
       min(min) AS min,
       max(max) AS max,
       (array_agg(last_value ORDER BY last_at DESC, local_date DESC))[1] AS last_value,
       (array_agg(last_comparator ORDER BY last_at DESC, local_date DESC))[1] AS last_comparator,
       (array_agg(last_text ORDER BY last_at DESC, local_date DESC))[1] AS last_text,
       max(last_at) AS last_at,
       bool_or(is_partial) AS is_partial
FROM lab_daily
GROUP BY 1, 2, 3, 4;
COMMENT ON VIEW lab_monthly IS 'Daily laboratory results by month, analyte and unit. Without a mean: a day does not tell how many of its results are exact numbers.';

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
