-- An alert resolves only on evidence, and its message says since when it fired.
ALTER TABLE alert_conditions ADD COLUMN dead_rows bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN alert_conditions.dead_rows IS 'Dead rows of the queue when the rule fired. While there are more, the condition stays open: rows that died since then are not in the figures';

ALTER TABLE alert_outbox ADD COLUMN lasted_seconds float8 NOT NULL DEFAULT 0;
COMMENT ON COLUMN alert_outbox.lasted_seconds IS 'How long the condition had held at happened_at';

-- `worker status` shows the current period of a service, too.
ALTER TABLE aggregation_runs ADD COLUMN is_running boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN aggregation_runs.is_running IS 'The period of a service that had not ended at finished_at. It stays true if the service is killed';
