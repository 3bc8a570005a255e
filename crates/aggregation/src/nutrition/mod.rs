//! Nutrition: what was eaten on a local day.
//!
//! [`judge`] says whether a raw row counts, [`figures`] makes the day of one date. Each row is
//! judged for its time, its zone, its meal type and its values, in this order, and the first
//! objection is the reason of its rejection. Two servings of the same food are two: nothing is
//! a duplicate here.

mod day;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::str::FromStr;

use chrono::NaiveDate;

pub use self::day::{MacroEnergy, MealFigures, NutritionDay};
use crate::place::{Place, Places};
use crate::zones::BaseZone;
use crate::{Reason, Timestamp};

/// The nutrients: column names of `nutrition_raw` and `nutrition_daily`, each ending in its unit.
pub const NUTRIENTS: [&str; 32] = [
    "energy_kcal",
    "protein_g",
    "fat_g",
    "carbohydrate_g",
    "fiber_g",
    "sugar_g",
    "sodium_mg",
    "saturated_fat_g",
    "cholesterol_mg",
    "alcohol_g",
    "water_g",
    "caffeine_mg",
    "vitamin_a_ug",
    "vitamin_c_mg",
    "vitamin_d_ug",
    "vitamin_e_mg",
    "vitamin_k_ug",
    "thiamin_mg",
    "riboflavin_mg",
    "niacin_mg",
    "vitamin_b6_mg",
    "vitamin_b12_ug",
    "folate_ug",
    "calcium_mg",
    "iron_mg",
    "magnesium_mg",
    "phosphorus_mg",
    "potassium_mg",
    "zinc_mg",
    "copper_mg",
    "manganese_mg",
    "selenium_ug",
];

/// Places of the nutrients that the energy figures use, in [`NUTRIENTS`].
mod index {
    pub(super) const ENERGY: usize = 0;
    pub(super) const PROTEIN: usize = 1;
    pub(super) const FAT: usize = 2;
    pub(super) const CARBOHYDRATE: usize = 3;
    pub(super) const ALCOHOL: usize = 9;
}

/// The most of any nutrient in one row, in the nutrient's own unit.
///
/// No human takes a million kcal, grams, milligrams or micrograms of anything listed in a whole
/// day (a litre of water is 1,000 g, a day's potassium 5,000 mg; 30 mg of vitamin A in liver are
/// 30,000 µg), so only a slip of units or of a field gets there. It also keeps every sum finite.
pub const LARGEST_AMOUNT: f64 = 1e6;

/// A row of `nutrition_raw`, as the database holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct RawMeal {
    /// The row's identity; no figure depends on it.
    pub id: i64,
    /// What was eaten; it only gives an order to rows of the same time.
    pub food_name: String,
    /// One of the names of [`MealType`], unless the row is to be rejected.
    pub meal_type: String,
    /// When it was eaten.
    pub eaten_at: Timestamp,
    /// The row's own zone, an IANA name or an offset.
    pub time_zone: Option<String>,
    /// Who recorded it, [folded](crate::fold_source).
    pub source: String,
    /// The amounts in the order and the units of [`NUTRIENTS`]; `None` is unknown, not 0.
    pub nutrients: [Option<f64>; 32],
}

/// The meal that a row belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MealType {
    /// `breakfast`
    Breakfast,
    /// `lunch`
    Lunch,
    /// `dinner`
    Dinner,
    /// `snack`
    Snack,
    /// `other`
    Other,
}

impl MealType {
    /// Every meal type, in the order of [`NutritionDay::meals`].
    pub const ALL: [Self; 5] =
        [Self::Breakfast, Self::Lunch, Self::Dinner, Self::Snack, Self::Other];

    /// The name in raw rows, and the prefix of the daily columns.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Breakfast => "breakfast",
            Self::Lunch => "lunch",
            Self::Dinner => "dinner",
            Self::Snack => "snack",
            Self::Other => "other",
        }
    }
}

/// The text names no meal type.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the meal types are breakfast, lunch, dinner, snack and other")]
pub struct UnknownMealType;

impl FromStr for MealType {
    type Err = UnknownMealType;

    /// Surrounding space and the case of letters do not matter.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        Self::ALL
            .into_iter()
            .find(|meal| text.eq_ignore_ascii_case(meal.name()))
            .ok_or(UnknownMealType)
    }
}

/// Judges one row: the local date whose figures it enters.
///
/// # Errors
/// The first of [`Reason::TimeOutOfRange`], [`Reason::UnknownTimeZone`] (the row's own zone, or
/// without one the base zone), [`Reason::UnknownMealType`], [`Reason::NonFiniteValue`] and
/// [`Reason::ImplausibleValue`] (below 0 or above [`LARGEST_AMOUNT`]) that applies.
pub fn judge(row: &RawMeal, base_zone: &BaseZone) -> Result<NaiveDate, Reason> {
    let place = find(row, &mut Places::of(base_zone))?;
    Meal::accept(row, place).map(|_| place.date)
}

/// The local date in whose [`NutritionDay`] the row appears, as an item or as a rejected row.
///
/// `None` if its time or its zone is the objection: nothing dates the row then, and it appears
/// in `rejected_rows` alone.
pub fn date_of(row: &RawMeal, base_zone: &BaseZone) -> Option<NaiveDate> {
    find(row, &mut Places::of(base_zone)).map(|place| place.date).ok()
}

fn find<'a>(row: &'a RawMeal, places: &mut Places<'a>) -> Result<Place, Reason> {
    places.find(row.eaten_at, row.time_zone.as_deref())
}

/// The figures of local date `date` from all raw rows of one user around it; rows of other
/// dates are left out. `None` if the date has neither an item nor a rejected row.
///
/// The order of `rows` does not matter, nor do their ids.
pub fn figures(rows: &[RawMeal], date: NaiveDate, base_zone: &BaseZone) -> Option<NutritionDay> {
    let mut places = Places::of(base_zone);
    let mut meals = Vec::new();
    let mut rejected = Vec::new();
    for row in rows {
        let Ok(place) = find(row, &mut places) else {
            continue;
        };
        if place.date != date {
            continue;
        }
        match Meal::accept(row, place) {
            Ok(meal) => meals.push(meal),
            Err(_) => rejected.push((row.eaten_at, place)),
        }
    }
    if meals.is_empty() && rejected.is_empty() {
        return None;
    }
    meals.sort_by(Meal::fact_order);
    rejected.sort_by_cached_key(|(at, place)| (*at, place.zone.to_string()));

    // Rejected rows have no say in the zone unless nothing else names one.
    let zone = places
        .zone_of_day(meals.iter().map(|meal| meal.place))
        .or_else(|| places.zone_of_day(rejected.iter().map(|(_, place)| *place)))?;
    Some(NutritionDay::of(&meals, rejected.len(), zone, date))
}

/// An accepted row.
#[derive(Debug)]
struct Meal<'a> {
    row: &'a RawMeal,
    meal_type: MealType,
    place: Place,
}

impl<'a> Meal<'a> {
    /// Judges everything but the place.
    fn accept(row: &'a RawMeal, place: Place) -> Result<Self, Reason> {
        let meal_type = row.meal_type.parse().map_err(|UnknownMealType| Reason::UnknownMealType)?;
        let known = || row.nutrients.iter().flatten();
        if !known().all(|amount| amount.is_finite()) {
            return Err(Reason::NonFiniteValue);
        }
        if !known().all(|amount| (0.0..=LARGEST_AMOUNT).contains(amount)) {
            return Err(Reason::ImplausibleValue);
        }
        Ok(Self { row, meal_type, place })
    }

    /// The order in which sums run: everything that a figure is made of, and nothing else, so
    /// that rows which compare equal can change places unnoticed.
    fn fact_order(&self, other: &Self) -> Ordering {
        let (a, b) = (self.row, other.row);
        a.eaten_at
            .cmp(&b.eaten_at)
            .then_with(|| a.source.cmp(&b.source))
            .then_with(|| a.food_name.cmp(&b.food_name))
            .then_with(|| self.meal_type.cmp(&other.meal_type))
            .then_with(|| a.time_zone.cmp(&b.time_zone))
            .then_with(|| {
                let pairs = a.nutrients.iter().zip(&b.nutrients);
                pairs
                    .map(|(a, b)| compare_amounts(*a, *b))
                    .find(|o| o.is_ne())
                    .unwrap_or(Ordering::Equal)
            })
    }

    fn amount(&self, nutrient: usize) -> Option<f64> {
        self.row.nutrients.get(nutrient).copied().flatten()
    }
}

/// Unknown before known, then by size.
fn compare_amounts(a: Option<f64>, b: Option<f64>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.is_some().cmp(&b.is_some()),
    }
}
