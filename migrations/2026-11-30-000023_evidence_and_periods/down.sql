ALTER TABLE aggregation_runs DROP COLUMN is_running;
ALTER TABLE alert_outbox DROP COLUMN lasted_seconds;
ALTER TABLE alert_conditions DROP COLUMN dead_rows;
