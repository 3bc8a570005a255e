//! Raw rows of two or three sources around nights on which clocks change.

use aggregation::Timestamp;
use aggregation::timestamp::{HOUR_US, MINUTE_US};
use aggregation::vitals::RawVital;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::rows::at;

/// Intervals start and end on multiples of this, so that a simple reference can count cells.
const STEP_US: i64 = 5 * MINUTE_US;

/// Zones whose offsets are always multiples of five minutes.
fn any_zone() -> impl Strategy<Value = Option<String>> {
    let zones = [
        "Europe/Berlin",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Pacific/Honolulu",
        "+05:30",
    ];
    prop_oneof![3 => Just(None), 2 => select(zones.map(|zone| Some(zone.to_owned())).to_vec())]
}

pub(crate) fn any_night() -> impl Strategy<Value = Timestamp> {
    select(vec![
        at("2024-03-31T00:00:00Z"),
        at("2024-10-27T00:00:00Z"),
        at("2024-04-06T15:00:00Z"),
        at("2011-12-30T10:00:00Z"),
        at("2024-05-01T00:00:00Z"),
    ])
}

pub(crate) fn any_interval() -> impl Strategy<Value = RawVital> {
    let start = prop_oneof![-12i64..36, -300i64..300];
    let length = prop_oneof![2 => Just(0i64), 6 => 1i64..40, 1 => 200i64..577];
    (
        select(vec!["watch", "phone", "ring"]),
        start,
        length.prop_map(|cells| cells.min(576)),
        1u32..5000,
        any_zone(),
        prop::bool::weighted(0.12),
    )
        .prop_map(|(source, start, length, value, zone, total)| RawVital {
            id: 0,
            value: f64::from(value),
            comparator: None,
            unit: "steps".into(),
            source: source.into(),
            started_at: Timestamp(start * STEP_US),
            ended_at: Timestamp((start + length) * STEP_US),
            time_zone: zone.map(Into::into),
            is_daily_total: total,
            workout_type: None,
        })
}

/// Moves rows to the night, numbers them, and sends some again with another value.
pub(crate) fn placed(
    night: Timestamp,
    rows: Vec<RawVital>,
    again: &[(prop::sample::Index, u32)],
) -> Vec<RawVital> {
    let mut rows = rows;
    for (index, value) in again {
        let copy = RawVital { value: f64::from(*value), ..index.get(&rows).clone() };
        rows.push(copy);
    }
    for (id, row) in (1..).zip(&mut rows) {
        row.id = id;
        row.started_at = night.plus(row.started_at.0);
        row.ended_at = night.plus(row.ended_at.0);
    }
    rows
}

#[allow(dead_code, reason = "each of the tests uses its own part")]
pub(crate) fn any_beat() -> impl Strategy<Value = RawVital> {
    (
        select(vec!["watch", "strap"]),
        -40i64 * HOUR_US..40 * HOUR_US,
        prop_oneof![15.0f64..350.0, Just(61.0)],
        any_zone(),
        prop_oneof![9 => Just(None), 1 => select(vec![Some("<"), Some(">")])],
    )
        .prop_map(|(source, start, value, zone, comparator)| RawVital {
            id: 0,
            value,
            comparator: comparator.map(Into::into),
            unit: "bpm".into(),
            source: source.into(),
            started_at: Timestamp(start),
            ended_at: Timestamp(start),
            time_zone: zone.map(Into::into),
            is_daily_total: false,
            workout_type: None,
        })
}
