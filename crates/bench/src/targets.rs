//! Speed of one worker process for the same rows in more and more targets on one server.

use std::fmt::Write;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use crate::server::{Server, connect};
use crate::worker::{self, Service, tempfile_of};

/// Rows of one user, one each minute.
const ROWS_OF_A_USER: u64 = 100;

/// How often the queues are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The load.
#[derive(Args, Clone, Debug)]
pub struct Load {
    /// Rows over all targets
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Numbers of targets
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 8, 64])]
    targets: Vec<u64>,
    /// Connections to the server for all targets (`pool.max_per_server`)
    #[arg(long, default_value_t = 20)]
    connections: u32,
}

/// Drains the rows once for each number of targets. The ratio is the rate compared with that of the first
/// number.
///
/// # Errors
/// If the server or the worker fails.
pub async fn targets(load: Load) -> anyhow::Result<Value> {
    let mut drains = Vec::new();
    let mut first = None;
    for targets in &load.targets {
        let (rows, seconds) = drain(&load, *targets).await?;
        let rate = rows as f64 / seconds;
        let ratio = rate / *first.get_or_insert(rate);
        #[allow(clippy::print_stderr)]
        {
            eprintln!(
                "{targets} targets: {rows} rows in {seconds:.1} s, {rate:.0} a second, ratio {ratio:.2}"
            );
        }
        drains.push(json!({
            "targets": targets, "rows": rows, "seconds": seconds, "rows_per_second": rate, "ratio": ratio,
        }));
    }
    Ok(json!({ "targets": drains, "connections": load.connections }))
}

/// The number of rows, and the seconds from the first connection of the worker until all queues are empty.
async fn drain(load: &Load, targets: u64) -> anyhow::Result<(u64, f64)> {
    let server = Server::start_with(&[("max_connections", "300")]).await?;
    let users = (load.rows / targets / ROWS_OF_A_USER).max(1);
    let (mut list, mut queues) = (String::new(), Vec::new());
    writeln!(list, "pool.max_per_server = {}", load.connections)?;
    for target in 0..targets {
        let schema = format!("target_{target}");
        server.client.batch_execute(&format!("CREATE SCHEMA {schema}")).await?;
        writeln!(list, "[[targets]]\nname = \"{schema}\"\nschema = \"{schema}\"")?;
        queues.push(format!("EXISTS (SELECT FROM {schema}.aggregation_queue)"));
    }
    let file = tempfile_of("targets").with_extension("toml");
    std::fs::write(&file, list)?;
    worker::migrate_with(&server.url, &file)?;
    let inserting = connect(&server.url).await?;
    for target in 0..targets {
        let insert = format!(
            "INSERT INTO target_{target}.vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             SELECT u, 'heart_rate', 60 + m % 40, 'bpm', 'watch', at, at
             FROM generate_series(1, {users}) AS u, generate_series(1, {ROWS_OF_A_USER}) AS m,
                  LATERAL (SELECT timestamptz '2024-05-01Z' + m * interval '1 minute' AS at) AS t"
        );
        inserting.batch_execute(&insert).await?;
    }
    inserting.batch_execute("VACUUM ANALYZE; CHECKPOINT").await?;
    let waiting = format!("SELECT {}", queues.join(" OR "));
    let began = Instant::now();
    let service = Service::start_with_file(&server.url, &file)?;
    while server.client.query_one(&waiting, &[]).await?.get(0) {
        tokio::time::sleep(LOOK).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    drop(service);
    let _ = std::fs::remove_file(&file);
    Ok((users * ROWS_OF_A_USER * targets, seconds))
}
