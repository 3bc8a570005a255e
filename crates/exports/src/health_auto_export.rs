//! Health Auto Export: JSON.
//!
//! `data.metrics` has the metrics, each with name, units and data. The app writes keys in any order, so
//! a first pass reads names and units, and a second the data. Shapes of data:
//!
//! - `qty` at `date`: a sample. A series of totals at midnight is one of daily totals.
//! - `Min`, `Avg`, `Max`: the average of an interval; minimum and maximum are left out.
//! - `systolic`, `diastolic`: a pair of blood pressure.
//! - `sleep_analysis` as segments: `startDate`, `endDate`, `value`.
//! - `sleep_analysis` as nights: hours of each stage between `sleepStart` and `sleepEnd`. The stages are
//!   laid one after the other, because only their sums are known.
//!
//! Other arrays of `data`, such as workouts, are left out, and counted by their name.

mod levels;

use std::io::BufRead;

use aggregation::Timestamp;
use aggregation::raw::NewVital;
use aggregation::timestamp::{HOUR_US, MINUTE_US};
use chrono::{DateTime, FixedOffset, NaiveTime};
use serde::Deserialize;
use serde::de::Deserializer as _;
use serde_json::Deserializer;
use serde_json::value::RawValue;

use crate::bounded::{Bounded, Meter};
use crate::elements::failed;
use crate::item::{Context, Handler, Item, ReadError, hand_over_vital, type_name};
use crate::{Reopen, skip_mark};
use crate::{clock, metrics};
use levels::Level;

/// The greatest number of metrics in a file; the app knows about 150.
const MOST_METRICS: usize = 10_000;

/// The longest workout in bytes, with its route. It is skipped without being kept.
const LONGEST_WORKOUT: usize = 64 << 20;

/// The app rounds each stage of a night.
const ROUNDING_US: i64 = 5 * MINUTE_US;

/// Reads an export. `reopen` opens it for the second pass.
///
/// # Errors
/// As [`crate::read`].
pub fn read(
    file: &mut dyn BufRead,
    reopen: Reopen<'_>,
    context: &Context<'_>,
    handler: Handler<'_>,
) -> Result<(), ReadError> {
    let Some(mut again) = reopen()? else {
        return Err(ReadError::Malformed {
            place: "stdin".to_owned(),
            problem: "an export of Health Auto Export is read twice; give the name of the file"
                .to_owned(),
        });
    };
    let mut export = Export {
        context,
        zone: context.time_zone.map(|zone| zone.to_string()),
        handler,
        is_first_pass: true,
        names: Vec::new(),
        metric: 0,
        records: 0,
        held: None,
        last_was_daily: false,
        meter: Meter::default(),
        failure: None,
    };
    export.walk(file)?;
    export.is_first_pass = false;
    export.metric = 0;
    skip_mark(&mut *again)?;
    export.walk(&mut *again)
}

/// The name and the units of a metric.
#[derive(Clone, Debug, Default)]
struct Name {
    name: String,
    units: String,
}

/// An element of `data`, of any shape.
#[derive(Deserialize)]
struct Point {
    date: Option<String>,
    #[serde(alias = "start")]
    #[serde(rename = "startDate")]
    start: Option<String>,
    #[serde(alias = "end")]
    #[serde(rename = "endDate")]
    end: Option<String>,
    source: Option<String>,
    qty: Option<f64>,
    #[serde(rename = "Avg")]
    avg: Option<f64>,
    systolic: Option<f64>,
    diastolic: Option<f64>,
    /// A stage of sleep, or another word.
    value: Option<serde_json::Value>,
    #[serde(flatten)]
    night: Night,
}

/// The sums of a night in hours.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Night {
    sleep_start: Option<String>,
    sleep_end: Option<String>,
    in_bed_start: Option<String>,
    in_bed_end: Option<String>,
    total_sleep: Option<f64>,
    asleep: Option<f64>,
    core: Option<f64>,
    deep: Option<f64>,
    rem: Option<f64>,
}

/// A total whose length is known with the next one only.
struct Held {
    metric: String,
    unit: String,
    source: String,
    value: f64,
    at: DateTime<FixedOffset>,
    place: String,
}

struct Export<'c, 'h> {
    context: &'c Context<'c>,
    /// The zone of rows without their own.
    zone: Option<String>,
    handler: Handler<'h>,
    /// The first pass reads names and units only.
    is_first_pass: bool,
    names: Vec<Name>,
    /// The index of the metric that is read.
    metric: usize,
    records: u64,
    held: Option<Held>,
    /// Whether the total before the held one was that of a day.
    last_was_daily: bool,
    meter: Meter,
    failure: Option<ReadError>,
}

impl<'c> Export<'c, '_> {
    fn walk(&mut self, file: &mut dyn BufRead) -> Result<(), ReadError> {
        let file = Bounded::new(file, LONGEST_WORKOUT);
        self.meter = file.meter();
        let mut json = Deserializer::from_reader(file);
        let done = json.deserialize_map(Level::Root(self)).and_then(|()| json.end());
        done.map_err(|error| {
            let failure = self.failure.take();
            failed(&error, &self.meter, failure, self.place())
        })
    }

    fn place(&self) -> String {
        format!("record {}", self.records)
    }

    fn bad(&mut self, problem: &str) -> Result<(), ReadError> {
        let place = self.place();
        (self.handler)(Item::Bad { place, problem: problem.to_owned() })
    }

    fn left_out(&mut self, name: &str) -> Result<(), ReadError> {
        (self.handler)(Item::LeftOut(type_name(name)))
    }

    /// Keeps an error that the parser then reports as its own.
    fn keep<E: serde::de::Error>(&mut self, done: Result<(), ReadError>) -> Result<(), E> {
        done.map_err(|failure| {
            self.failure = Some(failure);
            E::custom("stopped")
        })
    }

    /// An element of the data of a metric.
    fn point(&mut self, raw: &RawValue) -> Result<(), ReadError> {
        self.records += 1;
        let Name { name, units } = self.names.get(self.metric).cloned().unwrap_or_default();
        let Ok(point) = serde_json::from_str::<Point>(raw.get()) else {
            return self.bad("its fields are not as the format has them");
        };
        let source = point.source.clone().unwrap_or_default();
        if name == "sleep_analysis" {
            return self.sleep(&point, &source);
        }
        if name == "blood_pressure" {
            let (Some(systolic), Some(diastolic)) = (point.systolic, point.diastolic) else {
                return self.bad("systolic or diastolic is missing");
            };
            self.sample("blood_pressure_systolic", &units, &source, systolic, &point)?;
            return self.sample("blood_pressure_diastolic", &units, &source, diastolic, &point);
        }
        let Some(metric) = metrics::metric(self.context.catalogue, &name) else {
            return self.left_out(&name);
        };
        let Some(value) = point.qty.or(point.avg) else {
            return self.bad("qty, or Avg, is missing");
        };
        if point.qty.is_none() {
            self.left_out(&format!("{name}.Min.Max"))?;
        }
        if point.start.is_none() && metrics::is_cumulative(self.context.catalogue, metric) {
            return self.total(metric, &units, &source, value, &point);
        }
        self.sample(metric, &units, &source, value, &point)
    }

    /// A sample at `date`, or from `start` to `end`.
    fn sample(
        &mut self,
        metric: &str,
        unit: &str,
        source: &str,
        value: f64,
        point: &Point,
    ) -> Result<(), ReadError> {
        let start = point.start.as_deref().or(point.date.as_deref()).and_then(instant);
        let end = point.end.as_deref().map_or(Some(start), |end| instant(end).map(Some));
        let (Some(start), Some(Some(end))) = (start, end) else {
            return self.bad("date is no time with offset");
        };
        self.row(metric, unit, source, value, start, end)
    }

    fn row(
        &mut self,
        metric: &str,
        unit: &str,
        source: &str,
        value: f64,
        started_at: Timestamp,
        ended_at: Timestamp,
    ) -> Result<(), ReadError> {
        let place = self.place();
        let vital = NewVital {
            metric,
            value,
            comparator: None,
            unit,
            source,
            started_at,
            ended_at,
            time_zone: self.zone.as_deref(),
            is_daily_total: false,
        };
        hand_over_vital(vital, || place, self.handler)
    }

    /// A total without its length. It is held until the next one shows whether it is that of a day.
    fn total(
        &mut self,
        metric: &str,
        unit: &str,
        source: &str,
        value: f64,
        point: &Point,
    ) -> Result<(), ReadError> {
        let Some(at) = point.date.as_deref().and_then(clock::with_offset) else {
            return self.bad("date is no time with offset");
        };
        let is_next_day = self.held.as_ref().is_some_and(|held| {
            is_midnight(at) && is_midnight(held.at) && at.date_naive() != held.at.date_naive()
        });
        self.release(is_next_day)?;
        self.last_was_daily = is_next_day;
        self.held = Some(Held {
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            source: source.to_owned(),
            value,
            at,
            place: self.place(),
        });
        Ok(())
    }

    /// Hands over the held total. It is that of a day if one of its neighbours is.
    fn release(&mut self, is_next_daily: bool) -> Result<(), ReadError> {
        let Some(held) = self.held.take() else { return Ok(()) };
        let at = clock::instant(held.at);
        let vital = NewVital {
            metric: &held.metric,
            value: held.value,
            comparator: None,
            unit: &held.unit,
            source: &held.source,
            started_at: at,
            ended_at: at,
            time_zone: self.zone.as_deref(),
            is_daily_total: is_next_daily || self.last_was_daily,
        };
        hand_over_vital(vital, || held.place, self.handler)
    }

    fn sleep(&mut self, point: &Point, source: &str) -> Result<(), ReadError> {
        let (Some(start), Some(end)) = (&point.start, &point.end) else {
            return self.night(&point.night, source);
        };
        let word = point.value.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
        let Some(metric) = metrics::stage(word) else {
            return self.bad("value is no stage of sleep");
        };
        match (instant(start), instant(end)) {
            (Some(start), Some(end)) => self.stage(metric, source, start, end),
            _ => self.bad("startDate or endDate is no time with offset"),
        }
    }

    fn stage(
        &mut self,
        metric: &str,
        source: &str,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<(), ReadError> {
        self.row(metric, "min", source, end.since(start) as f64 / MINUTE_US as f64, start, end)
    }

    /// A night of which only sums are known.
    fn night(&mut self, night: &Night, source: &str) -> Result<(), ReadError> {
        let span = |start: &Option<String>, end: &Option<String>| {
            Some((instant(start.as_deref()?)?, instant(end.as_deref()?)?))
        };
        let in_bed =
            span(&night.in_bed_start, &night.in_bed_end).filter(|(start, end)| start < end);
        let asleep = span(&night.sleep_start, &night.sleep_end);
        if asleep.is_none() && in_bed.is_none() {
            return self.bad("the start and end of the night are missing");
        }
        let Some(stages) = asleep.map_or(Some(Vec::new()), |(start, end)| lay(night, start, end))
        else {
            return self.bad("its stages are longer than the night");
        };
        if let Some((start, end)) = in_bed {
            self.stage("sleep_in_bed", source, start, end)?;
        }
        stages.iter().try_for_each(|(metric, start, end)| self.stage(metric, source, *start, *end))
    }
}

/// Lays the stages of a night one after the other: the first begins with the night, the last ends with
/// it, and the time awake is behind the first. `None` if they are longer than the night.
fn lay(
    night: &Night,
    start: Timestamp,
    end: Timestamp,
) -> Option<Vec<(&'static str, Timestamp, Timestamp)>> {
    let hours = |hours: Option<f64>| (hours.unwrap_or_default().max(0.0) * HOUR_US as f64) as i64;
    let stages = [("sleep_core", night.core), ("sleep_deep", night.deep), ("sleep_rem", night.rem)];
    let known: i64 = stages.iter().map(|(_, length)| hours(*length)).sum();
    // Older versions write the whole sleep into `asleep`, newer ones the part without a stage.
    let total = match night.total_sleep {
        Some(_) => hours(night.total_sleep),
        None if hours(night.asleep) + ROUNDING_US >= known => hours(night.asleep),
        None => hours(night.asleep).saturating_add(known),
    };
    let mut parts = vec![("sleep_asleep", (total - known).max(0))];
    parts.extend(stages.map(|(metric, length)| (metric, hours(length))));
    // The stages of a night are rounded.
    parts.retain(|(metric, length)| {
        *length > if known > 0 && *metric == "sleep_asleep" { ROUNDING_US } else { 0 }
    });
    if let [(metric, length)] = parts[..] {
        parts = vec![(metric, length / 2), (metric, length - length / 2)];
    }
    let asleep = parts.iter().fold(0_i64, |sum, (_, length)| sum.saturating_add(*length));
    let awake = end.since(start) - asleep;
    if awake < -ROUNDING_US {
        return None;
    }
    if awake > ROUNDING_US && !parts.is_empty() {
        parts.insert(1, ("sleep_awake", awake));
    }
    let mut at = start;
    Some(
        parts
            .into_iter()
            .map(|(metric, length)| {
                let from = at;
                at = at.plus(length);
                (metric, from, at)
            })
            .collect(),
    )
}

fn instant(text: &str) -> Option<Timestamp> {
    clock::with_offset(text).map(clock::instant)
}

fn is_midnight(at: DateTime<FixedOffset>) -> bool {
    at.time() == NaiveTime::MIN
}
