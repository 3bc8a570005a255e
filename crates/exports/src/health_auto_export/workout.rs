//! An element of `workouts`. Its route and series are skipped while the file is read.

use std::fmt;

use aggregation::Timestamp;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::clock;
use crate::workout::Amount;

/// A workout as the app writes it. A field of another form than the usual one counts as missing: the
/// app writes `activeEnergy` as a number with its unit, or as a series, by the user's choice.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RawWorkout {
    name: Field,
    start: Field,
    end: Field,
    /// Seconds.
    duration: Field,
    active_energy_burned: Field,
    active_energy: Field,
    total_energy: Field,
    distance: Field,
    source: Field,
}

impl RawWorkout {
    /// The beginning; `None` if it is no time with an offset.
    pub fn start(&self) -> Option<Timestamp> {
        self.start.instant()
    }

    /// The end; `None` if it is no time with an offset.
    pub fn end(&self) -> Option<Timestamp> {
        self.end.instant()
    }

    /// The type, such as `Outdoor Run`.
    pub fn name(&self) -> Option<&str> {
        match &self.name {
            Field::Text(name) => Some(name.trim()).filter(|name| !name.is_empty()),
            _ => None,
        }
    }

    /// The time without pauses.
    pub const fn duration(&self) -> Option<f64> {
        if let Field::Number(seconds) = self.duration { Some(seconds) } else { None }
    }

    /// The active energy, or that of older versions of the app.
    pub fn energy(&self) -> Option<&Amount> {
        let fields = [&self.active_energy_burned, &self.active_energy, &self.total_energy];
        fields.into_iter().find_map(Field::amount)
    }

    /// The distance.
    pub const fn distance(&self) -> Option<&Amount> {
        self.distance.amount()
    }

    /// The source; empty if the app does not name it.
    pub fn source(&self) -> &str {
        if let Field::Text(source) = &self.source { source } else { "" }
    }
}

/// A field of any form. Forms that are not read are skipped without being kept.
#[derive(Debug, Default)]
enum Field {
    #[default]
    Other,
    Number(f64),
    Text(String),
    /// An object with `qty` and `units`.
    Amount(Amount),
}

impl Field {
    fn instant(&self) -> Option<Timestamp> {
        let Self::Text(text) = self else { return None };
        clock::with_offset(text).map(clock::instant)
    }

    const fn amount(&self) -> Option<&Amount> {
        if let Self::Amount(amount) = self { Some(amount) } else { None }
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(AnyForm)
    }
}

struct AnyForm;

impl<'de> Visitor<'de> for AnyForm {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Field, E> {
        Ok(Field::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Field, E> {
        Ok(Field::Other)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Field, E> {
        Ok(Field::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Field, E> {
        Ok(Field::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Field, E> {
        Ok(Field::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Field, E> {
        Ok(Field::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Field, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
        let (mut value, mut units) = (Field::Other, Field::Other);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "qty" => value = map.next_value()?,
                "units" => units = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(match (value, units) {
            (Field::Number(value), Field::Text(unit)) => Field::Amount(Amount { value, unit }),
            _ => Field::Other,
        })
    }
}
