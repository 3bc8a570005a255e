//! The value of a result: a number, a bound, or text.

use std::cmp::Ordering;

use super::number::{self, DecimalSign};
use crate::Reason;
use crate::catalogue::UnitStep;

/// The comparator of a result that is only a bound: `<5` is not 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Comparator {
    /// `<`
    Less,
    /// `<=` or `≤`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=` or `≥`
    GreaterOrEqual,
}

impl Comparator {
    /// The comparator as it is stored.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// Splits a comparator off the front of `text`.
    pub(super) fn strip(text: &str) -> Option<(Self, &str)> {
        // Longer spellings come before their prefixes.
        const SPELLINGS: [(&str, Comparator); 6] = [
            ("<=", Comparator::LessOrEqual),
            (">=", Comparator::GreaterOrEqual),
            ("\u{2264}", Comparator::LessOrEqual),
            ("\u{2265}", Comparator::GreaterOrEqual),
            ("<", Comparator::Less),
            (">", Comparator::Greater),
        ];
        SPELLINGS
            .into_iter()
            .find_map(|(spelling, comparator)| Some((comparator, text.strip_prefix(spelling)?)))
    }
}

/// The value of a result.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum LabValue {
    /// A finite number, in the unit of the result.
    Number(f64),
    /// A comparator and a finite number, in the unit of the result.
    Bound(Comparator, f64),
    /// Any other text, verbatim but trimmed.
    Text(String),
}

impl LabValue {
    /// Reads `value_text`: an optional comparator and a number with this decimal sign by the rules
    /// of [`number`], else text.
    ///
    /// # Errors
    /// [`Reason::EmptyResult`] if it is blank, [`Reason::NonFiniteValue`] if it is a number beyond
    /// the range of doubles.
    pub(super) fn read(value_text: &str, sign: DecimalSign) -> Result<Self, Reason> {
        let text = value_text.trim();
        if text.is_empty() {
            return Err(Reason::EmptyResult);
        }
        let (comparator, rest) = match Comparator::strip(text) {
            Some((comparator, rest)) => (Some(comparator), rest.trim_start()),
            None => (None, text),
        };
        let Some(value) = number::read(rest, sign) else {
            return Ok(Self::Text(text.to_owned()));
        };
        if !value.is_finite() {
            return Err(Reason::NonFiniteValue);
        }
        Ok(comparator.map_or(Self::Number(value), |comparator| Self::Bound(comparator, value)))
    }

    /// Converts the value to another unit; a text stays unchanged. No step reverses the order of
    /// numbers, so the comparator stays.
    ///
    /// # Errors
    /// [`Reason::NonFiniteValue`] if the number is beyond the range of doubles in that unit.
    pub(super) fn converted(self, step: UnitStep) -> Result<Self, Reason> {
        let convert = |value: f64| {
            let converted = step.apply(value);
            if converted.is_finite() { Ok(converted) } else { Err(Reason::NonFiniteValue) }
        };
        Ok(match self {
            Self::Number(value) => Self::Number(convert(value)?),
            Self::Bound(comparator, value) => Self::Bound(comparator, convert(value)?),
            Self::Text(text) => Self::Text(text),
        })
    }

    /// A total order in which only equal results are equal.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let bits = |result: &Self| result.value().map(f64::to_bits);
        (self.comparator(), bits(self), self.text()).cmp(&(
            other.comparator(),
            bits(other),
            other.text(),
        ))
    }

    /// The number, with a comparator or without.
    pub(super) const fn value(&self) -> Option<f64> {
        match self {
            Self::Number(value) | Self::Bound(_, value) => Some(*value),
            Self::Text(_) => None,
        }
    }

    /// The number, if there is no comparator: only these have a minimum, a maximum and a mean.
    pub(super) const fn exact(&self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(*value),
            Self::Bound(..) | Self::Text(_) => None,
        }
    }

    /// The comparator.
    pub(super) const fn comparator(&self) -> Option<Comparator> {
        match self {
            Self::Bound(comparator, _) => Some(*comparator),
            Self::Number(_) | Self::Text(_) => None,
        }
    }

    /// The text of a result that is no number.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Bound(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<LabValue, Reason> {
        LabValue::read(text, DecimalSign::Dot)
    }

    #[test]
    fn a_number_may_have_a_comparator_in_any_spelling() {
        for (text, comparator, value) in [
            ("<5", Comparator::Less, 5.0),
            ("> 1 000", Comparator::Greater, 1000.0),
            ("<=0.5", Comparator::LessOrEqual, 0.5),
            (">=\u{a0}1,234.5", Comparator::GreaterOrEqual, 1234.5),
            (" \u{2264}5 ", Comparator::LessOrEqual, 5.0),
            ("\u{2265} -2", Comparator::GreaterOrEqual, -2.0),
        ] {
            assert_eq!(read(text), Ok(LabValue::Bound(comparator, value)), "{text}");
        }
        assert_eq!(read(" 5.6\n"), Ok(LabValue::Number(5.6)));
    }

    #[test]
    fn what_is_no_number_stays_text() {
        for text in [
            "positive",
            "1:160",
            "120/80",
            "5 mg",
            "10^3",
            "<",
            "< positive",
            "<<5",
            "=5",
            "nan",
            "<inf",
        ] {
            let padded = format!("  {text} ");
            assert_eq!(read(&padded), Ok(LabValue::Text(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn blank_and_endless_results_are_rejected() {
        assert_eq!(read(""), Err(Reason::EmptyResult));
        assert_eq!(read(" \t\u{a0}"), Err(Reason::EmptyResult));
        assert_eq!(read("1e999"), Err(Reason::NonFiniteValue));
        assert_eq!(read("<-1e999"), Err(Reason::NonFiniteValue));
    }
}
