//! Laboratory results: numbers, bounds, texts, ranges, flags.

use super::{lines, rejected, user_in};
use crate::support::Database;
use crate::support::rows::lab;

/// Results of user 1 at Berlin's 08:00, each a minute after the one before: name, value, unit,
/// range, flag, status.
async fn reported(results: &[[&str; 6]]) -> Database {
    let db = user_in("Europe/Berlin", "").await;
    for (minute, [name, value, unit, range, flag, status]) in results.iter().enumerate() {
        db.client
            .execute(
                "INSERT INTO lab_raw (user_id, source, test_name, value_text, unit, reference_range,
                                      flag, status, collected_at)
                 VALUES (1, 'lab', $1, $2, nullif($3, ''), nullif($4, ''), nullif($5, ''), $6,
                         timestamptz '2024-05-01 08:00+02' + make_interval(mins => $7))",
                &[name, value, unit, range, flag, status, &(minute as i32)],
            )
            .await
            .unwrap();
    }
    db.run_once();
    db
}

/// `count value comparator text` of the last result of each analyte, with `-` for NULL.
const LAST: &str = "
    SELECT concat_ws(' ', analyte, result_count, coalesce(last_value::text, '-'),
                     coalesce(last_comparator, '-'), coalesce(last_text, '-'))
    FROM lab_daily ORDER BY analyte, unit";

#[tokio::test]
async fn a_bound_is_not_its_number_and_a_text_stays_text() {
    let db = reported(&[
        ["a", "<5", "", "", "", "final"],
        ["b", "≥ 1,234.5", "", "", "", "final"],
        ["c", "positive", "", "", "", "final"],
        ["d", "1:160", "", "", "", "final"],
        ["e", "120/80", "", "", "", "final"],
        ["f", "4,2", "", "", "", "final"],
        ["g", "1,234", "", "", "", "final"],
        ["h", "nan", "", "", "", "final"],
    ])
    .await;
    assert_eq!(
        lines(&db, LAST).await,
        [
            "name:a 1 5 < -",
            "name:b 1 1234.5 >= -",
            "name:c 1 - - positive",
            "name:d 1 - - 1:160",
            "name:e 1 - - 120/80",
            "name:f 1 4.2 - -",
            "name:g 1 1234 - -",
            "name:h 1 - - nan",
        ]
    );
}

#[tokio::test]
async fn least_greatest_and_mean_are_of_the_numbers_and_the_last_result_is_the_latest() {
    let db = reported(&[
        ["iron", "9", "", "", "", "final"],
        ["Iron ", "4", "", "", "", "final"],
        ["iron", "positive", "", "", "", "final"],
        ["IRON", "<2", "", "", "", "final"],
        ["iron", "99", "", "", "", "preliminary"],
        ["iron", "99", "", "", "", "cancelled"],
        ["iron", "99", "", "", "", "entered-in-error"],
    ])
    .await;
    let day = "SELECT concat_ws(' ', result_count, min, max, mean, last_comparator, last_value,
                                to_char(last_at AT TIME ZONE 'UTC', 'HH24:MI'))
               FROM lab_daily";
    assert_eq!(lines(&db, day).await, ["4 4 9 6.5 < 2 06:03"]);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM rejected_rows").await, 0);
}

#[tokio::test]
async fn ranges_are_read_and_set_the_flag_that_the_laboratory_did_not() {
    let cases = [
        ("5", "4.0-5.6", "", "4 5.6 N"),
        ("5.7", "4.0-5.6", "", "4 5.6 H"),
        ("5.6", "4.0-5.6", "", "4 5.6 N"),
        ("3.9", "4.0 – 5.6", "", "4 5.6 L"),
        ("-6", "-5 - 10", "", "-5 10 L"),
        ("0", "-5 - 10", "", "-5 10 N"),
        ("200", "<200", "", "- 200 H"),
        ("200", "≤200", "", "- 200 N"),
        ("40", ">40", "", "40 - L"),
        ("5", "up to 5", "", "- 5 N"),
        ("15", "M:13-17 F:12-15", "", "- - -"),
        ("5", "", "", "- - -"),
        ("<4", "4.0-5.6", "", "4 5.6 L"),
        ("<5", "4.0-5.6", "", "4 5.6 -"),
        (">6", "4.0-5.6", "", "4 5.6 H"),
        ("positive", "4.0-5.6", "", "4 5.6 -"),
        // The laboratory's own flag comes first.
        ("5", "4.0-5.6", "HH", "4 5.6 HH"),
        ("5.7", "4.0-5.6", "normal", "4 5.6 N"),
        ("5.7", "4.0-5.6", "abnormal", "4 5.6 H"),
        ("positive", "", "critical low", "- - LL"),
    ];
    let names: Vec<String> = (0..cases.len()).map(|index| format!("test {index:02}")).collect();
    let results: Vec<[&str; 6]> = names
        .iter()
        .zip(&cases)
        .map(|(name, (value, range, flag, _))| [name.as_str(), value, "", range, flag, "final"])
        .collect();
    let db = reported(&results).await;
    let found = lines(
        &db,
        "SELECT concat_ws(' ', coalesce(reference_low::text, '-'), coalesce(reference_high::text, '-'),
                          coalesce(last_flag, '-'))
         FROM lab_daily ORDER BY analyte",
    )
    .await;
    let expected: Vec<&str> = cases.iter().map(|(.., expected)| *expected).collect();
    assert_eq!(found, expected);
    let texts = "SELECT reference_text FROM lab_daily ORDER BY analyte";
    let expected = cases.iter().map(|(_, range, ..)| if range.is_empty() { "NULL" } else { range });
    assert_eq!(lines(&db, texts).await, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn the_range_is_the_last_results_and_the_worst_flag_the_days() {
    let db = reported(&[
        ["iron", "5", "", "6-9", "", "final"],
        ["iron", "20", "", "1-9", "HH", "final"],
        ["iron", "5", "", "4-8", "", "final"],
    ])
    .await;
    let day = "SELECT concat_ws(' ', reference_low, reference_high, reference_text, last_flag, worst_flag)
               FROM lab_daily";
    assert_eq!(lines(&db, day).await, ["4 8 4-8 N HH"]);
}

#[tokio::test]
async fn analytes_and_units_are_never_merged() {
    let db = reported(&[
        ["Iron", "5", "mg/dL", "", "", "final"],
        ["Iron", "5", "", "", "", "final"],
        ["Iron, total", "5", "mg/dL", "", "", "final"],
    ])
    .await;
    db.execute(
        "INSERT INTO lab_raw (user_id, source, test_name, loinc_code, value_text, unit, specimen, status, collected_at)
         SELECT 1, 'lab', 'Iron', code, value, 'mg/dL', specimen, 'final', '2024-05-01 09:00+02'
         FROM (VALUES (NULL, '7', 'Urine'), ('2498-4', '7', NULL), ('2498-4', '8', 'serum'))
             AS v (code, value, specimen)",
    )
    .await;
    db.run_once();
    let keys = lines(
        &db,
        r#"SELECT concat_ws(' ', result_count, analyte, unit) FROM lab_daily
           ORDER BY analyte COLLATE "C", unit COLLATE "C""#,
    )
    .await;
    assert_eq!(
        keys,
        [
            "2 2498-4 mg/dL",
            "1 name:iron ",
            "1 name:iron mg/dL",
            "1 name:iron, total mg/dL",
            "1 name:iron|urine mg/dL",
        ]
    );
}

#[tokio::test]
async fn a_result_and_its_own_range_prove_each_others_decimal_sign() {
    let db = reported(&[
        ["a", "1,100", "mg/dL", "0,2-1,2", "", "final"],
        ["b", "2,345", "mU/L", "(0,27 - 4,20 mU/L)", "", "final"],
        ["c", "1,012", "mg/dL", "0,70-1,20", "", "final"],
        ["d", "1,100", "mg/dL", "M: 0,2-1,2 F: 0,1-1,1", "", "final"],
        ["e", "1.100", "ng/mL", "30,0-400,0", "", "final"],
        ["f", "1,100", "ng/mL", "30.0-400.0", "", "final"],
        ["g", "1800", "/uL", "500-1.200", "", "final"],
        ["h", "12,34,567.8", "", "1,50,000 - 4,50,000", "", "final"],
        ["i", "1'234.5", "", "\u{2264}\u{a0}2\u{202f}000", "", "final"],
        ["j", "1,100", "", "150-400", "", "final"],
        ["k", "1,100", "", "1-2", "N", "final"],
    ])
    .await;
    let read = "SELECT concat_ws(' ', analyte, last_value, coalesce(reference_low::text, '-'),
                                 coalesce(reference_high::text, '-'), coalesce(last_flag, '-'))
                FROM lab_daily ORDER BY analyte";
    assert_eq!(
        lines(&db, read).await,
        [
            "name:a 1.1 0.2 1.2 N",
            "name:b 2.345 0.27 4.2 N",
            "name:c 1.012 0.7 1.2 N",
            "name:d 1.1 - - -",
            "name:e 1100 30 400 H",
            "name:f 1100 30 400 H",
            "name:g 1800 500 1200 H",
            "name:h 1234567.8 150000 450000 H",
            "name:i 1234.5 - 2000 N",
            "name:j 1100 150 400 H",
            "name:k 1.1 1 2 N",
        ]
    );
}

#[tokio::test]
async fn ranges_are_read_with_brackets_and_the_unit_of_the_result() {
    let db = reported(&[
        ["a", "5", "mmol/L", "(4.0-5.6 mmol/L)", "", "final"],
        ["b", "5", "mmol/L", "4.0 mmol/l - 5.6 mmol/l", "", "final"],
        ["c", "5", "%", "4.0-5.6%", "", "final"],
        ["d", "5", "mg/dL", "4.0-5.6 mmol/L", "", "final"],
        ["e", "5", "10*3/uL", "[4-11] 10*3/uL", "", "final"],
        ["f", "5", "mg/L", "up to 5 mg/L", "", "final"],
    ])
    .await;
    let flags = "SELECT concat_ws(' ', analyte, reference_low, reference_high,
                                  coalesce(last_flag, '-'))
                 FROM lab_daily ORDER BY analyte";
    assert_eq!(
        lines(&db, flags).await,
        [
            "name:a 4 5.6 N",
            "name:b 4 5.6 N",
            "name:c 4 5.6 N",
            "name:d -",
            "name:e 4 11 N",
            "name:f 5 N",
        ]
    );
}

#[tokio::test]
async fn a_result_that_the_laboratory_calls_abnormal_is_never_normal() {
    let db = reported(&[
        ["a", "11", "mmol/L", "4-12", "A", "final"],
        ["b", "0.03", "ng/mL", "<0.04", "AA", "final"],
        ["c", "2.5", "", "2.0-3.0", "abnormal", "final"],
        ["d", "120", "mg/dL", "70-99", "A", "final"],
        ["e", "2.5", "", "2.0-3.0", "POS", "final"],
        ["f", "1", "", "2.0-3.0", "L", "final"],
        ["f", "2.5", "", "2.0-3.0", "A", "final"],
        ["g", "2.5", "", "2.0-3.0", "A", "final"],
        ["g", "2.5", "", "2.0-3.0", "N", "final"],
    ])
    .await;
    let flags =
        "SELECT concat_ws(' ', analyte, coalesce(last_flag, '-'), coalesce(worst_flag, '-'))
                 FROM lab_daily ORDER BY analyte";
    assert_eq!(
        lines(&db, flags).await,
        [
            "name:a A A",
            "name:b A A",
            "name:c A A",
            "name:d H H",
            "name:e - -",
            "name:f A L",
            "name:g N A",
        ]
    );
}

#[tokio::test]
async fn an_endless_result_is_rejected_and_an_endless_range_is_cut() {
    let (long, remark) = ("x".repeat(1_000_000), "see the remark; ".repeat(60_000));
    let db =
        reported(&[["a", &long, "", "", "", "final"], ["b", "5", "", &remark, "", "final"]]).await;
    assert_eq!(rejected(&db).await, ["labs 1 result_too_long"]);
    let kept = "SELECT concat_ws(' ', analyte, last_value, octet_length(reported_range),
                                 right(reported_range, 1), reference_text = reported_range)
                FROM lab_daily";
    assert_eq!(lines(&db, kept).await, ["name:b 5 4096 \u{2026} t"]);
}

#[tokio::test]
async fn a_result_that_is_sent_again_is_one() {
    let db = reported(&[["iron", "4.1", "", "3-5", "", "final"]]).await;
    let again = |value: &str, range: &str| {
        format!(
            "INSERT INTO lab_raw (user_id, source, test_name, value_text, reference_range, status, collected_at)
             VALUES (1, 'lab', 'iron', '{value}', '{range}', 'final', '2024-05-01 08:00+02')"
        )
    };
    db.execute(&again("4.10", "3-4")).await;
    db.run_once();
    let day = "SELECT concat_ws(' ', result_count, exact_count, mean, last_flag, reported_value)
               FROM lab_daily";
    assert_eq!(lines(&db, day).await, ["1 1 4.1 H 4.10"]);
    db.execute(&again("4.2", "3-5")).await;
    db.run_once();
    assert_eq!(lines(&db, day).await, ["2 2 4.15 N 4.2"]);
}

#[tokio::test]
async fn the_newest_revision_of_a_result_supersedes_the_others() {
    let db = reported(&[["iron", "5", "", "", "", "final"]]).await;
    db.insert([
        lab("iron", "6").at("2024-05-01 08:00+02").text("status", "corrected"),
        lab("iron", "7").at("2024-05-01 08:00+02").text("status", "amended"),
    ])
    .await;
    db.run_once();
    assert_eq!(lines(&db, LAST).await, ["name:iron 1 7 - -"]);
    db.execute("UPDATE lab_raw SET status = 'entered-in-error' WHERE value_text = '7'").await;
    db.run_once();
    assert_eq!(lines(&db, LAST).await, ["name:iron 1 6 - -"]);
    db.execute("UPDATE lab_raw SET status = 'entered-in-error' WHERE value_text IN ('6', '7')")
        .await;
    db.run_once();
    assert_eq!(lines(&db, LAST).await, ["name:iron 1 5 - -"]);
}
