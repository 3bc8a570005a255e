//! `worker status`

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use store::{FutureRows, KindStatus, PoolStats, Run, Sessions, Status, Store, StoreError};

use crate::exit::{self, Exit};
use crate::stop::Stop;
use crate::{cli, output, setup, tables};

/// How many of the last runs are shown.
const RUNS: u32 = 5;

/// Shows what there is to do and what was done, once or until asked to stop.
///
/// # Errors
/// Why it could not.
pub async fn execute(config: Option<&Path>, arguments: &cli::Status) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(config)?;
    let store = setup::connect(&loaded.config).await?;
    setup::require_current_schema(&store).await?;
    let Some(seconds) = arguments.watch else {
        output::print(&look(&store, arguments).await?);
        return Ok(exit::DONE);
    };
    let stop = Stop::on_signals(loaded.config.service.shutdown_timeout, exit::INTERRUPTED)?;
    output::clear();
    while !stop.is_requested() {
        let shown = tokio::select! {
            shown = look(&store, arguments) => shown,
            () = stop.requested() => break,
        };
        // Somebody who watches a database go away and come back keeps watching.
        let text = shown.unwrap_or_else(|error| trouble(&error, arguments.json));
        if !output::print_over(&text) {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs_f64(seconds)) => {}
            () = stop.requested() => {}
        }
    }
    Ok(exit::DONE)
}

async fn look(store: &Store, arguments: &cli::Status) -> Result<String, StoreError> {
    let status = store.status(RUNS).await?;
    let sessions = if arguments.sessions { Some(store.sessions().await?) } else { None };
    let pool = store.stats();
    if arguments.json {
        let mut shown = to_json(&status, &pool);
        if let Some(sessions) = sessions {
            shown["sessions"] = sessions.iter().map(session_json).collect();
        }
        return Ok(shown.to_string());
    }
    let mut text = to_text(&status, &pool);
    if let Some(sessions) = sessions {
        let cells = sessions.iter().map(|of| session_cells(of).to_vec());
        let header = ["sessions", "state", "count", "longest transaction"];
        text.push_str(&format!("\n\n{}", tables::table(&header, cells)));
    }
    Ok(text)
}

fn session_json(of: &Sessions) -> Value {
    json!({
        "application": of.application,
        "state": of.state,
        "count": of.count,
        "longest_transaction_seconds": of.longest_transaction_seconds,
    })
}

fn session_cells(of: &Sessions) -> [String; 4] {
    [
        of.application.clone(),
        of.state.clone(),
        tables::thousands(of.count),
        of.longest_transaction_seconds.map_or_else(|| "-".to_owned(), tables::age),
    ]
}

fn trouble(error: &StoreError, as_json: bool) -> String {
    if as_json {
        json!({ "error": error.to_string() }).to_string()
    } else {
        format!("The database cannot be asked: {error}")
    }
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
        "future": { "rows": status.future.rows, "users": status.future.users },
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
        &["queue", "pending", "oldest", "backing off", "processing", "expired", "dead", "rejected"],
        status.kinds.iter().map(|kind| kind_cells(kind).to_vec()),
    );
    let mut text = format!("{queue}\n{}\n", verdict(status));
    if status.runs.is_empty() {
        text.push_str("\nNo run has done any work in the last 30 days.\n");
    } else {
        let runs = tables::table(
            &["last runs", "took", "command", "rows", "rejected", "failed", "groups", "by"],
            status.runs.iter().map(|run| run_cells(run).to_vec()),
        );
        text.push_str(&format!("\n{runs}\n"));
    }
    text.push_str(&format!(
        "\nOwn pool: {} of {} connections open, {} in use ({:.0} %), {} waiting, {}.",
        pool.open, pool.max, pool.in_use, pool.utilisation, pool.waiting, pool.health
    ));
    text
}

/// What the table means, and what to do about it: one line for each thing that needs somebody.
fn verdict(status: &Status) -> String {
    let sum = |of: fn(&KindStatus) -> i64| status.kinds.iter().map(of).sum::<i64>();
    let due = sum(|kind| kind.pending - kind.backing_off);
    let mut lines = vec![match due {
        0 => "Nothing is due.".to_owned(),
        _ => format!("{} due: the service takes them, or `worker run-once`.", are(due)),
    }];
    let backing_off = sum(|kind| kind.backing_off);
    if backing_off > 0 {
        lines.push(format!("{} waiting after a failure, to be tried again.", are(backing_off)));
    }
    let expired = sum(|kind| kind.expired);
    if expired > 0 {
        lines.push(format!(
            "{} claimed by a worker that is gone; another one takes over.",
            are(expired)
        ));
    }
    let dead = sum(|kind| kind.dead);
    if dead > 0 {
        lines.push(format!(
            "{} dead after the last attempt. This query shows why:\n  \
             SELECT * FROM raw_row_status WHERE status = 'dead'\n  \
             `worker requeue --dead` has them tried again once the cause is gone.",
            are(dead)
        ));
    }
    if sum(|kind| kind.rejected) > 0 {
        lines.push("Rejected rows take no part in the figures; rejected_rows says why.".to_owned());
    }
    let FutureRows { rows, users } = status.future;
    if rows > 0 {
        lines.push(format!(
            "{} of {} dated more than a day in the future: a device's clock is wrong, or the app's. \
             They count on their dates, where future_count shows them.",
            tables::counted(rows, "row", "rows"),
            tables::counted(users, "user is", "users are"),
        ));
    }
    lines.join("\n")
}

fn are(rows: i64) -> String {
    let is = if rows == 1 { "is" } else { "are" };
    format!("{} {is}", tables::counted(rows, "row", "rows"))
}

fn kind_cells(kind: &KindStatus) -> [String; 8] {
    [
        kind.kind.to_string(),
        tables::thousands(kind.pending),
        kind.oldest_pending_seconds.map_or_else(|| "-".to_owned(), tables::age),
        tables::thousands(kind.backing_off),
        tables::thousands(kind.processing),
        tables::thousands(kind.expired),
        tables::thousands(kind.dead),
        tables::thousands(kind.rejected),
    ]
}

fn run_cells(run: &Run) -> [String; 8] {
    // Host and process; the name before them is the same for all and in the JSON.
    let by = run.worker.rsplit_once('@').map_or(run.worker.as_str(), |(_, place)| place);
    [
        format!("{} ago", tables::age(run.finished_seconds_ago)),
        tables::age(run.seconds),
        run.command.clone(),
        tables::thousands(run.counts.rows_claimed),
        tables::thousands(run.counts.rows_rejected),
        tables::thousands(run.counts.rows_failed),
        tables::thousands(run.counts.groups_committed),
        by.to_owned(),
    ]
}
