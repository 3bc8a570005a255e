-- The queue holds change sets: up to 50 raw rows of one user, kind, metric and zone that one
-- statement changed. A row of the queue for each raw row made claiming, marking and deleting 60 %
-- of a drain. Its two index entries were most of the triggers' cost for an app's insert.

-- No app may change a raw row while the queue is rebuilt.
LOCK TABLE vitals_raw, nutrition_raw, lab_raw IN SHARE ROW EXCLUSIVE MODE;

DO $$
DECLARE
    old record;
BEGIN
    FOR old IN
        SELECT tgname, tgrelid::regclass AS raw_table, tgfoid::regprocedure AS function
        FROM pg_trigger
        WHERE tgrelid IN ('vitals_raw'::regclass, 'nutrition_raw'::regclass, 'lab_raw'::regclass)
          AND tgname IN ('queue_inserted', 'queue_updated', 'queue_deleted', 'queue_truncated')
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', old.tgname, old.raw_table);
        EXECUTE format('DROP FUNCTION %s', old.function);
    END LOOP;
END $$;

ALTER TABLE aggregation_queue RENAME TO aggregation_queue_by_row;
ALTER INDEX aggregation_queue_pkey RENAME TO aggregation_queue_by_row_pkey;
ALTER INDEX aggregation_queue_due RENAME TO aggregation_queue_by_row_due;

-- The columns that a claim changes come first and lie together, so that its WAL has few bytes of a set.
CREATE TABLE aggregation_queue (
    not_before timestamptz NOT NULL DEFAULT now(),
    lease_token bigint,
    lease_expires_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    lost_leases integer NOT NULL DEFAULT 0,
    dates_done integer NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'pending',
    user_id bigint NOT NULL,
    kind text NOT NULL,
    starts_at timestamptz NOT NULL,
    id bigint NOT NULL DEFAULT interval_hash_extended(
        clock_timestamp() - timestamptz '2026-01-01 00:00:00+00', (random() * 9007199254740992)::bigint),
    ends_at timestamptz NOT NULL,
    queued_at timestamptz NOT NULL DEFAULT now(),
    whole_day boolean NOT NULL DEFAULT false,
    metric text,
    time_zone text,
    raw_ids bigint[] NOT NULL,
    row_starts timestamptz[],
    row_ends timestamptz[],
    last_error text,
    PRIMARY KEY (user_id, kind, starts_at, id)
);
COMMENT ON TABLE aggregation_queue IS 'Changes of raw rows that are not in the figures yet, put here by triggers. A row is a change set: up to 50 raw rows of one user, kind, metric and zone that one statement changed. Apps only ever insert here, so that no app waits for the worker; a raw row changed again while it is processed is in another set and is done again.';
COMMENT ON COLUMN aggregation_queue.not_before IS 'Not claimed before this time; infinity when dead. A claim reads the sets in this order.';
COMMENT ON COLUMN aggregation_queue.lease_token IS 'The claim that holds the set; only its worker can finish, fail, renew or release it';
COMMENT ON COLUMN aggregation_queue.lease_expires_at IS 'By the database''s clock: a claim older than this belongs to a worker that is gone, and the set is claimed again';
COMMENT ON COLUMN aggregation_queue.lost_leases IS 'How often the lease of a worker on the set expired. Two above batch.max_attempts the set is dead, with the error lease_expired';
COMMENT ON COLUMN aggregation_queue.dates_done IS 'Since it was claimed, how many of the local dates of its rows are committed, but for the last, which deletes it. Commits do not wait for the disk: a server that crashes may forget a date, and this number with it';
COMMENT ON COLUMN aggregation_queue.state IS 'pending -> processing (claimed) -> gone, or pending again with attempts + 1, or dead after the last attempt';
COMMENT ON COLUMN aggregation_queue.starts_at IS 'The earliest start of its rows, before the change for their old versions; infinite times are cut to the years 1 to 9999';
COMMENT ON COLUMN aggregation_queue.id IS 'By chance and clock, so that sets of a restored dump and sets that the triggers queue meanwhile never have the same key';
COMMENT ON COLUMN aggregation_queue.ends_at IS 'The latest end of its rows; an interval longer than 48 hours counts as an instant';
COMMENT ON COLUMN aggregation_queue.whole_day IS 'Vitals: the raw rows are daily totals and touch their whole local day';
COMMENT ON COLUMN aggregation_queue.metric IS 'Vitals: the metric of the raw rows, or its first 1025 characters';
COMMENT ON COLUMN aggregation_queue.time_zone IS 'The zone that the raw rows name, or its first 1025 characters';
COMMENT ON COLUMN aggregation_queue.raw_ids IS 'The raw rows that were inserted, changed or deleted; one that was moved may be here twice';
COMMENT ON COLUMN aggregation_queue.row_starts IS 'The start of each raw row; NULL: all have starts_at and ends_at';
COMMENT ON COLUMN aggregation_queue.row_ends IS 'The end of each raw row; NULL: each ends as it starts, or row_starts is NULL';
COMMENT ON COLUMN aggregation_queue.last_error IS 'The class of the last failure; never a health value';

-- state is in no index, so that claiming a set can be a heap-only update.
CREATE INDEX aggregation_queue_due ON aggregation_queue (kind, not_before);

-- fillfactor: with room for the mark on the set's own page, marking does not write to an index.
-- autovacuum_vacuum_cost_delay: done rows are removed at once, for the table is small.
-- vacuum_truncate: giving pages back takes a lock for which an app's insert would wait.
ALTER TABLE aggregation_queue SET (
    fillfactor = 70,
    autovacuum_vacuum_cost_delay = 0,
    vacuum_truncate = false
);

-- Roles that could use the old table can use the new one. The worker's rights are in grants.sql,
-- too.
DO $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT acl.grantee, acl.privilege_type
        FROM pg_class AS c, aclexplode(c.relacl) AS acl
        WHERE c.oid = 'aggregation_queue_by_row'::regclass AND acl.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT %s ON aggregation_queue TO %s', granted.privilege_type,
            CASE granted.grantee WHEN 0 THEN 'PUBLIC' ELSE granted.grantee::regrole::text END);
    END LOOP;
END $$;

INSERT INTO aggregation_queue (
    kind, user_id, metric, time_zone, whole_day, state, attempts, lost_leases, not_before, queued_at, last_error,
    starts_at, ends_at, raw_ids, row_starts, row_ends)
SELECT kind, user_id, metric, time_zone, whole_day, state, attempts, lost_leases, not_before, queued_at, last_error,
       min(starts_at), max(ends_at), array_agg(raw_id ORDER BY starts_at, raw_id),
       array_agg(starts_at ORDER BY starts_at, raw_id), array_agg(ends_at ORDER BY starts_at, raw_id)
FROM (
    SELECT *, (row_number() OVER (
        PARTITION BY kind, user_id, metric, time_zone, whole_day, state, attempts, lost_leases, not_before,
                     queued_at, last_error
        ORDER BY starts_at, raw_id) - 1) / 50 AS part
    FROM (
        SELECT kind, user_id, raw_id, metric, time_zone, whole_day, starts_at, ends_at, attempts, lost_leases,
               CASE state WHEN 'dead' THEN 'dead' ELSE 'pending' END AS state, not_before, queued_at, last_error
        FROM aggregation_queue_by_row
    ) AS old
) AS old
GROUP BY kind, user_id, metric, time_zone, whole_day, state, attempts, lost_leases, not_before, queued_at,
         last_error, part;

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
    FROM aggregation_queue CROSS JOIN unnest(raw_ids) AS raw_id
    GROUP BY kind, user_id, raw_id
) AS queued USING (kind, user_id, raw_id)
LEFT JOIN rejected_rows AS rejected USING (kind, user_id, raw_id);

DROP TABLE aggregation_queue_by_row;
DROP SEQUENCE aggregation_lease;

-- The triggers pack what a statement changed. They run with the rights of the tables' owner, so that an app
-- needs no right on the queue. Their search_path is the schema of their own table and pg_temp last: a
-- temporary table never comes before ours. After ALTER SCHEMA ... RENAME they set it for the call.
--
-- Each kind's functions differ in the columns that they read, so that they are made from one text:
-- queue_changed_KIND for INSERT and DELETE, queue_updated_KIND, queue_truncated_KIND, queue_replicated_KIND. A statement that
-- changed one row, as most do, builds no arrays of times and sorts nothing. The casts keep what a session has
-- prepared valid when the type of a column changes. The rows of the transition table
-- go through a variable into the queue: Citus cannot insert from a transition table.
--
-- A subscription of logical replication fires triggers for each row only, never those for each statement but that
-- of TRUNCATE, and only those that are enabled for replicas. So each raw table has a trigger for each row that
-- fires for replicas alone. An administrator may set session_replication_role = replica to keep a statement out of
-- the queue, as for the retention of raw rows; so it queues only what a subscription writes.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

DO $do$
DECLARE
    raw record;
    head text;
    pack text;
BEGIN
    FOR raw IN
        SELECT * FROM (VALUES
            ('vitals', 'vitals_raw', 'left(metric::text, 1025)', 'aggregation_datable(started_at)',
             'aggregation_end(started_at, ended_at)', 'is_daily_total'),
            ('nutrition', 'nutrition_raw', 'NULL::text', 'aggregation_datable(eaten_at)',
             'aggregation_datable(eaten_at)', 'false'),
            ('labs', 'lab_raw', 'NULL::text', 'aggregation_datable(collected_at)',
             'aggregation_datable(collected_at)', 'false')
        ) AS kinds (kind, raw_table, metric, starts_at, ends_at, whole_day)
    LOOP
        head := $head$
    IF current_schema() IS DISTINCT FROM TG_TABLE_SCHEMA THEN
        PERFORM set_config('search_path', format('%I, pg_temp', TG_TABLE_SCHEMA), true);
    END IF;$head$;

        -- The changes of a statement, in sets of at most 50 rows of one user, metric and zone.
        pack := format($pack$
    FOR packed IN
        SELECT user_id, metric, time_zone, whole_day, min(starts_at) AS starts_at, max(ends_at) AS ends_at,
               array_agg(raw_id) AS raw_ids, array_agg(starts_at) AS row_starts,
               CASE WHEN bool_or(ends_at <> starts_at) THEN array_agg(ends_at) END AS row_ends
        FROM (
            SELECT *, (row_number() OVER (
                PARTITION BY user_id, metric, time_zone, whole_day ORDER BY starts_at) - 1) / 50 AS part
            FROM (%%s) AS changes
        ) AS changes
        GROUP BY user_id, metric, time_zone, whole_day, part
    LOOP
        INSERT INTO aggregation_queue (kind, user_id, metric, time_zone, whole_day, starts_at, ends_at,
            raw_ids, row_starts, row_ends)
        VALUES (%L, packed.user_id, packed.metric, packed.time_zone, packed.whole_day, packed.starts_at,
            packed.ends_at, packed.raw_ids, packed.row_starts, packed.row_ends);
    END LOOP;
    RETURN NULL;$pack$, raw.kind);

        EXECUTE format($function$
CREATE FUNCTION queue_changed_%1$s() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $body$
DECLARE
    single record;
    packed record;
BEGIN%2$s
    SELECT user_id::bigint, id::bigint, %4$s AS starts_at, %5$s AS ends_at, %3$s AS metric, left(time_zone::text, 1025) AS time_zone,
           %6$s AS whole_day, (SELECT count(*) = 1 FROM (SELECT FROM changed LIMIT 2) AS first_two) AS is_only
    INTO single FROM changed LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF single.is_only THEN
        INSERT INTO aggregation_queue (kind, user_id, metric, time_zone, whole_day, starts_at, ends_at, raw_ids)
        VALUES (%7$L, single.user_id, single.metric, single.time_zone, single.whole_day, single.starts_at,
            single.ends_at, ARRAY[single.id]);
        RETURN NULL;
    END IF;%8$s
END $body$$function$,
            raw.kind, head, raw.metric, raw.starts_at, raw.ends_at, raw.whole_day, raw.kind,
            format(pack, format(
                'SELECT user_id::bigint, id::bigint AS raw_id, %s AS metric, left(time_zone::text, 1025) AS time_zone, %s AS whole_day, %s AS starts_at, %s AS ends_at FROM changed',
                raw.metric, raw.whole_day, raw.starts_at, raw.ends_at)));

        -- UNION: a correction that moves nothing is one change, not two.
        EXECUTE format($function$
CREATE FUNCTION queue_updated_%1$s() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $body$
DECLARE
    packed record;
BEGIN%2$s%3$s
END $body$$function$,
            raw.kind, head,
            format(pack, format(
                'SELECT user_id::bigint, id::bigint AS raw_id, %1$s AS metric, left(time_zone::text, 1025) AS time_zone, %2$s AS whole_day, %3$s AS starts_at, %4$s AS ends_at FROM old_rows UNION SELECT user_id::bigint, id::bigint, %1$s, left(time_zone::text, 1025), %2$s, %3$s, %4$s FROM changed',
                raw.metric, raw.whole_day, raw.starts_at, raw.ends_at)));

        EXECUTE format($function$
CREATE FUNCTION queue_truncated_%1$s() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $body$
DECLARE
    packed record;
BEGIN%2$s
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'TRUNCATE of %% needs a transaction at READ COMMITTED', TG_TABLE_NAME
            USING ERRCODE = 'invalid_transaction_state',
                  DETAIL = 'At another isolation level this trigger does not see rows that were committed after the transaction began. TRUNCATE would remove them, and their figures would stay.',
                  HINT = 'Begin the transaction with BEGIN ISOLATION LEVEL READ COMMITTED.';
    END IF;%3$s
END $body$$function$,
            raw.kind, head,
            format(pack, format(
                'SELECT user_id::bigint, id::bigint AS raw_id, %s AS metric, left(time_zone::text, 1025) AS time_zone, %s AS whole_day, %s AS starts_at, %s AS ends_at FROM %I',
                raw.metric, raw.whole_day, raw.starts_at, raw.ends_at, raw.raw_table)));

        EXECUTE format($function$
CREATE FUNCTION queue_replicated_%1$s() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $body$
DECLARE
    single record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_stat_subscription WHERE pid = pg_backend_pid()) THEN
        RETURN NULL;
    END IF;%2$s
    FOR single IN
        SELECT user_id::bigint, id::bigint, %4$s AS starts_at, %5$s AS ends_at, %3$s AS metric, left(time_zone::text, 1025) AS time_zone,
               %6$s AS whole_day
        FROM (SELECT OLD.* WHERE TG_OP <> 'INSERT' UNION ALL SELECT NEW.* WHERE TG_OP <> 'DELETE') AS changed
    LOOP
        INSERT INTO aggregation_queue (kind, user_id, metric, time_zone, whole_day, starts_at, ends_at, raw_ids)
        VALUES (%7$L, single.user_id, single.metric, single.time_zone, single.whole_day, single.starts_at,
            single.ends_at, ARRAY[single.id]);
    END LOOP;
    RETURN NULL;
END $body$$function$,
            raw.kind, head, raw.metric, raw.starts_at, raw.ends_at, raw.whole_day, raw.kind);

        EXECUTE format('REVOKE EXECUTE ON FUNCTION queue_changed_%1$s(), queue_updated_%1$s(), queue_truncated_%1$s(), queue_replicated_%1$s() FROM PUBLIC', raw.kind);
        EXECUTE format('CREATE TRIGGER queue_inserted AFTER INSERT ON %2$I REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION queue_changed_%1$s()', raw.kind, raw.raw_table);
        EXECUTE format('CREATE TRIGGER queue_updated AFTER UPDATE ON %2$I REFERENCING OLD TABLE AS old_rows NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION queue_updated_%1$s()', raw.kind, raw.raw_table);
        EXECUTE format('CREATE TRIGGER queue_deleted AFTER DELETE ON %2$I REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION queue_changed_%1$s()', raw.kind, raw.raw_table);
        EXECUTE format('CREATE TRIGGER queue_truncated BEFORE TRUNCATE ON %2$I FOR EACH STATEMENT EXECUTE FUNCTION queue_truncated_%1$s()', raw.kind, raw.raw_table);
        EXECUTE format('CREATE TRIGGER queue_replicated AFTER INSERT OR UPDATE OR DELETE ON %2$I FOR EACH ROW EXECUTE FUNCTION queue_replicated_%1$s()', raw.kind, raw.raw_table);
        EXECUTE format('ALTER TABLE %I ENABLE REPLICA TRIGGER queue_replicated', raw.raw_table);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER queue_truncated', raw.raw_table);
    END LOOP;
END $do$;

-- The only function of ours that looked where its caller does.
ALTER FUNCTION skip_known_migration() SET search_path = pg_catalog, pg_temp;
