//! One batch: claim → group → process → summary.
//!
//! The claim is committed at once, and each group has a transaction of its own, so no lock outlives a
//! group. Another worker sees claimed sets as taken. It sees a group's figures and the deletion of its
//! sets at the same moment. After an interruption, sets are released, or return when their lease
//! expires. Processing them again gives the same figures.

use std::time::{Duration, Instant};

use aggregation::Kind;
use store::{ClaimFrom, MOST_IN_A_SET, StoreError};

use super::context::WorkerContext;
use super::group::Profiles;
use super::walk::{self, Walk};
use crate::run::batch_sizer::BatchStats;
use crate::run::summary::{BatchReport, log_claim, log_rescued};
use crate::throttle::Permit;

/// The outcome of a batch.
#[derive(Debug)]
pub struct BatchOutcome {
    /// The report about its rows; `None` if nothing was due.
    pub report: Option<BatchReport>,
    /// Whether the batch was full, so that more rows are probably due.
    pub is_full: bool,
    /// The pause before the next batch, if the database is overloaded.
    pub pause: Option<Duration>,
    /// The error that interrupted the batch. Its rows have been released, if that was possible.
    pub interruption: Option<StoreError>,
}

/// Claims and processes one batch.
///
/// # Errors
/// The reason why the claim failed.
pub async fn run(
    context: &WorkerContext,
    kind: Kind,
    from: ClaimFrom,
    permit: Permit,
) -> Result<BatchOutcome, StoreError> {
    let WorkerContext { store, stop, batch_sizer, .. } = context;
    let (settings, started, pool_before) =
        (&*context.settings.get(), Instant::now(), store.stats());
    let size = batch_sizer.next_size(settings.batch_bounds);
    let claimed = stop.or_overdue(store.claim(kind, from, size, settings.lease)).await;
    let claim = match claimed {
        Ok(Some(claim)) => claim,
        Ok(None) => return Ok(BatchOutcome::nothing_due()),
        Err(error) => return Err(store.explain(error).await),
    };
    permit.took(claim.row_count());
    let _current = context.batches.begin(kind, claim.row_count());
    log_rescued(&claim, store).await;
    // A set may not have fitted.
    let is_full = claim.row_count() - claim.coalesced + MOST_IN_A_SET > size;
    let (mut report, interruption) =
        match stop.or_overdue(Profiles::read(&claim, store, settings)).await {
            Ok(profiles) => {
                context.assumed_zone.note(&claim, &profiles);
                let mut walk = Walk::new(context, settings, &claim, &profiles, started);
                log_claim(&claim, walk.group_count(), &pool_before);
                let processed = walk.process_groups().await;
                walk.finish(processed).await
            }
            Err(error) => {
                let error = store.explain(error).await;
                let mut report = BatchReport::new(kind, claim.row_count(), claim.coalesced);
                report.released =
                    walk::release(store, &claim, claim.sets.iter().collect(), Some(&error)).await;
                (report, Some(error))
            }
        };
    report.duration = started.elapsed();
    report.log(&store.stats());
    let stats = BatchStats::from_report(&report, store.take_longest_wait());
    let pause = batch_sizer.record_batch(&stats, settings.batch_bounds);
    Ok(BatchOutcome { report: Some(report), is_full, pause, interruption })
}

impl BatchOutcome {
    const fn nothing_due() -> Self {
        Self { report: None, is_full: false, pause: None, interruption: None }
    }
}
