//! Raw rows in, daily figures out.

use crate::support::Database;
use crate::support::rows::heart_rate;
use crate::support::samples::insert_samples;

#[tokio::test]
async fn raw_rows_become_daily_figures_and_leave_the_queue() {
    let db = Database::new().await;
    db.execute("INSERT INTO user_profiles (user_id, time_zone) VALUES (1, 'Europe/Berlin')").await;
    db.insert([heart_rate(60).at("2024-05-01 10:00+02"), heart_rate(70).at("2024-05-01 11:00+02")])
        .await;

    let run = db.run_once();

    assert_eq!(run["rows_completed"], 2);
    assert_eq!(run["groups_committed"], 1);
    assert_eq!(run["pending_after"], 0);
    let day = &db.query("SELECT sample_count, mean FROM vitals_daily", &[]).await[0];
    assert_eq!((day.get::<_, i32>(0), day.get::<_, f64>(1)), (2, 65.0));
    assert_eq!(db.value::<i64>("SELECT count(*) FROM aggregation_queue").await, 0);
}

#[tokio::test]
async fn users_without_a_profile_are_told_of_once_with_the_zone_that_is_assumed() {
    let db = Database::new().await;
    insert_samples(&db, 3, 5).await;
    // One has a profile, and the rows of another one name their zone.
    db.execute("INSERT INTO user_profiles (user_id, time_zone) VALUES (1, 'Europe/Berlin')").await;
    db.execute("UPDATE vitals_raw SET time_zone = 'Asia/Tokyo' WHERE user_id = 2").await;
    db.execute("DELETE FROM aggregation_queue WHERE user_id = 2 AND time_zone IS NULL").await;

    let ran = db.run(&["run-once"]);

    let told = ran.events("time_zone_assumed");
    assert_eq!(
        (told.len(), &told[0]["users"], &told[0]["time_zone"]),
        (1, &1.into(), &"UTC".into())
    );
    let sentence = "1 user has no profile: UTC is assumed where their rows name no zone.";
    assert!(ran.stdout.lines().any(|line| line == sentence), "{ran:?}");
    insert_samples(&db, 4, 1).await;
    assert_eq!(db.run_once()["users_without_profile"], 3);
    assert_eq!(db.run_once()["users_without_profile"], 0);
}
