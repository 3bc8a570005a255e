//! The levels of the document.

use std::fmt;

use aggregation::text::LONGEST_NAME_BYTES;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::workout::RawWorkout;
use super::{Export, MOST_METRICS, Name};

/// A level of the document: the object with `data`, that object, an object of a metric.
pub enum Level<'x, 'c, 'h> {
    Root(&'x mut Export<'c, 'h>),
    Data(&'x mut Export<'c, 'h>),
    Metric(&'x mut Export<'c, 'h>),
}

impl<'de> DeserializeSeed<'de> for Level<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Level<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        match self {
            Self::Root(export) => {
                while let Some(key) = map.next_key::<String>()? {
                    export.meter.reset();
                    match key.as_str() {
                        "data" => map.next_value_seed(Level::Data(&mut *export))?,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(())
            }
            Self::Data(export) => {
                while let Some(key) = map.next_key::<String>()? {
                    export.meter.reset();
                    let array = match key.as_str() {
                        "metrics" => Array::Metrics,
                        "workouts" => Array::Workouts,
                        key => Array::Other(key),
                    };
                    map.next_value_seed(Elements(&mut *export, array))?;
                }
                Ok(())
            }
            Self::Metric(export) => metric(map, export),
        }
    }
}

fn metric<'de, A: MapAccess<'de>>(mut map: A, export: &mut Export<'_, '_>) -> Result<(), A::Error> {
    if export.is_first_pass {
        if export.names.len() == MOST_METRICS {
            return Err(A::Error::custom("too many metrics"));
        }
        export.names.push(Name::default());
    }
    while let Some(key) = map.next_key::<String>()? {
        export.meter.reset();
        let is_name = matches!(key.as_str(), "name" | "units");
        if is_name && export.is_first_pass {
            let text = map.next_value::<Option<String>>()?.unwrap_or_default();
            // A text that is too long to be stored would be kept to the end of the file.
            let text = if text.len() > LONGEST_NAME_BYTES { String::new() } else { text };
            if let Some(name) = export.names.last_mut() {
                *(if key == "name" { &mut name.name } else { &mut name.units }) = text;
            }
        } else if key == "data" {
            map.next_value_seed(Elements(&mut *export, Array::Points))?;
        } else {
            map.next_value::<IgnoredAny>()?;
        }
    }
    let done = export.release(false);
    export.last_was_daily = false;
    export.metric += 1;
    export.keep(done)
}

/// The elements of an array.
#[derive(Clone, Copy)]
enum Array<'k> {
    Metrics,
    Points,
    Workouts,
    /// Anything else, by its key.
    Other(&'k str),
}

struct Elements<'x, 'c, 'h, 'k>(&'x mut Export<'c, 'h>, Array<'k>);

impl<'de> DeserializeSeed<'de> for Elements<'_, '_, '_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self(export, array) = self;
        loop {
            export.meter.reset();
            match array {
                Array::Metrics => {
                    if elements.next_element_seed(Level::Metric(&mut *export))?.is_none() {
                        return Ok(());
                    }
                }
                Array::Points if !export.is_first_pass => {
                    let Some(raw) = elements.next_element::<Box<RawValue>>()? else {
                        return Ok(());
                    };
                    let done = export.point(&raw);
                    export.keep(done)?;
                }
                Array::Workouts if !export.is_first_pass => {
                    let Some(workout) = elements.next_element::<RawWorkout>()? else {
                        return Ok(());
                    };
                    let done = export.workout(&workout);
                    export.keep(done)?;
                }
                Array::Points | Array::Workouts | Array::Other(_) => {
                    if elements.next_element::<IgnoredAny>()?.is_none() {
                        return Ok(());
                    }
                    if let (Array::Other(key), false) = (array, export.is_first_pass) {
                        export.records += 1;
                        let done = export.left_out(key);
                        export.keep(done)?;
                    }
                }
            }
        }
    }
}
