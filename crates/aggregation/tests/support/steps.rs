//! Generates difficult raw rows: few sources, few times, many zones, so that rows meet and displace
//! each other.

use std::collections::BTreeSet;

use aggregation::Timestamp;
use aggregation::timestamp::{HOUR_US, MINUTE_US, SECOND_US};
use aggregation::vitals::RawVital;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::store::{Row, Store};
use crate::support::rows::{World, at};

const ZONES: [&str; 9] = [
    "Asia/Kolkata",
    "Europe/Berlin",
    "Europe/Paris",
    "Pacific/Apia",
    "+05:30",
    "America/St_Johns",
    "Pacific/Pago_Pago",
    "Pacific/Kiritimati",
    "Mars/Phobos",
];

/// Nights on which clocks change, or a date is skipped.
const NIGHTS: [&str; 4] = [
    "2024-03-31T00:30:00Z",
    "2024-10-27T00:30:00Z",
    "2011-12-30T10:00:00Z",
    "2010-11-07T02:30:00Z",
];

/// There are few starts, so that rows meet, near each other, so that they overlap.
fn any_start() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => (-4i64..4).prop_map(|halves| halves * 30 * MINUTE_US),
        2 => (-40i64..40).prop_map(|hours| hours * HOUR_US),
        1 => select(vec![SECOND_US, -SECOND_US, 7 * MINUTE_US + SECOND_US, 1, i64::MIN, i64::MAX]),
    ]
}

fn any_length() -> impl Strategy<Value = i64> {
    select(vec![
        0,
        0,
        0,
        SECOND_US,
        10 * MINUTE_US,
        HOUR_US,
        90 * MINUTE_US,
        7 * HOUR_US,
        24 * HOUR_US,
        48 * HOUR_US,
        48 * HOUR_US + 1,
        -HOUR_US,
    ])
}

fn any_zone() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        2 => Just(None),
        3 => select(ZONES.map(|zone| Some(zone.to_owned())).to_vec()),
    ]
}

fn any_metric() -> impl Strategy<Value = String> {
    select(vec!["steps", "steps", "steps", "workouts", "heart_rate", "heart_rate", "mood"])
        .prop_map(str::to_owned)
}

fn any_unit() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => Just(""),
        1 => select(vec!["count", "/s", "Hz", "furlong"]),
    ]
    .prop_map(str::to_owned)
}

fn any_source() -> impl Strategy<Value = String> {
    select(vec!["watch", "phone", "phone", "ring"]).prop_map(str::to_owned)
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (20u32..300).prop_map(|tens| f64::from(tens) + 0.1),
        1 => select(vec![0.0, -0.0, 61.0, f64::NAN, f64::INFINITY, 1e9, -1.0]),
    ]
}

fn any_workout_type() -> impl Strategy<Value = Option<String>> {
    select(vec![
        None,
        Some("run".to_owned()),
        Some("Yoga".to_owned()),
        Some("Quidditch".to_owned()),
    ])
}

fn any_comparator() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        12 => Just(None),
        2 => Just(Some("<".to_owned())),
        1 => Just(Some("~".to_owned())),
    ]
}

fn any_row() -> impl Strategy<Value = Row> {
    (
        any_metric(),
        any_source(),
        any_unit(),
        (any_start(), any_length(), any_zone()),
        any_value(),
        any_comparator(),
        (prop::bool::weighted(0.2), any_workout_type()),
    )
        .prop_map(
            |(metric, source, unit, (start, length, zone), value, comparator, others)| {
                let (total, workout_type) = others;
                let row = RawVital {
                    id: 0,
                    value,
                    comparator: comparator.map(Into::into),
                    unit: unit.into(),
                    source: source.into(),
                    started_at: Timestamp(start),
                    ended_at: Timestamp(start).plus(length),
                    time_zone: zone.map(Into::into),
                    is_daily_total: total,
                    workout_type: workout_type.map(Into::into),
                };
                (metric, row)
            },
        )
}

/// One action of an app or of the worker.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Insert(Row),
    /// Sends a sample again as a new row, partly changed.
    Resend(Index, Correction),
    Correct(Index, Correction),
    Replace(Index, Row),
    Delete(Index),
    Process(Vec<Index>),
}

#[derive(Clone, Debug)]
pub(crate) enum Correction {
    Nothing,
    Metric(String),
    Source(String),
    Unit(String),
    Value(f64),
    Comparator(Option<String>),
    Zone(Option<String>),
    Total(bool),
    WorkoutType(Option<String>),
    Start(i64),
    Length(i64),
}

impl Correction {
    /// Times of corrections are relative to the night's instant, like those of new rows.
    fn apply(self, night: Timestamp, (mut metric, mut row): Row) -> Row {
        match self {
            Self::Nothing => {}
            Self::Metric(other) => metric = other,
            Self::Source(source) => row.source = source.into(),
            Self::Unit(unit) => row.unit = unit.into(),
            Self::Value(value) => row.value = value,
            Self::Comparator(comparator) => row.comparator = comparator.map(Into::into),
            Self::Zone(zone) => row.time_zone = zone.map(Into::into),
            Self::Total(total) => row.is_daily_total = total,
            Self::WorkoutType(of_type) => row.workout_type = of_type.map(Into::into),
            Self::Start(start) => {
                let length = row.ended_at.since(row.started_at);
                row.started_at = night.plus(start);
                row.ended_at = row.started_at.plus(length);
            }
            Self::Length(length) => row.ended_at = row.started_at.plus(length),
        }
        (metric, row)
    }
}

fn any_correction() -> impl Strategy<Value = Correction> {
    prop_oneof![
        1 => Just(Correction::Nothing),
        1 => any_metric().prop_map(Correction::Metric),
        1 => any_source().prop_map(Correction::Source),
        1 => any_unit().prop_map(Correction::Unit),
        2 => any_value().prop_map(Correction::Value),
        1 => any_comparator().prop_map(Correction::Comparator),
        3 => any_zone().prop_map(Correction::Zone),
        1 => any::<bool>().prop_map(Correction::Total),
        1 => any_workout_type().prop_map(Correction::WorkoutType),
        1 => any_start().prop_map(Correction::Start),
        1 => any_length().prop_map(Correction::Length),
    ]
}

pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any_row().prop_map(Step::Insert),
        2 => (any::<Index>(), any_correction()).prop_map(|(row, c)| Step::Resend(row, c)),
        3 => (any::<Index>(), any_correction()).prop_map(|(row, c)| Step::Correct(row, c)),
        1 => (any::<Index>(), any_row()).prop_map(|(row, new)| Step::Replace(row, new)),
        2 => any::<Index>().prop_map(Step::Delete),
        5 => prop::collection::vec(any::<Index>(), 1..5).prop_map(Step::Process),
    ]
}

pub(crate) fn any_night() -> impl Strategy<Value = Timestamp> {
    select(NIGHTS.to_vec()).prop_map(at)
}

pub(crate) fn any_world() -> impl Strategy<Value = World> {
    let zones = vec!["Europe/Berlin", "Asia/Kolkata", "Pacific/Apia", "Mars/Phobos"];
    let orders: Vec<&[&str]> =
        vec![&[], &["watch", "phone"], &["phone"], &["ring", "watch", "phone"]];
    (select(zones), select(orders)).prop_map(|(zone, order)| World::new(zone, order))
}

/// Moves a generated row from zero to the night, and gives a row without a unit that of its metric.
fn placed(night: Timestamp, (metric, mut row): Row) -> Row {
    row.started_at = night.plus(row.started_at.0);
    row.ended_at = night.plus(row.ended_at.0);
    (metric, row)
}

fn with_unit((metric, mut row): Row) -> Row {
    if row.unit.is_empty() {
        let units = [("steps", "steps"), ("workouts", "count")];
        let unit = units.iter().find(|(of, _)| *of == metric).map_or("bpm", |(_, unit)| unit);
        row.unit = unit.into();
    }
    (metric, row)
}

/// Takes one step, unless the store has no row for it.
pub(crate) fn take(store: &mut Store, night: Timestamp, step: Step) {
    let ids = store.ids();
    let pick = |index: Index| (!ids.is_empty()).then(|| *index.get(&ids));
    match step {
        Step::Insert(row) => {
            store.insert(with_unit(placed(night, row)));
        }
        Step::Resend(index, correction) => {
            if let Some(row) = pick(index).and_then(|id| store.row(id)).cloned() {
                store.insert(with_unit(correction.apply(night, row)));
            }
        }
        Step::Correct(index, correction) => {
            if let Some(id) = pick(index) {
                let row = store.row(id).unwrap().clone();
                store.update(id, with_unit(correction.apply(night, row)));
            }
        }
        Step::Replace(index, row) => {
            if let Some(id) = pick(index) {
                store.update(id, with_unit(placed(night, row)));
            }
        }
        Step::Delete(index) => {
            if let Some(id) = pick(index) {
                store.delete(id);
            }
        }
        Step::Process(places) => {
            if !store.queue.is_empty() {
                let length = store.queue.len();
                let places: BTreeSet<_> = places.iter().map(|place| place.index(length)).collect();
                store.process(&places);
            }
        }
    }
}
