//! LibreView: CSV.
//!
//! Rows of type 0 are the readings that a sensor stores every 5 or 15 minutes, and rows of type 2 those
//! of a test strip. Scans (type 1) show the sensor's value in between; the reports of LibreView leave
//! them out of the figures, too. Times are those of the device, without an offset, in the order of the
//! account's country: month first or day first.

use std::collections::VecDeque;
use std::io::BufRead;

use aggregation::local_time::Zone;
use aggregation::raw::NewVital;
use chrono::{NaiveDate, NaiveDateTime};

use crate::clock::LocalClock;
use crate::csv::{Row, Table};
use crate::item::{Context, Handler, Item, ReadError, hand_over_vital, type_name};
use crate::sensor;

/// Rows that are kept until a date shows its order. Two weeks of readings have fewer.
const MOST_UNDECIDED: usize = 5_000;

/// The first number of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Day,
    Month,
    Year,
}

/// The columns that are read.
struct Columns {
    device: Option<usize>,
    time: usize,
    kind: usize,
    historic: usize,
    strip: Option<usize>,
    unit: String,
}

/// Reads an export.
///
/// # Errors
/// As [`crate::read`].
pub fn read(
    file: &mut dyn BufRead,
    context: &Context<'_>,
    handler: Handler<'_>,
) -> Result<(), ReadError> {
    let mut table = Table::new(file, "Device Timestamp")?;
    let columns = Columns::find(&table)?;
    let mut rows = Rows::new(columns, context.local_zone()?);
    let mut undecided: VecDeque<Row> = VecDeque::new();
    let mut order = None;
    while let Some(row) = table.next()? {
        order = order.or_else(|| order_of(row.field(rows.columns.time)));
        undecided.push_back(row);
        if order.is_none() && undecided.len() >= MOST_UNDECIDED {
            order = Some(Order::Day);
        }
        if let Some(order) = order {
            while let Some(row) = undecided.pop_front() {
                rows.read(&row, order, handler)?;
            }
        }
    }
    undecided.iter().try_for_each(|row| rows.read(row, Order::Day, handler))
}

impl Columns {
    fn find<R: BufRead>(table: &Table<R>) -> Result<Self, ReadError> {
        let index = |name| table.column(name).map(|(index, _)| index);
        let historic = table.column("Historic Glucose");
        match (index("Device Timestamp"), index("Record Type"), historic) {
            (Some(time), Some(kind), Some((historic, unit))) => Ok(Self {
                device: table
                    .column("Device")
                    .filter(|(_, rest)| rest.is_empty())
                    .map(|(at, _)| at),
                time,
                kind,
                historic,
                strip: index("Strip Glucose"),
                unit: unit.trim().to_owned(),
            }),
            _ => Err(ReadError::Malformed {
                place: "the header".to_owned(),
                problem:
                    "the columns Device Timestamp, Record Type and Historic Glucose are needed"
                        .to_owned(),
            }),
        }
    }
}

struct Rows {
    columns: Columns,
    zone: String,
    clock: LocalClock,
}

impl Rows {
    fn new(columns: Columns, zone: Zone) -> Self {
        Self { columns, zone: zone.to_string(), clock: LocalClock::new(zone) }
    }

    fn read(&mut self, row: &Row, order: Order, handler: Handler<'_>) -> Result<(), ReadError> {
        let bad = |problem: &str| Item::Bad { place: row.place(), problem: problem.to_owned() };
        if let Some(problem) = &row.0.problem {
            return handler(bad(problem));
        }
        let (column, is_strip) = match (row.field(self.columns.kind), self.columns.strip) {
            ("0", _) => (self.columns.historic, false),
            ("2", Some(strip)) => (strip, true),
            (kind, _) => return handler(Item::LeftOut(name_of_kind(kind))),
        };
        let Some(local) = local_time(row.field(self.columns.time), order) else {
            return handler(bad(
                "the timestamp is no time such as 13-05-2024 10:00 or 05-13-2024 10:00 AM",
            ));
        };
        let Some(at) = self.clock.instant(local) else {
            return handler(bad("clocks skip its timestamp; check --time-zone"));
        };
        let Some((comparator, value)) = sensor::reading(row.field(column), &self.columns.unit)
        else {
            return handler(bad("the glucose value is neither a number nor LO or HI"));
        };
        let device = self.columns.device.map(|index| row.field(index));
        let device = device.filter(|device| !device.is_empty()).unwrap_or("LibreView");
        let source = if is_strip { format!("{device} (strip)") } else { device.to_owned() };
        let vital = NewVital {
            metric: "blood_glucose",
            value,
            comparator,
            unit: &self.columns.unit,
            source: &source,
            started_at: at,
            ended_at: at,
            time_zone: Some(&self.zone),
            is_daily_total: false,
            workout_type: None,
        };
        hand_over_vital(vital, || row.place(), handler)
    }
}

fn name_of_kind(kind: &str) -> &str {
    match kind {
        "1" => "scan",
        "3" => "ketone",
        "4" => "insulin",
        "5" => "food",
        "6" => "event",
        other => type_name(other),
    }
}

/// The order of the numbers, if this date shows it.
fn order_of(time: &str) -> Option<Order> {
    let (date, clock) = time.trim().split_once(' ')?;
    let mut numbers = date.split(['-', '/', '.']).map(|number| number.parse::<u32>().ok());
    let (first, second) = (numbers.next()??, numbers.next()??);
    match (first, second) {
        (32.., _) => Some(Order::Year),
        // Countries with the clock of 12 hours in this export write the month first.
        _ if clock.to_ascii_uppercase().ends_with('M') => Some(Order::Month),
        (13.., _) => Some(Order::Day),
        (_, 13..) => Some(Order::Month),
        _ => None,
    }
}

fn local_time(time: &str, order: Order) -> Option<NaiveDateTime> {
    let (date, clock) = time.split_once(' ')?;
    let mut numbers = date.split(['-', '/', '.']).map(|number| number.parse::<u32>().ok());
    let (a, b, c) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let (year, month, day) = match order {
        Order::Day => (c, b, a),
        Order::Month => (c, a, b),
        Order::Year => (a, b, c),
    };
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    let formats = ["%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p"];
    let clock =
        formats.iter().find_map(|format| chrono::NaiveTime::parse_from_str(clock, format).ok());
    Some(date.and_time(clock?))
}
