//! Units as senders write them, and conversions between UCUM units.
//!
//! `Spellings` reads a unit: Unicode compatibility folding, then an alias of the catalogue, then a
//! UCUM code, finally both without regard to case. `conversion` converts to the canonical unit.

mod fold;
mod spellings;

use std::collections::BTreeMap;

pub(crate) use self::spellings::Spellings;

/// A conversion from one unit to another: `value × factor + offset`.
///
/// Every conversion that UCUM defines between units of vital signs has this form (the offset is for
/// temperatures).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conversion {
    factor: f64,
    offset: f64,
}

impl Conversion {
    /// Converts a unit to itself.
    pub const IDENTITY: Self = Self { factor: 1.0, offset: 0.0 };

    /// The value in the other unit.
    pub fn apply(self, value: f64) -> f64 {
        if self.offset == 0.0 { value * self.factor } else { value * self.factor + self.offset }
    }

    /// The inverse of [`Conversion::apply`], up to rounding.
    pub fn undo(self, converted: f64) -> f64 {
        (converted - self.offset) / self.factor
    }

    /// The inverse for a difference or a standard deviation, which has no offset.
    pub fn undo_difference(self, converted: f64) -> f64 {
        converted / self.factor
    }
}

/// The conversion from UCUM code `from` to UCUM code `to`, by the metric's own factor if there is
/// one, else by UCUM.
pub(crate) fn conversion(
    from: &str,
    to: &str,
    factors: &BTreeMap<String, f64>,
) -> Option<Conversion> {
    if from == to {
        return Some(Conversion::IDENTITY);
    }
    if let Some(factor) = factors.get(from) {
        return Some(Conversion { factor: *factor, offset: 0.0 });
    }
    // To UCUM, counts such as {steps} are dimensionless, so it would convert flights to steps. Only
    // a listed factor may do that.
    if from.contains('{') || to.contains('{') {
        return None;
    }
    let at_zero = octofhir_ucum::convert(0.0, from, to).ok()?;
    let at_one = octofhir_ucum::convert(1.0, from, to).ok()?;
    let at_two = octofhir_ucum::convert(2.0, from, to).ok()?;
    let affine = ((at_two - at_one) - (at_one - at_zero)).abs() <= 1e-9 * at_two.abs().max(1e-300);
    (affine && at_one != at_zero)
        .then_some(Conversion { factor: at_one - at_zero, offset: at_zero })
}

/// Whether a listed factor is that of a substance with this molar mass in g/mol: one `from` (an
/// amount of substance) is `factor` in `to` (a mass). Published masses differ in the fifth digit.
pub(crate) fn is_factor_of_mass(molar_mass: f64, from: &str, to: &str, factor: f64) -> bool {
    const TOLERANCE: f64 = 1e-3;
    let of_a_gram_per_mole = octofhir_ucum::convert(1.0, &from.replacen("mol", "g", 1), to);
    of_a_gram_per_mole.is_ok_and(|of_one| (of_one * molar_mass / factor - 1.0).abs() <= TOLERANCE)
}
