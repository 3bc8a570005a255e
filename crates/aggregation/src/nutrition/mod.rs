//! Nutrition: food and drink of a local day.
//!
//! [`judge`] checks a raw row, and [`figures`] computes the day of one date. [`DayBuilder`]
//! computes it from rows that are read one after the other, so its memory does not depend on their
//! number.
//!
//! Each row is judged for its time, its zone, long texts and its amounts, in this order. The first
//! objection is the reason of its rejection. One implausible amount rejects the row, since the
//! row's other units or fields may be wrong, too. A label never rejects a row. Two servings of the
//! same food are two: no row is a duplicate here.

mod day;
mod meal_type;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use chrono::NaiveDate;

pub use self::day::{DayBuilder, MacroEnergy, MealFigures, NutritionDay};
pub use self::meal_type::MealType;
pub use crate::catalogue::NUTRIENTS;
use crate::catalogue::Nutrients;
use crate::raw::{LocalDate, LocalDates};
use crate::text::require_short;
use crate::zones::BaseZone;
use crate::{Reason, Timestamp};

/// The version of the definitions of this module, stored with every day's figures and raised
/// whenever one changes.
/// - 4: limits by nutrient, meal types by synonym.
/// - 5: a total is the exact sum, rounded once.
pub const ALGORITHM_VERSION: i32 = 5;

/// Indices of the nutrients that the energy figures use, in [`NUTRIENTS`].
mod index {
    pub(super) const ENERGY: usize = 0;
    pub(super) const PROTEIN: usize = 1;
    pub(super) const FAT: usize = 2;
    pub(super) const CARBOHYDRATE: usize = 3;
    pub(super) const ALCOHOL: usize = 9;
}

/// A row of `nutrition_raw`, as the database holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct RawMeal {
    /// The row's identity; no figure depends on it.
    pub id: i64,
    /// The food; no figure depends on it.
    pub food_name: String,
    /// The meal in the app's words, see [`MealType::read`].
    pub meal_type: String,
    /// The time at which it was eaten.
    pub eaten_at: Timestamp,
    /// The row's own zone, an IANA name or an offset.
    pub time_zone: Option<String>,
    /// The app that recorded it, [folded](crate::fold_source).
    pub source: String,
    /// The amounts in the order and the units of [`NUTRIENTS`]; `None` is unknown, not 0.
    pub nutrients: [Option<f64>; 32],
}

/// Judges one row and returns the local date of its figures.
///
/// # Errors
/// The first that applies of [`Reason::TimeOutOfRange`], [`Reason::UnknownTimeZone`] (the row's own
/// zone, or without one the base zone), [`Reason::TextTooLong`], [`Reason::NonFiniteValue`] and
/// [`Reason::ImplausibleValue`] (an amount outside the limits of its nutrient).
pub fn judge(
    row: &RawMeal,
    base_zone: &BaseZone,
    nutrients: &Nutrients,
) -> Result<NaiveDate, Reason> {
    let found = find(row, &mut LocalDates::new(base_zone))?;
    accept(row, nutrients).map(|_| found.date)
}

/// The local date whose [`NutritionDay`] counts the row, as an item or as a rejected row.
///
/// `None` if the row is rejected for its time or its zone: then it has no date, and is only in
/// `rejected_rows`.
pub fn date_of(row: &RawMeal, base_zone: &BaseZone) -> Option<NaiveDate> {
    find(row, &mut LocalDates::new(base_zone)).map(|found| found.date).ok()
}

fn find(row: &RawMeal, dates: &mut LocalDates<'_>) -> Result<LocalDate, Reason> {
    dates.find(row.eaten_at, row.time_zone.as_deref())
}

/// The figures of local date `date` from all raw rows of one user around it; rows of other dates
/// are ignored. `None` if the date has neither an item nor a rejected row.
///
/// The order of `rows` and their ids do not matter.
pub fn figures(
    rows: &[RawMeal],
    date: NaiveDate,
    base_zone: &BaseZone,
    nutrients: &Nutrients,
) -> Option<NutritionDay> {
    let mut day = DayBuilder::new(date, base_zone, nutrients);
    for row in rows {
        let _ = day.add(row);
    }
    day.finish()
}

/// Judges everything except the local date.
fn accept(row: &RawMeal, nutrients: &Nutrients) -> Result<MealType, Reason> {
    require_short([&*row.meal_type, &*row.source], [&*row.food_name])?;
    if !row.nutrients.iter().flatten().all(|amount| amount.is_finite()) {
        return Err(Reason::NonFiniteValue);
    }
    if !nutrients.are_plausible(&row.nutrients) {
        return Err(Reason::ImplausibleValue);
    }
    Ok(MealType::read(&row.meal_type))
}
