//! Raw rows in, daily figures out.

use crate::support::Database;

#[tokio::test]
async fn raw_rows_become_daily_figures_and_leave_the_queue() {
    let db = Database::new().await;
    db.execute(
        "INSERT INTO user_profiles (user_id, time_zone) VALUES (1, 'Europe/Berlin');
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at) VALUES
             (1, 'heart_rate', 60, 'bpm', 'watch', '2024-05-01 10:00+02', '2024-05-01 10:00+02'),
             (1, 'heart_rate', 70, 'bpm', 'watch', '2024-05-01 11:00+02', '2024-05-01 11:00+02');",
    )
    .await;

    let run = db.run_once();

    assert_eq!(run["rows_completed"], 2);
    assert_eq!(run["groups_committed"], 1);
    assert_eq!(run["pending_after"], 0);
    let day = &db.query("SELECT sample_count, mean FROM vitals_daily", &[]).await[0];
    assert_eq!((day.get::<_, i32>(0), day.get::<_, f64>(1)), (2, 65.0));
    assert_eq!(db.value::<i64>("SELECT count(*) FROM aggregation_queue").await, 0);
}
