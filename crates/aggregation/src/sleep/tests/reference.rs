//! The figures of several sources, computed a second time by counting quarters of an hour.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::sleep::Stage::*;
use crate::timestamp::MINUTE_US;

const QUARTER_US: i64 = 15 * MINUTE_US;
/// Less than four days, so that no session is cut and no contest is too long.
const QUARTERS: i64 = 4 * 96 - 1;
const EPOCH: &str = "2024-03-04 00:00";

/// Source, stage, first quarter, and number of quarters.
type Row = (&'static str, Stage, i64, i64);

/// One session: the states of each of its quarters.
struct Recording {
    source: &'static str,
    quarters: BTreeMap<i64, BTreeSet<Stage>>,
}

impl Recording {
    fn first(&self) -> i64 {
        *self.quarters.keys().next().unwrap()
    }

    fn last(&self) -> i64 {
        *self.quarters.keys().last().unwrap()
    }

    fn has(&self, any: &[Stage]) -> bool {
        self.quarters.values().flatten().any(|stage| any.contains(stage))
    }

    fn knows_sleep(&self) -> bool {
        self.has(&[Asleep, Core, Deep, Rem])
    }

    /// Quarters in a state: the first in this list.
    fn count(&self, wanted: Stage) -> usize {
        let order = [Awake, Deep, Rem, Core, Asleep, InBed];
        let state = |stages: &BTreeSet<Stage>| order.into_iter().find(|one| stages.contains(one));
        self.quarters.values().filter(|stages| state(stages) == Some(wanted)).count()
    }

    fn asleep(&self) -> usize {
        [Asleep, Core, Deep, Rem].into_iter().map(|stage| self.count(stage)).sum()
    }

    fn in_bed(&self) -> Option<usize> {
        if self.has(&[InBed]) {
            let is_in =
                |stages: &BTreeSet<Stage>| stages.contains(&InBed) || !stages.contains(&Awake);
            Some(self.quarters.values().filter(|stages| is_in(stages)).count())
        } else {
            self.knows_sleep().then(|| (self.last() - self.first() + 1) as usize)
        }
    }

    fn is_rival(&self, other: &Self) -> bool {
        // A gap of two hours has eight quarters.
        self.source != other.source
            && self.first() - other.last() <= 9
            && other.first() - self.last() <= 9
    }

    fn represents(&self, all: &[Self]) -> bool {
        let is_measure = |one: &&Self| one.knows_sleep() || one.quarters.len() <= 48;
        let mut rivals = all.iter().filter(|one| one.is_rival(self)).filter(is_measure);
        self.knows_sleep() && rivals.all(|one| one.quarters.len() <= 2 * self.quarters.len())
    }

    fn is_better(&self, other: &Self, all: &[Self], order: &[String]) -> bool {
        let rank = |one: &Self| order.iter().position(|of| *of == one.source).unwrap_or(99);
        let is_staged = |one: &Self| one.has(&[Core, Deep, Rem]);
        let (own, others) = (self.represents(all), other.represents(all));
        if own != others {
            return own;
        }
        let (covered, of_other) = (self.quarters.len(), other.quarters.len());
        if !own && covered != of_other {
            return covered > of_other;
        }
        if rank(self) != rank(other) {
            return rank(self) < rank(other);
        }
        if is_staged(self) != is_staged(other) {
            return is_staged(self);
        }
        let asleep = |one: &Self| one.knows_sleep().then(|| one.asleep());
        if asleep(self) != asleep(other) {
            return asleep(self) > asleep(other);
        }
        if covered != of_other {
            return covered > of_other;
        }
        self.source < other.source
    }

    fn counts(&self, all: &[Self], order: &[String]) -> bool {
        let mut rivals = all.iter().filter(|one| one.is_rival(self));
        !rivals.any(|one| one.is_better(self, all, order) && one.counts(all, order))
    }
}

fn recordings(rows: &[Row]) -> Vec<Recording> {
    let mut recordings = Vec::new();
    for source in ["a", "b", "c"] {
        let mut open: Option<Recording> = None;
        for quarter in 0..QUARTERS {
            let covers = |(of, _, first, length): &&Row| {
                *of == source && (*first..first + length).contains(&quarter)
            };
            let stages: BTreeSet<_> = rows.iter().filter(covers).map(|row| row.1).collect();
            if stages.is_empty() {
                continue;
            }
            if open.as_ref().is_some_and(|open| quarter - open.last() > 9) {
                recordings.extend(open.take());
            }
            let quarters = BTreeMap::new();
            let open = open.get_or_insert(Recording { source, quarters });
            open.quarters.insert(quarter, stages);
        }
        recordings.extend(open);
    }
    recordings
}

/// Minutes asleep, deep, REM, core, unspecified, awake, in bed; naps; first quarter of the main session.
type Figures = ([Option<f64>; 7], usize, Option<i64>);

fn expected(rows: &[Row], order: &[String]) -> BTreeMap<String, Figures> {
    let all = recordings(rows);
    let mut days: BTreeMap<i64, Vec<&Recording>> = BTreeMap::new();
    for recording in all.iter().filter(|one| one.counts(&all, order)) {
        days.entry((recording.last() + 1) / 96).or_default().push(recording);
    }
    let figures = days.into_iter().map(|(day, sessions)| {
        let sum = |minutes: &dyn Fn(&Recording) -> Option<usize>| {
            let known: Vec<_> = sessions.iter().filter_map(|one| minutes(one)).collect();
            (!known.is_empty()).then(|| known.iter().sum::<usize>() as f64 * 15.0)
        };
        let staged =
            |stage| move |one: &Recording| one.has(&[Core, Deep, Rem]).then(|| one.count(stage));
        let of_sleep = |one: &Recording, count: usize| one.knows_sleep().then_some(count);
        let minutes = [
            sum(&|one| of_sleep(one, one.asleep())),
            sum(&staged(Deep)),
            sum(&staged(Rem)),
            sum(&staged(Core)),
            sum(&|one| of_sleep(one, one.count(Asleep))),
            sum(&|one| one.has(&[Awake, Core, Deep, Rem]).then(|| one.count(Awake))),
            sum(&Recording::in_bed),
        ];
        let mut with_sleep: Vec<_> = sessions.iter().filter(|one| one.asleep() > 0).collect();
        with_sleep.sort_by_key(|one| (one.asleep(), one.in_bed(), -one.first()));
        let main = with_sleep.last().map(|one| one.first());
        let date = at(EPOCH).plus(day * DAY_US).to_utc().date_naive().to_string();
        (date, (minutes, with_sleep.len().saturating_sub(1), main))
    });
    figures.collect()
}

fn any_row() -> impl Strategy<Value = Row> {
    let source = prop::sample::select(&["a", "b", "c"]);
    // Some rows are in nights of eight hours, the others at any time.
    let first = prop_oneof![3 => (0..3i64, 84..100i64).prop_map(|(day, at)| day * 96 + at), 1 => 0..QUARTERS];
    let length = prop_oneof![4 => 1..8i64, 3 => 16..36i64, 1 => 36..60i64];
    (source, prop::sample::select(&Stage::ALL), first, length).prop_map(
        |(source, stage, first, length)| (source, stage, first, length.min(QUARTERS - first)),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn several_sources_agree_with_a_plain_count_of_quarters(
        rows in prop::collection::vec(any_row(), 1..14),
        order in prop_oneof![
            Just(&[][..]), Just(&["a"][..]), Just(&["b", "a", "c"][..]), Just(&["c", "b"][..]),
        ],
    ) {
        let world = World::new("UTC", order);
        let raw: Vec<_> = rows.iter().zip(1..).map(|((source, stage, first, length), id)| {
            let started_at = at(EPOCH).plus(first * QUARTER_US);
            let ended_at = started_at.plus(length * QUARTER_US);
            let template = row(source, EPOCH, EPOCH);
            (*stage, RawVital { id, started_at, ended_at, ..template })
        }).collect();
        let days = world.days(&super::rows(&raw)).into_iter().map(|(date, day)| {
            let minutes = [
                day.asleep_minutes, day.deep_minutes, day.rem_minutes, day.core_minutes,
                day.unspecified_minutes, day.awake_minutes, day.in_bed_minutes,
            ];
            let main = day.main_start.map(|main| main.since(at(EPOCH)) / QUARTER_US);
            (date, (minutes, day.nap_count as usize, main))
        });
        prop_assert_eq!(days.collect::<BTreeMap<_, _>>(), expected(&rows, &world.source_order));
    }
}
