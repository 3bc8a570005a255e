//! Days of blood pressure from any rows.
#![no_main]

use aggregation::blood_pressure::figures;
use arbitrary::{Arbitrary, Unstructured};
use fuzz::{Scene, assert_same_bits, assert_within, shuffled};
use libfuzzer_sys::fuzz_target;

fn run(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let scene = Scene::arbitrary(u)?;
    let systolic = scene.rows(u, &["mmHg", "kPa"], 300.0)?;
    let diastolic = scene.rows(u, &["mmHg", "kPa"], 200.0)?;
    let others = (shuffled(u, &systolic), shuffled(u, &diastolic));
    let mut rows = 0;
    for date in scene.dates() {
        let day = figures(&systolic, &diastolic, date, &scene.context());
        assert_same_bits(&day, &figures(&others.0, &others.1, date, &scene.context()));
        let Some(day) = day else { continue };
        assert_eq!(day.pair_count, day.sources.values().sum::<i32>());
        assert!(day.censored_count <= day.pair_count);
        assert_eq!(day.systolic.is_some(), day.pair_count > day.censored_count);
        assert_eq!(day.systolic.is_some(), day.diastolic.is_some());
        assert_eq!(day.worst_category.is_some(), day.pair_count > 0);
        for pressure in [day.systolic, day.diastolic].into_iter().flatten() {
            assert_within([Some(pressure.mean)], pressure.min, pressure.max);
        }
        assert_within([day.mean_arterial_pressure], 0.0, 1e4);
        rows += 2 * day.pair_count + day.unpaired_count + day.rejected_count;
    }
    assert!(rows as usize <= systolic.len() + diastolic.len(), "no row counts twice");
    Ok(())
}

fuzz_target!(|input: &[u8]| {
    let _ = run(&mut Unstructured::new(input));
});
