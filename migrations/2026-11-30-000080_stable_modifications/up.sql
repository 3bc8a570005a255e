-- A default is part of each INSERT that leaves its column out. A distributed database such as Citus plans no
-- modification with a volatile function, and clock_timestamp() is one. now() is stable. Each of these INSERTs is a
-- transaction of its own, so the times are those of the statement either way.
ALTER TABLE alert_conditions ALTER COLUMN fired_at SET DEFAULT now();
ALTER TABLE alert_outbox ALTER COLUMN not_before SET DEFAULT now();
ALTER TABLE worker_presence ALTER COLUMN seen_at SET DEFAULT now();
ALTER TABLE paused_kinds ALTER COLUMN paused_at SET DEFAULT now();
ALTER TABLE worker_throttle ALTER COLUMN changed_at SET DEFAULT now();
ALTER TABLE operator_actions ALTER COLUMN begun_at SET DEFAULT now();
ALTER TABLE figure_webhook ALTER COLUMN not_before SET DEFAULT now();
ALTER TABLE adopted_tables ALTER COLUMN adopted_at SET DEFAULT now();

-- The same for a function that the last statement of a group calls. It reads and writes nothing.
ALTER FUNCTION aggregation_fail(text, text) STABLE;
