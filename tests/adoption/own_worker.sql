-- The app's own worker: plain SQL over its raw tables, which knows nothing of Dayfold. It computes all aggregates
-- again and sets the status columns.

CREATE TEMPORARY VIEW samples AS
SELECT r.user_id, r.metric_type, k.loinc_code, k.is_total, r.start_date, r.data_source, k.unit,
       CASE WHEN r.unit = '°C' THEN r.value * 9 / 5 + 32 WHEN r.unit = 'kg' THEN r.value / 0.45359237
            WHEN r.metric_type = 'Sleep' AND r.unit = 'hours' THEN r.value * 60 ELSE r.value END AS value,
       CASE WHEN r.metric_type = 'Sleep' AND r.start_date::time >= '18:00' THEN r.start_date::date + 1
            ELSE r.start_date::date END AS date
FROM vitals_raw_data AS r
JOIN (VALUES ('Heart Rate', '8867-4', 'bpm', false), ('Blood Pressure Systolic', '8480-6', 'mmHg', false),
             ('Blood Pressure Diastolic', '8462-4', 'mmHg', false), ('Blood Sugar', '2339-0', 'mg/dL', false),
             ('Temperature', '8310-5', '°F', false), ('Weight', '29463-7', 'lbs', false), ('Height', '8302-2', 'meters', false),
             ('BMI', '39156-5', 'kg/m2', false), ('Oxygen Saturation', '59408-5', '%', false), ('Steps', '41950-7', 'steps', true),
             ('Stand Hours', NULL, 'hours', true), ('Active Energy', '41981-2', 'kcal', true),
             ('Flights Climbed', NULL, 'flights', true), ('Workouts', NULL, 'count', true),
             ('Workout Duration', NULL, 'minutes', true), ('Workout Calories', NULL, 'kcal', true),
             ('Workout Distance', NULL, 'meters', true), ('Distance Walking', '41953-1', 'meters', true),
             ('Sleep', NULL, 'minutes', NULL)) AS k (metric_type, loinc_code, unit, is_total) USING (metric_type)
WHERE r.metric_type <> 'Sleep' OR r.notes = 'asleep';

CREATE TEMPORARY VIEW nights AS
SELECT n.user_id, n.date, n.minutes, n.source, s.segments
FROM (SELECT user_id, date, sum(value) AS minutes, min(data_source) AS source
      FROM samples WHERE metric_type = 'Sleep' GROUP BY user_id, date) AS n
JOIN (SELECT user_id, (start_date + interval '6 hours')::date AS date, count(*) AS segments
      FROM vitals_raw_data WHERE metric_type = 'Sleep' GROUP BY 1, 2) AS s USING (user_id, date);

TRUNCATE vitals_hourly_aggregates, vitals_daily_aggregates, vitals_weekly_aggregates, vitals_monthly_aggregates,
    nutrition_daily_aggregates, nutrition_weekly_aggregates, nutrition_monthly_aggregates,
    lab_reports_daily, lab_reports_monthly, lab_reports_quarterly, lab_reports_yearly;

INSERT INTO vitals_hourly_aggregates (user_id, metric_type, loinc_code, hour_start, total_value, average_value, min_value,
    max_value, count, duration_minutes, unit, primary_source, sources_included)
SELECT user_id, metric_type, loinc_code, date_trunc('hour', start_date), CASE WHEN is_total THEN sum(value) END, avg(value),
       CASE WHEN NOT is_total THEN min(value) END, CASE WHEN NOT is_total THEN max(value) END, count(*),
       CASE metric_type WHEN 'Workout Duration' THEN sum(value) END, unit, min(data_source), jsonb_agg(DISTINCT data_source)::text
FROM samples WHERE is_total IS NOT NULL
GROUP BY user_id, metric_type, loinc_code, is_total, unit, date_trunc('hour', start_date);

INSERT INTO vitals_daily_aggregates (user_id, metric_type, loinc_code, date, total_value, average_value, min_value,
    max_value, count, duration_minutes, unit, primary_source, sources_included)
SELECT user_id, metric_type, loinc_code, date, CASE WHEN is_total THEN sum(value) END, avg(value),
       CASE WHEN NOT is_total THEN min(value) END, CASE WHEN NOT is_total THEN max(value) END, count(*),
       CASE metric_type WHEN 'Workout Duration' THEN sum(value) END, unit, min(data_source), jsonb_agg(DISTINCT data_source)::text
FROM samples WHERE is_total IS NOT NULL
GROUP BY user_id, metric_type, loinc_code, is_total, unit, date
UNION ALL
SELECT user_id, 'Sleep', NULL, date, minutes, minutes, minutes, minutes, segments, minutes, 'minutes', source,
       jsonb_build_array(source)::text
FROM nights;

INSERT INTO vitals_weekly_aggregates (user_id, metric_type, loinc_code, week_start_date, week_end_date, total_value,
    average_value, min_value, max_value, days_with_data, total_duration_minutes, unit, primary_source, sources_included)
SELECT user_id, metric_type, loinc_code, date_trunc('week', date)::date, date_trunc('week', date)::date + 6,
       CASE WHEN is_total THEN sum(value) END, CASE WHEN is_total THEN sum(value) / count(DISTINCT date) ELSE avg(value) END,
       CASE WHEN NOT is_total THEN min(value) END, CASE WHEN NOT is_total THEN max(value) END, count(DISTINCT date),
       CASE metric_type WHEN 'Workout Duration' THEN sum(value) END, unit, min(data_source), jsonb_agg(DISTINCT data_source)::text
FROM samples WHERE is_total IS NOT NULL
GROUP BY user_id, metric_type, loinc_code, is_total, unit, date_trunc('week', date)
UNION ALL
SELECT user_id, 'Sleep', NULL, date_trunc('week', date)::date, date_trunc('week', date)::date + 6, sum(minutes), avg(minutes),
       min(minutes), max(minutes), count(*), sum(minutes), 'minutes', min(source), jsonb_agg(DISTINCT source)::text
FROM nights GROUP BY user_id, date_trunc('week', date);

INSERT INTO vitals_monthly_aggregates (user_id, metric_type, loinc_code, year, month, total_value, average_value, min_value,
    max_value, days_with_data, total_duration_minutes, unit, primary_source, sources_included)
SELECT user_id, metric_type, loinc_code, extract(year FROM date), extract(month FROM date),
       CASE WHEN is_total THEN sum(value) END, CASE WHEN is_total THEN sum(value) / count(DISTINCT date) ELSE avg(value) END,
       CASE WHEN NOT is_total THEN min(value) END, CASE WHEN NOT is_total THEN max(value) END, count(DISTINCT date),
       CASE metric_type WHEN 'Workout Duration' THEN sum(value) END, unit, min(data_source), jsonb_agg(DISTINCT data_source)::text
FROM samples WHERE is_total IS NOT NULL
GROUP BY user_id, metric_type, loinc_code, is_total, unit, extract(year FROM date), extract(month FROM date)
UNION ALL
SELECT user_id, 'Sleep', NULL, extract(year FROM date), extract(month FROM date), sum(minutes), avg(minutes),
       min(minutes), max(minutes), count(*), sum(minutes), 'minutes', min(source), jsonb_agg(DISTINCT source)::text
FROM nights GROUP BY user_id, extract(year FROM date), extract(month FROM date);

DO $do$
DECLARE
    totals text;
    sums text;
    averages text;
BEGIN
    SELECT string_agg('total_' || attname, ', ' ORDER BY attnum), string_agg(format('sum(%I)', attname), ', ' ORDER BY attnum),
           string_agg('avg_daily_' || attname, ', ' ORDER BY attnum)
    INTO totals, sums, averages
    FROM pg_attribute WHERE attrelid = 'nutrition_raw_data'::regclass AND attname ~ '_(g|mg|mcg)$';
    EXECUTE format($sql$
        INSERT INTO nutrition_daily_aggregates (user_id, date, total_calories, %s, meal_count, breakfast_count, lunch_count,
            dinner_count, snack_count, breakfast_calories, lunch_calories, dinner_calories, snack_calories, primary_source,
            sources_included)
        SELECT user_id, meal_date, sum(calories), %s, count(*), count(*) FILTER (WHERE meal_type = 'breakfast'),
               count(*) FILTER (WHERE meal_type = 'lunch'), count(*) FILTER (WHERE meal_type = 'dinner'),
               count(*) FILTER (WHERE meal_type = 'snack'),
               coalesce(sum(calories) FILTER (WHERE meal_type = 'breakfast'), 0),
               coalesce(sum(calories) FILTER (WHERE meal_type = 'lunch'), 0),
               coalesce(sum(calories) FILTER (WHERE meal_type = 'dinner'), 0),
               coalesce(sum(calories) FILTER (WHERE meal_type = 'snack'), 0), min(data_source),
               jsonb_agg(DISTINCT data_source)::text
        FROM nutrition_raw_data GROUP BY user_id, meal_date
    $sql$, totals, sums);
    EXECUTE format($sql$
        INSERT INTO nutrition_weekly_aggregates (user_id, week_start_date, week_end_date, avg_daily_calories, %s,
            total_weekly_calories, total_weekly_meals, days_with_data)
        SELECT user_id, date_trunc('week', date)::date, date_trunc('week', date)::date + 6, avg(total_calories), %s,
               sum(total_calories), sum(meal_count), count(*)
        FROM nutrition_daily_aggregates GROUP BY user_id, date_trunc('week', date)
    $sql$, averages, regexp_replace(sums, 'sum\((\w+)\)', 'avg(total_\1)', 'g'));
    EXECUTE format($sql$
        INSERT INTO nutrition_monthly_aggregates (user_id, year, month, avg_daily_calories, %s,
            total_monthly_calories, total_monthly_meals, days_with_data)
        SELECT user_id, extract(year FROM date), extract(month FROM date), avg(total_calories), %s,
               sum(total_calories), sum(meal_count), count(*)
        FROM nutrition_daily_aggregates GROUP BY user_id, extract(year FROM date), extract(month FROM date)
    $sql$, averages, regexp_replace(sums, 'sum\((\w+)\)', 'avg(total_\1)', 'g'));
END $do$;

CREATE TEMPORARY VIEW results AS
SELECT *, CASE WHEN number IS NULL OR reference_range IS NULL THEN NULL
               WHEN number >= coalesce(low, number) AND number <= coalesce(high, number) THEN 1 ELSE 2 END AS severity
FROM (
    SELECT *, CASE WHEN test_value ~ '^[0-9.]+$' THEN test_value::double precision END AS number,
           CASE WHEN reference_range ~ '-' THEN split_part(reference_range, '-', 1)::double precision END AS low,
           CASE WHEN reference_range ~ '-' THEN split_part(reference_range, '-', 2)::double precision
                ELSE ltrim(reference_range, '<')::double precision END AS high
    FROM lab_report_categorized) AS r;

DO $do$
DECLARE
    p record;
BEGIN
    FOR p IN SELECT * FROM (VALUES ('daily', 'date', 'test_date'), ('monthly', 'year, month', 'extract(year FROM test_date), extract(month FROM test_date)'),
        ('quarterly', 'year, quarter', 'extract(year FROM test_date), extract(quarter FROM test_date)'),
        ('yearly', 'year', 'extract(year FROM test_date)')) AS periods (name, columns, key)
    LOOP
        EXECUTE format($sql$
            INSERT INTO lab_reports_%1$s (user_id, %2$s, test_name, test_code, loinc_code, test_category, avg_value, min_value,
                max_value, count, unit, normal_range_min, normal_range_max, status)
            SELECT user_id, %3$s, test_name, min(test_code), min(loinc_code), min(test_category),
                   coalesce(avg(number)::text, min(test_value)), coalesce(min(number)::text, min(test_value)),
                   coalesce(max(number)::text, min(test_value)),
                   -- A text that is the same twice on a date is one result.
                   count(*), coalesce(min(test_unit), ''), min(low), min(high), (ARRAY['green', 'amber', 'red'])[max(severity)]
            FROM results GROUP BY user_id, test_name, %3$s
        $sql$, p.name, p.columns, p.key);
    END LOOP;
END $do$;

UPDATE vitals_raw_data SET aggregation_status = 'completed', aggregated_at = now() AT TIME ZONE 'Asia/Kolkata', updated_at = now() AT TIME ZONE 'Asia/Kolkata'
WHERE aggregation_status <> 'completed';
UPDATE nutrition_raw_data SET aggregation_status = 'completed', aggregated_at = now() AT TIME ZONE 'Asia/Kolkata' WHERE aggregation_status <> 'completed';
UPDATE lab_report_categorized SET aggregation_status = 'completed', updated_at = now() AT TIME ZONE 'Asia/Kolkata' WHERE aggregation_status <> 'completed';
DROP VIEW results, nights, samples;
