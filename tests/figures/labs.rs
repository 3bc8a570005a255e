//! Laboratory results: numbers, bounds, texts, ranges, flags.

use super::{lines, user_in};
use crate::support::Database;

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
         SELECT 1, 'lab', 'Iron', code, '7', 'mg/dL', specimen, 'final', '2024-05-01 09:00+02'
         FROM (VALUES (NULL, 'Urine'), ('2498-4', NULL), ('2498-4', 'serum')) AS v (code, specimen)",
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
async fn a_correction_of_a_result_supersedes_it() {
    let db = reported(&[["iron", "5", "", "", "", "final"]]).await;
    db.execute(
        "INSERT INTO lab_raw (user_id, source, test_name, value_text, status, collected_at)
         VALUES (1, 'lab', 'iron', '6', 'corrected', '2024-05-01 08:00+02'),
                (1, 'lab', 'iron', '7', 'amended', '2024-05-01 08:00+02')",
    )
    .await;
    db.run_once();
    assert_eq!(lines(&db, LAST).await, ["name:iron 1 6 - -"]);
    db.execute("UPDATE lab_raw SET status = 'entered-in-error' WHERE value_text IN ('6', '7')")
        .await;
    db.run_once();
    assert_eq!(lines(&db, LAST).await, ["name:iron 1 5 - -"]);
}
