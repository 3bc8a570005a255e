-- Workouts by date and type, and active minutes by week. Views, so that they are never stale. Conditions on user and
-- dates reach the primary key of vitals_daily.

CREATE VIEW workouts_daily AS
SELECT user_id, local_date, workout_type,
       max(amount) FILTER (WHERE metric = 'workouts') AS workouts,
       max(amount) FILTER (WHERE metric = 'workout_duration' AND unit = 'min') AS duration_minutes,
       max(amount) FILTER (WHERE metric = 'workout_energy' AND unit = 'kcal') AS energy_kcal,
       max(amount) FILTER (WHERE metric = 'workout_distance' AND unit = 'm') AS distance_m,
       bool_or(is_partial) AS is_partial
FROM (SELECT d.user_id, d.local_date, d.metric, d.unit, d.is_partial, t.key AS workout_type, t.value::float8 AS amount
      FROM vitals_daily AS d CROSS JOIN LATERAL jsonb_each_text(d.by_workout_type) AS t
      WHERE d.metric IN ('workouts', 'workout_duration', 'workout_energy', 'workout_distance')) AS of_type
GROUP BY user_id, local_date, workout_type;
COMMENT ON VIEW workouts_daily IS 'Workouts of each date by type, from by_workout_type of vitals_daily. Where devices overlap, nothing counts twice';
COMMENT ON COLUMN workouts_daily.workout_type IS 'A type of the catalogue; other: a type that it does not list; unknown: no type was sent';
COMMENT ON COLUMN workouts_daily.workouts IS 'Number of workouts whose middle lies on the date; NULL: none, or no row counts them';
COMMENT ON COLUMN workouts_daily.duration_minutes IS 'Minutes on the date, without pauses if the source knows them; NULL where unknown';
COMMENT ON COLUMN workouts_daily.energy_kcal IS 'Active energy, kcal; NULL where unknown';
COMMENT ON COLUMN workouts_daily.distance_m IS 'Distance, metres; NULL where unknown';
COMMENT ON COLUMN workouts_daily.is_partial IS 'The day had not ended when it was computed';

DO $views$
DECLARE
    p text;
BEGIN
    FOREACH p IN ARRAY ARRAY['week', 'month'] LOOP
        EXECUTE format($sql$
            CREATE VIEW workouts_%1$sly AS
            SELECT user_id, %1$s_start, workout_type, count(*) AS days_with_data,
                   sum(workouts ORDER BY local_date) AS workouts,
                   sum(duration_minutes ORDER BY local_date) AS duration_minutes,
                   sum(energy_kcal ORDER BY local_date) AS energy_kcal,
                   sum(distance_m ORDER BY local_date) AS distance_m,
                   bool_or(is_partial) AS is_partial
            FROM (SELECT *, date_trunc('%1$s', local_date::timestamp)::date AS %1$s_start FROM workouts_daily) AS d
            GROUP BY user_id, %1$s_start, workout_type$sql$, p);
        EXECUTE format('COMMENT ON VIEW workouts_%1$sly IS %2$L', p,
                       'Workouts by ' || CASE p WHEN 'week' THEN 'ISO week' ELSE p END || ' and type: the sums of workouts_daily');
        EXECUTE format('COMMENT ON COLUMN workouts_%sly.days_with_data IS %L', p, 'Dates with a workout of the type');
    END LOOP;
END
$views$;

CREATE VIEW activity_weekly AS
SELECT user_id, week_start, count(DISTINCT local_date) AS days_with_data,
       sum(total ORDER BY local_date) FILTER (WHERE metric = 'light_activity_time') AS light_minutes,
       sum(total ORDER BY local_date) FILTER (WHERE metric = 'moderate_activity_time') AS moderate_minutes,
       sum(total ORDER BY local_date) FILTER (WHERE metric = 'vigorous_activity_time') AS vigorous_minutes,
       coalesce(sum(total ORDER BY local_date) FILTER (WHERE metric = 'moderate_activity_time'), 0)
           + 2 * coalesce(sum(total ORDER BY local_date) FILTER (WHERE metric = 'vigorous_activity_time'), 0)
           AS moderate_equivalent_minutes,
       bool_or(is_partial) AS is_partial
FROM (SELECT *, date_trunc('week', local_date::timestamp)::date AS week_start
      FROM vitals_daily
      WHERE metric IN ('light_activity_time', 'moderate_activity_time', 'vigorous_activity_time')
        AND unit = 'min' AND total IS NOT NULL) AS d
GROUP BY user_id, week_start;
COMMENT ON VIEW activity_weekly IS 'Minutes of activity by intensity in each ISO week, from vitals_daily';
COMMENT ON COLUMN activity_weekly.days_with_data IS 'Dates with minutes of any intensity';
COMMENT ON COLUMN activity_weekly.moderate_equivalent_minutes IS 'Moderate minutes and twice the vigorous ones, as in the guidelines of the World Health Organization (2020): adults should reach 150 to 300 a week. A missing intensity counts as 0';
