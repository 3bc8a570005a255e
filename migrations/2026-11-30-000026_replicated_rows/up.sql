-- Rows that logical replication writes queue themselves, too.
--
-- A subscription's worker fires triggers for each row only, never those for each statement, and only those
-- that are enabled for replicas. So each raw table has a trigger for each row that fires for replicas alone.
-- An administrator may set session_replication_role = replica to keep a statement out of the queue, as for
-- the retention of raw rows; so the trigger queues only what a subscription writes.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

CREATE FUNCTION queue_replicated_vitals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_stat_subscription WHERE pid = pg_backend_pid()) THEN
        RETURN NULL;
    END IF;
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, metric, time_zone, whole_day)
        VALUES ('vitals', OLD.user_id, OLD.id, aggregation_datable(OLD.started_at), aggregation_end(OLD.started_at, OLD.ended_at), left(OLD.metric::text, 1025), left(OLD.time_zone::text, 1025), OLD.is_daily_total);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, metric, time_zone, whole_day)
        VALUES ('vitals', NEW.user_id, NEW.id, aggregation_datable(NEW.started_at), aggregation_end(NEW.started_at, NEW.ended_at), left(NEW.metric::text, 1025), left(NEW.time_zone::text, 1025), NEW.is_daily_total);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION queue_replicated_vitals() IS 'Queues a row that logical replication has written, for which no trigger for each statement fires';
REVOKE ALL ON FUNCTION queue_replicated_vitals() FROM PUBLIC;
CREATE TRIGGER queue_replicated AFTER INSERT OR UPDATE OR DELETE ON vitals_raw
    FOR EACH ROW EXECUTE FUNCTION queue_replicated_vitals();
ALTER TABLE vitals_raw ENABLE REPLICA TRIGGER queue_replicated;
-- TRUNCATE is a statement for a subscription, too.
ALTER TABLE vitals_raw ENABLE ALWAYS TRIGGER queue_truncated;

CREATE FUNCTION queue_replicated_nutrition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_stat_subscription WHERE pid = pg_backend_pid()) THEN
        RETURN NULL;
    END IF;
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
        VALUES ('nutrition', OLD.user_id, OLD.id, aggregation_datable(OLD.eaten_at), aggregation_datable(OLD.eaten_at), left(OLD.time_zone::text, 1025));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
        VALUES ('nutrition', NEW.user_id, NEW.id, aggregation_datable(NEW.eaten_at), aggregation_datable(NEW.eaten_at), left(NEW.time_zone::text, 1025));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION queue_replicated_nutrition() IS 'Queues a row that logical replication has written, for which no trigger for each statement fires';
REVOKE ALL ON FUNCTION queue_replicated_nutrition() FROM PUBLIC;
CREATE TRIGGER queue_replicated AFTER INSERT OR UPDATE OR DELETE ON nutrition_raw
    FOR EACH ROW EXECUTE FUNCTION queue_replicated_nutrition();
ALTER TABLE nutrition_raw ENABLE REPLICA TRIGGER queue_replicated;
-- TRUNCATE is a statement for a subscription, too.
ALTER TABLE nutrition_raw ENABLE ALWAYS TRIGGER queue_truncated;

CREATE FUNCTION queue_replicated_labs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_stat_subscription WHERE pid = pg_backend_pid()) THEN
        RETURN NULL;
    END IF;
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
        VALUES ('labs', OLD.user_id, OLD.id, aggregation_datable(OLD.collected_at), aggregation_datable(OLD.collected_at), left(OLD.time_zone::text, 1025));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
        VALUES ('labs', NEW.user_id, NEW.id, aggregation_datable(NEW.collected_at), aggregation_datable(NEW.collected_at), left(NEW.time_zone::text, 1025));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION queue_replicated_labs() IS 'Queues a row that logical replication has written, for which no trigger for each statement fires';
REVOKE ALL ON FUNCTION queue_replicated_labs() FROM PUBLIC;
CREATE TRIGGER queue_replicated AFTER INSERT OR UPDATE OR DELETE ON lab_raw
    FOR EACH ROW EXECUTE FUNCTION queue_replicated_labs();
ALTER TABLE lab_raw ENABLE REPLICA TRIGGER queue_replicated;
-- TRUNCATE is a statement for a subscription, too.
ALTER TABLE lab_raw ENABLE ALWAYS TRIGGER queue_truncated;

-- The only function of ours that looked where its caller does.
ALTER FUNCTION skip_known_migration() SET search_path = pg_catalog, pg_temp;
