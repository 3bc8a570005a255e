//! The walk of a batch: claim → group → aggregate, commit or roll back → report.
//!
//! The claim is committed at once, and each group has a transaction of its own, so that no
//! connection is held between groups and no lock outlives one. A second worker sees claimed
//! rows as taken, and each group's figures and the disappearance of its rows from the queue at
//! one and the same moment. Whatever interrupts the walk leaves rows that are released, or that
//! the lease brings back; doing them again gives the same figures.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aggregation::Kind;
use chrono::NaiveDate;
use store::{Claim, ClaimFrom, Entry, ErrorClass, Failed, Store, StoreError};

use crate::group::{self, Group, Users};
use crate::lease::Lease;
use crate::looks::Looks;
use crate::pace::Went;
use crate::report::{BatchReport, RunReport, log_claim};
use crate::setup::{Job, Settings, in_time};
use crate::suspects::{self, Isolated};

/// What is left of a batch: the claimed rows by user and local date, in the order of their
/// keys, which is the order in which every worker takes its locks.
pub type Groups = BTreeMap<(i64, NaiveDate), Vec<Entry>>;

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walked {
    /// No row of the kind was due.
    NothingDue {
        /// Whether it looked at the first rows, too.
        saw_first: bool,
    },
    /// It did work, and now leaves the database alone for this time, if it is in distress.
    Done {
        /// Whether it had as many rows as it may have, so that there are probably more.
        is_full: bool,
        /// How long.
        pause: Option<Duration>,
    },
}

/// Claims and computes one batch, and adds it to the run.
///
/// `looks` are those of the batches that run at once and claim from the same end of the same kind.
///
/// # Errors
/// What interrupted the batch. Its rows are given back by then, as far as that was possible.
pub async fn run(
    job: &Job,
    kind: Kind,
    from: ClaimFrom,
    looks: &Looks,
    run: &mut RunReport,
) -> Result<Walked, StoreError> {
    let Job { store, stop, pace, .. } = job;
    let settings = &*job.settings.get();
    let look = looks.begin();
    let started = Instant::now();
    let pool_before = store.stats();
    let rows = pace.rows(settings.batch_bounds);
    let claiming = store.claim(kind, from, rows, look.place, settings.lease);
    let claimed = tokio::select! {
        claimed = claiming => claimed,
        () = stop.overdue() => return Err(StoreError::Stopped),
    };
    let claimed = match claimed {
        Ok(claimed) => claimed,
        Err(error) => return Err(store.explain(error).await),
    };
    let saw_first = look.place == 0;
    drop(look);
    job.heartbeat.beat();
    let Some(claim) = claimed else { return Ok(Walked::NothingDue { saw_first }) };
    log_rescued(&claim);
    let is_full = claim.entries.len() >= rows as usize;
    let mut lease = Lease::new(settings.lease, started);
    let mut report = BatchReport::new(kind, claim.entries.len() as u32);

    let users = tokio::select! {
        users = Users::of(&claim, store, settings) => users,
        () = stop.overdue() => Err(StoreError::Stopped),
    };
    let (outcome, left) = match users {
        Err(error) => {
            log_claim(kind, claim.entries.len(), 0, &pool_before);
            (Err(store.explain(error).await), claim.entries.clone())
        }
        Ok(users) => {
            job.assumed_zone.note(&claim, &users);
            let groups = grouped(&claim, &users);
            log_claim(kind, claim.entries.len(), groups.len(), &pool_before);
            let walk = Walk { job, settings, claim: &claim, users: &users, is_full };
            walk.through_all(groups, &mut lease, &mut report).await
        }
    };

    if !left.is_empty() {
        give_back(store, &claim, &left, outcome.as_ref().err()).await;
        report.released += left.len() as u32;
    }
    report.duration = started.elapsed();
    report.log(&store.stats());
    run.add(&report);
    let went = Went {
        rows: report.claimed - report.along,
        duration: report.duration,
        longest_wait: store.take_longest_wait(),
        timeouts: report.timeouts,
        unfinished: report.failed + report.released,
    };
    let pause = pace.after(&went, settings.batch_bounds);
    outcome.map(|()| Walked::Done { is_full, pause })
}

fn grouped(claim: &Claim, users: &Users) -> Groups {
    let mut groups = Groups::new();
    for entry in &claim.entries {
        groups.entry((entry.user_id, users.date_of(entry))).or_default().push(entry.clone());
    }
    groups
}

/// Everything that stays the same from group to group.
struct Walk<'w> {
    job: &'w Job,
    settings: &'w Settings,
    claim: &'w Claim,
    users: &'w Users,
    /// Whether the claim has as many rows as it may have, so that there are probably more.
    is_full: bool,
}

impl Walk<'_> {
    /// Does all groups that may be done together. What is left, if it was interrupted, is given back.
    async fn through_all(
        &self,
        groups: Groups,
        lease: &mut Lease,
        report: &mut BatchReport,
    ) -> (Result<(), StoreError>, Vec<Entry>) {
        let Isolated { mut parts, given_up, released } =
            suspects::isolate(groups, self.settings.failure_policy);
        let mut outcome = self.give_up(&given_up, report).await;
        let mut left: Vec<Entry> = Vec::new();
        if outcome.is_err() {
            left.extend(given_up.into_values().flatten());
        }
        if !released.is_empty() {
            give_back(&self.job.store, self.claim, &released, None).await;
            report.released += released.len() as u32;
        }
        for part in &mut parts {
            if outcome.is_ok() {
                outcome = self.through(part, lease, report).await;
            }
        }
        left.extend(parts.into_iter().flat_map(Groups::into_values).flatten());
        (outcome, left)
    }

    /// Gives up the groups that ended the worker each time.
    async fn give_up(&self, groups: &Groups, report: &mut BatchReport) -> Result<(), StoreError> {
        let Claim { kind, token, .. } = *self.claim;
        let entries: Vec<Entry> = groups.values().flatten().cloned().collect();
        if entries.is_empty() {
            return Ok(());
        }
        self.job.store.give_up(kind, token, &entries).await?;
        for ((user_id, date), entries) in groups {
            let rows = entries.len() as u32;
            report.failed += rows;
            report.dead += rows;
            report.groups_failed += 1;
            let lost_leases = entries.iter().map(|entry| entry.lost_leases).max();
            tracing::warn!(
                event = "crash_loop_ended",
                kind = %kind,
                user_id,
                date = %date,
                rows,
                lost_leases,
                "Group given up (user {user_id}, {date}, {kind}): workers ended or stood still {} times while they \
                 held its {rows} rows, which are dead now",
                lost_leases.unwrap_or_default()
            );
        }
        Ok(())
    }

    /// Does group after group and takes each from `groups` when it is committed or its failure
    /// is recorded. Ends early when asked to stop or to work with other settings, and at an
    /// interruption, which concerns the groups to come as much as the one that met it.
    async fn through(
        &self,
        groups: &mut Groups,
        lease: &mut Lease,
        report: &mut BatchReport,
    ) -> Result<(), StoreError> {
        while !self.job.stop.is_requested() && self.job.settings.decide_as(self.settings) {
            tokio::select! {
                done = in_time(self.settings.group_patience, self.first(groups, lease, report)) => {
                    if done.as_ref().is_err_and(|error| error.class() == ErrorClass::NoAnswer) {
                        self.suspect_first(groups).await;
                    }
                    if !done? { break }
                }
                () = self.job.stop.overdue() => return Err(StoreError::Stopped),
            }
            groups.pop_first();
            self.job.heartbeat.beat();
        }
        Ok(())
    }

    /// The first of the groups takes longer than all its time-outs: where that is so each time, the
    /// others come first.
    async fn suspect_first(&self, groups: &Groups) {
        let Some(((user_id, date), entries)) = groups.first_key_value() else { return };
        if self.job.suspects.interrupted(self.claim.kind, *user_id, *date) {
            self.postpone(*user_id, *date, entries).await;
        }
    }

    /// Does the first of the groups; `false` if there is none. Abandoned in the middle, it is
    /// rolled back, or not known to be committed: its rows are then given back if they are there.
    async fn first(
        &self,
        groups: &Groups,
        lease: &mut Lease,
        report: &mut BatchReport,
    ) -> Result<bool, StoreError> {
        let Self { job: Job { store, suspects, heartbeat, .. }, settings, claim, users, .. } =
            *self;
        lease.keep(store, claim, groups).await?;
        heartbeat.beat();
        let Some(((user_id, date), entries)) = groups.first_key_value() else { return Ok(false) };
        let along = if self.is_full { group::hours_to_fill(claim.kind, entries) } else { None };
        let group = Group { user_id: *user_id, date: *date, entries, along };
        let done = group::run(
            self.job,
            settings,
            claim,
            users,
            group,
            lease.found_by(),
            &mut report.holds,
        )
        .await;
        if !done.as_ref().is_err_and(|error| error.class().is_interruption()) {
            suspects.cleared(claim.kind, *user_id, *date);
        } else if suspects.interrupted(claim.kind, *user_id, *date) {
            self.postpone(*user_id, *date, entries).await;
        }
        match done {
            Ok(done) => report.committed(&done),
            // The next batch knows better.
            Err(StoreError::Outdated) => {
                store.release(claim.kind, claim.token, entries, None).await?;
                report.released += entries.len() as u32;
                group::log_outdated(claim.kind, *user_id, *date, entries.len());
            }
            Err(error) if error.class().is_interruption() => return Err(error),
            Err(error) => {
                let class = error.class();
                let (kind, token, policy) = (claim.kind, claim.token, settings.failure_policy);
                let failed = if class == ErrorClass::Locked {
                    // A lock that is held for an hour must not have rows given up.
                    store.release(kind, token, entries, Some(policy.first)).await?;
                    Failed::default()
                } else {
                    store.fail(kind, token, entries, &error.label(), policy).await?
                };
                report.failed(entries.len() as u32, failed.dead, class);
                let group = (kind, *user_id, *date);
                group::log_failure(group, entries.len(), failed, policy, &error);
            }
        }
        Ok(true)
    }

    /// Leaves the rows of a group alone for a while that was interrupted too often. Where even that
    /// is not possible, it is not the group.
    async fn postpone(&self, user_id: i64, date: NaiveDate, entries: &[Entry]) {
        let Claim { kind, token, .. } = *self.claim;
        let pause = self.settings.failure_policy.first;
        if self.job.store.release(kind, token, entries, Some(pause)).await.is_ok() {
            tracing::warn!(
                event = "group_postponed",
                kind = %kind,
                user_id,
                date = %date,
                rows = entries.len(),
                pause_s = pause.as_secs_f64(),
                "Group postponed (user {user_id}, {date}, {kind}): interrupted twice; its rows wait for {:.1} s, the \
                 other groups come first",
                pause.as_secs_f64()
            );
        }
    }
}

/// Says that rows were taken over from a worker that is gone, or stood still for longer than its lease.
fn log_rescued(claim: &Claim) {
    if claim.rescued > 0 {
        tracing::warn!(
            event = "rows_rescued",
            kind = %claim.kind,
            rows = claim.rescued,
            overdue_s = claim.overdue.as_secs_f64(),
            "{} rows of a stopped worker taken over; their lease expired {:.1} s ago",
            claim.rescued,
            claim.overdue.as_secs_f64()
        );
    }
}

/// Gives back what was not done, without counting an attempt. Where even that fails, the lease
/// runs out and the rows are claimed again.
async fn give_back(store: &Store, claim: &Claim, left: &[Entry], cause: Option<&StoreError>) {
    let released = store.release(claim.kind, claim.token, left, None).await.is_ok();
    if let Some(error) = cause {
        tracing::warn!(
            event = "batch_interrupted",
            kind = %claim.kind,
            left = left.len(),
            released,
            class = error.class().name(),
            sqlstate = error.sqlstate(),
            table = error.table(),
            column = error.column(),
            constraint = error.constraint(),
            pid = error.process(),
            error = %error,
            "Batch interrupted ({}): {error}; its {} remaining rows {}",
            claim.kind,
            left.len(),
            if released { "are released" } else { "return when their lease expires" }
        );
    }
}
