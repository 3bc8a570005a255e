use chrono::{Days, NaiveDate};
use proptest::prelude::*;

use super::number::DecimalSign;
use super::tests::{date, figures, judge, lab, zone};
use super::*;
use crate::timestamp::HOUR_US;

fn any_lab() -> impl Strategy<Value = RawLab> {
    (
        any::<i64>(),
        prop::option::of(Just("4548-4".to_owned())),
        prop_oneof![
            // Three digits are left out, since a flag may make them thousands.
            6 => "[1-9]\\.([0-9]{1,2}|[0-9]{4,16})",
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
        // There are few instants, so that results share one and revisions meet.
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

/// `row`, with each fact that `shared` selects replaced by a constant, so that rows differ only in
/// the other facts.
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

/// Rows that share all facts but one, or some facts, or no particular ones.
fn rows_alike() -> impl Strategy<Value = Vec<RawLab>> {
    let all_but_one = (0..7usize).prop_map(|i| std::array::from_fn(|fact| fact != i));
    let shared = prop_oneof![all_but_one, any::<[bool; 7]>(), Just([false; 7])];
    (prop::collection::vec(any_lab(), 0..14), shared)
        .prop_map(|(rows, shared)| rows.into_iter().map(|row| alike(row, shared)).collect())
}

fn same_bits(one: &[RawLab], other: &[RawLab], base: &BaseZone) -> Result<(), TestCaseError> {
    for day in 0..6 {
        let day = date("2024-03-03") + Days::new(day);
        // Debug prints every float so that it parses back to the same bits.
        let [one, other] = [one, other].map(|rows| format!("{:?}", figures(rows, day, base)));
        prop_assert_eq!(one, other);
    }
    Ok(())
}

/// The digits of `whole` in groups: the last of three digits, those before it of `size`.
fn grouped(whole: u64, separator: &str, size: usize) -> String {
    let digits = whole.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        let left = digits.len() - i;
        if i > 0 && left >= 3 && (left - 3).is_multiple_of(size) {
            text.push_str(separator);
        }
        text.push(digit);
    }
    text
}

/// A laboratory's way to write numbers.
#[derive(Clone, Copy, Debug)]
struct Locale {
    decimal_sign: char,
    separator: &'static str,
    group: usize,
}

impl Locale {
    const fn new(decimal_sign: char, separator: &'static str, group: usize) -> Self {
        Self { decimal_sign, separator, group }
    }

    fn write(self, whole: u64, fraction: &str, separates: bool) -> String {
        let whole =
            if separates { grouped(whole, self.separator, self.group) } else { whole.to_string() };
        if fraction.is_empty() { whole } else { format!("{whole}{}{fraction}", self.decimal_sign) }
    }
}

fn any_locale() -> impl Strategy<Value = Locale> {
    prop::sample::select(vec![
        Locale::new('.', ",", 3),
        Locale::new('.', ",", 2),
        Locale::new('.', "'", 3),
        Locale::new('.', "\u{2019}", 3),
        Locale::new('.', " ", 3),
        Locale::new(',', ".", 3),
        Locale::new(',', " ", 3),
        Locale::new(',', "\u{a0}", 3),
        Locale::new(',', "\u{202f}", 3),
        Locale::new(',', "'", 3),
    ])
}

fn any_number() -> impl Strategy<Value = (u64, String)> {
    (
        prop_oneof![0..10u64, 0..2000u64, 0..10_000_000_000u64],
        prop_oneof![Just(String::new()), Just("100".to_owned()), "[0-9]{1,4}"],
    )
}

/// Whether the marks of a number allow only one decimal sign.
fn proves_its_sign(text: &str) -> bool {
    let marks: Vec<char> = text.chars().filter(|c| !c.is_ascii_digit()).collect();
    let [mark @ ('.' | ',')] = marks[..] else {
        return marks.iter().any(|c| matches!(c, '.' | ','));
    };
    let (whole, fraction) = text.split_once(mark).unwrap();
    whole.is_empty() || whole.starts_with('0') || whole.len() > 3 || fraction.len() != 3
}

fn read_range(text: &str, sign: DecimalSign) -> Option<ReferenceRange> {
    ReferenceRange::read(text, &OwnUnit::new("mg/dL", None), sign)
}

/// Computes like `figures`, one value at a time: a newer revision supersedes the others of its
/// result, and equal results count once.
fn naive_numbers(rows: &[RawLab], day: NaiveDate, base: &BaseZone) -> Vec<f64> {
    let is_revised = |row: &RawLab| row.status != "final";
    let counting: Vec<&RawLab> = rows
        .iter()
        .filter(|row| judge(row, base) == Ok(day))
        .filter(|row| ["final", "amended", "corrected"].contains(&row.status.as_str()))
        .collect();
    let mut numbers: Vec<(i64, &str, f64)> = counting
        .iter()
        .filter(|row| {
            !counting.iter().any(|other| {
                other.collected_at == row.collected_at
                    && other.source == row.source
                    && other.loinc_code == row.loinc_code
                    && is_revised(other)
                    && (is_revised(other), other.id) > (is_revised(row), row.id)
            })
        })
        .filter_map(|row| {
            let number = match row.value_text.trim() {
                "0,1" => 0.1,
                "1,234.5" => 1234.5,
                // If both decimal signs are possible, the dot is used.
                text => text.parse().ok()?,
            };
            Some((row.collected_at.0, row.source.as_str(), number))
        })
        .collect();
    numbers.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
    numbers.dedup();
    numbers.into_iter().map(|(_, _, number)| number).collect()
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
    fn ids_decide_nothing_without_revisions_and_results_that_are_sent_again(
        rows in rows_alike(),
        ids in prop::collection::vec(any::<i64>(), 14),
        base in prop::sample::select(vec!["Europe/Berlin", "nowhere"]),
    ) {
        let mut rows: Vec<_> =
            rows.into_iter().map(|row| RawLab { status: "final".to_owned(), ..row }).collect();
        // If a result is sent again, the newest row counts.
        let result = |row: &RawLab| {
            let number = row.value_text.trim().replace(',', ".").trim_end_matches('0').to_owned();
            (row.collected_at, row.source.clone(), row.loinc_code.clone(), number)
        };
        rows.sort_by_key(result);
        rows.dedup_by_key(|row| result(row));
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
    fn a_laboratory_that_writes_result_and_range_alike_is_read_exactly(
        locale in any_locale(),
        numbers in prop::collection::vec(any_number(), 3),
        separates in any::<bool>(),
        pattern in prop::sample::select(vec![
            "{l}-{h}", "{l} \u{2013} {h}", "({l}-{h} mg/dL)", "<{h}", "\u{2264} {h} mg/dl", "up to {h}", ">{l}", "M: {l}-{h} F: <{h}",
        ]),
        comparator in prop::sample::select(vec!["", "<", ">="]),
    ) {
        let texts: Vec<String> =
            numbers.iter().map(|(whole, fraction)| locale.write(*whole, fraction, separates)).collect();
        let exact: Vec<f64> =
            numbers.iter().map(|(whole, fraction)| format!("{whole}.{fraction}0").parse().unwrap()).collect();
        let (low, high) = if exact[1] <= exact[2] { (1, 2) } else { (2, 1) };
        let value_text = format!("{comparator}{}", texts[0]);
        let range = pattern.replace("{l}", &texts[low]).replace("{h}", &texts[high]);
        // A dot is the decimal sign without a proof of another; spaces separate numbers in a text.
        let is_proven = proves_its_sign(&texts[0])
            || (pattern.contains("{l}") && proves_its_sign(&texts[low]))
            || (pattern.contains("{h}") && proves_its_sign(&texts[high]));
        let is_text = pattern.starts_with("M:");
        if locale.decimal_sign == ',' && (!is_proven || is_text && separates) {
            return Ok(());
        }
        let unit = OwnUnit::new("mg/dL", None);
        let reading = Reading::read(&value_text, &range, &unit, OwnFlag::Missing).unwrap();
        prop_assert_eq!(reading.value.value(), Some(exact[0]), "{} beside {}", value_text, range);
        if is_text {
            prop_assert_eq!(reading.range, None);
        } else {
            let range_read = reading.range.unwrap();
            for (end, exact) in [(range_read.low, exact[low]), (range_read.high, exact[high])] {
                prop_assert!(end.is_none_or(|end| end.value == exact), "{} in {}", exact, range);
            }
        }
    }

    #[test]
    fn no_result_beside_a_range_that_proves_its_sign_is_off_by_a_power_of_ten(
        whole in 1..1000u64,
        fraction in "[0-9]{3}",
        range in prop::sample::select(vec![
            ("0,2-1,2", ','), ("<0,05", ','), ("M:0,5 F:0,6", ','), ("500-1.200", ','),
            ("0.2-1.2", '.'), ("<0.05", '.'), ("M:0.5 F:0.6", '.'), ("900-1,200", '.'),
        ]),
    ) {
        let (range, decimal_sign) = range;
        let unit = OwnUnit::new("", None);
        for mark in ['.', ','] {
            let text = format!("{whole}{mark}{fraction}");
            let reading = Reading::read(&text, range, &unit, OwnFlag::Missing).unwrap();
            let exact = if mark == decimal_sign { format!("{whole}.{fraction}") } else { format!("{whole}{fraction}") };
            prop_assert_eq!(reading.value.value(), exact.parse().ok(), "{} beside {}", text, range);
        }
    }

    #[test]
    fn an_accepted_number_is_never_nan(text in "[<>=+\\-0-9., '()eE]{0,12}") {
        for sign in [DecimalSign::Dot, DecimalSign::Comma] {
            prop_assert!(number::read(&text, sign).is_none_or(|number| !number.is_nan()));
            if let Some(range) = read_range(&text, sign) {
                let (low, high) = (range.low.map(|end| end.value), range.high.map(|end| end.value));
                prop_assert!(low.or(high).is_some());
                prop_assert!(low.zip(high).is_none_or(|(low, high)| low <= high));
            }
        }
    }

    #[test]
    fn a_range_of_two_printed_ends_reads_back(
        low in -1e6..1e6f64,
        width in 0.0..1e6f64,
        dash in prop::sample::select(vec!["-", " - ", "\u{2013}", " \u{2013} ", " to "]),
    ) {
        let high = low + width;
        let range = read_range(&format!("{low}{dash}{high}"), DecimalSign::Dot);
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
        let range = read_range(range, DecimalSign::Dot).unwrap();
        let result = LabValue::read(&format!("{comparator}{bound}"), DecimalSign::Dot).unwrap();
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
