-- The work that is left: one row for each change of a raw row that is not in the figures yet.
--
-- The state of processing is here and not on the raw rows. To mark a wide raw row would cost a new
-- version of it, an entry in each of its indexes and the WAL of both, several times.

CREATE SEQUENCE aggregation_lease AS bigint;
COMMENT ON SEQUENCE aggregation_lease IS 'Lease tokens: each claim has one of its own, and only its holder can finish, release or fail what it claimed';

CREATE TABLE aggregation_queue (
    user_id bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('vitals', 'nutrition', 'labs')),
    starts_at timestamptz NOT NULL,
    id bigint NOT NULL DEFAULT interval_hash_extended(
        clock_timestamp() - timestamptz '2026-01-01 00:00:00+00', (random() * 9007199254740992)::bigint),
    raw_id bigint NOT NULL,
    ends_at timestamptz NOT NULL,
    metric text,
    time_zone text,
    whole_day boolean NOT NULL DEFAULT false,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'processing', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    queued_at timestamptz NOT NULL DEFAULT now(),
    not_before timestamptz NOT NULL DEFAULT now(),
    lease_token bigint,
    lease_expires_at timestamptz,
    last_error text,
    PRIMARY KEY (user_id, kind, starts_at, id)
);
COMMENT ON TABLE aggregation_queue IS 'Changes of raw rows that are not in the figures yet, put here by triggers. Apps only insert rows, so that no app waits for the worker. A raw row that changes while it is processed has another row here and is processed again.';
COMMENT ON COLUMN aggregation_queue.starts_at IS 'The raw row''s time, before the change for its old version; infinite times are cut to the years 1 to 9999';
COMMENT ON COLUMN aggregation_queue.ends_at IS 'The end of the raw row''s interval where that is at most 48 hours long, else starts_at';
COMMENT ON COLUMN aggregation_queue.metric IS 'Vitals: the raw row''s metric';
COMMENT ON COLUMN aggregation_queue.time_zone IS 'The raw row''s own zone';
COMMENT ON COLUMN aggregation_queue.whole_day IS 'Vitals: the raw row is a daily total and touches its whole local day';
COMMENT ON COLUMN aggregation_queue.state IS 'pending -> processing (claimed) -> gone, or pending again with attempts + 1, or dead after the last attempt';
COMMENT ON COLUMN aggregation_queue.not_before IS 'Not claimed before this time; infinity when dead. The claim walks this in order, oldest first.';
COMMENT ON COLUMN aggregation_queue.lease_expires_at IS 'By the database''s clock: a claim older than this belongs to a worker that is gone, and is claimed again';
COMMENT ON COLUMN aggregation_queue.last_error IS 'The class of the last failure; never a health value';

-- state is in no index, so that claiming a row can be a heap-only update.
CREATE INDEX aggregation_queue_due ON aggregation_queue (kind, not_before);

CREATE TABLE rejected_rows (
    user_id bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('vitals', 'nutrition', 'labs')),
    raw_id bigint NOT NULL,
    reason text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, kind, raw_id)
);
COMMENT ON TABLE rejected_rows IS 'Raw rows that take no part in the figures. A row is judged again when it changes.';
COMMENT ON COLUMN rejected_rows.reason IS 'Reason code; never a health value';

-- The times of a queue row are cut to the range of the calendar. An infinite or far timestamp would
-- make the interval arithmetic of the claim fail for all users.
CREATE FUNCTION aggregation_datable(instant timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN least(greatest(instant, timestamptz '0001-01-01 00:00:00+00'), timestamptz '9999-12-31 00:00:00+00');

CREATE FUNCTION aggregation_end(started_at timestamptz, ended_at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN isfinite(started_at) AND ended_at >= started_at
         AND aggregation_datable(ended_at) <= aggregation_datable(started_at) + interval '48 hours'
    THEN aggregation_datable(ended_at)
    ELSE aggregation_datable(started_at)
END;

-- The trigger functions run with the rights of the tables' owner, so that an app needs no grant on
-- the queue. They have the search_path of the migration, so that several schemas can be used side
-- by side. Transition tables make them run once a statement, not once a row.
--
-- pg_temp is last in that path. Not named, it would be searched first, and an app could put a
-- temporary aggregation_queue before ours, whose triggers then ran with the owner's rights.
SELECT set_config('search_path', concat_ws(', ', nullif(current_setting('search_path'), ''), 'pg_temp'), true);

CREATE FUNCTION queue_inserted_vitals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, metric, time_zone, whole_day)
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), metric, time_zone, is_daily_total FROM new_rows;
    RETURN NULL;
END $$;

CREATE FUNCTION queue_updated_vitals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    -- UNION: a correction that moves nothing is one change, not two.
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, metric, time_zone, whole_day)
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), metric, time_zone, is_daily_total FROM old_rows
    UNION
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), metric, time_zone, is_daily_total FROM new_rows;
    RETURN NULL;
END $$;

CREATE FUNCTION queue_deleted_vitals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, metric, time_zone, whole_day)
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), metric, time_zone, is_daily_total FROM old_rows;
    RETURN NULL;
END $$;

CREATE FUNCTION queue_truncated_vitals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, metric, time_zone, whole_day)
    SELECT 'vitals', user_id, id, aggregation_datable(started_at), aggregation_end(started_at, ended_at), metric, time_zone, is_daily_total FROM vitals_raw;
    RETURN NULL;
END $$;

CREATE TRIGGER queue_inserted AFTER INSERT ON vitals_raw
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION queue_inserted_vitals();
CREATE TRIGGER queue_updated AFTER UPDATE ON vitals_raw
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_updated_vitals();
CREATE TRIGGER queue_deleted AFTER DELETE ON vitals_raw
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION queue_deleted_vitals();
CREATE TRIGGER queue_truncated BEFORE TRUNCATE ON vitals_raw
    FOR EACH STATEMENT EXECUTE FUNCTION queue_truncated_vitals();

CREATE FUNCTION queue_inserted_nutrition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), time_zone FROM new_rows;
    RETURN NULL;
END $$;

CREATE FUNCTION queue_updated_nutrition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    -- UNION: a correction that moves nothing is one change, not two.
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), time_zone FROM old_rows
    UNION
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), time_zone FROM new_rows;
    RETURN NULL;
END $$;

CREATE FUNCTION queue_deleted_nutrition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), time_zone FROM old_rows;
    RETURN NULL;
END $$;

CREATE FUNCTION queue_truncated_nutrition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'nutrition', user_id, id, aggregation_datable(eaten_at), aggregation_datable(eaten_at), time_zone FROM nutrition_raw;
    RETURN NULL;
END $$;

CREATE TRIGGER queue_inserted AFTER INSERT ON nutrition_raw
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION queue_inserted_nutrition();
CREATE TRIGGER queue_updated AFTER UPDATE ON nutrition_raw
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_updated_nutrition();
CREATE TRIGGER queue_deleted AFTER DELETE ON nutrition_raw
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION queue_deleted_nutrition();
CREATE TRIGGER queue_truncated BEFORE TRUNCATE ON nutrition_raw
    FOR EACH STATEMENT EXECUTE FUNCTION queue_truncated_nutrition();

CREATE FUNCTION queue_inserted_labs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), time_zone FROM new_rows;
    RETURN NULL;
END $$;

CREATE FUNCTION queue_updated_labs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    -- UNION: a correction that moves nothing is one change, not two.
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), time_zone FROM old_rows
    UNION
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), time_zone FROM new_rows;
    RETURN NULL;
END $$;

CREATE FUNCTION queue_deleted_labs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), time_zone FROM old_rows;
    RETURN NULL;
END $$;

CREATE FUNCTION queue_truncated_labs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at, time_zone)
    SELECT 'labs', user_id, id, aggregation_datable(collected_at), aggregation_datable(collected_at), time_zone FROM lab_raw;
    RETURN NULL;
END $$;

CREATE TRIGGER queue_inserted AFTER INSERT ON lab_raw
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION queue_inserted_labs();
CREATE TRIGGER queue_updated AFTER UPDATE ON lab_raw
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_updated_labs();
CREATE TRIGGER queue_deleted AFTER DELETE ON lab_raw
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION queue_deleted_labs();
CREATE TRIGGER queue_truncated BEFORE TRUNCATE ON lab_raw
    FOR EACH STATEMENT EXECUTE FUNCTION queue_truncated_labs();
