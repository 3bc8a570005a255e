DROP FUNCTION skip_known_migration() CASCADE;
COMMENT ON COLUMN aggregation_queue.id IS NULL;
SELECT set_config('search_path', concat_ws(', ', nullif(current_setting('search_path'), ''), 'pg_temp'), true);

CREATE OR REPLACE FUNCTION queue_inserted_vitals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, metric, time_zone, whole_day)
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), metric, time_zone, is_daily_total FROM new_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_updated_vitals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
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
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, metric, time_zone, whole_day)
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), metric, time_zone, is_daily_total FROM old_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_truncated_vitals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, metric, time_zone, whole_day)
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), metric, time_zone, is_daily_total FROM vitals_raw;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_inserted_nutrition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), time_zone FROM new_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_updated_nutrition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
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
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), time_zone FROM old_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_truncated_nutrition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), time_zone FROM nutrition_raw;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_inserted_labs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), time_zone FROM new_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_updated_labs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
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
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), time_zone FROM old_rows;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION queue_truncated_labs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), time_zone FROM lab_raw;
    RETURN NULL;
END $$;
