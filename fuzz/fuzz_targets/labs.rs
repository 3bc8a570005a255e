//! Days of laboratory results from any rows.
#![no_main]

use aggregation::labs::{RawLab, compare, figures, judge};
use arbitrary::{Arbitrary, Unstructured};
use fuzz::{CATALOGUE, Scene, assert_finite, assert_same_bits, assert_within, one_of, shuffled};
use libfuzzer_sys::fuzz_target;

const VALUES: [&str; 12] = [
    "5.4", "92", "<5", "1,234", "4,2", "positive", "1:160", "1e308", "-1.7e308", "1e999", " ", "0",
];

fn option(u: &mut Unstructured<'_>, texts: &[&str]) -> arbitrary::Result<Option<String>> {
    if bool::arbitrary(u)? { one_of(u, texts).map(Some) } else { Ok(None) }
}

fn results(u: &mut Unstructured<'_>, scene: &Scene) -> arbitrary::Result<Vec<RawLab>> {
    let mut results = Vec::new();
    for id in 0..u.int_in_range(0..=24)? {
        results.push(RawLab {
            id,
            test_name: one_of(u, &["Glucose", "glucose ", "iron", ""])?,
            loinc_code: option(u, &["2345-7", "14749-6", "4548-4", "9999-9"])?,
            value_text: one_of(u, &VALUES)?,
            unit: option(u, &["mg/dL", "mmol/L", "g/L", "%", "mmol/mol", "furlong"])?,
            reference_range: option(
                u,
                &["4-6", "<200", "M:13-17 F:12-15", ">=40", "1e308-1.7e308"],
            )?,
            flag: option(u, &["H", "LL", "abnormal", "N"])?,
            specimen: option(u, &["serum", "urine", "|"])?,
            status: one_of(u, &["final", "amended", "corrected", "preliminary", "lost"])?,
            collected_at: scene.instant(u)?,
            time_zone: scene.zone(u)?,
            source: one_of(u, &["lab", "clinic"])?,
        });
    }
    Ok(results)
}

fn run(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let scene = Scene::arbitrary(u)?;
    let rows = results(u, &scene)?;
    let other = shuffled(u, &rows);
    let sound =
        rows.iter().filter(|row| judge(row, &scene.base_zone, CATALOGUE.analytes()).is_ok());
    let (mut counted, sound) = (0, sound.count());
    for date in scene.dates() {
        let mut days = figures(&rows, date, &scene.base_zone, CATALOGUE.analytes());
        assert_same_bits(&days, &figures(&other, date, &scene.base_zone, CATALOGUE.analytes()));
        assert!(compare(&mut days, &[]).is_empty());
        assert!(days.is_sorted_by(|a, b| (&a.analyte, &a.unit) < (&b.analyte, &b.unit)));
        for day in days {
            counted += day.result_count;
            assert!(day.result_count > 0);
            assert_finite([day.last_value, day.min, day.max, day.mean]);
            assert_finite([day.reference_low, day.reference_high]);
            assert_eq!(day.min.is_some(), day.mean.is_some());
            assert_within([day.mean], day.min.unwrap_or(0.0), day.max.unwrap_or(0.0));
            assert_eq!(day.last_value.is_some(), day.last_text.is_none());
            assert!(day.last_flag.is_none_or(|last| {
                day.worst_flag.is_some_and(|worst| worst.severity() >= last.severity())
            }));
        }
    }
    assert!(counted as usize <= sound, "no result counts twice");
    Ok(())
}

fuzz_target!(|input: &[u8]| {
    let _ = run(&mut Unstructured::new(input));
});
