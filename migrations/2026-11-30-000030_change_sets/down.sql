-- Back to a row of the queue for each raw row.

-- No app may change a raw row while the queue is rebuilt.
LOCK TABLE vitals_raw, nutrition_raw, lab_raw IN SHARE ROW EXCLUSIVE MODE;

DO $$
DECLARE
    raw record;
BEGIN
    FOR raw IN
        SELECT * FROM (VALUES ('vitals', 'vitals_raw'), ('nutrition', 'nutrition_raw'), ('labs', 'lab_raw'))
            AS kinds (kind, raw_table)
    LOOP
        EXECUTE format('DROP TRIGGER queue_inserted ON %I', raw.raw_table);
        EXECUTE format('DROP TRIGGER queue_updated ON %I', raw.raw_table);
        EXECUTE format('DROP TRIGGER queue_deleted ON %I', raw.raw_table);
        EXECUTE format('DROP TRIGGER queue_truncated ON %I', raw.raw_table);
        EXECUTE format('DROP TRIGGER queue_replicated ON %I', raw.raw_table);
        EXECUTE format('DROP FUNCTION queue_changed_%1$s(), queue_updated_%1$s(), queue_truncated_%1$s(), queue_replicated_%1$s()', raw.kind);
    END LOOP;
END $$;
ALTER FUNCTION skip_known_migration() RESET search_path;

CREATE SEQUENCE aggregation_lease AS bigint;
COMMENT ON SEQUENCE aggregation_lease IS 'Lease tokens: each claim has one of its own, and only its holder can finish, release or fail what it claimed';

ALTER TABLE aggregation_queue RENAME TO aggregation_queue_of_sets;
ALTER INDEX aggregation_queue_pkey RENAME TO aggregation_queue_of_sets_pkey;
ALTER INDEX aggregation_queue_due RENAME TO aggregation_queue_of_sets_due;

CREATE TABLE aggregation_queue (
    user_id bigint NOT NULL,
    kind text NOT NULL CONSTRAINT aggregation_queue_kind_check CHECK (kind IN ('vitals', 'nutrition', 'labs')),
    starts_at timestamptz NOT NULL,
    id bigint NOT NULL DEFAULT interval_hash_extended(
        clock_timestamp() - timestamptz '2026-01-01 00:00:00+00', (random() * 9007199254740992)::bigint),
    raw_id bigint NOT NULL,
    ends_at timestamptz NOT NULL,
    metric text,
    time_zone text,
    whole_day boolean NOT NULL DEFAULT false,
    state text NOT NULL DEFAULT 'pending'
        CONSTRAINT aggregation_queue_state_check CHECK (state IN ('pending', 'processing', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    queued_at timestamptz NOT NULL DEFAULT now(),
    not_before timestamptz NOT NULL DEFAULT now(),
    lease_token bigint,
    lease_expires_at timestamptz,
    last_error text,
    lost_leases integer NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, kind, starts_at, id)
);
COMMENT ON TABLE aggregation_queue IS 'Changes of raw rows that are not in the figures yet, put here by triggers. Apps only insert rows, so that no app waits for the worker. A raw row that changes while it is processed has another row here and is processed again.';
COMMENT ON COLUMN aggregation_queue.starts_at IS 'The raw row''s time, before the change for its old version; infinite times are cut to the years 1 to 9999';
COMMENT ON COLUMN aggregation_queue.id IS 'By chance and clock, so that rows of a restored dump and rows that the triggers queue meanwhile never have the same key';
COMMENT ON COLUMN aggregation_queue.ends_at IS 'The end of the raw row''s interval where that is at most 48 hours long, else starts_at';
COMMENT ON COLUMN aggregation_queue.metric IS 'Vitals: the raw row''s metric, or its first 1025 characters';
COMMENT ON COLUMN aggregation_queue.time_zone IS 'The raw row''s own zone, or its first 1025 characters';
COMMENT ON COLUMN aggregation_queue.whole_day IS 'Vitals: the raw row is a daily total and touches its whole local day';
COMMENT ON COLUMN aggregation_queue.state IS 'pending -> processing (claimed) -> gone, or pending again with attempts + 1, or dead after the last attempt';
COMMENT ON COLUMN aggregation_queue.not_before IS 'Not claimed before this time; infinity when dead. The claim walks this in order, oldest first.';
COMMENT ON COLUMN aggregation_queue.lease_expires_at IS 'By the database''s clock: a claim older than this belongs to a worker that is gone, and is claimed again';
COMMENT ON COLUMN aggregation_queue.last_error IS 'The class of the last failure; never a health value';
COMMENT ON COLUMN aggregation_queue.lost_leases IS 'How often the lease of a worker on the row expired. Two above batch.max_attempts the row is dead, with the error lease_expired';

CREATE INDEX aggregation_queue_due ON aggregation_queue (kind, not_before);

ALTER TABLE aggregation_queue SET (
    fillfactor = 85,
    autovacuum_vacuum_cost_delay = 0,
    vacuum_truncate = false
);

DO $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT acl.grantee, acl.privilege_type
        FROM pg_class AS c, aclexplode(c.relacl) AS acl
        WHERE c.oid = 'aggregation_queue_of_sets'::regclass AND acl.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT %s ON aggregation_queue TO %s', granted.privilege_type,
            CASE granted.grantee WHEN 0 THEN 'PUBLIC' ELSE granted.grantee::regrole::text END);
    END LOOP;
END $$;

INSERT INTO aggregation_queue (
    user_id, kind, starts_at, raw_id, ends_at, metric, time_zone, whole_day, state, attempts, queued_at,
    not_before, last_error, lost_leases)
SELECT s.user_id, s.kind, coalesce(r.starts_at, s.starts_at), r.raw_id,
       CASE WHEN r.starts_at IS NULL THEN s.ends_at ELSE coalesce(r.ends_at, r.starts_at) END,
       s.metric, s.time_zone, s.whole_day, CASE s.state WHEN 'dead' THEN 'dead' ELSE 'pending' END, s.attempts,
       s.queued_at, s.not_before, s.last_error, s.lost_leases
FROM aggregation_queue_of_sets AS s
CROSS JOIN LATERAL unnest(s.raw_ids, s.row_starts, s.row_ends) AS r (raw_id, starts_at, ends_at);

CREATE OR REPLACE VIEW raw_row_status AS
SELECT raw.kind,
       raw.user_id,
       raw.raw_id,
       coalesce(queued.status, 'completed') AS status,
       coalesce(queued.attempts, 0) AS attempts,
       queued.last_error,
       rejected.reason AS rejected_reason
FROM (
    SELECT 'vitals' AS kind, user_id, id AS raw_id FROM vitals_raw
    UNION ALL
    SELECT 'nutrition', user_id, id FROM nutrition_raw
    UNION ALL
    SELECT 'labs', user_id, id FROM lab_raw
) AS raw
LEFT JOIN (
    SELECT kind, user_id, raw_id,
           CASE
               WHEN bool_or(state = 'processing') THEN 'processing'
               WHEN bool_or(state = 'pending') THEN 'pending'
               ELSE 'dead'
           END AS status,
           max(attempts) AS attempts,
           max(last_error) AS last_error
    FROM aggregation_queue
    GROUP BY kind, user_id, raw_id
) AS queued USING (kind, user_id, raw_id)
LEFT JOIN rejected_rows AS rejected USING (kind, user_id, raw_id);

DROP TABLE aggregation_queue_of_sets;

SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

-- The functions have the very texts of the migration that made them last, which `worker doctor` compares.
DO $do$
DECLARE
    raw record;
    head text;
    queue text;
    isolation text;
BEGIN
    FOR raw IN
        SELECT * FROM (VALUES
            ('vitals', 'vitals_raw', ', metric, time_zone, whole_day',
             'aggregation_datable(started_at), aggregation_end(started_at, ended_at), left(metric::text, 1025), left(time_zone::text, 1025), is_daily_total'),
            ('nutrition', 'nutrition_raw', ', time_zone',
             'aggregation_datable(eaten_at), aggregation_datable(eaten_at), left(time_zone::text, 1025)'),
            ('labs', 'lab_raw', ', time_zone',
             'aggregation_datable(collected_at), aggregation_datable(collected_at), left(time_zone::text, 1025)')
        ) AS kinds (kind, raw_table, columns, the_values)
    LOOP
        head := '
BEGIN
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config(''search_path'', format(''%I, pg_temp'', TG_TABLE_SCHEMA), true);
    END IF;';
        isolation := '
    IF current_setting(''transaction_isolation'') NOT IN (''read committed'', ''read uncommitted'') THEN
        RAISE EXCEPTION ''TRUNCATE of % needs a transaction at READ COMMITTED'', TG_TABLE_NAME
            USING ERRCODE = ''invalid_transaction_state'',
                  DETAIL = ''At another isolation level this trigger does not see rows that were committed after the transaction began. TRUNCATE would remove them, and their figures would stay.'',
                  HINT = ''Begin the transaction with BEGIN ISOLATION LEVEL READ COMMITTED.'';
    END IF;';
        queue := format('
    INSERT INTO aggregation_queue (kind, user_id, raw_id, starts_at, ends_at%s)
    SELECT %L, user_id, id, %s FROM %%s;
    RETURN NULL;
END ', raw.columns, raw.kind, raw.the_values);

        EXECUTE format('CREATE FUNCTION queue_inserted_%s() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS %L',
            raw.kind, head || format(queue, 'new_rows'));
        EXECUTE format('CREATE FUNCTION queue_updated_%s() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS %L',
            raw.kind, head || '
    -- UNION: a correction that moves nothing is one change, not two.' || format(queue, format('old_rows
    UNION
    SELECT %L, user_id, id, %s FROM new_rows', raw.kind, raw.the_values)));
        EXECUTE format('CREATE FUNCTION queue_deleted_%s() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS %L',
            raw.kind, head || format(queue, 'old_rows'));
        EXECUTE format('CREATE FUNCTION queue_truncated_%s() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS %L',
            raw.kind, head || isolation || format(queue, raw.raw_table));

        EXECUTE format('REVOKE EXECUTE ON FUNCTION queue_inserted_%1$s(), queue_updated_%1$s(), queue_deleted_%1$s(), queue_truncated_%1$s() FROM PUBLIC', raw.kind);
        EXECUTE format('CREATE TRIGGER queue_inserted AFTER INSERT ON %2$I REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION queue_inserted_%1$s()', raw.kind, raw.raw_table);
        EXECUTE format('CREATE TRIGGER queue_updated AFTER UPDATE ON %2$I REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION queue_updated_%1$s()', raw.kind, raw.raw_table);
        EXECUTE format('CREATE TRIGGER queue_deleted AFTER DELETE ON %2$I REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION queue_deleted_%1$s()', raw.kind, raw.raw_table);
        EXECUTE format('CREATE TRIGGER queue_truncated BEFORE TRUNCATE ON %2$I FOR EACH STATEMENT EXECUTE FUNCTION queue_truncated_%1$s()', raw.kind, raw.raw_table);
    END LOOP;
END $do$;
