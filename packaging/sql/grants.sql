-- The rights of the worker and the app on the tables; see roles.sql. The tables' owner runs this after
-- each `worker migrate`.

\set ON_ERROR_STOP on
\if :{?schema}
\else
    \set schema dayfold
\endif
\if :{?worker}
\else
    \set worker dayfold
\endif
\if :{?app}
\else
    \set app app
\endif

BEGIN;
SET LOCAL search_path = :"schema";

-- The worker reads the facts and never changes them. If the schema is newer, it logs that and waits.
GRANT SELECT ON __diesel_schema_migrations TO :"worker";
GRANT SELECT ON user_profiles, vitals_raw, nutrition_raw, lab_raw TO :"worker";

-- The worker inserts into the queue only for `worker requeue`.
GRANT SELECT, INSERT, UPDATE, DELETE ON aggregation_queue TO :"worker";
-- PUBLIC has this right unless it was revoked.
GRANT EXECUTE ON FUNCTION aggregation_datable(timestamptz), aggregation_end(timestamptz, timestamptz)
    TO :"worker";
GRANT EXECUTE ON FUNCTION aggregation_fail(text, text) TO :"worker";

-- `worker freeze` sets the dates before which figures are frozen.
GRANT SELECT, INSERT, UPDATE, DELETE ON frozen_figures, frozen_figures_of_users TO :"worker";

-- The worker writes the figures.
GRANT SELECT, INSERT, UPDATE, DELETE ON
    vitals_hourly, vitals_daily, sleep_daily, blood_pressure_daily, glucose_daily, nutrition_daily,
    lab_daily, rejected_rows
    TO :"worker";
GRANT SELECT, INSERT, DELETE ON aggregation_runs TO :"worker";
-- The worker records that it is alive, and the actions of operators.
GRANT SELECT, INSERT, UPDATE, DELETE ON worker_presence, worker_throttle, operator_actions TO :"worker";
GRANT SELECT, INSERT, DELETE ON paused_kinds TO :"worker";
-- The worker also writes its alerts.
GRANT SELECT, INSERT, UPDATE ON alert_conditions TO :"worker";
GRANT SELECT, INSERT, UPDATE, DELETE ON alert_outbox TO :"worker";
-- The feed of changed days, and how far its webhook has come.
GRANT SELECT, INSERT, DELETE ON figure_changes TO :"worker";
GRANT SELECT, INSERT, UPDATE ON figure_feed, figure_webhook TO :"worker";

-- The app needs no right on the queue: the triggers of the raw tables run with the rights of their
-- owner. Without TRUNCATE the app cannot empty a table.
GRANT SELECT, INSERT, UPDATE, DELETE ON user_profiles, vitals_raw, nutrition_raw, lab_raw TO :"app";
GRANT SELECT ON
    vitals_hourly, vitals_daily, sleep_daily, blood_pressure_daily, glucose_daily, nutrition_daily,
    lab_daily, rejected_rows, raw_row_status,
    vitals_weekly, sleep_weekly, blood_pressure_weekly, glucose_weekly, nutrition_weekly, lab_weekly,
    vitals_monthly, sleep_monthly, blood_pressure_monthly, glucose_monthly, nutrition_monthly,
    lab_monthly, glucose_14_days, figure_changes, figure_changes_settled, figure_feed,
    frozen_figures, frozen_figures_of_users,
    vitals_7_days, vitals_28_days, sleep_vitals, body_mass_carried, body_mass_index_daily,
    workouts_daily, workouts_weekly, workouts_monthly, activity_weekly
    TO :"app";
-- Functions of the views. PUBLIC has this right unless it was revoked.
GRANT EXECUTE ON FUNCTION aggregation_square(double precision),
    aggregation_quotient(double precision, double precision) TO :"app";
-- The app and the worker read the feed.
GRANT EXECUTE ON FUNCTION figure_changes_since(text, integer) TO :"app", :"worker";

COMMIT;
