//! The measures of a day of glucose.

use std::sync::LazyLock;

use aggregation::glucose::{GlucoseDay, Moments, Ranges, figures, formulas};
use proptest::prelude::*;

use crate::spread::readings;
use crate::support::rows::{World, date};
use crate::{DAY, close, each_minute, exact};

static UTC: LazyLock<World> = LazyLock::new(|| World::new("UTC", &[]));

fn day_in(unit: &str, values: &[f64]) -> GlucoseDay {
    figures(&each_minute(unit, values), date(DAY), &UTC.context()).unwrap()
}

fn moments(values: &[f64]) -> Moments {
    day_in("mg/dL", values).moments.unwrap()
}

fn ranges(values: &[f64]) -> Ranges {
    day_in("mg/dL", values).ranges.unwrap()
}

/// Bergenstal et al., Diabetes Care 2018;41:2275.
#[test]
fn the_glucose_management_indicator_is_that_of_table_1_of_bergenstal_2018() {
    for (mean, indicator) in [
        (100.0, 5.7),
        (125.0, 6.3),
        (150.0, 6.9),
        (175.0, 7.5),
        (200.0, 8.1),
        (225.0, 8.7),
        (250.0, 9.3),
        (275.0, 9.9),
        (300.0, 10.5),
        (350.0, 11.7),
    ] {
        let figure = moments(&[mean, mean]).gmi_percent;
        assert_eq!((figure * 10.0).round() / 10.0, indicator, "{mean} mg/dL");
    }
}

/// Nathan et al., Diabetes Care 2008;31:1473.
#[test]
fn the_estimated_a1c_reverses_table_2_of_nathan_2008() {
    for (a1c, mean) in [
        (5.0, 97.0),
        (6.0, 126.0),
        (7.0, 154.0),
        (8.0, 183.0),
        (9.0, 212.0),
        (10.0, 240.0),
        (11.0, 269.0),
        (12.0, 298.0),
    ] {
        // The table rounds to whole mg/dL, which are 0.035 % of A1c.
        let figure = moments(&[mean, mean]).ea1c_percent;
        assert!((figure - a1c).abs() < 0.018, "{mean} mg/dL: {figure}");
    }
}

/// Wójcicki, Horm Metab Res 1995;27:41.
#[test]
fn the_j_index_is_that_of_wojcicki_1995_in_either_unit() {
    let figures = moments(&[80.0, 120.0, 160.0]);
    assert_eq!(figures.stddev, Some(40.0));
    assert_eq!(figures.j_index, Some(0.001 * 160.0 * 160.0));
    // His factor for mmol/L is 0.324, in three digits.
    let in_mmol = 0.324 * (160.0_f64 / 18.01559).powi(2);
    assert!((figures.j_index.unwrap() / in_mmol - 1.0).abs() < 0.002);
}

/// Klonoff et al., J Diabetes Sci Technol 2023;17:1226 (online 2022): the hypoglycaemia component
/// VLow + 0.8 Low counts 3.0, the hyperglycaemia component VHigh + 0.5 High 1.6.
#[test]
fn the_glycemia_risk_index_has_the_two_components_of_klonoff_2022() {
    for [very_low, low, high, very_high] in
        [[0.0, 0.0, 0.0, 0.0], [1.0, 3.0, 22.0, 6.0], [2.5, 0.0, 0.0, 12.5], [0.0, 4.0, 30.0, 0.0]]
    {
        let (hypo, hyper) = (very_low + 0.8 * low, very_high + 0.5 * high);
        let index = formulas::glycemia_risk_index(very_low, low, very_high, high);
        assert!((index - (3.0 * hypo + 1.6 * hyper)).abs() < 1e-9, "{index}");
    }
    assert_eq!(formulas::glycemia_risk_index(100.0, 0.0, 0.0, 0.0), 100.0, "300 is given as 100");
    // Of 20 readings, one is in each band below, and two in each band above.
    let values = [&[50.0, 60.0, 300.0, 300.0, 200.0, 200.0][..], &[100.0; 14]].concat();
    assert!(close(ranges(&values).glycemia_risk_index, 15.0 + 12.0 + 16.0 + 8.0));
}

#[test]
fn mean_and_spread_of_a_textbook_series() {
    let figures = moments(&[102.0, 104.0, 104.0, 104.0, 105.0, 105.0, 107.0, 109.0]);
    assert_eq!(figures.mean, 105.0);
    assert!(close(figures.stddev.unwrap(), (32.0_f64 / 7.0).sqrt()));
    assert!(close(figures.cv_percent.unwrap(), 100.0 * (32.0_f64 / 7.0).sqrt() / 105.0));
    let single = moments(&[105.0]);
    assert_eq!(
        (single.mean, single.stddev, single.cv_percent, single.j_index),
        (105.0, None, None, None)
    );
}

/// Battelino et al., Diabetes Care 2019;42:1593.
#[test]
fn each_limit_belongs_to_the_range_that_the_consensus_puts_it_in() {
    for (value, expected) in [
        (53.9, [1, 1, 0, 0, 0, 0]),
        (54.0, [0, 1, 0, 0, 0, 0]),
        (69.9, [0, 1, 0, 0, 0, 0]),
        (70.0, [0, 0, 1, 1, 0, 0]),
        (140.0, [0, 0, 1, 1, 0, 0]),
        (140.1, [0, 0, 1, 0, 0, 0]),
        (180.0, [0, 0, 1, 0, 0, 0]),
        (180.1, [0, 0, 0, 0, 1, 0]),
        (250.0, [0, 0, 0, 0, 1, 0]),
        (250.1, [0, 0, 0, 0, 1, 1]),
    ] {
        assert_eq!(percents(&[value]), expected.map(|n| f64::from(n) * 100.0), "{value}");
    }
    let index = |value| ranges(&[value]).glycemia_risk_index;
    assert_eq!([54.0, 70.0, 180.0].map(index), [100.0, 0.0, 0.0], "2.4 · 100 is given as 100");
    assert_eq!(index(250.0), 80.0);
}

fn percents(values: &[f64]) -> [f64; 6] {
    let ranges = ranges(values);
    [
        ranges.below_54_percent,
        ranges.below_70_percent,
        ranges.from_70_to_180_percent,
        ranges.from_70_to_140_percent,
        ranges.above_180_percent,
        ranges.above_250_percent,
    ]
}

/// One mmol/L of glucose, C6H12O6, is a tenth of the grams of a mole: 180.156 by IUPAC's atomic
/// weights.
#[test]
fn a_millimole_of_glucose_weighs_what_its_atoms_do() {
    let mass = 6.0 * 12.011 + 12.0 * 1.008 + 6.0 * 15.999;
    let mean = day_in("mmol/L", &[5.5]).moments.unwrap().mean;
    assert_eq!(mean, 5.5 * 18.01559);
    assert!((mean / (5.5 * mass / 10.0) - 1.0).abs() < 1e-5, "{mean}");
}

/// Counts values in whole tenths of a thousandth, so that no limit depends on rounding of doubles.
fn percent_between(values: &[f64], from: i64, to: i64) -> f64 {
    let inside = values.iter().filter(|value| {
        let tenths = (**value * 1e4).floor() as i64;
        let is_whole = (**value * 1e4).fract() == 0.0;
        from <= tenths && (tenths < to || (tenths == to && is_whole))
    });
    (100 * inside.count()) as f64 / values.len() as f64
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_measures_of_any_day_agree_with_exact_arithmetic(values in readings()) {
        let figures = moments(&values);
        let mean = exact::mean(&values);
        prop_assert!(close(figures.mean, mean));
        // 3.31 and 0.02392 as fractions: (331000 + 2392 m) / 100000.
        prop_assert!(close(figures.gmi_percent, 2392f64.mul_add(mean, 331_000.0) / 1e5));
        prop_assert!(close(figures.ea1c_percent, (467.0 + 10.0 * mean) / 287.0));
        let least = values.iter().copied().fold(f64::MAX, f64::min);
        let greatest = values.iter().copied().fold(f64::MIN, f64::max);
        prop_assert!((least..=greatest).contains(&figures.mean));
        match (figures.stddev, exact::stddev(&values)) {
            (Some(stddev), Some(spread)) => {
                prop_assert!(close(stddev, spread), "{} {}", stddev, spread);
                prop_assert!(close(figures.cv_percent.unwrap(), spread / mean * 100.0));
                let level = mean + spread;
                prop_assert!(close(figures.j_index.unwrap(), level * level / 1000.0));
            }
            (stddev, spread) => prop_assert_eq!(stddev, spread),
        }
    }

    #[test]
    fn times_in_range_of_any_day_are_a_plain_count(
        values in prop::collection::vec(
            prop_oneof![
                3 => (200u32..4000).prop_map(|tenths| f64::from(tenths) / 10.0),
                1 => prop::sample::select(vec![54.0, 70.0, 140.0, 180.0, 250.0]),
            ],
            1..300,
        ),
    ) {
        let limit = |mg_per_dl: i64| mg_per_dl * 10_000;
        let in_range = percent_between(&values, limit(70), limit(180));
        let tight = percent_between(&values, limit(70), limit(140));
        let low = 100.0 - percent_between(&values, limit(70), i64::MAX);
        let very_low = 100.0 - percent_between(&values, limit(54), i64::MAX);
        let high = 100.0 - percent_between(&values, 0, limit(180));
        let very_high = 100.0 - percent_between(&values, 0, limit(250));
        for (ours, counted) in percents(&values).into_iter().zip([very_low, low, in_range, tight, high, very_high]) {
            prop_assert!((ours - counted).abs() <= 1e-9 * 100.0, "{} {}", ours, counted);
        }
        let [_, below, inside, _, above, _] = percents(&values);
        prop_assert!((below + inside + above - 100.0).abs() < 1e-9);
    }
}
