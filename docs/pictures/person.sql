-- Made-up data of one person for the pictures of `worker report`: two months, so that they can be compared.
-- "chance" is the same in each run.

CREATE FUNCTION pg_temp.chance(seed text) RETURNS double precision
    LANGUAGE sql IMMUTABLE AS $$ SELECT (hashtext(seed)::bigint + 2147483648) / 4294967296.0 $$;

INSERT INTO user_profiles VALUES (1, 'Europe/Berlin', '{watch,phone}');

CREATE TEMP VIEW days AS
SELECT day::date AS day, day::date - date '2024-04-01' AS n, extract(isodow FROM day)::int AS weekday,
       day >= date '2024-05-01' AS is_may
FROM generate_series(date '2024-04-01', '2024-05-31', '1 day') AS d (day);

CREATE TEMP VIEW measured AS
SELECT metric, value, unit, source, starts_at AT TIME ZONE 'Europe/Berlin' AS starts_at,
       (starts_at + length) AT TIME ZONE 'Europe/Berlin' AS ends_at
FROM (
    SELECT 'steps' AS metric, round(400 + 900 * pg_temp.chance('s' || n || h) + 120 * (h % 4)
                                    + CASE WHEN is_may THEN 90 ELSE 0 END) AS value,
           'steps' AS unit, 'watch' AS source, day + h * interval '1 hour' AS starts_at,
           interval '55 min' AS length
    FROM days, generate_series(8, 19) AS hours (h) WHERE n <> 44
    UNION ALL
    SELECT 'heart_rate', round(58 + 14 * sin((h - 9) / 4.0) + 22 * pg_temp.chance('h' || n || h || m)),
           'bpm', 'watch', day + h * interval '1 hour' + m * interval '10 min', '0'
    FROM days, generate_series(0, 23) AS hours (h), generate_series(0, 5) AS minutes (m) WHERE n <> 44
    UNION ALL
    SELECT 'resting_heart_rate', round(61 - n / 25.0 + 4 * pg_temp.chance('r' || n)), 'bpm', 'watch',
           day + interval '6 h', '0' FROM days WHERE n <> 44
    UNION ALL
    SELECT 'heart_rate_variability_sdnn', round((38 + 24 * pg_temp.chance('v' || n))::numeric, 1), 'ms', 'watch',
           day + interval '5 h', '0' FROM days WHERE n % 3 <> 1
    UNION ALL
    SELECT 'body_mass', round((83.4 - n * 0.021 + pg_temp.chance('m' || n))::numeric, 1), 'kg', 'scale',
           day + interval '7 h', '0' FROM days WHERE weekday IN (1, 4, 6)
    UNION ALL
    SELECT 'blood_pressure_systolic', round(122 + 18 * pg_temp.chance('p' || n || h) - CASE WHEN is_may THEN 4 ELSE 0 END),
           'mmHg', 'cuff', day + h * interval '1 hour' + interval '20 min', '0'
    FROM days, (VALUES (7), (20)) AS hours (h) WHERE weekday IN (1, 3, 5, 7)
    UNION ALL
    SELECT 'blood_pressure_diastolic', round(74 + 13 * pg_temp.chance('q' || n || h)), 'mmHg', 'cuff',
           day + h * interval '1 hour' + interval '20 min', '0'
    FROM days, (VALUES (7), (20)) AS hours (h) WHERE weekday IN (1, 3, 5, 7)
    UNION ALL
    SELECT 'blood_glucose',
           round((118 + 52 * exp(-power((minute - 510) / 55.0, 2)) + 68 * exp(-power((minute - 810) / 60.0, 2))
                  + 84 * exp(-power((minute - 1190) / 70.0, 2)) - 32 * exp(-power((minute - 210) / 90.0, 2))
                  + 46 * (pg_temp.chance('g' || n) - 0.5)
                  + 60 * (pg_temp.chance('g' || n || minute / 90) - 0.5))::numeric, 0),
           'mg/dL', 'sensor', day + minute * interval '1 min', '0'
    FROM days, generate_series(0, 1435, 5) AS minutes (minute) WHERE n BETWEEN 20 AND 58 AND n <> 44
    UNION ALL
    SELECT stage, 1, 'min', 'watch', day - interval '1 h' + begins * interval '1 min'
               + round(40 * pg_temp.chance('b' || n)) * interval '1 min',
           lasts * interval '1 min' * (0.86 + 0.2 * pg_temp.chance('l' || n || begins))
    FROM days, (VALUES ('sleep_core', 10, 80), ('sleep_deep', 100, 55), ('sleep_rem', 160, 30),
                       ('sleep_core', 195, 85), ('sleep_awake', 285, 12), ('sleep_deep', 300, 30),
                       ('sleep_rem', 335, 45), ('sleep_core', 385, 70)) AS stages (stage, begins, lasts)
    WHERE n <> 44
) AS v;

INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
SELECT 1, metric, value, unit, source, starts_at, ends_at FROM measured ORDER BY starts_at, metric;

INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal, carbohydrate_g,
                           protein_g, fat_g, fiber_g)
SELECT 1, meal, meal, (day + at) AT TIME ZONE 'Europe/Berlin', 'app', round(energy * (0.8 + 0.4 * c)),
       round(energy * 0.12 * (0.8 + 0.4 * c)), round(energy * 0.045 * (0.8 + 0.4 * c)),
       round(energy * 0.035 * (0.8 + 0.4 * c)), round(6 * c)
FROM days, (VALUES ('breakfast', interval '8 h', 460), ('lunch', '13 h', 720), ('dinner', '19 h', 810),
                   ('snack', '16 h', 190)) AS meals (meal, at, energy),
     LATERAL (SELECT pg_temp.chance(meal || n) AS c) AS chance
WHERE n >= 24 AND n <> 44;

INSERT INTO lab_raw (user_id, test_name, loinc_code, value_text, unit, reference_range, status, collected_at, source)
SELECT 1, name, code, value, unit, range, 'final', at, 'laboratory'
FROM (VALUES
    ('Potassium', '2823-3', '4.4', 'mmol/L', '3.5-5.1', timestamptz '2024-05-03 08:10+02'),
    ('Potassium', '2823-3', '5.3', 'mmol/L', '3.5-5.1', '2024-05-14 08:05+02'),
    ('Potassium', '2823-3', '4.9', 'mmol/L', '3.5-5.1', '2024-05-28 08:15+02'),
    ('Creatinine', '2160-0', '88', 'µmol/L', '62-106', '2024-05-03 08:10+02'),
    ('Creatinine', '2160-0', '93', 'µmol/L', '62-106', '2024-05-28 08:15+02'),
    ('Hemoglobin A1c', '4548-4', '6.1', '%', '4.0-5.6', '2024-05-28 08:15+02'),
    ('Cholesterol in LDL', '13457-7', '128', 'mg/dL', '<116', '2024-05-28 08:15+02'),
    ('Cholesterol in HDL', '2085-9', '47', 'mg/dL', '>40', '2024-05-28 08:15+02'),
    ('Vitamin D', '1989-3', '17', 'ng/mL', '20-50', '2024-05-28 08:15+02'),
    ('Thyrotropin', '3016-3', '2.1', 'mIU/L', '0.4-4.0', '2024-05-28 08:15+02'),
    ('SARS-CoV-2 PCR', '94500-6', 'negative', NULL, NULL, '2024-05-14 08:05+02'))
    AS labs (name, code, value, unit, range, at);
