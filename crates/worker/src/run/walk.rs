//! The groups of a batch, one after the other in the order of their keys, which is the order in which every
//! worker takes its locks.
//!
//! COMMIT of a group is sent with BEGIN of the next one, on one connection that is given back after
//! [`LONGEST_HOLD`]. So the end of a group is known only when the next one has read its rows. A set whose rows
//! lie on several dates is deleted by the last of its groups, once all others are known to be committed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use store::{
    ChangeSet, Claim, ErrorClass, Failed, FailedWrite, Progress, SetOfGroup, StoreError,
    UnsentCommit, Verdict,
};

use super::crash_loop::{self, Isolated};
use super::group::{self, Entry, LockWaits, Profiles, Work};
use super::lease::Lease;
use super::long_groups::{accompany, while_portions_come};
use crate::failure::{Action, Policy};
use crate::report::{BatchReport, Hold, Holds};
use crate::setup::{Settings, WorkerContext};

/// A connection goes back to the pool after this time, though more groups follow.
const LONGEST_HOLD: Duration = Duration::from_millis(50);

/// A user and a local date.
pub type GroupKey = (i64, NaiveDate);

/// A row of the claim: the place of its set, and its place in the set.
type RowPlace = (u32, u32);

/// How far a claimed set is.
#[derive(Clone, Copy, Debug, Default)]
struct SetProgress {
    /// Groups with rows of it that are not known to be committed.
    groups_left: u32,
    /// Those that are.
    groups_done: i32,
    /// Of its rows in committed groups, those that take no part in the figures.
    rejected: u32,
    /// Whether it is deleted, failed or given back.
    is_settled: bool,
}

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
    failed: FailedWrite,
    /// Sessions that kept it waiting for a lock.
    holders: Vec<String>,
}

/// The walk through the groups of one claim.
pub struct Walk<'w> {
    job: &'w WorkerContext,
    settings: &'w Settings,
    claim: &'w Claim,
    lease: Lease,
    /// The portions that its groups have read.
    progress: Progress,
    /// Those that are not known to be committed.
    groups: BTreeMap<GroupKey, Vec<RowPlace>>,
    /// Groups that may have ended a worker; done behind all others.
    suspects: BTreeMap<GroupKey, Vec<RowPlace>>,
    /// In the order of the claim's sets.
    sets: Vec<SetProgress>,
    tries: HashMap<GroupKey, u32>,
    /// The group in whose middle the work is.
    current: Option<GroupKey>,
    holds: Holds,
    report: BatchReport,
}

impl<'w> Walk<'w> {
    /// Before the first group of a claim that was asked for at `asked_at`.
    pub fn new(
        job: &'w WorkerContext,
        settings: &'w Settings,
        claim: &'w Claim,
        asked_at: Instant,
    ) -> Self {
        Self {
            job,
            settings,
            claim,
            lease: Lease::new(settings.lease, asked_at),
            progress: Progress::default(),
            groups: BTreeMap::new(),
            suspects: BTreeMap::new(),
            sets: vec![SetProgress::default(); claim.sets.len()],
            tries: HashMap::new(),
            current: None,
            holds: Holds::default(),
            report: BatchReport::new(claim.kind, claim.row_count(), claim.coalesced),
        }
    }

    /// Groups the claimed rows by user and local date.
    pub fn group_by_date(&mut self, profiles: &Profiles) {
        for (set, place) in self.claim.sets.iter().zip(0..) {
            let zone = profiles.zone_of(set);
            for (row, at) in set.rows.iter().zip(0..) {
                let key = (set.user_id, group::date_of(zone, row));
                self.groups.entry(key).or_default().push((place, at));
            }
        }
    }

    fn count_groups_left(&mut self) {
        for rows in self.groups.values().chain(self.suspects.values()) {
            for place in places(rows) {
                if let Some(set) = self.sets.get_mut(place as usize) {
                    set.groups_left += 1;
                }
            }
        }
    }

    /// How many groups there are.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// What became of the rows.
    pub fn into_report(mut self, duration: Duration) -> BatchReport {
        self.report.duration = duration;
        self.report.holds = self.holds;
        self.report
    }

    /// Does group after group. Ends early when asked to stop or to work with other settings.
    ///
    /// # Errors
    /// An interruption, which concerns the groups to come as much as the one that met it.
    pub async fn process_groups(&mut self, profiles: &Profiles) -> Result<(), StoreError> {
        if self.claim.sets.iter().any(crash_loop::is_suspect) {
            self.isolate_suspects().await?;
        }
        self.count_groups_left();
        self.process_all(profiles).await?;
        self.groups = std::mem::take(&mut self.suspects);
        self.process_all(profiles).await
    }

    async fn process_all(&mut self, profiles: &Profiles) -> Result<(), StoreError> {
        let job = self.job;
        let mut before = None;
        loop {
            let goes_on = !job.stop.is_requested() && job.settings.same_inputs_as(self.settings);
            let in_flight = before.as_ref().map(|computed: &Computed<'_>| computed.key);
            let next = self.groups.keys().find(|key| goes_on && Some(**key) != in_flight).copied();
            if next.is_none() && before.is_none() {
                return Ok(());
            }
            self.current = next.or(in_flight);
            let (limit, progress) = (self.settings.group_timeout, self.progress.clone());
            let step = self.step(next, before, profiles);
            let step = while_portions_come(limit, &progress, step);
            let stepped = job.stop.or_overdue(step).await;
            if let Err(error) = &stepped
                && error.class().is_interruption()
                && let Some(key) = self.current
            {
                self.suspect(key, error).await;
            }
            before = stepped?;
            job.heartbeat.beat();
        }
    }

    /// Computes the next group, if there is one, and settles the one before.
    async fn step(
        &mut self,
        next: Option<GroupKey>,
        mut before: Option<Computed<'w>>,
        profiles: &Profiles,
    ) -> Result<Option<Computed<'w>>, StoreError> {
        if next.is_none() || self.lease.is_due() {
            if let Some(before) = before.take() {
                self.commit(before).await?;
            }
            self.renew_lease().await?;
        }
        let Some(key) = next.filter(|key| self.groups.contains_key(key)) else { return Ok(None) };
        let (computed, failed_before) = self.compute(key, before, profiles).await?;
        match computed {
            Ok(computed) => {
                // A connection for what is to be recorded of a failure is taken when this one is given back.
                let goes_on = failed_before.is_none()
                    && computed.commit.held() < LONGEST_HOLD
                    && self.job.suspects.are_none();
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
        profiles: &Profiles,
    ) -> Result<(Result<Computed<'w>, StoreError>, Option<NotCommitted>), StoreError> {
        let (job, claim, settings) = (self.job, self.claim, self.settings);
        let (store, kind, (user_id, date)) = (&job.store, claim.kind, key);
        let entries = self.entries(key);
        let (mut transaction, hold, before) = match before {
            Some(Computed { key, verdicts, commit, hold }) => {
                (commit.next_group(kind, user_id), hold, Some((key, verdicts)))
            }
            None => {
                let transaction = store.open_group(kind, user_id).await?;
                (transaction, self.holds.begin(), None)
            }
        };
        let work = Work { settings, profile: profiles.get(user_id), date, entries: &entries };
        transaction.report_to(&self.progress);
        let (left, lease) = (self.unsettled(), self.lease.length());
        let mut waits = LockWaits::new(store, transaction.process());
        let computed = tokio::select! {
            biased;
            verdicts = group::compute(&mut transaction, kind, work) => verdicts,
            never = waits.watch((kind, user_id, date), store.lock_timeout()) => match never {},
            never = accompany(job, claim, &left, user_id, lease, &self.progress) => match never {},
        };
        let mut failed_before = None;
        match (before, transaction.take_previous_end()) {
            (Some((key, verdicts)), Some(Ok(()))) => self.committed(key, &verdicts),
            (Some((key, _)), Some(Err(failed))) => {
                // Its writes were sent with the questions of this group, and waited first.
                let holders = waits.holders.clone();
                failed_before = Some(NotCommitted { key, failed, holders });
            }
            // Not known; so is everything else, for the same reason.
            (Some(_), None) | (None, _) => {}
        }
        let verdicts = match computed {
            // Asked under the lock, and the profile with what is written: whoever changed one of them and then
            // queued rows, finds no figures of before written after those of his rows.
            Ok(_) if !job.settings.same_inputs_as(settings) => Err(StoreError::Outdated),
            computed => computed,
        };
        let finished = match verdicts {
            Ok(verdicts) => {
                let (token, profile) = (claim.token, work.profile.version());
                let sets = self.sets_of(key);
                let finished = transaction.finish(token, &sets, &verdicts, profile).await;
                finished.map(|commit| Computed { key, verdicts, commit, hold })
            }
            Err(error) => Err(transaction.rolled_back(error).await.into()),
        };
        let computed = match finished {
            Ok(computed) => Ok(computed),
            Err(failed) => {
                let error = store.why_not_committed(failed).await;
                Err(store.explain_group(error, (kind, user_id), waits.holders).await)
            }
        };
        Ok((computed, failed_before))
    }

    /// The rows of a group.
    fn entries(&self, key: GroupKey) -> Vec<Entry<'w>> {
        let rows = self.groups.get(&key).map(Vec::as_slice).unwrap_or_default();
        let entries = rows.iter().filter_map(|(set, row)| {
            let set = self.claim.sets.get(*set as usize)?;
            Some(Entry::new(set, set.rows.get(*row as usize)?))
        });
        entries.collect()
    }

    /// The sets of a group. It deletes those of which all other groups are committed.
    fn sets_of(&self, key: GroupKey) -> Vec<SetOfGroup<'w>> {
        let rows = self.groups.get(&key).map(Vec::as_slice).unwrap_or_default();
        let sets = places(rows).into_iter().filter_map(|place| {
            let progress = self.sets.get(place as usize)?;
            Some(SetOfGroup {
                set: self.claim.sets.get(place as usize)?,
                dates_done: progress.groups_done,
                is_last: progress.groups_left == 1,
            })
        });
        sets.collect()
    }

    /// Sends COMMIT of a group and settles it.
    async fn commit(&mut self, computed: Computed<'w>) -> Result<(), StoreError> {
        let Computed { key, verdicts, commit, hold } = computed;
        let store = &self.job.store;
        let mut waits = LockWaits::new(store, commit.process());
        let committed = tokio::select! {
            biased;
            committed = commit.commit() => committed,
            never = waits.watch((self.claim.kind, key.0, key.1), store.lock_timeout()) => match never {},
        };
        let holders = waits.holders;
        drop(hold);
        match committed {
            Ok(()) => {
                self.committed(key, &verdicts);
                Ok(())
            }
            Err(failed) => {
                self.record_failure_of(Some(NotCommitted { key, failed, holders })).await
            }
        }
    }

    /// A group is committed: what that makes of its sets.
    fn committed(&mut self, key: GroupKey, verdicts: &[Verdict]) {
        let rows = self.groups.remove(&key).unwrap_or_default();
        let rejected: BTreeSet<i64> =
            verdicts.iter().filter(|v| v.reason.is_some()).map(|v| v.raw_id).collect();
        let claim = self.claim;
        let mut rejected_rows = 0;
        for (place, at) in &rows {
            let row = claim.sets.get(*place as usize).and_then(|set| set.rows.get(*at as usize));
            let set = self.sets.get_mut(*place as usize);
            if let Some((set, row)) = set.zip(row)
                && rejected.contains(&row.raw_id)
            {
                set.rejected += 1;
                rejected_rows += 1;
            }
        }
        for place in places(&rows) {
            let Some(set) = self.sets.get_mut(place as usize) else { continue };
            set.groups_left -= 1;
            set.groups_done += 1;
            if set.groups_left == 0 {
                set.is_settled = true;
                let rows = claim.sets.get(place as usize).map_or(0, |set| set.rows.len() as u32);
                self.report.completed += rows - set.rejected;
                self.report.rejected += set.rejected;
            }
        }
        self.report.groups_committed += 1;
        self.job.suspects.cleared(claim.kind, key.0, key.1);
        group::log_committed(claim.kind, key, rows.len(), rejected_rows);
    }

    async fn record_failure_of(&mut self, failed: Option<NotCommitted>) -> Result<(), StoreError> {
        let Some(NotCommitted { key, failed, holders }) = failed else { return Ok(()) };
        let store = &self.job.store;
        let error = store.why_not_committed(failed).await;
        let error = store.explain_group(error, (self.claim.kind, key.0), holders).await;
        self.record_failure(key, error).await
    }

    /// A group was rolled back. It is tried again at once, or its sets wait, or are given up.
    ///
    /// # Errors
    /// The error, if it is an interruption; if recording it fails, the reason.
    async fn record_failure(&mut self, key: GroupKey, error: StoreError) -> Result<(), StoreError> {
        let tries = self.tries.entry(key).or_insert(1);
        let policy = Policy::for_class(error.class());
        let action = policy.action_after(*tries);
        let Claim { kind, token, .. } = *self.claim;
        if action == Action::RetryNow {
            *tries += 1;
            group::log_retried(kind, key, *tries, &error);
            return Ok(());
        }
        if action == Action::Interrupt {
            return Err(error);
        }
        self.job.suspects.cleared(kind, key.0, key.1);
        let sets = self.take_sets_of(key);
        let rows = row_count(&sets);
        let (store, retry) = (&self.job.store, self.settings.failure_policy);
        let failed = match action {
            Action::Release => {
                store.release(kind, token, sets).await?;
                self.report.released += rows;
                group::log_outdated(kind, key, rows);
                return Ok(());
            }
            Action::Snooze => {
                store.snooze(kind, token, sets, retry.first).await?;
                Failed::default()
            }
            Action::Fail | Action::RetryNow | Action::Interrupt => {
                store.fail(kind, token, sets, &error.label(), retry).await?
            }
        };
        self.report.failed(rows, failed.dead, policy.is_timeout);
        group::log_failure((kind, key.0, key.1), rows as usize, failed, retry, &error);
        Ok(())
    }

    /// The sets of a group, which are settled with that: their rows are done in no other group either.
    fn take_sets_of(&mut self, key: GroupKey) -> Vec<&'w ChangeSet> {
        let taken = places(&self.groups.remove(&key).unwrap_or_default());
        for place in &taken {
            if let Some(set) = self.sets.get_mut(*place as usize) {
                set.is_settled = true;
            }
        }
        for groups in [&mut self.groups, &mut self.suspects] {
            groups.retain(|_, rows| {
                rows.retain(|(place, _)| taken.binary_search(place).is_err());
                !rows.is_empty()
            });
        }
        taken.into_iter().filter_map(|place| self.claim.sets.get(place as usize)).collect()
    }

    async fn renew_lease(&mut self) -> Result<(), StoreError> {
        let asked_at = Instant::now();
        let left = self.unsettled();
        if self.lease.is_due() && !left.is_empty() {
            let Claim { kind, token, .. } = *self.claim;
            self.job.store.renew(kind, token, left, self.lease.length()).await?;
            self.lease.renewed(asked_at);
        }
        Ok(())
    }

    fn unsettled(&self) -> Vec<&'w ChangeSet> {
        let sets = self.claim.sets.iter().zip(&self.sets);
        sets.filter(|(_, progress)| !progress.is_settled).map(|(set, _)| set).collect()
    }

    /// Gives up sets that ended the worker each time, and sets those apart that may have.
    async fn isolate_suspects(&mut self) -> Result<(), StoreError> {
        let dates: Vec<BTreeSet<GroupKey>> = self.dates_of_sets();
        let isolated = crash_loop::isolate(&self.claim.sets, &dates, self.settings.failure_policy);
        let Isolated { given_up, alone, released } = isolated;
        let Claim { kind, token, ref sets, .. } = *self.claim;
        let of = |places: &BTreeSet<usize>| -> Vec<&'w ChangeSet> {
            places.iter().filter_map(|place| sets.get(*place)).collect()
        };
        if !given_up.is_empty() {
            let given_up_sets = of(&given_up);
            let lost_leases = given_up_sets.iter().map(|set| set.lost_leases).max();
            self.job.store.give_up(kind, token, given_up_sets).await?;
            for (key, rows) in &self.groups {
                let rows = rows.iter().filter(|(place, _)| given_up.contains(&(*place as usize)));
                let rows = rows.count() as u32;
                if rows > 0 {
                    self.report.failed(rows, rows, false);
                    crash_loop::log_given_up(kind, *key, rows, lost_leases.unwrap_or_default());
                }
            }
        }
        if !released.is_empty() {
            let released = of(&released);
            self.report.released += row_count(&released);
            self.job.store.release(kind, token, released).await?;
        }
        for place in given_up.iter().chain(&released) {
            if let Some(set) = self.sets.get_mut(*place) {
                set.is_settled = true;
            }
        }
        for (key, rows) in std::mem::take(&mut self.groups) {
            let rows = rows.into_iter().filter(|(place, _)| {
                !given_up.contains(&(*place as usize)) && !released.contains(&(*place as usize))
            });
            let (suspect, others): (Vec<RowPlace>, Vec<RowPlace>) =
                rows.partition(|(place, _)| alone.contains(&(*place as usize)));
            if !suspect.is_empty() {
                self.suspects.insert(key, suspect);
            }
            if !others.is_empty() {
                self.groups.insert(key, others);
            }
        }
        Ok(())
    }

    fn dates_of_sets(&self) -> Vec<BTreeSet<GroupKey>> {
        let mut dates = vec![BTreeSet::new(); self.sets.len()];
        for (key, rows) in &self.groups {
            for place in places(rows) {
                if let Some(dates) = dates.get_mut(place as usize) {
                    dates.insert(*key);
                }
            }
        }
        dates
    }

    /// A group was interrupted. One that is interrupted too often is left alone for a while, so that the others
    /// come first. Where even that is not possible, it is not the group.
    async fn suspect(&mut self, key: GroupKey, error: &StoreError) {
        let Claim { kind, token, .. } = *self.claim;
        if error.class() == ErrorClass::Stopped
            || !self.job.suspects.interrupted(kind, key.0, key.1)
        {
            return;
        }
        let rows = self.groups.get(&key).map(Vec::as_slice).unwrap_or_default();
        let places = places(rows);
        let sets: Vec<&ChangeSet> =
            places.iter().filter_map(|place| self.claim.sets.get(*place as usize)).collect();
        let (rows, pause) = (row_count(&sets), self.settings.failure_policy.first);
        if self.job.store.snooze(kind, token, sets, pause).await.is_ok() {
            self.take_sets_of(key);
            self.report.released += rows;
            group::log_postponed(kind, key, rows, pause);
        }
    }

    /// Gives back the sets that are not settled, without counting an attempt. Where even that fails, the lease
    /// runs out and they are claimed again. Hands back what interrupted the walk.
    pub async fn release_rest(&mut self, walked: Result<(), StoreError>) -> Option<StoreError> {
        let left = self.unsettled();
        let rows = row_count(&left);
        let Claim { kind, token, .. } = *self.claim;
        let is_released =
            left.is_empty() || self.job.store.release(kind, token, left).await.is_ok();
        self.report.released += rows;
        if let Err(error) = &walked {
            group::log_interrupted(kind, rows, is_released, error);
        }
        walked.err()
    }
}

/// The places of the sets that have rows in a group, each once. The rows of a group are in the order of the claim.
fn places(rows: &[RowPlace]) -> Vec<u32> {
    let mut places: Vec<u32> = rows.iter().map(|(place, _)| *place).collect();
    places.dedup();
    places
}

fn row_count(sets: &[&ChangeSet]) -> u32 {
    sets.iter().map(|set| set.rows.len() as u32).sum()
}
