-- Step 2: a view over Dayfold's figures for each aggregate table of the app, of the same name and columns. They are in
-- a schema of their own, dayfold_app, until switch.sql exchanges them for the tables; so both can be compared before.
--
-- `id` is a number made of the key, and a bigint. Numbers are those of the figures: where two devices overlap, nothing
-- counts twice, and a row that is rejected does not count. `notes` is NULL, because no figure has notes.
--
-- Each view is reached by user_id and its date or metric, through the primary keys of the figures.

BEGIN;
CREATE SCHEMA dayfold_app;

-- Local time as the app's tables have it, and a source list as JSON.
CREATE FUNCTION dayfold_app.local(instant timestamptz) RETURNS timestamp LANGUAGE sql STABLE PARALLEL SAFE
RETURN instant AT TIME ZONE 'Asia/Kolkata';
CREATE FUNCTION dayfold_app.sources(sources jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT jsonb_agg(source ORDER BY source)::text FROM jsonb_object_keys(sources) AS source);

-- Hours, and days with nights. A night counts on the date of waking; hours have no sleep.
CREATE VIEW dayfold_app.vitals_hourly_aggregates AS
SELECT hashtextextended(concat_ws('/', v.user_id, m.metric_type, v.hour_start), 0) AS id, v.user_id, m.metric_type,
       m.loinc_code, dayfold_app.local(v.hour_start) AS hour_start, v.total * m.factor AS total_value,
       coalesce(v.mean * m.factor + m.shift, v.total * m.factor / v.sample_count) AS average_value,
       v.min * m.factor + m.shift AS min_value, v.max * m.factor + m.shift AS max_value, v.sample_count AS count,
       CASE v.metric WHEN 'workout_duration' THEN v.total END AS duration_minutes, m.unit,
       (SELECT source FROM jsonb_each_text(v.sources) AS of (source, samples)
        ORDER BY samples::integer DESC, source LIMIT 1)::varchar AS primary_source,
       dayfold_app.sources(v.sources) AS sources_included, NULL::text AS notes,
       dayfold_app.local(d.computed_at) AS created_at, dayfold_app.local(d.computed_at) AS updated_at
FROM vitals_hourly AS v
JOIN dayfold_metrics AS m USING (metric)
JOIN vitals_daily AS d USING (user_id, local_date, metric)
WHERE v.sample_count > 0;

CREATE VIEW dayfold_app.vitals_daily_aggregates AS
SELECT hashtextextended(concat_ws('/', v.user_id, m.metric_type, v.local_date), 0) AS id, v.user_id, m.metric_type,
       m.loinc_code, v.local_date AS date, v.total * m.factor AS total_value,
       coalesce(v.mean * m.factor + m.shift, v.total * m.factor / v.sample_count) AS average_value,
       v.min * m.factor + m.shift AS min_value, v.max * m.factor + m.shift AS max_value, v.sample_count AS count,
       CASE v.metric WHEN 'workout_duration' THEN v.total END AS duration_minutes, m.unit,
       v.primary_source::varchar AS primary_source, dayfold_app.sources(v.sources) AS sources_included,
       NULL::text AS notes, dayfold_app.local(v.computed_at) AS created_at, dayfold_app.local(v.computed_at) AS updated_at
FROM vitals_daily AS v JOIN dayfold_metrics AS m USING (metric)
WHERE v.sample_count > 0
UNION ALL
SELECT hashtextextended(concat_ws('/', user_id, 'Sleep', local_date), 0), user_id, 'Sleep'::varchar, NULL::varchar,
       local_date, asleep_minutes, asleep_minutes, asleep_minutes, asleep_minutes, segment_count, asleep_minutes,
       'minutes'::varchar, primary_source::varchar, dayfold_app.sources(sources), NULL::text,
       dayfold_app.local(computed_at), dayfold_app.local(computed_at)
FROM sleep_daily
WHERE asleep_minutes IS NOT NULL;

-- Weeks and months: a mean of discrete metrics is over samples, of totals and nights over the days that have one.
DO $do$
DECLARE
    p record;
BEGIN
    FOR p IN SELECT * FROM (VALUES
        ('week', 'v.week_start AS week_start_date, v.week_start + 6 AS week_end_date', 'v.week_start + 6'),
        ('month', 'extract(year FROM v.month_start)::integer AS year, extract(month FROM v.month_start)::integer AS month',
         '(v.month_start + interval ''1 month - 1 day'')::date')) AS periods (name, key, last)
    LOOP
        EXECUTE format($view$
            CREATE VIEW dayfold_app.vitals_%1$sly_aggregates AS
            SELECT hashtextextended(concat_ws('/', v.user_id, m.metric_type, v.%1$s_start), 0) AS id, v.user_id,
                   m.metric_type, m.loinc_code, %2$s, v.total * m.factor AS total_value,
                   coalesce(v.mean * m.factor + m.shift, v.total * m.factor / v.days_with_data) AS average_value,
                   v.min * m.factor + m.shift AS min_value, v.max * m.factor + m.shift AS max_value,
                   v.days_with_data::integer AS days_with_data,
                   CASE v.metric WHEN 'workout_duration' THEN v.total END AS total_duration_minutes, m.unit,
                   d.primary_source::varchar AS primary_source, d.sources AS sources_included, NULL::text AS notes,
                   dayfold_app.local(d.computed_at) AS created_at, dayfold_app.local(d.computed_at) AS updated_at
            FROM vitals_%1$sly AS v JOIN dayfold_metrics AS m USING (metric)
            CROSS JOIN LATERAL (
                SELECT mode() WITHIN GROUP (ORDER BY d.primary_source) AS primary_source, max(d.computed_at) AS computed_at,
                       (SELECT jsonb_agg(DISTINCT source)::text FROM vitals_daily AS e, jsonb_object_keys(e.sources) AS source
                        WHERE e.user_id = v.user_id AND e.metric = v.metric
                          AND e.local_date BETWEEN v.%1$s_start AND %3$s) AS sources
                FROM vitals_daily AS d
                WHERE d.user_id = v.user_id AND d.metric = v.metric AND d.local_date BETWEEN v.%1$s_start AND %3$s
            ) AS d
            WHERE v.days_with_data > 0
            UNION ALL
            SELECT hashtextextended(concat_ws('/', v.user_id, 'Sleep', v.%1$s_start), 0), v.user_id, 'Sleep'::varchar,
                   NULL::varchar, %2$s, v.asleep_minutes, v.mean_asleep_minutes, v.min_asleep_minutes,
                   v.max_asleep_minutes, d.nights::integer, v.asleep_minutes, 'minutes'::varchar, d.primary_source::varchar,
                   d.sources, NULL::text, dayfold_app.local(d.computed_at), dayfold_app.local(d.computed_at)
            FROM sleep_%1$sly AS v
            CROSS JOIN LATERAL (
                SELECT count(d.asleep_minutes) AS nights, mode() WITHIN GROUP (ORDER BY d.primary_source) AS primary_source,
                       max(d.computed_at) AS computed_at,
                       (SELECT jsonb_agg(DISTINCT source)::text FROM sleep_daily AS e, jsonb_object_keys(e.sources) AS source
                        WHERE e.user_id = v.user_id AND e.local_date BETWEEN v.%1$s_start AND %3$s) AS sources
                FROM sleep_daily AS d
                WHERE d.user_id = v.user_id AND d.local_date BETWEEN v.%1$s_start AND %3$s
            ) AS d
            WHERE v.asleep_minutes IS NOT NULL
        $view$, p.name, p.key, p.last);
    END LOOP;
END $do$;

-- Food: an unknown nutrient is 0, as it was.
DO $do$
DECLARE
    p record;
    totals text;
    averages text;
BEGIN
    SELECT string_agg(format('coalesce(v.%I, 0) AS %I', ours, 'total_' || theirs), ', '),
           string_agg(format('coalesce(v.%I, 0) / v.days_with_data AS %I', ours, 'avg_daily_' || theirs), ', ')
    INTO totals, averages
    FROM (VALUES
        ('protein_g', 'protein_g'), ('fat_g', 'fat_g'), ('carbs_g', 'carbohydrate_g'), ('fiber_g', 'fiber_g'),
        ('sugar_g', 'sugar_g'), ('sodium_mg', 'sodium_mg'), ('vitamin_a_mcg', 'vitamin_a_ug'), ('vitamin_c_mg', 'vitamin_c_mg'),
        ('vitamin_d_mcg', 'vitamin_d_ug'), ('vitamin_e_mg', 'vitamin_e_mg'), ('vitamin_k_mcg', 'vitamin_k_ug'), ('vitamin_b1_mg', 'thiamin_mg'),
        ('vitamin_b2_mg', 'riboflavin_mg'), ('vitamin_b3_mg', 'niacin_mg'), ('vitamin_b6_mg', 'vitamin_b6_mg'), ('vitamin_b12_mcg', 'vitamin_b12_ug'),
        ('folate_mcg', 'folate_ug'), ('calcium_mg', 'calcium_mg'), ('iron_mg', 'iron_mg'), ('magnesium_mg', 'magnesium_mg'),
        ('phosphorus_mg', 'phosphorus_mg'), ('potassium_mg', 'potassium_mg'), ('zinc_mg', 'zinc_mg'), ('copper_mg', 'copper_mg'),
        ('manganese_mg', 'manganese_mg'), ('selenium_mcg', 'selenium_ug')) AS nutrients (theirs, ours);

    EXECUTE format($view$
        CREATE VIEW dayfold_app.nutrition_daily_aggregates AS
        SELECT hashtextextended(concat_ws('/', v.user_id, v.local_date), 0) AS id, v.user_id, v.local_date AS date,
               coalesce(v.energy_kcal, 0) AS total_calories, %s, v.item_count AS meal_count,
               v.breakfast_count, v.lunch_count, v.dinner_count, v.snack_count,
               coalesce(v.breakfast_energy_kcal, 0) AS breakfast_calories,
               coalesce(v.lunch_energy_kcal, 0) AS lunch_calories, coalesce(v.dinner_energy_kcal, 0) AS dinner_calories,
               coalesce(v.snack_energy_kcal, 0) AS snack_calories,
               r.primary_source::varchar AS primary_source, r.sources AS sources_included,
               dayfold_app.local(v.computed_at) AS created_at, dayfold_app.local(v.computed_at) AS updated_at
        FROM nutrition_daily AS v
        CROSS JOIN LATERAL (
            SELECT mode() WITHIN GROUP (ORDER BY r.source) AS primary_source, jsonb_agg(DISTINCT r.source)::text AS sources
            FROM nutrition_raw AS r
            WHERE r.user_id = v.user_id AND r.eaten_at >= v.day_start AND r.eaten_at < v.day_end
        ) AS r
        WHERE v.item_count > 0
    $view$, totals);
    FOR p IN SELECT * FROM (VALUES
        ('week', 'v.week_start AS week_start_date, v.week_start + 6 AS week_end_date', 'v.week_start + 6'),
        ('month', 'extract(year FROM v.month_start)::integer AS year, extract(month FROM v.month_start)::integer AS month',
         '(v.month_start + interval ''1 month - 1 day'')::date')) AS periods (name, key, last)
    LOOP
        EXECUTE format($view$
            CREATE VIEW dayfold_app.nutrition_%1$sly_aggregates AS
            SELECT hashtextextended(concat_ws('/', v.user_id, v.%1$s_start), 0) AS id, v.user_id, %2$s,
                   coalesce(v.energy_kcal, 0) / v.days_with_data AS avg_daily_calories, %4$s,
                   coalesce(v.energy_kcal, 0) AS total_%1$sly_calories, v.item_count::integer AS total_%1$sly_meals,
                   v.days_with_data::integer AS days_with_data,
                   dayfold_app.local(d.computed_at) AS created_at, dayfold_app.local(d.computed_at) AS updated_at
            FROM nutrition_%1$sly AS v
            CROSS JOIN LATERAL (
                SELECT max(d.computed_at) AS computed_at FROM nutrition_daily AS d
                WHERE d.user_id = v.user_id AND d.local_date BETWEEN v.%1$s_start AND %3$s
            ) AS d
            WHERE v.days_with_data > 0
        $view$, p.name, p.key, p.last, averages);
    END LOOP;
END $do$;

-- Results. An analyte is a LOINC code or a name; the app's names, codes and categories are those of its row. A unit is
-- the laboratory's own where its number is that of the figures, else the one into which Dayfold converts.
CREATE FUNCTION dayfold_app.analyte(loinc_code text, test_name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(nullif(btrim(loinc_code), ''),
    'name:' || replace(lower(regexp_replace(btrim(normalize(test_name, NFKC)), '\s+', ' ', 'g')), '|', '||'));

CREATE VIEW dayfold_app.lab_days AS
SELECT v.*, c.test_name, c.test_code, c.loinc_code,
       coalesce(c.test_category, c.inferred_test_category, 'Uncategorized') AS test_category,
       coalesce(CASE WHEN v.reported_value ~ '^[0-9]{1,15}(\.[0-9]{1,15})?$'
                      AND abs(v.reported_value::double precision - v.last_value) <= 1e-9 * abs(v.last_value)
                     THEN v.reported_unit END, v.unit) AS shown_unit,
       CASE WHEN v.worst_flag = 'N' THEN 1 WHEN v.worst_flag IN ('H', 'L', 'A') THEN 2
            WHEN v.worst_flag IN ('HH', 'LL') THEN 3 END AS severity
FROM lab_daily AS v
CROSS JOIN LATERAL (
    SELECT c.test_name, c.test_code, c.loinc_code, c.test_category, c.inferred_test_category
    FROM lab_raw AS r JOIN lab_report_categorized AS c ON c.id = r.id
    WHERE r.user_id = v.user_id AND r.collected_at = v.last_at
      AND dayfold_app.analyte(r.loinc_code, r.test_name) = v.analyte
    ORDER BY r.id DESC LIMIT 1
) AS c;

CREATE FUNCTION dayfold_app.shown(number double precision, otherwise text) RETURNS varchar LANGUAGE sql IMMUTABLE
RETURN coalesce(trim_scale(round(number::numeric, 4))::varchar, left(otherwise, 100));

DO $do$
DECLARE
    p record;
BEGIN
    FOR p IN SELECT * FROM (VALUES
        ('daily', 'local_date AS date', 'local_date'),
        ('monthly', 'extract(year FROM local_date)::integer AS year, extract(month FROM local_date)::integer AS month',
         'extract(year FROM local_date), extract(month FROM local_date)'),
        ('quarterly', 'extract(year FROM local_date)::integer AS year, extract(quarter FROM local_date)::integer AS quarter',
         'extract(year FROM local_date), extract(quarter FROM local_date)'),
        ('yearly', 'extract(year FROM local_date)::integer AS year', 'extract(year FROM local_date)')) AS periods (name, key, part)
    LOOP
        EXECUTE format($view$
            CREATE VIEW dayfold_app.lab_reports_%1$s AS
            SELECT hashtextextended(concat_ws('/', user_id, analyte, unit, max(local_date)), 0) AS id, user_id, %2$s,
                   (array_agg(test_name ORDER BY local_date DESC))[1] AS test_name,
                   (array_agg(test_code ORDER BY local_date DESC))[1] AS test_code,
                   (array_agg(loinc_code ORDER BY local_date DESC))[1] AS loinc_code,
                   (array_agg(test_category ORDER BY local_date DESC))[1] AS test_category,
                   dayfold_app.shown(sum(exact_count * mean ORDER BY local_date) / nullif(sum(exact_count) FILTER (WHERE mean IS NOT NULL), 0),
                       (array_agg(reported_value ORDER BY local_date DESC))[1]) AS avg_value,
                   dayfold_app.shown(min(min), (array_agg(reported_value ORDER BY local_date DESC))[1]) AS min_value,
                   dayfold_app.shown(max(max), (array_agg(reported_value ORDER BY local_date DESC))[1]) AS max_value,
                   sum(result_count)::integer AS count,
                   (array_agg(shown_unit ORDER BY local_date DESC))[1]::varchar AS unit,
                   (array_agg(reference_low ORDER BY local_date DESC))[1] AS normal_range_min,
                   (array_agg(reference_high ORDER BY local_date DESC))[1] AS normal_range_max,
                   (ARRAY['green', 'amber', 'red'])[max(severity)]::varchar AS status,
                   dayfold_app.local(max(computed_at)) AS created_at, dayfold_app.local(max(computed_at)) AS updated_at
            FROM dayfold_app.lab_days
            GROUP BY user_id, analyte, unit, %3$s
        $view$, p.name, p.key, p.part);
    END LOOP;
END $do$;
COMMIT;
