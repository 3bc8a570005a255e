//! Measures the worker as a process, with its default settings, on a private PostgreSQL.
//!
//! The figures that documents state come from here: `just bench-service`, `just bench-api` and
//! `just bench-verify`. Each workload prints a line or a table to stderr when it is done, and all of them one JSON object to
//! stdout.

mod api;
mod drain;
mod hostile;
mod insert;
mod periods;
mod pgbench;
mod server;
mod service;
mod upkeep;
mod verify;
mod worker;

use std::time::Duration;

use clap::{Parser, Subcommand};
use serde_json::{Value, json};

/// Measures the worker on a private PostgreSQL.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
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

#[derive(Debug, Subcommand)]
enum Command {
    /// What the clients of an API feel of a worker that drains a backlog beside it
    Api(api::Load),
    /// How fast a backlog is drained, beside one-shot SQL and the least that a group costs
    Drain(drain::Load),
    /// How much time and memory dates take that have more rows than any person
    Hostile(hostile::Load),
    /// What the triggers add to an app's inserts
    Insert(insert::Load),
    /// How long questions to the weekly and monthly views take
    Periods(periods::Load),
    /// Whether the queue stays small while rows come and go, also beside a transaction that stays open
    Upkeep(upkeep::Load),
    /// How fast `worker verify` and `worker backfill` are, and whether every damage is found
    Verify(verify::Load),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let mut result = match cli.command {
        None => service(&cli).await?,
        Some(Command::Api(load)) => api::beside(load).await?,
        Some(Command::Drain(load)) => drain::drain(load).await?,
        Some(Command::Hostile(load)) => hostile::hostile(load).await?,
        Some(Command::Insert(load)) => insert::insert(load).await?,
        Some(Command::Periods(load)) => periods::periods(load).await?,
        Some(Command::Upkeep(load)) => upkeep::upkeep(load).await?,
        Some(Command::Verify(load)) => verify::verify(load).await?,
    };
    result["machine"] = machine();
    #[allow(clippy::print_stdout)]
    {
        println!("{result}");
    }
    Ok(())
}

async fn service(cli: &Cli) -> anyhow::Result<Value> {
    let time = Duration::from_secs(cli.seconds);
    let idle = service::idle(time).await?;
    let freshness = service::freshness(time, cli.rate).await?;
    let mut drains: Vec<Value> = Vec::new();
    for workers in [1, 2, 4] {
        drains.push(service::drain(workers, cli.backlog).await?);
    }
    Ok(json!({ "idle": idle, "freshness": freshness, "drains": drains }))
}

fn machine() -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    json!({ "cores": cores, "processor": model.map_or("unknown", |(_, name)| name.trim()) })
}
