//! Rows that take no part in the figures: listed, counted, and harmless to other rows.

use super::{insert, lines, of_only_day, rejected, user_in};
use crate::support::Database;

const NOON: &str = "2024-05-01 12:00+02";

/// Inserts a heart rate in which the named columns are as given.
async fn insert_odd(db: &Database, id: i64, odd: &[(&str, &str)]) {
    let usual = [
        ("user_id", "1"),
        ("metric", "'heart_rate'"),
        ("value", "60"),
        ("unit", "'bpm'"),
        ("source", "'watch'"),
        ("started_at", "'2024-05-01 12:00+02'"),
        ("ended_at", "'2024-05-01 12:00+02'"),
    ];
    let kept = usual.iter().filter(|(name, _)| odd.iter().all(|(other, _)| other != name));
    let (names, values): (Vec<&str>, Vec<&str>) = kept.chain(odd).copied().unzip();
    let (names, values) = (names.join(", "), values.join(", "));
    db.execute(&format!("INSERT INTO vitals_raw (id, {names}) VALUES ({id}, {values})")).await;
}

#[tokio::test]
async fn unusable_vitals_are_listed_with_their_reason_and_harm_no_other_row() {
    let db = user_in("Europe/Berlin", "").await;
    let far = |at: &'static str| vec![("started_at", at), ("ended_at", at)];
    let cases: Vec<(&str, Vec<(&str, &str)>)> = vec![
        ("non_finite_value", vec![("value", "'NaN'")]),
        ("non_finite_value", vec![("value", "'Infinity'")]),
        ("non_finite_value", vec![("value", "'-Infinity'")]),
        ("unknown_unit", vec![("unit", "'furlong'")]),
        ("unknown_unit", vec![("unit", "''")]),
        ("unknown_unit", vec![("unit", "'kg'")]),
        ("unknown_comparator", vec![("comparator", "'~'")]),
        (
            "implausible_value",
            vec![("metric", "'blood_pressure_systolic'"), ("value", "13682"), ("unit", "'mmHg'")],
        ),
        ("implausible_value", vec![("value", "-60")]),
        ("end_before_start", vec![("ended_at", "'2024-05-01 11:59:59.999999+02'")]),
        ("interval_too_long", vec![("ended_at", "'2024-05-03 12:00:00.000001+02'")]),
        ("unknown_metric", vec![("metric", "'mood'")]),
        ("unknown_metric", vec![("metric", "''")]),
        ("unknown_time_zone", vec![("time_zone", "'Mars/Olympus'")]),
        ("unknown_time_zone", vec![("time_zone", "''")]),
        ("time_out_of_range", far("'infinity'")),
        ("time_out_of_range", far("'-infinity'")),
        ("time_out_of_range", far("'9999-12-31 12:00+00'")),
        ("time_out_of_range", far("'294276-12-31 23:59:59+00'")),
        ("time_out_of_range", far("'0001-12-31 00:00+00 BC'")),
        ("time_out_of_range", far("'4714-11-24 00:00+00 BC'")),
        ("time_out_of_range", vec![("ended_at", "'infinity'")]),
        ("time_out_of_range", vec![("started_at", "'-infinity'")]),
    ];
    for (id, (_, odd)) in (51..).zip(&cases) {
        insert_odd(&db, id, odd).await;
    }
    // Of another source: of rows for one sample the newest would count, though it is rejected.
    insert(&db, &[("heart_rate", "71", "strap", NOON, NOON)]).await;
    insert(&db, &[("blood_pressure_systolic", "120", "cuff", NOON, NOON)]).await;
    // Rows that share nothing with them but the user, and the first and last days of time.
    db.execute(
        "INSERT INTO vitals_raw (id, user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 90 + n, 1, 'steps', 5, 'count', 'phone', at, at
         FROM (VALUES (1, timestamptz '0001-01-01 12:00+00'), (2, '9999-12-30 12:00+00')) AS v (n, at)",
    )
    .await;

    let run = db.run_once();

    assert_eq!(run["groups_failed"], 0);
    assert_eq!(run["rows_rejected"], cases.len());
    assert_eq!(run["rows_completed"], 4);
    assert_eq!(run["pending_after"], 0);
    let expected: Vec<String> =
        (51..).zip(&cases).map(|(id, (reason, _))| format!("{id} {reason}")).collect();
    let found = "SELECT raw_id || ' ' || reason FROM rejected_rows ORDER BY 1";
    assert_eq!(lines(&db, found).await, expected);

    let days = lines(
        &db,
        "SELECT concat_ws(' ', metric, local_date, sample_count, coalesce(mean, total), rejected_count)
         FROM vitals_daily ORDER BY metric, local_date",
    )
    .await;
    assert_eq!(
        days,
        [
            "blood_pressure_systolic 2024-05-01 1 120 1",
            "heart_rate 2024-05-01 1 71 11",
            "steps 0001-01-01 1 5 0",
            "steps 9999-12-30 1 5 0",
        ],
        "those that have a metric and a date are counted in their day"
    );
    let status = "SELECT DISTINCT status FROM raw_row_status WHERE rejected_reason IS NOT NULL";
    assert_eq!(lines(&db, status).await, ["completed"]);
}

#[tokio::test]
async fn unusable_meals_and_results_are_listed_with_their_reason() {
    let db = user_in("Europe/Berlin", "").await;
    db.execute(
        "INSERT INTO nutrition_raw (id, user_id, food_name, meal_type, eaten_at, time_zone, source, energy_kcal)
         SELECT id, 1, 'soup', meal, at, zone, 'app', kcal
         FROM (VALUES (1, 'lunch', timestamptz '2024-05-01 12:00+02', NULL, 100::float8),
                      (2, 'brunch', '2024-05-01 12:00+02', NULL, 200000),
                      (3, 'lunch', '2024-05-01 12:00+02', NULL, 'NaN'),
                      (4, 'lunch', '2024-05-01 12:00+02', NULL, -1),
                      (5, 'lunch', '2024-05-01 12:00+02', 'Nowhere', 300),
                      (6, 'lunch', 'infinity', NULL, 400),
                      (7, 'lunch', '294276-12-31 00:00+00', NULL, 400),
                      (8, 'lunch', '2024-05-01 12:00+02', NULL, 'Infinity')
             ) AS v (id, meal, at, zone, kcal);
         INSERT INTO lab_raw (id, user_id, test_name, value_text, status, collected_at, time_zone, source)
         SELECT id, 1, name, value, status, at, zone, 'lab'
         FROM (VALUES (1, 'iron', '5', 'final', timestamptz '2024-05-01 12:00+02', NULL),
                      (2, 'iron', '6', 'lost', '2024-05-01 12:00+02', NULL),
                      (3, ' ', '6', 'final', '2024-05-01 12:00+02', NULL),
                      (4, 'iron', ' ', 'final', '2024-05-01 12:00+02', NULL),
                      (5, 'iron', '1e999', 'final', '2024-05-01 12:00+02', NULL),
                      (6, 'iron', '6', 'final', '-infinity', NULL),
                      (7, 'iron', '6', 'final', '2024-05-01 12:00+02', 'Nowhere'),
                      (8, repeat('iron', 300), '6', 'final', '2024-05-01 12:00+02', NULL)
             ) AS v (id, name, value, status, at, zone)",
    )
    .await;

    let run = db.run_once();

    assert_eq!((&run["groups_failed"], &run["rows_rejected"]), (&0.into(), &14.into()));
    assert_eq!(
        rejected(&db).await,
        [
            "labs 2 unknown_status",
            "labs 3 unnamed_test",
            "labs 4 empty_result",
            "labs 5 non_finite_value",
            "labs 6 time_out_of_range",
            "labs 7 unknown_time_zone",
            "labs 8 key_too_long",
            "nutrition 2 implausible_value",
            "nutrition 3 non_finite_value",
            "nutrition 4 implausible_value",
            "nutrition 5 unknown_time_zone",
            "nutrition 6 time_out_of_range",
            "nutrition 7 time_out_of_range",
            "nutrition 8 non_finite_value",
        ]
    );
    let meals =
        "SELECT concat_ws(' ', item_count, rejected_count, energy_kcal) FROM nutrition_daily";
    assert_eq!(lines(&db, meals).await, ["1 4 100"]);
    let results = "SELECT concat_ws(' ', analyte, result_count, last_value) FROM lab_daily";
    assert_eq!(lines(&db, results).await, ["name:iron 1 5"]);
}

#[tokio::test]
async fn a_corrected_row_leaves_the_list_and_one_made_unusable_enters_it() {
    let db = user_in("Europe/Berlin", "").await;
    insert_odd(&db, 1, &[("unit", "'furlong'")]).await;
    insert_odd(&db, 2, &[("source", "'strap'"), ("value", "80")]).await;
    db.run_once();
    let first_seen = "SELECT first_seen_at::text FROM rejected_rows WHERE raw_id = 1";
    let seen = lines(&db, first_seen).await;

    db.execute("UPDATE vitals_raw SET value = 'NaN', unit = 'bpm' WHERE id = 1").await;
    db.run_once();
    assert_eq!(rejected(&db).await, ["vitals 1 non_finite_value"]);
    assert_eq!(lines(&db, first_seen).await, seen, "the time of first sight stays");

    db.execute(
        "UPDATE vitals_raw SET value = 60 WHERE id = 1; UPDATE vitals_raw SET metric = 'mood' WHERE id = 2",
    )
    .await;
    db.run_once();
    assert_eq!(rejected(&db).await, ["vitals 2 unknown_metric"]);
    assert_eq!(of_only_day::<f64>(&db, "mean", "heart_rate").await, 60.0);
    assert_eq!(of_only_day::<i32>(&db, "rejected_count", "heart_rate").await, 0);

    db.execute(
        "UPDATE vitals_raw SET metric = 'heart_rate', started_at = '-infinity' WHERE id = 2",
    )
    .await;
    db.run_once();
    assert_eq!(rejected(&db).await, ["vitals 2 time_out_of_range"]);

    db.execute("UPDATE vitals_raw SET started_at = ended_at, time_zone = 'Nowhere' WHERE id = 2")
        .await;
    db.run_once();
    assert_eq!(rejected(&db).await, ["vitals 2 unknown_time_zone"]);

    db.execute("UPDATE vitals_raw SET time_zone = NULL WHERE id = 2").await;
    db.run_once();
    assert_eq!(rejected(&db).await, [""; 0]);
    assert_eq!(of_only_day::<f64>(&db, "mean", "heart_rate").await, 70.0);
}

#[tokio::test]
async fn rows_without_a_zone_are_rejected_where_the_profiles_is_unknown() {
    let db = user_in("Mars/Olympus", "").await;
    insert_odd(&db, 1, &[]).await;
    insert_odd(&db, 2, &[("time_zone", "'Europe/Berlin'"), ("value", "80")]).await;
    db.run_once();
    assert_eq!(rejected(&db).await, ["vitals 1 unknown_time_zone"]);
    assert_eq!(of_only_day::<f64>(&db, "mean", "heart_rate").await, 80.0);
    assert_eq!(of_only_day::<String>(&db, "time_zone", "heart_rate").await, "Europe/Berlin");
}

#[tokio::test]
async fn the_log_names_the_metric_that_an_unknown_one_means_and_never_the_text_of_the_row() {
    let db = user_in("Europe/Berlin", "").await;
    for (id, metric) in (1..).zip(["mood of Anna", "weight", "Weight (kg)", "mood"]) {
        insert_odd(&db, id, &[("metric", &format!("'{metric}'"))]).await;
    }
    let ran = db.run(&["run-once"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let events = ran.events("metric_unknown");
    let mut said: Vec<_> =
        events.iter().map(|event| event["nearest"].as_str().unwrap_or("none")).collect();
    said.sort_unstable();
    assert_eq!(said, ["body_mass", "none"], "each is said once");
    assert!(events.iter().all(|event| event["raw_id"].is_i64()), "{events:?}");
    assert!(!ran.stderr.contains("mood") && !ran.stderr.contains("eight"), "{}", ran.stderr);
}
