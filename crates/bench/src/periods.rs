//! Measures queries to the weekly and monthly views.

use std::time::Instant;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::server::Server;
use crate::service::{round, tell};

/// Arguments of `bench periods`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Load {
    /// Rows of `vitals_daily`: users with 14 metrics on each of 365 days
    #[arg(long, default_value_t = 1_000_000)]
    days: u64,
    /// Query the definitions that the views had before migration 000019
    #[arg(long)]
    former: bool,
}

const FORMER: &str = include_str!("../../../migrations/2026-11-30-000019_periods_by_user/down.sql");

const QUESTIONS: [(&str, &str); 5] = [
    ("one_users_week", "SELECT v::text FROM vitals_weekly AS v WHERE user_id = 3 AND week_start = '2024-06-03'"),
    (
        "one_users_metric_month",
        "SELECT v::text FROM vitals_monthly AS v
         WHERE user_id = 3 AND metric = 'metric 5' AND month_start = '2024-06-01'",
    ),
    ("one_users_year", "SELECT v::text FROM vitals_weekly AS v WHERE user_id = 3"),
    ("all_users_weeks", "SELECT count(v) FROM (SELECT * FROM vitals_weekly OFFSET 0) AS v"),
    (
        "a_sort_of_all_days",
        "SELECT count(d) FROM (SELECT * FROM vitals_daily
                               ORDER BY user_id, date_trunc('week', local_date::timestamp), metric, unit, local_date
                               OFFSET 0) AS d",
    ),
];

/// Fills the daily vitals in random order, and queries the views.
pub async fn periods(load: Load) -> anyhow::Result<Value> {
    let server = Server::start().await?;
    let users = load.days.div_ceil(14 * 365);
    server
        .client
        .batch_execute(&format!(
            "INSERT INTO vitals_daily (user_id, local_date, metric, unit, sample_count, mean, stddev, min, max,
                 first_value, first_at, last_value, last_at, censored_count, rejected_count, sources,
                 time_zone, day_start, day_end, is_partial, context_fingerprint, algorithm_version)
             SELECT user_id, day, 'metric ' || m, '1', 20, 60 + 20 * random(), 10 * random(), 50, 90,
                    60, day + time '08:00', 70, day + time '20:00', 0, 0, '{{\"watch\": 20}}',
                    'UTC', day, day + 1, false, 0, 1
             FROM generate_series(1, {users}) AS user_id, generate_series(1, 14) AS m,
                  generate_series(0, 364) AS d, LATERAL (SELECT date '2024-01-01' + d AS day) AS dates
             ORDER BY random()"
        ))
        .await?;
    server.client.batch_execute("VACUUM ANALYZE vitals_daily").await?;
    if load.former {
        server.client.batch_execute(FORMER).await?;
    }
    let mut result = Map::new();
    for (name, sql) in QUESTIONS {
        if load.former && name == "all_users_weeks" && load.days > 50_000 {
            // The duration grows with the square of the days.
            continue;
        }
        let mut taken = Vec::new();
        for _ in 0..if load.former { 1 } else { 3 } {
            let began = Instant::now();
            server.client.simple_query(sql).await?;
            taken.push(began.elapsed().as_secs_f64() * 1_000.0);
        }
        taken.sort_by(f64::total_cmp);
        let median = taken.get(taken.len() / 2).copied().unwrap_or(f64::NAN);
        tell(&format!("{name}: {median:.1} ms"));
        result.insert(format!("{name}_ms"), json!(round(median, 1)));
    }
    Ok(json!({ "days": users * 14 * 365, "former": load.former, "periods": result }))
}
