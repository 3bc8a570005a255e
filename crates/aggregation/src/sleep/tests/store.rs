//! A store in memory that processes changed rows as the worker does with PostgreSQL.

use std::collections::BTreeSet;

use super::*;
use crate::raw::{Change, LONGEST_INTERVAL_US};

/// The maximum number of rounds of reading of a batch.
const MOST_ROUNDS: usize = 8;

#[derive(Debug)]
pub(super) struct Store {
    pub(super) world: World,
    rows: BTreeMap<i64, (Stage, RawVital)>,
    days: BTreeMap<NaiveDate, (SleepDay, i64)>,
    /// Changes that are not in the figures yet.
    pub(super) queue: Vec<Change>,
    last_id: i64,
    /// The longest span that was read for a batch, and the number of rounds of the last one.
    pub(super) longest_read: i64,
    pub(super) rounds: usize,
}

impl Store {
    pub(super) fn new(world: World) -> Self {
        Self {
            world,
            rows: BTreeMap::new(),
            days: BTreeMap::new(),
            queue: Vec::new(),
            last_id: 0,
            longest_read: 0,
            rounds: 0,
        }
    }

    pub(super) fn ids(&self) -> Vec<i64> {
        self.rows.keys().copied().collect()
    }

    pub(super) fn row(&self, id: i64) -> (Stage, RawVital) {
        self.rows[&id].clone()
    }

    /// The days that have figures.
    pub(super) fn dates(&self) -> Vec<String> {
        self.days.keys().map(ToString::to_string).collect()
    }

    pub(super) fn insert(&mut self, stage: Stage, row: RawVital) -> i64 {
        self.last_id += 1;
        self.queue.push(change(stage, &row));
        self.rows.insert(self.last_id, (stage, RawVital { id: self.last_id, ..row }));
        self.last_id
    }

    pub(super) fn update(&mut self, id: i64, stage: Stage, row: RawVital) {
        let (former_stage, former) = &self.rows[&id];
        self.queue.push(change(*former_stage, former));
        self.queue.push(change(stage, &row));
        self.rows.insert(id, (stage, RawVital { id, ..row }));
    }

    pub(super) fn delete(&mut self, id: i64) {
        let (stage, row) = self.rows.remove(&id).unwrap();
        self.queue.push(change(stage, &row));
    }

    /// Queues every row as if it were written again.
    pub(super) fn touch_all(&mut self) {
        self.queue.extend(self.rows.values().map(|(stage, row)| change(*stage, row)));
    }

    /// Processes every change, `size` of them at a time, the latest first.
    pub(super) fn process_all(&mut self, size: usize) {
        while !self.queue.is_empty() {
            let places = self.queue.len().saturating_sub(size)..self.queue.len();
            self.process(&places.collect());
        }
    }

    /// Processes the changes at these positions of the queue.
    pub(super) fn process(&mut self, places: &BTreeSet<usize>) {
        let mut changes = Vec::new();
        for place in places.iter().rev() {
            changes.push(self.queue.swap_remove(*place));
        }
        self.recompute(scope(&changes, &self.world.catalogue, &self.world.base_zone));
    }

    /// Recomputes all days, as a backfill does.
    pub(super) fn backfill(&mut self) {
        let fresh = figures(&self.world.context(), &self.all_rows());
        let dates = fresh.into_keys().chain(self.days.keys().copied()).collect();
        self.recompute(SleepScope::of_dates(dates));
    }

    /// Recomputes one day alone.
    pub(super) fn backfill_of(&mut self, date: &str) {
        self.recompute(SleepScope::of_dates(BTreeSet::from([date.parse().unwrap()])));
    }

    /// Checks that the stored days equal those computed from scratch, to the last bit.
    pub(super) fn check(&self) {
        let fresh = figures(&self.world.context(), &self.all_rows());
        let dates: BTreeSet<_> = self.days.keys().chain(fresh.keys()).collect();
        for date in dates {
            let stored = self.days.get(date).map(|(day, _)| day);
            assert_eq!(stored, fresh.get(date), "{date}: stored, from scratch");
        }
    }

    pub(super) fn all_rows(&self) -> Rows {
        self.rows_where(|_| true)
    }

    fn recompute(&mut self, mut scope: SleepScope) {
        for round in 1.. {
            assert!(round <= MOST_ROUNDS, "does not settle: {scope:?}");
            let snapshot = self.read(&scope);
            match recompute(&self.world.context(), &scope, &snapshot) {
                Outcome::Complete(recomputed) => {
                    self.rounds = round;
                    return self.write(recomputed);
                }
                Outcome::Widen(wider) => scope = wider,
            }
        }
    }

    /// Reads the rows that the worker reads by SQL.
    fn read(&mut self, scope: &SleepScope) -> Snapshot {
        let spans = scope.spans_to_read();
        let lengths = spans.iter().map(|(from, to)| to.since(*from));
        self.longest_read = self.longest_read.max(lengths.sum());
        let stored = scope.stored_dates();
        let days = self.days.iter().filter(|(date, _)| stored.contains(date));
        Snapshot {
            rows: self.rows_where(|row| {
                spans.iter().any(|(from, to)| {
                    (from.plus(-LONGEST_INTERVAL_US)..*to).contains(&row.started_at)
                        && (row.ended_at >= *from || row.started_at >= *from)
                })
            }),
            days: days
                .map(|(date, (day, fingerprint))| {
                    (*date, StoredDay { reach: day.reach, fingerprint: *fingerprint })
                })
                .collect(),
        }
    }

    fn write(&mut self, recomputed: Recomputed) {
        for (date, day) in recomputed.days {
            match day {
                Some(day) => self.days.insert(date, (day, recomputed.fingerprint)),
                None => self.days.remove(&date),
            };
        }
    }

    fn rows_where(&self, wanted: impl Fn(&RawVital) -> bool) -> Rows {
        let wanted: Vec<_> = self.rows.values().filter(|(_, row)| wanted(row)).cloned().collect();
        rows(&wanted)
    }
}

/// The change that the triggers write into the queue.
pub(super) fn change(stage: Stage, row: &RawVital) -> Change {
    let datable = |instant: Timestamp| instant.clamp(Timestamp::MIN, Timestamp::MAX);
    let (start, end) = (datable(row.started_at), datable(row.ended_at));
    let is_finite = row.started_at.0 != i64::MIN && row.started_at.0 != i64::MAX;
    let is_interval = row.ended_at >= row.started_at && end.since(start) <= LONGEST_INTERVAL_US;
    Change {
        metric: stage.metric().to_owned(),
        starts_at: start,
        ends_at: if is_finite && is_interval { end } else { start },
        time_zone: row.time_zone.as_deref().map(str::to_owned),
        whole_day: row.is_daily_total,
    }
}
