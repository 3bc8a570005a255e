-- Alerts: the conditions that fire, for all workers of this database, and the messages that are
-- still to be sent.
--
-- A message is a row before anybody tries to send it, so that it outlives the worker. None holds a
-- health value: a rule's name, an amount and its limit are all there is.

CREATE TABLE alert_conditions (
    rule text PRIMARY KEY,
    fired_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    resolved_at timestamptz
);
COMMENT ON TABLE alert_conditions IS 'Conditions of the database rather than of one worker: one row for each rule that ever fired, so that one of several workers sends its message';
COMMENT ON COLUMN alert_conditions.resolved_at IS 'NULL while it fires';

CREATE TABLE alert_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel text NOT NULL CHECK (channel IN ('mail', 'webhook')),
    key text NOT NULL,
    rule text NOT NULL,
    fires boolean NOT NULL,
    worker text NOT NULL,
    amount float8 NOT NULL,
    threshold float8 NOT NULL,
    happened_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'given_up')),
    attempts integer NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_token bigint,
    last_error text
);
COMMENT ON TABLE alert_outbox IS 'Messages to be sent, at least once each; those that are done, be they delivered or given up, are kept for 7 days';
COMMENT ON COLUMN alert_outbox.key IS 'Who gets the message twice knows it by this';
COMMENT ON COLUMN alert_outbox.fires IS 'false: the condition is over';
COMMENT ON COLUMN alert_outbox.worker IS 'application_name@host:process of the worker that saw it';
COMMENT ON COLUMN alert_outbox.amount IS 'The observed number: rows, seconds or percent, by the rule; never a health value';
COMMENT ON COLUMN alert_outbox.not_before IS 'Not taken before this time, by the database''s clock: the back-off after a failure, or the lease of the worker that sends it; infinity when done';
COMMENT ON COLUMN alert_outbox.lease_token IS 'The worker that took it shows this token when it records the result';
COMMENT ON COLUMN alert_outbox.last_error IS 'The step that failed, such as "RCPT TO: 550"';
CREATE INDEX alert_outbox_due ON alert_outbox (channel, not_before, id);
CREATE INDEX alert_outbox_by_time ON alert_outbox (happened_at);
-- Whether an earlier message of the same condition is still to be sent: the later one waits for it.
CREATE INDEX alert_outbox_in_turn ON alert_outbox (channel, rule, id) WHERE state = 'pending';
