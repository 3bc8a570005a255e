//! Differences of laboratory results from the day before, also when that day changes.

use super::{lines, user_in};
use crate::support::Database;
use crate::support::rows::lab;

/// Reports results of user 1 at Berlin's 08:00: name, value, unit, date.
async fn report(db: &Database, results: &[[&str; 4]]) {
    for [name, value, unit, date] in results {
        db.client
            .execute(
                "INSERT INTO lab_raw (user_id, source, test_name, value_text, unit, status, collected_at)
                 VALUES (1, 'lab', $1, $2, nullif($3, ''), 'final',
                         ($4 || ' 08:00')::timestamp AT TIME ZONE 'Europe/Berlin')",
                &[name, value, unit, date],
            )
            .await
            .unwrap();
    }
}

/// Reports results of iron and computes them.
async fn iron(db: &Database, results: &[(&str, &str)]) {
    for (value, date) in results {
        report(db, &[["Iron", value, "ug/dL", date]]).await;
    }
    db.run_once();
}

/// `date value delta percent` of each day, with `-` for NULL.
async fn deltas(db: &Database) -> Vec<String> {
    lines(
        db,
        r#"SELECT concat_ws(' ', local_date, coalesce(last_comparator, '')
                                 || coalesce(last_value::text, last_text),
                            coalesce(delta::text, '-'), coalesce(delta_percent::text, '-'))
           FROM lab_daily ORDER BY local_date, analyte COLLATE "C", unit COLLATE "C""#,
    )
    .await
}

/// Computes everything again from the raw rows and compares.
async fn assert_as_from_scratch(db: &Database) {
    let lived = db.rows_as_text("lab_daily", "true").await;
    db.execute("DELETE FROM lab_daily; UPDATE lab_raw SET source = source || '!'").await;
    db.execute("UPDATE lab_raw SET source = rtrim(source, '!')").await;
    db.run_once();
    assert_eq!(db.rows_as_text("lab_daily", "true").await, lived);
}

#[tokio::test]
async fn a_day_is_compared_with_the_latest_one_before_it_however_long_ago() {
    let db = user_in("Europe/Berlin", "").await;
    iron(&db, &[("80", "2012-02-29"), ("100", "2024-05-01"), ("75", "2024-05-02")]).await;
    assert_eq!(
        deltas(&db).await,
        ["2012-02-29 80 - -", "2024-05-01 100 20 25", "2024-05-02 75 -25 -25"]
    );
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn the_last_result_of_a_day_is_compared_and_not_those_before_it() {
    let db = user_in("Europe/Berlin", "").await;
    iron(&db, &[("80", "2024-05-01"), ("100", "2024-05-02")]).await;
    db.insert([lab("iron", "50").unit("ug/dL").at("2024-05-01 18:00+02")]).await;
    db.run_once();
    assert_eq!(deltas(&db).await, ["2024-05-01 50 - -", "2024-05-02 100 50 100"]);
}

#[tokio::test]
async fn a_late_result_between_two_days_changes_the_later_one() {
    let db = user_in("Europe/Berlin", "").await;
    iron(&db, &[("80", "2019-05-01"), ("100", "2024-05-01")]).await;
    iron(&db, &[("50", "2022-05-01")]).await;
    assert_eq!(
        deltas(&db).await,
        ["2019-05-01 80 - -", "2022-05-01 50 -30 -37.5", "2024-05-01 100 50 100"]
    );
    iron(&db, &[("40", "2018-12-31")]).await;
    assert_eq!(
        deltas(&db).await,
        [
            "2018-12-31 40 - -",
            "2019-05-01 80 40 100",
            "2022-05-01 50 -30 -37.5",
            "2024-05-01 100 50 100"
        ]
    );
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_changed_day_changes_the_next_one_and_none_further() {
    let db = user_in("Europe/Berlin", "").await;
    iron(&db, &[("80", "2024-05-01"), ("100", "2024-05-20"), ("60", "2024-06-01")]).await;
    db.execute("CREATE TEMP TABLE before AS SELECT local_date, computed_at FROM lab_daily").await;
    db.execute("UPDATE lab_raw SET value_text = '40' WHERE value_text = '80'").await;
    db.run_once();
    assert_eq!(
        deltas(&db).await,
        ["2024-05-01 40 - -", "2024-05-20 100 60 150", "2024-06-01 60 -40 -40"]
    );
    let written = "SELECT local_date::text FROM lab_daily JOIN before USING (local_date)
                   WHERE lab_daily.computed_at <> before.computed_at ORDER BY 1";
    assert_eq!(lines(&db, written).await, ["2024-05-01", "2024-05-20"]);
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_deleted_day_leaves_its_neighbours_to_each_other() {
    let db = user_in("Europe/Berlin", "").await;
    iron(&db, &[("80", "2012-05-01"), ("100", "2018-05-01"), ("60", "2024-05-01")]).await;
    db.execute("DELETE FROM lab_raw WHERE value_text = '100'").await;
    db.run_once();
    assert_eq!(deltas(&db).await, ["2012-05-01 80 - -", "2024-05-01 60 -20 -25"]);
    db.execute("DELETE FROM lab_raw WHERE value_text = '80'").await;
    db.run_once();
    assert_eq!(deltas(&db).await, ["2024-05-01 60 - -"]);
    db.execute("DELETE FROM lab_raw").await;
    db.run_once();
    assert!(deltas(&db).await.is_empty());
}

#[tokio::test]
async fn a_result_that_moves_to_another_date_or_analyte_leaves_no_trace() {
    let db = user_in("Europe/Berlin", "").await;
    iron(&db, &[("80", "2024-05-01"), ("100", "2024-05-03"), ("60", "2024-05-05")]).await;
    db.execute("UPDATE lab_raw SET collected_at = '2024-05-09 08:00+02' WHERE value_text = '100'")
        .await;
    db.run_once();
    assert_eq!(
        deltas(&db).await,
        ["2024-05-01 80 - -", "2024-05-05 60 -20 -25", "2024-05-09 100 40 66.66666666666667"]
    );
    db.execute("UPDATE lab_raw SET test_name = 'zinc' WHERE value_text = '60'").await;
    db.run_once();
    assert_eq!(
        deltas(&db).await,
        ["2024-05-01 80 - -", "2024-05-05 60 - -", "2024-05-09 100 20 25"]
    );
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn a_bound_and_a_text_have_no_delta_and_give_none_to_the_next_day() {
    let db = user_in("Europe/Berlin", "").await;
    let values = ["5", "<5", "6", "positive", "7", "1:160", "1,234", "4,2", "0", "3"];
    let dates: Vec<String> = (1..=values.len()).map(|day| format!("2024-05-{day:02}")).collect();
    let results: Vec<(&str, &str)> =
        values.iter().zip(&dates).map(|(value, date)| (*value, date.as_str())).collect();
    iron(&db, &results).await;
    assert_eq!(
        deltas(&db).await,
        [
            "2024-05-01 5 - -",
            "2024-05-02 <5 - -",
            "2024-05-03 6 - -",
            "2024-05-04 positive - -",
            "2024-05-05 7 - -",
            "2024-05-06 1:160 - -",
            "2024-05-07 1234 - -",
            &format!("2024-05-08 4.2 -1229.8 {}", 100.0 * (4.2 - 1234.0) / 1234.0),
            "2024-05-09 0 -4.2 -100",
            "2024-05-10 3 3 -",
        ]
    );
    // The lab finds the number behind the bound.
    db.execute(
        "INSERT INTO lab_raw (user_id, source, test_name, value_text, unit, status, collected_at)
         SELECT user_id, source, test_name, '4', unit, 'corrected', collected_at
         FROM lab_raw WHERE value_text = '<5'",
    )
    .await;
    db.run_once();
    let first: Vec<String> = deltas(&db).await.into_iter().take(3).collect();
    assert_eq!(first, ["2024-05-01 5 - -", "2024-05-02 4 -1 -20", "2024-05-03 6 2 50"]);
    assert_as_from_scratch(&db).await;
}

#[tokio::test]
async fn only_the_same_analyte_in_the_same_unit_is_compared() {
    let db = user_in("Europe/Berlin", "").await;
    report(
        &db,
        &[
            ["Ferritin", "50", "ng/mL", "2024-05-01"],
            ["Ferritin", "60", "ug/L", "2024-05-02"],
            ["Ferritin", "70", "", "2024-05-03"],
            ["Iron", "80", "ng/mL", "2024-05-04"],
        ],
    )
    .await;
    db.execute("INSERT INTO user_profiles VALUES (2, 'Europe/Berlin', '{}')").await;
    db.insert([lab("iron", "90").unit("ng/mL").at("2024-05-05 08:00+02").user(2)]).await;
    db.run_once();
    assert_eq!(
        deltas(&db).await,
        [
            "2024-05-01 50 - -",
            "2024-05-02 60 - -",
            "2024-05-03 70 - -",
            "2024-05-04 80 - -",
            "2024-05-05 90 - -"
        ]
    );
}

#[tokio::test]
async fn results_in_two_units_of_an_analyte_are_compared_after_conversion() {
    let db = user_in("Europe/Berlin", "").await;
    report(
        &db,
        &[["Glucose", "80", "mg/dL", "2024-05-01"], ["Glucose", "5.55", "mmol/L", "2024-05-02"]],
    )
    .await;
    db.run_once();
    assert_eq!(
        deltas(&db).await,
        ["2024-05-01 80 - -", "2024-05-02 99.98652449999999 19.986524499999987 24.983155624999984"]
    );
}

#[tokio::test]
async fn days_computed_from_the_newest_to_the_oldest_are_the_same() {
    let db = user_in("Europe/Berlin", "").await;
    let results =
        [("0.3", "2024-05-04"), ("0.1", "2024-05-03"), ("7.7", "2024-05-02"), ("<5", "2024-05-01")];
    for result in results {
        iron(&db, &[result]).await;
    }
    assert_as_from_scratch(&db).await;
}
