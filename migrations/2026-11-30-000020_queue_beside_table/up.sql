-- The triggers find the queue beside their own table in a schema of any name. A restore of rows
-- alone does not collide with rows that the triggers have queued.
--
-- A trigger function had the name of its schema in its search_path. After ALTER SCHEMA ... RENAME it
-- looked for the queue under the old name: inserts failed, or, once there was another schema of that
-- name, queued in the wrong one. Now it compares the schema of its search_path with that of its table.
-- That costs about a microsecond for each statement. Only where they differ is the search_path set to
-- the table's schema, for this call. Its plans follow the search_path, so no SQL is built from text.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

CREATE OR REPLACE FUNCTION queue_inserted_vitals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, metric, time_zone, whole_day)
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), metric, time_zone, is_daily_total FROM new_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_updated_vitals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    -- UNION: a correction that moves nothing is one change, not two.
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, metric, time_zone, whole_day)
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), metric, time_zone, is_daily_total FROM old_rows
    UNION
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), metric, time_zone, is_daily_total FROM new_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_deleted_vitals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, metric, time_zone, whole_day)
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), metric, time_zone, is_daily_total FROM old_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_truncated_vitals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'TRUNCATE of % needs a transaction at READ COMMITTED', TG_TABLE_NAME
            USING ERRCODE = 'invalid_transaction_state',
                  DETAIL = 'At another isolation level this trigger does not see rows that were committed after the transaction began. TRUNCATE would remove them, and their figures would stay.',
                  HINT = 'Begin the transaction with BEGIN ISOLATION LEVEL READ COMMITTED.';
    END IF;
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, metric, time_zone, whole_day)
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), metric, time_zone, is_daily_total FROM vitals_raw;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_inserted_nutrition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), time_zone FROM new_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_updated_nutrition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    -- UNION: a correction that moves nothing is one change, not two.
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), time_zone FROM old_rows
    UNION
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), time_zone FROM new_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_deleted_nutrition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), time_zone FROM old_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_truncated_nutrition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'TRUNCATE of % needs a transaction at READ COMMITTED', TG_TABLE_NAME
            USING ERRCODE = 'invalid_transaction_state',
                  DETAIL = 'At another isolation level this trigger does not see rows that were committed after the transaction began. TRUNCATE would remove them, and their figures would stay.',
                  HINT = 'Begin the transaction with BEGIN ISOLATION LEVEL READ COMMITTED.';
    END IF;
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), time_zone FROM nutrition_raw;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_inserted_labs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), time_zone FROM new_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_updated_labs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    -- UNION: a correction that moves nothing is one change, not two.
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), time_zone FROM old_rows
    UNION
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), time_zone FROM new_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_deleted_labs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), time_zone FROM old_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_truncated_labs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'TRUNCATE of % needs a transaction at READ COMMITTED', TG_TABLE_NAME
            USING ERRCODE = 'invalid_transaction_state',
                  DETAIL = 'At another isolation level this trigger does not see rows that were committed after the transaction began. TRUNCATE would remove them, and their figures would stay.',
                  HINT = 'Begin the transaction with BEGIN ISOLATION LEVEL READ COMMITTED.';
    END IF;
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), time_zone FROM lab_raw;
    RETURN NULL;
END $$;

-- A number that counts from 1 in each database would not do. A restore of rows alone inserts queue rows with
-- the numbers of the former database. The triggers queue the same raw rows with the same numbers here, and
-- the key refused them. A number of 64 bits by chance and clock has no such meeting, and no sequence is left
-- that a restore would have to set. Chance alone would not do: an app that calls setseed() in each session
-- would draw the same numbers again.
--
-- Tables that an earlier version made have an identity here. Citus cannot drop one.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_attribute
               WHERE attrelid = 'aggregation_queue'::regclass AND attname = 'id' AND attidentity <> '') THEN
        ALTER TABLE aggregation_queue ALTER COLUMN id DROP IDENTITY;
        ALTER TABLE aggregation_queue ALTER COLUMN id SET DEFAULT interval_hash_extended(
            clock_timestamp() - timestamptz '2026-01-01 00:00:00+00', (random() * 9007199254740992)::bigint);
    END IF;
END $$;
COMMENT ON COLUMN aggregation_queue.id IS 'By chance and clock, so that rows of a restored dump and rows that the triggers queue meanwhile never have the same key';

-- A restore of rows alone also brings the list of migrations, which a migrated database has already.
CREATE FUNCTION skip_known_migration() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    is_known boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE version = $1)', TG_RELID::regclass)
        INTO is_known USING NEW.version;
    IF is_known THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION skip_known_migration() IS 'Leaves out migrations that are listed already, so that a data-only dump can be restored into a migrated database';
DO $$
BEGIN
    IF to_regclass('__diesel_schema_migrations') IS NOT NULL THEN
        CREATE TRIGGER skip_known_migration BEFORE INSERT ON __diesel_schema_migrations
            FOR EACH ROW EXECUTE FUNCTION skip_known_migration();
    END IF;
END $$;
