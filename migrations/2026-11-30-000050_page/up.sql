-- Tables of the operator's page: the workers that are alive, the kinds that are paused, the limit
-- that all workers obey, and the log of operators' actions. No column holds a health value.

CREATE TABLE worker_presence (
    worker text PRIMARY KEY,
    version text NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_every double precision NOT NULL,
    concurrency integer NOT NULL,
    max_rows_per_second integer NOT NULL,
    rows_claimed bigint NOT NULL,
    rows_completed bigint NOT NULL,
    rows_failed bigint NOT NULL,
    groups_committed bigint NOT NULL
);
COMMENT ON TABLE worker_presence IS 'One row for each service that runs or ended without saying so; a row that was not renewed for a day is deleted';
COMMENT ON COLUMN worker_presence.worker IS 'application_name@host:process of the worker';
COMMENT ON COLUMN worker_presence.seen_every IS 'Seconds until the worker renews its row';
COMMENT ON COLUMN worker_presence.max_rows_per_second IS 'The limit that the worker obeys; 0 is none';
COMMENT ON COLUMN worker_presence.rows_claimed IS 'Since the worker started, as the other counts';

CREATE TABLE paused_kinds (
    kind text PRIMARY KEY CONSTRAINT paused_kinds_kind CHECK (kind IN ('vitals', 'nutrition', 'labs')),
    paused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    paused_by text NOT NULL
);
COMMENT ON TABLE paused_kinds IS 'Kinds of which no worker claims rows. Each claim reads it, so that a pause holds from the next claim on; a batch that runs is finished.';
COMMENT ON COLUMN paused_kinds.paused_by IS 'The role at the page and where the request came from, or the command line''s worker';

CREATE TABLE worker_throttle (
    is_only boolean PRIMARY KEY DEFAULT true CONSTRAINT worker_throttle_is_only CHECK (is_only),
    max_rows_per_second integer NOT NULL CONSTRAINT worker_throttle_limit CHECK (max_rows_per_second BETWEEN 0 AND 1000000),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_by text NOT NULL
);
COMMENT ON TABLE worker_throttle IS 'One row at most: the limit that each service obeys in place of its batch.max_rows_per_second';
COMMENT ON COLUMN worker_throttle.max_rows_per_second IS 'Rows that each process claims in a second; 0 is no limit';

CREATE TABLE operator_actions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    expected bigint,
    done bigint NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'running' CONSTRAINT operator_actions_state CHECK (state IN ('running', 'done', 'stopped', 'failed')),
    outcome text
);
COMMENT ON TABLE operator_actions IS 'Actions of operators by the page and by worker pause and resume; kept for a year';
COMMENT ON COLUMN operator_actions.actor IS 'The role at the page and where the request came from, or the command line''s worker';
COMMENT ON COLUMN operator_actions.target IS 'Kind, class of errors, user and dates that were meant; never a health value';
COMMENT ON COLUMN operator_actions.expected IS 'Rows or dates that were counted beforehand, if they were';
COMMENT ON COLUMN operator_actions.done IS 'Rows or dates that were changed so far';
COMMENT ON COLUMN operator_actions.state IS 'A row that stays running belongs to a worker that ended meanwhile';
CREATE INDEX operator_actions_by_time ON operator_actions (begun_at);

-- Failures are few among the rows of a long queue, and the page must find them without reading it whole. A row
-- without an error is in no such index, so neither triggers nor claims write to it.
CREATE INDEX aggregation_queue_failed ON aggregation_queue (kind, not_before) WHERE last_error IS NOT NULL;
