-- Results of the last runs, for `worker status`: logs rotate away and may be on another host.

CREATE TABLE aggregation_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT now(),
    command text NOT NULL,
    worker text NOT NULL,
    batches integer NOT NULL,
    rows_claimed bigint NOT NULL,
    rows_completed bigint NOT NULL,
    rows_rejected bigint NOT NULL,
    rows_failed bigint NOT NULL,
    rows_released bigint NOT NULL,
    groups_committed bigint NOT NULL,
    groups_failed bigint NOT NULL
);
COMMENT ON TABLE aggregation_runs IS 'One row for each run that did work, for 30 days. rows_claimed = completed + rejected + failed + released.';
COMMENT ON COLUMN aggregation_runs.worker IS 'application_name@host:process of the worker';
CREATE INDEX aggregation_runs_by_time ON aggregation_runs (finished_at);
