-- The daily rows of each ISO week and each month, merged exactly. A mean is the sum of n times
-- mean, divided by the sum of n, and never a mean of means. Views, because a day may change at any
-- time. Percentiles cannot be merged from days; vitals_hourly has the sketches.

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
