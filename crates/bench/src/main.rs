//! Measures the worker as a process, with its default settings, on a private PostgreSQL.
//!
//! The figures that documents state come from here: `just bench-service`. Each workload prints a
//! line of a table to stderr when it is done, and all of them one JSON object to stdout.

mod server;
mod service;
mod worker;

use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};

/// Measures the worker on a private PostgreSQL.
#[derive(Debug, Parser)]
struct Cli {
    /// How long the steady load and the idle time are watched, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many rows a second the steady load has
    #[arg(long, default_value_t = 200)]
    rate: u64,
    /// How many rows the backlog has that is drained by 1, 2 and 4 workers
    #[arg(long, default_value_t = 200_000)]
    backlog: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let time = Duration::from_secs(cli.seconds);
    let idle = service::idle(time).await?;
    let freshness = service::freshness(time, cli.rate).await?;
    let mut drains: Vec<Value> = Vec::new();
    for workers in [1, 2, 4] {
        drains.push(service::drain(workers, cli.backlog).await?);
    }
    let result = json!({
        "machine": machine(),
        "idle": idle,
        "freshness": freshness,
        "drains": drains,
    });
    #[allow(clippy::print_stdout)]
    {
        println!("{result}");
    }
    Ok(())
}

fn machine() -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    json!({ "cores": cores, "processor": model.map_or("unknown", |(_, name)| name.trim()) })
}
