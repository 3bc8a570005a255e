-- Figures that follow from the stored ones: rolling means, vitals of the night, body mass index, and the body mass
-- that holds until the next one. They are views, so that they are never stale.
--
-- Each view reaches its days by user_id and dates, the beginning of the primary key.

DO $views$
DECLARE
    days integer;
BEGIN
    FOREACH days IN ARRAY ARRAY[7, 28] LOOP
        EXECUTE format($sql$
            CREATE VIEW vitals_%1$s_days AS
            SELECT d.user_id, d.local_date, d.metric, d.unit, p.days_with_data, p.sample_count, p.total, p.mean_total,
                   p.mean, p.min, p.max, p.is_partial
            FROM vitals_daily AS d
            CROSS JOIN LATERAL (
                SELECT count(*) FILTER (WHERE p.sample_count > 0 OR p.censored_count > 0) AS days_with_data,
                       sum(p.sample_count) AS sample_count,
                       sum(p.total ORDER BY p.local_date) AS total,
                       aggregation_quotient(sum(p.total ORDER BY p.local_date), nullif(count(p.total), 0)) AS mean_total,
                       aggregation_quotient(sum(p.sample_count * p.mean ORDER BY p.local_date),
                           nullif(sum(p.sample_count) FILTER (WHERE p.mean IS NOT NULL), 0)) AS mean,
                       min(p.min) AS min, max(p.max) AS max, bool_or(p.is_partial) AS is_partial
                FROM vitals_daily AS p
                WHERE p.user_id = d.user_id AND p.metric = d.metric AND p.unit = d.unit
                  AND p.local_date BETWEEN d.local_date - %2$s AND d.local_date
            ) AS p$sql$, days, days - 1);
        EXECUTE format('COMMENT ON VIEW vitals_%1$s_days IS %2$L', days, format(
            'Vitals of the %s days that end with each date of vitals_daily. A date without a row of the metric has none here', days));
        EXECUTE format('COMMENT ON COLUMN vitals_%s_days.days_with_data IS %L', days, 'Days with a sample of the metric');
        EXECUTE format('COMMENT ON COLUMN vitals_%s_days.total IS %L', days, 'Cumulative metrics: the sum of the days'' totals');
        EXECUTE format('COMMENT ON COLUMN vitals_%s_days.mean_total IS %L', days, 'Cumulative metrics: the mean total of the days that have one');
        EXECUTE format('COMMENT ON COLUMN vitals_%s_days.mean IS %L', days, 'Discrete metrics: over all samples, not over days');
        EXECUTE format('COMMENT ON COLUMN vitals_%s_days.is_partial IS %L', days, 'A day of them had not ended when it was computed');
    END LOOP;
END
$views$;

-- A main session has four days at most, and the date of waking is the last of them.
CREATE VIEW sleep_vitals AS
SELECT s.user_id, s.local_date, h.metric, h.unit, count(*) AS hours, sum(h.sample_count) AS sample_count,
       aggregation_quotient(sum(h.sample_count * h.mean ORDER BY h.hour_start),
           nullif(sum(h.sample_count) FILTER (WHERE h.mean IS NOT NULL), 0)) AS mean,
       min(h.min) AS min, max(h.max) AS max, s.is_partial
FROM sleep_daily AS s
JOIN vitals_hourly AS h
  ON h.user_id = s.user_id AND h.local_date BETWEEN s.local_date - 5 AND s.local_date + 1
 AND h.metric IN ('heart_rate', 'heart_rate_variability_sdnn', 'respiratory_rate', 'oxygen_saturation')
 AND h.hour_start >= s.main_start AND h.hour_start + interval '1 hour' <= s.main_end
WHERE h.sample_count > 0
GROUP BY s.user_id, s.local_date, h.metric, h.unit, s.is_partial;
COMMENT ON VIEW sleep_vitals IS 'Heart rate, heart rate variability, respiratory rate and oxygen saturation in the local hours that lie wholly within the main sleep of each date of sleep_daily';
COMMENT ON COLUMN sleep_vitals.local_date IS 'The date of waking, as in sleep_daily';
COMMENT ON COLUMN sleep_vitals.hours IS 'Whole hours of the main sleep that have a sample; the parts of an hour in which it begins and ends are left out';
COMMENT ON COLUMN sleep_vitals.mean IS 'Over all samples of these hours without a comparator, not over hours';
COMMENT ON COLUMN sleep_vitals.is_partial IS 'The date of waking had not ended when it was computed';

CREATE VIEW body_mass_carried AS
SELECT user_id, local_date AS valid_from,
       lead(local_date) OVER (PARTITION BY user_id, unit ORDER BY local_date) - 1 AS valid_until,
       last_value AS body_mass, unit, last_at AS measured_at
FROM vitals_daily
WHERE metric = 'body_mass' AND last_value IS NOT NULL;
COMMENT ON VIEW body_mass_carried IS 'The last body mass of each date that has one, with the dates for which it is the latest. Of date D: WHERE D >= valid_from AND (D <= valid_until OR valid_until IS NULL); its age in days is D - valid_from';
COMMENT ON COLUMN body_mass_carried.valid_until IS 'The day before the next date with a body mass; NULL: it is still the latest';
COMMENT ON COLUMN body_mass_carried.measured_at IS 'When it was measured';

CREATE VIEW body_mass_index_daily AS
SELECT m.user_id, m.local_date, m.last_value / ((h.last_value / 100) * (h.last_value / 100)) AS body_mass_index,
       m.last_value AS body_mass, h.last_value AS height, m.local_date - h.local_date AS height_age_days
FROM vitals_daily AS m
CROSS JOIN LATERAL (
    SELECT h.last_value, h.local_date
    FROM vitals_daily AS h
    WHERE h.user_id = m.user_id AND h.metric = 'height' AND h.unit = 'cm' AND h.last_value > 0
      AND h.local_date <= m.local_date
    ORDER BY h.local_date DESC
    LIMIT 1
) AS h
WHERE m.metric = 'body_mass' AND m.unit = 'kg' AND m.last_value IS NOT NULL;
COMMENT ON VIEW body_mass_index_daily IS 'Body mass index in kg/m2 of each date with a body mass, from its last body mass and the latest height of that date or before. The metric body_mass_index has values that a source sent';
COMMENT ON COLUMN body_mass_index_daily.body_mass_index IS 'kg/m2; for adults. A child''s needs percentiles by age, which are not here';
COMMENT ON COLUMN body_mass_index_daily.body_mass IS 'The last of the date, in kg';
COMMENT ON COLUMN body_mass_index_daily.height IS 'The last of the latest date with a height, in cm';
COMMENT ON COLUMN body_mass_index_daily.height_age_days IS 'Days between the height''s date and this one';
