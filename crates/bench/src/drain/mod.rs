//! Measures how fast a backlog is drained, and compares with other methods on the same server.

mod peers;
mod workloads;

use std::time::Instant;

use anyhow::ensure;
use clap::Args;
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use serde_json::{Value, json};

use self::workloads::Workload;
use crate::server::Server;
use crate::service::{round, tell};
use crate::worker::{self, Ran};

/// Arguments of `bench drain`.
#[derive(Debug, Args)]
pub struct Load {
    /// The workload; repeat for several runs
    #[arg(long, value_enum, default_values_t = [Workload::Interleaved, Workload::OneDay, Workload::Sparse, Workload::Late])]
    workload: Vec<Workload>,
    /// Rows to drain; a day has 86,400, and the sparse and late ones a tenth of it
    #[arg(long, default_value_t = 100_000)]
    rows: u64,
    /// Workers in parallel, and batches in parallel in each: 2, or 1x2; several values make several
    /// runs
    #[arg(long, value_delimiter = ',', value_parser = workers, default_value = "1,1x2,2,4")]
    workers: Vec<Workers>,
    /// Skip the comparisons
    #[arg(long)]
    alone: bool,
    /// Skip the extra drain that measures how long groups hold a connection
    #[arg(long)]
    no_holds: bool,
    /// A setting of the server, as name=value; may be given several times
    #[arg(long, value_parser = setting)]
    setting: Vec<(String, String)>,
    /// A variable of the worker's environment, as WORKER__CHANGES__ENABLED=false; may be given several times
    #[arg(long, value_parser = setting)]
    worker_setting: Vec<(String, String)>,
    /// Repetitions; the median counts
    #[arg(long, default_value_t = 1)]
    times: usize,
}

/// The number of workers, and of parallel batches in each.
#[derive(Clone, Copy, Debug)]
struct Workers {
    workers: usize,
    at_once: u32,
}

impl std::fmt::Display for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self { workers, at_once: 1 } => write!(f, "{workers}"),
            Self { workers, at_once } => write!(f, "{workers}x{at_once}"),
        }
    }
}

fn workers(text: &str) -> Result<Workers, String> {
    let (workers, at_once) = text.split_once('x').unwrap_or((text, "1"));
    match (workers.parse(), at_once.parse()) {
        (Ok(workers @ 1..), Ok(at_once @ 1..)) => Ok(Workers { workers, at_once }),
        _ => Err("a number of workers is expected, or workers x batches as in 1x2".to_owned()),
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("name=value is expected")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The measurements of one drain.
struct Drained {
    seconds: f64,
    groups: u64,
    transactions: f64,
    wal_bytes: f64,
    dead_tuples: i64,
    worker_cpu: f64,
    server_cpu: f64,
    peak_mb: f64,
}

/// Drains each workload with each number of workers.
pub async fn drain(load: Load) -> anyhow::Result<Value> {
    let mut runs: Vec<Value> = Vec::new();
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).set_header([
        "workload",
        "rows",
        "workers",
        "rows/s",
        "groups/s",
        "of one-shot",
        "of floor",
        "tx/row",
        "WAL B/row",
        "dead",
        "held ms p50 / p99 / most",
        "CPU worker s",
        "CPU server s",
        "peak MB",
    ]);
    for workload in &load.workload {
        let rows = match workload {
            Workload::Interleaved => load.rows,
            Workload::OneDay => 86_400,
            Workload::Sparse | Workload::Late => (load.rows / 10).max(1),
        };
        let holds = if load.no_holds {
            Vec::new()
        } else {
            worker::holds(&filled(*workload, rows, &load.setting).await?.url)?
        };
        let held = |share: f64| {
            let last = holds.len().saturating_sub(1) as f64;
            holds.get((last * share).ceil() as usize).copied().unwrap_or(f64::NAN)
        };
        let held = [held(0.5), held(0.99), held(1.0)];
        let (mut one_shot, mut floor) = (None, None);
        for workers in &load.workers {
            let mut tries: Vec<Drained> = Vec::new();
            for _ in 0..load.times.max(1) {
                let server = filled(*workload, rows, &load.setting).await?;
                if !load.alone && one_shot.is_none() && *workload == Workload::Interleaved {
                    one_shot = Some(peers::one_shot(&server).await?);
                }
                if !load.alone && floor.is_none() && *workload == Workload::Sparse {
                    floor = Some(peers::floor(&server, rows, 10).await?);
                }
                tries.push(once(&server, rows, *workers, &load.worker_setting).await?);
            }
            tries.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
            let median = tries.swap_remove(tries.len() / 2);
            let per_second = rows as f64 / median.seconds;
            let groups_per_second = median.groups as f64 / median.seconds;
            let of_one_shot = one_shot.as_ref().map(|peer| per_second * peer.seconds / rows as f64);
            let of_floor = floor.map(|floor| groups_per_second / floor);
            tell(&format!(
                "{}, {rows} rows, {workers} worker(s): {per_second:.0} rows/s, {groups_per_second:.0} groups/s",
                workload.name()
            ));
            table.add_row([
                workload.name().to_owned(),
                rows.to_string(),
                workers.to_string(),
                format!("{per_second:.0}"),
                format!("{groups_per_second:.0}"),
                of_one_shot.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                of_floor.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                format!("{:.4}", median.transactions / rows as f64),
                format!("{:.0}", median.wal_bytes / rows as f64),
                median.dead_tuples.to_string(),
                held.map(|ms| format!("{ms:.1}")).join(" / "),
                format!("{:.2}", median.worker_cpu),
                format!("{:.2}", median.server_cpu),
                format!("{:.1}", median.peak_mb),
            ]);
            runs.push(json!({
                "workload": workload.name(),
                "rows": rows,
                "workers": workers.workers,
                "batches_at_once": workers.at_once,
                "seconds": round(median.seconds, 3),
                "rows_per_second": round(per_second, 0),
                "groups_per_second": round(groups_per_second, 0),
                "one_shot_rows_per_second": one_shot.as_ref().map(|o| round(rows as f64 / o.seconds, 0)),
                "one_shot_unmarked_rows_per_second":
                    one_shot.as_ref().map(|o| round(rows as f64 / o.unmarked_seconds, 0)),
                "floor_groups_per_second": floor.map(|floor| round(floor, 0)),
                "of_one_shot": of_one_shot.map(|ratio| round(ratio, 3)),
                "of_floor": of_floor.map(|ratio| round(ratio, 3)),
                "transactions_per_row": round(median.transactions / rows as f64, 5),
                "wal_bytes_per_row": round(median.wal_bytes / rows as f64, 0),
                "dead_tuples": median.dead_tuples,
                "held_ms": { "p50": held[0], "p99": held[1], "most": held[2] },
                "worker_cpu_s": round(median.worker_cpu, 2),
                "server_cpu_s": round(median.server_cpu, 2),
                "peak_mb": round(median.peak_mb, 1),
            }));
        }
        if let Some(peer) = one_shot {
            tell(&format!(
                "one-shot SQL over {rows} rows: {:.0} rows/s with its marks, {:.0} rows/s without",
                rows as f64 / peer.seconds,
                rows as f64 / peer.unmarked_seconds
            ));
        }
        if let Some(floor) = floor {
            tell(&format!("floor of the two statements of a group: {floor:.0} groups/s"));
        }
    }
    tell(&table.to_string());
    Ok(json!({ "drains": runs }))
}

/// Starts a server with computed figures of the history, and the backlog in the queue.
async fn filled(
    workload: Workload,
    rows: u64,
    settings: &[(String, String)],
) -> anyhow::Result<Server> {
    let settings: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let server = Server::start_with(&settings).await?;
    let filling = workload.filling();
    if let Some(history) = filling.history {
        server.client.execute(history, &[&(rows as i64)]).await?;
        server.client.batch_execute("TRUNCATE aggregation_queue").await?;
        let backfill = ["backfill", "--from", "2024-01-01", "--to", "2024-12-31", "--json"];
        let ran = worker::run(&server.url, &backfill)?;
        ensure!(ran.code == 0, "backfill ended with {}", ran.code);
    }
    server.client.execute(filling.backlog, &[&(rows as i64)]).await?;
    for chore in ["VACUUM ANALYZE", "CHECKPOINT"] {
        server.client.batch_execute(chore).await?;
    }
    Ok(server)
}

/// Drains the whole backlog with `workers` processes.
async fn once(
    server: &Server,
    rows: u64,
    workers: Workers,
    settings: &[(String, String)],
) -> anyhow::Result<Drained> {
    let Workers { workers, at_once } = workers;
    let settings: Vec<_> = settings.iter().cloned().chain([worker::at_once(at_once)]).collect();
    let before = server.used().await?;
    let began = Instant::now();
    let ran: Vec<std::thread::JoinHandle<anyhow::Result<Ran>>> = (0..workers)
        .map(|_| {
            let (url, settings) = (server.url.clone(), settings.clone());
            std::thread::spawn(move || {
                let arguments = ["run-once", "--time-budget", "86400", "--json"];
                worker::run_with(&url, &arguments, &settings)
            })
        })
        .collect();
    let mut all: Vec<Ran> = Vec::new();
    for thread in ran {
        all.push(thread.join().map_err(|_| anyhow::anyhow!("a worker's thread ended"))??);
    }
    let seconds = began.elapsed().as_secs_f64();
    let after = server.used().await?;
    let sum = |key: &str| all.iter().filter_map(|ran| ran.json[key].as_u64()).sum::<u64>();
    ensure!(all.iter().all(|ran| ran.code == 0), "run-once ended badly");
    ensure!(sum("rows_completed") == rows, "{} of {rows} rows done", sum("rows_completed"));
    Ok(Drained {
        seconds,
        groups: sum("groups_committed"),
        transactions: after.transactions - before.transactions,
        wal_bytes: after.wal_bytes - before.wal_bytes,
        dead_tuples: after.dead_tuples,
        worker_cpu: all.iter().map(|ran| ran.cpu).sum(),
        server_cpu: after.cpu - before.cpu,
        peak_mb: all.iter().map(|ran| ran.peak_mb).fold(0.0, f64::max),
    })
}
