//! The walk of a batch: claim → group → aggregate, commit or roll back → report.
//!
//! The claim is committed at once, and each group has a transaction of its own, so that no
//! connection is held between groups and no lock outlives one. A second worker sees claimed
//! rows as taken, and each group's figures and the disappearance of its rows from the queue at
//! one and the same moment. Whatever interrupts the walk leaves rows that are released, or that
//! the lease brings back; doing them again gives the same figures.

use std::collections::BTreeMap;
use std::time::Instant;

use aggregation::Kind;
use chrono::NaiveDate;
use store::{Claim, Entry, Store, StoreError};

use crate::group::{self, Users};
use crate::lease::Lease;
use crate::report::{BatchReport, log_claim};
use crate::setup::Settings;
use crate::stop::Stop;

/// The claimed rows of one user and one local date.
pub type GroupKey = (i64, NaiveDate);

/// Claims and computes one batch. `None` if no row of the kind is due.
///
/// # Errors
/// What interrupted the batch. Its rows are given back by then, as far as that was possible.
pub async fn run(
    store: &Store,
    settings: &Settings,
    kind: Kind,
    stop: &Stop,
) -> Result<Option<BatchReport>, StoreError> {
    let started = Instant::now();
    let pool_before = store.stats();
    let Some(claim) = store.claim(kind, settings.batch_size, settings.lease).await? else {
        return Ok(None);
    };
    let mut lease = Lease::new(settings.lease, started);
    let mut report = BatchReport::new(kind, claim.entries.len() as u32);

    let users = match Users::of(&claim, store, settings).await {
        Ok(users) => users,
        Err(error) => return Err(interrupted(store, &claim, claim.entries.clone(), error).await),
    };
    let mut groups = in_key_order(&claim, &users);
    log_claim(kind, claim.entries.len(), groups.len(), &pool_before);

    while let Some(((user_id, date), entries)) = groups.pop_first() {
        if stop.is_requested() {
            let left: Vec<Entry> = entries.into_iter().chain(rest(groups)).collect();
            store.release(kind, claim.token, &left).await?;
            report.released += left.len() as u32;
            break;
        }
        let outcome = match lease.keep(store, &claim, &entries).await {
            Ok(()) => group::run(store, settings, &claim, &users, user_id, date, &entries).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(done) => report.committed(&done),
            Err(error) if error.class().is_interruption() => {
                let left = entries.into_iter().chain(rest(groups)).collect();
                return Err(interrupted(store, &claim, left, error).await);
            }
            Err(error) => {
                let class = error.class();
                let policy = settings.failure_policy;
                let dead = store.fail(kind, claim.token, &entries, class, policy).await?;
                report.failed += entries.len() as u32;
                report.dead += dead;
                report.groups_failed += 1;
                group::log_failure(kind, user_id, date, entries.len(), dead, &error);
            }
        }
    }

    report.duration = started.elapsed();
    report.log(&store.stats());
    Ok(Some(report))
}

/// Groups in the order of their keys: the order in which every worker takes its locks.
fn in_key_order(claim: &Claim, users: &Users) -> BTreeMap<GroupKey, Vec<Entry>> {
    let mut groups: BTreeMap<GroupKey, Vec<Entry>> = BTreeMap::new();
    for entry in &claim.entries {
        groups.entry((entry.user_id, users.date_of(entry))).or_default().push(entry.clone());
    }
    groups
}

fn rest(groups: BTreeMap<GroupKey, Vec<Entry>>) -> impl Iterator<Item = Entry> {
    groups.into_values().flatten()
}

/// Gives back what was not done, without counting an attempt. Where even that fails, the lease
/// runs out and the rows are claimed again.
async fn interrupted(store: &Store, claim: &Claim, left: Vec<Entry>, error: StoreError) -> StoreError {
    let released = store.release(claim.kind, claim.token, &left).await.is_ok();
    tracing::warn!(
        event = "batch_interrupted",
        kind = %claim.kind,
        rows = claim.entries.len(),
        left = left.len(),
        released,
        class = error.class().name(),
        "the rest of the batch is done again later"
    );
    error
}
