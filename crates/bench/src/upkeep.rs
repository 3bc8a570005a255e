//! Checks that the queue's table stays as small as its content while rows come and go.

use std::time::{Duration, Instant};

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::server::{Server, connect};
use crate::service::{round, tell};
use crate::worker::Service;

/// Arguments of `bench upkeep`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Load {
    /// Time for which rows arrive, in minutes
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Requests a second that write rows; each is a minute of one user's heart rate, 60 rows
    #[arg(long, default_value_t = 50)]
    requests: u64,
    /// Minutes, from the middle on, for which a transaction stays open
    #[arg(long, default_value_t = 5)]
    held: u64,
    /// Interval between checks of the queue, in seconds
    #[arg(long, default_value_t = 30)]
    every: u64,
}

/// Each user writes the past 60 seconds once a minute.
const REQUEST: &str = "
    INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
    SELECT $1, 'heart_rate', 60 + n % 40, 'bpm', 'watch', at, at
    FROM generate_series(0, 59) AS n,
         LATERAL (SELECT date_trunc('second', now()) - n * interval '1 second' AS at) AS t";

const LOOK: &str = "
    SELECT (SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue),
           coalesce((SELECT extract(epoch FROM clock_timestamp() - min(not_before))::float8
                     FROM aggregation_queue WHERE state <> 'dead'), 0),
           pg_relation_size('aggregation_queue')::float8,
           pg_indexes_size('aggregation_queue')::float8,
           (SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'aggregation_queue'),
           (SELECT autovacuum_count FROM pg_stat_user_tables WHERE relname = 'aggregation_queue')";

/// Lets rows come and go, and measures the queue meanwhile.
pub async fn upkeep(load: Load) -> anyhow::Result<Value> {
    let server = Server::start().await?;
    let service = Service::start(&server.url)?;
    let began = Instant::now();
    let whole = Duration::from_secs(load.minutes * 60);
    let held = (whole / 2, whole / 2 + Duration::from_secs(load.held * 60));

    let app = connect(&server.url).await?;
    let writing = async {
        let request = app.prepare(REQUEST).await?;
        let mut ticks = interval(Duration::from_secs(1) / load.requests as u32);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut requests: u64 = 0;
        while began.elapsed() < whole {
            ticks.tick().await;
            let user = (requests % (load.requests * 60)) as i64;
            app.execute(&request, &[&user]).await?;
            requests += 1;
        }
        Ok::<u64, anyhow::Error>(requests)
    };
    let other = connect(&server.url).await?;
    let holding = async {
        sleep(held.0).await;
        // Its snapshot keeps every row version that is deleted meanwhile.
        other.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await?;
        sleep(held.1 - held.0).await;
        other.batch_execute("COMMIT").await?;
        Ok::<(), anyhow::Error>(())
    };
    let looking = async {
        let mut looks: Vec<Value> = Vec::new();
        let mut table = Table::new();
        table.load_preset(UTF8_HORIZONTAL_ONLY).set_header([
            "minute",
            "held",
            "queued",
            "oldest s",
            "table MB",
            "indexes MB",
            "dead",
            "vacuums",
            "worker core %",
        ]);
        let mut cpu = service.cpu()?;
        while began.elapsed() < whole {
            sleep(Duration::from_secs(load.every)).await;
            let row = server.client.query_one(LOOK, &[]).await?;
            let (queued, oldest): (i64, f64) = (row.get(0), row.get(1));
            let (bytes, index_bytes): (f64, f64) = (row.get(2), row.get(3));
            let (dead, vacuums): (i64, i64) = (row.get(4), row.get(5));
            let now = service.cpu()?;
            let core = (now - cpu).as_secs_f64() / load.every as f64 * 100.0;
            cpu = now;
            let minute = began.elapsed().as_secs_f64() / 60.0;
            let is_held = (held.0..held.1).contains(&began.elapsed());
            tell(&format!(
                "minute {minute:.1}: {queued} queued, oldest {oldest:.1} s, table {:.1} MB, indexes {:.1} MB, \
                 {dead} dead, worker {core:.0} % of a core{}",
                bytes / 1e6,
                index_bytes / 1e6,
                if is_held { ", a transaction is open" } else { "" }
            ));
            table.add_row([
                format!("{minute:.1}"),
                if is_held { "yes" } else { "" }.to_owned(),
                queued.to_string(),
                format!("{oldest:.1}"),
                format!("{:.1}", bytes / 1e6),
                format!("{:.1}", index_bytes / 1e6),
                dead.to_string(),
                vacuums.to_string(),
                format!("{core:.0}"),
            ]);
            looks.push(json!({
                "minute": round(minute, 2),
                "held": is_held,
                "queued": queued,
                "oldest_s": round(oldest, 2),
                "table_mb": round(bytes / 1e6, 2),
                "indexes_mb": round(index_bytes / 1e6, 2),
                "dead_tuples": dead,
                "vacuums": vacuums,
                "worker_core_percent": round(core, 1),
            }));
        }
        tell(&table.to_string());
        Ok::<Vec<Value>, anyhow::Error>(looks)
    };
    let (requests, (), looks) = tokio::try_join!(writing, holding, looking)?;
    let per_second = requests as f64 * 60.0 / whole.as_secs_f64();
    tell(&format!("{per_second:.0} rows/s for {} minutes", load.minutes));
    drop(service);
    Ok(json!({
        "requests_per_second": load.requests,
        "rows_per_second": round(per_second, 0),
        "minutes": load.minutes,
        "looks": looks,
    }))
}
