//! FHIR R4: Observations, as a Bundle or as one resource a line.
//!
//! An Observation of the category `laboratory`, or with the code of an analyte of the catalogue, is a
//! laboratory result. Any other one is a vital sign if its LOINC code is that of a metric. Components
//! are results of their own. An Observation without a value, of another status, of another code, or
//! dated by a month or year only is left out. Other resources are left out, and counted by their type.

mod model;
mod observation;

use std::cell::Cell;
use std::io::{BufRead, Read};

use serde_json::value::RawValue;

use self::model::{Bundle, Entry, Kind};
use self::observation::Observations;
use crate::elements::{self, LONGEST_RECORD};
use crate::item::{Context, Handler, Item, ReadError, type_name};

/// Reads a Bundle, or an array of resources.
///
/// # Errors
/// As [`crate::read`].
pub fn read_bundle(
    file: &mut dyn BufRead,
    context: &Context<'_>,
    handler: Handler<'_>,
) -> Result<(), ReadError> {
    let mut resources = Resources::new(context);
    let records = Cell::new(0_u64);
    elements::each_element(file, "entry", &|| format!("record {}", records.get()), &mut |raw| {
        records.set(records.get() + 1);
        let place = format!("record {}", records.get());
        match serde_json::from_str::<Entry<'_>>(raw.get()) {
            Ok(Entry { resource: Some(resource) }) => {
                resources.read(resource.get(), &place, handler)
            }
            // An element of an array is the resource itself.
            _ => resources.read(raw.get(), &place, handler),
        }
    })
}

/// Reads a file with one resource a line. A line that cannot be read is one bad record.
///
/// # Errors
/// As [`crate::read`].
pub fn read_lines(
    file: &mut dyn BufRead,
    context: &Context<'_>,
    handler: Handler<'_>,
) -> Result<(), ReadError> {
    let mut resources = Resources::new(context);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let most = LONGEST_RECORD as u64 + 1;
        let read = (&mut *file).take(most).read_until(b'\n', &mut line)?;
        let place = format!("line {number}");
        if read == 0 {
            return Ok(());
        }
        if read as u64 == most && !line.ends_with(b"\n") {
            file.skip_until(b'\n')?;
            let problem = format!("it is longer than {LONGEST_RECORD} bytes");
            handler(Item::Bad { place, problem })?;
            continue;
        }
        match std::str::from_utf8(&line) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => resources.read(text, &place, handler)?,
            Err(_) => handler(Item::Bad { place, problem: "it is not UTF-8 text".to_owned() })?,
        }
    }
    Ok(())
}

/// Reads a file that has one resource after the other, over any number of lines.
///
/// # Errors
/// As [`crate::read`].
pub fn read_values(
    file: &mut dyn BufRead,
    context: &Context<'_>,
    handler: Handler<'_>,
) -> Result<(), ReadError> {
    let mut resources = Resources::new(context);
    let records = Cell::new(0_u64);
    elements::each_value(file, &|| format!("record {}", records.get()), &mut |raw: &RawValue| {
        records.set(records.get() + 1);
        resources.read(raw.get(), &format!("record {}", records.get()), handler)
    })
}

/// Reads one resource after the other.
struct Resources<'c> {
    observations: Observations<'c>,
}

impl<'c> Resources<'c> {
    fn new(context: &'c Context<'c>) -> Self {
        Self { observations: Observations::new(context) }
    }

    fn read(&mut self, text: &str, place: &str, handler: Handler<'_>) -> Result<(), ReadError> {
        let bad = |problem: String| Item::Bad { place: place.to_owned(), problem };
        let kind = match serde_json::from_str::<Kind>(text) {
            Ok(Kind { resource_type: Some(kind) }) => kind,
            Ok(_) => return handler(bad("it has no resourceType".to_owned())),
            Err(error) if error.is_eof() => {
                return handler(bad("it ends too early; the file was cut off".to_owned()));
            }
            Err(error) => {
                let problem =
                    format!("column {} is no valid JSON, or nested too deep", error.column());
                return handler(bad(problem));
            }
        };
        match kind.as_str() {
            "Observation" => self.observations.read(text, place, handler),
            "Bundle" => match serde_json::from_str::<Bundle<'_>>(text) {
                Ok(bundle) => bundle.entry.iter().filter_map(|entry| entry.resource).try_for_each(
                    |resource| match serde_json::from_str::<Kind>(resource.get()) {
                        // A Bundle in a Bundle could be nested without end.
                        Ok(Kind { resource_type: Some(kind) }) if kind == "Observation" => {
                            self.observations.read(resource.get(), place, handler)
                        }
                        Ok(Kind { resource_type }) => handler(Item::LeftOut(type_name(
                            resource_type.as_deref().unwrap_or_default(),
                        ))),
                        Err(_) => handler(bad("a resource has no resourceType".to_owned())),
                    },
                ),
                Err(_) => handler(bad("its entries are not as FHIR has them".to_owned())),
            },
            other => handler(Item::LeftOut(type_name(other))),
        }
    }
}
