//! Results of one analyte in several units.

use proptest::prelude::*;

use super::tests::{at, date, figures, judge, lab, zone};
use super::*;

/// A glucose result of 2024-03-05.
fn glucose(clock: &str, value_text: &str, unit: &str) -> RawLab {
    RawLab {
        loinc_code: Some("2345-7".to_owned()),
        unit: Some(unit.to_owned()),
        reference_range: None,
        ..lab(&format!("2024-03-05 {clock}"), value_text)
    }
}

fn days(rows: &[RawLab]) -> Vec<LabDay> {
    figures(rows, date("2024-03-05"), &zone("UTC"))
}

#[test]
fn results_of_two_units_share_the_row_of_the_canonical_unit() {
    let days = days(&[
        glucose("08:00", "100", "mg/dL"),
        glucose("09:00", "5,0", "mmol/L"),
        glucose("10:00", "<2", "mmol/l"),
    ]);
    assert_eq!(days.len(), 1);
    assert_eq!((days[0].unit.as_str(), days[0].result_count), ("mg/dL", 3));
    assert_eq!((days[0].min, days[0].max), (Some(5.0 * 18.01559), Some(100.0)));
    assert_eq!(days[0].mean, Some((100.0 + 5.0 * 18.01559) / 2.0));
    assert_eq!(days[0].last_value, Some(2.0 * 18.01559));
    assert_eq!(days[0].last_comparator, Some(Comparator::Less));
}

#[test]
fn the_range_converts_with_its_result_and_its_text_does_not() {
    let row = RawLab {
        reference_range: Some("20 - 38".to_owned()),
        unit: Some("mmol/mol".to_owned()),
        ..lab("2024-03-05 08:00", "53")
    };
    let days = days(&[row]);
    assert_eq!((days[0].analyte.as_str(), days[0].unit.as_str()), ("4548-4", "%"));
    assert_eq!(days[0].last_value, Some(0.09148 * 53.0 + 2.152));
    assert_eq!(days[0].reference_low, Some(0.09148 * 20.0 + 2.152));
    assert_eq!(days[0].reference_high, Some(0.09148 * 38.0 + 2.152));
    assert_eq!(days[0].reference_text.as_deref(), Some("20 - 38"));
    assert_eq!(days[0].last_flag, Some(Flag::High));
}

#[test]
fn a_result_at_the_end_of_its_range_is_flagged_as_reported() {
    for value in ["3.9", "6.1", "7.7", "5.5"] {
        let ranged = |range: String| RawLab {
            reference_range: Some(range),
            ..glucose("08:00", value, "mmol/L")
        };
        assert_eq!(days(&[ranged(format!("{value}-9"))])[0].last_flag, Some(Flag::Normal));
        assert_eq!(days(&[ranged(format!("<{value}"))])[0].last_flag, Some(Flag::High));
        assert_eq!(days(&[ranged(format!("<={value}"))])[0].last_flag, Some(Flag::Normal));
    }
}

#[test]
fn the_mass_and_the_molar_code_of_an_analyte_stay_two_analytes() {
    let molar =
        RawLab { loinc_code: Some("14749-6".to_owned()), ..glucose("08:00", "5", "mmol/L") };
    let days = days(&[glucose("08:00", "90", "mg/dL"), molar]);
    let keys: Vec<_> = days.iter().map(|day| (day.analyte.as_str(), day.unit.as_str())).collect();
    assert_eq!(keys, [("14749-6", "mg/dL"), ("2345-7", "mg/dL")]);
}

#[test]
fn an_unknown_unit_and_no_unit_stay_rows_of_their_own() {
    let days = days(&[
        glucose("08:00", "90", "mg/dL"),
        glucose("08:00", "5", "mmol"),
        glucose("08:00", "5", ""),
    ]);
    let keys: Vec<_> = days.iter().map(|day| (day.unit.as_str(), day.last_value)).collect();
    assert_eq!(keys, [("", Some(5.0)), ("mg/dL", Some(90.0)), ("mmol", Some(5.0))]);
}

#[test]
fn a_text_stays_in_the_unit_in_which_it_was_reported() {
    let ranged = RawLab {
        reference_range: Some("4-6".to_owned()),
        flag: Some("N".to_owned()),
        ..glucose("09:00", "5-6", "mmol/L")
    };
    let days = days(&[glucose("08:00", "90", "mg/dL"), ranged]);
    let keys: Vec<_> = days.iter().map(|day| (day.unit.as_str(), day.result_count)).collect();
    assert_eq!(keys, [("mg/dL", 1), ("mmol/L", 1)]);
    assert_eq!(days[1].last_text.as_deref(), Some("5-6"));
    assert_eq!((days[1].reference_low, days[1].reference_high), (Some(4.0), Some(6.0)));
}

#[test]
fn a_revision_supersedes_a_result_or_a_text_in_another_unit() {
    let revised = |value: &str, unit: &str| RawLab {
        status: "corrected".to_owned(),
        ..glucose("08:00", value, unit)
    };
    for first in [glucose("08:00", "90", "mg/dL"), glucose("08:00", "clotted", "mmol/L")] {
        let days = days(&[first, revised("5", "mmol/L")]);
        assert_eq!((days.len(), days[0].result_count), (1, 1));
        assert_eq!(days[0].last_value, Some(5.0 * 18.01559));
    }
}

#[test]
fn a_number_that_only_the_canonical_unit_cannot_hold_is_rejected() {
    let row = glucose("08:00", "1e308", "mmol/L");
    assert_eq!(judge(&row, &zone("UTC")), Err(Reason::NonFiniteValue));
    assert_eq!(judge(&glucose("08:00", "1e308", "mg/dL"), &zone("UTC")), Ok(date("2024-03-05")));
    let ranged =
        RawLab { reference_range: Some("1-1e308".to_owned()), ..glucose("08:00", "5", "mmol/L") };
    let days = days(&[ranged]);
    assert_eq!((days[0].reference_low, days[0].reference_high), (None, None));
    assert_eq!(days[0].last_flag, Some(Flag::Normal));
}

proptest! {
    #[test]
    fn any_order_of_results_in_several_units_gives_the_same_bits(
        (rows, shuffled) in prop::collection::vec(
            (
                0..3u32,
                prop::sample::select(vec!["5.1", "0.1", "92", "<3", "clotted"]),
                prop::sample::select(vec!["mg/dL", "mmol/L", "MG/DL", "g/L", "mmol", ""]),
                prop::sample::select(vec![None, Some("4-6"), Some("<100")]),
                prop::sample::select(vec!["final", "final", "amended"]),
            ),
            0..10,
        )
        .prop_map(|rows| {
            let ids = rows.into_iter().zip(1..);
            ids.map(|((hour, value, unit, range, status), id)| RawLab {
                id,
                reference_range: range.map(str::to_owned),
                status: status.to_owned(),
                collected_at: at(&format!("2024-03-05 0{hour}:00")),
                ..glucose("08:00", value, unit)
            })
            .collect::<Vec<_>>()
        })
        .prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
    ) {
        prop_assert_eq!(format!("{:?}", days(&rows)), format!("{:?}", days(&shuffled)));
    }

    #[test]
    fn conversion_keeps_the_order_of_numbers(
        numbers in prop::collection::vec(1..10_000u32, 2),
        unit in prop::sample::select(vec!["mg/dL", "mmol/L", "g/L"]),
    ) {
        let last = |tenths: u32| {
            let value = f64::from(tenths) / 10.0;
            days(&[glucose("08:00", &value.to_string(), unit)])[0].last_value.unwrap()
        };
        prop_assert_eq!(
            numbers[0].cmp(&numbers[1]),
            last(numbers[0]).total_cmp(&last(numbers[1]))
        );
    }
}
