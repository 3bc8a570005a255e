//! Apple Health: `export.xml`.
//!
//! Records, and those within correlations, become rows: a pair of blood pressure is two records with
//! the same times. Apple writes the records of a correlation a second time at the top level; rows that
//! are equal are one. The offset of a time stamp is that of the phone at the export, so it gives the
//! instant only. The zone of a row is in the metadata `HKTimeZone`.
//!
//! Workouts, summaries of activity and types without a metric are left out. The energy and distance of
//! a workout are records of the same export, too.

use std::collections::HashMap;
use std::io::BufRead;

use aggregation::Timestamp;
use aggregation::local_time::Zone;
use aggregation::raw::NewVital;
use quick_xml::errors::{Error, SyntaxError};
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use crate::bounded::{Bounded, Meter};
use crate::item::{Context, Handler, Item, ReadError, hand_over_vital, type_name};
use crate::{clock, metrics};

/// The longest element in bytes: a record has some hundred, the definition of the document ten
/// thousand.
const LONGEST_ELEMENT: usize = 1 << 20;

/// Types whose metric is remembered. An export has about a hundred.
const MOST_TYPES: usize = 1_000;

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
        has_record: false,
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
            Ok(Event::End(element)) => export.close(element.name().as_ref(), handler)?,
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
    None,
}

struct Export<'c> {
    context: &'c Context<'c>,
    /// The zone of rows without their own.
    zone: Option<String>,
    types: HashMap<String, Target>,
    record: Record,
    has_record: bool,
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
            (_, b"Record") if !self.has_record => {
                self.records += 1;
                self.record.read(element);
                self.record.zone.clone_from(&self.correlation_zone);
                if is_empty {
                    self.finish(handler)?;
                } else {
                    self.has_record = true;
                }
            }
            (_, b"MetadataEntry") => self.metadata(element),
            (1, b"Workout") => {
                self.records += 1;
                let kind = attribute(element, b"workoutActivityType").unwrap_or_default();
                handler(Item::LeftOut(type_name(&kind)))?;
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

    fn close(&mut self, name: &[u8], handler: Handler<'_>) -> Result<(), ReadError> {
        if self.depth == 0 {
            return Err(ReadError::Malformed {
                place: self.place(),
                problem: "an element ends that has not begun".to_owned(),
            });
        }
        self.depth -= 1;
        match name {
            b"Record" if self.has_record => {
                self.has_record = false;
                self.finish(handler)
            }
            b"Correlation" => {
                self.correlation_zone = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes the zone from an entry of metadata of a record or a correlation.
    fn metadata(&mut self, element: &BytesStart<'_>) {
        if attribute(element, b"key").as_deref() != Some("HKTimeZone") {
            return;
        }
        // Without an IANA name, the user's zone is better than a row that is rejected.
        let zone = attribute(element, b"value").filter(|zone| zone.parse::<Zone>().is_ok());
        if self.has_record {
            self.record.zone = zone;
        } else if self.depth == 2 {
            self.correlation_zone = zone;
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
            Target::Metric(metric) => metric,
        };
        if let Some(problem) = self.record.problem {
            return handler(bad(problem));
        }
        let (Some(start), Some(end)) = (instant(&self.record.start), instant(&self.record.end))
        else {
            return handler(bad("startDate or endDate is no time with offset"));
        };
        let (value, unit) = if matches!(target, Target::Sleep) {
            (end.since(start) as f64 / 60e6, "min")
        } else {
            match self.record.value.trim().parse::<f64>() {
                Ok(value) => (value, self.record.unit.as_str()),
                Err(_) => return handler(bad("value is not a number")),
            }
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
        };
        hand_over_vital(vital, || place.clone(), handler)
    }

    fn target(&mut self) -> Target {
        let kind = &self.record.kind;
        if let Some(known) = self.types.get(kind) {
            return known.clone();
        }
        let target = if kind == "HKCategoryTypeIdentifierSleepAnalysis" {
            Target::Sleep
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
        for found in element.attributes().with_checks(false) {
            let Ok(found) = found else {
                *problem = Some("its attributes are not well-formed");
                return;
            };
            let field = match found.key.as_ref() {
                b"type" => &mut *kind,
                b"unit" => unit,
                b"value" => value,
                b"sourceName" => source,
                b"startDate" => start,
                b"endDate" => end,
                _ => continue,
            };
            match std::str::from_utf8(&found.value) {
                Ok(text) => match unescape(text) {
                    Ok(text) => field.push_str(&text),
                    Err(_) => *problem = Some("an attribute has an entity that is not XML's own"),
                },
                Err(_) => *problem = Some("an attribute is not UTF-8 text"),
            }
        }
    }
}

/// An attribute; `None` if it is missing or cannot be read.
fn attribute(element: &BytesStart<'_>, name: &[u8]) -> Option<String> {
    let mut attributes = element.attributes();
    let found = attributes.with_checks(false).flatten().find(|found| found.key.as_ref() == name)?;
    Some(unescape(std::str::from_utf8(&found.value).ok()?).ok()?.into_owned())
}

fn instant(text: &str) -> Option<Timestamp> {
    clock::with_offset(text).map(clock::instant)
}

fn format_place(records: u64) -> String {
    format!("record {records}")
}
