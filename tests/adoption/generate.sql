-- Rows of some users and days in the app's raw tables, the same at each call, in the order of days. generate.users and
-- generate.days are their numbers. generate.first_day is the first day, counted from Monday, 2026-01-05. generate.thin
-- is 1 for all rows, 66 a user and day. 16 makes 9: the devices count 16 times less often, and of the users other than
-- the first two, a quarter has each device but the watch.

CREATE OR REPLACE FUNCTION pick(u integer, d integer, what integer, choices integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ((hashint8extended((u::bigint << 40) + (d::bigint << 20) + what, 7) & 9223372036854775807) % choices)::integer;

CREATE OR REPLACE FUNCTION thin() RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE
RETURN current_setting('generate.thin')::integer;

CREATE OR REPLACE FUNCTION has(u integer, device text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
RETURN thin() = 1 OR u <= 2 OR device IN ('Heart Rate', 'Steps') OR pick(u, length(device), ascii(device), 4) = 0;

INSERT INTO users (id)
SELECT u FROM generate_series(1, current_setting('generate.users')::integer) AS u ON CONFLICT DO NOTHING;

CREATE TEMPORARY TABLE user_days AS
SELECT u, d, timestamp '2026-01-05' + d * interval '1 day' AS day
FROM generate_series(1, current_setting('generate.users')::integer) AS u,
     generate_series(current_setting('generate.first_day')::integer,
                     current_setting('generate.first_day')::integer + current_setting('generate.days')::integer - 1) AS d;

INSERT INTO vitals_raw_data (user_id, metric_type, value, unit, start_date, end_date, data_source, notes)
-- Samples: of each metric so many a day, at minutes of their own.
SELECT u, metric_type,
       CASE metric_type
           WHEN 'Temperature' THEN CASE WHEN u % 2 = 0 THEN 36 + pick(u, d, n, 20) / 10.0 ELSE 97 + pick(u, d, n, 40) / 10.0 END
           WHEN 'Weight' THEN CASE WHEN u % 2 = 0 THEN 60 + pick(u, 0, n, 40) + d % 3 ELSE 130 + pick(u, 0, n, 80) + d % 5 END
           WHEN 'Height' THEN 1.5 + pick(u, 0, n, 40) / 100.0
           ELSE low + pick(u, d, n + 1000 * length(metric_type), width) END,
       CASE metric_type WHEN 'Temperature' THEN CASE WHEN u % 2 = 0 THEN '°C' ELSE '°F' END
                        WHEN 'Weight' THEN CASE WHEN u % 2 = 0 THEN 'kg' ELSE 'lbs' END ELSE unit END,
       at, at, source, NULL
FROM user_days
CROSS JOIN (VALUES
    ('Heart Rate', 'bpm', 50, 80, 16, 1, 'apple_healthkit'),
    ('Blood Sugar', 'mg/dL', 70, 140, 3, 1, 'device_sync'),
    ('Oxygen Saturation', '%', 92, 8, 2, 1, 'apple_healthkit'),
    ('Temperature', '', 0, 0, 1, 4, 'manual_entry'),
    ('Weight', '', 0, 0, 1, 3, 'device_sync'),
    ('Height', 'meters', 0, 0, 1, 30, 'manual_entry'),
    ('BMI', 'count', 18, 15, 1, 7, 'api_import')) AS m (metric_type, unit, low, width, times, every, source)
CROSS JOIN LATERAL generate_series(1, greatest(1, m.times / thin())) AS n
CROSS JOIN LATERAL (SELECT day + interval '6 hours' + (n * 59 + pick(u, d, n + 77, 20)) * interval '1 minute' AS at) AS t
WHERE (d + u) % m.every = 0 AND has(u, metric_type)
UNION ALL
-- Blood pressure: both rows at the same instant.
SELECT u, metric_type, low + pick(u, d, n, width), 'mmHg', at, at, 'manual_entry', NULL
FROM user_days
CROSS JOIN (VALUES ('Blood Pressure Systolic', 100, 60, 11), ('Blood Pressure Diastolic', 60, 35, 12)) AS m (metric_type, low, width, n)
CROSS JOIN LATERAL (SELECT day + interval '8 hours' + pick(u, d, 13, 50) * interval '1 minute' AS at) AS t
WHERE (d + u) % 3 = 0 AND has(u, 'Blood Pressure')
UNION ALL
-- Intervals within an hour.
SELECT u, metric_type, 1 + pick(u, d, n + 1000 * length(metric_type), width), unit, at, at + interval '25 minutes', 'apple_healthkit', NULL
FROM user_days
CROSS JOIN (VALUES ('Steps', 'steps', 900, 10), ('Active Energy', 'kcal', 60, 6), ('Flights Climbed', 'flights', 5, 2),
                   ('Distance Walking', 'meters', 800, 6)) AS m (metric_type, unit, width, times)
CROSS JOIN LATERAL generate_series(1, greatest(1, m.times / thin())) AS n
CROSS JOIN LATERAL (SELECT day + (8 + n) * interval '1 hour' + pick(u, d, n + 99, 30) * interval '1 minute' AS at) AS t
WHERE has(u, metric_type)
UNION ALL
SELECT u, 'Stand Hours', 1, 'hours', day + h * interval '1 hour', day + (h + 1) * interval '1 hour', 'apple_healthkit', NULL
FROM user_days CROSS JOIN generate_series(9, 20, thin()) AS h
WHERE pick(u, d, h, 3) > 0 AND has(u, 'Stand Hours')
UNION ALL
SELECT u, metric_type, CASE metric_type WHEN 'Workouts' THEN 1 ELSE low + pick(u, d, low, 30) END, unit,
       day + interval '7 hours 10 minutes', day + interval '7 hours 50 minutes', 'apple_healthkit',
       CASE metric_type WHEN 'Workouts' THEN (ARRAY['Running', 'Yoga'])[1 + pick(u, d, 5, 2)] END
FROM user_days
CROSS JOIN (VALUES ('Workouts', 'count', 1), ('Workout Duration', 'minutes', 20), ('Workout Calories', 'kcal', 200),
                   ('Workout Distance', 'meters', 3000)) AS m (metric_type, unit, low)
WHERE (d + u) % 2 = 0 AND has(u, 'Workouts')
UNION ALL
-- Nights: from the evening before to this morning, of which two short times are awake.
SELECT u, 'Sleep', CASE WHEN u % 3 = 0 THEN minutes / 60.0 ELSE minutes END, CASE WHEN u % 3 = 0 THEN 'hours' ELSE 'minutes' END,
       start, start + minutes * interval '1 minute', 'apple_healthkit', stage
FROM user_days
CROSS JOIN LATERAL (SELECT day - interval '2 hours' + pick(u, d, 21, 100) * interval '1 minute' AS bed, 120 + pick(u, d, 22, 40) AS part) AS night
CROSS JOIN LATERAL (VALUES
    ('inBed', bed, 3 * part + 30), ('asleep', bed + interval '10 minutes', part),
    ('awake', bed + (10 + part) * interval '1 minute', 5), ('asleep', bed + (15 + part) * interval '1 minute', part),
    ('awake', bed + (15 + 2 * part) * interval '1 minute', 5), ('asleep', bed + (20 + 2 * part) * interval '1 minute', part)
) AS segments (stage, start, minutes)
WHERE pick(u, d, 23, 10) > 0 AND has(u, 'Sleep')
ORDER BY 5;

INSERT INTO nutrition_raw_data (user_id, food_item_name, meal_type, portion_size, portion_unit, calories, protein_g, fat_g,
    carbs_g, fiber_g, sodium_mg, vitamin_b12_mcg, iron_mg, meal_date, meal_time, data_source)
SELECT u, 'dish ' || pick(u, d, n, 50), meal, 1, 'plate', 150 + pick(u, d, n, 500), pick(u, d, n + 10, 40), pick(u, d, n + 20, 30),
       pick(u, d, n + 30, 90), pick(u, d, n + 40, 3), pick(u, d, n + 50, 900), pick(u, d, n + 60, 2) * 1.5, pick(u, d, n + 70, 4),
       day::date AS meal_date,
       -- Now and then the time lies on another date than the meal's own.
       CASE WHEN pick(u, d, n + 80, 20) = 0 THEN day - interval '3 hours' ELSE day + hour * interval '1 hour' END, 'manual_entry'
FROM user_days
CROSS JOIN (VALUES (1, 'breakfast', 8), (2, 'lunch', 13), (3, 'snack', 17), (4, 'dinner', 20)) AS meals (n, meal, hour)
WHERE pick(u, d, n + 90, 8) > 0
ORDER BY meal_date;

-- Two results of a date differ: the same one twice counts once in Dayfold.
INSERT INTO lab_reports (user_id, test_name, test_category, test_value, test_unit, reference_range, lab_name, test_date)
SELECT u, test_name, category, CASE WHEN width = 0 THEN 'negative' ELSE (low + pick(u, d, n + 10 * again, width) / 10.0 + 0.04 + again / 100.0)::text END,
       nullif(unit, ''), nullif(reference_range, ''), 'City Lab', day::date AS test_date
FROM user_days
CROSS JOIN (VALUES (1, 'LDL cholesterol', 'Lipids', 70, 1000, 'mg/dL', '<130'), (2, 'HbA1c', 'Diabetes', 4, 30, '%', '4.0-5.6'),
                   (3, 'Vitamin D', 'Vitamins', 10, 600, 'ng/mL', '30-100'), (4, 'Creatinine', 'Kidney', 0, 15, 'mg/dL', '0.7-1.3'),
                   (5, 'Urine protein', 'Urine', 0, 0, '', '')) AS tests (n, test_name, category, low, width, unit, reference_range)
CROSS JOIN LATERAL generate_series(1, CASE WHEN width > 0 AND pick(u, d, n, 4) = 0 THEN 2 ELSE 1 END) AS again
WHERE (d + u) % CASE thin() WHEN 1 THEN 9 ELSE 30 END = 0
ORDER BY test_date;

-- The app's categorizer.
INSERT INTO lab_report_categorized (user_id, test_name, test_code, loinc_code, test_category, test_value, test_unit,
    reference_range, test_status, lab_name, test_date)
SELECT r.user_id, r.test_name, upper(left(r.test_name, 3)), c.loinc_code, r.test_category, r.test_value, r.test_unit,
       r.reference_range, r.test_status, r.lab_name, r.test_date
FROM lab_reports AS r
LEFT JOIN (VALUES ('LDL cholesterol', '13457-7'), ('HbA1c', '4548-4'), ('Creatinine', '2160-0')) AS c (test_name, loinc_code) USING (test_name)
WHERE r.categorization_status = 'pending'
ORDER BY r.id;
UPDATE lab_reports SET categorization_status = 'categorized' WHERE categorization_status = 'pending';
DROP TABLE user_days;
