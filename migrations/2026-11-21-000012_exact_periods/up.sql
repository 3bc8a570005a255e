-- Weeks and months to the last bit, and more of what the days tell.
--
-- A sum of doubles depends on the order of its parts, so each says that it goes by date: a day that was
-- written last would else be added last. Each view is the same for both periods: {p} is week or month.
-- They are replaced, not dropped, so that rights on them stay; hence new columns come last.

ALTER TABLE lab_daily ADD COLUMN exact_count integer;
COMMENT ON COLUMN lab_daily.exact_count IS 'Results that are numbers without a comparator, of which min, max and mean are; NULL in rows of an algorithm_version before 3';

-- PostgreSQL makes an error of a result too small for a double, and one such row would be an error
-- for every reader of a view. Results that small count as 0.
CREATE FUNCTION aggregation_square(x double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN abs(x) < 1e-150 THEN 0 ELSE x * x END;
CREATE FUNCTION aggregation_quotient(a double precision, b double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN abs(a) < 1e-280 AND b IS NOT NULL THEN 0 ELSE a / b END;
COMMENT ON FUNCTION aggregation_square(double precision) IS 'The square, for views: 0 where it is too small for a double';
COMMENT ON FUNCTION aggregation_quotient(double precision, double precision) IS 'a / b, for views: 0 where that is too small for a double';

DO $views$
DECLARE
    p text;
BEGIN
    FOREACH p IN ARRAY ARRAY['week', 'month'] LOOP
        EXECUTE replace($sql$
            CREATE OR REPLACE VIEW vitals_{p}ly AS
            WITH daily AS (
                SELECT *, date_trunc('{p}', local_date)::date AS {p}_start
                FROM vitals_daily
            ), merged AS (
                SELECT user_id, {p}_start, metric, unit,
                       count(*) FILTER (WHERE sample_count > 0 OR censored_count > 0) AS days_with_data,
                       sum(sample_count) AS sample_count,
                       sum(censored_count) AS censored_count,
                       sum(rejected_count) AS rejected_count,
                       sum(total ORDER BY local_date) AS total,
                       aggregation_quotient(sum(sample_count * mean ORDER BY local_date),
                           nullif(sum(sample_count) FILTER (WHERE mean IS NOT NULL), 0)) AS mean,
                       min(min) AS min,
                       max(max) AS max,
                       min(first_at) AS first_at,
                       max(last_at) AS last_at,
                       bool_or(is_partial) AS is_partial,
                       (array_agg(first_value ORDER BY first_at, local_date)
                            FILTER (WHERE first_at IS NOT NULL))[1] AS first_value,
                       (array_agg(last_value ORDER BY last_at DESC, local_date DESC)
                            FILTER (WHERE last_at IS NOT NULL))[1] AS last_value
                FROM daily
                GROUP BY user_id, {p}_start, metric, unit
            )
            SELECT user_id, {p}_start, metric, unit, days_with_data, sample_count, censored_count,
                   rejected_count, total, mean, min, max, first_at, last_at, is_partial,
                   (SELECT sqrt(aggregation_quotient(sum((d.sample_count - 1) * aggregation_square(coalesce(d.stddev, 0)) ORDER BY d.local_date)
                                 + sum(d.sample_count * aggregation_square(d.mean - m.mean) ORDER BY d.local_date),
                                 nullif(m.sample_count - 1, 0)))
                    FROM daily AS d
                    WHERE d.user_id = m.user_id AND d.{p}_start = m.{p}_start
                      AND d.metric = m.metric AND d.unit = m.unit AND d.mean IS NOT NULL) AS stddev,
                   first_value, last_value
            FROM merged AS m
        $sql$, '{p}', p);

        EXECUTE replace($sql$
            CREATE OR REPLACE VIEW nutrition_{p}ly AS
            SELECT user_id, date_trunc('{p}', local_date)::date AS {p}_start,
                   count(*) FILTER (WHERE item_count > 0) AS days_with_data,
                   sum(item_count) AS item_count,
                   sum(rejected_count) AS rejected_count,
                   sum(energy_kcal ORDER BY local_date) AS energy_kcal,
                   sum(protein_g ORDER BY local_date) AS protein_g,
                   sum(fat_g ORDER BY local_date) AS fat_g,
                   sum(carbohydrate_g ORDER BY local_date) AS carbohydrate_g,
                   sum(fiber_g ORDER BY local_date) AS fiber_g,
                   sum(sugar_g ORDER BY local_date) AS sugar_g,
                   sum(sodium_mg ORDER BY local_date) AS sodium_mg,
                   sum(saturated_fat_g ORDER BY local_date) AS saturated_fat_g,
                   sum(cholesterol_mg ORDER BY local_date) AS cholesterol_mg,
                   sum(alcohol_g ORDER BY local_date) AS alcohol_g,
                   sum(water_g ORDER BY local_date) AS water_g,
                   sum(caffeine_mg ORDER BY local_date) AS caffeine_mg,
                   sum(vitamin_a_ug ORDER BY local_date) AS vitamin_a_ug,
                   sum(vitamin_c_mg ORDER BY local_date) AS vitamin_c_mg,
                   sum(vitamin_d_ug ORDER BY local_date) AS vitamin_d_ug,
                   sum(vitamin_e_mg ORDER BY local_date) AS vitamin_e_mg,
                   sum(vitamin_k_ug ORDER BY local_date) AS vitamin_k_ug,
                   sum(thiamin_mg ORDER BY local_date) AS thiamin_mg,
                   sum(riboflavin_mg ORDER BY local_date) AS riboflavin_mg,
                   sum(niacin_mg ORDER BY local_date) AS niacin_mg,
                   sum(vitamin_b6_mg ORDER BY local_date) AS vitamin_b6_mg,
                   sum(vitamin_b12_ug ORDER BY local_date) AS vitamin_b12_ug,
                   sum(folate_ug ORDER BY local_date) AS folate_ug,
                   sum(calcium_mg ORDER BY local_date) AS calcium_mg,
                   sum(iron_mg ORDER BY local_date) AS iron_mg,
                   sum(magnesium_mg ORDER BY local_date) AS magnesium_mg,
                   sum(phosphorus_mg ORDER BY local_date) AS phosphorus_mg,
                   sum(potassium_mg ORDER BY local_date) AS potassium_mg,
                   sum(zinc_mg ORDER BY local_date) AS zinc_mg,
                   sum(copper_mg ORDER BY local_date) AS copper_mg,
                   sum(manganese_mg ORDER BY local_date) AS manganese_mg,
                   sum(selenium_ug ORDER BY local_date) AS selenium_ug,
                   sum(breakfast_count) AS breakfast_count, sum(breakfast_energy_kcal ORDER BY local_date) AS breakfast_energy_kcal,
                   sum(lunch_count) AS lunch_count, sum(lunch_energy_kcal ORDER BY local_date) AS lunch_energy_kcal,
                   sum(dinner_count) AS dinner_count, sum(dinner_energy_kcal ORDER BY local_date) AS dinner_energy_kcal,
                   sum(snack_count) AS snack_count, sum(snack_energy_kcal ORDER BY local_date) AS snack_energy_kcal,
                   sum(other_count) AS other_count, sum(other_energy_kcal ORDER BY local_date) AS other_energy_kcal,
                   bool_or(is_partial) AS is_partial,
                   sum(carbohydrate_kcal ORDER BY local_date) AS carbohydrate_kcal,
                   sum(protein_kcal ORDER BY local_date) AS protein_kcal,
                   sum(fat_kcal ORDER BY local_date) AS fat_kcal,
                   sum(alcohol_kcal ORDER BY local_date) AS alcohol_kcal,
                   aggregation_quotient(100 * sum(carbohydrate_kcal ORDER BY local_date) FILTER (WHERE known_kcal IS NOT NULL),
                       nullif(sum(known_kcal ORDER BY local_date), 0)) AS carbohydrate_percent,
                   aggregation_quotient(100 * sum(protein_kcal ORDER BY local_date) FILTER (WHERE known_kcal IS NOT NULL),
                       nullif(sum(known_kcal ORDER BY local_date), 0)) AS protein_percent,
                   aggregation_quotient(100 * sum(fat_kcal ORDER BY local_date) FILTER (WHERE known_kcal IS NOT NULL),
                       nullif(sum(known_kcal ORDER BY local_date), 0)) AS fat_percent,
                   CASE WHEN bool_or(alcohol_percent IS NOT NULL) THEN
                       aggregation_quotient(
                           100 * coalesce(sum(alcohol_kcal ORDER BY local_date) FILTER (WHERE known_kcal IS NOT NULL), 0),
                           nullif(sum(known_kcal ORDER BY local_date), 0))
                   END AS alcohol_percent,
                   min(first_eaten_at) AS first_eaten_at,
                   max(last_eaten_at) AS last_eaten_at
            FROM (SELECT *, CASE WHEN carbohydrate_percent IS NOT NULL THEN
                             carbohydrate_kcal + protein_kcal + fat_kcal + coalesce(alcohol_kcal, 0)
                         END AS known_kcal
                  FROM nutrition_daily) AS daily
            GROUP BY 1, 2
        $sql$, '{p}', p);

        EXECUTE replace($sql$
            CREATE OR REPLACE VIEW lab_{p}ly AS
            SELECT user_id, date_trunc('{p}', local_date)::date AS {p}_start, analyte, unit,
                   count(*) AS days_with_data,
                   sum(result_count) AS result_count,
                   min(min) AS min,
                   max(max) AS max,
                   (array_agg(last_value ORDER BY last_at DESC, local_date DESC))[1] AS last_value,
                   (array_agg(last_comparator ORDER BY last_at DESC, local_date DESC))[1] AS last_comparator,
                   (array_agg(last_text ORDER BY last_at DESC, local_date DESC))[1] AS last_text,
                   max(last_at) AS last_at,
                   bool_or(is_partial) AS is_partial,
                   sum(exact_count) AS exact_count,
                   CASE WHEN count(*) FILTER (WHERE mean IS NOT NULL AND exact_count IS NULL
                                                 OR abs(mean) > 1e290) = 0 THEN
                       aggregation_quotient(
                           sum(exact_count * mean ORDER BY local_date) FILTER (WHERE abs(mean) <= 1e290),
                           nullif(sum(exact_count) FILTER (WHERE mean IS NOT NULL), 0))
                   END AS mean,
                   (array_agg(reference_low ORDER BY last_at DESC, local_date DESC))[1] AS reference_low,
                   (array_agg(reference_high ORDER BY last_at DESC, local_date DESC))[1] AS reference_high,
                   (array_agg(reference_text ORDER BY last_at DESC, local_date DESC))[1] AS reference_text,
                   (array_agg(last_flag ORDER BY last_at DESC, local_date DESC))[1] AS last_flag,
                   (array_agg(worst_flag ORDER BY
                        CASE WHEN worst_flag IN ('HH', 'LL') THEN 2 WHEN worst_flag IN ('H', 'L') THEN 1
                        ELSE 0 END DESC, last_at DESC, local_date DESC)
                        FILTER (WHERE worst_flag IS NOT NULL))[1] AS worst_flag
            FROM lab_daily
            GROUP BY 1, 2, 3, 4
        $sql$, '{p}', p);

        EXECUTE replace($sql$
            CREATE OR REPLACE VIEW sleep_{p}ly AS
            SELECT user_id, date_trunc('{p}', local_date)::date AS {p}_start,
                   count(*) FILTER (WHERE segment_count > 0) AS days_with_data,
                   sum(asleep_minutes ORDER BY local_date) AS asleep_minutes,
                   sum(core_minutes ORDER BY local_date) AS core_minutes,
                   sum(deep_minutes ORDER BY local_date) AS deep_minutes,
                   sum(rem_minutes ORDER BY local_date) AS rem_minutes,
                   sum(unspecified_minutes ORDER BY local_date) AS unspecified_minutes,
                   sum(awake_minutes ORDER BY local_date) AS awake_minutes,
                   sum(in_bed_minutes ORDER BY local_date) AS in_bed_minutes,
                   avg(asleep_minutes ORDER BY local_date) AS mean_asleep_minutes,
                   min(asleep_minutes) AS min_asleep_minutes,
                   max(asleep_minutes) AS max_asleep_minutes,
                   aggregation_quotient(sum(asleep_minutes ORDER BY local_date) FILTER (WHERE efficiency IS NOT NULL),
                       nullif(sum(in_bed_minutes ORDER BY local_date) FILTER (WHERE efficiency IS NOT NULL), 0))
                           AS efficiency,
                   sum(nap_count) AS nap_count,
                   sum(nap_minutes ORDER BY local_date) AS nap_minutes,
                   sum(segment_count) AS segment_count,
                   sum(rejected_count) AS rejected_count,
                   bool_or(is_partial) AS is_partial
            FROM sleep_daily
            GROUP BY 1, 2
        $sql$, '{p}', p);

        EXECUTE replace($sql$
            CREATE OR REPLACE VIEW blood_pressure_{p}ly AS
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
                   aggregation_quotient(sum(exact_count * systolic_mean ORDER BY local_date),
                       nullif(sum(exact_count), 0)) AS systolic_mean,
                   min(systolic_min) AS systolic_min,
                   max(systolic_max) AS systolic_max,
                   aggregation_quotient(sum(exact_count * diastolic_mean ORDER BY local_date),
                       nullif(sum(exact_count), 0)) AS diastolic_mean,
                   min(diastolic_min) AS diastolic_min,
                   max(diastolic_max) AS diastolic_max,
                   aggregation_quotient(sum(exact_count * mean_arterial_pressure ORDER BY local_date), nullif(sum(exact_count), 0))
                       AS mean_arterial_pressure,
                   (ARRAY['normal', 'elevated', 'stage_1', 'stage_2', 'severe'])[max(severity)]
                       AS worst_category,
                   sum(rejected_count) AS rejected_count,
                   bool_or(is_partial) AS is_partial
            FROM daily
            GROUP BY user_id, {p}_start
        $sql$, '{p}', p);

        EXECUTE replace($sql$
            CREATE OR REPLACE VIEW glucose_{p}ly AS
            WITH daily AS (
                SELECT *, date_trunc('{p}', local_date)::date AS {p}_start,
                       sample_count + censored_count AS reading_count
                FROM glucose_daily
            ), merged AS (
                SELECT user_id, {p}_start,
                       count(*) FILTER (WHERE reading_count > 0) AS days_with_data,
                       sum(sample_count) AS sample_count,
                       sum(censored_count) AS censored_count,
                       aggregation_quotient(sum(sample_count * mean ORDER BY local_date),
                           nullif(sum(sample_count), 0)) AS mean,
                       aggregation_quotient(sum(reading_count * below_54_percent ORDER BY local_date),
                           nullif(sum(reading_count), 0)) AS below_54_percent,
                       aggregation_quotient(sum(reading_count * below_70_percent ORDER BY local_date),
                           nullif(sum(reading_count), 0)) AS below_70_percent,
                       aggregation_quotient(sum(reading_count * from_70_to_180_percent ORDER BY local_date), nullif(sum(reading_count), 0))
                           AS from_70_to_180_percent,
                       aggregation_quotient(sum(reading_count * from_70_to_140_percent ORDER BY local_date), nullif(sum(reading_count), 0))
                           AS from_70_to_140_percent,
                       aggregation_quotient(sum(reading_count * above_180_percent ORDER BY local_date),
                           nullif(sum(reading_count), 0)) AS above_180_percent,
                       aggregation_quotient(sum(reading_count * above_250_percent ORDER BY local_date),
                           nullif(sum(reading_count), 0)) AS above_250_percent,
                       sum(low_episodes) AS low_episodes,
                       sum(high_episodes) AS high_episodes,
                       sum(coverage_percent ORDER BY local_date) / extract(day FROM {p}_start + interval '1 {p}' - {p}_start)::float8
                           AS coverage_percent,
                       sum(rejected_count) AS rejected_count,
                       bool_or(is_partial) AS is_partial
                FROM daily
                GROUP BY user_id, {p}_start
            ), spread AS (
                SELECT m.*,
                       (SELECT sqrt(aggregation_quotient(sum((d.sample_count - 1) * aggregation_square(coalesce(d.stddev, 0)) ORDER BY d.local_date)
                                     + sum(d.sample_count * aggregation_square(d.mean - m.mean) ORDER BY d.local_date),
                                     nullif(m.sample_count - 1, 0)))
                        FROM daily AS d
                        WHERE d.user_id = m.user_id AND d.{p}_start = m.{p}_start AND d.mean IS NOT NULL) AS stddev
                FROM merged AS m
            )
            SELECT user_id, {p}_start, days_with_data, sample_count, censored_count, mean, stddev,
                   100 * stddev / mean AS cv_percent,
                   3.31 + 0.02392 * mean AS gmi_percent,
                   (46.7 + mean) / 28.7 AS ea1c_percent,
                   0.001 * aggregation_square(mean + stddev) AS j_index,
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

        EXECUTE format('COMMENT ON VIEW lab_%sly IS %L', p,
            'Daily laboratory results by ' || CASE p WHEN 'week' THEN 'ISO week (Monday to Sunday)' ELSE p END
            || ', analyte and unit');
        EXECUTE format('COMMENT ON COLUMN lab_%sly.mean IS %L', p,
            'Over all numbers without a comparator, not over days; NULL while a day has no exact_count yet, and where one claims more than 1e290');
        EXECUTE format('COMMENT ON COLUMN lab_%sly.reference_low IS %L', p,
            'Of the last result, as are reference_high, reference_text and last_flag');
        EXECUTE format('COMMENT ON COLUMN nutrition_%sly.carbohydrate_percent IS %L', p,
            'Share of the energy by macronutrients, over the days that know their shares; so are protein, fat and alcohol');
    END LOOP;
END
$views$;
