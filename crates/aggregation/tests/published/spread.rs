//! Mean, sample standard deviation and percentiles, of days whose samples lie in many hours.

use std::sync::LazyLock;

use aggregation::catalogue::Catalogue;
use aggregation::vitals::day::DayFigures;
use proptest::prelude::*;

use crate::support::rows::World;
use crate::{DAY, close, each_minute, exact};

/// A catalogue without limits for heart rate.
static UNLIMITED: LazyLock<World> = LazyLock::new(|| {
    let limits = "min = 15\nmax = 350";
    let toml = include_str!("../../../../config/catalogue.toml");
    assert!(toml.contains(limits));
    let catalogue = Catalogue::parse(&toml.replace(limits, "min = 0\nmax = 1e9")).unwrap();
    World { catalogue, ..World::new("UTC", &[]) }
});

fn day(values: &[f64]) -> DayFigures {
    UNLIMITED.figures("heart_rate", &each_minute("bpm", values)).day(DAY).clone()
}

/// NIST, Statistical Reference Datasets, univariate, `NumAcc1` to `NumAcc4`. They are 10000001
/// 10000003 10000002, and 1.2 (1000000.2, 10000000.2) followed by 500 pairs of a tenth less and a
/// tenth more. Certified are mean 10000002, 1.2, … and SD 1 and 0.1. For the last two sets, doubles
/// hold only 9 and 8 digits of the deviations.
#[test]
fn mean_and_deviation_have_the_digits_that_nist_certifies() {
    let figures = day(&[10_000_001.0, 10_000_003.0, 10_000_002.0]).moments.unwrap();
    assert_eq!((figures.mean(), figures.stddev()), (10_000_002.0, Some(1.0)));

    for (whole, digits) in [(1, 1e-14), (1_000_000, 1e-8), (10_000_000, 1e-7)] {
        let tenths = |tenth: i32| f64::from(whole) + f64::from(tenth) / 10.0;
        let pairs = (0..500).flat_map(|_| [tenths(1), tenths(3)]);
        let values: Vec<f64> = std::iter::once(tenths(2)).chain(pairs).collect();
        let figures = day(&values).moments.unwrap();
        assert_eq!(figures.count, 1001);
        assert!((figures.mean() / tenths(2) - 1.0).abs() < 1e-14, "{whole}: {}", figures.mean());
        let stddev = figures.stddev().unwrap();
        assert!((stddev / 0.1 - 1.0).abs() < digits, "{whole}: {stddev}");
        assert!(close(stddev, exact::stddev(&values).unwrap()), "{whole}: {stddev}");
    }
}

/// Microsoft's example of QUARTILE.INC, whose quartiles are those of type 7: 3.5 of 1, 2, 4, 7, 8,
/// 9, 10, 12. Here the values are twenty times as high.
#[test]
fn quartiles_interpolate_as_spreadsheets_do() {
    let values = [1.0, 2.0, 4.0, 7.0, 8.0, 9.0, 10.0, 12.0].map(|value| value * 20.0);
    let [_, quarter, median, ..] = day(&values).percentiles.unwrap();
    assert!((quarter - 70.0).abs() <= 0.7, "{quarter}");
    assert!((median - 150.0).abs() <= 1.5, "{median}");
}

/// Values as devices write them: whole, or in steps of a tenth, a hundredth or an 18th.
pub(crate) fn readings() -> impl Strategy<Value = Vec<f64>> {
    let step = prop::sample::select(vec![1.0, 0.1, 0.01, 1.0 / 18.015_59]);
    let any = step.prop_flat_map(|step| {
        let most = (300.0 / step) as u32;
        prop::collection::vec((most / 8..most).prop_map(move |n| f64::from(n) * step), 1..400)
    });
    // A sensor that shows the same value for hours has no spread.
    let same = (40.0..300.0f64, 1..400usize).prop_map(|(value, n)| vec![value; n]);
    let any_double = prop::collection::vec(20.0..300.0f64, 1..400);
    prop_oneof![4 => any, 2 => any_double, 1 => same]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mean_and_deviation_of_any_day_agree_with_exact_arithmetic(values in readings()) {
        let figures = day(&values).moments.unwrap();
        prop_assert!(close(figures.mean(), exact::mean(&values)));
        match (figures.stddev(), exact::stddev(&values)) {
            (Some(stddev), Some(exact)) => prop_assert!(close(stddev, exact), "{} {}", stddev, exact),
            (stddev, exact) => prop_assert_eq!(stddev, exact),
        }
    }
}
