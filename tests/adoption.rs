//! An app whose measurements lie in a table of its own: `docs/examples/adopt.sql`, as it is written.

mod command;
mod health_app;

use std::fs;
use std::path::Path;

use aggregation::UserIdType;

use crate::support::Database;

const TABLE: &str = "
    CREATE TABLE measurements (
        measurement_id bigint PRIMARY KEY, person_id bigint, type text, reading numeric, unit text,
        device text, taken_at timestamptz, aggregation_status text DEFAULT 'pending')";

async fn statuses(db: &Database) -> String {
    db.value(
        "SELECT string_agg(measurement_id || ' ' || aggregation_status, ', ' ORDER BY measurement_id)
         FROM measurement_status",
    )
    .await
}

async fn pulse(db: &Database, user: i64) -> Option<String> {
    db.value(&format!(
        "SELECT string_agg(local_date || ': ' || sample_count || ' of ' || mean, ', ' ORDER BY local_date)
         FROM vitals_daily WHERE user_id = {user} AND metric = 'heart_rate'"
    ))
    .await
}

#[tokio::test]
async fn an_apps_own_table_is_aggregated_and_shows_its_status() {
    let db = Database::with_user_ids(UserIdType::Bigint).await;
    db.execute(TABLE).await;
    db.execute(
        "INSERT INTO measurements VALUES (1, 7, 'hr', 60, 'bpm', 'watch', '2024-05-01 10:00Z'),
                                         (2, 7, 'mood', 3, '1', 'app', '2024-05-01 10:00Z')",
    )
    .await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/adopt.sql");
    db.execute(&fs::read_to_string(path).unwrap()).await;
    assert_eq!(statuses(&db).await, "1 pending, 2 not aggregated");
    db.run_once();
    assert_eq!(pulse(&db, 7).await.unwrap(), "2024-05-01: 1 of 60");

    // A job of the app sets its own status.
    db.execute("UPDATE measurements SET aggregation_status = 'completed'").await;
    assert_eq!(statuses(&db).await, "1 completed, 2 not aggregated", "that queues nothing");

    // Rows come, are corrected, move to another person, and go.
    db.execute(
        "INSERT INTO measurements VALUES (3, 7, 'hr', 70, 'bpm', NULL, '2024-05-01 11:00Z'),
                                         (4, 7, 'hr', 80, 'bpm', 'watch', '2024-05-02 11:00Z'),
                                         (5, 7, 'hr', -5, 'bpm', 'watch', '2024-05-02 12:00Z'),
                                         (6, NULL, 'hr', 80, 'bpm', 'watch', '2024-05-02 11:00Z')",
    )
    .await;
    let expected =
        "1 completed, 2 not aggregated, 3 pending, 4 pending, 5 pending, 6 not aggregated";
    assert_eq!(statuses(&db).await, expected);
    db.run_once();
    assert_eq!(pulse(&db, 7).await.unwrap(), "2024-05-01: 2 of 65, 2024-05-02: 1 of 80");
    let reason = "SELECT rejected_reason FROM measurement_status WHERE measurement_id = 5";
    assert!(db.value::<Option<String>>(reason).await.is_some());

    db.execute("UPDATE measurements SET reading = 66 WHERE measurement_id = 1").await;
    db.execute("UPDATE measurements SET person_id = 8 WHERE measurement_id = 4").await;
    db.execute("UPDATE measurements SET type = 'hr', unit = 'bpm' WHERE measurement_id = 2").await;
    db.execute("DELETE FROM measurements WHERE measurement_id IN (3, 5)").await;
    db.run_once();
    assert_eq!(pulse(&db, 7).await.unwrap(), "2024-05-01: 1 of 66");
    assert_eq!(pulse(&db, 8).await.unwrap(), "2024-05-02: 1 of 80");
    assert_eq!(statuses(&db).await, "1 completed, 2 completed, 4 completed, 6 not aggregated");
}
