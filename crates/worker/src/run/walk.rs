//! The groups of a batch, one after the other in the order of their keys, which is the order in which every
//! worker takes its locks.
//!
//! COMMIT of a group is sent with BEGIN of the next one, on one connection that is given back after
//! [`LONGEST_HOLD`]. So the end of a group is known only when the next one has read its rows. A set whose rows
//! lie on several dates is deleted by the last of its groups, once all others are known to be committed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use store::{
    ChangeSet, Claim, ErrorClass, Failed, Progress, Store, StoreError, UnsentCommit, Verdict,
};

use super::claimed_groups::{ClaimedGroups, row_count};
use super::context::WorkerContext;
use super::crash_loop;
use super::group::{self, GroupKey, LockWaits, Profiles, Work};
use super::lease::Lease;
use super::portions::{accompany, while_portions_come};
use crate::failure::{Action, Policy};
use crate::run::summary::{BatchReport, Hold, Holds};
use crate::settings::Settings;

/// A connection goes back to the pool after this time, though more groups follow.
const LONGEST_HOLD: Duration = Duration::from_millis(50);

/// A group that is computed, and whose COMMIT is not sent yet.
struct Computed<'s> {
    key: GroupKey,
    verdicts: Vec<Verdict>,
    commit: UnsentCommit<'s>,
    hold: Hold,
}

/// A group that was not committed.
struct NotCommitted {
    key: GroupKey,
    error: StoreError,
    /// Sessions that kept it waiting for a lock.
    holders: Vec<String>,
}

/// Processes the groups of one claim.
pub struct Walk<'w> {
    context: &'w WorkerContext,
    settings: &'w Settings,
    claim: &'w Claim,
    profiles: &'w Profiles,
    groups: ClaimedGroups<'w>,
    lease: Lease,
    /// The portions that its groups have read.
    progress: Progress,
    /// How often each group ran that was retried at once.
    tries: HashMap<GroupKey, u32>,
    /// The group that is processed now.
    current: Option<GroupKey>,
    holds: Holds,
    report: BatchReport,
}

impl<'w> Walk<'w> {
    /// Groups the rows of a claim that was sent at `claimed_at`.
    pub fn new(
        context: &'w WorkerContext,
        settings: &'w Settings,
        claim: &'w Claim,
        profiles: &'w Profiles,
        claimed_at: Instant,
    ) -> Self {
        Self {
            context,
            settings,
            claim,
            profiles,
            groups: ClaimedGroups::by_date(claim, profiles),
            lease: Lease::new(settings.lease, claimed_at),
            progress: Progress::default(),
            tries: HashMap::new(),
            current: None,
            holds: Holds::default(),
            report: BatchReport::new(claim.kind, claim.row_count(), claim.coalesced),
        }
    }

    /// The number of groups.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// Processes group after group. Ends early when the worker stops or its settings change.
    ///
    /// # Errors
    /// An interruption: the groups that are left would meet the same error.
    pub async fn process_groups(&mut self) -> Result<(), StoreError> {
        if self.claim.sets.iter().any(crash_loop::is_suspect) {
            self.isolate_suspects().await?;
        }
        let context = self.context;
        let mut before = None;
        loop {
            let goes_on =
                !context.stop.is_requested() && context.settings.same_inputs_as(self.settings);
            let in_flight = before.as_ref().map(|computed: &Computed<'_>| computed.key.clone());
            let next = if goes_on { self.groups.next(in_flight.as_ref()) } else { None };
            if next.is_none() && before.is_none() {
                return Ok(());
            }
            self.current = next.clone().or(in_flight);
            let (limit, progress) = (self.settings.group_timeout, self.progress.clone());
            let step = self.process_next_group(next, before);
            let step = while_portions_come(limit, &progress, step);
            let stepped = context.stop.or_overdue(step).await;
            if let Err(error) = &stepped
                && Policy::for_class(error.class()).is_interruption()
                && let Some(key) = self.current.clone()
            {
                self.record_interruption(key, error).await;
            }
            before = stepped?;
            context.heartbeat.beat();
        }
    }

    /// Computes the next group, if there is one, and settles the one before.
    async fn process_next_group(
        &mut self,
        next: Option<GroupKey>,
        mut before: Option<Computed<'w>>,
    ) -> Result<Option<Computed<'w>>, StoreError> {
        if next.is_none() || self.lease.is_due() {
            if let Some(before) = before.take() {
                self.commit(before).await?;
            }
            self.renew_lease().await?;
        }
        // The commit of the group before may have failed, and have taken sets out of this one.
        let Some(key) = next.filter(|key| self.groups.contains(key)) else { return Ok(None) };
        let (computed, failed_before) = self.compute(key.clone(), before).await?;
        match computed {
            Ok(computed) => {
                // A failure is recorded on another connection, so this one goes back to the pool first.
                let goes_on = failed_before.is_none()
                    && computed.commit.held() < LONGEST_HOLD
                    && self.context.crash_loop_guard.is_clear();
                if goes_on {
                    return Ok(Some(computed));
                }
                let committed = self.commit(computed).await;
                self.record_failure_of(failed_before).await?;
                committed?;
            }
            Err(error) => {
                self.record_failure_of(failed_before).await?;
                self.record_failure(key, error).await?;
            }
        }
        Ok(None)
    }

    /// Computes a group in a transaction, which is not committed yet. Its beginning is sent with the COMMIT of
    /// the group before, which is settled if that went well.
    async fn compute(
        &mut self,
        key: GroupKey,
        before: Option<Computed<'w>>,
    ) -> Result<(Result<Computed<'w>, StoreError>, Option<NotCommitted>), StoreError> {
        let (context, claim, settings) = (self.context, self.claim, self.settings);
        let (store, kind, (user_id, date)) = (&context.store, claim.kind, key.clone());
        let entries = self.groups.entries(&key);
        let (mut transaction, hold, before) = match before {
            Some(Computed { key, verdicts, commit, hold }) => {
                (commit.next_group(kind, &user_id), hold, Some((key, verdicts)))
            }
            None => {
                let transaction = store.open_group(kind, &user_id).await?;
                (transaction, self.holds.begin(), None)
            }
        };
        let work = Work { settings, profile: self.profiles.get(&user_id), date, entries: &entries };
        transaction.report_to(&self.progress);
        let (left, lease) = (self.groups.unsettled(), self.lease.length());
        let mut waits = LockWaits::new(store, transaction.process());
        let computed = tokio::select! {
            biased;
            verdicts = group::compute(&mut transaction, kind, work) => verdicts,
            never = waits.watch((kind, &user_id, date), store.lock_timeout()) => match never {},
            never = accompany(context, claim, &left, &user_id, lease, &self.progress) => match never {},
        };
        let mut failed_before = None;
        match (before, transaction.take_previous_end()) {
            (Some((key, verdicts)), Some(Ok(()))) => self.committed(key, &verdicts),
            (Some((key, _)), Some(Err(error))) => {
                // Its writes travelled with the reads of this group, so both waited for the same sessions.
                let holders = waits.holders.clone();
                failed_before = Some(NotCommitted { key, error, holders });
            }
            // The connection was lost, so neither end is known.
            (Some(_), None) | (None, _) => {}
        }
        let verdicts = match computed {
            // Compared under the lock, and the profile again by the write. After rows that were
            // queued since a change of settings or profile, no figures from before it may be
            // written.
            Ok(_) if !context.settings.same_inputs_as(settings) => Err(StoreError::Outdated),
            computed => computed,
        };
        let finished = match verdicts {
            Ok(verdicts) => {
                let (token, profile) = (claim.token, work.profile.version());
                let sets = self.groups.sets_of(&key);
                let finished = transaction.finish(token, &sets, &verdicts, profile).await;
                finished.map(|commit| Computed { key, verdicts, commit, hold })
            }
            Err(error) => Err(transaction.rolled_back(error).await),
        };
        let computed = match finished {
            Ok(computed) => Ok(computed),
            Err(error) => Err(store.explain_group(error, (kind, &user_id), waits.holders).await),
        };
        Ok((computed, failed_before))
    }

    /// Sends COMMIT of a group and settles it.
    async fn commit(&mut self, computed: Computed<'w>) -> Result<(), StoreError> {
        let Computed { key, verdicts, commit, hold } = computed;
        let store = &self.context.store;
        let mut waits = LockWaits::new(store, commit.process());
        let committed = tokio::select! {
            biased;
            committed = commit.commit() => committed,
            never = waits.watch((self.claim.kind, &key.0, key.1), store.lock_timeout()) => match never {},
        };
        let holders = waits.holders;
        drop(hold);
        match committed {
            Ok(()) => {
                self.committed(key, &verdicts);
                Ok(())
            }
            Err(error) => self.record_failure_of(Some(NotCommitted { key, error, holders })).await,
        }
    }

    fn committed(&mut self, key: GroupKey, verdicts: &[Verdict]) {
        let (group, finished) = self.groups.commit(&key, verdicts);
        self.report.completed += finished.rows;
        self.report.rejected += finished.rejected;
        self.report.groups_committed += 1;
        self.context.crash_loop_guard.clear(self.claim.kind, &key.0, key.1);
        group::log_committed(self.claim.kind, &key, group.rows as usize, group.rejected);
    }

    async fn record_failure_of(&mut self, failed: Option<NotCommitted>) -> Result<(), StoreError> {
        let Some(NotCommitted { key, error, holders }) = failed else { return Ok(()) };
        let store = &self.context.store;
        let error = store.explain_group(error, (self.claim.kind, &key.0), holders).await;
        self.record_failure(key, error).await
    }

    /// A group was rolled back. It is tried again at once, or its sets wait, or are given up.
    ///
    /// # Errors
    /// The error, if it is an interruption; if recording it fails, the reason.
    async fn record_failure(&mut self, key: GroupKey, error: StoreError) -> Result<(), StoreError> {
        let tries = self.tries.entry(key.clone()).or_insert(1);
        let policy = Policy::for_class(error.class());
        let action = policy.action_after(*tries);
        let Claim { kind, token, .. } = *self.claim;
        if action == Action::RetryNow {
            *tries += 1;
            group::log_retried(kind, &key, *tries, &error);
            return Ok(());
        }
        if action == Action::Interrupt {
            return Err(error);
        }
        self.context.crash_loop_guard.clear(kind, &key.0, key.1);
        let held = self.groups.sets_at(&self.groups.held_by(&key));
        let rows = row_count(&held);
        let (store, retry) = (&self.context.store, self.settings.failure_policy);
        match action {
            Action::Release => {
                store.release(kind, token, held).await?;
                self.groups.release(&key);
                self.report.released += rows;
                group::log_outdated(kind, &key, rows);
            }
            Action::Snooze => {
                store.snooze(kind, token, held, retry.first, &error.label()).await?;
                self.groups.release(&key);
                self.report.failed(rows, 0, policy.is_timeout);
                group::log_failure((kind, &key.0, key.1), rows, Failed::default(), retry, &error);
            }
            // The other dates of the sets are computed all the same. One date that cannot be
            // written must not hold back the others, which the same statement changed.
            Action::Fail | Action::RetryNow | Action::Interrupt => {
                let failed = match held.is_empty() {
                    true => None,
                    false => Some(store.fail(kind, token, held, &error.label(), retry).await?),
                };
                self.report.failed(rows, failed.unwrap_or_default().dead, policy.is_timeout);
                let (failed, rows) = self.groups.fail(&key, failed);
                group::log_failure((kind, &key.0, key.1), rows, failed, retry, &error);
            }
        }
        Ok(())
    }

    async fn renew_lease(&mut self) -> Result<(), StoreError> {
        let asked_at = Instant::now();
        let left = self.groups.unsettled();
        if self.lease.is_due() && !left.is_empty() {
            let Claim { kind, token, .. } = *self.claim;
            self.context.store.renew(kind, token, left, self.lease.length()).await?;
            self.lease.renewed(asked_at);
        }
        Ok(())
    }

    /// Gives up sets that ended the worker each time, and isolates those that may have.
    async fn isolate_suspects(&mut self) -> Result<(), StoreError> {
        let dates = self.groups.dates_of_sets();
        let isolated = crash_loop::isolate(&self.claim.sets, &dates, self.settings.failure_policy);
        let Claim { kind, token, .. } = *self.claim;
        let given_up = self.groups.sets_at(&isolated.given_up);
        if !given_up.is_empty() {
            let lost_leases = given_up.iter().map(|set| set.lost_leases).max().unwrap_or_default();
            self.context.store.give_up(kind, token, given_up).await?;
            for (key, rows) in self.groups.settle(&isolated.given_up) {
                self.report.failed(rows, rows, false);
                crash_loop::log_given_up(kind, &key, rows, lost_leases);
            }
        }
        let released = self.groups.sets_at(&isolated.released);
        if !released.is_empty() {
            let rows = row_count(&released);
            self.context.store.release(kind, token, released).await?;
            self.groups.settle(&isolated.released);
            self.report.released += rows;
        }
        self.groups.isolate(&isolated.alone);
        Ok(())
    }

    /// Snoozes a group that is interrupted again and again, so that the other groups come first. If even that is
    /// not possible, the group is not the cause.
    async fn record_interruption(&mut self, key: GroupKey, error: &StoreError) {
        let Claim { kind, token, .. } = *self.claim;
        if error.class() == ErrorClass::Stopped
            || !self.context.crash_loop_guard.record_interruption(kind, &key.0, key.1)
        {
            return;
        }
        let sets = self.groups.sets_at(&self.groups.held_by(&key));
        let (rows, pause) = (row_count(&sets), self.settings.failure_policy.first);
        if self.context.store.snooze(kind, token, sets, pause, &error.label()).await.is_ok() {
            self.groups.release(&key);
            self.report.released += rows;
            group::log_postponed(kind, &key, rows, pause);
        }
    }

    /// Releases the sets that are left. Returns what became of the rows, and the error that interrupted the batch.
    pub async fn finish(
        mut self,
        processed: Result<(), StoreError>,
    ) -> (BatchReport, Option<StoreError>) {
        let (left, error) = (self.groups.unsettled(), processed.err());
        self.report.released +=
            release(&self.context.store, self.claim, left, error.as_ref()).await;
        self.report.holds = self.holds;
        (self.report, error)
    }
}

/// Releases sets without counting an attempt, because the batch ends early. If that fails, their lease expires and
/// they are claimed again. Returns their rows.
pub async fn release(
    store: &Store,
    claim: &Claim,
    sets: Vec<&ChangeSet>,
    error: Option<&StoreError>,
) -> u32 {
    let rows = row_count(&sets);
    let is_released = sets.is_empty() || store.release(claim.kind, claim.token, sets).await.is_ok();
    if let Some(error) = error {
        group::log_interrupted(claim.kind, rows, is_released, error);
    }
    rows
}
