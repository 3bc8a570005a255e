//! Days of nutrition from any rows.
#![no_main]

use aggregation::nutrition::{RawMeal, date_of, figures, judge};
use arbitrary::{Arbitrary, Unstructured};
use fuzz::{CATALOGUE, Scene, assert_finite, assert_same_bits, assert_within, one_of, shuffled};
use libfuzzer_sys::fuzz_target;

fn meals(u: &mut Unstructured<'_>, scene: &Scene) -> arbitrary::Result<Vec<RawMeal>> {
    let mut meals = Vec::new();
    for id in 0..u.int_in_range(0..=24)? {
        let mut nutrients = [None; 32];
        for _ in 0..u.int_in_range(0..=6)? {
            let amount = match u.int_in_range(0..=7)? {
                0 => f64::arbitrary(u)?,
                1 => *u.choose(&[0.0, -0.0, 1e6, 5e-324, f64::NAN])?,
                _ => f64::from(u16::arbitrary(u)?) / 10.0,
            };
            nutrients[u.int_in_range(0..=31)?] = Some(amount);
        }
        meals.push(RawMeal {
            id,
            food_name: one_of(u, &["bread", "soup"])?,
            meal_type: one_of(u, &["breakfast", "lunch", "Dinner ", "snack", "other", "brunch"])?,
            eaten_at: scene.instant(u)?,
            time_zone: scene.zone(u)?,
            source: one_of(u, &["app", "scale"])?,
            nutrients,
        });
    }
    Ok(meals)
}

fn run(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let scene = Scene::arbitrary(u)?;
    let rows = meals(u, &scene)?;
    let other = shuffled(u, &rows);
    for date in scene.dates() {
        let nutrients = CATALOGUE.nutrients();
        let day = figures(&rows, date, &scene.base_zone, nutrients);
        assert_same_bits(&day, &figures(&other, date, &scene.base_zone, nutrients));
        let of_date =
            rows.iter().filter(|row| date_of(row, &scene.base_zone) == Some(date)).count();
        let Some(day) = day else {
            assert_eq!(of_date, 0);
            continue;
        };
        assert_eq!((day.item_count + day.rejected_count) as usize, of_date);
        let is_accepted = |row: &&RawMeal| judge(row, &scene.base_zone, nutrients) == Ok(date);
        let accepted = rows.iter().filter(is_accepted).count();
        assert_eq!(day.item_count as usize, accepted);
        assert_eq!(day.item_count, day.meals.iter().map(|meal| meal.item_count).sum::<i32>());
        assert_finite(day.totals);
        assert_within(day.totals, 0.0, f64::MAX);
        let m = &day.macros;
        let percents =
            [m.carbohydrate_percent, m.protein_percent, m.fat_percent, m.alcohol_percent];
        assert_finite(percents);
        assert_finite([m.carbohydrate_kcal, m.protein_kcal, m.fat_kcal, m.alcohol_kcal]);
        if m.fat_percent.is_some() && m.fat_kcal.is_some_and(|kcal| kcal > 1e-300) {
            let whole: f64 = percents.iter().flatten().sum();
            assert!((whole - 100.0).abs() < 1e-9, "{whole}");
        }
    }
    Ok(())
}

fuzz_target!(|input: &[u8]| {
    let _ = run(&mut Unstructured::new(input));
});
