use std::sync::LazyLock;

use chrono::NaiveDate;

use super::*;
use crate::catalogue::Catalogue;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::built_in().unwrap());

/// The analytes of the catalogue that comes with the worker.
pub(super) fn analytes() -> &'static Analytes {
    CATALOGUE.analytes()
}

pub(super) fn figures(rows: &[RawLab], date: NaiveDate, base_zone: &BaseZone) -> Vec<LabDay> {
    super::figures(rows, date, base_zone, analytes())
}

pub(super) fn judge(row: &RawLab, base_zone: &BaseZone) -> Result<NaiveDate, Reason> {
    super::judge(row, base_zone, analytes())
}

pub(super) fn zone(text: &str) -> BaseZone {
    text.parse()
}

pub(super) fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// An instant written `2024-03-05 12:00`, UTC.
pub(super) fn at(text: &str) -> Timestamp {
    let clock = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
    Timestamp::from_utc_clock(clock)
}

/// A final HbA1c result.
pub(super) fn lab(collected_at: &str, value_text: &str) -> RawLab {
    RawLab {
        id: 1,
        test_name: "Hemoglobin A1c".to_owned(),
        loinc_code: Some("4548-4".to_owned()),
        value_text: value_text.to_owned(),
        unit: Some("%".to_owned()),
        reference_range: Some("4.0-5.6".to_owned()),
        flag: None,
        specimen: Some("blood".to_owned()),
        status: "final".to_owned(),
        collected_at: at(collected_at),
        time_zone: None,
        source: "lab".to_owned(),
    }
}

/// The only result of this kind on 2024-03-05, UTC.
fn only_day(rows: &[RawLab]) -> LabDay {
    let mut days = figures(rows, date("2024-03-05"), &zone("UTC"));
    assert_eq!(days.len(), 1);
    days.remove(0)
}

/// A revision of the result of 08:00.
fn revision(id: i64, status: &str, value_text: &str) -> RawLab {
    RawLab { id, status: status.to_owned(), ..lab("2024-03-05 08:00", value_text) }
}

fn code(flag: Option<Flag>) -> Option<&'static str> {
    flag.map(Flag::code)
}

#[test]
fn a_day_holds_the_last_result_and_the_spread_of_all() {
    let day = only_day(&[
        lab("2024-03-05 18:00", "5,7"),
        lab("2024-03-05 08:00", "5.1"),
        lab("2024-03-05 12:00", "3.0"),
        lab("2024-03-06 00:00", "9.9"),
    ]);
    assert_eq!((day.analyte.as_str(), day.unit.as_str()), ("4548-4", "%"));
    assert_eq!(day.result_count, 3);
    assert_eq!((day.last_value, day.last_comparator), (Some(5.7), None));
    assert_eq!((day.last_text, day.last_at), (None, at("2024-03-05 18:00")));
    assert_eq!((day.min, day.max, day.mean), (Some(3.0), Some(5.7), Some((5.1 + 3.0 + 5.7) / 3.0)));
    assert_eq!((day.reference_low, day.reference_high), (Some(4.0), Some(5.6)));
    assert_eq!(day.reference_text.as_deref(), Some("4.0-5.6"));
    assert_eq!((code(day.last_flag), code(day.worst_flag)), (Some("H"), Some("H")));
    assert_eq!(day.time_zone, "UTC");
    assert_eq!((day.day_start, day.day_end), (at("2024-03-05 00:00"), at("2024-03-06 00:00")));
}

#[test]
fn a_bound_is_a_result_but_enters_no_mean() {
    let day = only_day(&[lab("2024-03-05 08:00", "4.5"), lab("2024-03-05 09:00", "<4.0")]);
    assert_eq!((day.result_count, day.mean), (2, Some(4.5)));
    assert_eq!((day.last_value, day.last_comparator), (Some(4.0), Some(Comparator::Less)));
    assert_eq!((day.min, day.max), (Some(4.5), Some(4.5)));
    assert_eq!(code(day.last_flag), Some("L"));
}

#[test]
fn text_stays_text() {
    for text in ["positive", "1:160", "120/80"] {
        let day = only_day(&[lab("2024-03-05 08:00", &format!(" {text} "))]);
        assert_eq!(day.last_text.as_deref(), Some(text));
        assert_eq!((day.last_value, day.last_comparator, day.mean), (None, None, None));
        assert_eq!((day.min, day.max, day.last_flag), (None, None, None));
        assert_eq!(day.result_count, 1);
    }
}

#[test]
fn a_text_result_keeps_the_laboratorys_own_flag() {
    let row = RawLab { flag: Some("High".to_owned()), ..lab("2024-03-05 08:00", "1:160") };
    assert_eq!(code(only_day(&[row]).last_flag), Some("H"));
}

#[test]
fn the_laboratorys_flag_comes_before_the_range_and_an_unknown_one_does_not() {
    let flagged =
        |flag: &str| RawLab { flag: Some(flag.to_owned()), ..lab("2024-03-05 08:00", "5.7") };
    assert_eq!(code(only_day(&[flagged("hh")]).last_flag), Some("HH"));
    assert_eq!(code(only_day(&[flagged("N")]).last_flag), Some("N"));
    assert_eq!(code(only_day(&[flagged("see comment")]).last_flag), Some("H"));
}

#[test]
fn a_result_that_the_laboratory_calls_abnormal_is_never_normal() {
    let flagged = |value: &str, range: &str, flag: &str| {
        let row = RawLab {
            reference_range: Some(range.to_owned()),
            flag: Some(flag.to_owned()),
            ..lab("2024-03-05 08:00", value)
        };
        let day = only_day(&[row]);
        (code(day.last_flag), code(day.worst_flag))
    };
    assert_eq!(flagged("11", "4-12", "A"), (Some("A"), Some("A")));
    assert_eq!(flagged("0.03", "<0.04", "AA"), (Some("A"), Some("A")));
    assert_eq!(flagged("120", "70-99", "A"), (Some("H"), Some("H")));
    assert_eq!(flagged("120", "70-99", "AA"), (Some("HH"), Some("HH")));
    assert_eq!(flagged("positive", "negative", "abnormal"), (Some("A"), Some("A")));
    assert_eq!(flagged("11", "4-12", "POS"), (None, None));
}

#[test]
fn a_result_and_its_own_range_prove_each_others_decimal_sign() {
    let beside = |value: &str, range: &str| {
        let row =
            RawLab { reference_range: Some(range.to_owned()), ..lab("2024-03-05 08:00", value) };
        let day = only_day(&[row]);
        (day.last_value, day.reference_low, day.reference_high, code(day.last_flag))
    };
    assert_eq!(beside("1,100", "0,2-1,2"), (Some(1.1), Some(0.2), Some(1.2), Some("N")));
    assert_eq!(beside("2,345", "(0,27 - 4,20 %)"), (Some(2.345), Some(0.27), Some(4.2), Some("N")));
}

#[test]
fn the_last_result_is_kept_as_it_was_reported() {
    let row = RawLab {
        loinc_code: Some("2160-0".to_owned()),
        unit: Some(" \u{b5}mol/L".to_owned()),
        reference_range: Some(" 60 \u{2013} 110 ".to_owned()),
        ..lab("2024-03-05 08:00", " 80,0 ")
    };
    let day = only_day(&[row]);
    assert_eq!((day.unit.as_str(), day.last_value), ("mg/dL", Some(80.0 / 88.4)));
    assert_eq!(
        (day.reported_value.as_str(), day.reported_unit.as_deref()),
        ("80,0", Some("\u{b5}mol/L"))
    );
    assert_eq!(day.reference_text.as_deref(), Some("60 \u{2013} 110"));
    let row = RawLab { unit: Some(" ".to_owned()), ..lab("2024-03-05 08:00", "trace") };
    assert_eq!(only_day(&[row]).reported_unit, None);
}

#[test]
fn an_endless_result_is_rejected_and_an_endless_range_is_cut() {
    let longest = "x".repeat(LONGEST_RESULT_BYTES);
    let day = only_day(&[lab("2024-03-05 08:00", &format!(" {longest} "))]);
    assert_eq!(day.last_text, Some(longest.clone()));
    let row = lab("2024-03-05 08:00", &format!("{longest}x"));
    assert_eq!(judge(&row, &zone("UTC")), Err(Reason::ResultTooLong));

    let ranged = |range: String| {
        only_day(&[RawLab { reference_range: Some(range), ..lab("2024-03-05 08:00", "5") }])
    };
    let day = ranged(format!("4.0-5.6{}", " \u{20ac}".repeat(LONGEST_RANGE_BYTES)));
    let text = day.reference_text.unwrap();
    assert!(text.starts_with("4.0-5.6 \u{20ac}") && text.ends_with("\u{2026}"));
    assert!((LONGEST_RANGE_BYTES - 4..=LONGEST_RANGE_BYTES).contains(&text.len()));
    assert_eq!((day.reference_low, day.last_flag), (None, None));
}

#[test]
fn a_range_that_is_text_gives_no_bounds_and_no_flag() {
    let row = RawLab {
        reference_range: Some(" M:13-17 F:12-15 ".to_owned()),
        ..lab("2024-03-05 08:00", "20")
    };
    let day = only_day(&[row]);
    assert_eq!(day.reference_text.as_deref(), Some("M:13-17 F:12-15"));
    assert_eq!((day.reference_low, day.reference_high, day.last_flag), (None, None, None));
    let row = RawLab { reference_range: Some("  ".to_owned()), ..lab("2024-03-05 08:00", "20") };
    assert_eq!(only_day(&[row]).reference_text, None);
}

#[test]
fn the_range_of_a_day_is_that_of_its_last_result() {
    let earlier =
        RawLab { reference_range: Some("<200".to_owned()), ..lab("2024-03-05 08:00", "5") };
    let day = only_day(&[lab("2024-03-05 09:00", "5"), earlier.clone()]);
    assert_eq!((day.reference_low, day.reference_high), (Some(4.0), Some(5.6)));
    let later = RawLab { collected_at: at("2024-03-05 10:00"), ..earlier };
    let day = only_day(&[later, lab("2024-03-05 09:00", "5")]);
    assert_eq!((day.reference_low, day.reference_high), (None, Some(200.0)));
}

#[test]
fn the_worst_flag_is_the_last_of_the_equally_bad() {
    let at_hour = |hour: u32, flag: &str| RawLab {
        flag: Some(flag.to_owned()),
        ..lab(&format!("2024-03-05 {hour:02}:00"), "5")
    };
    let worst = |rows: &[RawLab]| code(only_day(rows).worst_flag);
    assert_eq!(worst(&[at_hour(1, "HH"), at_hour(2, "L"), at_hour(3, "N")]), Some("HH"));
    assert_eq!(worst(&[at_hour(1, "HH"), at_hour(2, "LL")]), Some("LL"));
    assert_eq!(worst(&[at_hour(1, "N"), at_hour(2, "L"), at_hour(3, "H")]), Some("H"));
    assert_eq!(worst(&[at_hour(1, "L"), at_hour(2, "A"), at_hour(3, "N")]), Some("L"));
    assert_eq!(worst(&[at_hour(1, "A"), at_hour(2, "N")]), Some("A"));
    assert_eq!(worst(&[at_hour(1, "N")]), Some("N"));
}

#[test]
fn analytes_and_units_are_rows_of_their_own_in_order() {
    let named = |name: &str, unit: Option<&str>, specimen: &str| RawLab {
        test_name: name.to_owned(),
        loinc_code: None,
        unit: unit.map(str::to_owned),
        specimen: Some(specimen.to_owned()),
        ..lab("2024-03-05 08:00", "5")
    };
    let rows = [
        named("Iron", Some("umol/L"), "Urine"),
        named("IRON ", Some(" ug/dL"), "serum"),
        named("iron", None, "serum"),
        RawLab { value_text: "6".to_owned(), ..named("iron", Some("ug/dL"), "Serum ") },
        lab("2024-03-05 08:00", "5"),
    ];
    let days = figures(&rows, date("2024-03-05"), &zone("UTC"));
    let keys: Vec<_> =
        days.iter().map(|d| (d.analyte.as_str(), d.unit.as_str(), d.result_count)).collect();
    assert_eq!(
        keys,
        [
            ("4548-4", "%", 1),
            ("name:iron|serum", "", 1),
            ("name:iron|serum", "ug/dL", 2),
            ("name:iron|urine", "umol/L", 1),
        ]
    );
}

#[test]
fn only_final_amended_and_corrected_results_count() {
    for status in ["final", "Amended", " CORRECTED "] {
        assert_eq!(only_day(&[revision(1, status, "5")]).result_count, 1);
    }
    for status in ["preliminary", "cancelled", "Entered-In-Error"] {
        // A withdrawn row is neither counted nor rejected, for any content.
        let row = RawLab { test_name: String::new(), loinc_code: None, ..revision(1, status, "") };
        assert_eq!(judge(&row, &zone("UTC")), Ok(date("2024-03-05")));
        assert!(figures(&[row], date("2024-03-05"), &zone("UTC")).is_empty());
    }
}

#[test]
fn a_rows_first_objection_is_its_reason() {
    let utc = zone("UTC");
    let mut row = lab("2024-03-05 08:00", "1e999");
    assert_eq!(judge(&row, &utc), Err(Reason::NonFiniteValue));
    row.value_text = " ".to_owned();
    assert_eq!(judge(&row, &utc), Err(Reason::EmptyResult));
    row.value_text = "x".repeat(LONGEST_RESULT_BYTES + 1);
    assert_eq!(judge(&row, &utc), Err(Reason::ResultTooLong));
    row.unit = Some("x".repeat(1000));
    assert_eq!(judge(&row, &utc), Err(Reason::KeyTooLong));
    row.loinc_code = None;
    row.test_name = " ".to_owned();
    assert_eq!(judge(&row, &utc), Err(Reason::UnnamedTest));
    row.status = "done".to_owned();
    assert_eq!(judge(&row, &utc), Err(Reason::UnknownStatus));
    row.time_zone = Some("Mars".to_owned());
    assert_eq!(judge(&row, &utc), Err(Reason::UnknownTimeZone));
    row.collected_at = Timestamp(i64::MIN);
    assert_eq!(judge(&row, &utc), Err(Reason::TimeOutOfRange));
    assert!(figures(&[row], date("2024-03-05"), &utc).is_empty());
}

#[test]
fn different_final_results_of_one_instant_all_count() {
    let day = only_day(&[revision(1, "final", "5"), revision(2, "final", "6")]);
    assert_eq!((day.result_count, day.mean), (2, Some(5.5)));
    assert_eq!(day.last_value, Some(6.0));
}

#[test]
fn a_result_that_is_sent_again_is_one_and_the_newest_row_counts() {
    let first = revision(1, "final", "5");
    let again = RawLab {
        reference_range: Some("1-2".to_owned()),
        specimen: None,
        ..revision(2, "final", "5.0")
    };
    for rows in [[first.clone(), again.clone()], [again, first.clone()]] {
        let day = only_day(&rows);
        assert_eq!((day.result_count, day.exact_count, day.mean), (1, 1, Some(5.0)));
        assert_eq!((day.reported_value.as_str(), day.reference_high), ("5.0", Some(2.0)));
    }
    for value in ["<5", "positive"] {
        let twice = [revision(1, "final", value), revision(2, "final", value)];
        assert_eq!(only_day(&twice).result_count, 1, "{value}");
    }
    for other in [
        revision(2, "final", "<5"),
        RawLab { collected_at: at("2024-03-05 08:01"), ..revision(2, "final", "5") },
        RawLab { source: "other lab".to_owned(), ..revision(2, "final", "5") },
    ] {
        assert_eq!(only_day(&[first.clone(), other]).result_count, 2);
    }
}

#[test]
fn the_newest_revision_supersedes_the_results_of_its_instant() {
    let results = |rows: &[RawLab]| {
        let day = only_day(rows);
        (day.result_count, day.last_value)
    };
    let (first, second) = (revision(1, "final", "5"), revision(9, "final", "6"));
    let (amended, corrected) = (revision(3, "amended", "7"), revision(2, "corrected", "8"));
    assert_eq!(results(&[first.clone(), second.clone(), amended.clone()]), (1, Some(7.0)));
    assert_eq!(results(&[amended.clone(), corrected.clone(), first.clone()]), (1, Some(7.0)));
    let newer = revision(4, "corrected", "4");
    assert_eq!(results(&[corrected.clone(), newer, amended]), (1, Some(4.0)));

    // A rejected correction and a withdrawn one supersede nothing.
    assert_eq!(results(&[first.clone(), revision(3, "corrected", "")]), (1, Some(5.0)));
    assert_eq!(results(&[first, revision(3, "entered-in-error", "6")]), (1, Some(5.0)));

    // The correction of another result supersedes nothing, either.
    for other in [
        RawLab { collected_at: at("2024-03-05 08:01"), ..corrected.clone() },
        RawLab { source: "other lab".to_owned(), ..corrected.clone() },
        RawLab { specimen: Some("urine".to_owned()), ..corrected },
    ] {
        assert_eq!(results(&[second.clone(), other]).0, 2);
    }
}

#[test]
fn a_correction_supersedes_results_of_its_own_date_only() {
    // 20:00 UTC is the next day in Tokyo.
    let wrong = lab("2024-03-05 20:00", "5");
    let right = RawLab {
        status: "corrected".to_owned(),
        time_zone: Some("Asia/Tokyo".to_owned()),
        ..wrong.clone()
    };
    let rows = [wrong, right];
    let days = ["2024-03-05", "2024-03-06"].map(|day| figures(&rows, date(day), &zone("UTC")));
    let counts = days.each_ref().map(|days| days.iter().map(|day| day.result_count).sum::<i32>());
    assert_eq!(counts, [1, 1]);
    assert_eq!(days[1][0].time_zone, "Asia/Tokyo");
    assert_eq!(days[1][0].day_start, at("2024-03-05 15:00"));
}

#[test]
fn each_row_of_a_day_takes_the_zone_that_its_own_results_share() {
    let in_tokyo = RawLab {
        unit: Some("mg/dL".to_owned()),
        time_zone: Some("Asia/Tokyo".to_owned()),
        ..lab("2024-03-05 08:00", "38")
    };
    let days = figures(&[lab("2024-03-05 08:00", "5"), in_tokyo], date("2024-03-05"), &zone("UTC"));
    let zones: Vec<_> = days.iter().map(|d| (d.unit.as_str(), d.time_zone.as_str())).collect();
    assert_eq!(zones, [("%", "UTC"), ("mg/dL", "Asia/Tokyo")]);
}

#[test]
fn an_unknown_base_zone_rejects_only_rows_without_a_zone_of_their_own() {
    let row = lab("2024-03-05 08:00", "5");
    assert_eq!(judge(&row, &zone("nowhere")), Err(Reason::UnknownTimeZone));
    let row = RawLab { time_zone: Some("+05:30".to_owned()), ..row };
    let days = figures(&[row], date("2024-03-05"), &zone("nowhere"));
    assert_eq!(days[0].time_zone, "+05:30");
}

#[test]
fn the_mean_never_leaves_the_numbers_it_is_of() {
    // 0.1 + 0.1 + 0.1 rounds up.
    let rows = ["08:00", "09:00", "10:00"].map(|at| lab(&format!("2024-03-05 {at}"), "0.1"));
    assert_eq!(only_day(&rows).mean, Some(0.1));
    let rows = [("08", "1e308"), ("09", "1.5e308"), ("10", "1e308")]
        .map(|(hour, value)| lab(&format!("2024-03-05 {hour}:00"), value));
    let mean = only_day(&rows).mean.unwrap();
    assert!((mean / 1e308 - 3.5 / 3.0).abs() < 1e-12);
}
