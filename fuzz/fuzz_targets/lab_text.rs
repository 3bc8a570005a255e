//! What laboratories print: values, units, ranges, flags, names.
#![no_main]

use aggregation::Timestamp;
use aggregation::labs::{RawLab, figures, judge};
use arbitrary::{Arbitrary, Unstructured};
use fuzz::{CATALOGUE, assert_finite, one_of};
use libfuzzer_sys::fuzz_target;

/// Text of the characters that mean something, or any.
fn printed(u: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    const SIGNS: [&str; 36] = [
        "0", "1", "5", "9", "123", ".", ",", " ", "-", "\u{2212}", "\u{2013}", "<", ">", "=",
        "\u{2264}", "\u{2265}", "e", "E", "+", "to", "up to ", ":", "/", "\u{a0}", "\u{202f}", "%",
        "nan", "inf", "M:", "000", "H", "pos", "'", "(", ")", " mg/dL",
    ];
    if u.ratio(1, 8)? {
        return String::arbitrary(u);
    }
    let number = u.int_in_range(0..=24)?;
    (0..number).map(|_| u.choose(&SIGNS).copied()).collect()
}

fn row(u: &mut Unstructured<'_>) -> arbitrary::Result<RawLab> {
    Ok(RawLab {
        id: 1,
        test_name: one_of(u, &["Glucose", "HbA1c", "|", "a|b"])?,
        loinc_code: if bool::arbitrary(u)? {
            Some(one_of(u, &["2345-7", "4548-4", "name:a"])?)
        } else {
            None
        },
        value_text: printed(u)?,
        unit: if bool::arbitrary(u)? {
            Some(one_of(u, &["mg/dL", "mmol/L", "%", "mmol/mol"])?)
        } else {
            None
        },
        reference_range: if bool::arbitrary(u)? { Some(printed(u)?) } else { None },
        flag: Option::arbitrary(u)?,
        specimen: Option::arbitrary(u)?,
        status: one_of(u, &["final", "amended"])?,
        collected_at: Timestamp(0),
        time_zone: None,
        source: "lab".to_owned(),
    })
}

fuzz_target!(|input: &[u8]| {
    let Ok(row) = row(&mut Unstructured::new(input)) else { return };
    let base = Ok("UTC".parse().unwrap());
    let judged = judge(&row, &base, CATALOGUE.analytes());
    let date = Timestamp(0).to_utc().date_naive();
    let days = figures(std::slice::from_ref(&row), date, &base, CATALOGUE.analytes());
    assert!(days.len() <= usize::from(judged.is_ok()), "a rejected row has no figure");
    for day in days {
        assert_finite([day.last_value, day.min, day.max, day.mean]);
        assert_finite([day.reference_low, day.reference_high]);
        assert_eq!(day.last_value.is_some(), day.last_text.is_none());
        assert_eq!(day.mean.is_some(), day.last_value.is_some() && day.last_comparator.is_none());
        assert!(day.reference_low.zip(day.reference_high).is_none_or(|(low, high)| low <= high));
        assert_eq!(day.last_flag, day.worst_flag);
        assert!(day.analyte.len() <= 1024 && day.unit.len() <= 256, "keys fit into an index");
        // What was read as a number was printed with digits alone.
        assert!(day.last_value.is_none() || row.value_text.bytes().any(|b| b.is_ascii_digit()));
    }
});
