-- The feed of changed days. A group writes its rows in its own transaction, so that they are there exactly if its
-- figures are. No row holds a health value.
--
-- A consumer reads by a cursor. Numbers of a sequence are no cursor: a transaction may take a number and commit after
-- a later number was read. So rows come in the order of their transactions, and only those whose transaction and all
-- earlier ones have ended.

CREATE TABLE figure_feed (
    is_only boolean PRIMARY KEY DEFAULT true CONSTRAINT figure_feed_is_only CHECK (is_only),
    epoch integer NOT NULL DEFAULT 1,
    timeline text NOT NULL,
    forgotten_epoch integer NOT NULL DEFAULT 0,
    forgotten_transaction xid8 NOT NULL DEFAULT '0',
    forgotten_number bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE figure_feed IS 'One row at most: the state of the feed of changed days';
COMMENT ON COLUMN figure_feed.epoch IS 'Begins with 1 and grows when the transactions'' ids may have gone back: after a restore into another cluster, and after a failover or a recovery to a point in time. A worker notices that when it connects';
COMMENT ON COLUMN figure_feed.timeline IS 'The timeline of the server in this epoch, as in the names of its WAL files';
COMMENT ON COLUMN figure_feed.forgotten_epoch IS 'With the two other columns: the newest change that was deleted for its age';

CREATE TABLE figure_changes (
    epoch integer NOT NULL,
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    number bigint GENERATED ALWAYS AS IDENTITY,
    user_id bigint NOT NULL,
    local_date date NOT NULL,
    kind text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (epoch, transaction_id, number)
);
COMMENT ON TABLE figure_changes IS 'One row for each transaction, user, date and kind whose figures have changed. Read it by figure_changes_since';
COMMENT ON COLUMN figure_changes.epoch IS 'The epoch of the feed when the change was made';
COMMENT ON COLUMN figure_changes.transaction_id IS 'The transaction that changed the figures';
COMMENT ON COLUMN figure_changes.number IS 'Orders the changes of one transaction';
COMMENT ON COLUMN figure_changes.kind IS 'vitals (with sleep, blood pressure and glucose), nutrition or labs';
COMMENT ON COLUMN figure_changes.changed_at IS 'When the transaction began';

CREATE TABLE figure_webhook (
    is_only boolean PRIMARY KEY DEFAULT true CONSTRAINT figure_webhook_is_only CHECK (is_only),
    sent_epoch integer NOT NULL DEFAULT 0,
    sent_transaction xid8 NOT NULL DEFAULT '0',
    sent_number bigint NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_token bigint,
    attempts integer NOT NULL DEFAULT 0,
    last_error text
);
COMMENT ON TABLE figure_webhook IS 'One row at most: how far the webhook of changed days has come. Of several workers, the one with the lease sends';
COMMENT ON COLUMN figure_webhook.sent_epoch IS 'With the two other columns: the newest change that the receiver has accepted';
COMMENT ON COLUMN figure_webhook.not_before IS 'When the next batch may be sent: after a back-off, or after the lease of a worker that sends';
COMMENT ON COLUMN figure_webhook.lease_token IS 'Of the worker that sends now';
COMMENT ON COLUMN figure_webhook.attempts IS 'Failed attempts in a row';
COMMENT ON COLUMN figure_webhook.last_error IS 'The step that failed last; never a URL';

CREATE VIEW figure_changes_settled AS
SELECT format('%s-%s-%s', c.epoch, c.transaction_id, c.number) AS cursor,
       c.epoch, c.transaction_id, c.number, c.user_id, c.local_date, c.kind, c.changed_at
FROM figure_changes AS c
-- A comparison of rows, so that an index bounds it.
WHERE (c.epoch, c.transaction_id)
      < (coalesce((SELECT f.epoch FROM figure_feed AS f), 1), pg_snapshot_xmin(pg_current_snapshot()));
COMMENT ON VIEW figure_changes_settled IS 'The changes before which no other one can appear any more: their transactions, and all earlier ones of the cluster, have ended';

CREATE FUNCTION figure_changes_since(after text, most integer)
RETURNS TABLE (cursor text, user_id bigint, local_date date, kind text, changed_at timestamptz)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    after_epoch integer := 0;
    after_transaction xid8 := '0';
    after_number bigint := 0;
    written pg_lsn;
BEGIN
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
        IF after_epoch > coalesce((SELECT f.epoch FROM figure_feed AS f), 1)
           OR (after_epoch = coalesce((SELECT f.epoch FROM figure_feed AS f), 1)
               AND after_transaction >= pg_snapshot_xmax(pg_current_snapshot())) THEN
            RAISE EXCEPTION 'this cursor is ahead of the database'
                USING ERRCODE = 'DF003', CONSTRAINT = 'cursor_is_of_this_database',
                      HINT = 'An older backup was restored, or this is another database. Read the figures of all days once, and continue with an empty cursor.';
        END IF;
    END IF;
    RETURN QUERY
        SELECT c.cursor, c.user_id, c.local_date, c.kind, c.changed_at
        FROM figure_changes_settled AS c
        WHERE (c.epoch, c.transaction_id, c.number) > (after_epoch, after_transaction, after_number)
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
COMMENT ON FUNCTION figure_changes_since(text, integer) IS 'The changes after a cursor, in an order in which no later commit can appear before a cursor. An empty cursor is the beginning';
