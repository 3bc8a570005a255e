//! Computes a group of vitals repeatedly, without a database, for a profiler. A group has 200 heart
//! rates of one day, as in a batch. The first argument is the number of repetitions:
//! `valgrind --tool=callgrind target/release/examples/group 101`. With a second argument each row
//! names its zone.

use std::collections::BTreeMap;
use std::error::Error;

use aggregation::catalogue::Catalogue;
use aggregation::timestamp::{DAY_US, MINUTE_US};
use aggregation::vitals::scope::scope;
use aggregation::vitals::{Change, Context, Outcome, RawVital, Snapshot, judge, recompute};
use aggregation::zones::{BaseZone, Zones};
use aggregation::{SharedStr, Timestamp};

const METRIC: &str = "heart_rate";
const ZONE: &str = "Europe/Berlin";

/// 2024-05-01 00:00 UTC.
const FIRST_DAY: Timestamp = Timestamp(1_714_521_600_000_000);

/// The interval between rows: 200 of them fill a day.
const STEP_US: i64 = 7 * MINUTE_US;

fn main() -> Result<(), Box<dyn Error>> {
    let times: i64 = std::env::args().nth(1).ok_or("how many times?")?.parse()?;
    let own_zone = std::env::args().nth(2).map(|_| SharedStr::from(ZONE));
    let catalogue = Catalogue::built_in()?;
    let base_zone: BaseZone = ZONE.parse();
    let context = Context { catalogue: &catalogue, base_zone: &base_zone, source_order: &[] };
    let (unit, source) = (SharedStr::from("bpm"), SharedStr::from("Watch"));
    let mut rejected = 0;
    for time in 0..times {
        let at = |row: i64| FIRST_DAY.plus(time % 300 * DAY_US + row * STEP_US);
        let rows: Vec<RawVital> = (0..200)
            .map(|row| RawVital {
                id: row,
                value: 60.0 + (row % 37) as f64,
                comparator: None,
                unit: unit.clone(),
                source: source.clone(),
                started_at: at(row),
                ended_at: at(row),
                time_zone: own_zone.clone(),
                is_daily_total: false,
                workout_type: None,
            })
            .collect();
        let change = |row: &RawVital| Change {
            metric: METRIC.to_owned(),
            starts_at: row.started_at,
            ends_at: row.ended_at,
            time_zone: row.time_zone.as_deref().map(str::to_owned),
            whole_day: false,
        };
        let changes: Vec<Change> = rows.iter().map(change).collect();
        let mut wanted = scope(&changes, &catalogue, &base_zone);
        let snapshot = Snapshot { rows, ..Snapshot::default() };
        let snapshots = BTreeMap::from([(METRIC.to_owned(), snapshot)]);
        while let Outcome::Widen(wider) = recompute(&context, &wanted, &snapshots)? {
            wanted = wider;
        }
        let mut zones = Zones::new(&base_zone);
        let judged = snapshots[METRIC]
            .rows
            .iter()
            .map(|row| judge(row, catalogue.metric(METRIC), &mut zones));
        rejected += judged.filter(Result::is_err).count();
    }
    if rejected > 0 {
        return Err("no row should be rejected".into());
    }
    Ok(())
}
