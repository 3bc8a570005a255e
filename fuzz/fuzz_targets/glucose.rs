//! Days of glucose from any rows.
#![no_main]

use aggregation::glucose::figures;
use arbitrary::{Arbitrary, Unstructured};
use fuzz::{Scene, assert_finite, assert_same_bits, assert_within, shuffled};
use libfuzzer_sys::fuzz_target;

fn run(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let scene = Scene::arbitrary(u)?;
    let rows = scene.rows(u, &["mg/dL", "mmol/L"], 600.0)?;
    let other = shuffled(u, &rows);
    let mut counted = 0;
    for date in scene.dates() {
        let day = figures(&rows, date, &scene.context());
        assert_same_bits(&day, &figures(&other, date, &scene.context()));
        let Some(day) = day else { continue };
        counted += day.sample_count + day.censored_count + day.rejected_count;
        assert_eq!(day.sample_count, day.sources.values().sum::<i32>());
        assert_eq!(day.moments.is_some(), day.sample_count > 0);
        if let Some(m) = day.moments {
            assert_finite([Some(m.mean), m.stddev, m.cv_percent, m.j_index]);
            assert_within([Some(m.mean)], 5.0, 2000.0);
            assert_within([m.stddev, m.cv_percent], 0.0, 1e4);
            assert_finite([Some(m.gmi_percent), Some(m.ea1c_percent)]);
        }
        if let Some(r) = day.ranges {
            let whole = r.below_70_percent + r.from_70_to_180_percent + r.above_180_percent;
            assert!((whole - 100.0).abs() < 1e-9, "{whole}");
            assert!(r.below_54_percent <= r.below_70_percent);
            assert!(r.above_250_percent <= r.above_180_percent);
            assert!(r.from_70_to_140_percent <= r.from_70_to_180_percent);
            assert_within([Some(r.glycemia_risk_index)], 0.0, 100.0);
        }
        assert_within([day.coverage_percent], 0.0, 100.0);
        assert_eq!(day.is_sufficient, day.coverage_percent.map(|percent| percent >= 70.0));
        assert_eq!(day.low_episodes.is_some(), day.high_episodes.is_some());
    }
    assert!(counted as usize <= rows.len());
    Ok(())
}

fuzz_target!(|input: &[u8]| {
    let _ = run(&mut Unstructured::new(input));
});
