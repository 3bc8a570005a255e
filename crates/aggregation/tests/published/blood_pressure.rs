//! Categories and the mean arterial pressure.

use aggregation::blood_pressure::{BloodPressureDay, Category, figures};

use crate::support::rows::{World, date};
use crate::{DAY, close, each_minute};

/// The day of these measurements, one a minute.
fn day(measurements: &[(f64, f64)]) -> BloodPressureDay {
    let (systolic, diastolic): (Vec<f64>, Vec<f64>) = measurements.iter().copied().unzip();
    let rows = [systolic, diastolic].map(|values| each_minute("mmHg", &values));
    figures(&rows[0], &rows[1], date(DAY), &World::new("UTC", &[]).context()).unwrap()
}

/// (S + 2 D) / 3, the estimate of textbooks: 120/80 has 93 mmHg. The diastolic value plus a third
/// of the pulse pressure gives the same.
#[test]
fn the_mean_arterial_pressure_of_120_over_80_is_93_and_a_third() {
    assert_eq!(day(&[(120.0, 80.0)]).mean_arterial_pressure, Some(280.0 / 3.0));
    let measurements = [(118.0, 76.0), (131.0, 85.0), (122.0, 79.0), (190.0, 101.0)];
    let by_pulse =
        measurements.map(|(systolic, diastolic)| diastolic + (systolic - diastolic) / 3.0);
    let mean = by_pulse.iter().sum::<f64>() / 4.0;
    assert!(close(day(&measurements).mean_arterial_pressure.unwrap(), mean));
}

/// Whelton et al., Hypertension 2018;71:e13, table 6; and the limits that the AHA calls severe.
#[test]
fn categories_are_those_of_the_acc_aha_guideline_2017_at_each_limit() {
    use Category::{Elevated, Normal, Severe, Stage1, Stage2};
    for (systolic, diastolic, expected) in [
        (119.0, 79.0, Normal),
        (119.9, 79.9, Normal),
        (120.0, 79.0, Elevated),
        (129.9, 79.9, Elevated),
        (130.0, 79.0, Stage1),
        (119.0, 80.0, Stage1),
        (125.0, 80.0, Stage1),
        (139.9, 89.9, Stage1),
        (140.0, 70.0, Stage2),
        (110.0, 90.0, Stage2),
        (180.0, 120.0, Stage2),
        (180.1, 70.0, Severe),
        (110.0, 120.1, Severe),
    ] {
        assert_eq!(Category::classify(systolic, diastolic), expected, "{systolic}/{diastolic}");
        assert_eq!(day(&[(systolic, diastolic)]).worst_category, Some(expected));
    }
    assert!(Category::ALL.is_sorted());
    let names = Category::ALL.map(Category::name);
    assert_eq!(names, ["normal", "elevated", "stage_1", "stage_2", "severe"]);
}
