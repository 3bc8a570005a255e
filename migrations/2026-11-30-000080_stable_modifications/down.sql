ALTER FUNCTION aggregation_fail(text, text) VOLATILE;
ALTER TABLE alert_conditions ALTER COLUMN fired_at SET DEFAULT clock_timestamp();
ALTER TABLE alert_outbox ALTER COLUMN not_before SET DEFAULT clock_timestamp();
ALTER TABLE worker_presence ALTER COLUMN seen_at SET DEFAULT clock_timestamp();
ALTER TABLE paused_kinds ALTER COLUMN paused_at SET DEFAULT clock_timestamp();
ALTER TABLE worker_throttle ALTER COLUMN changed_at SET DEFAULT clock_timestamp();
ALTER TABLE operator_actions ALTER COLUMN begun_at SET DEFAULT clock_timestamp();
ALTER TABLE figure_webhook ALTER COLUMN not_before SET DEFAULT clock_timestamp();
ALTER TABLE adopted_tables ALTER COLUMN adopted_at SET DEFAULT clock_timestamp();
