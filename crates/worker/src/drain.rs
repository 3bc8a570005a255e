//! The drain: batch after batch while there is work, the kinds taking turns.

use std::time::{Duration, Instant};

use aggregation::Kind;
use store::{Store, StoreError};

use crate::batch;
use crate::report::RunReport;
use crate::setup::Settings;
use crate::stop::Stop;

/// The waits before an interrupted drain goes on, as the connections of a server that restarts
/// or of a serverless one come back within seconds. After the last one the error stands.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// Where a drain ends, if not with the last due row.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The kinds to work on, in the order of their turns.
    pub kinds: Vec<Kind>,
    /// The most batches.
    pub max_batches: Option<u32>,
    /// No batch begins after this time.
    pub time_budget: Option<Duration>,
}

/// Works until nothing is due, a limit is reached, or somebody asks to stop.
///
/// `report` holds what was done also when an error ends the drain.
///
/// # Errors
/// What interrupted the drain for longer than its patience.
pub async fn drain(
    store: &Store,
    settings: &Settings,
    limits: &Limits,
    stop: &Stop,
    report: &mut RunReport,
) -> Result<(), StoreError> {
    let started = Instant::now();
    let mut interruptions = 0;
    let mut with_work = limits.kinds.clone();
    while !with_work.is_empty() {
        for kind in std::mem::take(&mut with_work) {
            let out_of_batches =
                limits.max_batches.is_some_and(|most| report.counts.batches as u32 >= most);
            let out_of_time = limits.time_budget.is_some_and(|most| started.elapsed() >= most);
            if stop.is_requested() {
                report.stopped = true;
            }
            if report.stopped || out_of_batches || out_of_time {
                return Ok(());
            }
            match batch::run(store, settings, kind, stop, report).await {
                Ok(true) => {
                    interruptions = 0;
                    with_work.push(kind);
                }
                Ok(false) => {}
                Err(error) => {
                    let pause =
                        PAUSES.get(interruptions).filter(|_| error.class().is_interruption());
                    let Some(pause) = pause else { return Err(error) };
                    interruptions += 1;
                    tracing::warn!(
                        event = "drain_paused",
                        class = error.class().name(),
                        error = %error,
                        pause_ms = pause.as_millis() as u64,
                        "trying again after a pause"
                    );
                    tokio::select! {
                        () = tokio::time::sleep(*pause) => {}
                        () = stop.requested() => {}
                    }
                    with_work.push(kind);
                }
            }
        }
    }
    Ok(())
}
