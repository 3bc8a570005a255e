//! Days of nutrition.

use aggregation::{Timestamp, UserId};
use chrono::NaiveDate;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, Bool, Date, Double, Integer, Nullable, Text, Timestamptz};

use super::DayRow;
use crate::error::StoreError;
use crate::snapshot::Snapshot;
use crate::sql::statement::statement;
use crate::sql::time::from_postgres;
use crate::sql::user_key::UserKey;

/// A row of `nutrition_daily`.
#[derive(Clone, Debug, PartialEq)]
pub struct NutritionSums {
    /// Date, zone and circumstances.
    pub day: DayRow,
    /// Number of foods and drinks.
    pub item_count: i32,
    /// The sum of each nutrient, in the order of [`aggregation::nutrition::NUTRIENTS`].
    pub nutrients: Vec<Option<f64>>,
    /// The meals: breakfast, lunch, dinner, snack and other.
    pub meals: Vec<MealEnergy>,
    /// Energy by carbohydrate, protein, fat and alcohol, in kcal.
    pub macronutrients: Vec<Option<f64>>,
    /// Their shares of that energy, in percent.
    pub shares: Vec<Option<f64>>,
    /// Time of the first meal.
    pub first_eaten_at: Option<Timestamp>,
    /// Time of the last meal.
    pub last_eaten_at: Option<Timestamp>,
}

/// One meal type of a day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MealEnergy {
    /// Number of foods and drinks.
    pub count: i32,
    /// Their energy, as far as known.
    pub energy_kcal: Option<f64>,
}

/// The nutrients are in the order of [`aggregation::nutrition::NUTRIENTS`].
const READ: &str = "\
    SELECT local_date, time_zone, is_partial, rejected_count, algorithm_version, computed_at,
           item_count, first_eaten_at, last_eaten_at,
           ARRAY[energy_kcal, protein_g, fat_g, carbohydrate_g, fiber_g, sugar_g, sodium_mg,
                 saturated_fat_g, cholesterol_mg, alcohol_g, water_g, caffeine_mg, vitamin_a_ug,
                 vitamin_c_mg, vitamin_d_ug, vitamin_e_mg, vitamin_k_ug, thiamin_mg, riboflavin_mg,
                 niacin_mg, vitamin_b6_mg, vitamin_b12_ug, folate_ug, calcium_mg, iron_mg,
                 magnesium_mg, phosphorus_mg, potassium_mg, zinc_mg, copper_mg, manganese_mg,
                 selenium_ug],
           ARRAY[breakfast_count, lunch_count, dinner_count, snack_count, other_count],
           ARRAY[breakfast_energy_kcal, lunch_energy_kcal, dinner_energy_kcal, snack_energy_kcal,
                 other_energy_kcal],
           ARRAY[carbohydrate_kcal, protein_kcal, fat_kcal, alcohol_kcal],
           ARRAY[carbohydrate_percent, protein_percent, fat_percent, alcohol_percent]
    FROM nutrition_daily
    WHERE user_id = {user_id} AND local_date BETWEEN {from} AND {to}
    ORDER BY local_date";

statement! {
    struct ReadDays {
        user_id: UserId => UserKey,
        from: NaiveDate => Date,
        to: NaiveDate => Date,
    } -> (
        (Date, Text, Bool, Integer, Integer, Timestamptz),
        (Integer, Nullable<Timestamptz>, Nullable<Timestamptz>),
        (Array<Nullable<Double>>, Array<Integer>, Array<Nullable<Double>>),
        (Array<Nullable<Double>>, Array<Nullable<Double>>)
    )
    READ
}

pub(super) async fn days(
    snapshot: &mut Snapshot<'_>,
    user_id: UserId,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<NutritionSums>, StoreError> {
    type Numbers = Vec<Option<f64>>;
    type Columns = (
        (NaiveDate, String, bool, i32, i32, PgTimestamp),
        (i32, Option<PgTimestamp>, Option<PgTimestamp>),
        (Numbers, Vec<i32>, Numbers),
        (Numbers, Numbers),
    );
    let rows: Vec<Columns> = snapshot.load(ReadDays { user_id, from, to }).await?;
    let day = |(day, eaten, (nutrients, counts, energies), (macronutrients, shares)): Columns| {
        let (date, time_zone, is_partial, rejected, algorithm_version, computed_at) = day;
        let (item_count, first, last) = eaten;
        let meal = |(count, energy_kcal)| MealEnergy { count, energy_kcal };
        NutritionSums {
            day: DayRow {
                date,
                time_zone,
                is_partial,
                rejected: Some(rejected),
                algorithm_version,
                computed_at: from_postgres(computed_at),
                sources: Vec::new(),
            },
            item_count,
            nutrients,
            meals: counts.into_iter().zip(energies).map(meal).collect(),
            macronutrients,
            shares,
            first_eaten_at: first.map(from_postgres),
            last_eaten_at: last.map(from_postgres),
        }
    };
    Ok(rows.into_iter().map(day).collect())
}

#[cfg(test)]
mod tests {
    use aggregation::nutrition::{MealType, NUTRIENTS};

    #[test]
    fn nutrients_and_meals_are_read_in_their_order() {
        let listed = super::READ.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(listed.contains(&format!("ARRAY[{}]", NUTRIENTS.join(", "))));
        for end in ["_count", "_energy_kcal"] {
            let meals = MealType::ALL.map(|meal| format!("{}{end}", meal.name())).join(", ");
            assert!(listed.contains(&format!("ARRAY[{meals}]")), "{meals}");
        }
    }
}
