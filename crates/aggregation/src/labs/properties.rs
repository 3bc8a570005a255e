use chrono::{Days, NaiveDate};
use proptest::prelude::*;

use super::tests::{date, figures, judge, lab, zone};
use super::*;
use crate::timestamp::HOUR_US;

fn any_lab() -> impl Strategy<Value = RawLab> {
    (
        any::<i64>(),
        prop::option::of(Just("4548-4".to_owned())),
        prop_oneof![
            6 => "[1-9]\\.[0-9]{1,16}",
            2 => "[<>]=?[1-9]",
            2 => prop::sample::select(vec!["positive", "0,1", " 1,234.5", "", "1e999", "1e308"])
                .prop_map(str::to_owned),
        ],
        prop::sample::select(vec![None, Some("4-6"), Some("<5"), Some(">5"), Some("M:4 F:5")]),
        prop::sample::select(vec![None, Some("H"), Some("LL"), Some("A")]),
        prop::sample::select(vec![
            "final",
            "final",
            "final",
            "amended",
            "corrected",
            "preliminary",
            "?",
        ]),
        // Few instants, so that results share one and revisions meet.
        0..10i64,
        prop::option::of(prop::sample::select(vec!["Asia/Kolkata", "+14:00", "UTC", "Mars"])),
        "[xy]",
    )
        .prop_map(
            |(id, loinc_code, value_text, range, flag, status, step, time_zone, source)| RawLab {
                id,
                loinc_code,
                value_text,
                reference_range: range.map(str::to_owned),
                flag: flag.map(str::to_owned),
                status: status.to_owned(),
                time_zone: time_zone.map(str::to_owned),
                source,
                collected_at: lab("2024-03-04 00:00", "").collected_at.plus(step * 7 * HOUR_US),
                ..lab("2024-03-04 00:00", "")
            },
        )
}

/// `row` with the facts that `shared` names the same as in every other row, so that results
/// differ in the remaining ones alone.
fn alike(row: RawLab, shared: [bool; 7]) -> RawLab {
    let common = lab("2024-03-05 06:00", "5.5");
    let [instant, source, value, range, flag, zone, key] = shared;
    RawLab {
        collected_at: if instant { common.collected_at } else { row.collected_at },
        source: if source { common.source } else { row.source },
        value_text: if value { common.value_text } else { row.value_text },
        reference_range: if range { common.reference_range } else { row.reference_range },
        flag: if flag { common.flag } else { row.flag },
        time_zone: if zone { common.time_zone } else { row.time_zone },
        loinc_code: if key { common.loinc_code } else { row.loinc_code },
        status: if key { common.status } else { row.status },
        ..row
    }
}

/// Rows that share all facts but one, or some facts, or none in particular.
fn rows_alike() -> impl Strategy<Value = Vec<RawLab>> {
    let all_but_one = (0..7usize).prop_map(|i| std::array::from_fn(|fact| fact != i));
    let shared = prop_oneof![all_but_one, any::<[bool; 7]>(), Just([false; 7])];
    (prop::collection::vec(any_lab(), 0..14), shared)
        .prop_map(|(rows, shared)| rows.into_iter().map(|row| alike(row, shared)).collect())
}

fn same_bits(one: &[RawLab], other: &[RawLab], base: &BaseZone) -> Result<(), TestCaseError> {
    for day in 0..6 {
        let day = date("2024-03-03") + Days::new(day);
        // Debug prints every float so that it reads back to the same bits.
        let [one, other] = [one, other].map(|rows| format!("{:?}", figures(rows, day, base)));
        prop_assert_eq!(one, other);
    }
    Ok(())
}

/// The digits of `whole` in groups of three.
fn grouped(whole: u64, separator: &str) -> String {
    let digits = whole.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push_str(separator);
        }
        text.push(digit);
    }
    text
}

/// As `figures`, a value at a time: superseded are those that a better revision stands beside.
fn naive_numbers(rows: &[RawLab], day: NaiveDate, base: &BaseZone) -> Vec<f64> {
    let rank =
        |row: &RawLab| ["final", "amended", "corrected"].iter().position(|s| *s == row.status);
    let counting: Vec<&RawLab> =
        rows.iter().filter(|row| judge(row, base) == Ok(day) && rank(row).is_some()).collect();
    counting
        .iter()
        .filter(|row| {
            !counting.iter().any(|other| {
                other.collected_at == row.collected_at
                    && other.source == row.source
                    && other.loinc_code == row.loinc_code
                    && rank(other) > Some(0)
                    && (rank(other), other.id) > (rank(row), row.id)
            })
        })
        .filter_map(|row| match row.value_text.trim() {
            "0,1" => Some(0.1),
            "1,234.5" => Some(1234.5),
            text => text.parse().ok(),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_order_gives_the_same_bits(
        (rows, shuffled) in rows_alike().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        base in prop::sample::select(vec!["Europe/Berlin", "nowhere"]),
    ) {
        same_bits(&rows, &shuffled, &zone(base))?;
    }

    #[test]
    fn ids_decide_nothing_without_revisions(
        rows in rows_alike(),
        ids in prop::collection::vec(any::<i64>(), 14),
        base in prop::sample::select(vec!["Europe/Berlin", "nowhere"]),
    ) {
        let rows: Vec<_> =
            rows.into_iter().map(|row| RawLab { status: "final".to_owned(), ..row }).collect();
        let renumbered: Vec<_> =
            rows.iter().zip(ids).map(|(row, id)| RawLab { id, ..row.clone() }).collect();
        same_bits(&rows, &renumbered, &zone(base))?;
    }

    #[test]
    fn counts_and_spread_agree_with_a_naive_computation(
        mut rows in prop::collection::vec(any_lab(), 0..14),
    ) {
        rows.iter_mut().zip(0..).for_each(|(row, id)| row.id = id);
        let base = zone("Europe/Berlin");
        for day in 0..6 {
            let day = date("2024-03-03") + Days::new(day);
            let days = figures(&rows, day, &base);
            for loinc_code in [None, Some("4548-4".to_owned())] {
                let of_code: Vec<RawLab> =
                    rows.iter().filter(|row| row.loinc_code == loinc_code).cloned().collect();
                let numbers = naive_numbers(&of_code, day, &base);
                let analyte = loinc_code.unwrap_or("name:hemoglobin a1c|blood".to_owned());
                let figures = days.iter().find(|day| day.analyte == analyte);
                let least = numbers.iter().copied().reduce(f64::min);
                prop_assert_eq!(figures.and_then(|day| day.min), least);
                let greatest = numbers.iter().copied().reduce(f64::max);
                prop_assert_eq!(figures.and_then(|day| day.max), greatest);
                if let Some(mean) = figures.and_then(|day| day.mean) {
                    let count = numbers.len() as f64;
                    let naive: f64 = numbers.iter().map(|number| number / count).sum();
                    prop_assert!((mean - naive).abs() <= 1e-9 * naive.abs());
                    prop_assert!(least <= Some(mean) && Some(mean) <= greatest);
                }
            }
        }
    }

    #[test]
    fn american_european_and_spaced_writing_give_the_same_value(
        whole in prop_oneof![0..2000u64, 0..10_000_000_000u64],
        fraction in "[0-9]{1,6}",
        sign in prop::sample::select(vec!["", "-", "+"]),
        exponent in prop::sample::select(vec!["", "e3", "E-7"]),
        space in prop::sample::select(vec![" ", "\u{a0}", "\u{2009}", "\u{202f}"]),
    ) {
        let expected: f64 = format!("{sign}{whole}.{fraction}{exponent}").parse().unwrap();
        let plain = format!("{whole}.{fraction}");
        let american = format!("{}.{fraction}", grouped(whole, ","));
        let european = format!("{},{fraction}", grouped(whole, "."));
        let french = format!("{},{fraction}", grouped(whole, space));
        let swiss = format!("{}.{fraction}", grouped(whole, space));
        for text in [plain, american, european, french, swiss] {
            // A single comma before three digits is the one writing that cannot mean both.
            let is_thousands = whole > 0 && whole < 1000 && fraction.len() == 3 && text.contains(',');
            if is_thousands {
                continue;
            }
            let text = format!("{sign}{text}{exponent}");
            let value = number::read(&text).map(|written| written.value);
            prop_assert_eq!(value, Some(expected), "{}", text);
        }
        let integer = format!("{sign}{}", grouped(whole, ","));
        let value = number::read(&integer).map(|written| written.value);
        prop_assert_eq!(value, format!("{sign}{whole}").parse().ok(), "{}", integer);
    }

    #[test]
    fn an_accepted_number_is_never_nan(text in "[<>=+\\-0-9., eE]{0,12}") {
        if let Some(written) = number::read(&text) {
            prop_assert!(!written.value.is_nan());
        }
        if let Some(range) = ReferenceRange::read(&text) {
            let (low, high) = (range.low.map(|end| end.value), range.high.map(|end| end.value));
            prop_assert!(low.or(high).is_some());
            prop_assert!(low.zip(high).is_none_or(|(low, high)| low <= high));
        }
    }

    #[test]
    fn a_range_of_two_printed_ends_reads_back(
        low in -1e6..1e6f64,
        width in 0.0..1e6f64,
        dash in prop::sample::select(vec!["-", " - ", "\u{2013}", " \u{2013} ", " to "]),
    ) {
        let high = low + width;
        let range = ReferenceRange::read(&format!("{low}{dash}{high}"));
        let ends = range.map(|range| (range.low.map(|e| e.value), range.high.map(|e| e.value)));
        prop_assert_eq!(ends, Some((Some(low), Some(high))));
    }

    #[test]
    fn a_bound_is_flagged_only_as_every_value_within_it(
        range in prop::sample::select(vec!["4-6", "<5", "<=5", ">5", ">=5", "5-5"]),
        comparator in prop::sample::select(vec!["<", "<=", ">", ">="]),
        bound in 0..20i32,
    ) {
        let bound = f64::from(bound) / 2.0;
        let range = ReferenceRange::read(range).unwrap();
        let result = LabValue::read(&format!("{comparator}{bound}")).unwrap();
        if let Some(flag) = range.flag(&result) {
            for step in 0..=80i32 {
                let value = f64::from(step - 40) / 4.0 + 5.0;
                let is_allowed = match comparator {
                    "<" => value < bound,
                    "<=" => value <= bound,
                    ">" => value > bound,
                    _ => value >= bound,
                };
                if is_allowed {
                    prop_assert_eq!(range.flag(&LabValue::Number(value)), Some(flag));
                }
            }
        }
    }

    #[test]
    fn nothing_makes_it_panic(
        texts in prop::collection::vec(any::<String>(), 5),
        near_numbers in prop::collection::vec("[<>≤≥=+\\-–−0-9.,\u{a0} eEto]{0,14}", 2),
        optional in prop::collection::vec(any::<Option<String>>(), 4),
        instant in prop_oneof![any::<i64>(), Just(Timestamp::MIN.0), Just(Timestamp::MAX.0)],
        base in prop_oneof![any::<String>(), Just("Asia/Manila".to_owned())],
    ) {
        let base = zone(&base);
        let mut row = RawLab {
            id: 0,
            test_name: texts[0].clone(),
            loinc_code: optional[0].clone(),
            value_text: texts[1].clone(),
            unit: optional[1].clone(),
            reference_range: Some(texts[2].clone()),
            flag: optional[2].clone(),
            specimen: optional[3].clone(),
            status: texts[3].clone(),
            collected_at: Timestamp(instant),
            time_zone: Some(texts[4].clone()),
            source: String::new(),
        };
        for _ in 0..2 {
            let days = [Ok(NaiveDate::MIN), Ok(NaiveDate::MAX), judge(&row, &base)];
            for day in days.into_iter().flatten() {
                let _ = figures(std::slice::from_ref(&row), day, &base);
            }
            row.status = "final".to_owned();
            row.time_zone = Some("Asia/Manila".to_owned());
            row.value_text = near_numbers[0].clone();
            row.reference_range = Some(near_numbers[1].clone());
        }
    }
}
