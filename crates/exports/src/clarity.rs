//! Dexcom Clarity: CSV.
//!
//! Rows of the type `EGV` are readings of the sensor. Their times are those of the display device,
//! without an offset. `Low` and `High` are bounds. Other types of events are left out; a calibration is
//! a value that a person typed in.

use std::io::BufRead;

use aggregation::raw::NewVital;
use chrono::NaiveDateTime;

use crate::clock::LocalClock;
use crate::csv::Table;
use crate::item::{Context, Handler, Item, ReadError, hand_over_vital, type_name};
use crate::sensor;

/// Reads an export.
///
/// # Errors
/// As [`crate::read`].
pub fn read(
    file: &mut dyn BufRead,
    context: &Context<'_>,
    handler: Handler<'_>,
) -> Result<(), ReadError> {
    let mut table = Table::new(file, "Event Type")?;
    let column = |name: &str| table.column(name).map(|(index, rest)| (index, rest.to_owned()));
    let (Some((time, _)), Some((kind, _)), Some((value, unit))) =
        (column("Timestamp"), column("Event Type"), column("Glucose Value"))
    else {
        let problem = "the columns Timestamp, Event Type and Glucose Value are needed".to_owned();
        return Err(ReadError::Malformed { place: "line 1".to_owned(), problem });
    };
    let unit = unit.trim().trim_matches(['(', ')']).to_owned();
    let device = column("Source Device ID").map(|(index, _)| index);
    let zone = context.local_zone()?;
    let (name, mut clock) = (zone.to_string(), LocalClock::new(zone));
    while let Some(row) = table.next()? {
        let bad = |problem: &str| Item::Bad { place: row.place(), problem: problem.to_owned() };
        if let Some(problem) = &row.0.problem {
            handler(bad(problem))?;
            continue;
        }
        let (kind, time) = (row.field(kind), row.field(time));
        // Names, devices and alerts come first, without a time. They are settings, no events.
        if kind != "EGV" {
            if !time.is_empty() {
                handler(Item::LeftOut(type_name(kind)))?;
            }
            continue;
        }
        let Some(local) = local_time(time) else {
            handler(bad("the timestamp is no time such as 2024-05-01T10:00:00"))?;
            continue;
        };
        let Some(at) = clock.instant(local) else {
            handler(bad("clocks skip its timestamp; check --time-zone"))?;
            continue;
        };
        let Some((comparator, value)) = sensor::reading(row.field(value), &unit) else {
            handler(bad("the glucose value is neither a number nor Low or High"))?;
            continue;
        };
        let device = device.map(|index| row.field(index)).filter(|device| !device.is_empty());
        let vital = NewVital {
            metric: "blood_glucose",
            value,
            comparator,
            unit: &unit,
            source: device.unwrap_or("Dexcom"),
            started_at: at,
            ended_at: at,
            time_zone: Some(&name),
            is_daily_total: false,
            workout_type: None,
        };
        hand_over_vital(vital, || row.place(), handler)?;
    }
    Ok(())
}

fn local_time(text: &str) -> Option<NaiveDateTime> {
    ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
}
