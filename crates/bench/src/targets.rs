//! Speed of one worker process for the same rows in more and more targets on one server, or on several.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use serde_json::{Value, json};

use crate::server::Server;
use crate::service::tell;
use crate::worker::{Service, tempfile_of};

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
    /// Connections to each server for all its targets (`pool.max_per_server`)
    #[arg(long, default_value_t = 20)]
    connections: u32,
    /// Number of servers, all on this machine, over which the targets are spread
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=16))]
    servers: u64,
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
        tell(&format!(
            "{targets} targets on {} servers: {rows} rows in {seconds:.1} s, {rate:.0} a second, ratio {ratio:.2}",
            load.servers.min(*targets)
        ));
        drains.push(json!({
            "targets": targets, "rows": rows, "seconds": seconds, "rows_per_second": rate, "ratio": ratio,
        }));
    }
    Ok(json!({ "targets": drains, "connections": load.connections, "servers": load.servers }))
}

/// The number of rows, and the seconds from the start of the worker until all queues are empty.
async fn drain(load: &Load, targets: u64) -> anyhow::Result<(u64, f64)> {
    let users = (load.rows / targets / ROWS_OF_A_USER).max(1);
    let mut list = format!("pool.max_per_server = {}\n", load.connections);
    let mut servers = Vec::new();
    let used = load.servers.min(targets);
    for number in 0..used {
        let server = Server::start_with(&[("max_connections", "300")]).await?;
        // The targets are dealt out in turn.
        let schemas = (targets - number).div_ceil(used);
        server.make_schemas(schemas as usize).await?;
        let mut queues = Vec::new();
        for schema in 0..schemas {
            writeln!(
                list,
                "[[targets]]\nname = \"t{number}_{schema}\"\nurl = \"{}\"\nschema = \"target_{schema}\"",
                server.url
            )?;
            queues.push(format!("EXISTS (SELECT FROM target_{schema}.aggregation_queue)"));
            let insert = format!(
                "INSERT INTO target_{schema}.vitals_raw
                     (user_id, metric, value, unit, source, started_at, ended_at)
                 SELECT u, 'heart_rate', 60 + m % 40, 'bpm', 'watch', at, at
                 FROM generate_series(1, {users}) AS u, generate_series(1, {ROWS_OF_A_USER}) AS m,
                      LATERAL (SELECT timestamptz '2024-05-01Z' + m * interval '1 minute' AS at) AS t"
            );
            server.client.batch_execute(&insert).await?;
        }
        for end in ["VACUUM ANALYZE", "CHECKPOINT"] {
            server.client.batch_execute(end).await?;
        }
        servers.push((server, format!("SELECT {}", queues.join(" OR "))));
    }
    let file = tempfile_of("targets").with_extension("toml");
    std::fs::write(&file, list)?;
    let url = servers.first().map(|(server, _)| server.url.clone()).unwrap_or_default();
    let began = Instant::now();
    let mut service = Service::start_with_file(&url, &file)?;
    for (server, is_waiting) in &servers {
        while server.client.query_one(is_waiting, &[]).await?.get(0) {
            ensure!(!service.has_ended()?, "the service has ended: run it with {}", file.display());
            tokio::time::sleep(LOOK).await;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    drop(service);
    let _ = std::fs::remove_file(&file);
    Ok((users * ROWS_OF_A_USER * targets, seconds))
}
