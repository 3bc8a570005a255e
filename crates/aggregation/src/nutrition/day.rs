//! The figures of one day of nutrition.

use chrono::NaiveDate;
use xsum::{Xsum, XsumSmall};

use super::{MealType, NUTRIENTS, RawMeal, accept, find, index};
use crate::catalogue::Nutrients;
use crate::local_time::Zone;
use crate::raw::LocalDates;
use crate::zones::BaseZone;
use crate::{Reason, Timestamp};

/// kcal per gram of carbohydrate, protein, fat and alcohol. These are the general Atwater
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
    /// The sum of each of [`NUTRIENTS`], in its unit; `None` if no row has an amount.
    pub totals: [Option<f64>; 32],
    /// The meals in the order of [`MealType::ALL`]; see [`NutritionDay::meal`].
    pub meals: [MealFigures; 5],
    /// Energy by macronutrients, calculated from their grams.
    pub macros: MacroEnergy,
    /// The time of the day's first item; `None` if all rows were rejected.
    pub first_eaten_at: Option<Timestamp>,
    /// The time of the day's last item; `None` if all rows were rejected.
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
    /// Their energy in kcal as recorded; `None` if no row has it.
    pub energy_kcal: Option<f64>,
}

/// Energy by macronutrients: 4, 4, 9 and 7 kcal per gram of carbohydrate, protein, fat and alcohol
/// (general Atwater factors). It may differ from the recorded energy.
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
    /// unless carbohydrate, protein and fat are known and the sum is above 0. Unknown alcohol
    /// counts as 0 in the sum.
    pub carbohydrate_percent: Option<f64>,
    /// Percent of the sum from protein.
    pub protein_percent: Option<f64>,
    /// Percent of the sum from fat.
    pub fat_percent: Option<f64>,
    /// Percent of the sum from alcohol; `None` also if alcohol is unknown, which is not 0 %.
    pub alcohol_percent: Option<f64>,
}

/// Computes the figures of one date from rows that are added in any order.
pub struct DayBuilder<'a> {
    date: NaiveDate,
    base_zone: &'a BaseZone,
    nutrients: &'a Nutrients,
    dates: LocalDates<'a>,
    totals: [Sum; NUTRIENTS.len()],
    meals: [(usize, Sum); MealType::ALL.len()],
    eaten_at: Option<(Timestamp, Timestamp)>,
    zone: SharedZone,
    rejected: usize,
    zone_of_rejected: SharedZone,
}

impl std::fmt::Debug for DayBuilder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DayBuilder").field("date", &self.date).finish_non_exhaustive()
    }
}

impl<'a> DayBuilder<'a> {
    /// Starts with a date without rows.
    pub fn new(date: NaiveDate, base_zone: &'a BaseZone, nutrients: &'a Nutrients) -> Self {
        Self {
            date,
            base_zone,
            nutrients,
            dates: LocalDates::new(base_zone),
            totals: std::array::from_fn(|_| Sum::default()),
            meals: Default::default(),
            eaten_at: None,
            zone: SharedZone::default(),
            rejected: 0,
            zone_of_rejected: SharedZone::default(),
        }
    }

    /// Adds a row; a row of another date changes nothing.
    ///
    /// # Errors
    /// The reason for which the row is rejected, see [`judge`](super::judge).
    pub fn add(&mut self, row: &RawMeal) -> Result<(), Reason> {
        let found = find(row, &mut self.dates)?;
        let is_of_date = found.date == self.date;
        let meal_type = match accept(row, self.nutrients) {
            Ok(meal_type) => meal_type,
            Err(reason) => {
                if is_of_date {
                    self.rejected += 1;
                    self.zone_of_rejected.add(row.eaten_at, found.zone);
                }
                return Err(reason);
            }
        };
        if !is_of_date {
            return Ok(());
        }
        for (total, amount) in self.totals.iter_mut().zip(row.nutrients) {
            total.add(amount);
        }
        let (items, energy) = &mut self.meals[meal_type as usize];
        *items += 1;
        energy.add(row.nutrients[index::ENERGY]);
        let (first, last) = self.eaten_at.unwrap_or((row.eaten_at, row.eaten_at));
        self.eaten_at = Some((first.min(row.eaten_at), last.max(row.eaten_at)));
        self.zone.add(row.eaten_at, found.zone);
        Ok(())
    }

    /// The figures; `None` if the date has neither an item nor a rejected row.
    pub fn finish(mut self) -> Option<NutritionDay> {
        // Rejected rows decide the zone only if no other row names one.
        let zone = self.zone.find(self.base_zone).or(self.zone_of_rejected.find(self.base_zone))?;
        let totals = self.totals.each_mut().map(Sum::rounded);
        let meals = self.meals.each_mut().map(|(items, energy)| MealFigures {
            item_count: count(*items),
            energy_kcal: energy.rounded(),
        });
        Some(NutritionDay {
            item_count: count(self.meals.iter().map(|(items, _)| items).sum()),
            macros: MacroEnergy::from_totals(&totals),
            totals,
            meals,
            first_eaten_at: self.eaten_at.map(|(first, _)| first),
            last_eaten_at: self.eaten_at.map(|(_, last)| last),
            rejected_count: count(self.rejected),
            time_zone: zone.to_string(),
            day_start: zone.day_start(self.date),
            day_end: zone.day_end(self.date),
        })
    }
}

/// A sum of amounts. It is exact until it is rounded once, so the order of the rows does not change
/// its last bits.
#[derive(Default)]
struct Sum {
    exact: XsumSmall,
    is_known: bool,
}

impl Sum {
    /// Adds an amount. An unknown amount is not 0.
    fn add(&mut self, amount: Option<f64>) {
        if let Some(amount) = amount {
            self.exact.add(amount);
            self.is_known = true;
        }
    }

    /// The sum, rounded once; `None` if no amount is known.
    fn rounded(&mut self) -> Option<f64> {
        // Adding zero turns -0 into 0.
        self.is_known.then(|| self.exact.sum() + 0.0)
    }
}

/// Finds the zone that the rows of a date share.
#[derive(Default)]
struct SharedZone {
    /// The first row by its time and the name of its zone, independent of the order of arrival.
    first: Option<(Timestamp, Zone)>,
    has_others: bool,
}

impl SharedZone {
    fn add(&mut self, at: Timestamp, zone: Zone) {
        let Some((first_at, first)) = &mut self.first else {
            self.first = Some((at, zone));
            return;
        };
        let is_other = zone != *first;
        self.has_others |= is_other;
        let is_before =
            at < *first_at || (is_other && at == *first_at && zone.to_string() < first.to_string());
        if is_before {
            (*first_at, *first) = (at, zone);
        }
    }

    /// The zone that all rows share, else the base zone, else that of the first row; `None` without
    /// a row.
    fn find(&self, base: &BaseZone) -> Option<Zone> {
        let (_, first) = self.first?;
        Some(if self.has_others { base.as_ref().copied().unwrap_or(first) } else { first })
    }
}

impl NutritionDay {
    /// The figures of one meal type.
    pub const fn meal(&self, meal_type: MealType) -> MealFigures {
        self.meals[meal_type as usize]
    }
}

impl MacroEnergy {
    fn from_totals(totals: &[Option<f64>; 32]) -> Self {
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

fn count(rows: usize) -> i32 {
    i32::try_from(rows).unwrap_or(i32::MAX)
}
