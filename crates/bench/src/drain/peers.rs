//! The comparisons, on the same server and the same rows: the whole job as a few SQL statements,
//! and the minimum cost of a group.

use std::time::Instant;

use crate::pgbench::Script;
use crate::server::Server;

/// The raw table of an app that keeps the status on the row. It has the columns and indexes of
/// `vitals_raw`, no trigger, and an index by status.
const STATUS_TABLE: &str = "
    CREATE TABLE one_shot_raw (LIKE vitals_raw INCLUDING ALL);
    ALTER TABLE one_shot_raw ADD status text NOT NULL DEFAULT 'pending';
    INSERT INTO one_shot_raw SELECT * FROM vitals_raw;
    CREATE INDEX ON one_shot_raw (status);
    CREATE TABLE one_shot_hourly (LIKE vitals_hourly INCLUDING ALL);
    CREATE TABLE one_shot_daily (LIKE vitals_daily INCLUDING ALL);
    VACUUM ANALYZE one_shot_raw";

/// The job of such an app, in one transaction. It does not wait for the disk, like the worker.
const MARK: &str = "UPDATE one_shot_raw SET status = 'processing' WHERE status = 'pending'";
const UNMARK: &str = "UPDATE one_shot_raw SET status = 'completed' WHERE status = 'processing'";

/// The figures for which SQL has functions: no overlapping sources, units, zones or sketch.
macro_rules! fold {
    ($rows:literal) => {
        [
            concat!(
                "INSERT INTO one_shot_hourly (user_id, local_date, metric, hour_start, unit, sample_count,
                     mean, stddev, min, max, first_at, last_at, p05, p25, p50, p75, p95, censored_count,
                     rejected_count, sources, sum, time_zone)
                 SELECT user_id, (started_at AT TIME ZONE 'UTC')::date, metric, date_trunc('hour', started_at),
                        min(unit), count(*), avg(value), stddev_samp(value), min(value), max(value),
                        min(started_at), max(started_at), p[1], p[2], p[3], p[4], p[5], 0, 0, '{}', sum(value),
                        'UTC'
                 FROM (SELECT * FROM ", $rows, ") AS r
                 CROSS JOIN LATERAL (SELECT NULL::float8[] AS p) AS none
                 GROUP BY user_id, metric, (started_at AT TIME ZONE 'UTC')::date,
                          date_trunc('hour', started_at), p"
            ),
            concat!(
                "INSERT INTO one_shot_daily (user_id, local_date, metric, unit, sample_count, mean, stddev,
                     min, max, first_at, last_at, censored_count, rejected_count, sources, time_zone,
                     day_start, day_end, is_partial, context_fingerprint, algorithm_version)
                 SELECT user_id, (started_at AT TIME ZONE 'UTC')::date AS d, metric, min(unit), count(*),
                        avg(value), stddev_samp(value), min(value), max(value), min(started_at),
                        max(started_at), 0, 0, '{}', 'UTC', min(started_at), max(started_at), false, 0, 1
                 FROM ", $rows, "
                 GROUP BY user_id, metric, d"
            ),
        ]
    };
}

/// The duration of the one-shot SQL, with marks and without.
pub struct OneShot {
    /// Both UPDATEs and both INSERTs, in seconds.
    pub seconds: f64,
    /// The INSERTs alone, directly from the raw rows, in seconds.
    pub unmarked_seconds: f64,
}

/// Runs the whole job as a few SQL statements.
pub async fn one_shot(server: &Server) -> anyhow::Result<OneShot> {
    let client = &server.client;
    for sql in STATUS_TABLE.split(';') {
        client.batch_execute(sql).await?;
    }
    client.batch_execute("CHECKPOINT").await?;
    let [hours, days] = fold!("one_shot_raw");
    let began = Instant::now();
    client.batch_execute("BEGIN; SET LOCAL synchronous_commit = off").await?;
    for sql in [hours, days] {
        client.batch_execute(sql).await?;
    }
    client.batch_execute("COMMIT").await?;
    let unmarked_seconds = began.elapsed().as_secs_f64();
    client.batch_execute("TRUNCATE one_shot_hourly, one_shot_daily").await?;
    client.batch_execute("CHECKPOINT").await?;

    let [hours, days] = fold!("one_shot_raw WHERE status = 'processing'");
    let began = Instant::now();
    client.batch_execute("BEGIN; SET LOCAL synchronous_commit = off").await?;
    for sql in [MARK, hours, days, UNMARK] {
        client.batch_execute(sql).await?;
    }
    client.batch_execute("COMMIT").await?;
    let seconds = began.elapsed().as_secs_f64();
    client.batch_execute("DROP TABLE one_shot_raw, one_shot_hourly, one_shot_daily").await?;
    Ok(OneShot { seconds, unmarked_seconds })
}

/// The two statements that every group needs, in its transaction: a row of figures, and the
/// deletion of a change set.
const FLOOR: &str = "\
\\set user random(1, :users)
BEGIN;
INSERT INTO floor_daily (user_id, local_date, metric, unit, sample_count, mean, stddev, min, max, first_at,
    last_at, censored_count, rejected_count, sources, time_zone, day_start, day_end, is_partial,
    context_fingerprint, algorithm_version)
VALUES (:user, '2024-05-01', 'heart_rate', 'bpm', 25, 70, 3, 50, 90, '2024-05-01', '2024-05-01', 0, 0, '{}',
    'UTC', '2024-05-01', '2024-05-02', false, 0, 1)
ON CONFLICT (user_id, local_date, metric) DO UPDATE SET sample_count = excluded.sample_count,
    mean = excluded.mean, stddev = excluded.stddev, min = excluded.min, max = excluded.max;
DELETE FROM floor_queue WHERE user_id = :user AND kind = 'vitals';
COMMIT;
";

/// Measures such transactions of one client per second.
pub async fn floor(server: &Server, users: u64, seconds: u64) -> anyhow::Result<f64> {
    let prepare = format!(
        "DROP TABLE IF EXISTS floor_daily, floor_queue;
         CREATE TABLE floor_daily (LIKE vitals_daily INCLUDING ALL);
         CREATE TABLE floor_queue (LIKE aggregation_queue INCLUDING ALL);
         INSERT INTO floor_queue (user_id, id, kind, raw_ids, starts_at, ends_at)
         SELECT u, u, 'vitals', ARRAY[u], '2024-05-01', '2024-05-01' FROM generate_series(1, {users}) AS u"
    );
    server.client.batch_execute(&prepare).await?;
    server.client.batch_execute("CHECKPOINT").await?;
    let options = "-c synchronous_commit=off";
    let script = Script { text: FLOOR, seconds, variables: &[("users", users)], options };
    script.run(server, "tps = ").await
}
