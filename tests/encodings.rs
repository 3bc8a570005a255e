//! Databases whose encoding is not UTF-8.

use crate::support::rows::vital;
use crate::support::{Database, database};

/// A migrated database of this encoding.
async fn encoded(encoding: &str) -> Database {
    let beside = Database::empty().await;
    let name = format!("{}_{}", beside.name, encoding.to_lowercase());
    let create = format!(
        "CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    );
    beside.execute(&create).await;
    let db =
        Database { name: name.clone(), ..database(&beside.url.replace(&beside.name, &name)).await };
    let migrated = db.run(&["migrate"]);
    assert_eq!(migrated.code, 0, "{}", migrated.stderr);
    db
}

/// Nothing is left in the queue, and what is stored is what a computation from scratch gives.
#[track_caller]
fn assert_verified(db: &Database) {
    let whole = ["backfill", "--from", "2024-03-01", "--to", "2024-03-31"];
    for arguments in [&whole[..], &["verify"]] {
        let ran = db.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
    }
}

#[tokio::test]
async fn a_byte_that_is_no_utf_8_rejects_its_row_and_no_other() {
    let db = encoded("SQL_ASCII").await;
    db.execute(
        r"INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at) VALUES
            (1, 'body_temperature', 36.8, E'\xb0C', 'Thermo', '2024-03-05 08:00Z', '2024-03-05 08:00Z'),
            (1, 'body_temperature', 37.0, 'Cel', 'Thermo', '2024-03-05 09:00Z', '2024-03-05 09:00Z'),
            (1, 'heart_rate', 61, 'bpm', E'M\xfcller', '2024-03-05 09:00Z', '2024-03-05 09:00Z'),
            (1, E'\xfc', 61, 'bpm', 'Watch', '2024-03-05 09:00Z', '2024-03-05 09:00Z'),
            (2, 'heart_rate', 62, 'bpm', 'Watch', '2024-03-05 09:00Z', '2024-03-05 09:00Z');
          INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at, time_zone)
          VALUES (2, 'heart_rate', 63, 'bpm', 'Watch', '2024-03-05 10:00Z', '2024-03-05 10:00Z', E'\xff');
          INSERT INTO user_profiles VALUES (2, 'UTC', ARRAY[E'\xff', 'Watch']);
          INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
          VALUES (3, E'Caf\xe9', 'snack', '2024-03-05 09:00Z', 'app', 12),
                 (3, 'Bread', 'snack', '2024-03-05 10:00Z', 'app', 200);
          INSERT INTO lab_raw (user_id, test_name, value_text, unit, status, collected_at, source)
          VALUES (4, E'S\xe4ure', '5', 'mmol/L', 'final', '2024-03-05 09:00Z', 'lab'),
                 (4, E'S\xfcure', '7', 'mmol/L', 'final', '2024-03-05 09:00Z', 'lab')",
    )
    .await;

    let run = db.run_once();

    assert_eq!((&run["rows_completed"], &run["rows_rejected"]), (&7.into(), &3.into()), "{run}");
    let figures = "SELECT string_agg(format('%s %s %s', user_id, metric, mean), ', '
                                     ORDER BY user_id, metric)
                   FROM vitals_daily WHERE mean IS NOT NULL";
    let figures: String = db.value(figures).await;
    assert_eq!(figures, "1 body_temperature 37, 1 heart_rate 61, 2 heart_rate 62");
    let reasons = "SELECT string_agg(reason, ', ' ORDER BY reason) FROM rejected_rows";
    let reasons: String = db.value(reasons).await;
    assert_eq!(reasons, "unknown_metric, unknown_time_zone, unknown_unit");
    let meals = "SELECT format('%s %s', item_count, energy_kcal) FROM nutrition_daily";
    assert_eq!(db.value::<String>(meals).await, "2 212");
    let analytes: i64 = db.value("SELECT count(DISTINCT analyte) FROM lab_daily").await;
    assert_eq!(analytes, 2, "two names that differ in a byte stay two analytes");
    assert_verified(&db);
}

#[tokio::test]
async fn a_database_in_latin_1_has_its_texts_converted() {
    let db = encoded("LATIN1").await;
    db.insert([vital("body_temperature", 36.8, "°C").at("2024-03-05 08:00Z").source("Müller")])
        .await;

    let run = db.run_once();

    assert_eq!((&run["rows_completed"], &run["rows_rejected"]), (&1.into(), &0.into()), "{run}");
    let source: String = db.value("SELECT primary_source FROM vitals_daily").await;
    assert_eq!(source, "Müller");
    assert_verified(&db);
}
