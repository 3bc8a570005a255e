//! Units of vitals and of laboratory results, and the values in them.
#![no_main]

use aggregation::Reason;
use aggregation::Timestamp;
use aggregation::vitals::{RawVital, judge};
use aggregation::zones::Zones;
use fuzz::CATALOGUE;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, f64, u8)| {
    let (unit, name, value, index) = input;
    let metrics: Vec<_> = CATALOGUE.metrics().collect();
    let (_, metric) = metrics[usize::from(index) % metrics.len()];
    let base = Ok("UTC".parse().unwrap());
    let row = RawVital {
        id: 1,
        value,
        comparator: None,
        unit: unit.into(),
        source: name.into(),
        started_at: Timestamp(0),
        ended_at: Timestamp(0),
        time_zone: None,
        is_daily_total: false,
        workout_type: None,
    };
    match judge(&row, Some(metric), &mut Zones::new(&base)) {
        Ok(sample) => assert!(metric.is_plausible(sample.value) || sample.value == 0.0),
        Err(reason) => assert!(
            matches!(
                reason,
                Reason::UnknownUnit | Reason::NonFiniteValue | Reason::ImplausibleValue
            ),
            "{reason:?}"
        ),
    }
    let analytes: Vec<_> = CATALOGUE.analytes().iter().collect();
    let (_, analyte) = analytes[usize::from(index) % analytes.len()];
    if let Some(step) = analyte.step_from(unit) {
        assert!(value.is_nan() || !step.apply(value).is_nan());
        assert!(step.apply(1.0) > 0.0 && step.apply(2.0) > step.apply(1.0));
    }
    let _ = CATALOGUE.analytes().find(Some(name), unit).map(|found| found.unit());
    let _ = CATALOGUE.analytes().find(None, name).map(|found| found.unit());
});
