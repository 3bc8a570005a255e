-- The queue's table: each row is inserted, marked and deleted within moments.
--
-- fillfactor: with room for the mark on the row's own page, marking never writes to an index. 85 % is
-- enough for that, and less would only make the table larger.
-- autovacuum_vacuum_cost_delay: done rows are removed at once, for the table is small.
-- vacuum_truncate: giving pages back takes a lock for which an app's insert would wait. They are used
-- again in the next moment.
ALTER TABLE aggregation_queue SET (
    fillfactor = 85,
    autovacuum_vacuum_cost_delay = 0,
    vacuum_truncate = false
);
