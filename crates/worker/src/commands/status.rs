//! `worker status`

use std::path::Path;

use serde_json::{Value, json};
use store::{KindStatus, PoolStats, Run, Status};

use crate::exit::{self, Exit};
use crate::setup;
use crate::{output, tables};

/// How many of the last runs are shown.
const RUNS: u32 = 5;

/// Shows what there is to do and what was done.
///
/// # Errors
/// Why it could not.
pub async fn execute(config: Option<&Path>, json: bool) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(config)?;
    let store = setup::connect(&loaded.config).await?;
    setup::require_current_schema(&store).await?;
    let status = store.status(RUNS).await?;
    let pool = store.stats();
    if json {
        output::print_json(&to_json(&status, &pool));
    } else {
        output::print(&to_text(&status, &pool));
    }
    Ok(exit::DONE)
}

fn to_json(status: &Status, pool: &PoolStats) -> Value {
    let kinds: serde_json::Map<String, Value> = status
        .kinds
        .iter()
        .map(|kind| {
            let value = json!({
                "pending": kind.pending,
                "backing_off": kind.backing_off,
                "processing": kind.processing,
                "expired": kind.expired,
                "dead": kind.dead,
                "oldest_pending_seconds": kind.oldest_pending_seconds,
                "rejected": kind.rejected,
            });
            (kind.kind.name().to_owned(), value)
        })
        .collect();
    let runs: Vec<Value> = status.runs.iter().map(run_json).collect();
    json!({
        "kinds": kinds,
        "runs": runs,
        "pool": {
            "in_use": pool.in_use,
            "idle": pool.idle,
            "open": pool.open,
            "max": pool.max,
            "waiting": pool.waiting,
            "utilisation": pool.utilisation,
            "health": pool.health.to_string(),
        },
    })
}

fn run_json(run: &Run) -> Value {
    json!({
        "finished_at": run.finished_at.to_utc().to_rfc3339(),
        "seconds": run.seconds,
        "command": run.command,
        "worker": run.worker,
        "batches": run.counts.batches,
        "rows_claimed": run.counts.rows_claimed,
        "rows_completed": run.counts.rows_completed,
        "rows_rejected": run.counts.rows_rejected,
        "rows_failed": run.counts.rows_failed,
        "rows_released": run.counts.rows_released,
        "groups_committed": run.counts.groups_committed,
        "groups_failed": run.counts.groups_failed,
    })
}

fn to_text(status: &Status, pool: &PoolStats) -> String {
    let queue = tables::table(
        &["kind", "pending", "oldest", "backing off", "processing", "expired", "dead", "rejected"],
        status.kinds.iter().map(|kind| kind_cells(kind).to_vec()),
    );
    let runs = if status.runs.is_empty() {
        "No run has done any work yet.".to_owned()
    } else {
        tables::table(
            &["last runs", "took", "command", "rows", "rejected", "failed", "groups", "worker"],
            status.runs.iter().map(|run| run_cells(run).to_vec()),
        )
    };
    let pool = format!(
        "Pool of this command: {} of {} connections open, {} in use ({:.0} %), {} waiting: {}.",
        pool.open, pool.max, pool.in_use, pool.utilisation, pool.waiting, pool.health
    );
    format!("{queue}\n{runs}\n{pool}")
}

fn kind_cells(kind: &KindStatus) -> [String; 8] {
    [
        kind.kind.to_string(),
        kind.pending.to_string(),
        kind.oldest_pending_seconds.map_or_else(|| "-".to_owned(), tables::age),
        kind.backing_off.to_string(),
        kind.processing.to_string(),
        kind.expired.to_string(),
        kind.dead.to_string(),
        kind.rejected.to_string(),
    ]
}

fn run_cells(run: &Run) -> [String; 8] {
    [
        format!("{} ago", tables::age(run.finished_seconds_ago)),
        tables::age(run.seconds),
        run.command.clone(),
        run.counts.rows_claimed.to_string(),
        run.counts.rows_rejected.to_string(),
        run.counts.rows_failed.to_string(),
        run.counts.groups_committed.to_string(),
        run.worker.clone(),
    ]
}
