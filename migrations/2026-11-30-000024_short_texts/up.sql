-- A raw row may hold texts of megabytes. The queue keeps the beginnings of two of them, so that a claim never
-- reads more. 1024 bytes is the longest name that a raw row may have: one of 1025 characters is too long
-- itself, and is never that of a metric or a zone.

SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

CREATE OR REPLACE FUNCTION queue_inserted_vitals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, metric, time_zone, whole_day)
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), left(metric::text, 1025), left(time_zone::text, 1025), is_daily_total FROM new_rows;
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
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), left(metric::text, 1025), left(time_zone::text, 1025), is_daily_total FROM old_rows
    UNION
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), left(metric::text, 1025), left(time_zone::text, 1025), is_daily_total FROM new_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_deleted_vitals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, metric, time_zone, whole_day)
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), left(metric::text, 1025), left(time_zone::text, 1025), is_daily_total FROM old_rows;
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
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), left(metric::text, 1025), left(time_zone::text, 1025), is_daily_total FROM vitals_raw;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_inserted_nutrition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), left(time_zone::text, 1025) FROM new_rows;
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
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), left(time_zone::text, 1025) FROM old_rows
    UNION
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), left(time_zone::text, 1025) FROM new_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_deleted_nutrition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), left(time_zone::text, 1025) FROM old_rows;
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
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), left(time_zone::text, 1025) FROM nutrition_raw;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_inserted_labs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), left(time_zone::text, 1025) FROM new_rows;
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
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), left(time_zone::text, 1025) FROM old_rows
    UNION
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), left(time_zone::text, 1025) FROM new_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_deleted_labs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), left(time_zone::text, 1025) FROM old_rows;
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
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), left(time_zone::text, 1025) FROM lab_raw;
    RETURN NULL;
END $$;

UPDATE aggregation_queue
SET metric = left(metric::text, 1025), time_zone = left(time_zone::text, 1025)
WHERE octet_length(metric) > 1024 OR octet_length(time_zone) > 1024;

COMMENT ON COLUMN aggregation_queue.metric IS 'Vitals: the raw row''s metric, or its first 1025 characters';
COMMENT ON COLUMN aggregation_queue.time_zone IS 'The raw row''s own zone, or its first 1025 characters';

-- A row that ends each worker that holds it is never failed: its lease expires, and the next worker claims it.
ALTER TABLE aggregation_queue ADD COLUMN lost_leases integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN aggregation_queue.lost_leases IS 'How often the lease of a worker on the row expired. Two above batch.max_attempts the row is dead, with the error lease_expired';
