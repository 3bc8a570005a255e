//! A user's catalogue: it is refused with a line, or usable.
#![no_main]

use aggregation::Timestamp;
use aggregation::catalogue::Catalogue;
use aggregation::vitals::{RawVital, judge};
use aggregation::zones::Zones;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for read in [Catalogue::parse, Catalogue::extended_by] {
        let catalogue = match read(text) {
            Ok(catalogue) => catalogue,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                continue;
            }
        };
        let base = Ok("UTC".parse().unwrap());
        for (_, metric) in catalogue.metrics() {
            assert!(metric.min.is_finite() && metric.max.is_finite() && metric.min <= metric.max);
            let row = RawVital {
                id: 1,
                value: metric.max,
                comparator: None,
                unit: metric.unit.as_str().into(),
                source: "".into(),
                started_at: Timestamp(0),
                ended_at: Timestamp(0),
                time_zone: None,
                is_daily_total: false,
                workout_type: None,
            };
            let sample = judge(&row, Some(metric), &mut Zones::new(&base));
            assert!(sample.is_ok_and(|sample| sample.value.is_finite()), "its own unit and limit");
        }
        for (_, analyte) in catalogue.analytes().iter() {
            assert!(analyte.step_from(analyte.unit()).is_none_or(|step| step.apply(5.0) == 5.0));
        }
    }
});
