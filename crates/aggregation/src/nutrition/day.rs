//! The figures of one day of nutrition.

use chrono::NaiveDate;

use super::{Meal, MealType, NUTRIENTS, index};
use crate::Timestamp;
use crate::local_time::Zone;

/// kcal per gram of carbohydrate, of protein, of fat and of alcohol: the general Atwater
/// factors (Merrill and Watt, USDA Agriculture Handbook 74, 1973; FAO Food and Nutrition
/// Paper 77, 2003).
const CARBOHYDRATE_KCAL_PER_G: f64 = 4.0;
const PROTEIN_KCAL_PER_G: f64 = 4.0;
const FAT_KCAL_PER_G: f64 = 9.0;
const ALCOHOL_KCAL_PER_G: f64 = 7.0;

/// The figures of one user's local day: a row of `nutrition_daily`.
#[derive(Clone, Debug, PartialEq)]
pub struct NutritionDay {
    /// Accepted rows.
    pub item_count: i32,
    /// The sum of each of [`NUTRIENTS`], in its unit; `None` where no row knows it.
    pub totals: [Option<f64>; 32],
    /// The meals in the order of [`MealType::ALL`]; see [`NutritionDay::meal`].
    pub meals: [MealFigures; 5],
    /// Energy by macronutrients, calculated from their grams.
    pub macros: MacroEnergy,
    /// When the day's first item was eaten; `None` if all rows were rejected.
    pub first_eaten_at: Option<Timestamp>,
    /// When the day's last item was eaten; `None` if all rows were rejected.
    pub last_eaten_at: Option<Timestamp>,
    /// Rejected rows that fall on this date.
    pub rejected_count: i32,
    /// The zone of [`NutritionDay::day_start`] and [`NutritionDay::day_end`].
    pub time_zone: String,
    /// The first instant of the date in that zone.
    pub day_start: Timestamp,
    /// The first instant after the date in that zone.
    pub day_end: Timestamp,
}

/// The rows of one meal type.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MealFigures {
    /// Accepted rows.
    pub item_count: i32,
    /// Their energy in kcal as recorded; `None` where no row knows it.
    pub energy_kcal: Option<f64>,
}

/// Energy by macronutrients: 4, 4, 9 and 7 kcal per gram of carbohydrate, protein, fat and
/// alcohol (general Atwater factors). It need not agree with the recorded energy.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MacroEnergy {
    /// kcal from carbohydrate; `None` where the day's carbohydrate is unknown.
    pub carbohydrate_kcal: Option<f64>,
    /// kcal from protein; `None` where the day's protein is unknown.
    pub protein_kcal: Option<f64>,
    /// kcal from fat; `None` where the day's fat is unknown.
    pub fat_kcal: Option<f64>,
    /// kcal from alcohol; `None` where the day's alcohol is unknown.
    pub alcohol_kcal: Option<f64>,
    /// Percent of the sum of the four that comes from carbohydrate. All percentages are `None`
    /// unless carbohydrate, protein and fat are known and the sum is above 0; unknown alcohol
    /// counts as none in the sum.
    pub carbohydrate_percent: Option<f64>,
    /// Percent of the sum from protein.
    pub protein_percent: Option<f64>,
    /// Percent of the sum from fat.
    pub fat_percent: Option<f64>,
    /// Percent of the sum from alcohol; `None` also where alcohol is unknown, which is not 0 %.
    pub alcohol_percent: Option<f64>,
}

impl NutritionDay {
    /// The figures of `meals`, which come in the order of their facts.
    pub(super) fn of(meals: &[Meal<'_>], rejected: usize, zone: Zone, date: NaiveDate) -> Self {
        let mut totals = [None; NUTRIENTS.len()];
        for (nutrient, total) in totals.iter_mut().enumerate() {
            *total = sum_of_known(meals.iter().map(|meal| meal.amount(nutrient)));
        }
        Self {
            item_count: count(meals.len()),
            totals,
            meals: MealType::ALL.map(|meal_type| MealFigures::of(meals, meal_type)),
            macros: MacroEnergy::of(&totals),
            first_eaten_at: meals.first().map(|meal| meal.row.eaten_at),
            last_eaten_at: meals.last().map(|meal| meal.row.eaten_at),
            rejected_count: count(rejected),
            time_zone: zone.to_string(),
            day_start: zone.day_start(date),
            day_end: zone.day_end(date),
        }
    }

    /// The figures of one meal type.
    pub const fn meal(&self, meal_type: MealType) -> MealFigures {
        self.meals[meal_type as usize]
    }
}

impl MealFigures {
    fn of(meals: &[Meal<'_>], meal_type: MealType) -> Self {
        let of_type = || meals.iter().filter(|meal| meal.meal_type == meal_type);
        Self {
            item_count: count(of_type().count()),
            energy_kcal: sum_of_known(of_type().map(|meal| meal.amount(index::ENERGY))),
        }
    }
}

impl MacroEnergy {
    fn of(totals: &[Option<f64>; 32]) -> Self {
        let carbohydrate = totals[index::CARBOHYDRATE].map(|g| g * CARBOHYDRATE_KCAL_PER_G);
        let protein = totals[index::PROTEIN].map(|g| g * PROTEIN_KCAL_PER_G);
        let fat = totals[index::FAT].map(|g| g * FAT_KCAL_PER_G);
        let alcohol = totals[index::ALCOHOL].map(|g| g * ALCOHOL_KCAL_PER_G);
        let sum = match (carbohydrate, protein, fat) {
            (Some(c), Some(p), Some(f)) => Some(c + p + f + alcohol.unwrap_or(0.0)),
            _ => None,
        };
        let percent = |part: Option<f64>| {
            let sum = sum.filter(|sum| *sum > 0.0)?;
            Some(100.0 * part? / sum)
        };
        Self {
            carbohydrate_kcal: carbohydrate,
            protein_kcal: protein,
            fat_kcal: fat,
            alcohol_kcal: alcohol,
            carbohydrate_percent: percent(carbohydrate),
            protein_percent: percent(protein),
            fat_percent: percent(fat),
            alcohol_percent: percent(alcohol),
        }
    }
}

/// The sum of what is known, in the order given; `None` if nothing is.
fn sum_of_known(amounts: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    amounts.flatten().fold(None, |sum, amount| Some(sum.unwrap_or(0.0) + amount))
}

fn count(rows: usize) -> i32 {
    i32::try_from(rows).unwrap_or(i32::MAX)
}
