//! Days of nutrition.

use super::{lines, rejected, user_in};
use crate::support::Database;

async fn eaten(rows: &str) -> Database {
    let db = user_in("Europe/Berlin", "").await;
    db.execute(&format!(
        "INSERT INTO nutrition_raw (user_id, food_name, source, meal_type, eaten_at, energy_kcal,
                                    protein_g, fat_g, carbohydrate_g, alcohol_g, vitamin_c_mg)
         SELECT 1, 'food', 'app', v.*
         FROM (VALUES {rows}) AS v (meal, at, kcal, protein, fat, carbohydrate, alcohol, c)"
    ))
    .await;
    db.run_once();
    db
}

#[tokio::test]
async fn what_no_row_knows_stays_unknown_and_is_not_zero() {
    let db = eaten(
        "('lunch', timestamptz '2024-05-01 12:00+02', 500::float8, 10::float8, NULL::float8, 50::float8, NULL::float8, NULL::float8),
         ('lunch', '2024-05-01 12:00+02', NULL, 5, NULL, NULL, NULL, 0),
         ('snack', '2024-05-01 16:00+02', NULL, NULL, NULL, NULL, NULL, NULL)",
    )
    .await;
    let day = lines(
        &db,
        "SELECT concat_ws(' ', energy_kcal, protein_g, coalesce(fat_g::text, 'NULL'), carbohydrate_g,
                          vitamin_c_mg, coalesce(iron_mg::text, 'NULL'), lunch_count,
                          lunch_energy_kcal, snack_count,
                          coalesce(snack_energy_kcal::text, 'NULL'), dinner_count,
                          coalesce(dinner_energy_kcal::text, 'NULL'))
         FROM nutrition_daily",
    )
    .await;
    assert_eq!(day, ["500 15 NULL 50 0 NULL 2 500 1 NULL 0 NULL"]);
    let macros = lines(
        &db,
        "SELECT concat_ws(' ', protein_kcal, carbohydrate_kcal, num_nulls(fat_kcal, alcohol_kcal,
                          carbohydrate_percent, protein_percent, fat_percent, alcohol_percent))
         FROM nutrition_daily",
    )
    .await;
    assert_eq!(macros, ["60 200 6"], "without the fat no share of it is known");
}

#[tokio::test]
async fn energy_by_macronutrients_is_4_4_9_7_and_its_shares_make_a_hundred() {
    let db = eaten(
        "('dinner', timestamptz '2024-05-01 19:00+02', 1000::float8, 25::float8, 20::float8, 75::float8, 20::float8, 1::float8),
         ('other', '2024-05-01 20:00+02', NULL, 0, 0, 20, NULL, NULL)",
    )
    .await;
    let day = lines(
        &db,
        "SELECT concat_ws(' ', carbohydrate_kcal, protein_kcal, fat_kcal, alcohol_kcal,
                          carbohydrate_percent, protein_percent, fat_percent, alcohol_percent)
         FROM nutrition_daily",
    )
    .await;
    let kcal = 380.0 + 100.0 + 180.0 + 140.0;
    let percent = |part: f64| 100.0 * part / kcal;
    assert_eq!(
        day,
        [format!(
            "380 100 180 140 {} {} {} {}",
            percent(380.0),
            percent(100.0),
            percent(180.0),
            percent(140.0)
        )]
    );
}

#[tokio::test]
async fn no_label_loses_the_energy_of_its_meal() {
    let unknown = ", NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::float8)";
    let db = eaten(&format!(
        "('Breakfast', timestamptz '2024-05-01 08:00+02', 400::float8{unknown},
         ('Snacks', '2024-05-01 16:00+02', 250{unknown}, ('Dinner', '2024-05-01 19:00+02', 700{unknown},
         ('brunch', '2024-05-01 11:00+02', 300{unknown}, ('unknown', '2024-05-01 20:00+02', 50{unknown}"
    ))
    .await;
    let day =
        "SELECT concat_ws(' ', item_count, rejected_count, energy_kcal, breakfast_energy_kcal,
                                lunch_energy_kcal, dinner_energy_kcal, snack_energy_kcal,
                                other_energy_kcal)
               FROM nutrition_daily";
    assert_eq!(lines(&db, day).await, ["5 0 1700 400 300 700 250 50"]);
}

#[tokio::test]
async fn a_slip_of_units_rejects_its_row_alone() {
    let db = eaten(
        "('lunch', timestamptz '2024-05-01 12:00+02', 450000::float8, 20::float8, NULL::float8, NULL::float8, NULL::float8, NULL::float8),
         ('lunch', '2024-05-01 12:00+02', 450, 25000, NULL, NULL, NULL, NULL),
         ('dinner', '2024-05-01 19:00+02', 700, 30, NULL, NULL, NULL, NULL)",
    )
    .await;
    let day = "SELECT concat_ws(' ', item_count, rejected_count, energy_kcal, protein_g)
               FROM nutrition_daily";
    assert_eq!(lines(&db, day).await, ["1 2 700 30"]);
    assert_eq!(
        rejected(&db).await,
        ["nutrition 1 implausible_value", "nutrition 2 implausible_value"]
    );
}

#[tokio::test]
async fn two_servings_of_the_same_are_two() {
    let row = "('snack', timestamptz '2024-05-01 12:00+02', 500::float8, NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::float8)";
    let db = eaten(&format!("{row}, {row}")).await;
    let day = "SELECT concat_ws(' ', item_count, energy_kcal) FROM nutrition_daily";
    assert_eq!(lines(&db, day).await, ["2 1000"]);
}

#[tokio::test]
async fn a_late_dinner_belongs_to_the_local_date() {
    let db = eaten(
        "('dinner', timestamptz '2024-05-01 21:59:59Z', 1::float8, NULL::float8, NULL::float8, NULL::float8, NULL::float8, NULL::float8),
         ('dinner', '2024-05-01 22:00:00Z', 2, NULL, NULL, NULL, NULL, NULL)",
    )
    .await;
    let days =
        "SELECT concat_ws(' ', local_date, energy_kcal, time_zone) FROM nutrition_daily ORDER BY 1";
    assert_eq!(
        lines(&db, days).await,
        ["2024-05-01 1 Europe/Berlin", "2024-05-02 2 Europe/Berlin"]
    );
}
