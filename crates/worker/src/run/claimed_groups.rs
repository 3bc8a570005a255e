//! The groups of a claim, and how far each claimed set is.
//!
//! A set whose rows lie on several dates has rows in several groups. The last of them to be committed deletes it.

use std::collections::{BTreeMap, BTreeSet};

use store::{ChangeSet, Claim, Failed, SetOfGroup, Verdict};

use super::group::{self, Entry, GroupKey, Profiles};

/// A row of the claim: the index of its set, and its index in the set.
type RowIndex = (usize, usize);

/// Rows that a group or a set completed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Completed {
    /// Rows that take part in figures.
    pub rows: u32,
    /// Rows that do not: they have a reason in `rejected_rows`.
    pub rejected: u32,
}

/// How far a claimed set is.
#[derive(Clone, Copy, Debug, Default)]
struct SetProgress {
    /// Groups with rows of it that are not known to be committed.
    groups_left: u32,
    /// Groups with rows of it that are committed.
    groups_done: i32,
    /// Its rejected rows in committed groups.
    rejected: u32,
    /// Whether it is deleted, failed or released.
    is_settled: bool,
    /// The outcome of its failure, if it failed. Its other dates are computed all the same.
    failed: Option<Failed>,
}

/// The groups of one claim that are left, in the order of their keys.
pub struct ClaimedGroups<'c> {
    claim: &'c Claim,
    groups: BTreeMap<GroupKey, Vec<RowIndex>>,
    /// Groups of sets that may have ended a worker; processed after all others.
    isolated: BTreeMap<GroupKey, Vec<RowIndex>>,
    /// In the order of the claim's sets.
    progress: Vec<SetProgress>,
}

impl<'c> ClaimedGroups<'c> {
    /// Groups the claimed rows by user and local date.
    pub fn by_date(claim: &'c Claim, profiles: &Profiles) -> Self {
        let mut groups: BTreeMap<GroupKey, Vec<RowIndex>> = BTreeMap::new();
        for (index, set) in claim.sets.iter().enumerate() {
            let zone = profiles.zone_of(set);
            for (at, row) in set.rows.iter().enumerate() {
                let key = (set.user_id.clone(), group::date_of(zone, row));
                groups.entry(key).or_default().push((index, at));
            }
        }
        let mut this = Self {
            claim,
            groups,
            isolated: BTreeMap::new(),
            progress: vec![SetProgress::default(); claim.sets.len()],
        };
        for rows in this.groups.values() {
            for index in sets_in(rows) {
                this.progress[index].groups_left += 1;
            }
        }
        this
    }

    /// The number of groups.
    pub fn len(&self) -> usize {
        self.groups.len() + self.isolated.len()
    }

    /// The first group that is left, other than `in_flight`. An isolated group comes only when all others have
    /// ended.
    pub fn next(&self, in_flight: Option<&GroupKey>) -> Option<GroupKey> {
        let groups = if self.groups.is_empty() { &self.isolated } else { &self.groups };
        groups.keys().find(|key| Some(*key) != in_flight).cloned()
    }

    /// Whether a group has rows left.
    pub fn contains(&self, key: &GroupKey) -> bool {
        !self.rows(key).is_empty()
    }

    fn rows(&self, key: &GroupKey) -> &[RowIndex] {
        self.groups.get(key).or_else(|| self.isolated.get(key)).map_or(&[], Vec::as_slice)
    }

    /// The rows of a group.
    pub fn entries(&self, key: &GroupKey) -> Vec<Entry<'c>> {
        let sets = &self.claim.sets;
        self.rows(key)
            .iter()
            .map(|&(set, at)| Entry::new(&sets[set], &sets[set].rows[at]))
            .collect()
    }

    /// The sets that a group holds. It deletes those of which all other groups are committed.
    pub fn sets_of(&self, key: &GroupKey) -> Vec<SetOfGroup<'c>> {
        let of = |index: usize| SetOfGroup {
            set: &self.claim.sets[index],
            dates_done: self.progress[index].groups_done,
            is_last: self.progress[index].groups_left == 1,
        };
        self.held_by(key).into_iter().map(of).collect()
    }

    /// The indices of the sets in a group that are neither deleted, failed nor released.
    pub fn held_by(&self, key: &GroupKey) -> BTreeSet<usize> {
        let sets = sets_in(self.rows(key)).into_iter();
        sets.filter(|index| !self.progress[*index].is_settled).collect()
    }

    /// The sets that are neither deleted, failed nor released.
    pub fn unsettled(&self) -> Vec<&'c ChangeSet> {
        let sets = self.claim.sets.iter().zip(&self.progress);
        sets.filter(|(_, progress)| !progress.is_settled).map(|(set, _)| set).collect()
    }

    /// Records the commit of a group. Returns its rows, and the rows of the sets that it was the last group of.
    pub fn commit(&mut self, key: &GroupKey, verdicts: &[Verdict]) -> (Completed, Completed) {
        let rows = self.remove(key);
        let rejected: BTreeSet<i64> =
            verdicts.iter().filter(|v| v.reason.is_some()).map(|v| v.raw_id).collect();
        let mut group = Completed { rows: rows.len() as u32, rejected: 0 };
        for &(set, at) in &rows {
            if rejected.contains(&self.claim.sets[set].rows[at].raw_id) {
                self.progress[set].rejected += 1;
                group.rejected += 1;
            }
        }
        let mut finished = Completed::default();
        for index in sets_in(&rows) {
            let set = &mut self.progress[index];
            if set.is_settled {
                continue;
            }
            set.groups_left -= 1;
            set.groups_done += 1;
            if set.groups_left == 0 {
                set.is_settled = true;
                finished.rows += self.claim.sets[index].rows.len() as u32 - set.rejected;
                finished.rejected += set.rejected;
            }
        }
        (group, finished)
    }

    fn remove(&mut self, key: &GroupKey) -> Vec<RowIndex> {
        self.groups.remove(key).or_else(|| self.isolated.remove(key)).unwrap_or_default()
    }

    /// Takes a group out, as its transaction failed and `failed` was recorded for the sets that it held. If it held
    /// none, other dates of its sets failed before it in this batch. Returns its outcome, and the rows of its sets.
    pub fn fail(&mut self, key: &GroupKey, failed: Option<Failed>) -> (Failed, u32) {
        let sets = sets_in(&self.remove(key));
        let before = sets.iter().find_map(|index| self.progress[*index].failed);
        let failed = failed.or(before).unwrap_or_default();
        for index in &sets {
            self.progress[*index].is_settled = true;
            self.progress[*index].failed.get_or_insert(failed);
        }
        (failed, sets.iter().map(|index| self.claim.sets[*index].rows.len() as u32).sum())
    }

    /// Takes a group out whose sets were released, and their rows out of all other groups.
    pub fn release(&mut self, key: &GroupKey) {
        let held = self.held_by(key);
        self.remove(key);
        self.settle(&held);
    }

    /// The sets of these indices.
    pub fn sets_at(&self, indices: &BTreeSet<usize>) -> Vec<&'c ChangeSet> {
        indices.iter().map(|index| &self.claim.sets[*index]).collect()
    }

    /// Takes sets that were given up or released out of all groups. Returns the rows that each group loses.
    pub fn settle(&mut self, indices: &BTreeSet<usize>) -> Vec<(GroupKey, u32)> {
        for index in indices {
            self.progress[*index].is_settled = true;
        }
        let mut lost = Vec::new();
        for groups in [&mut self.groups, &mut self.isolated] {
            groups.retain(|key, rows| {
                let before = rows.len();
                rows.retain(|(set, _)| !indices.contains(set));
                if rows.len() < before {
                    lost.push((key.clone(), (before - rows.len()) as u32));
                }
                !rows.is_empty()
            });
        }
        lost
    }

    /// The dates of each set.
    pub fn dates_of_sets(&self) -> Vec<BTreeSet<GroupKey>> {
        let mut dates = vec![BTreeSet::new(); self.progress.len()];
        for (key, rows) in &self.groups {
            for index in sets_in(rows) {
                dates[index].insert(key.clone());
            }
        }
        dates
    }

    /// Moves the rows of these sets to groups behind all others.
    pub fn isolate(&mut self, indices: &BTreeSet<usize>) {
        for (key, rows) in std::mem::take(&mut self.groups) {
            let (alone, others): (Vec<RowIndex>, Vec<RowIndex>) =
                rows.into_iter().partition(|(set, _)| indices.contains(set));
            for (rows, groups) in [(alone, &mut self.isolated), (others, &mut self.groups)] {
                if !rows.is_empty() {
                    groups.insert(key.clone(), rows);
                }
            }
        }
    }
}

/// The sets that have rows in a group, each once. The rows of a group are in the order of the claim.
fn sets_in(rows: &[RowIndex]) -> Vec<usize> {
    let mut sets: Vec<usize> = rows.iter().map(|(set, _)| *set).collect();
    sets.dedup();
    sets
}

/// The raw rows of sets.
pub fn row_count(sets: &[&ChangeSet]) -> u32 {
    sets.iter().map(|set| set.rows.len() as u32).sum()
}
