//! Nightscout: entries as JSON, in mg/dL.
//!
//! `sgv` is a reading of a sensor, `mbg` one of a meter. Below 39 a sensor writes the numbers of its
//! errors; 39 and 401 mean below and above its range, as Nightscout shows them.

use std::cell::Cell;
use std::io::BufRead;

use aggregation::Timestamp;
use aggregation::raw::NewVital;
use chrono::FixedOffset;
use serde::Deserialize;
use serde_json::value::RawValue;

use aggregation::local_time::Zone;

use crate::item::{Context, Handler, Item, ReadError, hand_over_vital, type_name};
use crate::{clock, elements};

/// The lowest number that is a reading.
const LOWEST: f64 = 39.0;

/// The lowest and the highest number that a sensor shows.
const RANGE: (f64, f64) = (40.0, 400.0);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "type")]
    kind: Option<String>,
    sgv: Option<f64>,
    mbg: Option<f64>,
    /// Milliseconds since 1970.
    date: Option<f64>,
    date_string: Option<String>,
    device: Option<String>,
    /// Minutes by which the clocks of the uploader were ahead of UTC.
    utc_offset: Option<f64>,
}

/// Reads an array of entries, or an answer of the API with `result`.
///
/// # Errors
/// As [`crate::read`].
pub fn read(
    file: &mut dyn BufRead,
    context: &Context<'_>,
    handler: Handler<'_>,
) -> Result<(), ReadError> {
    let records = Cell::new(0_u64);
    elements::each_element(file, "result", &|| place(records.get()), &mut |raw| {
        records.set(records.get() + 1);
        entry(raw, records.get(), context, handler)
    })
}

/// Reads one entry after the other, as mongoexport writes them.
///
/// # Errors
/// As [`crate::read`].
pub fn read_lines(
    file: &mut dyn BufRead,
    context: &Context<'_>,
    handler: Handler<'_>,
) -> Result<(), ReadError> {
    let records = Cell::new(0_u64);
    elements::each_value(file, &|| place(records.get()), &mut |raw| {
        records.set(records.get() + 1);
        entry(raw, records.get(), context, handler)
    })
}

fn place(record: u64) -> String {
    format!("record {record}")
}

fn entry(
    raw: &RawValue,
    record: u64,
    context: &Context<'_>,
    handler: Handler<'_>,
) -> Result<(), ReadError> {
    let mut bad =
        |problem: &str| handler(Item::Bad { place: place(record), problem: problem.to_owned() });
    let Ok(entry) = serde_json::from_str::<Entry>(raw.get()) else {
        return bad("its fields are not as the format has them");
    };
    let is_meter = entry.sgv.is_none();
    let Some(value) = entry.sgv.or(entry.mbg) else {
        let kind = entry.kind.as_deref().unwrap_or_default();
        return handler(Item::LeftOut(type_name(kind)));
    };
    if value < LOWEST && !is_meter {
        return handler(Item::LeftOut("sgv.error.code"));
    }
    let at = match (entry.date, entry.date_string.as_deref().and_then(clock::with_offset)) {
        (Some(ms), _) if ms.abs() < 1e15 => Timestamp(ms as i64 * 1_000),
        (_, Some(time)) => clock::instant(time),
        _ => return bad("date and dateString are no time"),
    };
    let (comparator, value) = match value {
        value if is_meter => (None, value),
        value if value < RANGE.0 => (Some("<"), RANGE.0),
        value if value > RANGE.1 => (Some(">"), RANGE.1),
        value => (None, value),
    };
    let device =
        entry.device.as_deref().filter(|device| !device.is_empty()).unwrap_or("Nightscout");
    let source = if is_meter { format!("{device} (meter)") } else { device.to_owned() };
    let own = entry.utc_offset.filter(|minutes| *minutes != 0.0 && minutes.abs() <= 840.0);
    let own = own.and_then(|minutes| FixedOffset::east_opt(minutes as i32 * 60)).map(Zone::Fixed);
    let zone = own.or(context.time_zone).map(|zone| zone.to_string());
    let vital = NewVital {
        metric: "blood_glucose",
        value,
        comparator,
        unit: "mg/dL",
        source: &source,
        started_at: at,
        ended_at: at,
        time_zone: zone.as_deref(),
        is_daily_total: false,
        workout_type: None,
    };
    hand_over_vital(vital, || place(record), handler)
}
