//! Apps and other workers at the same rows at the same time.

use super::{Running, UserLock, assert_all_done, insert_samples, number, waiting};
use crate::support::Database;

/// Stops workers after a group has read its rows and before it writes its figures.
const BEFORE_WRITING: &str = "BEGIN; LOCK TABLE vitals_hourly, vitals_daily IN SHARE MODE";

/// Stops workers before a claim.
const BEFORE_CLAIMING: &str = "BEGIN; LOCK TABLE aggregation_queue IN SHARE MODE";

#[tokio::test]
async fn a_row_changed_after_its_claim_ends_right() {
    let db = Database::new().await;
    insert_samples(&db, 1, 5).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let worker = Running::of(&db);
    waiting(&db, 1).await;

    db.execute("UPDATE vitals_raw SET value = 95 WHERE started_at = '2024-05-01 10:03Z'").await;
    lock.release().await;

    assert_eq!(worker.succeeds().json()["rows_completed"], 6, "the change is done again");
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_worker_sees_what_came_while_it_waited_whatever_the_default_isolation_is() {
    let db = Database::new().await;
    insert_samples(&db, 1, 5).await;
    let name: String = db.value("SELECT current_database()").await;
    db.execute(&format!(
        "ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'repeatable read'"
    ))
    .await;
    let lock = UserLock::hold(&db.url, 1).await;
    let worker = Running::of(&db);
    waiting(&db, 1).await;

    db.execute(
        "UPDATE vitals_raw SET value = 95; DELETE FROM aggregation_queue WHERE state = 'pending'",
    )
    .await;
    lock.release().await;

    let ran = worker.succeeds();
    assert_eq!(ran.json()["rows_completed"], 5, "what the queue was told last was taken away");
    assert_eq!(db.value::<f64>("SELECT mean FROM vitals_daily").await, 95.0, "and still is seen");
    assert!(ran.events("group_retried").is_empty(), "{}", ran.stderr);
}

#[tokio::test]
async fn the_first_and_the_last_number_that_a_user_can_have_are_users() {
    let db = Database::new().await;
    for user in [i64::MIN, -1, 0, i64::MAX] {
        db.execute(&format!(
            "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
             VALUES ({user}, 'heart_rate', 60, 'bpm', 'watch', '2024-05-01 10:00Z', '2024-05-01 10:00Z')"
        ))
        .await;
    }
    db.run_once();
    assert_all_done(&db).await;
    assert_eq!(db.value::<i64>("SELECT count(*) FROM vitals_daily").await, 4);
}

#[tokio::test]
async fn rows_of_a_queue_that_is_rewritten_after_their_claim_are_found_where_they_stand_now() {
    let db = Database::new().await;
    insert_samples(&db, 1, 5).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let worker = Running::of(&db);
    waiting(&db, 1).await;
    let places = "SELECT string_agg(ctid::text, ' ' ORDER BY id) FROM aggregation_queue";
    let before: String = db.value(places).await;

    db.execute("VACUUM FULL aggregation_queue").await;

    let after: String = db.value(places).await;
    assert_ne!(after, before);
    lock.release().await;
    let ran = worker.succeeds();
    assert_eq!(ran.json()["rows_completed"], 5);
    assert_eq!(ran.json()["rows_failed"], 0);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn rows_inserted_changed_moved_and_deleted_after_they_were_read_are_done_again() {
    for change in [
        "UPDATE vitals_raw SET value = 95 WHERE started_at = '2024-05-01 10:03Z'",
        "DELETE FROM vitals_raw WHERE started_at = '2024-05-01 10:03Z'",
        "DELETE FROM vitals_raw",
        "UPDATE vitals_raw SET started_at = '2024-05-02 10:00Z', ended_at = '2024-05-02 10:00Z'
         WHERE started_at = '2024-05-01 10:03Z'",
        "UPDATE vitals_raw SET user_id = 2 WHERE started_at = '2024-05-01 10:03Z'",
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         VALUES (1, 'heart_rate', 99, 'bpm', 'watch', '2024-05-01 10:30Z', '2024-05-01 10:30Z')",
    ] {
        let db = Database::new().await;
        insert_samples(&db, 1, 5).await;
        let gate = db.connect().await;
        gate.batch_execute(BEFORE_WRITING).await.unwrap();
        let worker = Running::of(&db);
        waiting(&db, 1).await;

        db.execute(change).await;
        gate.batch_execute("COMMIT").await.unwrap();

        assert!(number(&worker.succeeds().json(), "rows_completed") > 5, "{change}");
        assert_all_done(&db).await;
    }
}

#[tokio::test]
async fn rows_that_were_claimed_before_a_profile_changed_are_computed_as_it_is_now() {
    let beginnings =
        ["INSERT INTO user_profiles VALUES (1, 'Europe/Berlin', '{watch}')", "SELECT 1"];
    let changes = [
        "INSERT INTO user_profiles VALUES (1, 'Asia/Tokyo', '{watch}')
         ON CONFLICT (user_id) DO UPDATE SET time_zone = excluded.time_zone",
        "INSERT INTO user_profiles VALUES (1, 'Europe/Berlin', '{phone,watch}')
         ON CONFLICT (user_id) DO UPDATE SET source_priority = excluded.source_priority",
        "DELETE FROM user_profiles",
    ];
    let steps =
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at) VALUES
            (1, 'steps', 100, 'count', 'watch', '2024-05-01 20:00Z', '2024-05-01 21:00Z'),
            (1, 'steps', 70, 'count', 'phone', '2024-05-01 20:00Z', '2024-05-01 21:00Z')";
    let meals =
        "INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal)
        VALUES (1, 'rice', 'other', '2024-05-01 20:00Z', 'app', 100),
               (1, 'rice', 'other', '2024-05-01 21:00Z', 'app', 100)";
    let results =
        "INSERT INTO lab_raw (user_id, test_name, value_text, status, collected_at, source)
        VALUES (1, 'iron', '5', 'final', '2024-05-01 20:00Z', 'lab'),
               (1, 'iron', '6', 'final', '2024-05-01 21:00Z', 'lab')";
    for (table, rows, beginning, change) in [
        ("vitals_raw", steps, beginnings[0], changes[0]),
        ("vitals_raw", steps, beginnings[0], changes[1]),
        ("vitals_raw", steps, beginnings[0], changes[2]),
        ("vitals_raw", steps, beginnings[1], changes[1]),
        ("nutrition_raw", meals, beginnings[0], changes[0]),
        ("lab_raw", results, beginnings[1], changes[0]),
    ] {
        let db = Database::new().await;
        db.execute(beginning).await;
        db.execute(rows).await;
        // The worker has the user's lock when it comes to the raw rows.
        let gate = db.connect().await;
        gate.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
            .await
            .unwrap();
        let worker = Running::of(&db);
        waiting(&db, 1).await;

        db.execute(change).await;
        gate.batch_execute("COMMIT").await.unwrap();

        let ran = worker.succeeds();
        assert_eq!(ran.json()["rows_completed"], 2, "{change}: {}", ran.stderr);
        assert_eq!(ran.json()["rows_failed"], 0, "{change}: {}", ran.stderr);
        assert_eq!(ran.events("group_outdated").len(), 1, "{change}: {}", ran.stderr);
        let verified = db.run(&["verify"]);
        assert_eq!(verified.code, 0, "{change}: {}", verified.stdout);
    }
}

#[tokio::test]
async fn a_profile_that_changes_while_a_group_waits_for_its_user_is_the_one_that_counts() {
    let db = Database::new().await;
    insert_samples(&db, 2, 5).await;
    let lock = UserLock::hold(&db.url, 2).await;
    let worker = Running::of(&db);
    // By its writes for user 1 the statements are prepared, so that the COMMIT of user 2 travels
    // with the writes.
    waiting(&db, 1).await;

    db.execute("INSERT INTO user_profiles VALUES (1, 'Asia/Tokyo'), (2, 'Asia/Tokyo')").await;
    lock.release().await;

    let ran = worker.succeeds();
    let outdated = ran.events("group_outdated");
    assert_eq!(outdated.iter().map(|event| number(event, "user_id")).collect::<Vec<_>>(), [2]);
    let zones = "SELECT string_agg(time_zone, ' ' ORDER BY user_id) FROM vitals_daily";
    assert_eq!(db.value::<String>(zones).await, "UTC Asia/Tokyo");
    assert_eq!(
        (&ran.json()["rows_completed"], &ran.json()["rows_failed"]),
        (&10.into(), &0.into())
    );
}

#[tokio::test]
async fn an_app_never_waits_for_the_worker() {
    let db = Database::new().await;
    insert_samples(&db, 1, 5).await;
    let gate = db.connect().await;
    gate.batch_execute(BEFORE_WRITING).await.unwrap();
    let worker = Running::of(&db);
    waiting(&db, 1).await;

    // The worker's transaction is open; at the first wait for it, the app would fail.
    db.execute("SET lock_timeout = '1ms'").await;
    db.execute("UPDATE vitals_raw SET value = value + 1").await;
    db.execute("DELETE FROM vitals_raw WHERE started_at > '2024-05-01 10:03Z'").await;
    db.execute("UPDATE vitals_raw SET started_at = ended_at + interval '1 day', ended_at = ended_at + interval '1 day', id = id + 1000").await;
    insert_samples(&db, 2, 7).await;
    db.execute("INSERT INTO user_profiles VALUES (1, 'UTC')").await;
    waiting(&db, 1).await;

    gate.batch_execute("COMMIT").await.unwrap();
    worker.succeeds();
    assert_all_done(&db).await;
}

#[tokio::test]
async fn an_app_that_has_not_committed_holds_up_no_worker() {
    let db = Database::new().await;
    insert_samples(&db, 2, 5).await;
    let app = db.connect().await;
    app.batch_execute("BEGIN; UPDATE vitals_raw SET value = 95 WHERE user_id = 1").await.unwrap();

    let settings = [("WORKER__SESSION__LOCK_TIMEOUT_SECONDS", "0.001")];
    let before = super::run(&db, &settings);
    assert_eq!((before.code, &before.json()["rows_completed"]), (0, &10.into()));

    app.batch_execute("COMMIT").await.unwrap();
    assert_eq!(db.run_once()["rows_completed"], 5);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn two_workers_share_many_users_and_do_no_row_twice() {
    let db = Database::new().await;
    insert_samples(&db, 60, 20).await;
    let gate = db.connect().await;
    gate.batch_execute(BEFORE_CLAIMING).await.unwrap();
    let settings = [("WORKER__BATCH__SIZE", "50")];
    let workers = [(); 2].map(|()| Running::start(db.worker(), &settings));
    waiting(&db, 2).await;

    gate.batch_execute("COMMIT").await.unwrap();

    let runs = workers.map(Running::succeeds);
    for ran in &runs {
        assert!(number(&ran.json(), "batches") > 0, "{}", ran.stderr);
        for trouble in ["group_failed", "batch_interrupted", "drain_paused"] {
            assert!(ran.events(trouble).is_empty(), "{}", ran.stderr);
        }
    }
    let completed: u64 = runs.iter().map(|ran| number(&ran.json(), "rows_completed")).sum();
    assert_eq!(completed, 1200);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn two_workers_at_one_user_take_turns() {
    let db = Database::new().await;
    insert_samples(&db, 1, 100).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let settings = [("WORKER__BATCH__SIZE", "50")];
    let first = Running::start(db.worker(), &settings);
    waiting(&db, 1).await;
    let second = Running::start(db.worker(), &settings);
    waiting(&db, 2).await;
    let tokens: i64 = db.value("SELECT count(DISTINCT lease_token) FROM aggregation_queue").await;
    assert_eq!(tokens, 2, "each has half of the rows");

    lock.release().await;

    for worker in [first, second] {
        let ran = worker.succeeds();
        assert_eq!(ran.json()["rows_completed"], 50, "{}", ran.stderr);
    }
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_worker_whose_rows_were_taken_over_commits_nothing() {
    let db = Database::new().await;
    insert_samples(&db, 2, 5).await;
    let lock = UserLock::hold(&db.url, 1).await;
    let worker = Running::of(&db);
    waiting(&db, 1).await;

    db.execute(
        "UPDATE aggregation_queue SET lease_token = 2,
             lease_expires_at = now() + interval '1 hour'",
    )
    .await;
    lock.release().await;

    let ran = worker.succeeds();
    assert_eq!(ran.json()["rows_completed"], 0);
    assert_eq!(ran.json()["rows_released"], 10, "not its own any more");
    assert_eq!(ran.events("batch_interrupted")[0]["class"], "lease_lost", "{}", ran.stderr);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM vitals_daily").await, 0);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM vitals_hourly").await, 0);
    let theirs = "SELECT coalesce(sum(cardinality(raw_ids)), 0) FROM aggregation_queue
                  WHERE state = 'processing' AND lease_token = 2 AND attempts = 0";
    assert_eq!(db.value::<i64>(theirs).await, 10, "the other's claim is untouched");

    db.execute("UPDATE aggregation_queue SET lease_expires_at = now() - interval '1 s'").await;
    assert_eq!(db.run_once()["rows_completed"], 10);
    assert_all_done(&db).await;
}

#[tokio::test]
async fn a_slow_worker_and_the_one_that_took_over_give_one_result() {
    let db = Database::new().await;
    insert_samples(&db, 2, 5).await;
    let gate = db.connect().await;
    gate.batch_execute(BEFORE_WRITING).await.unwrap();
    // It holds the user's lock and has read; its lease runs out, and another claims.
    let slow = Running::of(&db);
    waiting(&db, 1).await;
    db.execute("UPDATE aggregation_queue SET lease_expires_at = now() - interval '1 s'").await;
    let other = Running::of(&db);
    waiting(&db, 2).await;

    gate.batch_execute("COMMIT").await.unwrap();

    let (slow, other) = (slow.succeeds(), other.succeeds());
    assert_eq!(slow.json()["rows_completed"], 0, "{}", slow.stderr);
    assert_eq!(other.json()["rows_completed"], 10, "{}", other.stderr);
    assert_all_done(&db).await;
}
