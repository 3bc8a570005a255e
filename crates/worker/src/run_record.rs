//! The record of a run, for `worker status`.

use aggregation::Timestamp;
use store::{RunCounts, Store};

use crate::setup;

/// Records a run for `worker status`, if it did any work. A run in progress is recorded repeatedly, each
/// time replacing its former record. Returns the id of the record.
pub async fn record(
    store: &Store,
    started_at: Timestamp,
    command: &str,
    application_name: &str,
    counts: &RunCounts,
    progress: (bool, Option<i64>),
) -> Option<i64> {
    if counts.batches == 0 {
        return None;
    }
    let worker = setup::identity(application_name);
    // The figures are committed, whether or not the run can be recorded.
    store.record_run(started_at, command, &worker, counts, progress).await.unwrap_or_else(|error| {
        tracing::warn!(
            event = "run_not_recorded",
            class = error.class().name(),
            "the figures are committed, but `worker status` will not list the run"
        );
        None
    })
}
