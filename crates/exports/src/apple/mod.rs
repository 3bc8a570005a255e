//! Apple Health: `export.xml`.
//!
//! Records, and those within correlations, become rows: a pair of blood pressure is two records with
//! the same times. Apple writes the records of a correlation a second time at the top level; rows that
//! are equal are one. The offset of a time stamp is that of the phone at the export, so it gives the
//! instant only. The zone of a row is in the metadata `HKTimeZone`.
//!
//! A workout becomes the rows of its metrics. Its route, events and heart rate are not read. Summaries of
//! activity and types without a metric are left out.

mod attributes;
mod workout;

use std::collections::HashMap;
use std::io::BufRead;

use aggregation::Timestamp;
use aggregation::local_time::Zone;
use aggregation::raw::NewVital;
use aggregation::timestamp::MINUTE_US;
use quick_xml::errors::{Error, SyntaxError};
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use self::workout::{OpenWorkout, Statistics};
use crate::bounded::{Bounded, Meter};
use crate::item::{Context, Handler, Item, ReadError, hand_over_vital, type_name};
use crate::workout::{Workout, has_metric};
use crate::{clock, metrics};

/// The longest element in bytes: a record has some hundred, the definition of the document ten
/// thousand.
const LONGEST_ELEMENT: usize = 1 << 20;

/// Types whose metric is remembered. An export has about a hundred.
const MOST_TYPES: usize = 1_000;

const NO_TIME: &str = "startDate or endDate is no time with offset";

/// The metric of the hours in which the user stood.
const STAND_HOURS: &str = "stand_hours";

/// Reads an export.
///
/// # Errors
/// As [`crate::read`].
pub fn read(
    file: &mut dyn BufRead,
    context: &Context<'_>,
    handler: Handler<'_>,
) -> Result<(), ReadError> {
    let file = Bounded::new(file, LONGEST_ELEMENT);
    let meter = file.meter();
    let mut xml = Reader::from_reader(file);
    // The names of open elements would be kept, however deep they are. Their number is enough.
    xml.config_mut().check_end_names = false;
    xml.config_mut().allow_unmatched_ends = true;
    let zone = context.time_zone.map(|zone| zone.to_string());
    let mut export = Export {
        context,
        zone,
        types: HashMap::new(),
        record: Record::default(),
        record_depth: None,
        workout: None,
        correlation_zone: None,
        depth: 0,
        records: 0,
        has_root: false,
    };
    let mut buffer = Vec::new();
    loop {
        meter.reset();
        buffer.clear();
        let event = xml.read_event_into(&mut buffer);
        match event {
            Ok(Event::Start(element)) => export.open(&element, false, handler)?,
            Ok(Event::Empty(element)) => export.open(&element, true, handler)?,
            Ok(Event::End(_)) => export.close(handler)?,
            Ok(Event::Decl(declaration)) => require_utf8(declaration.encoding())?,
            Ok(Event::Eof) => return export.end(),
            Ok(_) => {}
            Err(error) => return Err(export.failed(error, &meter)),
        }
    }
}

/// Another encoding would need a table for each.
fn require_utf8<E>(
    encoding: Option<Result<std::borrow::Cow<'_, [u8]>, E>>,
) -> Result<(), ReadError> {
    match encoding {
        Some(Ok(name)) if !name.eq_ignore_ascii_case(b"utf-8") => Err(ReadError::Malformed {
            place: "line 1".to_owned(),
            problem: "the file is not in UTF-8; convert it with iconv".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// A record whose end has not been read.
#[derive(Debug, Default)]
struct Record {
    kind: String,
    unit: String,
    value: String,
    source: String,
    start: String,
    end: String,
    zone: Option<String>,
    /// An attribute could not be read.
    problem: Option<&'static str>,
}

/// The row that a type becomes.
#[derive(Clone, Debug)]
enum Target {
    Metric(String),
    Sleep,
    StandHours,
    None,
}

struct Export<'c> {
    context: &'c Context<'c>,
    /// The zone of rows without their own.
    zone: Option<String>,
    types: HashMap<String, Target>,
    record: Record,
    /// The number of elements around the record that is open.
    record_depth: Option<usize>,
    workout: Option<OpenWorkout>,
    /// The zone of the correlation that is open.
    correlation_zone: Option<String>,
    depth: usize,
    records: u64,
    has_root: bool,
}

impl Export<'_> {
    fn open(
        &mut self,
        element: &BytesStart<'_>,
        is_empty: bool,
        handler: Handler<'_>,
    ) -> Result<(), ReadError> {
        let name = element.name();
        match (self.depth, name.as_ref()) {
            (0, b"HealthData") => self.has_root = true,
            (0, _) => {
                return Err(ReadError::Malformed {
                    place: "the first element".to_owned(),
                    problem: "it is not HealthData, so this is no export of Apple Health"
                        .to_owned(),
                });
            }
            (_, b"Record") if self.record_depth.is_none() => {
                self.records += 1;
                self.record.read(element);
                self.record.zone.clone_from(&self.correlation_zone);
                if is_empty {
                    self.finish(handler)?;
                } else {
                    self.record_depth = Some(self.depth);
                }
            }
            // No version of the format has a record in a record.
            (_, b"Record") => handler(Item::LeftOut("Record.in.Record"))?,
            (_, b"MetadataEntry") => self.metadata(element),
            (1, b"Workout") => {
                self.records += 1;
                self.workout = Some(OpenWorkout::read(element));
                if is_empty {
                    self.finish_workout(handler)?;
                }
            }
            (2, b"WorkoutStatistics") => {
                if let Some(workout) = &mut self.workout {
                    workout.add(Statistics::read(element), self.context.catalogue);
                }
            }
            // Its records count, not itself.
            (1, b"Correlation" | b"ExportDate" | b"Me") => {}
            (1, other) => {
                self.records += 1;
                handler(Item::LeftOut(type_name(&String::from_utf8_lossy(other))))?;
            }
            _ => {}
        }
        if !is_empty {
            self.depth += 1;
        }
        Ok(())
    }

    fn close(&mut self, handler: Handler<'_>) -> Result<(), ReadError> {
        if self.depth == 0 {
            return Err(ReadError::Malformed {
                place: self.place(),
                problem: "an element ends that has not begun".to_owned(),
            });
        }
        self.depth -= 1;
        if self.record_depth == Some(self.depth) {
            self.record_depth = None;
            self.finish(handler)?;
        }
        if self.depth == 1 {
            self.correlation_zone = None;
            self.finish_workout(handler)?;
        }
        Ok(())
    }

    /// Takes the zone from an entry of metadata of a record, a workout or a correlation.
    fn metadata(&mut self, element: &BytesStart<'_>) {
        if attributes::one(element, b"key").as_deref() != Some("HKTimeZone") {
            return;
        }
        // Without an IANA name, the user's zone is better than a row that is rejected.
        let zone = attributes::one(element, b"value").filter(|zone| zone.parse::<Zone>().is_ok());
        if self.record_depth.is_some() {
            self.record.zone = zone;
        } else if self.depth == 2 {
            match &mut self.workout {
                Some(workout) => workout.zone = zone,
                None => self.correlation_zone = zone,
            }
        }
    }

    /// Hands over the record.
    fn finish(&mut self, handler: Handler<'_>) -> Result<(), ReadError> {
        let is_top_level = self.depth == 1;
        let target = self.target();
        let place = format_place(self.records);
        let bad = |problem: &str| Item::Bad { place: place.clone(), problem: problem.to_owned() };
        let metric = match &target {
            // Records of a correlation come a second time, at the top level.
            Target::None if is_top_level => {
                return handler(Item::LeftOut(type_name(&self.record.kind)));
            }
            Target::None => return Ok(()),
            Target::Sleep => match metrics::stage(
                self.record.value.trim_start_matches("HKCategoryValueSleepAnalysis"),
            ) {
                Some(metric) => metric,
                None => return handler(Item::LeftOut(type_name(&self.record.value))),
            },
            Target::StandHours => STAND_HOURS,
            Target::Metric(metric) => metric,
        };
        if let Some(problem) = self.record.problem {
            return handler(bad(problem));
        }
        let (Some(start), Some(end)) = (instant(&self.record.start), instant(&self.record.end))
        else {
            return handler(bad(NO_TIME));
        };
        let (value, unit) = match target {
            Target::Sleep => (end.since(start) as f64 / MINUTE_US as f64, "min"),
            Target::StandHours => match self.record.value.as_str() {
                "HKCategoryValueAppleStandHourStood" => (1.0, "h"),
                "HKCategoryValueAppleStandHourIdle" => (0.0, "h"),
                other => return handler(Item::LeftOut(type_name(other))),
            },
            Target::Metric(_) | Target::None => match self.record.value.trim().parse::<f64>() {
                Ok(value) => (value, self.record.unit.as_str()),
                Err(_) => return handler(bad("value is not a number")),
            },
        };
        let vital = NewVital {
            metric,
            value,
            comparator: None,
            unit,
            source: &self.record.source,
            started_at: start,
            ended_at: end,
            time_zone: self.record.zone.as_deref().or(self.zone.as_deref()),
            is_daily_total: false,
            workout_type: None,
        };
        hand_over_vital(vital, || place.clone(), handler)
    }

    /// Hands over the workout, if one is open.
    fn finish_workout(&mut self, handler: Handler<'_>) -> Result<(), ReadError> {
        let Some(workout) = self.workout.take() else { return Ok(()) };
        if !has_metric(self.context.catalogue) {
            return handler(Item::LeftOut(type_name(&workout.kind)));
        }
        let place = || self.place();
        let bad = |problem: &str| Item::Bad { place: place(), problem: problem.to_owned() };
        if let Some(problem) = workout.problem {
            return handler(bad(problem));
        }
        let (Some(start), Some(end)) = (instant(&workout.start), instant(&workout.end)) else {
            return handler(bad(NO_TIME));
        };
        let kind = workout.kind.strip_prefix("HKWorkoutActivityType").unwrap_or(&workout.kind);
        let rows = Workout {
            kind: Some(kind).filter(|kind| !kind.is_empty()),
            source: &workout.source,
            start,
            end,
            time_zone: workout.zone.as_deref().or(self.zone.as_deref()),
            duration: workout.duration.as_ref(),
            energy: workout.energy.as_ref(),
            distance: workout.distance(),
        };
        rows.hand_over(self.context.catalogue, &place, handler)
    }

    fn target(&mut self) -> Target {
        let kind = &self.record.kind;
        if let Some(known) = self.types.get(kind) {
            return known.clone();
        }
        let target = if kind == "HKCategoryTypeIdentifierSleepAnalysis" {
            Target::Sleep
        } else if kind == "HKCategoryTypeIdentifierAppleStandHour" {
            let is_known = self.context.catalogue.metric(STAND_HOURS).is_some();
            if is_known { Target::StandHours } else { Target::None }
        } else {
            kind.strip_prefix("HKQuantityTypeIdentifier")
                .and_then(|name| {
                    metrics::metric(self.context.catalogue, &metrics::snake_case(name))
                })
                .map_or(Target::None, |metric| Target::Metric(metric.to_owned()))
        };
        if self.types.len() < MOST_TYPES {
            self.types.insert(kind.clone(), target.clone());
        }
        target
    }

    fn place(&self) -> String {
        format_place(self.records)
    }

    fn end(&self) -> Result<(), ReadError> {
        if self.depth > 0 || !self.has_root {
            return Err(ReadError::Truncated { place: format!("after {}", self.place()) });
        }
        Ok(())
    }

    /// The error of the parser, without its text, which may quote the file.
    fn failed(&self, error: Error, meter: &Meter) -> ReadError {
        let place = format!("after {}", self.place());
        let problem = match error {
            _ if meter.is_exceeded() => {
                return ReadError::Malformed {
                    place,
                    problem: format!("an element is longer than {LONGEST_ELEMENT} bytes"),
                };
            }
            Error::Io(error) => {
                return ReadError::Io(std::io::Error::new(error.kind(), error.to_string()));
            }
            Error::Syntax(SyntaxError::InvalidBangMarkup) => "an unknown markup begins with <!",
            Error::Syntax(_) => return ReadError::Truncated { place },
            Error::Encoding(_) => "a text is not UTF-8",
            _ => "the XML is not well-formed",
        };
        ReadError::Malformed { place, problem: problem.to_owned() }
    }
}

impl Record {
    /// Takes the attributes of an element.
    fn read(&mut self, element: &BytesStart<'_>) {
        let Self { kind, unit, value, source, start, end, zone, problem } = self;
        for field in [&mut *kind, unit, value, source, start, end] {
            field.clear();
        }
        (*zone, *problem) = (None, None);
        let done = attributes::each(element, |name, text| {
            let field = match name {
                b"type" => &mut *kind,
                b"unit" => &mut *unit,
                b"value" => &mut *value,
                b"sourceName" => &mut *source,
                b"startDate" => &mut *start,
                b"endDate" => &mut *end,
                _ => return,
            };
            field.push_str(&text);
        });
        *problem = done.err();
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    clock::with_offset(text).map(clock::instant)
}

fn format_place(records: u64) -> String {
    format!("record {records}")
}
