//! Deleted rows leave the figures.

use super::{insert, lines, rejected, user_in};
use crate::support::Database;

const COUNTS: &str = "
    SELECT concat_ws(' ', (SELECT count(*) FROM vitals_hourly), (SELECT count(*) FROM vitals_daily),
                     (SELECT count(*) FROM nutrition_daily), (SELECT count(*) FROM lab_daily),
                     (SELECT count(*) FROM rejected_rows), (SELECT count(*) FROM aggregation_queue))";

/// A user with a day of each kind, and a rejected row of each.
async fn a_day_of_everything() -> Database {
    let db = user_in("Europe/Berlin", "").await;
    let noon = "2024-05-01 12:00+02";
    insert(
        &db,
        &[
            ("heart_rate", "60", "watch", noon, noon),
            ("heart_rate", "NaN", "watch", noon, noon),
            ("heart_rate", "70", "watch", "infinity", "infinity"),
            ("steps", "600", "watch", "2024-05-01 23:30+02", "2024-05-02 00:30+02"),
        ],
    )
    .await;
    db.execute(&format!(
        "INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
         VALUES (1, 'rice', 'dinner', '{noon}', 'app', 100), (1, 'rice', 'dinner', '{noon}', 'app', -1);
         INSERT INTO lab_raw (user_id, test_name, value_text, status, collected_at, source)
         VALUES (1, 'iron', '5', 'final', '{noon}', 'lab'), (1, 'iron', '', 'final', '{noon}', 'lab')"
    ))
    .await;
    db.run_once();
    assert_eq!(lines(&db, COUNTS).await, ["3 3 1 1 4 0"]);
    db
}

#[tokio::test]
async fn a_day_goes_with_its_last_row() {
    let db = a_day_of_everything().await;
    // Rejected rows alone still are rows of the day.
    db.execute(
        "DELETE FROM vitals_raw WHERE value IN (60, 600);
         DELETE FROM nutrition_raw WHERE energy_kcal = 100;
         DELETE FROM lab_raw WHERE value_text = '5'",
    )
    .await;
    db.run_once();
    assert_eq!(lines(&db, COUNTS).await, ["1 1 1 0 4 0"]);
    let day = "SELECT concat_ws(' ', metric, sample_count, rejected_count) FROM vitals_daily";
    assert_eq!(lines(&db, day).await, ["heart_rate 0 1"]);
    let day =
        "SELECT concat_ws(' ', item_count, rejected_count, coalesce(energy_kcal::text, 'NULL'),
                                coalesce(first_eaten_at::text, 'NULL'))
               FROM nutrition_daily";
    assert_eq!(lines(&db, day).await, ["0 1 NULL NULL"]);

    db.execute("DELETE FROM vitals_raw; DELETE FROM nutrition_raw; DELETE FROM lab_raw").await;
    db.run_once();
    assert_eq!(lines(&db, COUNTS).await, ["0 0 0 0 0 0"]);
}

#[tokio::test]
async fn a_truncated_table_takes_its_figures_with_it_and_no_others() {
    let db = a_day_of_everything().await;
    db.execute("TRUNCATE vitals_raw").await;
    db.run_once();
    assert_eq!(lines(&db, COUNTS).await, ["0 0 1 1 2 0"]);
    assert_eq!(rejected(&db).await, ["labs 2 empty_result", "nutrition 2 implausible_value"]);

    db.execute("TRUNCATE nutrition_raw, lab_raw").await;
    db.run_once();
    assert_eq!(lines(&db, COUNTS).await, ["0 0 0 0 0 0"]);
}

#[tokio::test]
async fn a_change_that_is_rolled_back_changes_nothing() {
    let db = a_day_of_everything().await;
    let before = db.figures_as_text().await;
    db.execute("BEGIN; DELETE FROM vitals_raw; TRUNCATE nutrition_raw; ROLLBACK").await;
    assert_eq!(db.run_once()["rows_claimed"], 0);
    assert_eq!(db.figures_as_text().await, before);
}

#[tokio::test]
async fn a_row_that_changes_its_user_leaves_the_one_and_joins_the_other() {
    let db = a_day_of_everything().await;
    db.execute("UPDATE vitals_raw SET user_id = 2; UPDATE nutrition_raw SET user_id = 2").await;
    db.run_once();
    let users = "SELECT DISTINCT concat_ws(' ', kind, user_id) FROM (
                     SELECT 'vitals' AS kind, user_id FROM vitals_daily
                     UNION ALL SELECT 'hours', user_id FROM vitals_hourly
                     UNION ALL SELECT 'nutrition', user_id FROM nutrition_daily
                     UNION ALL SELECT 'rejected ' || kind, user_id FROM rejected_rows) AS figures
                 ORDER BY 1";
    let found = lines(&db, users).await;
    assert_eq!(
        found,
        [
            "hours 2",
            "nutrition 2",
            "rejected labs 1",
            "rejected nutrition 2",
            "rejected vitals 2",
            "vitals 2"
        ]
    );
}
