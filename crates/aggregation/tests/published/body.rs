//! Energy of food, and sleep.

use std::collections::BTreeMap;

use aggregation::catalogue::Catalogue;
use aggregation::nutrition::{self, MacroEnergy, NUTRIENTS, RawMeal};
use aggregation::sleep::{self, Stage};

use crate::support::rows::{World, at, date, row};
use crate::{DAY, START, close};

fn energy_of(grams: &[(&str, f64)]) -> MacroEnergy {
    let mut nutrients = [None; 32];
    for (name, amount) in grams {
        nutrients[NUTRIENTS.iter().position(|nutrient| nutrient == name).unwrap()] = Some(*amount);
    }
    let meal = RawMeal {
        id: 1,
        food_name: "food".to_owned(),
        meal_type: "lunch".to_owned(),
        eaten_at: at(START),
        time_zone: None,
        source: "app".to_owned(),
        nutrients,
    };
    let catalogue = Catalogue::built_in().unwrap();
    let day = nutrition::figures(&[meal], date(DAY), &"UTC".parse(), catalogue.nutrients());
    day.unwrap().macros
}

/// The sample label of the FDA's rule of 2016 (81 FR 33742): 8 g of fat, 37 g of carbohydrate and 3
/// g of protein are labelled 230 kcal, rounded to ten. Fat gives 72 of 232 kcal.
#[test]
fn energy_by_atwaters_factors_is_that_of_the_fdas_sample_label() {
    let macros = energy_of(&[("fat_g", 8.0), ("carbohydrate_g", 37.0), ("protein_g", 3.0)]);
    let [fat, carbohydrate, protein] =
        [macros.fat_kcal, macros.carbohydrate_kcal, macros.protein_kcal].map(Option::unwrap);
    let sum: f64 = fat + carbohydrate + protein;
    assert_eq!((sum / 10.0).round() * 10.0, 230.0);
    assert_eq!([fat, carbohydrate, protein], [72.0, 148.0, 12.0]);
    assert!(close(macros.fat_percent.unwrap(), 900.0 / 29.0));
}

/// A standard drink of the NIAAA: 14 g of alcohol, 98 kcal.
#[test]
fn a_standard_drink_has_98_kcal_of_alcohol() {
    assert_eq!(energy_of(&[("alcohol_g", 14.0)]).alcohol_kcal, Some(98.0));
}

/// The AASM's manual: sleep efficiency is total sleep time divided by time in bed. 8 hours in bed
/// with 48 minutes awake are 90 %.
#[test]
fn sleep_efficiency_is_the_time_asleep_by_the_time_in_bed() {
    let segment = |from: &str, to: &str| {
        let [from, to] = [from, to].map(|clock| format!("2024-05-01T{clock}:00Z"));
        vec![row(1, "watch", "min", &from, &to, 1.0)]
    };
    let rows = BTreeMap::from([
        (Stage::InBed, segment("00:00", "08:00")),
        (Stage::Core, segment("00:30", "05:00")),
        (Stage::Awake, segment("05:00", "05:18")),
        (Stage::Rem, segment("05:18", "08:00")),
    ]);
    let days = sleep::figures(&World::new("UTC", &[]).context(), &rows);
    let day = &days[&date(DAY)];
    assert_eq!((day.asleep_minutes, day.in_bed_minutes), (Some(432.0), Some(480.0)));
    assert_eq!(day.efficiency, Some(0.9));
}
