//! Units: alias → UCUM code → canonical unit.

use std::collections::BTreeMap;

/// No unit that a person would write is longer; longer texts are not given to the UCUM parser.
const LONGEST_UNIT_BYTES: usize = 40;

/// The way from one unit to another: `value × factor + offset`.
///
/// Every conversion that UCUM defines between units of vital signs is of this form
/// (temperatures have the offset).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conversion {
    factor: f64,
    offset: f64,
}

impl Conversion {
    /// The value in the other unit.
    pub fn apply(self, value: f64) -> f64 {
        if self.offset == 0.0 { value * self.factor } else { value * self.factor + self.offset }
    }

    /// The value that [`Conversion::apply`] turns into `converted`, up to rounding.
    pub fn undo(self, converted: f64) -> f64 {
        (converted - self.offset) / self.factor
    }
}

/// The unit without surrounding space and with one spelling of the micro sign, or `None` if
/// it cannot be a unit at all.
pub(crate) fn tidy(unit: &str) -> Option<String> {
    let unit = unit.trim();
    if unit.is_empty() || unit.len() > LONGEST_UNIT_BYTES {
        return None;
    }
    // U+00B5 MICRO SIGN and U+03BC GREEK SMALL LETTER MU look alike; UCUM writes u.
    Some(unit.replace(['\u{b5}', '\u{3bc}'], "u"))
}

/// The conversion from UCUM code `from` to UCUM code `to`, by the metric's own factor where
/// there is one, else by UCUM.
pub(crate) fn conversion(
    from: &str,
    to: &str,
    factors: &BTreeMap<String, f64>,
) -> Option<Conversion> {
    if from == to {
        return Some(Conversion { factor: 1.0, offset: 0.0 });
    }
    if let Some(factor) = factors.get(from) {
        return Some(Conversion { factor: *factor, offset: 0.0 });
    }
    // Annotations such as {steps} are dimensionless to UCUM, so that it would turn flights
    // into steps; only a listed factor may do that.
    if from.contains('{') || to.contains('{') || !from.is_ascii() {
        return None;
    }
    let at_zero = octofhir_ucum::convert(0.0, from, to).ok()?;
    let at_one = octofhir_ucum::convert(1.0, from, to).ok()?;
    let at_two = octofhir_ucum::convert(2.0, from, to).ok()?;
    let affine = ((at_two - at_one) - (at_one - at_zero)).abs() <= 1e-9 * at_two.abs().max(1e-300);
    (affine && at_one != at_zero)
        .then_some(Conversion { factor: at_one - at_zero, offset: at_zero })
}
