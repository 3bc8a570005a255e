//! `worker status`

use std::path::Path;
use std::time::Duration;

use aggregation::catalogue::Catalogue;
use serde_json::{Value, json};
use store::{
    Failure, FutureRows, KindStatus, MAX_REJECTED_READ, PausedKind, PoolStats, Rejected, Run,
    Sessions, Status, Store, StoreError,
};

use crate::exit::{self, Exit};
use crate::settings::Settings;
use crate::stop::Stop;
use crate::{cli, output, setup, tables};

/// Number of runs shown.
const RUNS: u32 = 5;

/// Maximum age in seconds of the last record of a running service. An older record belongs to a service
/// that was killed.
pub const STILL_RUNNING: f64 = 3_600.0;

/// Shows backlog, failures and runs, once or until a stop is requested.
///
/// # Errors
/// The reason why it failed.
pub async fn execute(config: Option<&Path>, arguments: &cli::Status) -> anyhow::Result<Exit> {
    let loaded = setup::configuration(config)?;
    // Only names are taken from the catalogue, and a mistake in it must not hide the backlog.
    let catalogue = Settings::from_config(&loaded.config).ok().map(|settings| settings.catalogue);
    let catalogue = catalogue.as_deref();
    let store = setup::connect(&loaded.config).await?;
    setup::require_current_schema(&store).await?;
    let Some(seconds) = arguments.watch else {
        output::print(&read_status(&store, catalogue, arguments).await?);
        return Ok(exit::DONE);
    };
    let stop = Stop::on_signals(loaded.config.service.shutdown_timeout, exit::INTERRUPTED)?;
    output::clear();
    while !stop.is_requested() {
        let shown = tokio::select! {
            shown = read_status(&store, catalogue, arguments) => shown,
            () = stop.requested() => break,
        };
        // With --watch, the command continues while the database is unavailable.
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

async fn read_status(
    store: &Store,
    catalogue: Option<&Catalogue>,
    arguments: &cli::Status,
) -> Result<String, StoreError> {
    let status = store.status(RUNS).await?;
    let sessions = if arguments.sessions { Some(store.sessions().await?) } else { None };
    let pool = store.stats();
    let rejected = group_rejected(&status.rejected, catalogue);
    if arguments.json {
        let mut shown = to_json(&status, &rejected, &pool);
        if let Some(sessions) = sessions {
            shown["sessions"] = sessions.iter().map(session_json).collect();
        }
        return Ok(shown.to_string());
    }
    let mut text = to_text(&status, &rejected, &pool);
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
        format!("The database cannot be queried: {error}")
    }
}

fn to_json(status: &Status, rejected: &[RejectedGroup<'_>], pool: &PoolStats) -> Value {
    let kinds: serde_json::Map<String, Value> = status
        .kinds
        .iter()
        .map(|kind| {
            let value = json!({
                "pending": kind.pending,
                "due": kind.due,
                "backing_off": kind.backing_off,
                "processing": kind.processing,
                "expired": kind.expired,
                "dead": kind.dead,
                "in_future": kind.in_future,
                "oldest_pending_seconds": kind.oldest_pending_seconds,
                "rejected": kind.rejected,
            });
            (kind.kind.name().to_owned(), value)
        })
        .collect();
    let runs: Vec<Value> = status.runs.iter().map(run_json).collect();
    json!({
        "kinds": kinds,
        "failures": status.failures.iter().map(failure_json).collect::<Vec<_>>(),
        "rejected": rejected.iter().map(RejectedGroup::to_json).collect::<Vec<_>>(),
        "runs": runs,
        "future": { "rows": status.future.rows, "users": status.future.users },
        "paused": status.paused.iter().map(|of| json!({
            "kind": of.kind.name(),
            "paused_at": of.paused_at.to_utc().to_rfc3339(),
            "paused_by": of.paused_by,
        })).collect::<Vec<_>>(),
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

/// A run as JSON.
pub fn run_json(run: &Run) -> Value {
    json!({
        "finished_at": run.finished_at.to_utc().to_rfc3339(),
        "is_running": run.is_running,
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

fn to_text(status: &Status, rejected: &[RejectedGroup<'_>], pool: &PoolStats) -> String {
    let queue = tables::table(
        &["queue", "pending", "oldest", "backing off", "processing", "expired", "dead", "rejected"],
        status.kinds.iter().map(|kind| kind_cells(kind).to_vec()),
    );
    let mut text = format!("{queue}\n{}\n", verdict(status));
    if !status.failures.is_empty() {
        let header = ["last failures", "kind", "rows", "dead", "next retry"];
        let cells = status.failures.iter().map(|failure| failure_cells(failure).to_vec());
        text.push_str(&format!("\n{}\n", tables::table(&header, cells.take(MAX_LISTED))));
        text.push_str(&not_listed(status.failures.len()));
    }
    if !rejected.is_empty() {
        let header = ["rejected rows", "kind", "metric", "rows"];
        let cells = rejected.iter().map(|group| group.cells().to_vec());
        text.push_str(&format!("\n{}\n", tables::table(&header, cells.take(MAX_LISTED))));
        text.push_str(&not_listed(rejected.len()));
        if rejected.iter().map(|group| group.rows).sum::<i64>() >= MAX_REJECTED_READ {
            let read = tables::thousands(MAX_REJECTED_READ);
            text.push_str(&format!("These are {read} of them; rejected_rows has the others.\n"));
        }
    }
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

/// A pause, and the command that ends it.
pub fn paused_in_words(paused: &PausedKind) -> String {
    format!(
        "{kind} is paused since {} by {}: no worker claims rows of it.\n  worker resume {kind}",
        paused.paused_at.to_utc().format("%Y-%m-%d %H:%M:%S UTC"),
        paused.paused_by,
        kind = paused.kind,
    )
}

/// The meaning of the table, and advice.
fn verdict(status: &Status) -> String {
    let sum = |of: fn(&KindStatus) -> i64| status.kinds.iter().map(of).sum::<i64>();
    let mut lines = Vec::new();
    let due = sum(|kind| kind.due);
    if due > 0 {
        lines.push(format!("{} due: the service takes them, or `worker run-once`.", are(due)));
    }
    let backing_off = sum(|kind| kind.backing_off);
    if backing_off > 0 {
        let next = status.failures.iter().filter_map(|failure| failure.next_retry_seconds).min();
        let next = next
            .map_or_else(String::new, |next| format!("; the next retry is {}", retry(Some(next))));
        lines.push(format!("{} backing off after a failure{next}.", are(backing_off)));
    }
    let expired = sum(|kind| kind.expired);
    let processing = sum(|kind| kind.processing) - expired;
    if processing > 0 {
        lines.push(format!("{} being processed.", are(processing)));
    }
    if expired > 0 {
        lines.push(format!(
            "{} claimed by a worker that is gone: the lease has expired.\n  \
             Another worker takes over.",
            are(expired)
        ));
    }
    let dead = sum(|kind| kind.dead);
    if dead > 0 {
        lines.push(format!(
            "{} dead after the last attempt. Remove the cause, then run\n  \
             worker requeue --dead\n  \
             SELECT * FROM raw_row_status WHERE status = 'dead'",
            are(dead)
        ));
    }
    let in_future = sum(|kind| kind.in_future);
    if in_future > 0 {
        lines.push(format!(
            "{} dated in the future by the server's clock, which was ahead; the service makes them due \
             within a minute, or `worker run-once`.",
            are(in_future)
        ));
    }
    lines.extend(status.paused.iter().map(paused_in_words));
    if lines.is_empty() {
        lines.push("Nothing is due.".to_owned());
    }
    if sum(|kind| kind.rejected) > 0 {
        lines.push(
            "Rejected rows are not in the figures. A corrected raw row is judged again.".to_owned(),
        );
    }
    let FutureRows { rows, users } = status.future;
    if rows > 0 {
        lines.push(format!(
            "{} dated more than a day in the future, of {}: a device's clock is wrong, or the app's. \
             They count on their dates, where future_count shows them.",
            are(rows),
            tables::counted(users, "user", "users"),
        ));
    }
    lines.join("\n")
}

/// Maximum of causes and reasons in the text; the JSON has more.
const MAX_LISTED: usize = 10;

fn not_listed(groups: usize) -> String {
    match groups.saturating_sub(MAX_LISTED) {
        0 => String::new(),
        more => {
            format!("… and {}; --json lists them.\n", tables::counted(more as i64, "more", "more"))
        }
    }
}

/// The time of the next retry.
fn retry(seconds: Option<i64>) -> String {
    match seconds {
        None => "never".to_owned(),
        Some(0) => "due now".to_owned(),
        Some(seconds) => format!("in {}", tables::age(seconds as f64)),
    }
}

fn failure_cells(failure: &Failure) -> [String; 5] {
    let cause = match &failure.detail {
        Some(detail) => format!("{}: {detail}", failure.class),
        None => failure.class.clone(),
    };
    [
        cause,
        failure.kind.clone(),
        tables::thousands(failure.rows),
        tables::thousands(failure.dead),
        retry(failure.next_retry_seconds),
    ]
}

/// Failures of one cause as JSON.
pub fn failure_json(failure: &Failure) -> Value {
    json!({
        "kind": failure.kind,
        "class": failure.class,
        "detail": failure.detail,
        "rows": failure.rows,
        "dead": failure.dead,
        "next_retry_seconds": failure.next_retry_seconds,
        "first_queued_seconds": failure.first_queued_seconds,
        "last_queued_seconds": failure.last_queued_seconds,
        "example_user_id": failure.example_user,
        "example_date": failure.example_at.to_utc().date_naive().to_string(),
    })
}

/// Rejected rows with the same reason and metric.
#[derive(Debug, PartialEq, Eq)]
pub struct RejectedGroup<'a> {
    kind: &'a str,
    reason: &'a str,
    metric: Metric<'a>,
    rows: i64,
}

/// The metric of rejected rows. An unknown name is never shown: it may contain any text.
#[derive(Debug, PartialEq, Eq)]
enum Metric<'a> {
    /// The rows have no metric, or the raw row is deleted.
    None,
    /// A metric of the catalogue.
    Known(&'a str),
    /// A metric unknown to the catalogue, with the most similar known name, if there is one.
    Unknown(Option<&'a str>),
}

/// Groups rejected rows, the largest group first.
pub fn group_rejected<'a>(
    rejected: &'a [Rejected],
    catalogue: Option<&'a Catalogue>,
) -> Vec<RejectedGroup<'a>> {
    let mut groups: Vec<RejectedGroup<'a>> = Vec::new();
    for Rejected { kind, reason, metric, rows } in rejected {
        let metric = match (metric.as_deref(), catalogue) {
            (None, _) => Metric::None,
            (Some(name), Some(catalogue)) => match catalogue.metric(name) {
                Some(_) => Metric::Known(name),
                None => Metric::Unknown(catalogue.nearest_metric(name)),
            },
            (Some(_), None) => Metric::Unknown(None),
        };
        let same = |of: &&mut RejectedGroup<'_>| {
            (of.kind, of.reason, &of.metric) == (kind, reason, &metric)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.rows += rows,
            None => groups.push(RejectedGroup { kind, reason, metric, rows: *rows }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.rows));
    groups
}

impl RejectedGroup<'_> {
    /// Reason, kind, metric and count.
    pub fn cells(&self) -> [String; 4] {
        let metric = match self.metric {
            Metric::None => "-".to_owned(),
            Metric::Known(name) => name.to_owned(),
            Metric::Unknown(None) => "unknown metric".to_owned(),
            Metric::Unknown(Some(nearest)) => format!("unknown metric, nearest: {nearest}"),
        };
        [self.reason.to_owned(), self.kind.to_owned(), metric, tables::thousands(self.rows)]
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let (metric, nearest) = match self.metric {
            Metric::None | Metric::Unknown(None) => (None, None),
            Metric::Known(name) => (Some(name), None),
            Metric::Unknown(nearest) => (None, nearest),
        };
        json!({
            "kind": self.kind,
            "reason": self.reason,
            "metric": metric,
            "nearest_metric": nearest,
            "rows": self.rows,
        })
    }
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
    // Only host and process: the name before them is the same for all workers, and is in the JSON.
    let by = run.worker.rsplit_once('@').map_or(run.worker.as_str(), |(_, place)| place);
    [
        if run.is_running && run.finished_seconds_ago < STILL_RUNNING {
            "now".to_owned()
        } else {
            format!("{} ago", tables::age(run.finished_seconds_ago))
        },
        tables::age(run.seconds),
        run.command.clone(),
        tables::thousands(run.counts.rows_claimed),
        tables::thousands(run.counts.rows_rejected),
        tables::thousands(run.counts.rows_failed),
        tables::thousands(run.counts.groups_committed),
        by.to_owned(),
    ]
}
