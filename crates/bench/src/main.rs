//! Measures the worker as a process, with its default settings, on a private PostgreSQL.
//!
//! The figures in the documents come from here: `just bench-service`, `just bench-api`,
//! `just bench-page` and `just bench-verify`. Each workload prints a line or a table to stderr when it ends. At the end
//! the program prints one JSON object of all workloads to stdout.

mod api;
mod drain;
mod hostile;
mod idle;
mod import;
mod insert;
mod page;
mod periods;
mod pgbench;
mod server;
mod service;
mod targets;
mod upkeep;
mod user_ids;
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
    /// Time for which the steady load and the idle service are measured, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Rows a second of the steady load
    #[arg(long, default_value_t = 200)]
    rate: u64,
    /// Rows of the backlog that 1, 2 and 4 workers drain
    #[arg(long, default_value_t = 200_000)]
    backlog: u64,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Latency of an API's clients while a worker drains a backlog
    Api(api::Load),
    /// Speed of a drain, compared with one-shot SQL and the minimum cost of a group
    Drain(drain::Load),
    /// Time and memory for dates that have more rows than any person
    Hostile(hostile::Load),
    /// Cost of targets without work in one process
    Idle(idle::Load),
    /// Speed and memory of the import of an export
    Import(import::Load),
    /// Cost of the triggers for an app's inserts
    Insert(insert::Load),
    /// Server time of each view of the operator's page, beside a long queue with many failures
    Page(page::Load),
    /// Duration of queries to the weekly and monthly views
    Periods(periods::Load),
    /// Speed of one process for the same rows in more and more targets
    Targets(targets::Load),
    /// Size of the queue while rows come and go, also during a long transaction
    Upkeep(upkeep::Load),
    /// Server time of casting ids of users to their domain
    UserIds(user_ids::Load),
    /// Speed of `worker verify` and `worker backfill`, and whether they find every damage
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
        Some(Command::Idle(load)) => idle::idle(load).await?,
        Some(Command::Import(load)) => import::import(load).await?,
        Some(Command::Insert(load)) => insert::insert(load).await?,
        Some(Command::Page(load)) => page::page(load).await?,
        Some(Command::Periods(load)) => periods::periods(load).await?,
        Some(Command::Targets(load)) => targets::targets(load).await?,
        Some(Command::Upkeep(load)) => upkeep::upkeep(load).await?,
        Some(Command::UserIds(load)) => user_ids::user_ids(load).await?,
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
