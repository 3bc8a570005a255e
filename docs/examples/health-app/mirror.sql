-- Step 1: mirror the app's raw tables into Dayfold's. Run it as the owner of both, after `worker migrate`, in the
-- schema of Dayfold's tables. docs/adopt.md tells when; tests/adoption/health_app.rs runs it.
--
-- From its COMMIT on, each statement of the app that inserts, changes or deletes raw rows copies them in its own
-- transaction. `CALL dayfold_copy()` then copies the rows that were there before.

BEGIN;
-- The app's writes wait behind a lock that waits. If this fails by the time-out, run the file again.
SET LOCAL lock_timeout = '2s';
-- Triggers run with the rights of their owner, so that the app needs no right on Dayfold's tables. pg_temp comes
-- last: no temporary table of a session is taken for one of ours.
SELECT set_config('search_path', concat_ws(', ', nullif(current_setting('search_path'), ''), 'pg_temp'), true);

-- The app's metrics in the catalogue's words (`worker catalogue`), and the unit in which its readers expect a figure:
-- figure * factor + shift. Change the units of temperature and weight here if the app's readers expect others.
CREATE TABLE dayfold_metrics (
    metric_type varchar PRIMARY KEY, metric text NOT NULL UNIQUE, loinc_code varchar, unit varchar NOT NULL,
    factor double precision NOT NULL DEFAULT 1, shift double precision NOT NULL DEFAULT 0);
INSERT INTO dayfold_metrics VALUES
    ('Heart Rate', 'heart_rate', '8867-4', 'bpm', 1, 0),
    ('Blood Pressure Systolic', 'blood_pressure_systolic', '8480-6', 'mmHg', 1, 0),
    ('Blood Pressure Diastolic', 'blood_pressure_diastolic', '8462-4', 'mmHg', 1, 0),
    ('Blood Sugar', 'blood_glucose', '2339-0', 'mg/dL', 1, 0),
    ('Temperature', 'body_temperature', '8310-5', '°F', 1.8, 32),
    ('Weight', 'body_mass', '29463-7', 'lbs', 1 / 0.45359237, 0),
    ('Height', 'height', '8302-2', 'meters', 0.01, 0),
    ('BMI', 'body_mass_index', '39156-5', 'kg/m2', 1, 0),
    ('Oxygen Saturation', 'oxygen_saturation', '59408-5', '%', 1, 0),
    ('Steps', 'steps', '41950-7', 'steps', 1, 0),
    ('Stand Hours', 'stand_hours', NULL, 'hours', 1, 0),
    ('Active Energy', 'active_energy', '41981-2', 'kcal', 1, 0),
    ('Flights Climbed', 'flights_climbed', NULL, 'flights', 1, 0),
    ('Workouts', 'workouts', NULL, 'count', 1, 0),
    ('Workout Duration', 'workout_duration', NULL, 'minutes', 1, 0),
    ('Workout Calories', 'workout_energy', NULL, 'kcal', 1, 0),
    ('Workout Distance', 'workout_distance', NULL, 'meters', 1, 0),
    ('Distance Walking', 'distance_walking_running', '41953-1', 'meters', 1, 0);

-- Each row has the app's zone of its own, which counts before the profile's. A metric or stage that is not known keeps its name:
-- rejected_rows then lists the row as unknown_metric, and nothing is lost in silence. A workout counts at its start.
CREATE VIEW vitals_for_dayfold AS
SELECT r.user_id, r.id,
       CASE WHEN r.metric_type <> 'Sleep' THEN coalesce(m.metric, r.metric_type)
            ELSE 'sleep_' || CASE r.notes WHEN 'inBed' THEN 'in_bed' ELSE coalesce(r.notes, 'unknown') END
       END AS metric,
       CASE r.metric_type WHEN 'Workouts' THEN 1 ELSE r.value END AS value,
       CASE r.metric_type WHEN 'Workouts' THEN 'count' ELSE r.unit END AS unit,
       r.data_source AS source,
       r.start_date AT TIME ZONE 'Asia/Kolkata' AS started_at,
       CASE r.metric_type WHEN 'Workouts' THEN r.start_date ELSE r.end_date END AT TIME ZONE 'Asia/Kolkata' AS ended_at,
       'Asia/Kolkata' AS time_zone,
       CASE r.metric_type WHEN 'Workouts' THEN r.notes END AS workout_type
FROM vitals_raw_data AS r LEFT JOIN dayfold_metrics AS m USING (metric_type);

-- A nutrient of 0 is unknown, so that it is no known zero. A meal whose time lies on another date keeps its date.
CREATE VIEW nutrition_for_dayfold AS
SELECT user_id, id, food_item_name AS food_name, meal_type,
       CASE WHEN meal_time::date = meal_date THEN meal_time ELSE meal_date + time '12:00' END
           AT TIME ZONE 'Asia/Kolkata' AS eaten_at,
       'Asia/Kolkata' AS time_zone, data_source AS source, calories AS energy_kcal,
       nullif(protein_g, 0) AS protein_g, nullif(fat_g, 0) AS fat_g, nullif(carbs_g, 0) AS carbohydrate_g,
       nullif(fiber_g, 0) AS fiber_g, nullif(sugar_g, 0) AS sugar_g, nullif(sodium_mg, 0) AS sodium_mg,
       nullif(vitamin_a_mcg, 0) AS vitamin_a_ug, nullif(vitamin_c_mg, 0) AS vitamin_c_mg,
       nullif(vitamin_d_mcg, 0) AS vitamin_d_ug, nullif(vitamin_e_mg, 0) AS vitamin_e_mg,
       nullif(vitamin_k_mcg, 0) AS vitamin_k_ug, nullif(vitamin_b1_mg, 0) AS thiamin_mg,
       nullif(vitamin_b2_mg, 0) AS riboflavin_mg, nullif(vitamin_b3_mg, 0) AS niacin_mg,
       nullif(vitamin_b6_mg, 0) AS vitamin_b6_mg, nullif(vitamin_b12_mcg, 0) AS vitamin_b12_ug,
       nullif(folate_mcg, 0) AS folate_ug, nullif(calcium_mg, 0) AS calcium_mg, nullif(iron_mg, 0) AS iron_mg,
       nullif(magnesium_mg, 0) AS magnesium_mg, nullif(phosphorus_mg, 0) AS phosphorus_mg,
       nullif(potassium_mg, 0) AS potassium_mg, nullif(zinc_mg, 0) AS zinc_mg, nullif(copper_mg, 0) AS copper_mg,
       nullif(manganese_mg, 0) AS manganese_mg, nullif(selenium_mcg, 0) AS selenium_ug
FROM nutrition_raw_data;

-- A result has a date and no instant: noon keeps it on its date.
CREATE VIEW labs_for_dayfold AS
SELECT user_id, id, test_name, nullif(loinc_code, '') AS loinc_code, test_value AS value_text, test_unit AS unit,
       reference_range, test_status AS flag, 'final' AS status,
       (test_date + time '12:00') AT TIME ZONE 'Asia/Kolkata' AS collected_at, 'Asia/Kolkata' AS time_zone,
       coalesce(lab_name, 'laboratory') AS source
FROM lab_report_categorized
WHERE test_value IS NOT NULL;

CREATE TABLE dayfold_copied (
    app_table text PRIMARY KEY, dayfold_table text NOT NULL, from_view text NOT NULL, up_to integer NOT NULL DEFAULT 0);
INSERT INTO dayfold_copied VALUES
    ('vitals_raw_data', 'vitals_raw', 'vitals_for_dayfold'),
    ('nutrition_raw_data', 'nutrition_raw', 'nutrition_for_dayfold'),
    ('lab_report_categorized', 'lab_raw', 'labs_for_dayfold');

-- Two trigger functions for each table, made from one text. An update that changed only status columns copies nothing.
DO $do$
DECLARE
    t record;
    columns text;
    changes text;
    copy text;
    path text := current_setting('search_path');
BEGIN
    FOR t IN SELECT * FROM dayfold_copied LOOP
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum),
               string_agg(format('%1$I = excluded.%1$I', attname), ', ' ORDER BY attnum)
                   FILTER (WHERE attname NOT IN ('user_id', 'id'))
        INTO columns, changes FROM pg_attribute WHERE attrelid = t.from_view::regclass AND attnum > 0;
        -- With DO UPDATE, an INSERT fires the triggers for UPDATE, too. A new row needs none.
        copy := format('INSERT INTO %1$I (%2$s) SELECT %2$s FROM %3$I WHERE id = ANY (ids) ON CONFLICT ',
            t.dayfold_table, columns, t.from_view);

        EXECUTE format($f$
            CREATE FUNCTION %1$I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = %2$s AS $body$
            DECLARE
                ids integer[];
            BEGIN
                IF TG_OP = 'DELETE' THEN
                    DELETE FROM %3$I AS copied USING changed AS gone
                    WHERE copied.user_id = gone.user_id AND copied.id = gone.id;
                ELSE
                    SELECT array_agg(id) INTO ids FROM changed;
                    %4$s;
                END IF;
                RETURN NULL;
            END $body$ $f$, t.app_table || '_to_dayfold', path, t.dayfold_table, copy || 'DO NOTHING');

        EXECUTE format($f$
            CREATE FUNCTION %1$I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = %2$s AS $body$
            DECLARE
                ids integer[];
                ignored text[] := '{aggregation_status, aggregated_at, updated_at, categorization_status}';
            BEGIN
                SELECT array_agg(is_now.id) INTO ids
                FROM changed AS is_now LEFT JOIN before AS was USING (id)
                WHERE to_jsonb(is_now) - ignored IS DISTINCT FROM to_jsonb(was) - ignored;
                -- A row that another user has now, that has another id, or that lost its value.
                DELETE FROM %3$I AS copied USING before AS was
                WHERE copied.user_id = was.user_id AND copied.id = was.id
                  AND NOT EXISTS (SELECT FROM %4$I AS kept WHERE kept.id = was.id AND kept.user_id = was.user_id);
                IF ids IS NOT NULL THEN
                    %5$s;
                END IF;
                RETURN NULL;
            END $body$ $f$, t.app_table || '_changed_to_dayfold', path, t.dayfold_table, t.from_view,
            copy || '(user_id, id) DO UPDATE SET ' || changes);

        -- Otherwise a trigger on another table could copy rows with the rights of the owner.
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %I(), %I() FROM PUBLIC',
            t.app_table || '_to_dayfold', t.app_table || '_changed_to_dayfold');
        EXECUTE format('CREATE TRIGGER dayfold_inserted AFTER INSERT ON %I REFERENCING NEW TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION %I()', t.app_table, t.app_table || '_to_dayfold');
        EXECUTE format('CREATE TRIGGER dayfold_deleted AFTER DELETE ON %I REFERENCING OLD TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION %I()', t.app_table, t.app_table || '_to_dayfold');
        EXECUTE format('CREATE TRIGGER dayfold_updated AFTER UPDATE ON %I REFERENCING OLD TABLE AS before NEW TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION %I()', t.app_table, t.app_table || '_changed_to_dayfold');
    END LOOP;
END $do$;

-- Copies what was there before, in batches of one transaction each, and resumes where a former call ended. The rows
-- of a batch are locked against changes while they are copied. A row that a transaction of the app holds at this
-- moment makes the batch wait outside any transaction, so that no statement of the app is part of a deadlock.
CREATE PROCEDURE dayfold_copy(batch integer DEFAULT 1000, pause_seconds double precision DEFAULT 0)
LANGUAGE plpgsql AS $$
DECLARE
    t record;
    ids integer[];
    columns text;
    copied bigint;
BEGIN
    FOR t IN SELECT * FROM dayfold_copied LOOP
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
        FROM pg_attribute WHERE attrelid = t.from_view::regclass AND attnum > 0;
        copied := 0;
        LOOP
            BEGIN
                EXECUTE format('SELECT array_agg(id) FROM (SELECT id FROM %I WHERE id > $1 ORDER BY id LIMIT $2
                    FOR SHARE NOWAIT) AS rows', t.app_table) INTO ids USING t.up_to, batch;
            EXCEPTION WHEN lock_not_available THEN
                ids := '{}';
            END;
            EXIT WHEN ids IS NULL;
            IF cardinality(ids) > 0 THEN
                EXECUTE format('INSERT INTO %1$I (%2$s) SELECT %2$s FROM %3$I WHERE id = ANY ($1) ON CONFLICT DO NOTHING',
                    t.dayfold_table, columns, t.from_view) USING ids;
                SELECT max(id) INTO t.up_to FROM unnest(ids) AS id;
                UPDATE dayfold_copied SET up_to = t.up_to WHERE app_table = t.app_table;
                copied := copied + cardinality(ids);
            END IF;
            COMMIT;
            PERFORM pg_sleep(CASE WHEN cardinality(ids) > 0 THEN pause_seconds ELSE 0.05 END);
            COMMIT;
        END LOOP;
        RAISE NOTICE '%: % rows read, up to id %', t.app_table, copied, t.up_to;
    END LOOP;
END $$;
COMMIT;
