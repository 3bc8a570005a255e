use std::sync::LazyLock;

use chrono::NaiveDate;

use super::*;
use crate::catalogue::Catalogue;
use crate::timestamp::HOUR_US;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::built_in().unwrap());

pub(super) fn figures(
    rows: &[RawMeal],
    date: NaiveDate,
    base_zone: &BaseZone,
) -> Option<NutritionDay> {
    super::figures(rows, date, base_zone, CATALOGUE.nutrients())
}

pub(super) fn judge(row: &RawMeal, base_zone: &BaseZone) -> Result<NaiveDate, Reason> {
    super::judge(row, base_zone, CATALOGUE.nutrients())
}

pub(super) fn zone(text: &str) -> BaseZone {
    text.parse()
}

pub(super) fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// An instant written `2024-03-05 12:00`, UTC.
pub(super) fn at(text: &str) -> Timestamp {
    let clock = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
    Timestamp::from_utc_clock(clock)
}

fn meal(eaten_at: &str, meal_type: &str, nutrients: &[(&str, f64)]) -> RawMeal {
    let mut amounts = [None; 32];
    for (name, amount) in nutrients {
        amounts[nutrient(name)] = Some(*amount);
    }
    RawMeal {
        id: 1,
        food_name: "food".to_owned(),
        meal_type: meal_type.to_owned(),
        eaten_at: at(eaten_at),
        time_zone: None,
        source: "app".to_owned(),
        nutrients: amounts,
    }
}

fn nutrient(name: &str) -> usize {
    NUTRIENTS.iter().position(|n| *n == name).unwrap()
}

fn in_zone(zone: &str, row: RawMeal) -> RawMeal {
    RawMeal { time_zone: Some(zone.to_owned()), ..row }
}

fn figures_in_utc(rows: &[RawMeal], day: &str) -> Option<NutritionDay> {
    figures(rows, date(day), &zone("UTC"))
}

#[test]
fn the_nutrients_are_the_columns_of_the_contract_in_its_order() {
    let contract = "energy_kcal protein_g fat_g carbohydrate_g fiber_g sugar_g sodium_mg \
        saturated_fat_g cholesterol_mg alcohol_g water_g caffeine_mg vitamin_a_ug vitamin_c_mg \
        vitamin_d_ug vitamin_e_mg vitamin_k_ug thiamin_mg riboflavin_mg niacin_mg vitamin_b6_mg \
        vitamin_b12_ug folate_ug calcium_mg iron_mg magnesium_mg phosphorus_mg potassium_mg \
        zinc_mg copper_mg manganese_mg selenium_ug";
    assert_eq!(NUTRIENTS.join(" "), contract);
    assert_eq!(NUTRIENTS[index::ENERGY], "energy_kcal");
    assert_eq!(NUTRIENTS[index::PROTEIN], "protein_g");
    assert_eq!(NUTRIENTS[index::FAT], "fat_g");
    assert_eq!(NUTRIENTS[index::CARBOHYDRATE], "carbohydrate_g");
    assert_eq!(NUTRIENTS[index::ALCOHOL], "alcohol_g");
}

#[test]
fn a_day_sums_what_is_known_and_leaves_the_rest_unknown() {
    let rows = [
        meal("2024-03-05 08:00", "breakfast", &[("energy_kcal", 300.0), ("iron_mg", 0.0)]),
        meal("2024-03-05 12:30", "lunch", &[("energy_kcal", 700.5)]),
        meal("2024-03-05 16:00", "lunch", &[("protein_g", 7.0)]),
        meal("2024-03-05 17:00", "snack", &[]),
        meal("2024-03-06 08:00", "breakfast", &[("energy_kcal", 5000.0)]),
    ];
    let day = figures_in_utc(&rows, "2024-03-05").unwrap();
    assert_eq!(day.item_count, 4);
    assert_eq!(day.totals[nutrient("energy_kcal")], Some(1000.5));
    assert_eq!(day.totals[nutrient("iron_mg")], Some(0.0), "a known 0 is 0");
    assert_eq!(day.totals[nutrient("zinc_mg")], None, "what nobody knows is not 0");
    assert_eq!(
        day.meal(MealType::Breakfast),
        MealFigures { item_count: 1, energy_kcal: Some(300.0) }
    );
    assert_eq!(day.meal(MealType::Lunch), MealFigures { item_count: 2, energy_kcal: Some(700.5) });
    assert_eq!(day.meal(MealType::Snack), MealFigures { item_count: 1, energy_kcal: None });
    assert_eq!(day.meal(MealType::Other), MealFigures::default());
    assert_eq!(day.first_eaten_at, Some(at("2024-03-05 08:00")));
    assert_eq!(day.last_eaten_at, Some(at("2024-03-05 17:00")));
    assert_eq!(day.rejected_count, 0);
    assert_eq!(day.time_zone, "UTC");
    assert_eq!((day.day_start, day.day_end), (at("2024-03-05 00:00"), at("2024-03-06 00:00")));
}

#[test]
fn two_servings_of_the_same_food_are_two() {
    let row = meal("2024-03-05 08:00", "snack", &[("energy_kcal", 90.0)]);
    let day = figures_in_utc(&[row.clone(), row], "2024-03-05").unwrap();
    assert_eq!((day.item_count, day.totals[index::ENERGY]), (2, Some(180.0)));
}

#[test]
fn a_day_without_any_row_has_no_figures() {
    assert_eq!(figures_in_utc(&[], "2024-03-05"), None);
    let row = meal("2024-03-06 00:00", "snack", &[]);
    assert_eq!(figures_in_utc(&[row], "2024-03-05"), None);
}

#[test]
fn energy_by_macronutrients_follows_the_atwater_factors() {
    let grams =
        [("carbohydrate_g", 50.0), ("protein_g", 25.0), ("fat_g", 10.0), ("alcohol_g", 30.0)];
    let rows = [meal("2024-03-05 08:00", "dinner", &grams)];
    let macros = figures_in_utc(&rows, "2024-03-05").unwrap().macros;
    // 200 + 100 + 90 + 210 = 600 kcal
    assert_eq!(macros.carbohydrate_kcal, Some(200.0));
    assert_eq!(macros.protein_kcal, Some(100.0));
    assert_eq!(macros.fat_kcal, Some(90.0));
    assert_eq!(macros.alcohol_kcal, Some(210.0));
    assert_eq!(macros.carbohydrate_percent, Some(20_000.0 / 600.0));
    assert_eq!(macros.protein_percent, Some(10_000.0 / 600.0));
    assert_eq!(macros.fat_percent, Some(15.0));
    assert_eq!(macros.alcohol_percent, Some(35.0));
}

#[test]
fn unknown_alcohol_counts_as_none_in_the_percentages() {
    let grams = [("carbohydrate_g", 25.0), ("protein_g", 25.0), ("fat_g", 0.0)];
    let rows = [meal("2024-03-05 08:00", "dinner", &grams)];
    let macros = figures_in_utc(&rows, "2024-03-05").unwrap().macros;
    assert_eq!((macros.carbohydrate_percent, macros.fat_percent), (Some(50.0), Some(0.0)));
    assert_eq!((macros.alcohol_kcal, macros.alcohol_percent), (None, None));
}

#[test]
fn percentages_need_all_three_macronutrients_and_some_energy() {
    let without_fat = [("carbohydrate_g", 25.0), ("protein_g", 25.0)];
    let nothing = [("carbohydrate_g", 0.0), ("protein_g", 0.0), ("fat_g", 0.0)];
    for grams in [&without_fat[..], &nothing[..]] {
        let rows = [meal("2024-03-05 08:00", "dinner", grams)];
        let macros = figures_in_utc(&rows, "2024-03-05").unwrap().macros;
        assert_eq!(macros.carbohydrate_percent, None);
        assert_eq!(macros.protein_percent, None);
        assert_eq!(macros.fat_percent, None);
    }
}

#[test]
fn a_rows_first_objection_is_its_reason() {
    let good = meal("2024-03-05 08:00", "dinner", &[("fat_g", 1500.0), ("iron_mg", 0.0)]);
    let utc = zone("UTC");
    assert_eq!(judge(&good, &utc), Ok(date("2024-03-05")));

    let mut row = good.clone();
    row.nutrients[5] = Some(-0.001);
    assert_eq!(judge(&row, &utc), Err(Reason::ImplausibleValue));
    row.nutrients[5] = Some(3000.1);
    assert_eq!(judge(&row, &utc), Err(Reason::ImplausibleValue));
    for not_a_number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        row.nutrients[31] = Some(not_a_number);
        assert_eq!(judge(&row, &utc), Err(Reason::NonFiniteValue));
    }
    row.time_zone = Some("Europe/Atlantis".to_owned());
    assert_eq!(judge(&row, &utc), Err(Reason::UnknownTimeZone));
    row.eaten_at = Timestamp(i64::MAX);
    assert_eq!(judge(&row, &utc), Err(Reason::TimeOutOfRange));
}

#[test]
fn a_slip_of_units_rejects_its_row_and_a_day_in_one_row_does_not() {
    let utc = zone("UTC");
    let judged = |nutrients: &[(&str, f64)]| {
        judge(&meal("2024-03-05 08:00", "lunch", nutrients), &utc).err()
    };
    for slip in [("energy_kcal", 450_000.0), ("protein_g", 25_000.0), ("sodium_mg", 1_500_000.0)] {
        assert_eq!(judged(&[slip, ("fat_g", 10.0)]), Some(Reason::ImplausibleValue), "{}", slip.0);
    }
    for much in [("energy_kcal", 12_000.0), ("water_g", 20_000.0), ("vitamin_d_ug", 7_500.0)] {
        assert_eq!(judged(&[much]), None, "{}", much.0);
    }
}

#[test]
fn no_label_loses_the_energy_of_its_meal() {
    let rows = ["Breakfast", "Snacks", "brunch", "unknown", ""]
        .map(|label| meal("2024-03-05 08:00", label, &[("energy_kcal", 100.0)]));
    let day = figures_in_utc(&rows, "2024-03-05").unwrap();
    assert_eq!((day.item_count, day.rejected_count), (5, 0));
    assert_eq!(day.totals[index::ENERGY], Some(500.0));
    let counts = MealType::ALL.map(|meal_type| day.meal(meal_type).item_count);
    assert_eq!(counts, [1, 1, 0, 1, 2]);
}

#[test]
fn an_unknown_base_zone_rejects_only_rows_without_a_zone_of_their_own() {
    let row = meal("2024-03-05 08:00", "dinner", &[]);
    assert_eq!(judge(&row, &zone("nowhere")), Err(Reason::UnknownTimeZone));
    assert_eq!(date_of(&row, &zone("nowhere")), None);
    let row = in_zone("Asia/Tokyo", row);
    assert_eq!(judge(&row, &zone("nowhere")), Ok(date("2024-03-05")));
    let day = figures(&[row], date("2024-03-05"), &zone("nowhere")).unwrap();
    assert_eq!(day.time_zone, "Asia/Tokyo");
}

#[test]
fn rejected_rows_are_counted_on_their_date_and_never_summed() {
    let mut rows = vec![
        meal("2024-03-05 08:00", "breakfast", &[("fat_g", 3.0)]),
        meal("2024-03-05 09:00", "brunch", &[("fat_g", 2000.0)]),
        meal("2024-03-05 10:00", "snack", &[("fat_g", -1.0)]),
        in_zone("Mars", meal("2024-03-05 11:00", "snack", &[("fat_g", 100.0)])),
        meal("2024-03-06 10:00", "snack", &[("fat_g", -1.0)]),
    ];
    let day = figures_in_utc(&rows, "2024-03-05").unwrap();
    assert_eq!((day.item_count, day.rejected_count), (1, 2));
    assert_eq!(day.totals[nutrient("fat_g")], Some(3.0));
    assert_eq!(date_of(&rows[2], &zone("UTC")), Some(date("2024-03-05")));
    assert_eq!(date_of(&rows[3], &zone("UTC")), None, "an unknown zone dates nothing");

    rows.remove(0);
    let day = figures_in_utc(&rows, "2024-03-05").unwrap();
    assert_eq!((day.item_count, day.rejected_count), (0, 2));
    assert_eq!((day.first_eaten_at, day.last_eaten_at), (None, None));
    assert_eq!(day.totals, [None; 32]);
    assert_eq!(day.time_zone, "UTC");
}

#[test]
fn a_rejected_row_alone_is_dated_by_its_own_zone_if_the_base_zone_is_unknown() {
    let row = in_zone("Asia/Tokyo", meal("2024-03-05 20:00", "brunch", &[("fat_g", -1.0)]));
    let day = figures(&[row], date("2024-03-06"), &zone("nowhere")).unwrap();
    assert_eq!((day.item_count, day.rejected_count), (0, 1));
    assert_eq!(day.time_zone, "Asia/Tokyo");
}

#[test]
fn with_an_unknown_base_zone_and_several_own_ones_the_facts_choose_not_the_order() {
    for fat in [1.0, -1.0] {
        let row = |zone| in_zone(zone, meal("2024-03-05 06:00", "snack", &[("fat_g", fat)]));
        let (tokyo, paris) = (row("Asia/Tokyo"), row("Europe/Paris"));
        for rows in [[tokyo.clone(), paris.clone()], [paris, tokyo]] {
            let day = figures(&rows, date("2024-03-05"), &zone("nowhere")).unwrap();
            assert_eq!(day.time_zone, "Asia/Tokyo");
        }
    }
}

#[test]
fn a_meal_counts_on_the_date_of_its_own_zone() {
    // 20:00 UTC is the next day in Tokyo.
    let rows = [
        in_zone("Asia/Tokyo", meal("2024-03-05 20:00", "dinner", &[("fat_g", 1.0)])),
        meal("2024-03-05 20:00", "dinner", &[("fat_g", 2.0)]),
    ];
    let (fifth, sixth) = (
        figures_in_utc(&rows, "2024-03-05").unwrap(),
        figures_in_utc(&rows, "2024-03-06").unwrap(),
    );
    assert_eq!((fifth.totals[2], fifth.time_zone.as_str()), (Some(2.0), "UTC"));
    assert_eq!((sixth.totals[2], sixth.time_zone.as_str()), (Some(1.0), "Asia/Tokyo"));
    assert_eq!(sixth.day_start, at("2024-03-05 15:00"));
    assert_eq!(sixth.day_end, at("2024-03-06 15:00"));
}

#[test]
fn the_days_bounds_follow_changes_of_the_clock() {
    let rows = [meal("2024-03-31 10:00", "lunch", &[])];
    let day = figures(&rows, date("2024-03-31"), &zone("Europe/Berlin")).unwrap();
    assert_eq!(day.day_end.since(day.day_start), 23 * HOUR_US);
}
