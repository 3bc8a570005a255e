use chrono::{Days, NaiveDate};
use proptest::prelude::*;

use super::tests::{at, date, figures, judge, zone};
use super::*;
use crate::timestamp::{DAY_US, HOUR_US};

/// Amounts whose sum depends on its order, and sometimes one that is rejected.
fn amount() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        40 => Just(None),
        80 => (0.0..300.0f64).prop_map(Some),
        40 => (0.0..1e-6f64).prop_map(Some),
        10 => Just(Some(-0.0)),
        1 => (0.0..1e6f64).prop_map(Some),
    ]
}

fn any_meal() -> impl Strategy<Value = RawMeal> {
    (
        any::<i64>(),
        "[ab]",
        prop_oneof![9 => prop::sample::select(&["breakfast", "lunch", "dinner", "snack", "other"]),
            1 => Just("brunch")],
        // There are few instants within three days, so that many rows share one.
        0..18i64,
        prop::option::of(prop::sample::select(&["Asia/Kolkata", "+14:00", "UTC", "Mars"])),
        "[xy]",
        prop::collection::vec(amount(), 32),
    )
        .prop_map(|(id, food_name, meal_type, step, time_zone, source, nutrients)| RawMeal {
            id,
            food_name,
            meal_type: meal_type.to_owned(),
            eaten_at: at("2024-03-04 00:00").plus(step * 4 * HOUR_US),
            time_zone: time_zone.map(str::to_owned),
            source,
            nutrients: nutrients.try_into().unwrap(),
        })
}

/// `row`, with each fact that `shared` selects replaced by a constant, so that rows differ only in
/// the other facts.
fn alike(row: RawMeal, shared: [bool; 6]) -> RawMeal {
    let [instant, source, food_name, meal_type, zone, nutrients] = shared;
    RawMeal {
        eaten_at: if instant { at("2024-03-05 06:00") } else { row.eaten_at },
        source: if source { "x".to_owned() } else { row.source },
        food_name: if food_name { "a".to_owned() } else { row.food_name },
        meal_type: if meal_type { "snack".to_owned() } else { row.meal_type },
        time_zone: if zone { None } else { row.time_zone },
        nutrients: if nutrients { [Some(0.1); 32] } else { row.nutrients },
        ..row
    }
}

/// Rows that share all facts but one, or some facts, or no particular ones.
fn rows_alike() -> impl Strategy<Value = Vec<RawMeal>> {
    let all_but_one = (0..6usize).prop_map(|i| std::array::from_fn(|fact| fact != i));
    let shared = prop_oneof![all_but_one, any::<[bool; 6]>(), Just([false; 6])];
    (prop::collection::vec(any_meal(), 0..12), shared)
        .prop_map(|(rows, shared)| rows.into_iter().map(|row| alike(row, shared)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_order_and_any_ids_give_the_same_bits(
        (rows, shuffled) in rows_alike().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        base in prop::sample::select(&["Europe/Berlin", "nowhere"]),
    ) {
        let renumbered: Vec<_> =
            shuffled.into_iter().zip(0..).map(|(row, id)| RawMeal { id, ..row }).collect();
        for day in 0..5 {
            let day = date("2024-03-03") + Days::new(day);
            let (one, other) = (figures(&rows, day, &zone(base)), figures(&renumbered, day, &zone(base)));
            // Debug prints every float so that it parses back to the same bits.
            prop_assert_eq!(format!("{one:?}"), format!("{other:?}"));
        }
    }

    #[test]
    fn totals_agree_with_a_naive_sum_and_every_row_lands_on_one_date(
        rows in prop::collection::vec(any_meal(), 0..12),
    ) {
        let base = zone("Europe/Berlin");
        let mut appeared = 0;
        for day in 0..6 {
            let day = date("2024-03-02") + Days::new(day);
            let accepted: Vec<_> = rows.iter().filter(|row| judge(row, &base) == Ok(day)).collect();
            let rejected = rows
                .iter()
                .filter(|row| judge(row, &base).is_err() && date_of(row, &base) == Some(day))
                .count();
            appeared += accepted.len() + rejected;
            let Some(figures) = figures(&rows, day, &base) else {
                prop_assert_eq!((accepted.len(), rejected), (0, 0));
                continue;
            };
            prop_assert_eq!(figures.item_count, i32::try_from(accepted.len()).unwrap());
            prop_assert_eq!(figures.rejected_count, i32::try_from(rejected).unwrap());
            prop_assert_eq!(
                figures.meals.iter().map(|meal| meal.item_count).sum::<i32>(),
                figures.item_count
            );
            for (i, total) in figures.totals.iter().enumerate() {
                let known: Vec<f64> = accepted.iter().filter_map(|row| row.nutrients[i]).collect();
                prop_assert_eq!(total.is_some(), !known.is_empty());
                let naive: f64 = known.iter().sum();
                prop_assert!((total.unwrap_or(0.0) - naive).abs() <= 1e-9 * naive.abs());
            }
        }
        let datable = rows.iter().filter(|row| date_of(row, &base).is_some()).count();
        prop_assert_eq!(appeared, datable);
    }

    #[test]
    fn nothing_makes_it_panic(
        texts in (any::<String>(), any::<String>(), any::<String>(), any::<Option<String>>()),
        instant in prop_oneof![any::<i64>(), Just(Timestamp::MIN.0), Just(Timestamp::MAX.0)],
        amounts in prop::collection::vec(any::<Option<f64>>(), 32),
        zone_text in prop_oneof![any::<String>(), Just("UTC".to_owned()), Just("Asia/Manila".to_owned())],
        days in -DAY_US..DAY_US,
    ) {
        let (food_name, meal_type, source, time_zone) = texts;
        let mut row = RawMeal {
            id: 0, food_name, meal_type, eaten_at: Timestamp(instant), time_zone, source,
            nutrients: amounts.try_into().unwrap(),
        };
        let base = zone(&zone_text);
        let near = Timestamp(instant).plus(days).to_utc().date_naive();
        for _ in 0..2 {
            let _ = judge(&row, &base);
            for day in [near, NaiveDate::MIN, NaiveDate::MAX] {
                let _ = figures(std::slice::from_ref(&row), day, &base);
            }
            if let Some(day) = date_of(&row, &base) {
                prop_assert!(figures(std::slice::from_ref(&row), day, &base).is_some());
            }
            row.meal_type = "snack".to_owned();
            row.time_zone = None;
        }
    }
}
