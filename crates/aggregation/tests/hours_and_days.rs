//! A day is the sum of its hours.

#![expect(clippy::unwrap_used, reason = "clippy takes only functions marked #[test] for tests")]

#[path = "support/generated.rs"]
mod generated;
mod support;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aggregation::vitals::day::DayFigures;
use aggregation::vitals::hour::Moments;
use aggregation::vitals::percentiles::Sketch;
use aggregation::vitals::{HourFigures, RawVital};
use generated::{any_beat, any_interval, any_night, placed};
use proptest::prelude::*;
use proptest::sample::select;
use support::rows::{Figures, World};

static BERLIN: LazyLock<World> = LazyLock::new(|| World::new("Europe/Berlin", &["watch", "phone"]));

/// Makes some of the rows unacceptable for every catalogue.
fn with_odd_ones(mut rows: Vec<RawVital>, odd: &[(prop::sample::Index, f64)]) -> Vec<RawVital> {
    for (index, value) in odd {
        let index = index.index(rows.len());
        rows[index].value = *value;
    }
    rows
}

/// Each day with its hours in time order.
fn days(figures: &Figures) -> impl Iterator<Item = (&DayFigures, Vec<&HourFigures>)> {
    figures.days.iter().map(|(date, day)| {
        let of_day = figures.hours.iter().filter(|(key, _)| key.date == *date);
        (day, of_day.map(|(_, hour)| hour).collect())
    })
}

fn bits(number: Option<f64>) -> Option<u64> {
    number.map(f64::to_bits)
}

/// Checks each metric: counts add up, and each hour has its day.
fn check_counts(figures: &Figures) -> Result<(), TestCaseError> {
    let dates: Vec<_> = figures.hours.keys().map(|key| key.date).collect();
    prop_assert!(dates.iter().all(|date| figures.days.contains_key(date)));
    for (day, hours) in days(figures) {
        let sum =
            |count: fn(&HourFigures) -> i32| hours.iter().map(|hour| count(hour)).sum::<i32>();
        prop_assert_eq!(day.sample_count, sum(|hour| hour.sample_count));
        prop_assert_eq!(day.censored_count, sum(|hour| hour.censored_count));
        prop_assert_eq!(day.rejected_count, sum(|hour| hour.rejected_count));
        let mut sources: BTreeMap<String, i32> = BTreeMap::new();
        for (source, samples) in hours.iter().flat_map(|hour| &hour.sources) {
            *sources.entry(source.clone()).or_default() += samples;
        }
        prop_assert_eq!(&day.sources, &sources);
        prop_assert_eq!(day.sample_count, sources.values().sum::<i32>());
    }
    Ok(())
}

fn check_moments(day: &DayFigures, hours: &[&HourFigures]) -> Result<(), TestCaseError> {
    let of_hours: Vec<Moments> = hours.iter().filter_map(|hour| hour.moments).collect();
    prop_assert_eq!(day.moments.is_some(), !of_hours.is_empty());
    let Some(moments) = day.moments else { return Ok(()) };
    let weighed: f64 = of_hours.iter().map(|hour| f64::from(hour.count) * hour.mean()).sum();
    let mean = weighed / f64::from(moments.count);
    prop_assert!((moments.mean() - mean).abs() <= 1e-12 * mean, "{} {}", moments.mean(), mean);
    let sum = of_hours.iter().map(|hour| hour.sum).reduce(|sum, hour| sum + hour);
    prop_assert_eq!(Some(moments.sum.to_bits()), bits(sum));
    prop_assert_eq!(moments.count, day.sample_count);

    let least = of_hours.iter().map(|hour| hour.min).reduce(f64::min);
    let greatest = of_hours.iter().map(|hour| hour.max).reduce(f64::max);
    prop_assert_eq!((Some(moments.min), Some(moments.max)), (least, greatest));
    let first = of_hours.iter().map(|hour| hour.first_at).min();
    let last = of_hours.iter().map(|hour| hour.last_at).max();
    prop_assert_eq!((Some(moments.first_at), Some(moments.last_at)), (first, last));

    // The variance within hours and between them, as in an analysis of variance.
    let within: f64 = of_hours.iter().map(|hour| hour.squared_deviations).sum();
    let between: f64 =
        of_hours.iter().map(|hour| f64::from(hour.count) * (hour.mean() - mean).powi(2)).sum();
    let apart = (moments.squared_deviations - within - between).abs();
    prop_assert!(apart <= 1e-12 * mean * mean * f64::from(moments.count), "{}", apart);

    let mut sketch = Sketch::default();
    for bytes in hours.iter().filter_map(|hour| hour.sketch.as_ref()) {
        sketch.merge(&Sketch::from_bytes(bytes).unwrap()).unwrap();
    }
    prop_assert_eq!(day.percentiles, sketch.percentiles(moments.min, moments.max));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_totals_of_hours_add_up_to_their_days_bit_for_bit(
        night in any_night(),
        rows in prop::collection::vec(any_interval(), 1..16),
        again in prop::collection::vec((any::<prop::sample::Index>(), 1u32..5000), 0..3),
        odd in prop::collection::vec((any::<prop::sample::Index>(), select(vec![f64::NAN, -1.0])), 0..3),
    ) {
        let figures = BERLIN.figures("steps", &with_odd_ones(placed(night, rows, &again), &odd));
        check_counts(&figures)?;
        for (day, hours) in days(&figures) {
            let total = hours.iter().filter_map(|hour| hour.total).reduce(|sum, hour| sum + hour);
            prop_assert_eq!(bits(day.total), bits(total));
            prop_assert!(day.moments.is_none() && day.percentiles.is_none());
        }
    }

    #[test]
    fn the_samples_of_hours_are_those_of_their_days(
        night in any_night(),
        rows in prop::collection::vec(any_beat(), 1..120),
        again in prop::collection::vec((any::<prop::sample::Index>(), 15u32..350), 0..4),
        odd in prop::collection::vec((any::<prop::sample::Index>(), select(vec![f64::NAN, -1.0])), 0..3),
    ) {
        let figures = BERLIN.figures("heart_rate", &with_odd_ones(placed(night, rows, &again), &odd));
        check_counts(&figures)?;
        for (day, hours) in days(&figures) {
            prop_assert_eq!(day.total, None);
            check_moments(day, &hours)?;
        }
    }
}
