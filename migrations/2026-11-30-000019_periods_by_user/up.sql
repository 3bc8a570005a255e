-- Weeks and months whose cost grows with the days that a query asks for.
--
-- The views of vitals and glucose read their days twice: by a CTE that PostgreSQL evaluates whole,
-- and by a correlated subquery. A week of one user read the days of all users. For all weeks the
-- time grew with the square of the table. Here each view reads its days once and sorts them once.
-- All sums run over a window that is ordered by date, so that the order of writing has no
-- influence.
--
-- Each window is partitioned by user, period and the rest of the key. A condition on these columns
-- therefore reaches the scan of the daily table, where user_id uses the primary key.
--
-- Each view has the same text for both periods: {p} is week or month. Inner queries give the columns
-- in any order; {columns} lists them as the view has them, because CREATE OR REPLACE keeps their order.

DO $views$
DECLARE
    p text;
    of_day text;
    template text;
    days text := '(PARTITION BY user_id, {p}_start{rest} ORDER BY local_date
                   ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)';
    periods jsonb := jsonb_build_object(
        'vitals', $sql$
            SELECT *, sqrt(aggregation_quotient(within_days + between_days, nullif(sample_count - 1, 0))) AS stddev,
                   first_values[1] AS first_value,
                   last_values[cardinality(last_values)] AS last_value
            FROM (SELECT *,
                         sum((day_count - 1) * aggregation_square(coalesce(day_stddev, 0)))
                             FILTER (WHERE day_mean IS NOT NULL) OVER days AS within_days,
                         sum(day_count * aggregation_square(day_mean - mean))
                             FILTER (WHERE day_mean IS NOT NULL) OVER days AS between_days,
                         array_agg(day_first_value) FILTER (WHERE day_first_at = first_at) OVER days AS first_values,
                         array_agg(day_last_value) FILTER (WHERE day_last_at = last_at) OVER days AS last_values,
                         row_number() OVER days AS place
                  FROM (SELECT user_id, {p}_start, metric, unit, local_date, sample_count AS day_count,
                               mean AS day_mean, stddev AS day_stddev,
                               first_value AS day_first_value, first_at AS day_first_at,
                               last_value AS day_last_value, last_at AS day_last_at,
                               count(*) FILTER (WHERE sample_count > 0 OR censored_count > 0) OVER days AS days_with_data,
                               sum(sample_count) OVER days AS sample_count,
                               sum(censored_count) OVER days AS censored_count,
                               sum(rejected_count) OVER days AS rejected_count,
                               sum(total) OVER days AS total,
                               aggregation_quotient(sum(sample_count * mean) OVER days,
                                   nullif(sum(sample_count) FILTER (WHERE mean IS NOT NULL) OVER days, 0)) AS mean,
                               min(min) OVER days AS min,
                               max(max) OVER days AS max,
                               min(first_at) OVER days AS first_at,
                               max(last_at) OVER days AS last_at,
                               bool_or(is_partial) OVER days AS is_partial
                        FROM {of_day} AS daily
                        WINDOW days AS {days}) AS day
                  WINDOW days AS {days}) AS period
        $sql$,
        'nutrition', $sql$
            SELECT user_id, {p}_start, {sums},
                   count(*) FILTER (WHERE item_count > 0) OVER days AS days_with_data,
                   bool_or(is_partial) OVER days AS is_partial,
                   aggregation_quotient(100 * sum(carbohydrate_kcal) FILTER (WHERE known_kcal IS NOT NULL) OVER days,
                       nullif(sum(known_kcal) OVER days, 0)) AS carbohydrate_percent,
                   aggregation_quotient(100 * sum(protein_kcal) FILTER (WHERE known_kcal IS NOT NULL) OVER days,
                       nullif(sum(known_kcal) OVER days, 0)) AS protein_percent,
                   aggregation_quotient(100 * sum(fat_kcal) FILTER (WHERE known_kcal IS NOT NULL) OVER days,
                       nullif(sum(known_kcal) OVER days, 0)) AS fat_percent,
                   CASE WHEN bool_or(alcohol_percent IS NOT NULL) OVER days THEN
                       aggregation_quotient(
                           100 * coalesce(sum(alcohol_kcal) FILTER (WHERE known_kcal IS NOT NULL) OVER days, 0),
                           nullif(sum(known_kcal) OVER days, 0))
                   END AS alcohol_percent,
                   min(first_eaten_at) OVER days AS first_eaten_at,
                   max(last_eaten_at) OVER days AS last_eaten_at,
                   row_number() OVER days AS place
            FROM (SELECT *, CASE WHEN carbohydrate_percent IS NOT NULL THEN
                             carbohydrate_kcal + protein_kcal + fat_kcal + coalesce(alcohol_kcal, 0)
                         END AS known_kcal
                  FROM {of_day} AS daily) AS day
            WINDOW days AS {days}
        $sql$,
        -- The row that is left is that of the last result, with its own columns.
        'lab', $sql$
            SELECT user_id, {p}_start, analyte, unit, last_value, last_comparator, last_text, last_at,
                   reference_low, reference_high, reference_text, last_flag,
                   count(*) OVER days AS days_with_data,
                   sum(result_count) OVER days AS result_count,
                   min(min) OVER days AS min,
                   max(max) OVER days AS max,
                   bool_or(is_partial) OVER days AS is_partial,
                   sum(exact_count) OVER days AS exact_count,
                   CASE WHEN count(*) FILTER (WHERE mean IS NOT NULL AND exact_count IS NULL
                                                 OR abs(mean) > 1e290) OVER days = 0 THEN
                       aggregation_quotient(
                           sum(exact_count * mean) FILTER (WHERE abs(mean) <= 1e290) OVER days,
                           nullif(sum(exact_count) FILTER (WHERE mean IS NOT NULL) OVER days, 0))
                   END AS mean,
                   first_value(worst_flag) OVER (
                       PARTITION BY user_id, {p}_start{rest}
                       ORDER BY CASE WHEN worst_flag IN ('HH', 'LL') THEN 3 WHEN worst_flag IN ('H', 'L') THEN 2
                                     WHEN worst_flag = 'A' THEN 1 WHEN worst_flag IS NOT NULL THEN 0
                                END DESC NULLS LAST, last_at DESC, local_date DESC) AS worst_flag,
                   row_number() OVER (
                       PARTITION BY user_id, {p}_start{rest} ORDER BY last_at DESC, local_date DESC) AS place
            FROM {of_day} AS daily
            WINDOW days AS {days}
        $sql$,
        'sleep', $sql$
            SELECT user_id, {p}_start,
                   count(*) FILTER (WHERE segment_count > 0) OVER days AS days_with_data,
                   sum(asleep_minutes) OVER days AS asleep_minutes,
                   sum(core_minutes) OVER days AS core_minutes,
                   sum(deep_minutes) OVER days AS deep_minutes,
                   sum(rem_minutes) OVER days AS rem_minutes,
                   sum(unspecified_minutes) OVER days AS unspecified_minutes,
                   sum(awake_minutes) OVER days AS awake_minutes,
                   sum(in_bed_minutes) OVER days AS in_bed_minutes,
                   avg(asleep_minutes) OVER days AS mean_asleep_minutes,
                   min(asleep_minutes) OVER days AS min_asleep_minutes,
                   max(asleep_minutes) OVER days AS max_asleep_minutes,
                   aggregation_quotient(sum(asleep_minutes) FILTER (WHERE efficiency IS NOT NULL) OVER days,
                       nullif(sum(in_bed_minutes) FILTER (WHERE efficiency IS NOT NULL) OVER days, 0)) AS efficiency,
                   sum(nap_count) OVER days AS nap_count,
                   sum(nap_minutes) OVER days AS nap_minutes,
                   sum(segment_count) OVER days AS segment_count,
                   sum(rejected_count) OVER days AS rejected_count,
                   bool_or(is_partial) OVER days AS is_partial,
                   row_number() OVER days AS place
            FROM {of_day} AS daily
            WINDOW days AS {days}
        $sql$,
        'blood_pressure', $sql$
            SELECT user_id, {p}_start,
                   count(*) FILTER (WHERE pair_count > 0) OVER days AS days_with_data,
                   sum(pair_count) OVER days AS pair_count,
                   sum(unpaired_count) OVER days AS unpaired_count,
                   sum(censored_count) OVER days AS censored_count,
                   aggregation_quotient(sum(exact_count * systolic_mean) OVER days,
                       nullif(sum(exact_count) OVER days, 0)) AS systolic_mean,
                   min(systolic_min) OVER days AS systolic_min,
                   max(systolic_max) OVER days AS systolic_max,
                   aggregation_quotient(sum(exact_count * diastolic_mean) OVER days,
                       nullif(sum(exact_count) OVER days, 0)) AS diastolic_mean,
                   min(diastolic_min) OVER days AS diastolic_min,
                   max(diastolic_max) OVER days AS diastolic_max,
                   aggregation_quotient(sum(exact_count * mean_arterial_pressure) OVER days,
                       nullif(sum(exact_count) OVER days, 0)) AS mean_arterial_pressure,
                   (ARRAY['normal', 'elevated', 'stage_1', 'stage_2', 'severe'])[max(severity) OVER days]
                       AS worst_category,
                   sum(rejected_count) OVER days AS rejected_count,
                   bool_or(is_partial) OVER days AS is_partial,
                   row_number() OVER days AS place
            FROM (SELECT *, pair_count - censored_count AS exact_count,
                         array_position(ARRAY['normal', 'elevated', 'stage_1', 'stage_2', 'severe'],
                                        worst_category) AS severity
                  FROM {of_day} AS daily) AS day
            WINDOW days AS {days}
        $sql$,
        'glucose', $sql$
            SELECT *, 100 * stddev / mean AS cv_percent,
                   3.31 + 0.02392 * mean AS gmi_percent,
                   (46.7 + mean) / 28.7 AS ea1c_percent,
                   0.001 * aggregation_square(mean + stddev) AS j_index,
                   least(100, 3.0 * below_54_percent + 2.4 * (below_70_percent - below_54_percent)
                              + 1.6 * above_250_percent + 0.8 * (above_180_percent - above_250_percent))
                       AS glycemia_risk_index,
                   coverage_percent >= 70 AS is_sufficient
            FROM (SELECT *,
                         sqrt(aggregation_quotient(
                             sum((day_count - 1) * aggregation_square(coalesce(day_stddev, 0)))
                                 FILTER (WHERE day_mean IS NOT NULL) OVER days
                             + sum(day_count * aggregation_square(day_mean - mean))
                                 FILTER (WHERE day_mean IS NOT NULL) OVER days,
                             nullif(sample_count - 1, 0))) AS stddev,
                         row_number() OVER days AS place
                  FROM (SELECT user_id, {p}_start, local_date, sample_count AS day_count, mean AS day_mean,
                               stddev AS day_stddev,
                               count(*) FILTER (WHERE reading_count > 0) OVER days AS days_with_data,
                               sum(sample_count) OVER days AS sample_count,
                               sum(censored_count) OVER days AS censored_count,
                               aggregation_quotient(sum(sample_count * mean) OVER days,
                                   nullif(sum(sample_count) OVER days, 0)) AS mean,
                               aggregation_quotient(sum(reading_count * below_54_percent) OVER days,
                                   nullif(sum(reading_count) OVER days, 0)) AS below_54_percent,
                               aggregation_quotient(sum(reading_count * below_70_percent) OVER days,
                                   nullif(sum(reading_count) OVER days, 0)) AS below_70_percent,
                               aggregation_quotient(sum(reading_count * from_70_to_180_percent) OVER days,
                                   nullif(sum(reading_count) OVER days, 0)) AS from_70_to_180_percent,
                               aggregation_quotient(sum(reading_count * from_70_to_140_percent) OVER days,
                                   nullif(sum(reading_count) OVER days, 0)) AS from_70_to_140_percent,
                               aggregation_quotient(sum(reading_count * above_180_percent) OVER days,
                                   nullif(sum(reading_count) OVER days, 0)) AS above_180_percent,
                               aggregation_quotient(sum(reading_count * above_250_percent) OVER days,
                                   nullif(sum(reading_count) OVER days, 0)) AS above_250_percent,
                               sum(low_episodes) OVER days AS low_episodes,
                               sum(high_episodes) OVER days AS high_episodes,
                               sum(coverage_percent) OVER days
                                   / extract(day FROM {p}_start + interval '1 {p}' - {p}_start)::float8 AS coverage_percent,
                               sum(rejected_count) OVER days AS rejected_count,
                               bool_or(is_partial) OVER days AS is_partial
                        FROM (SELECT *, sample_count + censored_count AS reading_count
                              FROM {of_day} AS daily) AS daily
                        WINDOW days AS {days}) AS day
                  WINDOW days AS {days}) AS period
        $sql$);
    rests jsonb := '{"vitals": ", metric, unit", "lab": ", analyte, unit"}';
    kind text;
    columns text;
    sums text;
BEGIN
    FOREACH p IN ARRAY ARRAY['week', 'month'] LOOP
        FOR kind, template IN SELECT * FROM jsonb_each_text(periods) LOOP
            SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum),
                   string_agg(format('sum(%1$I) OVER days AS %1$I', attname), ', ' ORDER BY attnum)
                       FILTER (WHERE attname ~ '_(kcal|g|mg|ug|count)$')
            INTO columns, sums
            FROM pg_attribute
            WHERE attrelid = format('%s_%sly', kind, p)::regclass AND attnum > 0;
            of_day := format('(SELECT *, date_trunc(%L, local_date::timestamp)::date AS {p}_start FROM %s_daily)', p, kind);
            template := 'CREATE OR REPLACE VIEW {kind}_{p}ly AS SELECT {columns} FROM (' || template || ') AS period WHERE place = 1';
            template := replace(replace(replace(template, '{columns}', columns), '{sums}', coalesce(sums, '')), '{of_day}', of_day);
            template := replace(replace(template, '{days}', days), '{rest}', coalesce(rests ->> kind, ''));
            EXECUTE replace(replace(template, '{kind}', kind), '{p}', p);
        END LOOP;
        EXECUTE format('COMMENT ON COLUMN lab_%sly.worst_flag IS %L', p,
            'The worst of the days: HH and LL, then H and L, then A, then N; of equal ones the latest');
        EXECUTE format('COMMENT ON COLUMN glucose_%sly.is_sufficient IS %L', p,
            'coverage_percent is at least 70; NULL if no day has a coverage');
    END LOOP;
END
$views$;
