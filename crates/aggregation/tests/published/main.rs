//! Tests every published formula: by the worked example of its source, or against arithmetic of
//! another kind than the product's.
//!
//! | formula | source | here, or where else |
//! |---|---|---|
//! | mean, sample SD, CV | NIST StRD, certified values | [`spread`] |
//! | percentiles of type 7 | Hyndman & Fan 1996; Microsoft's example | [`spread`]; in a property, `src/vitals/percentiles.rs` |
//! | GMI, eA1c, J-index, GRI, times in range | Bergenstal 2018, Nathan 2008, Wójcicki 1995, Klonoff 2022, Battelino 2019 | [`glucose`] |
//! | glucose mmol/L → mg/dL | the molar mass of C6H12O6 | [`glucose`] |
//! | categories, MAP | ACC/AHA 2017 | [`blood_pressure`] |
//! | HbA1c NGSP from IFCC | the master equation, Hoelzel 2004 | [`laboratory`] |
//! | conventional ↔ SI | molar masses by IUPAC's atomic weights | [`laboratory`] |
//! | energy by macronutrients | Atwater; the FDA's sample label | [`body`] |
//! | sleep efficiency | AASM | [`body`] |
//! | several sources of steps | AOSP, `PriorityRecordsAggregator` | `vitals_hours.rs`: watch and phone, and in a property against a count of cells |

#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests")]

mod blood_pressure;
mod body;
mod exact;
mod glucose;
mod laboratory;
mod spread;
#[path = "../support/mod.rs"]
mod support;

use aggregation::Timestamp;
use aggregation::timestamp::MINUTE_US;
use aggregation::vitals::RawVital;
use support::rows::at;

const DAY: &str = "2024-05-01";
const START: &str = "2024-05-01T00:00:00Z";

/// Samples of one day in UTC, one each minute.
fn each_minute(unit: &str, values: &[f64]) -> Vec<RawVital> {
    let sample = |(minute, value): (i64, &f64)| RawVital {
        id: minute,
        value: *value,
        comparator: None,
        unit: unit.into(),
        source: "sensor".into(),
        started_at: minute_of_day(minute),
        ended_at: minute_of_day(minute),
        time_zone: None,
        is_daily_total: false,
        workout_type: None,
    };
    (0..).zip(values).map(sample).collect()
}

fn minute_of_day(minute: i64) -> Timestamp {
    at(START).plus(minute * MINUTE_US)
}

/// Whether two figures agree to nine digits.
fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * other.abs()
}
