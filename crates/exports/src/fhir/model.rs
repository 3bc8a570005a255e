//! The parts of FHIR R4 that are read.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

pub const LOINC: &str = "http://loinc.org";
pub const UCUM: &str = "http://unitsofmeasure.org";
pub const INTERPRETATION: &str = "ObservationInterpretation";

/// The type of a resource.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kind {
    pub resource_type: Option<String>,
}

#[derive(Deserialize)]
pub struct Bundle<'a> {
    #[serde(borrow, default)]
    pub entry: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
pub struct Entry<'a> {
    #[serde(borrow)]
    pub resource: Option<&'a RawValue>,
}

/// An Observation without its value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    pub status: Option<String>,
    #[serde(default)]
    pub category: Vec<Concept>,
    pub subject: Option<Reference>,
    pub effective_date_time: Option<String>,
    pub effective_instant: Option<String>,
    pub effective_period: Option<Period>,
    #[serde(default)]
    pub performer: Vec<Reference>,
    pub device: Option<Reference>,
    pub specimen: Option<Reference>,
    #[serde(default)]
    pub component: Vec<Measured>,
}

/// The code and the value of an Observation, or of a component.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    pub code: Option<Concept>,
    pub value_quantity: Option<Quantity>,
    pub value_codeable_concept: Option<Concept>,
    pub value_string: Option<String>,
    pub value_integer: Option<i64>,
    pub value_boolean: Option<bool>,
    pub value_range: Option<Range>,
    pub value_ratio: Option<Ratio>,
    /// Series, times and periods have no figure.
    pub value_sampled_data: Option<IgnoredAny>,
    pub value_time: Option<IgnoredAny>,
    pub value_date_time: Option<IgnoredAny>,
    pub value_period: Option<IgnoredAny>,
    #[serde(default)]
    pub interpretation: Vec<Concept>,
    #[serde(default)]
    pub reference_range: Vec<ReferenceRange>,
}

#[derive(Deserialize)]
pub struct Concept {
    #[serde(default)]
    pub coding: Vec<Coding>,
    pub text: Option<String>,
}

#[derive(Deserialize)]
pub struct Coding {
    pub system: Option<String>,
    pub code: Option<String>,
    pub display: Option<String>,
}

#[derive(Deserialize)]
pub struct Reference {
    pub reference: Option<String>,
    pub display: Option<String>,
}

#[derive(Deserialize)]
pub struct Period {
    pub start: Option<String>,
    pub end: Option<String>,
}

/// A number with its unit. The number is kept as it is written: 5.20 is not 5.2.
#[derive(Deserialize)]
pub struct Quantity {
    pub value: Option<Box<RawValue>>,
    pub comparator: Option<String>,
    pub unit: Option<String>,
    pub system: Option<String>,
    pub code: Option<String>,
}

#[derive(Deserialize)]
pub struct Range {
    pub low: Option<Quantity>,
    pub high: Option<Quantity>,
}

#[derive(Deserialize)]
pub struct Ratio {
    pub numerator: Option<Quantity>,
    pub denominator: Option<Quantity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceRange {
    pub low: Option<Quantity>,
    pub high: Option<Quantity>,
    #[serde(rename = "type")]
    pub kind: Option<Concept>,
    #[serde(default)]
    pub applies_to: Vec<IgnoredAny>,
    pub age: Option<IgnoredAny>,
    pub text: Option<String>,
}

impl Concept {
    /// The first code of a system whose URL ends so.
    pub fn code(&self, system: &str) -> Option<&str> {
        let mut codings = self.coding.iter();
        codings.find_map(|coding| {
            let is_of = coding.system.as_deref().is_some_and(|known| known.ends_with(system));
            coding.code.as_deref().filter(|_| is_of)
        })
    }

    /// The text, or the name of a coding.
    pub fn name(&self) -> Option<&str> {
        let named = self.coding.iter().find_map(|coding| coding.display.as_deref());
        self.text.as_deref().or(named).filter(|name| !name.trim().is_empty())
    }

    /// The first code of any system.
    pub fn any_code(&self) -> Option<&str> {
        self.coding.iter().find_map(|coding| coding.code.as_deref())
    }
}

impl Quantity {
    /// The number as it is written; `None` if it is none.
    pub fn number(&self) -> Option<&str> {
        let number = self.value.as_deref()?.get();
        number.parse::<f64>().is_ok().then_some(number)
    }

    /// The code of UCUM, or the unit as it is written.
    pub fn unit(&self) -> Option<&str> {
        let is_ucum = self.system.as_deref() == Some(UCUM);
        let code = self.code.as_deref();
        code.filter(|_| is_ucum).or(self.unit.as_deref()).or(code)
    }
}

impl Measured {
    /// Whether it has a value.
    pub const fn has_value(&self) -> bool {
        self.value_quantity.is_some()
            || self.value_codeable_concept.is_some()
            || self.value_string.is_some()
            || self.value_integer.is_some()
            || self.value_boolean.is_some()
            || self.value_range.is_some()
            || self.value_ratio.is_some()
            || self.value_sampled_data.is_some()
            || self.value_time.is_some()
            || self.value_date_time.is_some()
            || self.value_period.is_some()
    }

    /// The value as the text of a laboratory result; `None` if it has no such form.
    pub fn text(&self) -> Option<String> {
        if let Some(quantity) = &self.value_quantity {
            let comparator = quantity.comparator.as_deref().unwrap_or_default();
            return Some(format!("{comparator}{}", quantity.number()?));
        }
        if let Some(concept) = &self.value_codeable_concept {
            return concept.name().or_else(|| concept.any_code()).map(str::to_owned);
        }
        if let Some(text) = &self.value_string {
            return Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        }
        if let Some(range) = &self.value_range {
            return range_text(range.low.as_ref(), range.high.as_ref());
        }
        if let Some(ratio) = &self.value_ratio {
            let number = |part: &Option<Quantity>| Some(part.as_ref()?.number()?.to_owned());
            return Some(format!("{}:{}", number(&ratio.numerator)?, number(&ratio.denominator)?));
        }
        let whole = self.value_integer.map(|number| number.to_string());
        whole.or_else(|| self.value_boolean.map(|value| value.to_string()))
    }

    /// The unit of the value.
    pub fn unit(&self) -> Option<&str> {
        let range =
            self.value_range.as_ref().and_then(|range| range.low.as_ref().or(range.high.as_ref()));
        self.value_quantity.as_ref().or(range)?.unit()
    }

    /// The range of a healthy person. Several ranges are joined, so that none of them sets a flag: this
    /// program does not know the sex and age of the user.
    pub fn range(&self) -> Option<String> {
        let is_normal = |range: &&ReferenceRange| {
            let kind = range.kind.as_ref().and_then(|kind| kind.any_code());
            kind.is_none_or(|kind| kind == "normal")
        };
        let ranges: Vec<&ReferenceRange> = self.reference_range.iter().filter(is_normal).collect();
        let texts: Vec<String> =
            ranges.iter().filter_map(|range| range.written(self.unit())).collect();
        let is_for_some =
            ranges.iter().any(|range| !range.applies_to.is_empty() || range.age.is_some());
        match texts.as_slice() {
            [] => None,
            [text] if is_for_some => Some(format!("in some: {text}")),
            texts => Some(texts.join("; ")),
        }
    }

    /// The laboratory's flag.
    pub fn flag(&self) -> Option<&str> {
        let first = self.interpretation.first()?;
        first.code(INTERPRETATION).or_else(|| first.any_code()).or(first.text.as_deref())
    }
}

impl ReferenceRange {
    /// The range as the laboratory would write it, with its unit if that differs from the value's.
    fn written(&self, unit_of_value: Option<&str>) -> Option<String> {
        let Some(range) = range_text(self.low.as_ref(), self.high.as_ref()) else {
            return self.text.clone().filter(|text| !text.trim().is_empty());
        };
        let unit = self.low.as_ref().or(self.high.as_ref()).and_then(Quantity::unit);
        Some(match unit.filter(|unit| unit_of_value.is_some_and(|of_value| of_value != *unit)) {
            Some(unit) => format!("{range} {unit}"),
            None => range,
        })
    }
}

/// Bounds as text. Both belong to the range.
fn range_text(low: Option<&Quantity>, high: Option<&Quantity>) -> Option<String> {
    match (low.and_then(Quantity::number), high.and_then(Quantity::number)) {
        (Some(low), Some(high)) => Some(format!("{low} - {high}")),
        (Some(low), None) => Some(format!(">={low}")),
        (None, Some(high)) => Some(format!("<={high}")),
        (None, None) => None,
    }
}
