//! The elements of JSON arrays, one at a time.

use std::fmt;
use std::io::{self, BufRead};

use serde::de::{
    DeserializeSeed, Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Deserializer;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::bounded::{Bounded, Meter};
use crate::item::ReadError;

/// The longest record in bytes. A resource of FHIR may carry a document.
pub const LONGEST_RECORD: usize = 16 << 20;

/// Takes an element.
pub type Each<'e> = &'e mut dyn FnMut(&RawValue) -> Result<(), ReadError>;

/// The state that all visitors of a file share.
pub struct Walk<'e> {
    each: Each<'e>,
    meter: Meter,
    /// The error of `each`. The parser reports the error in its place.
    failure: Option<ReadError>,
}

impl Walk<'_> {
    /// Hands over an element, and begins the next record.
    fn hand_over<E: serde::de::Error>(&mut self, element: &RawValue) -> Result<(), E> {
        self.meter.reset();
        (self.each)(element).map_err(|failure| {
            self.failure = Some(failure);
            E::custom("stopped")
        })
    }
}

/// Calls `each` with each element of the array at `key` of the object, or of the array that the file
/// is. `place` names the current record in errors.
///
/// # Errors
/// As [`crate::read`].
pub fn each_element(
    file: &mut dyn BufRead,
    key: &str,
    place: &dyn Fn() -> String,
    each: Each<'_>,
) -> Result<(), ReadError> {
    let file = Bounded::new(file, LONGEST_RECORD);
    let mut walk = Walk { each, meter: file.meter(), failure: None };
    let mut json = Deserializer::from_reader(file);
    let done = json.deserialize_any(Root { walk: &mut walk, key }).and_then(|()| json.end());
    done.map_err(|error| failed(&error, &walk.meter, walk.failure.take(), place()))
}

/// Calls `each` with each value of a file that has one after the other.
///
/// # Errors
/// As [`crate::read`].
pub fn each_value(
    file: &mut dyn BufRead,
    place: &dyn Fn() -> String,
    each: Each<'_>,
) -> Result<(), ReadError> {
    let file = Bounded::new(file, LONGEST_RECORD);
    let meter = file.meter();
    for value in Deserializer::from_reader(file).into_iter::<Box<RawValue>>() {
        each(&value.map_err(|error| failed(&error, &meter, None, place()))?)?;
        meter.reset();
    }
    Ok(())
}

/// The error of the parser without its text, which may quote the file.
pub fn failed(
    error: &serde_json::Error,
    meter: &Meter,
    failure: Option<ReadError>,
    record: String,
) -> ReadError {
    if let Some(failure) = failure {
        return failure;
    }
    let place = format!("{record}, line {}", error.line());
    let problem = match error.classify() {
        _ if meter.is_exceeded() => format!("a record is longer than {} bytes", meter.most()),
        Category::Io => {
            let kind = error.io_error_kind().unwrap_or(io::ErrorKind::Other);
            return ReadError::Io(kind.into());
        }
        Category::Eof => return ReadError::Truncated { place },
        Category::Syntax => {
            format!("column {} is no valid JSON, or nested too deep", error.column())
        }
        Category::Data => {
            format!("column {} has another structure than the format", error.column())
        }
    };
    ReadError::Malformed { place, problem }
}

struct Root<'w, 'e, 'k> {
    walk: &'w mut Walk<'e>,
    key: &'k str,
}

impl<'de> Visitor<'de> for Root<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array, or an object with one")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<(), A::Error> {
        Elements(self.walk).visit_seq(elements)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut is_found = false;
        while let Some(key) = map.next_key::<String>()? {
            self.walk.meter.reset();
            if key == self.key {
                is_found = true;
                map.next_value_seed(Elements(&mut *self.walk))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if is_found { Ok(()) } else { Err(A::Error::custom("the array is missing")) }
    }
}

/// The elements of an array.
pub struct Elements<'w, 'e>(pub &'w mut Walk<'e>);

impl<'de> DeserializeSeed<'de> for Elements<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<Box<RawValue>>()? {
            self.0.hand_over(&element)?;
        }
        Ok(())
    }
}
