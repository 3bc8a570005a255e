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
//! A workout becomes the rows of its metrics. Other arrays of `data` are left out, and counted by their
//! name.

mod levels;
mod night;
mod workout;

use std::io::BufRead;

use aggregation::Timestamp;
use aggregation::raw::NewVital;
use aggregation::timestamp::MINUTE_US;
use chrono::{DateTime, FixedOffset, NaiveTime};
use serde::Deserialize;
use serde::Deserializer as _;
use serde_json::Deserializer;
use serde_json::value::RawValue;

use self::levels::Level;
use self::night::{Night, lay};
use self::workout::RawWorkout;
use crate::bounded::{Bounded, Meter};
use crate::elements::failed;
use crate::item::{Context, Handler, Item, ReadError, hand_over_vital, type_name};
use crate::workout::{Amount, Workout, has_metric};
use crate::{Reopen, clock, metrics, skip_mark};

/// The greatest number of metrics in a file; the app knows about 150.
const MOST_METRICS: usize = 10_000;

/// The longest workout in bytes, with its route, which is skipped without being kept.
const LONGEST_WORKOUT: usize = 64 << 20;

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
            workout_type: None,
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
            workout_type: None,
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

    fn workout(&mut self, raw: &RawWorkout) -> Result<(), ReadError> {
        self.records += 1;
        if !has_metric(self.context.catalogue) {
            return self.left_out("workouts");
        }
        let (Some(start), Some(end)) = (raw.start(), raw.end()) else {
            return self.bad("start or end is no time with offset");
        };
        let records = self.records;
        let seconds = |value| Amount { value, unit: "s".to_owned() };
        let duration = raw.duration().map(seconds);
        let rows = Workout {
            kind: raw.name(),
            source: raw.source(),
            start,
            end,
            time_zone: self.zone.as_deref(),
            duration: duration.as_ref(),
            energy: raw.energy(),
            distance: raw.distance(),
        };
        rows.hand_over(self.context.catalogue, &|| format!("record {records}"), self.handler)
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

fn instant(text: &str) -> Option<Timestamp> {
    clock::with_offset(text).map(clock::instant)
}

fn is_midnight(at: DateTime<FixedOffset>) -> bool {
    at.time() == NaiveTime::MIN
}
