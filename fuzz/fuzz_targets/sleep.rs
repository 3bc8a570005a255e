//! Days of sleep from any rows.
#![no_main]

use aggregation::sleep::{Rows, Stage, figures};
use arbitrary::{Arbitrary, Unstructured};
use fuzz::{Scene, assert_finite, assert_same_bits, assert_within, shuffled};
use libfuzzer_sys::fuzz_target;

fn run(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let scene = Scene::arbitrary(u)?;
    let mut rows = Rows::new();
    for stage in Stage::ALL {
        if u.ratio(1, 2)? {
            rows.insert(stage, scene.rows(u, &["min", ""], 60.0)?);
        }
    }
    let days = figures(&scene.context(), &rows);
    let other = rows.iter().map(|(stage, rows)| (*stage, shuffled(u, rows))).collect();
    assert_same_bits(&days, &figures(&scene.context(), &other));
    let (mut segments, mut rejected) = (0, 0);
    for day in days.values() {
        let parts = [day.core_minutes, day.deep_minutes, day.rem_minutes, day.unspecified_minutes];
        assert_finite([day.asleep_minutes, day.in_bed_minutes, day.nap_minutes, day.efficiency]);
        assert_within(parts.into_iter().chain([day.awake_minutes, day.nap_minutes]), 0.0, f64::MAX);
        assert_within([day.efficiency], 0.0, 1.0);
        assert_within([day.asleep_minutes], 0.0, day.in_bed_minutes.unwrap_or(0.0));
        assert_within([day.nap_minutes], 0.0, day.asleep_minutes.unwrap_or(0.0));
        assert!(day.main_start.zip(day.main_end).is_none_or(|(start, end)| start < end));
        assert_eq!(day.segment_count, day.sources.values().sum::<i32>());
        assert!(day.segment_count + day.rejected_count > 0, "a day has a row");
        assert!(day.reach.0 <= day.reach.1);
        rejected += day.rejected_count as usize;
        segments += usize::from(day.segment_count > 0);
    }
    let all: usize = rows.values().map(Vec::len).sum();
    assert!(rejected <= all && (segments == 0 || all > 0));
    Ok(())
}

fuzz_target!(|input: &[u8]| {
    let _ = run(&mut Unstructured::new(input));
});
