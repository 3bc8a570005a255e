//! Hours and days of vitals from any rows.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use aggregation::vitals::scope::MetricScope;
use aggregation::vitals::{Outcome, RawVital, Recomputed, Scope, Snapshot, recompute};
use arbitrary::{Arbitrary, Unstructured};
use chrono::{Days, NaiveDate};
use fuzz::{Scene, assert_finite, assert_same_bits, shuffled};
use libfuzzer_sys::fuzz_target;

/// All figures of rows, from scratch. Those that no calendar dates are on no date.
fn figures(scene: &Scene, metric: &str, rows: &[RawVital]) -> Recomputed {
    let mut dates: BTreeSet<NaiveDate> = BTreeSet::new();
    for row in rows.iter().filter(|row| row.started_at.is_datable()) {
        let first = row.started_at.to_utc().date_naive() - Days::new(2);
        dates.extend(first.iter_days().take(7));
    }
    let whole = MetricScope { whole_dates: dates.clone(), dates, ..MetricScope::default() };
    let scope = Scope::from([(metric.to_owned(), whole)]);
    let snapshot = Snapshot { rows: rows.to_vec(), ..Snapshot::default() };
    let snapshots = BTreeMap::from([(metric.to_owned(), snapshot)]);
    match recompute(&scene.context(), &scope, &snapshots).unwrap() {
        Outcome::Complete(mut metrics) => metrics.remove(metric).unwrap_or_default(),
        Outcome::Widen(wider) => panic!("whole dates want more: {wider:?}"),
    }
}

fn run(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let scene = Scene::arbitrary(u)?;
    let (metric, units, most) = *u.choose(&[
        ("steps", ["count", "steps"], 5e3),
        ("active_energy", ["kcal", "kJ"], 3e3),
        ("heart_rate", ["bpm", "/min"], 300.0),
        ("body_temperature", ["Cel", "[degF]"], 110.0),
        ("heart_rate_variability_sdnn", ["ms", "s"], 300.0),
    ])?;
    let rows = scene.rows(u, &units, most)?;
    let figures_of = |rows: &[RawVital]| figures(&scene, metric, rows);
    let found = figures_of(&rows);
    assert_same_bits(&found, &figures_of(&shuffled(u, &rows)));

    let mut counted = 0;
    for (date, day) in &found.days {
        let hours = || {
            let of_day = found.changed_hours.iter().filter(|(key, _)| key.date == *date);
            of_day.map(|(_, hour)| hour)
        };
        let Some(day) = day else {
            assert_eq!(hours().count(), 0);
            continue;
        };
        counted += day.rejected_count;
        assert_finite([day.total]);
        assert!(day.total.is_none_or(|total| total >= 0.0));
        assert!(day.day_start <= day.day_end, "a date that a zone left out is empty");
        assert_eq!(day.sample_count, hours().map(|hour| hour.sample_count).sum::<i32>());
        assert_eq!(day.sample_count, day.sources.values().sum::<i32>());
        assert_eq!(day.censored_count, hours().map(|hour| hour.censored_count).sum::<i32>());
        assert_eq!(day.rejected_count, hours().map(|hour| hour.rejected_count).sum::<i32>());
        let total = hours().filter_map(|hour| hour.total).reduce(|sum, hour| sum + hour);
        assert_same_bits(&day.total, &total);
        if let Some(moments) = day.moments {
            let (mean, spread) = (moments.mean(), moments.stddev());
            assert!(moments.min <= mean && mean <= moments.max);
            assert_finite([
                Some(mean),
                spread,
                Some(moments.first_value),
                Some(moments.last_value),
            ]);
            assert!(
                spread.is_none_or(
                    |spread| 0.0 <= spread && spread <= 2.0 * (moments.max - moments.min)
                )
            );
            assert!(moments.first_at <= moments.last_at);
            let percentiles = day.percentiles.unwrap();
            assert!(percentiles.is_sorted(), "{percentiles:?}");
            assert!(moments.min <= percentiles[0] && percentiles[4] <= moments.max);
        }
    }
    assert!(counted as usize <= rows.len());
    Ok(())
}

fuzz_target!(|input: &[u8]| {
    let _ = run(&mut Unstructured::new(input));
});
