-- With Citus, a query of a distributed table runs on the node that holds it. Snapshots of that node say nothing about
-- the transactions of the node to which a worker is connected, whose ids the changes have. So the function reads the
-- snapshot into variables before it reads a table. On one server it returns the same rows as before.
CREATE OR REPLACE FUNCTION figure_changes_since(after text, most integer)
RETURNS TABLE (cursor text, user_id bigint, local_date date, kind text, changed_at timestamptz)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    after_epoch integer := 0;
    after_transaction xid8 := '0';
    after_number bigint := 0;
    written pg_lsn;
    now_epoch integer;
    horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
    next_transaction xid8 := pg_snapshot_xmax(pg_current_snapshot());
BEGIN
    now_epoch := coalesce((SELECT f.epoch FROM figure_feed AS f), 1);
    IF after <> '' THEN
        IF after !~ '^[0-9]{1,9}-[0-9]{1,19}-[0-9]{1,18}$' THEN
            RAISE EXCEPTION 'this is no cursor of figure_changes'
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Pass the cursor of the last change that was processed, or an empty text for all.';
        END IF;
        after_epoch := split_part(after, '-', 1)::integer;
        after_transaction := split_part(after, '-', 2)::xid8;
        after_number := split_part(after, '-', 3)::bigint;
        IF EXISTS (SELECT FROM figure_feed AS f
                   WHERE (f.forgotten_epoch, f.forgotten_transaction, f.forgotten_number)
                         > (after_epoch, after_transaction, after_number)) THEN
            RAISE EXCEPTION 'changes after this cursor are deleted already'
                USING ERRCODE = 'DF003', CONSTRAINT = 'changes_are_kept',
                      HINT = 'Read the figures of all days once, and continue with an empty cursor.';
        END IF;
        IF after_epoch > now_epoch OR (after_epoch = now_epoch AND after_transaction >= next_transaction) THEN
            RAISE EXCEPTION 'this cursor is ahead of the database'
                USING ERRCODE = 'DF003', CONSTRAINT = 'cursor_is_of_this_database',
                      HINT = 'An older backup was restored, or this is another database. Read the figures of all days once, and continue with an empty cursor.';
        END IF;
    END IF;
    RETURN QUERY
        SELECT format('%s-%s-%s', c.epoch, c.transaction_id, c.number), c.user_id, c.local_date, c.kind, c.changed_at
        FROM figure_changes AS c
        WHERE (c.epoch, c.transaction_id, c.number) > (after_epoch, after_transaction, after_number)
          AND (c.epoch, c.transaction_id) < (now_epoch, horizon)
        ORDER BY c.epoch, c.transaction_id, c.number
        LIMIT most;
    -- Commits of the worker do not wait for the disk. After a crash of the server, ids of lost transactions are
    -- assigned again, and a cursor that was taken from a lost change would hide them. So a change is returned when
    -- the disk has it, which takes a fraction of a second. Up to 24 bytes before the end are the head of a page.
    IF FOUND AND NOT pg_is_in_recovery() THEN
        written := pg_current_wal_insert_lsn() - 24;
        FOR tries IN 1..300 LOOP
            EXIT WHEN pg_current_wal_flush_lsn() >= written;
            PERFORM pg_sleep(0.01);
        END LOOP;
    END IF;
END $$;
