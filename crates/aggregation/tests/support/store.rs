//! A store in memory that processes changed rows as the worker does with PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use aggregation::Timestamp;
use aggregation::catalogue::AggregationStyle;
use aggregation::raw::LONGEST_INTERVAL_US;
use aggregation::raw::Span;
use aggregation::vitals::scope::{FARTHEST_DAILY_TOTAL_US, MetricScope, scope};
use aggregation::vitals::{
    Change, DayFigures, Outcome, RawVital, Recomputed, Scope, Snapshot, recompute,
};
use chrono::NaiveDate;

use crate::support::rows::{Figures, World, dates_concerned};

/// A raw row with its metric.
pub(crate) type Row = (String, RawVital);

pub(crate) struct Store {
    pub(crate) world: World,
    rows: BTreeMap<i64, Row>,
    figures: BTreeMap<String, Figures>,
    fingerprints: BTreeMap<(String, NaiveDate), i64>,
    /// Changes that are not in the figures yet.
    pub(crate) queue: Vec<Change>,
    last_id: i64,
    /// The maximum number of rounds of reading that a batch needed.
    pub(crate) most_rounds: usize,
}

impl Store {
    pub(crate) fn new(world: World) -> Self {
        Self {
            world,
            rows: BTreeMap::new(),
            figures: BTreeMap::new(),
            fingerprints: BTreeMap::new(),
            queue: Vec::new(),
            last_id: 0,
            most_rounds: 0,
        }
    }

    pub(crate) fn ids(&self) -> Vec<i64> {
        self.rows.keys().copied().collect()
    }

    pub(crate) fn row(&self, id: i64) -> Option<&Row> {
        self.rows.get(&id)
    }

    pub(crate) fn rows_of(&self, metric: &str) -> Vec<RawVital> {
        self.rows.values().filter(|(of, _)| of == metric).map(|(_, row)| row.clone()).collect()
    }

    /// The days that have figures.
    pub(crate) fn dates(&self, metric: &str) -> Vec<String> {
        let figures = self.figures.get(metric);
        figures
            .into_iter()
            .flat_map(|figures| figures.days.keys())
            .map(ToString::to_string)
            .collect()
    }

    pub(crate) fn day(&self, metric: &str, day: &str) -> &DayFigures {
        self.figures[metric].day(day)
    }

    pub(crate) fn insert(&mut self, (metric, mut vital): Row) -> i64 {
        self.last_id += 1;
        vital.id = self.last_id;
        self.queue.push(change(&metric, &vital));
        self.rows.insert(self.last_id, (metric, vital));
        self.last_id
    }

    pub(crate) fn update(&mut self, id: i64, (metric, mut vital): Row) {
        vital.id = id;
        let (old, new) = (self.rows.get(&id).unwrap(), change(&metric, &vital));
        let old = change(&old.0, &old.1);
        if old != new {
            self.queue.push(old);
        }
        self.queue.push(new);
        self.rows.insert(id, (metric, vital));
    }

    pub(crate) fn delete(&mut self, id: i64) {
        let (metric, vital) = self.rows.remove(&id).unwrap();
        self.queue.push(change(&metric, &vital));
    }

    /// Queues rows as if they were written again, as few as touch each day.
    pub(crate) fn touch_each_day(&mut self) {
        let mut touched = BTreeSet::new();
        for (metric, row) in self.rows.values() {
            let change = change(metric, row);
            let of_change = std::slice::from_ref(&change);
            let scope = scope(of_change, &self.world.catalogue, &self.world.base_zone);
            let dates = scope.into_values().flat_map(|of_metric| of_metric.dates);
            let before = touched.len();
            touched.extend(dates.map(|date| (metric.clone(), date)));
            if touched.len() > before {
                self.queue.push(change);
            }
        }
    }

    /// Processes the changes at these positions of the queue.
    pub(crate) fn process(&mut self, places: &BTreeSet<usize>) {
        let mut changes = Vec::new();
        for place in places.iter().rev() {
            changes.push(self.queue.swap_remove(*place));
        }
        let scope = scope(&changes, &self.world.catalogue, &self.world.base_zone);
        self.recompute(scope);
    }

    /// Processes every change, `size` of them at a time, the latest first.
    pub(crate) fn process_all(&mut self, size: usize) {
        while !self.queue.is_empty() {
            let length = self.queue.len();
            self.process(&(length.saturating_sub(size)..length).collect());
        }
    }

    /// Recomputes all days, as a backfill does.
    pub(crate) fn backfill(&mut self) {
        let mut scope = Scope::new();
        for (metric, vital) in self.rows.values() {
            let dates = dates_concerned(std::slice::from_ref(vital));
            scope.entry(metric.clone()).or_default().whole_dates.extend(dates);
        }
        for (metric, date) in self.fingerprints.keys() {
            scope.entry(metric.clone()).or_default().whole_dates.insert(*date);
        }
        for of_metric in scope.values_mut() {
            of_metric.dates = of_metric.whole_dates.clone();
        }
        self.recompute(scope);
    }

    /// Checks that the stored figures equal those computed from scratch, to the last bit.
    pub(crate) fn check(&self) {
        let metrics: BTreeSet<&String> =
            self.figures.keys().chain(self.rows.values().map(|(metric, _)| metric)).collect();
        for metric in metrics {
            let stored = self.figures.get(metric).cloned().unwrap_or_default();
            let fresh = self.world.figures(metric, &self.rows_of(metric));
            assert_same(&stored.hours, &fresh.hours, metric);
            assert_same(&stored.days, &fresh.days, metric);
            // `==` treats −0 and 0 as equal; their printed forms differ.
            assert_eq!(format!("{stored:?}"), format!("{fresh:?}"));
        }
    }

    fn recompute(&mut self, mut scope: Scope) {
        for round in 1.. {
            let snapshots = scope
                .iter()
                .map(|(metric, of_metric)| (metric.clone(), self.read(metric, of_metric)))
                .collect();
            match recompute(&self.world.context(), &scope, &snapshots).unwrap() {
                Outcome::Complete(metrics) => {
                    self.most_rounds = self.most_rounds.max(round);
                    for (metric, recomputed) in metrics {
                        self.apply(&metric, recomputed);
                    }
                    return;
                }
                Outcome::Widen(wider) => {
                    assert!(round < 10, "does not converge: {scope:?} {wider:?}");
                    scope = wider;
                }
            }
        }
    }

    /// Reads the rows that the worker reads by SQL.
    fn read(&self, metric: &str, scope: &MetricScope) -> Snapshot {
        let style = self.world.catalogue.metric(metric).map(|metric| metric.aggregation_style);
        let spans = scope.spans_to_read();
        let starts_near = |row: &RawVital, before: i64, after: i64| {
            let within = |(from, to): &Span| from.plus(-before)..to.plus(after);
            spans.iter().any(|span| within(span).contains(&row.started_at))
        };
        let reaches = |row: &RawVital| {
            let into = |(from, to): &Span| {
                let starts = from.plus(-LONGEST_INTERVAL_US)..*to;
                starts.contains(&row.started_at) && row.ended_at >= *from
            };
            spans.iter().any(into)
        };
        let rows = self.rows_of(metric);
        // A row that is one sample with a daily total may be the newest of them.
        let sample = |row: &RawVital| (row.started_at, row.ended_at);
        let totals: BTreeSet<_> = rows
            .iter()
            .filter(|row| row.is_daily_total)
            .filter(|row| starts_near(row, FARTHEST_DAILY_TOTAL_US, FARTHEST_DAILY_TOTAL_US))
            .map(sample)
            .collect();
        let wanted = |row: &&RawVital| {
            starts_near(row, 0, 0)
                || style == Some(AggregationStyle::Cumulative)
                    && (reaches(row) || totals.contains(&sample(row)))
        };
        let empty = Figures::default();
        let stored = self.figures.get(metric).unwrap_or(&empty);
        let hours = stored.hours.iter().filter(|(key, _)| scope.dates.contains(&key.date));
        let days = self.fingerprints.iter();
        Snapshot {
            rows: rows.iter().filter(wanted).cloned().collect(),
            hours: hours.map(|(key, figures)| (*key, figures.clone())).collect(),
            days: days
                .filter(|((of, date), _)| of == metric && scope.dates.contains(date))
                .map(|((_, date), fingerprint)| (*date, *fingerprint))
                .collect(),
        }
    }

    fn apply(&mut self, metric: &str, recomputed: Recomputed) {
        let stored = self.figures.entry(metric.to_owned()).or_default();
        stored.hours.extend(recomputed.changed_hours);
        for hour in recomputed.vanished_hours {
            stored.hours.remove(&hour);
        }
        for (date, figures) in recomputed.days {
            let day = (metric.to_owned(), date);
            match figures {
                Some(figures) => {
                    stored.days.insert(date, figures);
                    self.fingerprints.insert(day, recomputed.fingerprint);
                }
                None => {
                    stored.days.remove(&date);
                    self.fingerprints.remove(&day);
                }
            }
        }
    }
}

/// Names the figures that differ, instead of printing all of them.
fn assert_same<K: Copy + Debug + Ord, V: Debug + PartialEq>(
    stored: &BTreeMap<K, V>,
    fresh: &BTreeMap<K, V>,
    metric: &str,
) {
    let keys: BTreeSet<&K> = stored.keys().chain(fresh.keys()).collect();
    for key in keys {
        assert_eq!(stored.get(key), fresh.get(key), "{metric} {key:?}: stored, from scratch");
    }
}

/// The change that the triggers write into the queue.
fn change(metric: &str, row: &RawVital) -> Change {
    let datable = |instant: Timestamp| instant.clamp(Timestamp::MIN, Timestamp::MAX);
    let (start, end) = (datable(row.started_at), datable(row.ended_at));
    let is_finite = row.started_at.0 != i64::MIN && row.started_at.0 != i64::MAX;
    let is_interval = row.ended_at >= row.started_at && end.since(start) <= LONGEST_INTERVAL_US;
    Change {
        metric: metric.to_owned(),
        starts_at: start,
        ends_at: if is_finite && is_interval { end } else { start },
        time_zone: row.time_zone.as_deref().map(str::to_owned),
        whole_day: row.is_daily_total,
    }
}
