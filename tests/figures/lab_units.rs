//! Laboratory results in conventional and SI units.

use super::{lines, rejected, user_in};
use crate::support::Database;

/// A result of user 1 on 1 May 2024: code, name, value, unit, range, status and hour in Berlin.
async fn report(db: &Database, [code, name, value, unit, range, status, hour]: [&str; 7]) {
    db.client
        .execute(
            "INSERT INTO lab_raw (user_id, source, loinc_code, test_name, value_text, unit,
                                  reference_range, status, collected_at)
             VALUES (1, 'lab', nullif($1, ''), $2, $3, nullif($4, ''), nullif($5, ''), $6,
                     ('2024-05-01 ' || $7 || ':00+02')::timestamptz)",
            &[&code, &name, &value, &unit, &range, &status, &hour],
        )
        .await
        .unwrap();
}

/// Every row: analyte, unit, count, last value or text with its comparator, in order.
const ROWS: &str = r#"
    SELECT concat_ws(' ', analyte, quote_literal(unit), result_count, last_comparator,
                     coalesce(round(last_value::numeric, 4)::float8::text, last_text))
    FROM lab_daily ORDER BY analyte COLLATE "C", unit COLLATE "C""#;

#[tokio::test]
async fn every_analyte_of_the_domain_converts_from_si() {
    let db = user_in("Europe/Berlin", "").await;
    for (code, value, unit) in [
        ("2345-7", "5.55", "mmol/L"),
        ("2093-3", "5.172", "mmol/l"),
        ("2571-8", "1.129", "mmol/L"),
        ("2160-0", "88.4", "µmol/L"),
        ("1975-2", "17.1", "umol/L"),
        ("3094-0", "3.57", "mmol/L"),
        ("17861-6", "2.495", "mmol/L"),
        ("3084-1", "297.4", "umol/L"),
        ("4548-4", "53", "mmol/mol"),
    ] {
        report(&db, [code, "x", value, unit, "", "final", "08"]).await;
    }
    db.run_once();
    assert_eq!(
        lines(&db, ROWS).await,
        [
            "17861-6 'mg/dL' 1 10",
            "1975-2 'mg/dL' 1 1",
            "2093-3 'mg/dL' 1 200",
            "2160-0 'mg/dL' 1 1",
            "2345-7 'mg/dL' 1 99.9865",
            "2571-8 'mg/dL' 1 100",
            "3084-1 'mg/dL' 1 5",
            "3094-0 'mg/dL' 1 10",
            "4548-4 '%' 1 7.0004",
        ]
    );
    let versions = "SELECT DISTINCT algorithm_version::text FROM lab_daily";
    assert_eq!(lines(&db, versions).await, ["5"]);
}

#[tokio::test]
async fn one_analyte_in_two_units_has_one_row_with_its_range_and_flag_converted() {
    let db = user_in("Europe/Berlin", "").await;
    report(&db, ["", "Glucose", "111", "mg/dL", "70-99", "final", "07"]).await;
    report(&db, ["", "glucose ", "5,55", "mmol/L", "3.885 - 5.55", "final", "08"]).await;
    db.run_once();
    let day = "SELECT concat_ws(' ', analyte, unit, result_count, round(min::numeric, 4), max,
                                round(mean::numeric, 4), round(last_value::numeric, 4),
                                round(reference_low::numeric, 4), round(reference_high::numeric, 4),
                                '|' || reference_text || '|', last_flag, worst_flag)
               FROM lab_daily";
    assert_eq!(
        lines(&db, day).await,
        ["name:glucose mg/dL 2 99.9865 111 105.4933 99.9865 69.9906 99.9865 |3.885 - 5.55| N H"]
    );
}

#[tokio::test]
async fn the_last_result_stays_as_it_was_reported_beside_the_converted_figures() {
    let db = user_in("Europe/Berlin", "").await;
    report(&db, ["2160-0", "Creatinine", "0.9", "mg/dL", "0.7-1.2", "final", "07"]).await;
    report(&db, ["2160-0", "Creatinine", "80", "\u{b5}mol/L", "60\u{2013}110", "final", "08"])
        .await;
    report(&db, ["", "INR", "2,5", "", "", "final", "08"]).await;
    db.run_once();
    let days = "SELECT concat_ws(' ', analyte, round(last_value::numeric, 3), unit,
                                 round(reference_low::numeric, 3), last_flag, '|', reported_value,
                                 coalesce(reported_unit, '-'), coalesce(reported_range, '-'))
                FROM lab_daily ORDER BY analyte";
    assert_eq!(
        lines(&db, days).await,
        ["2160-0 0.905 mg/dL 0.679 N | 80 \u{b5}mol/L 60\u{2013}110", "name:inr 2.500  | 2,5 - -",]
    );
    assert_eq!(db.run(&["verify"]).code, 0);
    db.execute("UPDATE lab_daily SET reported_unit = 'mmol/L' WHERE analyte = '2160-0'").await;
    assert_eq!(db.run(&["verify"]).code, 4, "verify compares what was reported");
}

#[tokio::test]
async fn what_is_not_known_to_convert_stays_a_row_of_its_own() {
    let db = user_in("Europe/Berlin", "").await;
    for (code, name, value, unit) in [
        ("2345-7", "Glucose", "90", "mg/dL"),
        ("2345-7", "Glucose", "5", "mmol"),
        ("2345-7", "Glucose", "5", ""),
        // The molar code is another analyte, though in the same unit now.
        ("14749-6", "Glucose", "5", "mmol/L"),
        // Its name is known, its code is not.
        ("9999-9", "Glucose", "5", "mmol/L"),
        ("", "Urea", "5", "mmol/L"),
        ("", "Ferritin", "5", "pmol/L"),
        ("", "Ferritin", "5", "ng/mL"),
    ] {
        report(&db, [code, name, value, unit, "", "final", "08"]).await;
    }
    db.run_once();
    assert_eq!(
        lines(&db, ROWS).await,
        [
            "14749-6 'mg/dL' 1 90.078",
            "2345-7 '' 1 5",
            "2345-7 'mg/dL' 1 90",
            "2345-7 'mmol' 1 5",
            "9999-9 'mmol/L' 1 5",
            "name:ferritin 'ng/mL' 1 5",
            "name:ferritin 'pmol/L' 1 5",
            "name:urea 'mmol/L' 1 5",
        ]
    );
}

#[tokio::test]
async fn bounds_convert_and_texts_stay_as_they_were_reported() {
    let db = user_in("Europe/Berlin", "").await;
    for (name, value) in [
        ("glucose", "<5.55"),
        ("calcium", "4,2"),
        ("creatinine", "1,234"),
        ("bun", "1:160"),
        ("uric acid", "positive"),
        ("bilirubin", "1e308"),
    ] {
        let unit = if name == "creatinine" { "µmol/L" } else { "mmol/L" };
        report(&db, ["", name, value, unit, "M:13-17 F:12-15", "final", "08"]).await;
    }
    db.run_once();
    assert_eq!(
        lines(&db, ROWS).await,
        [
            "name:bun 'mmol/L' 1 1:160",
            "name:calcium 'mg/dL' 1 16.8337",
            "name:creatinine 'mg/dL' 1 13.9593",
            "name:glucose 'mg/dL' 1 < 99.9865",
            "name:uric acid 'mmol/L' 1 positive",
        ]
    );
    assert_eq!(rejected(&db).await, ["labs 6 non_finite_value"]);
    let ranges = "SELECT DISTINCT concat_ws(' ', reference_low, reference_high, reference_text)
                  FROM lab_daily";
    assert_eq!(lines(&db, ranges).await, ["M:13-17 F:12-15"]);
}

#[tokio::test]
async fn a_result_amended_later_in_another_unit_supersedes_the_first() {
    let db = user_in("Europe/Berlin", "").await;
    report(&db, ["2345-7", "Glucose", "111", "mg/dL", "", "final", "08"]).await;
    db.run_once();
    report(&db, ["2345-7", "Glucose", "5.55", "mmol/L", "", "amended", "08"]).await;
    db.run_once();
    assert_eq!(lines(&db, ROWS).await, ["2345-7 'mg/dL' 1 99.9865"]);
    db.execute("UPDATE lab_raw SET status = 'entered-in-error' WHERE unit = 'mmol/L'").await;
    db.run_once();
    assert_eq!(lines(&db, ROWS).await, ["2345-7 'mg/dL' 1 111"]);
}
