//! Dates with more rows than any person has: the time and the memory of a worker for each.

use anyhow::ensure;
use clap::Args;
use serde_json::{Value, json};

use crate::server::Server;
use crate::service::{round, tell};
use crate::worker;

/// Arguments of `bench hostile`.
#[derive(Debug, Args)]
pub struct Load {
    /// Only the loads whose names contain this
    #[arg(long, default_value = "")]
    only: String,
    /// The fraction of each load's rows that is inserted
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
}

/// A load: its name, its number of rows, and the statement that inserts them for user 1 on one date.
type Hostile = (&'static str, u64, &'static str);

/// Vitals of user 1 that begin in the microseconds of one date: `$1` is the number of rows.
macro_rules! vitals {
    ($metric:literal, $value:literal, $unit:literal, $source:literal, $start:literal, $end:literal) => {
        concat!(
            "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             SELECT 1, ",
            $metric,
            ", ",
            $value,
            ", ",
            $unit,
            ", ",
            $source,
            ", ",
            $start,
            ", ",
            $end,
            " FROM generate_series(0, $1::bigint - 1) AS n"
        )
    };
}

const LOADS: [Hostile; 17] = [
    (
        "meals with all nutrients",
        300_000,
        "INSERT INTO nutrition_raw
         SELECT 1, n, 'food ' || n, 'lunch', timestamptz '2024-05-01 00:00Z' + n % 86400 * interval '1 s',
                NULL, 'app', 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1,
                0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1
         FROM generate_series(0, $1::bigint - 1) AS n",
    ),
    (
        "analytes",
        10_000,
        "INSERT INTO lab_raw (user_id, test_name, value_text, unit, status, collected_at, source)
         SELECT 1, 'test ' || n, n::text, 'mg/dL', 'final',
                timestamptz '2024-05-01 00:00Z' + n % 86400 * interval '1 s', 'lab'
         FROM generate_series(0, $1::bigint - 1) AS n",
    ),
    (
        "results of 4 kB each",
        3_000,
        "INSERT INTO lab_raw (user_id, test_name, value_text, unit, reference_range, status, collected_at, source)
         SELECT 1, 'test ' || n, repeat('finding ', 500), 'mg/dL', repeat('remark ', 500), 'final',
                timestamptz '2024-05-01 00:00Z' + n % 86400 * interval '1 s', 'lab'
         FROM generate_series(0, $1::bigint - 1) AS n",
    ),
    (
        "glucose, to and fro",
        80_000,
        vitals!(
            "'blood_glucose'",
            "CASE WHEN n % 2 = 0 THEN 60 ELSE 200 END",
            "'mg/dL'",
            "'sensor'",
            "timestamptz '2024-05-01 00:00Z' + n * interval '1 s'",
            "timestamptz '2024-05-01 00:00Z' + n * interval '1 s'"
        ),
    ),
    (
        "heart rates, one a second",
        86_400,
        vitals!(
            "'heart_rate'",
            "60 + n % 40",
            "'bpm'",
            "'watch'",
            "timestamptz '2024-05-01 00:00Z' + n * interval '1 s'",
            "timestamptz '2024-05-01 00:00Z' + n * interval '1 s'"
        ),
    ),
    (
        "heart rates in one hour",
        300_000,
        vitals!(
            "'heart_rate'",
            "60 + n % 40",
            "'bpm'",
            "'watch'",
            "timestamptz '2024-05-01 10:00Z' + n * interval '10 ms'",
            "timestamptz '2024-05-01 10:00Z' + n * interval '10 ms'"
        ),
    ),
    (
        "sources with names of 1 kB",
        10_000,
        vitals!(
            "'heart_rate'",
            "60",
            "'bpm'",
            "lpad(n::text, 1000, 'source ')",
            "timestamptz '2024-05-01 00:00Z' + n * interval '8 s'",
            "timestamptz '2024-05-01 00:00Z' + n * interval '8 s'"
        ),
    ),
    (
        "metrics that are unknown",
        10_000,
        vitals!(
            "'metric ' || n",
            "60",
            "'bpm'",
            "'app'",
            "timestamptz '2024-05-01 00:00Z' + n * interval '8 s'",
            "timestamptz '2024-05-01 00:00Z' + n * interval '8 s'"
        ),
    ),
    (
        "intervals of 48 hours",
        10_000,
        vitals!(
            "'steps'",
            "100",
            "'count'",
            "'source ' || n % 100",
            "timestamptz '2024-05-01 00:00Z' + n * interval '1 s'",
            "timestamptz '2024-05-03 00:00Z' + n * interval '1 s'"
        ),
    ),
    (
        "segments of sleep of a second",
        86_400,
        vitals!(
            "CASE n % 3 WHEN 0 THEN 'sleep_core' WHEN 1 THEN 'sleep_deep' ELSE 'sleep_rem' END",
            "1",
            "''",
            "'watch'",
            "timestamptz '2024-05-01 00:00Z' + n * interval '1 s'",
            "timestamptz '2024-05-01 00:00:01Z' + n * interval '1 s'"
        ),
    ),
    (
        "pressures at one instant",
        20_000,
        vitals!(
            "CASE WHEN n % 2 = 0 THEN 'blood_pressure_systolic' ELSE 'blood_pressure_diastolic' END",
            "60 + n % 50",
            "'mmHg'",
            "'cuff'",
            "timestamptz '2024-05-01 10:00Z'",
            "timestamptz '2024-05-01 10:00Z' + n * interval '1 ms'"
        ),
    ),
    (
        "zones, one a row",
        10_000,
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at, time_zone)
         SELECT 1, 'heart_rate', 60, 'bpm', 'watch', at, at,
                CASE WHEN n % 2 = 0 THEN '+' ELSE '-' END || lpad((n / 2 % 14)::text, 2, '0') || ':'
                    || lpad((n / 28 % 60)::text, 2, '0')
         FROM generate_series(0, $1::bigint - 1) AS n,
              LATERAL (SELECT timestamptz '2024-05-01 10:00Z' + n * interval '1 s' AS at) AS t",
    ),
    (
        "nights of a source each",
        5_000,
        vitals!(
            "'sleep_core'",
            "1",
            "''",
            "'source ' || n",
            "timestamptz '2024-05-01 22:00Z' + n * interval '1 s'",
            "timestamptz '2024-05-02 06:00Z' + n * interval '1 s'"
        ),
    ),
    (
        "sources beside a bed that is never left",
        3_000,
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 1, 'sleep_in_bed', 1, '', 'bed', at, at + interval '1 day'
         FROM generate_series(timestamptz '2024-04-25 00:00Z', '2024-05-05 00:00Z', '1 day') AS at
         UNION ALL
         SELECT 1, 'sleep_core', 1, '', 'source ' || n, timestamptz '2024-05-01 22:00Z' + n * interval '1 s',
                timestamptz '2024-05-02 06:00Z' + n * interval '1 s'
         FROM generate_series(0, $1::bigint - 1) AS n",
    ),
    (
        "totals of one date",
        10_000,
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at, is_daily_total)
         SELECT 1, 'steps', 100, 'count', 'source ' || n, '2024-05-01 00:00Z', '2024-05-02 00:00Z', true
         FROM generate_series(0, $1::bigint - 1) AS n",
    ),
    (
        "glucose of a source each",
        20_000,
        vitals!(
            "'blood_glucose'",
            "60 + n % 200",
            "'mg/dL'",
            "'source ' || n",
            "timestamptz '2024-05-01 00:00Z' + n * interval '4 s'",
            "timestamptz '2024-05-01 00:00Z' + n * interval '4 s'"
        ),
    ),
    (
        "readings that are rejected",
        86_400,
        vitals!(
            "'heart_rate'",
            "100000",
            "'bpm'",
            "'watch'",
            "timestamptz '2024-05-01 00:00Z' + n * interval '1 s'",
            "timestamptz '2024-05-01 00:00Z' + n * interval '1 s'"
        ),
    ),
];

/// Drains each load with one worker.
pub async fn hostile(load: Load) -> anyhow::Result<Value> {
    let server = Server::start().await?;
    let mut results = Vec::new();
    for (name, rows, insert) in LOADS.iter().filter(|(name, ..)| name.contains(&load.only)) {
        let rows = (*rows as f64 * load.scale) as i64;
        server
            .client
            .batch_execute(
                "TRUNCATE vitals_raw, nutrition_raw, lab_raw, vitals_hourly, vitals_daily, sleep_daily,
                          blood_pressure_daily, glucose_daily, nutrition_daily, lab_daily, rejected_rows,
                          aggregation_queue",
            )
            .await?;
        server.client.execute(*insert, &[&rows]).await?;
        server.client.batch_execute("ANALYZE").await?;
        let ran = worker::run(&server.url, &["run-once", "--time-budget", "86400", "--json"])?;
        ensure!(ran.code == 0, "{name}: run-once ended with {}: {}", ran.code, ran.json);
        let groups = ran.json["groups_committed"].as_u64().unwrap_or_default();
        tell(&format!(
            "{name}: {rows} rows, {groups} groups, {:.1} s, {:.1} s of processor time, {:.1} MB at most",
            ran.seconds, ran.cpu, ran.peak_mb
        ));
        results.push(json!({
            "load": name,
            "rows": rows,
            "groups": groups,
            "seconds": round(ran.seconds, 1),
            "worker_cpu_seconds": round(ran.cpu, 1),
            "peak_mb": round(ran.peak_mb, 1),
        }));
    }
    Ok(json!({ "hostile": results }))
}
